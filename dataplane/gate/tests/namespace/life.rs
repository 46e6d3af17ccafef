//! A gate's beginning and end, and what others can do to it.

use std::collections::BTreeSet;
use std::process::Command;

use lns_gate::{Gate, GateError, Kind, Mark, Plan};

use crate::bed::{
    L2TP, NAS, PEER, SERVICE, eventually, footprint, gate, in_bed, ip, later, output, plan, socket,
    until_after,
};

fn addresses() -> BTreeSet<String> {
    let shown = output(&["ip", "-br", "address", "show", "dev", "lo"]);
    shown
        .split_whitespace()
        .filter(|word| word.starts_with("192.0.2.") || word.starts_with("2001:"))
        .map(str::to_owned)
        .collect()
}

fn set<const N: usize>(addresses: [&str; N]) -> BTreeSet<String> {
    addresses.map(str::to_owned).into()
}

#[test]
fn a_gate_that_is_removed_leaves_nothing_behind() {
    in_bed(|_| {
        let before = footprint();
        let mut gate = gate();
        assert_eq!(addresses(), set(["192.0.2.1/32", "192.0.2.10/32"]));
        for kind in Kind::ALL {
            gate.hold(kind, later()).unwrap();
        }
        gate.remove().unwrap();
        assert_eq!(footprint(), before);
        Gate::remove_leftovers("lns/edge").unwrap();
        assert_eq!(footprint(), before);
    });
}

#[test]
fn leftovers_are_found_by_the_clusters_name_and_removed() {
    in_bed(|_| {
        let before = footprint();
        drop(gate());
        assert_ne!(footprint(), before);
        Gate::remove_leftovers("lns/other").unwrap();
        assert_ne!(footprint(), before);
        eventually("that they are nobody's", || {
            Gate::remove_leftovers("lns/edge").is_ok()
        });
        assert_eq!(footprint(), before);
    });
}

#[test]
fn an_address_that_the_plan_no_longer_has_is_taken_away_also_after_a_crash() {
    in_bed(|_| {
        let other = || Plan {
            service: BTreeSet::from(["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()]),
            nas: None,
            ..plan()
        };
        let mut gate = gate();
        gate.replan(other()).unwrap();
        assert_eq!(addresses(), set(["192.0.2.7/32", "2001:db8::7/128"]));
        drop(gate);
        let gate = crate::bed::gate();
        assert_eq!(addresses(), set(["192.0.2.1/32", "192.0.2.10/32"]));
        gate.remove().unwrap();
        assert_eq!(addresses(), set([]));
    });
}

#[test]
fn an_address_that_somebody_else_put_on_the_loopback_interface_stays() {
    in_bed(|_| {
        ip(&["address add 192.0.2.1/32 dev lo"]);
        let mut gate = gate();
        // It is told of: with no gate before it the node answers for it.
        let lent: Vec<_> = gate.lent().collect();
        assert_eq!(lent, [core::net::IpAddr::from(SERVICE)]);
        gate.control_until(later()).unwrap();
        let control = socket(SERVICE, L2TP, Some(Mark::Control));
        control.send_to(b"\xc8\x02", (PEER, L2TP)).unwrap();
        gate.remove().unwrap();
        assert_eq!(addresses(), set(["192.0.2.1/32"]));
    });
}

#[test]
fn an_address_of_the_node_itself_is_refused_before_anything_is_dropped() {
    in_bed(|_| {
        let before = footprint();
        let refused = Gate::install(Plan {
            nas: Some(crate::bed::NODE.into()),
            ..plan()
        });
        let said = refused.unwrap_err();
        assert!(matches!(&said, GateError::NodesOwn { interface, .. } if interface == "acc0"));
        assert_eq!(
            said.to_string(),
            "10.9.0.1 is an address of acc0: an address of the cluster moves between nodes and can be none of the node's own, which the gate would cut off; lnsd itself puts it on the loopback interface"
        );
        assert_eq!(footprint(), before);
    });
}

#[test]
fn a_plan_that_is_refused_later_leaves_the_gate_as_it_was() {
    in_bed(|_| {
        let mut gate = gate();
        gate.control_until(later()).unwrap();
        let before = footprint();
        let no_interface = Plan {
            interfaces: BTreeSet::from(["eth7".to_owned()]),
            ..plan()
        };
        let of_the_node = Plan {
            nas: Some(crate::bed::NODE.into()),
            ..plan()
        };
        let shared = Plan {
            nas: Some(SERVICE.into()),
            ..plan()
        };
        for refused in [no_interface, of_the_node, shared] {
            gate.replan(refused).unwrap_err();
            let control = socket(SERVICE, 0, Some(Mark::Control));
            control.send_to(b"\xc8\x02", (PEER, L2TP)).unwrap();
        }
        gate.close_control().unwrap();
        gate.control_until(later()).unwrap();
        assert_eq!(without_times(&footprint()), without_times(&before));
    });
}

/// The rules without times and counts.
fn without_times(footprint: &str) -> String {
    let lines = footprint.lines();
    lines
        .filter(|line| !line.contains("expires") && !line.contains("packets"))
        .collect()
}

#[test]
fn an_interface_that_does_not_exist_is_refused_by_name() {
    in_bed(|_| {
        let refused = Gate::install(Plan {
            interfaces: BTreeSet::from(["acc0".to_owned(), "eth7".to_owned()]),
            ..plan()
        });
        assert_eq!(
            refused.unwrap_err().to_string(),
            "there is no interface eth7, which should be fenced: name one that exists"
        );
    });
}

#[test]
fn a_second_process_is_refused_and_other_clusters_are_not() {
    in_bed(|_| {
        let gate = gate();
        let refused = Gate::install(plan());
        assert!(matches!(refused, Err(GateError::Taken(cluster)) if cluster == "lns/edge"));
        assert!(matches!(
            Gate::remove_leftovers("lns/edge"),
            Err(GateError::Taken(_))
        ));
        let other = Gate::install(Plan {
            cluster: "lns/other".to_owned(),
            service: BTreeSet::from(["192.0.2.2".parse().unwrap()]),
            nas: None,
            ..plan()
        });
        other.unwrap().remove().unwrap();
        gate.remove().unwrap();
    });
}

#[test]
fn flushing_all_rules_of_the_node_does_not_open_it() {
    in_bed(|_| {
        let mut gate = gate();
        let control = socket(SERVICE, L2TP, Some(Mark::Control));
        assert!(gate.state().unwrap().shielded, "Linux 6.9 or newer");
        let flushed = Command::new("nft").args(["flush", "ruleset"]).status();
        assert!(flushed.expect("nftables").success());
        assert!(control.send_to(b"\xc8\x02", (PEER, L2TP)).is_err());
        gate.control_until(later()).unwrap();
        assert!(control.send_to(b"\xc8\x02", (PEER, L2TP)).is_ok());
    });
}

#[test]
fn the_rules_can_be_listed_by_nft_as_text_and_as_json() {
    in_bed(|_| {
        let mut gate = gate();
        gate.control_until(later()).unwrap();
        let text = output(&["nft", "list", "ruleset"]);
        for line in [
            "table inet kubelns-gate/lns/edge {",
            "table arp kubelns-gate/lns/edge {",
            "table netdev kubelns-gate/lns/edge {",
            "ip saddr @nas4 goto control",
            "meta nfproto @control_a_selected meta nfproto @control_a accept",
            "type filter hook egress device \"acc0\"",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(!text.contains("invalid"), "{text}");
        assert!(output(&["nft", "-j", "list", "ruleset"]).contains("kubelns-gate/lns/edge"));
    });
}

#[test]
fn the_state_tells_what_is_held_and_what_was_dropped() {
    in_bed(|bed| {
        let mut gate = gate();
        let state = gate.state().unwrap();
        assert_eq!(
            (state.control, state.data, state.announce),
            (None, None, None)
        );
        let deadline = later();
        gate.control_until(deadline).unwrap();
        let state = gate.state().unwrap();
        assert!(state.control.unwrap() <= deadline && state.data.is_none());
        let data = socket(SERVICE, L2TP, Some(Mark::Data));
        for _ in 0..3 {
            data.send_to(b"\0\x02", (PEER, L2TP)).unwrap_err();
        }
        bed.peer(|| assert!(!crate::bed::ping(SERVICE)));
        gate.close_control().unwrap();
        let radius = socket(NAS, 0, Some(Mark::Control));
        radius.send_to(b"x", (PEER, 1812)).unwrap_err();
        let dropped = gate.state().unwrap().dropped;
        let counted = |name: &str| dropped.get(name).copied();
        assert_eq!(counted("data"), Some(3), "{dropped:?}");
        assert_eq!(counted("probe"), Some(3), "{dropped:?}");
        assert_eq!(counted("control"), Some(1), "{dropped:?}");
        assert_eq!(counted("member"), Some(0), "{dropped:?}");
    });
}

#[test]
fn a_hold_that_has_ended_is_not_in_the_state() {
    in_bed(|_| {
        let mut gate = gate();
        let deadline = lns_gate::clock::now() + core::time::Duration::from_millis(100);
        gate.control_until(deadline).unwrap();
        until_after(deadline);
        assert_eq!(gate.state().unwrap().control, None);
    });
}
