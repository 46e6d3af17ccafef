//! A record's octets.
//!
//! A record is one octet with the number of the form and then postcard: in the first form of the date and one
//! [`Form`], in the second of the date, what was left out (`second`), and the [`Form`] without it. Every change of
//! these types is another form; a test has the octets of each. Which one is written, is decided outside
//! ([`Node::handle_form`](crate::Node::handle_form)): a later one only when no node has to read the one before any
//! more. Times are milliseconds from the date of the record: how long ago, or how long still. Passwords and secrets
//! are in no record.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use ipnet::Ipv4Net;
use lns_tables::time::Instant;
use serde::{Deserialize, Serialize};

use super::{StoreTime, Unreadable, second};

/// A form of records. Each release reads all of them up to its newest.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum RecordForm {
    /// All is said wherever it belongs.
    #[default]
    First,
    /// What a session's record would say several times is said once.
    Second,
}

impl RecordForm {
    /// The newest that this release reads and writes.
    pub const NEWEST: Self = Self::Second;

    /// Its number: the first octet of a record.
    pub const fn number(self) -> u8 {
        match self {
            Self::First => 1,
            Self::Second => 2,
        }
    }

    /// That of this number.
    ///
    /// # Errors
    /// A later release has it, or none.
    pub const fn of(number: u8) -> Result<Self, Unreadable> {
        match number {
            // A disk gives it for what was never written.
            0 => Err(Unreadable::Damaged),
            1 => Ok(Self::First),
            2 => Ok(Self::Second),
            3.. => Err(Unreadable::Version),
        }
    }
}

/// How long ago, or how long still, in milliseconds from the date of the record.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Millis(pub(super) u64);

impl Millis {
    /// A time that is over.
    pub(super) fn ago(then: Instant, now: Instant) -> Self {
        now.since(then).into()
    }

    /// A time to come; one that is over is now.
    pub(super) fn until(then: Instant, now: Instant) -> Self {
        then.since(now).into()
    }

    /// As a time.
    pub(super) const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// When that was, for a record that is `age` old.
    pub(super) fn before(self, now: Instant, age: Duration) -> Instant {
        now.ago(self.duration().saturating_add(age))
    }

    /// When that will be, for a record that is `age` old.
    pub(super) fn after(self, now: Instant, age: Duration) -> Instant {
        now + self.duration().saturating_sub(age)
    }
}

impl From<Duration> for Millis {
    fn from(time: Duration) -> Self {
        Self(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }
}

/// What a record says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Form {
    Tunnel(Box<TunnelForm>),
    Session(Box<SessionForm>),
    /// What the key names is over, and may not be given out again yet.
    Gone(Box<GoneForm>),
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct TunnelForm {
    pub(super) lac: String,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) peer: u16,
    pub(super) state: TunnelStateForm,
    /// The previous secret is in use.
    pub(super) previous: bool,
    pub(super) challenge: Option<[u8; 16]>,
    pub(super) was_challenged: bool,
    pub(super) peer_name: Vec<u8>,
    pub(super) peer_vendor: Vec<u8>,
    pub(super) heard: Millis,
    pub(super) remaining: Option<Millis>,
    pub(super) acknowledged: u64,
    pub(super) queued: u64,
    pub(super) received: u16,
    pub(super) window: u16,
    pub(super) messages: Vec<MessageForm>,
    pub(super) opened: Millis,
    pub(super) up: Option<Millis>,
    /// What its SCCRQ said, as a number.
    pub(super) asked: u64,
    /// It has ended; its calls are being cleared.
    pub(super) why: Option<TunnelEndForm>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum TunnelStateForm {
    WaitCtlConn,
    Established,
    Stopping,
    Lingering,
    Closed,
}

/// As far as accounting tells them apart.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum TunnelEndForm {
    Requested,
    NoAnswer,
    PeerRestarted,
    Other,
}

/// A message that may not be acknowledged.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct MessageForm {
    pub(super) number: u64,
    pub(super) session: u16,
    pub(super) body: Vec<u8>,
}

impl core::fmt::Debug for MessageForm {
    /// A body may hold a password, and is not shown.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MessageForm")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct SessionForm {
    pub(super) slot: u32,
    pub(super) peer: u16,
    /// The ICCN has come.
    pub(super) connected: bool,
    pub(super) account: AccountForm,
    pub(super) calling_number: Option<String>,
    pub(super) called_number: Option<String>,
    pub(super) call_serial: u32,
    pub(super) physical_channel: Option<u32>,
    pub(super) tx_speed: u32,
    pub(super) rx_speed: u32,
    pub(super) sequencing: bool,
    pub(super) opened: Millis,
    pub(super) messages: Vec<MessageForm>,
    /// Once it has come up.
    pub(super) up: Option<Box<UpForm>>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct AccountForm {
    pub(super) epoch: u64,
    pub(super) number: u64,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct UpForm {
    pub(super) since: Millis,
    pub(super) user: Option<Vec<u8>>,
    pub(super) proxied_authentication: bool,
    /// As whom it counts for Port-Limit; `None`: it is about to go, and counts for nothing.
    pub(super) let_in_as: Option<Vec<u8>>,
    /// The rule for duplicates knows it.
    pub(super) present: bool,
    pub(super) method: MethodForm,
    /// While IP may pass.
    pub(super) ppp: Option<PppForm>,
    pub(super) granted: Option<Box<GrantedForm>>,
    pub(super) address: Option<HeldForm>,
    pub(super) policies: PoliciesForm,
    /// The end for want of traffic.
    pub(super) idle: Option<Millis>,
    pub(super) ends: Option<Millis>,
    pub(super) told: Option<Box<ToldForm>>,
    /// Why it is about to go.
    pub(super) closing: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum MethodForm {
    None,
    Pap,
    Chap,
    MsChapV2,
    Eap,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct PppForm {
    pub(super) magic: u32,
    pub(super) mru: Option<u16>,
    pub(super) name: Vec<u8>,
    pub(super) peer_mru: u16,
    pub(super) acfc: bool,
    pub(super) pfc: bool,
    pub(super) proxied: bool,
    pub(super) local: Ipv4Addr,
    /// `None`: the peer chooses.
    pub(super) grant: Option<Ipv4Addr>,
    pub(super) dns: [Option<Ipv4Addr>; 2],
    pub(super) address: Option<Ipv4Addr>,
    pub(super) rechallenge: Option<Millis>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct GrantedForm {
    pub(super) server: Option<String>,
    pub(super) proving: bool,
    /// The prefixes that it was given, and whether it still has each.
    pub(super) had: Vec<(Ipv4Net, bool)>,
    pub(super) address: Option<Ipv4Addr>,
    pub(super) netmask: Option<Ipv4Addr>,
    pub(super) routes: Vec<Ipv4Net>,
    pub(super) pool: Option<String>,
    pub(super) mtu: Option<u16>,
    pub(super) filter_ids: Vec<String>,
    pub(super) session_timeout: Option<Millis>,
    pub(super) idle_timeout: Option<Millis>,
    /// When its time is over it is asked again; `None`: nobody has said.
    pub(super) asks_again: Option<bool>,
    pub(super) interim: Option<Millis>,
    pub(super) classes: Vec<Vec<u8>>,
    pub(super) state: Option<Vec<u8>>,
    pub(super) port_limit: Option<u32>,
    pub(super) dns: [Option<Ipv4Addr>; 2],
    pub(super) up: Option<u64>,
    pub(super) down: Option<u64>,
    pub(super) user_name: Option<Vec<u8>>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct HeldForm {
    pub(super) address: Ipv4Addr,
    pub(super) pool: Option<String>,
    pub(super) local: Option<Ipv4Addr>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct PoliciesForm {
    pub(super) by: ByForm,
    pub(super) unknown: Option<String>,
    pub(super) names: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum ByForm {
    Nobody,
    Default,
    FilterId,
}

/// What servers know.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct ToldForm {
    /// Between two records, and when the next is due.
    pub(super) interim: Option<(Millis, Millis)>,
    pub(super) counters: CountersForm,
    pub(super) user: Vec<u8>,
    pub(super) said: Option<u32>,
}

/// What was told last: packets and octets of IPv4, of IPv6, and what was dropped; up, then down.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct CountersForm {
    pub(super) up: [u64; 5],
    pub(super) down: [u64; 5],
}

#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct GoneForm {
    /// The CDN, if the LAC may not have it.
    pub(super) message: Option<MessageForm>,
    /// What it held.
    pub(super) address: Option<HeldForm>,
    /// The Stop that waits for its counters.
    pub(super) stop: Option<StopForm>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct StopForm {
    pub(super) slot: u32,
    pub(super) session: String,
    pub(super) at: Millis,
    pub(super) realm: Option<String>,
    pub(super) attributes: Vec<u8>,
    pub(super) told: CountersForm,
}

/// Writes a record; `out` is cleared first.
pub(super) fn write(as_form: RecordForm, date: StoreTime, mut form: Form, out: &mut Vec<u8>) {
    let mut octets = core::mem::take(out);
    octets.clear();
    octets.push(as_form.number());
    let written = match as_form {
        RecordForm::First => postcard::to_extend(&(date, form), octets),
        RecordForm::Second => {
            let left_out = second::leave_out(&mut form);
            postcard::to_extend(&(date, left_out, form), octets)
        }
    };
    // What grows as it needs refuses nothing.
    if let Ok(written) = written {
        *out = written;
    }
}

/// Reads a record.
///
/// # Errors
/// [`Unreadable`]: it is of a later form, or none.
pub(super) fn read(octets: &[u8]) -> Result<(StoreTime, Form), Unreadable> {
    let (number, rest) = octets.split_first().ok_or(Unreadable::Damaged)?;
    match RecordForm::of(*number)? {
        RecordForm::First => whole(rest),
        RecordForm::Second => {
            let (date, left_out, mut form) = whole(rest)?;
            second::put_back(&mut form, left_out)?;
            Ok((date, form))
        }
    }
}

/// All of these octets are one of those.
fn whole<'de, T: Deserialize<'de>>(octets: &'de [u8]) -> Result<T, Unreadable> {
    match postcard::take_from_bytes(octets) {
        Ok((read, [])) => Ok(read),
        Ok(_) | Err(_) => Err(Unreadable::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use core::fmt::Write as _;

    use super::*;

    fn granted() -> GrantedForm {
        GrantedForm {
            server: Some("r1".into()),
            proving: false,
            had: vec![("10.9.0.0/24".parse().unwrap(), true)],
            address: None,
            netmask: None,
            routes: vec!["10.9.0.0/24".parse().unwrap()],
            pool: Some("default".into()),
            mtu: Some(1480),
            filter_ids: vec!["gold".into()],
            session_timeout: Some(Millis(3_600_000)),
            idle_timeout: None,
            asks_again: Some(true),
            interim: Some(Millis(600_000)),
            classes: vec![vec![1, 2]],
            state: Some(vec![3]),
            port_limit: Some(1),
            dns: [Some(Ipv4Addr::new(192, 0, 2, 53)), None],
            up: Some(1_000),
            down: None,
            user_name: Some(b"name".to_vec()),
        }
    }

    fn ppp() -> PppForm {
        PppForm {
            magic: 0x0102_0304,
            mru: Some(1492),
            name: b"user".to_vec(),
            peer_mru: 1492,
            acfc: true,
            pfc: false,
            proxied: true,
            local: Ipv4Addr::new(100, 64, 0, 1),
            grant: Some(Ipv4Addr::new(100, 64, 0, 2)),
            dns: [None, None],
            address: Some(Ipv4Addr::new(100, 64, 0, 2)),
            rechallenge: Some(Millis(5)),
        }
    }

    fn session() -> Form {
        let up = UpForm {
            since: Millis(1),
            user: Some(b"user".to_vec()),
            proxied_authentication: true,
            let_in_as: Some(b"user".to_vec()),
            present: true,
            method: MethodForm::Chap,
            ppp: Some(ppp()),
            granted: Some(Box::new(granted())),
            address: Some(HeldForm {
                address: Ipv4Addr::new(100, 64, 0, 2),
                pool: Some("default".into()),
                local: Some(Ipv4Addr::new(100, 64, 0, 1)),
            }),
            policies: PoliciesForm {
                by: ByForm::FilterId,
                unknown: None,
                names: vec!["gold".into()],
            },
            idle: Some(Millis(6)),
            ends: Some(Millis(7)),
            told: Some(Box::new(ToldForm {
                interim: Some((Millis(8), Millis(9))),
                counters: CountersForm {
                    up: [1, 2, 3, 4, 5],
                    down: [6, 7, 8, 9, 300],
                },
                user: b"name".to_vec(),
                said: Some(1),
            })),
            closing: Some("admin_reset".into()),
        };
        Form::Session(Box::new(SessionForm {
            slot: 300,
            peer: 7,
            connected: true,
            account: AccountForm {
                epoch: 42,
                number: 43,
            },
            calling_number: Some("030".into()),
            called_number: None,
            call_serial: 9,
            physical_channel: Some(1),
            tx_speed: 10,
            rx_speed: 11,
            sequencing: false,
            opened: Millis(12),
            messages: vec![MessageForm {
                number: 70_000,
                session: 7,
                body: vec![0x80, 8],
            }],
            up: Some(Box::new(up)),
        }))
    }

    fn tunnel() -> Form {
        Form::Tunnel(Box::new(TunnelForm {
            lac: "wholesale".into(),
            local: SocketAddr::from(([192, 0, 2, 1], 1701)),
            remote: SocketAddr::from(([198, 51, 100, 1], 1701)),
            peer: 5,
            state: TunnelStateForm::Lingering,
            previous: true,
            challenge: Some([7; 16]),
            was_challenged: true,
            peer_name: b"lac1".to_vec(),
            peer_vendor: vec![],
            heard: Millis(1),
            remaining: Some(Millis(2)),
            acknowledged: 65_536,
            queued: 65_540,
            received: 65_535,
            window: 128,
            messages: vec![],
            opened: Millis(3),
            up: Some(Millis(4)),
            asked: 5,
            why: Some(TunnelEndForm::NoAnswer),
        }))
    }

    fn gone() -> Form {
        Form::Gone(Box::new(GoneForm {
            message: None,
            address: Some(HeldForm {
                address: Ipv4Addr::new(203, 0, 113, 7),
                pool: None,
                local: None,
            }),
            stop: Some(StopForm {
                slot: 1,
                session: "0000002a-0000002b".into(),
                at: Millis(1),
                realm: Some("isp".into()),
                attributes: vec![40, 6, 0, 0, 0, 2],
                told: CountersForm::default(),
            }),
        }))
    }

    fn hex(octets: &[u8]) -> String {
        octets.iter().fold(String::new(), |mut text, octet| {
            write!(text, "{octet:02x}").unwrap();
            text
        })
    }

    /// Whoever changes these octets gives the form another number, and goes on reading this one.
    #[test]
    fn the_octets_of_the_first_form_are_these() {
        let expected = [
            "01b9c0d9f29e34000977686f6c6573616c6500c0000201a50d00c6336401a50d05030101070707070707\
             0707070707070707070701046c61633100010102808004848004ffff03800100030104050101\n",
            "01b9c0d9f29e3401ac0207012a2b0103303330000901010a0b000c01f0a2040702800801010104757365\
             72010104757365720102018486880801d40b0475736572d40b0100016440000101644000020000016440\
             00020105010102723100010a09000018010000010a09000018010764656661756c7401c80b0104676f6c\
             640180dddb0100010101c0cf2401020102010103010101c00002350001e8070001046e616d6501644000\
             02010764656661756c74016440000102000104676f6c640106010701010809010203040506070809ac02\
             046e616d650101010b61646d696e5f7265736574\n",
            "01b9c0d9f29e34020001cb007107000001011130303030303032612d3030303030303262010103697370\
             0628060000000200000000000000000000\n",
        ];
        assert_eq!(written(RecordForm::First), expected.concat());
    }

    #[test]
    fn the_octets_of_the_second_form_are_these() {
        let expected = [
            "02b9c0d9f29e3400000977686f6c6573616c6500c0000201a50d00c6336401a50d050301010707070707\
             070707070707070707070701046c61633100010102808004848004ffff03800100030104050101\n",
            "02b9c0d9f29e347b01ac0207012a2b0103303330000901010a0b000c01f0a20407028008010101047573\
             657201000102018486880801d40b00d40b0100016440000101644000020000000105010102723100010a\
             09000018010000010a09000018010764656661756c7401c80b0104676f6c640180dddb0100010101c0cf\
             2401020102010103010101c00002350001e8070001046e616d6500020000010601070101080901020304\
             0506070809ac02000101010b61646d696e5f7265736574\n",
            "02b9c0d9f29e3400020001cb007107000001011130303030303032612d30303030303032620101036973\
             700628060000000200000000000000000000\n",
        ];
        assert_eq!(written(RecordForm::Second), expected.concat());
    }

    /// The octets of one record of each kind, which are read as they were.
    fn written(as_form: RecordForm) -> String {
        let mut all = String::new();
        let date = StoreTime(1_795_000_000_569);
        for form in [tunnel(), session(), gone()] {
            let mut octets = Vec::new();
            write(as_form, date, form.clone(), &mut octets);
            assert_eq!(read(&octets), Ok((date, form)));
            all.push_str(&hex(&octets));
            all.push('\n');
        }
        all
    }

    /// A session's record, of which these parts are to be left out and nothing else.
    fn left_out(change: impl FnOnce(&mut UpForm)) -> u16 {
        let mut form = session();
        if let Form::Session(session) = &mut form {
            change(session.up.as_mut().unwrap());
        }
        let mut short = form.clone();
        let left_out = second::leave_out(&mut short);
        assert_eq!(short != form, left_out != 0);
        assert_eq!(second::put_back(&mut short, left_out), Ok(()));
        assert_eq!(short, form);
        left_out
    }

    #[test]
    fn what_is_said_elsewhere_is_left_out_and_what_differs_is_not() {
        let other = || b"other".to_vec();
        // The server has given another name, which is the one that accounting has.
        assert_eq!(left_out(|_| ()), 0b111_1011);
        assert_eq!(left_out(|up| up.let_in_as = Some(other())), 0b111_1010);
        assert_eq!(
            left_out(|up| up.ppp.as_mut().unwrap().name = other()),
            0b111_1001
        );
        let renamed = left_out(|up| {
            up.granted.as_mut().unwrap().user_name = up.user.clone();
            up.told.as_mut().unwrap().user = b"user".to_vec();
        });
        assert_eq!(renamed, 0b111_1111);
        assert_eq!(
            left_out(|up| up.ppp.as_mut().unwrap().address = None),
            0b110_1011
        );
        assert_eq!(
            left_out(|up| up.address.as_mut().unwrap().pool = None),
            0b101_1011
        );
        assert_eq!(left_out(|up| up.policies.names.clear()), 0b011_1011);
        // Nobody is named: then nobody is left out.
        assert_eq!(left_out(|up| up.user = None), 0b111_1000);
        assert_eq!(left_out(|up| up.ppp = None), 0b100_1001);
    }

    #[test]
    fn what_cannot_have_been_left_out_is_refused() {
        let damaged = Err(Unreadable::Damaged);
        assert_eq!(second::put_back(&mut tunnel(), 1), damaged);
        assert_eq!(second::put_back(&mut session(), 1 << 7), damaged);
        let mut nameless = session();
        if let Form::Session(session) = &mut nameless {
            session.up.as_mut().unwrap().user = None;
        }
        assert_eq!(second::put_back(&mut nameless, 1), damaged);
        assert_eq!(read(&[]), Err(Unreadable::Damaged));
        assert_eq!(RecordForm::of(0), Err(Unreadable::Damaged));
        assert_eq!(RecordForm::of(3), Err(Unreadable::Version));
    }
}
