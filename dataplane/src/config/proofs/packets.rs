//! That a reload of policies and of the session table is seen by the packets of a live session: each is
//! judged by the classifier with the policies that the node has then.

use lns_l2sess::graph::{Classifier, Visit};
use lns_l2sess::key::HashSeed;
use lns_l2sess::table::TableConfig;
use lns_l2sess::{Direction, PortId, Seconds, Verdict};
use lns_node::view::BoundBy;

use super::stage::{Call, Edit, Stage};

/// Tests fill nothing larger.
const FLOWS: u32 = 4_096;

const INSIDE: [u8; 4] = [192, 0, 2, 8];
const OUTSIDE: [u8; 4] = [203, 0, 113, 1];

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The classifier in front of one session.
struct Gate {
    classifier: Classifier,
    call: Call,
}

impl Gate {
    /// With no flow.
    fn new(call: Call) -> Self {
        let table = TableConfig {
            entries: FLOWS,
            ports: 1_024,
            seed: HashSeed(1, 2),
        };
        let classifier = Classifier::new(&table, 1).unwrap();
        Self { classifier, call }
    }

    /// Whether a packet passes now.
    fn passes(&self, stage: &Stage, direction: Direction, packet: &[u8]) -> bool {
        let path = stage.path(self.call);
        let slot = stage.world.workers().find(path.tunnel, path.session);
        let port = PortId(slot.expect("a session").0);
        self.classifier.set_options(stage.setup.flows.options);
        self.classifier.open(port);
        let visit = Visit {
            lane: 0,
            port,
            chain: path.chain,
            direction,
            packet,
            now: Seconds::new(stage.now().as_secs()),
        };
        self.classifier.classify(stage.node().policies(), &visit) == Verdict::Forward
    }

    fn up(&self, stage: &Stage, packet: &[u8]) -> bool {
        self.passes(stage, Direction::Input, packet)
    }

    fn down(&self, stage: &Stage, packet: &[u8]) -> bool {
        self.passes(stage, Direction::Output, packet)
    }
}

/// An IPv4 packet between two ends.
fn ipv4(source: [u8; 4], destination: [u8; 4], protocol: u8, upper: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + upper.len()).unwrap().to_be_bytes();
    let mut packet = vec![
        0x45, 0, length[0], length[1], 0, 7, 0, 0, 64, protocol, 0, 0,
    ];
    packet.extend(source);
    packet.extend(destination);
    packet.extend(upper);
    packet
}

fn tcp_between(source: [u8; 4], destination: [u8; 4], ports: (u16, u16), flags: u8) -> Vec<u8> {
    let mut upper = Vec::new();
    upper.extend(ports.0.to_be_bytes());
    upper.extend(ports.1.to_be_bytes());
    upper.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 16, 0, 0, 0, 0, 0]);
    ipv4(source, destination, 6, &upper)
}

/// From where the rules are about to where they are about.
fn tcp(ports: (u16, u16), flags: u8) -> Vec<u8> {
    tcp_between(INSIDE, OUTSIDE, ports, flags)
}

fn udp(source: [u8; 4], destination: [u8; 4], ports: (u16, u16)) -> Vec<u8> {
    let mut upper = Vec::new();
    upper.extend(ports.0.to_be_bytes());
    upper.extend(ports.1.to_be_bytes());
    upper.extend([0, 8, 0, 0]);
    ipv4(source, destination, 17, &upper)
}

fn icmp(kind: u8, code: u8) -> Vec<u8> {
    ipv4(INSIDE, OUTSIDE, 1, &[kind, code, 0, 0, 0, 77, 0, 1])
}

/// 64 octets of IPv6 with DSCP 46, whose ninth octet is the first of the source.
fn ipv6(protocol: u8, ninth: u8, tenth: u8) -> Vec<u8> {
    let mut packet = vec![0x6b, 0x80, 0, 0, 0, 24, protocol, 64, ninth, tenth];
    packet.extend([0; 13]);
    packet.push(5);
    packet.extend([0x20; 16]);
    // Ports and, for TCP, an ACK.
    packet.extend([0x9c, 0x40, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, ACK]);
    packet.resize(64, 0);
    packet
}

/// A rule's line after an edit, a packet, and whether it passes before and after.
type Case = (&'static str, Edit<'static>, Vec<u8>, bool);

/// What each field of a rule decides: the rule of that name with one text in the place of another, and a
/// packet that passes only before (`true`) or only after.
fn cases() -> Vec<Case> {
    let mail = || tcp((2_000, 25), ACK);
    let tcp_cases: [Case; 8] = [
        ("tcp", ("192.0.2.0/24", "192.0.2.7/32"), mail(), false),
        ("tcp", ("203.0.113.0/24", "203.0.113.9/32"), mail(), false),
        (
            "tcp",
            ("1024-65535", "0-65535"),
            tcp((1_000, 25), ACK),
            true,
        ),
        (
            "tcp",
            ("[\"25\"]", "[\"25\", \"465\"]"),
            tcp((2_000, 465), ACK),
            true,
        ),
        ("tcp", ("action: Drop", "action: Pass"), mail(), false),
        (
            "flags",
            ("value: [SYN]", "value: [ACK]"),
            tcp((2_000, 80), ACK),
            true,
        ),
        (
            "flags",
            ("[SYN, ACK]", "[SYN, ACK, RST]"),
            tcp((2_000, 80), SYN | RST),
            false,
        ),
        (
            "icmp",
            ("icmpTypes: [\"8\"]", "icmpTypes: [\"8\", \"13\"]"),
            icmp(13, 0),
            true,
        ),
    ];
    let cases = tcp_cases.into_iter().chain(other_cases());
    cases.collect()
}

fn other_cases() -> [Case; 6] {
    let with = |mut packet: Vec<u8>, at: usize, octet: u8| {
        packet[at] = octet;
        packet
    };
    // What the rule `any` is about, but for the family.
    let as_any = with(with(ipv4(INSIDE, OUTSIDE, 50, &[0; 44]), 1, 46 << 2), 8, 1);
    let of_dscp_34 = with(with(ipv6(17, 1, 0), 0, 0x68), 1, 0x80);
    let mut long = with(ipv6(17, 1, 0), 5, 60);
    long.resize(100, 0);
    [
        (
            "icmp",
            ("icmpCodes: [\"0\"]", "icmpCodes: [\"0-3\"]"),
            icmp(8, 3),
            true,
        ),
        ("any", ("IPv6", "IPv4"), as_any, true),
        (
            "any",
            ("family", "protocol: UDP, family"),
            ipv6(6, 1, 0),
            false,
        ),
        ("any", ("[46]", "[46, 34]"), of_dscp_34, true),
        ("any", ("\"64\"", "\"64-128\""), long, true),
        ("any", ("at: 8", "at: 9"), ipv6(17, 1, 0), false),
    ]
}

#[test]
fn a_changed_rule_judges_the_next_packet_of_a_live_session() {
    for (direction, prefix) in [(Direction::Input, "in"), (Direction::Output, "out")] {
        for (name, (from, to), packet, before) in cases() {
            let mut stage = Stage::new();
            let call = stage.alice();
            let begin = format!("- {{ name: {prefix}-{name},");
            let line = stage.text().lines().find(|line| line.contains(&begin));
            let line = line.expect("a rule").to_owned();
            let passes = |stage: &Stage| Gate::new(call).passes(stage, direction, &packet);
            assert_eq!(passes(&stage), before, "before {to} in {line}");
            stage.change(&[(&line, &line.replacen(from, to, 1))]);
            assert_eq!(passes(&stage), !before, "after {to} in {line}");
        }
    }
}

/// A rule that is called otherwise begins to count anew, and the others go on.
#[test]
fn counters_follow_the_names_of_rules() {
    let mut stage = Stage::new();
    let call = stage.alice();
    let gate = Gate::new(call);
    assert!(!gate.up(&stage, &tcp((2_000, 25), ACK)));
    assert!(!gate.up(&stage, &tcp((2_000, 80), SYN)));
    let hits = |stage: &Stage| {
        let policies = stage.node().policies();
        let mut all = policies.policies();
        let (id, _) = all.find(|(_, it)| &*it.name == "residential").unwrap();
        policies.hits(id).unwrap().input.unwrap().rules
    };
    assert_eq!(hits(&stage), [1, 1, 0, 0]);
    stage.change(&[("name: in-tcp", "name: in-new")]);
    assert_eq!(hits(&stage), [0, 1, 0, 0]);
}

#[test]
fn a_changed_default_is_for_new_flows_and_open_ones_live_on_unless_they_are_judged_anew() {
    let default =
        |direction: &str, action: &str| format!("  {direction}:\n    defaultAction: {action}\n");
    for reclassify in [false, true] {
        let mut stage = Stage::new();
        let gate = Gate::new(stage.alice());
        let open = udp(INSIDE, OUTSIDE, (2_000, 53));
        assert!(gate.up(&stage, &open));
        let (old, new) = (default("input", "Track"), default("input", "Drop"));
        let mut edits = vec![(&*old, &*new)];
        if reclassify {
            edits.push(("onChange: Keep", "onChange: Reclassify"));
        }
        stage.change(&edits);
        assert_eq!(gate.up(&stage, &open), !reclassify);
        assert!(!gate.up(&stage, &udp(INSIDE, OUTSIDE, (2_001, 53))));
    }
}

#[test]
fn the_first_of_two_rules_decides_and_they_can_change_places() {
    let mut stage = Stage::new();
    stage.begin_with(&[(
        "in-flags, protocol: TCP, tcpFlags: { value: [SYN], mask: [SYN, ACK] }, action: Drop",
        "in-flags, protocol: TCP, tcpFlags: { value: [SYN], mask: [SYN, ACK] }, action: Pass",
    )]);
    let call = stage.alice();
    let both = tcp((2_000, 25), SYN);
    assert!(!Gate::new(call).up(&stage, &both));
    let line = |stage: &Stage, name: &str| {
        let mut lines = stage.text().lines();
        lines.find(|line| line.contains(name)).unwrap().to_owned()
    };
    let (first, second) = (line(&stage, "name: in-tcp"), line(&stage, "name: in-flags"));
    stage.change(&[(&format!("{first}\n{second}"), &format!("{second}\n{first}"))]);
    assert!(Gate::new(call).up(&stage, &both));
}

/// A timeout that is shorter now is so for the flows that are open.
#[test]
fn a_changed_timeout_ends_open_flows() {
    let back = |packet: &dyn Fn([u8; 4], [u8; 4]) -> Vec<u8>| packet(OUTSIDE, INSIDE);
    for (edit, flags, wait) in [
        (("udpIdleSeconds: 300", "udpIdleSeconds: 30"), None, 60),
        (
            ("tcpTransientSeconds: 120", "tcpTransientSeconds: 12"),
            Some(&[ACK][..]),
            30,
        ),
        (
            ("tcpClosingSeconds: 10", "tcpClosingSeconds: 1"),
            Some(&[RST]),
            5,
        ),
    ] {
        for changed in [false, true] {
            let mut stage = Stage::new();
            // What is not in a flow does not come in.
            stage.begin_with(&[(
                "  output:\n    defaultAction: Track\n",
                "  output:\n    defaultAction: Drop\n",
            )]);
            let gate = Gate::new(stage.alice());
            match flags {
                None => assert!(gate.up(&stage, &udp(INSIDE, OUTSIDE, (2_000, 53)))),
                Some(flags) => {
                    for flag in flags {
                        assert!(gate.up(&stage, &tcp((2_000, 80), *flag)));
                    }
                }
            }
            if changed {
                stage.change(&[edit]);
            }
            stage.run(wait);
            let answer = match flags {
                None => back(&|from, to| udp(from, to, (53, 2_000))),
                Some(_) => back(&|from, to| tcp_between(from, to, (80, 2_000), ACK)),
            };
            assert_eq!(gate.down(&stage, &answer), !changed, "{edit:?}");
        }
    }
}

#[test]
fn other_default_policies_judge_who_is_there_already() {
    let mut stage = Stage::new();
    let call = stage.alice();
    let mail = tcp((2_000, 25), ACK);
    assert!(!Gate::new(call).up(&stage, &mail));
    assert!(stage.path(call).rates.up > 0);
    stage.change(&[("[{ name: residential }]", "[{ name: business }]")]);
    assert!(Gate::new(call).up(&stage, &mail));
    assert_eq!(
        stage.path(call).rates.up,
        0,
        "the other policy has no rates"
    );
}

#[test]
fn changed_rates_are_a_live_sessions_at_once() {
    let mut stage = Stage::new();
    let call = stage.alice();
    stage.change(&[
        ("upBitsPerSecond: 50000000", "upBitsPerSecond: 1000000"),
        ("downBitsPerSecond: 100000000", "downBitsPerSecond: 2000000"),
        ("burstMilliseconds: 200", "burstMilliseconds: 50"),
    ]);
    let rates = stage.path(call).rates;
    assert_eq!(
        (rates.up, rates.down, rates.burst_milliseconds),
        (1_000_000, 2_000_000, 50)
    );
}

#[test]
fn a_filter_id_means_a_policy_for_whoever_logs_in_after_it_was_added() {
    let mut stage = Stage::new();
    stage.begin_with(&[(
        "bob: bob-password",
        "bob: { password: bob-password, policies: [SILVER] }",
    )]);
    let lac = stage.lac();
    let early = stage.call(lac, "bob");
    stage.change(&[("[GOLD]", "[GOLD, SILVER]")]);
    let late = stage.call(lac, "bob");
    let bound = |stage: &Stage, call| {
        let path = stage.path(call);
        let view = stage.node().session(path.tunnel, path.session, stage.now());
        view.expect("a session").bound_by
    };
    assert_eq!(bound(&stage, early), BoundBy::Default);
    assert_eq!(bound(&stage, late), BoundBy::FilterId);
    stage.change(&[("unknownFilterId: UseDefault", "unknownFilterId: Refuse")]);
    stage.change(&[("[GOLD, SILVER]", "[GOLD]")]);
    let refused = stage.call(lac, "bob");
    assert!(!stage.is_up(refused) && stage.is_up(early) && stage.is_up(late));
}

/// As many flows as one may have.
fn fill(gate: &Gate, stage: &Stage, flows: u16) {
    for port in 0..flows {
        assert!(
            gate.up(stage, &udp(INSIDE, OUTSIDE, (10_000 + port, 53))),
            "{port}"
        );
    }
}

#[test]
fn a_lower_limit_of_flows_is_for_the_next_one() {
    let mut stage = Stage::new();
    let gate = Gate::new(stage.alice());
    fill(&gate, &stage, 40);
    let one_more = udp(INSIDE, OUTSIDE, (9_000, 53));
    assert!(Gate::new(gate.call).up(&stage, &one_more));
    stage.change(&[("perSession: 400", "perSession: 40")]);
    assert!(!gate.up(&stage, &one_more));
    assert!(
        gate.up(&stage, &udp(INSIDE, OUTSIDE, (10_000, 53))),
        "who is in stays in"
    );
    stage.change(&[("whenFull: Deny", "whenFull: Stateless")]);
    assert!(gate.up(&stage, &one_more));
    assert!(
        gate.classifier.table().counts().in_use <= 40,
        "and nothing is remembered of it"
    );
}

#[test]
fn icmp_errors_of_open_flows_are_judged_when_that_is_asked_for() {
    let mut stage = Stage::new();
    stage.begin_with(&[(
        "  output:\n    defaultAction: Track\n",
        "  output:\n    defaultAction: Drop\n",
    )]);
    let gate = Gate::new(stage.alice());
    let question = udp(INSIDE, OUTSIDE, (2_000, 53));
    assert!(gate.up(&stage, &question));
    let unreachable = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &question].concat();
    let error = ipv4(OUTSIDE, INSIDE, 1, &unreachable);
    assert!(gate.down(&stage, &error));
    stage.change(&[("icmpErrors: Pass", "icmpErrors: Judge")]);
    assert!(!gate.down(&stage, &error));
}

#[test]
fn later_fragments_match_rules_with_ports_as_long_as_that_is_asked_for() {
    let mut stage = Stage::new();
    let call = stage.alice();
    let mut fragment = ipv4(INSIDE, OUTSIDE, 6, &[0; 24]);
    fragment[7] = 100;
    assert!(!Gate::new(call).up(&stage, &fragment));
    stage.change(&[("laterFragments: Match", "laterFragments: Ignore")]);
    assert!(Gate::new(call).up(&stage, &fragment));
}
