//! ARP of the cluster's addresses, and what waits for a neighbour.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::process::Command;

use lns_gate::{Announce, Announcer, Gate, Mark, Plan, clock};

use crate::bed::{
    Bed, L2TP, NODE, PEER, SERVICE, eventually, gate, in_bed, ip, later, output, plan, socket,
};
use crate::capture::Frame;

/// L2TP control (T = 1) and PPP (T = 0).
const HELLO: &[u8] = b"\xc8\x02 hello";
const FRAME: &[u8] = b"\x00\x02 frame";
/// A service address in the access network.
const ON_LINK: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);

fn l2() -> Plan {
    Plan {
        service: BTreeSet::from([ON_LINK.into()]),
        announce: Announce::L2 {
            interface: "acc0".to_owned(),
        },
        ..plan()
    }
}

/// Whether the node answers one who asks for the service address, and the peer knows it then.
fn is_found(bed: &Bed) -> bool {
    bed.capture.clear();
    bed.peer(|| {
        ip(&["neighbour flush dev acc0"]);
        let host = UdpSocket::bind((PEER, 0)).unwrap();
        host.send_to(b"where", (ON_LINK, 9)).unwrap();
        // Answered behind it, and for certain.
        assert!(crate::bed::ping(NODE));
    });
    let frames = bed.arrived();
    let answered = frames
        .iter()
        .filter_map(Frame::arp)
        .any(|(sender, _)| sender == ON_LINK);
    let known = bed.peer(|| output(&["ip", "neighbour", "show", &ON_LINK.to_string()]));
    assert_eq!(answered, known.contains("lladdr"), "{known}");
    answered
}

#[test]
fn in_l2_mode_the_master_alone_answers_arp() {
    in_bed(|bed| {
        let mut gate = Gate::install(l2()).unwrap();
        assert!(!is_found(bed));
        gate.data_until(later()).unwrap();
        assert!(!is_found(bed), "a member");
        gate.control_until(later()).unwrap();
        assert!(is_found(bed));
        gate.close_control().unwrap();
        assert!(!is_found(bed));
    });
}

#[test]
fn arp_is_fenced_on_interfaces_that_nobody_named_too() {
    in_bed(|bed| {
        let mut gate = Gate::install(Plan {
            announce: Announce::External,
            interfaces: BTreeSet::new(),
            ..l2()
        })
        .unwrap();
        gate.data_until(later()).unwrap();
        assert!(!is_found(bed));
        gate.control_until(later()).unwrap();
        assert!(is_found(bed));
    });
}

#[test]
fn neighbours_find_an_ipv6_address_of_the_cluster_only_at_the_master() {
    in_bed(|bed| {
        ip(&["address add 2001:db8:9::1/64 dev acc0 nodad"]);
        bed.peer(|| ip(&["address add 2001:db8:9::2/64 dev acc0 nodad"]));
        let mut gate = Gate::install(Plan {
            service: BTreeSet::from(["2001:db8:9::100".parse().unwrap()]),
            ..plan()
        })
        .unwrap();
        // The kernel answers for addresses of the interface only, and for ours as soon as somebody puts it there.
        ip(&["address add 2001:db8:9::100/128 dev acc0 nodad"]);
        gate.data_until(later()).unwrap();
        let is_found = || {
            bed.peer(|| {
                ip(&["neighbour flush dev acc0"]);
                let host = UdpSocket::bind("[2001:db8:9::2]:0").unwrap();
                host.send_to(b"where", "[2001:db8:9::100]:9").unwrap();
                // As long as somebody is asked who may answer.
                let ping = ["ping", "-6", "-n", "-c", "3", "-i", "0.1", "2001:db8:9::1"];
                assert!(output(&ping).contains("bytes from"));
                output(&["ip", "neighbour", "show", "2001:db8:9::100"]).contains("lladdr")
            })
        };
        assert!(!is_found());
        gate.control_until(later()).unwrap();
        assert!(is_found());
        gate.close_control().unwrap();
        assert!(!is_found());
    });
}

/// How many frames of ARP say where the service address is.
fn announced(bed: &Bed) -> usize {
    let frames = bed.arrived();
    let said = frames.iter().filter_map(Frame::arp);
    said.filter(|arp| *arp == (ON_LINK, ON_LINK)).count()
}

#[test]
fn gratuitous_arp_is_said_several_times_and_leaves_while_control_is_held() {
    in_bed(|bed| {
        let mut gate = Gate::install(l2()).unwrap();
        let start = clock::now();
        let mut announcer = Announcer::open(&l2(), start).unwrap().unwrap();
        // A request and a reply each time; time is the caller's.
        let mut now = announcer.tick(start).unwrap();
        assert!(now > start);
        assert_eq!(announced(bed), 0, "without authority");
        gate.control_until(later()).unwrap();
        for times in 1..=5 {
            let due = announcer.tick(now).unwrap();
            assert!(due > now, "{due:?} after {now:?}");
            assert_eq!(announced(bed), 2 * times);
            assert_eq!(announcer.tick(now).unwrap(), due, "not due");
            now = due;
        }
        assert!(now.since(start) > Duration::from_secs(5));
        gate.close_control().unwrap();
        announcer.tick(now).unwrap();
        assert_eq!(announced(bed), 10);
        // And the peer has learnt it.
        bed.peer(|| {
            ip(&["neighbour flush dev acc0"]);
            crate::bed::write("ipv4/conf/acc0/arp_accept", "1");
        });
        gate.control_until(later()).unwrap();
        let mut announcer = Announcer::open(&l2(), now).unwrap().unwrap();
        announcer.tick(now).unwrap();
        eventually("the neighbour", || {
            let known = bed.peer(|| output(&["ip", "neighbour", "show", &ON_LINK.to_string()]));
            known.contains("lladdr")
        });
    });
}

#[test]
fn an_interface_that_is_made_anew_is_fenced_again() {
    in_bed(|_| {
        let mut gate = Gate::install(l2()).unwrap();
        ip(&[
            "link delete acc0",
            "link add acc0 type veth peer name away0",
            "link set acc0 up",
            "link set away0 up",
        ]);
        let mut announcer = Announcer::open(&l2(), clock::now()).unwrap().unwrap();
        announcer.tick(clock::now()).unwrap();
        // A request and a reply for each of two addresses. From Linux 6.16 on.
        assert_eq!(gate.state().unwrap().dropped["control"], 4);
    });
}

#[test]
fn a_member_finds_its_neighbours_without_saying_where_the_service_address_is() {
    in_bed(|bed| {
        let mut gate = Gate::install(l2()).unwrap();
        gate.data_until(later()).unwrap();
        bed.peer(|| ip(&["address add 10.9.0.3/32 dev acc0"]));
        // Nobody else asks for this one.
        let data = socket(ON_LINK, L2TP, Some(Mark::Data));
        data.send_to(FRAME, ("10.9.0.3", L2TP)).unwrap();
        eventually("the datagram", || bed.count(ON_LINK, FRAME) == 1);
        let frames = bed.arrived();
        let senders: BTreeSet<_> = frames.iter().filter_map(Frame::arp).collect();
        let asked = ("10.9.0.3".parse().unwrap(), NODE);
        assert!(
            senders
                .iter()
                .any(|(sender, target)| (*target, *sender) == asked)
        );
        assert!(
            senders.iter().all(|(sender, _)| *sender != ON_LINK),
            "{senders:?}"
        );
    });
}

#[test]
fn an_announcer_needs_an_ethernet_that_is_there() {
    in_bed(|_| {
        assert!(Announcer::open(&plan(), clock::now()).unwrap().is_none());
        let on = |interface: &str| Plan {
            announce: Announce::L2 {
                interface: interface.to_owned(),
            },
            ..plan()
        };
        let said = |interface| {
            Announcer::open(&on(interface), clock::now())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            said("eth7"),
            "cannot send ARP on eth7: there is no such interface"
        );
        assert_eq!(
            said("lo"),
            "cannot send ARP on lo: it is no Ethernet, which L2 mode needs"
        );
    });
}

/// Has a datagram of control wait for its neighbour's hardware address.
fn waiting(address: &str, payload: &[u8]) {
    let control = socket(SERVICE, L2TP, Some(Mark::Control));
    control.send_to(payload, (address, L2TP)).unwrap();
    let known = output(&["ip", "neighbour", "show", address]);
    assert!(known.contains("INCOMPLETE"), "{known}");
}

/// Gives the peer an address, waits until the node has found it, and says whether it came.
fn arrives(bed: &Bed, address: &'static str, payload: &[u8]) -> bool {
    bed.capture.clear();
    bed.peer(move || ip(&[&format!("address add {address}/32 dev acc0")]));
    eventually("the neighbour", || {
        output(&["ip", "neighbour", "show", address]).contains("lladdr")
    });
    bed.count(SERVICE, payload) > 0
}

#[test]
fn what_waits_for_a_neighbour_leaves_no_more_once_control_is_closed() {
    in_bed(|bed| {
        let mut gate = gate();
        gate.control_until(later()).unwrap();
        waiting("10.9.0.3", FRAME);
        assert!(arrives(bed, "10.9.0.3", FRAME), "while it is held");
        waiting("10.9.0.4", FRAME);
        gate.data_until(later()).unwrap();
        gate.close_control().unwrap();
        assert!(!arrives(bed, "10.9.0.4", FRAME));
    });
}

#[test]
fn what_has_the_t_bit_leaves_no_more_even_if_others_changed_its_mark() {
    in_bed(|bed| {
        let mut gate = gate();
        nft("add table inet others");
        nft("add chain inet others output { type route hook output priority mangle; }");
        nft("add rule inet others output meta mark set 0x4000");
        gate.control_until(later()).unwrap();
        waiting("10.9.0.3", HELLO);
        assert!(arrives(bed, "10.9.0.3", HELLO), "while it is held");
        waiting("10.9.0.4", HELLO);
        gate.data_until(later()).unwrap();
        gate.close_control().unwrap();
        assert!(!arrives(bed, "10.9.0.4", HELLO));
    });
}

fn nft(command: &str) {
    let status = Command::new("nft").arg(command).status();
    assert!(status.expect("nftables").success(), "{command}");
}
