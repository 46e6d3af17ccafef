//! One flow as it is shown.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lns_l2sess::key::Detail;
use lns_l2sess::policy::Policies;
use lns_l2sess::table::Flow as Record;
use lns_l2sess::{Direction, Family, Seconds};
use schemars::JsonSchema;
use serde::Serialize;

use super::look::Owner;

/// One flow: packets of it pass in both directions without being judged.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Flow {
    /// Whose it is: `tunnel.session`, our ids.
    session: String,
    /// The name that the session logged in with.
    user: Option<String>,
    /// The LAC entry of the session.
    lac: String,
    /// The upper protocol's number.
    protocol: u8,
    /// The subscriber's end.
    inside: End,
    /// The other end.
    outside: End,
    /// What an ICMP message is about; null: it is none.
    icmp: Option<Icmp>,
    /// Who sent the first packet.
    opened_by: Opener,
    /// `transient`, `established`, `closing` (TCP), or `udp` (every other protocol): which timeout it
    /// has.
    class: &'static str,
    /// Seconds since a packet was last noted; an active flow is noted every 10 seconds at least.
    idle_seconds: u32,
    /// Seconds until it is over if no packet comes.
    expires_in_seconds: u32,
    /// Seconds since the first packet.
    age_seconds: u32,
    /// The policy that has opened it, and whose timeouts it has; null: the policy is gone.
    policy: Option<String>,
    /// What TCP has said; null: it is not TCP.
    tcp_seen: Option<TcpSeen>,
    /// Which edition of its session's policies it was last judged by.
    epoch: u32,
}

/// One end of a flow.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
struct End {
    /// Its address.
    address: IpAddr,
    /// Its port; null: the protocol has none.
    port: Option<u16>,
}

/// What an ICMP flow is about.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
struct Icmp {
    /// The type of the message; of a question and its answers that of the question.
    #[serde(rename = "type")]
    kind: u8,
    /// The code; null: it is a question.
    code: Option<u8>,
    /// The identifier of a question.
    identifier: Option<u16>,
}

/// Who opened a flow.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq, Serialize)]
enum Opener {
    /// The subscriber.
    Subscriber,
    /// Somebody beyond the core interface, or another subscriber.
    Core,
}

/// What has been seen of each end: `SYN`, `ACK` (of the other's SYN), `FIN`, `FINACK` (an
/// acknowledgement of the other's FIN).
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
struct TcpSeen {
    /// Of the subscriber.
    inside: Vec<&'static str>,
    /// Of the other end.
    outside: Vec<&'static str>,
}

impl TcpSeen {
    /// The bits of [`lns_l2sess::State`], by what they say of input and of output.
    const BITS: [(&'static str, u8, u8); 4] = [
        ("SYN", 0x01, 0x02),
        ("ACK", 0x04, 0x08),
        ("FIN", 0x10, 0x20),
        ("FINACK", 0x40, 0x80),
    ];

    fn new(bits: u8) -> Self {
        let of = |mask: fn(&(&'static str, u8, u8)) -> u8| {
            let seen = Self::BITS.iter().filter(|it| bits & mask(it) != 0);
            seen.map(|(name, _, _)| *name).collect()
        };
        Self {
            inside: of(|(_, input, _)| *input),
            outside: of(|(_, _, output)| *output),
        }
    }
}

impl Flow {
    /// What the table has of a flow of `owner`.
    pub(super) fn new(record: &Record, owner: &Owner, policies: &Policies, now: Seconds) -> Self {
        let ends = Ends::new(record);
        let is_tcp = record.key.is_tcp();
        let class = record.state.class(is_tcp);
        let idle = now.since(record.state.seconds());
        let end = policies.timeouts(record.policy).end(class);
        let policy = policies.policies().find(|(id, _)| *id == record.policy);
        let [inside, outside] = ends.ends.map(|(address, port)| End { address, port });
        Self {
            session: owner.id.clone(),
            user: owner.user.clone(),
            lac: owner.lac.clone(),
            protocol: record.key.protocol(),
            inside,
            outside,
            icmp: ends.icmp,
            opened_by: match record.opener {
                Direction::Input => Opener::Subscriber,
                Direction::Output => Opener::Core,
            },
            class: class.label(),
            idle_seconds: idle,
            expires_in_seconds: end.saturating_sub(idle),
            age_seconds: now.since(record.opened),
            policy: policy.map(|(_, policy)| policy.name.to_string()),
            tcp_seen: is_tcp.then(|| TcpSeen::new(record.state.bits())),
            epoch: record.epoch.0,
        }
    }
}

/// What the key of a flow says of its ends, the subscriber's first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Ends {
    pub(super) ends: [(IpAddr, Option<u16>); 2],
    icmp: Option<Icmp>,
}

impl Ends {
    pub(super) fn new(record: &Record) -> Self {
        // The way of the first packet: of a message that nothing answers there is no other.
        let tuple = record.key.tuple(record.opener);
        let [source, destination] =
            [tuple.source, tuple.destination].map(|number| address(tuple.family, number));
        let (ports, icmp) = match tuple.detail {
            Detail::None => ([None; 2], None),
            Detail::Ports {
                source,
                destination,
            } => ([Some(source), Some(destination)], None),
            Detail::Query {
                question,
                identifier,
                ..
            } => {
                let icmp = Icmp {
                    kind: question,
                    code: None,
                    identifier: Some(identifier),
                };
                ([None; 2], Some(icmp))
            }
            Detail::Message { kind, code } => {
                let icmp = Icmp {
                    kind,
                    code: Some(code),
                    identifier: None,
                };
                ([None; 2], Some(icmp))
            }
        };
        let [from, to] = ports;
        let mut ends = [(source, from), (destination, to)];
        if record.opener == Direction::Output {
            ends.reverse();
        }
        Self { ends, icmp }
    }
}

/// An address that a key has as a number.
fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::IPv4 => {
            let [.., a, b, c, d] = number.to_be_bytes();
            Ipv4Addr::new(a, b, c, d).into()
        }
        Family::IPv6 => Ipv6Addr::from(number).into(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use lns_l2sess::key::Tuple;
    use lns_l2sess::state::TcpFlags;
    use lns_l2sess::{Epoch, FlowKey, PolicyId, PortId, State};
    use serde_json::json;

    use super::*;

    /// A flow of port 7 whose first packet went in `opener`, at second 100.
    pub(in super::super) fn record(opener: Direction, protocol: u8, detail: Detail) -> Record {
        let [inside, outside] = [0x6440_0005, 0xcb00_7107];
        let (source, destination) = match opener {
            Direction::Input => (inside, outside),
            Direction::Output => (outside, inside),
        };
        let tuple = Tuple {
            family: Family::IPv4,
            source,
            destination,
            protocol,
            detail,
        };
        let flags = (protocol == 6).then_some(TcpFlags(TcpFlags::SYN));
        let since = Seconds::new(100);
        Record {
            key: FlowKey::new(PortId(7), opener, &tuple),
            state: State::first(opener, flags, since),
            policy: PolicyId(0),
            epoch: Epoch(3),
            opener,
            opened: since,
        }
    }

    pub(in super::super) fn owner() -> Owner {
        Owner {
            id: "4711.12".to_owned(),
            user: Some("alice".to_owned()),
            lac: "wholesale-a".to_owned(),
            seconds: 1_000,
        }
    }

    fn shown(record: &Record) -> serde_json::Value {
        json!(Flow::new(
            record,
            &owner(),
            &Policies::none(),
            Seconds::new(105)
        ))
    }

    const WEB: Detail = Detail::Ports {
        source: 40_000,
        destination: 443,
    };

    #[test]
    fn a_flow_shows_its_ends_its_times_and_what_tcp_has_said() {
        assert_eq!(
            shown(&record(Direction::Input, 6, WEB)),
            json!({
                "session": "4711.12", "user": "alice", "lac": "wholesale-a", "protocol": 6,
                "inside": { "address": "100.64.0.5", "port": 40000 },
                "outside": { "address": "203.0.113.7", "port": 443 },
                "icmp": null, "openedBy": "Subscriber", "class": "transient",
                "idleSeconds": 5, "expiresInSeconds": 125, "ageSeconds": 5, "policy": null,
                "tcpSeen": { "inside": ["SYN"], "outside": [] }, "epoch": 3,
            })
        );
    }

    #[test]
    fn who_is_inside_does_not_depend_on_who_opened() {
        let incoming = shown(&record(Direction::Output, 17, WEB));
        assert_eq!(incoming["openedBy"], "Core");
        assert_eq!(
            incoming["inside"],
            json!({ "address": "100.64.0.5", "port": 443 })
        );
        assert_eq!(
            incoming["outside"],
            json!({ "address": "203.0.113.7", "port": 40000 })
        );
        assert_eq!(
            (&incoming["class"], &incoming["tcpSeen"]),
            (&json!("udp"), &json!(null))
        );
    }

    #[test]
    fn an_icmp_flow_shows_its_question_or_its_message() {
        let echo = Detail::Query {
            question: 8,
            identifier: 77,
            answer: false,
        };
        let unreachable = Detail::Message { kind: 3, code: 1 };
        for opener in Direction::ALL {
            let shown_echo = shown(&record(opener, 1, echo));
            assert_eq!(
                shown_echo["icmp"],
                json!({ "type": 8, "code": null, "identifier": 77 })
            );
            let message = shown(&record(opener, 1, unreachable));
            assert_eq!(
                message["icmp"],
                json!({ "type": 3, "code": 1, "identifier": null })
            );
            for flow in [shown_echo, message] {
                assert_eq!(
                    flow["inside"],
                    json!({ "address": "100.64.0.5", "port": null })
                );
            }
        }
    }

    #[test]
    fn the_bits_of_both_ends_are_named() {
        let seen = |bits| TcpSeen::new(bits);
        assert_eq!(seen(0xff).inside, ["SYN", "ACK", "FIN", "FINACK"]);
        assert_eq!(seen(0xff).outside, seen(0xff).inside);
        let opened = record(Direction::Output, 6, WEB).state.bits();
        assert_eq!(
            (seen(opened).inside.len(), seen(opened).outside),
            (0, vec!["SYN"])
        );
    }
}
