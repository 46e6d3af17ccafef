//! Which packets are of which kind, out and in.

use core::net::IpAddr;
use std::net::UdpSocket;

use lns_gate::{Kind, Mark};

use crate::bed::{
    Bed, L2TP, NAS, NODE, PEER, SERVICE, eventually, gate, in_bed, ip, later, output, received,
    socket,
};
use crate::capture::Frame;

/// L2TP control (T = 1) and PPP (T = 0).
const HELLO: &[u8] = b"\xc8\x02 hello";
const FRAME: &[u8] = b"\x00\x02 frame";

/// Sends one datagram to the peer, and says whether it arrived. One that does not is refused.
fn leaves(bed: &Bed, socket: &UdpSocket, payload: &[u8]) -> bool {
    bed.capture.clear();
    let IpAddr::V4(source) = socket.local_addr().unwrap().ip() else {
        panic!("{socket:?}");
    };
    let sent = socket.send_to(payload, (PEER, L2TP)).is_ok();
    let arrived = bed.count(source, payload) > 0;
    assert_eq!(sent, arrived, "what the process is told");
    arrived
}

/// Whether a datagram of the peer reaches this socket of the node.
fn comes_in(bed: &Bed, socket: &UdpSocket, payload: &'static [u8]) -> bool {
    let to = socket.local_addr().unwrap();
    bed.peer(move || {
        let from = UdpSocket::bind((PEER, 0)).unwrap();
        from.send_to(payload, to).unwrap();
    });
    all_came_in(bed);
    received(socket).iter().any(|got| got == payload)
}

/// Waits until the node has all that the peer has sent so far by its access interface.
fn all_came_in(bed: &Bed) {
    let node = socket(NODE, 0, None);
    let to = node.local_addr().unwrap();
    bed.peer(move || {
        let from = UdpSocket::bind((PEER, 0)).unwrap();
        from.send_to(b"behind", to).unwrap();
    });
    eventually("what was sent behind it", || !received(&node).is_empty());
}

/// A server 10.9.0.77 and a subscriber 100.64.0.10 that only neighbour entries know: what is forwarded
/// to them arrives at the peer's interfaces, and the peer sends to them by the node.
fn hosts_beyond(bed: &Bed) {
    let [acc0, sub0] = ["acc0", "sub0"].map(|name| bed.peer(move || hardware(name)));
    let lns0 = hardware("lns0");
    ip(&[
        &format!("neighbour add 10.9.0.77 lladdr {acc0} dev acc0"),
        &format!("neighbour add 100.64.0.10 lladdr {sub0} dev lns0"),
    ]);
    bed.peer(move || {
        ip(&[
            "route add 10.9.0.77/32 dev sub0",
            &format!("neighbour add 10.9.0.77 lladdr {lns0} dev sub0"),
            &format!("route add 100.64.0.10/32 via {NODE} dev acc0"),
        ]);
    });
}

/// The hardware address of an interface in this thread's namespace.
fn hardware(interface: &str) -> String {
    let shown = output(&["ip", "-br", "link", "show", interface]);
    shown.split_whitespace().nth(2).expect(interface).to_owned()
}

#[test]
fn without_a_hold_nothing_leaves_in_the_clusters_name_and_the_nodes_own_does() {
    in_bed(|bed| {
        let _gate = gate();
        for mark in [Some(Mark::Control), Some(Mark::Data), None] {
            for payload in [HELLO, FRAME] {
                assert!(!leaves(bed, &socket(SERVICE, 0, mark), payload), "{mark:?}");
                assert!(!leaves(bed, &socket(NAS, 0, mark), payload), "{mark:?}");
            }
        }
        assert!(leaves(bed, &socket(NODE, 0, None), HELLO));
    });
}

#[test]
fn control_passes_while_control_is_held_whatever_its_t_bit() {
    in_bed(|bed| {
        let mut gate = gate();
        let control = socket(SERVICE, L2TP, Some(Mark::Control));
        for _ in 0..3 {
            gate.control_until(later()).unwrap();
            assert!(leaves(bed, &control, HELLO) && leaves(bed, &control, FRAME));
            gate.close_control().unwrap();
            assert!(!leaves(bed, &control, HELLO) && !leaves(bed, &control, FRAME));
        }
        // Data opens it for nothing of control.
        gate.data_until(later()).unwrap();
        assert!(!leaves(bed, &control, HELLO) && !leaves(bed, &control, FRAME));
    });
}

#[test]
fn data_passes_while_data_is_held_and_is_nothing_that_has_the_t_bit() {
    in_bed(|bed| {
        let mut gate = gate();
        let data = socket(SERVICE, L2TP, Some(Mark::Data));
        gate.control_until(later()).unwrap();
        assert!(!leaves(bed, &data, FRAME));
        gate.data_until(later()).unwrap();
        assert!(leaves(bed, &data, FRAME) && leaves(bed, &data, HELLO));
        gate.close_control().unwrap();
        assert!(leaves(bed, &data, FRAME), "goes on without authority");
        assert!(!leaves(bed, &data, HELLO), "control by a data socket");
        gate.close(Kind::Data).unwrap();
        assert!(!leaves(bed, &data, FRAME));
    });
}

#[test]
fn a_control_socket_at_an_address_of_the_node_is_fenced_too() {
    in_bed(|bed| {
        let mut gate = gate();
        let control = socket(NODE, 0, Some(Mark::Control));
        assert!(!leaves(bed, &control, HELLO));
        gate.control_until(later()).unwrap();
        assert!(leaves(bed, &control, HELLO));
    });
}

#[test]
fn what_is_not_marked_needs_control_at_an_address_of_the_cluster() {
    in_bed(|bed| {
        let mut gate = gate();
        gate.data_until(later()).unwrap();
        assert!(!leaves(bed, &socket(SERVICE, 0, None), FRAME));
        assert!(!leaves(bed, &socket(NAS, 0, None), FRAME));
        gate.control_until(later()).unwrap();
        assert!(leaves(bed, &socket(SERVICE, 0, None), FRAME));
        assert!(leaves(bed, &socket(NAS, 0, None), FRAME));
    });
}

#[test]
fn a_member_takes_in_what_lacs_send_while_it_has_either_kind() {
    in_bed(|bed| {
        let mut gate = gate();
        let service = socket(SERVICE, L2TP, None);
        assert!(!comes_in(bed, &service, HELLO) && !comes_in(bed, &service, FRAME));
        gate.data_until(later()).unwrap();
        assert!(comes_in(bed, &service, HELLO) && comes_in(bed, &service, FRAME));
        gate.close(Kind::Data).unwrap();
        assert!(!comes_in(bed, &service, HELLO));
        gate.control_until(later()).unwrap();
        assert!(comes_in(bed, &service, HELLO) && comes_in(bed, &service, FRAME));
    });
}

#[test]
fn radius_and_dynamic_authorization_pass_both_ways_while_control_is_held() {
    in_bed(|bed| {
        let mut gate = gate();
        let radius = socket(NAS, 0, Some(Mark::Control));
        let coa = socket(NAS, 3799, Some(Mark::Control));
        let passes = |bed: &Bed| {
            [
                leaves(bed, &radius, b"Access-Request"),
                comes_in(bed, &radius, b"Access-Accept"),
                comes_in(bed, &coa, b"CoA-Request"),
                leaves(bed, &coa, b"CoA-ACK"),
            ]
        };
        assert_eq!(passes(bed), [false; 4]);
        gate.data_until(later()).unwrap();
        assert_eq!(passes(bed), [false; 4]);
        gate.control_until(later()).unwrap();
        assert_eq!(passes(bed), [true; 4]);
        gate.close_control().unwrap();
        assert_eq!(passes(bed), [false; 4]);
    });
}

#[test]
fn nobody_is_told_that_a_port_is_closed() {
    in_bed(|bed| {
        let mut gate = gate();
        // No socket has the port: the kernel would say so.
        bed.peer(|| {
            let lac = UdpSocket::bind((PEER, 0)).unwrap();
            lac.send_to(HELLO, (SERVICE, L2TP)).unwrap();
            lac.send_to(HELLO, (NAS, 3799)).unwrap();
        });
        gate.data_until(later()).unwrap();
        bed.peer(|| {
            let lac = UdpSocket::bind((PEER, 0)).unwrap();
            lac.send_to(HELLO, (SERVICE, L2TP)).unwrap();
        });
        all_came_in(bed);
        let icmp = bed.arrived();
        let from_the_cluster: Vec<_> = icmp
            .iter()
            .filter_map(Frame::icmp_from)
            .filter(|from| *from != NODE)
            .collect();
        assert!(from_the_cluster.is_empty(), "{from_the_cluster:?}");
    });
}

#[test]
fn subscribers_packets_are_forwarded_both_ways_while_data_is_held() {
    in_bed(|bed| {
        let mut gate = gate();
        hosts_beyond(bed);
        let forwarded = |bed: &Bed| {
            bed.capture.clear();
            bed.peer(|| {
                let subscriber = UdpSocket::bind(("100.64.0.9", 0)).unwrap();
                subscriber.send_to(b"up", ("10.9.0.77", 7)).unwrap();
                let server = UdpSocket::bind((PEER, 0)).unwrap();
                server.send_to(b"down", ("100.64.0.10", 7)).unwrap();
            });
            all_came_in(bed);
            [
                bed.count("100.64.0.9".parse().unwrap(), b"up"),
                bed.count(PEER, b"down"),
            ]
        };
        assert_eq!(forwarded(bed), [0, 0]);
        gate.control_until(later()).unwrap();
        assert_eq!(forwarded(bed), [0, 0]);
        gate.data_until(later()).unwrap();
        eventually("the way both ways", || forwarded(bed) == [1, 1]);
        gate.close_control().unwrap();
        assert_eq!(forwarded(bed), [1, 1], "goes on without authority");
        gate.close(Kind::Data).unwrap();
        assert_eq!(forwarded(bed), [0, 0]);
    });
}
