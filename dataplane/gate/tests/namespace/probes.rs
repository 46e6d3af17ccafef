//! Who answers routers that ask which node serves.

use std::collections::BTreeSet;

use lns_gate::{Announce, Gate, Kind, Plan};

use crate::bed::{Bed, NAS, NODE, SERVICE, gate, in_bed, later, output, ping, plan, write};

fn answers(bed: &Bed) -> [bool; 2] {
    bed.peer(|| [ping(SERVICE), ping(NAS)])
}

#[test]
fn the_service_address_answers_routers_while_the_node_announces_and_serves() {
    // The second look at the interface would hide what the first let pass.
    for interfaces in [BTreeSet::new(), plan().interfaces] {
        in_bed(|bed| {
            let mut gate = Gate::install(Plan {
                interfaces,
                ..plan()
            })
            .unwrap();
            assert_eq!(answers(bed), [false, false]);
            gate.announce_until(later()).unwrap();
            assert_eq!(answers(bed), [false, false], "it serves nobody");
            gate.data_until(later()).unwrap();
            assert_eq!(answers(bed), [true, false], "a member");
            gate.close(Kind::Announce).unwrap();
            assert_eq!(answers(bed), [false, false], "it withdrew");
            assert!(bed.peer(|| ping(NODE)), "the node itself");
        });
    }
}

#[test]
fn nas_address_answers_routers_at_the_master_only() {
    in_bed(|bed| {
        let mut gate = gate();
        gate.control_until(later()).unwrap();
        assert_eq!(answers(bed), [false, true]);
        gate.announce_until(later()).unwrap();
        assert_eq!(answers(bed), [true, true]);
        gate.close_control().unwrap();
        assert_eq!(answers(bed), [false, false]);
    });
}

#[test]
fn an_ipv6_service_address_is_fenced_as_an_ipv4_one() {
    in_bed(|bed| {
        crate::bed::ip(&["address add 2001:db8:9::1/64 dev acc0 nodad"]);
        bed.peer(|| {
            crate::bed::ip(&[
                "address add 2001:db8:9::2/64 dev acc0 nodad",
                "route add 2001:db8::/64 via 2001:db8:9::1",
            ]);
        });
        write("ipv6/conf/all/forwarding", "1");
        let service = BTreeSet::from(["2001:db8::1".parse().unwrap()]);
        let mut gate = Gate::install(Plan { service, ..plan() }).unwrap();
        let answers = |bed: &Bed| {
            bed.peer(|| {
                output(&[
                    "ping",
                    "-6",
                    "-n",
                    "-c",
                    "3",
                    "-i",
                    "0.1",
                    "-W",
                    "1",
                    "2001:db8::1",
                ])
                .contains("bytes from")
            })
        };
        assert!(!answers(bed));
        gate.announce_until(later()).unwrap();
        gate.data_until(later()).unwrap();
        assert!(answers(bed));
        gate.close(Kind::Announce).unwrap();
        assert!(!answers(bed));
    });
}

#[test]
fn in_l2_mode_icmp_is_the_masters() {
    in_bed(|bed| {
        let announce = Announce::L2 {
            interface: "acc0".to_owned(),
        };
        let mut gate = Gate::install(Plan { announce, ..plan() }).unwrap();
        gate.data_until(later()).unwrap();
        gate.announce_until(later()).unwrap();
        assert_eq!(answers(bed), [false, false]);
        gate.control_until(later()).unwrap();
        assert_eq!(answers(bed), [true, true]);
    });
}
