//! Fields of the process and the machine.

use lns_api::Effect::{AtOnce, NewTunnels, Restart};
use lns_l2sess::graph::{IcmpErrors, Options, WhenFull};
use lns_l2sess::policy::LaterFragments;
use lns_wire::l2tp::Message;
use lns_wire::ppp::{Code, Protocol};

use super::stage::Stage;
use super::{Proof, proof};
use crate::host::Isolation;

pub(super) const PROOFS: &[Proof] = &[
    proof("spec.nodeSelector", AtOnce, |stage| {
        nothing(stage, ("site: north", "site: south"));
    }),
    proof("spec.deletionProtection", AtOnce, |stage| {
        nothing(
            stage,
            ("deletionProtection: true", "deletionProtection: false"),
        );
    }),
    proof("spec.service.addresses", Restart, |stage| {
        refused(
            stage,
            ("[192.0.2.1]", "[192.0.2.2]"),
            "spec.service.addresses",
        );
    }),
    proof("spec.service.port", Restart, |stage| {
        refused(stage, ("port: 1701", "port: 1702"), "spec.service.port");
    }),
    proof("spec.service.hostName", NewTunnels, host_name),
    proof("spec.datapath.workers", Restart, |stage| {
        refused(stage, ("workers: 1", "workers: 2"), "spec.datapath.workers");
    }),
    proof("spec.datapath.mode", Restart, mode),
    proof("spec.datapath.sessionTable.entries", Restart, |stage| {
        refused(
            stage,
            ("entries: 0", "entries: 1000"),
            "spec.datapath.sessionTable.entries",
        );
    }),
    proof("spec.datapath.sessionTable.perSession", AtOnce, |stage| {
        flows(stage, ("perSession: 400", "perSession: 40"), |flows| {
            flows.per_port = 40;
        });
    }),
    proof("spec.datapath.sessionTable.whenFull", AtOnce, |stage| {
        flows(stage, ("whenFull: Deny", "whenFull: Stateless"), |flows| {
            flows.when_full = WhenFull::Stateless;
        });
    }),
    proof("spec.datapath.sessionTable.icmpErrors", AtOnce, |stage| {
        flows(stage, ("icmpErrors: Pass", "icmpErrors: Judge"), |flows| {
            flows.icmp_errors = IcmpErrors::Judge;
        });
    }),
    proof(
        "spec.datapath.sessionTable.laterFragments",
        AtOnce,
        |stage| {
            let edit = ("laterFragments: Match", "laterFragments: Ignore");
            flows(stage, edit, |flows| {
                flows.later_fragments = LaterFragments::Ignore;
            });
        },
    ),
    proof("spec.core.isolation", AtOnce, isolation),
    proof("spec.core.interface", AtOnce, interface),
];

/// The operator's field. A process from a file is a member whatever its node is called, and ends when it is told to:
/// nothing in it differs.
fn nothing(stage: &mut Stage, edit: (&str, &str)) {
    let call = stage.alice();
    let before = format!("{:?}", stage.setup);
    stage.change(&[edit]);
    assert_eq!(format!("{:?}", stage.setup), before);
    assert!(stage.is_up(call));
}

/// A reload that asks for this is refused, and names the field.
fn refused(stage: &mut Stage, edit: (&str, &str), field: &str) {
    let (running, wanted) = stage.read_changed(&[edit]);
    assert_eq!(running.needs_restart(&wanted), [field]);
}

/// The reload takes the field over, and nothing else of the table.
fn flows(stage: &mut Stage, edit: (&str, &str), change: fn(&mut Options)) {
    let call = stage.alice();
    let mut expected = stage.setup.flows.options;
    change(&mut expected);
    stage.change(&[edit]);
    assert_eq!(stage.setup.flows.options, expected);
    assert!(stage.is_up(call));
}

fn host_name(stage: &mut Stage) {
    let call = stage.alice();
    let told = |stage: &Stage, lac, since| {
        let messages = stage.messages(lac, since);
        let name = messages.iter().find_map(|body| match Message::parse(body) {
            Ok(Message::Sccrp(sccrp)) => Some(sccrp.host_name.to_vec()),
            Ok(_) | Err(_) => None,
        });
        name.expect("an SCCRP")
    };
    let start = stage.now();
    assert_eq!(
        told(stage, call.lac, lns_tables::time::Instant::ZERO),
        b"lns1"
    );
    stage.change(&[("hostName: lns1", "hostName: lns2")]);
    let late = stage.lac();
    assert_eq!(told(stage, late, start), b"lns2");
    // In a CHAP challenge it is the new one in each new session, also of the old tunnel.
    let new = stage.call(call.lac, "bob");
    let challenges = stage.packets(new, start);
    let challenge = challenges
        .iter()
        .find(|it| (it.protocol, it.code) == (Protocol::CHAP, Code(1)));
    assert!(challenge.expect("a challenge").data.ends_with(b"lns2"));
    assert!(stage.is_up(call));
}

/// Both modes are the TUN device today, so that a process runs the same way under either.
fn mode(stage: &mut Stage) {
    let before = format!("{:?}", stage.setup);
    let (running, wanted) = stage.read_changed(&[("mode: Auto\n", "mode: TUN\n")]);
    assert_eq!(format!("{wanted:?}"), before);
    assert!(running.needs_restart(&wanted).is_empty());
}

/// The reload gives the machine the new plan; what that does there is shown by the scenario
/// `reload-core`.
fn isolation(stage: &mut Stage) {
    let call = stage.alice();
    assert_eq!(stage.setup.host.isolation, Isolation::Nodeless);
    stage.change(&[("isolation: Nodeless", "isolation: Open")]);
    assert_eq!(stage.setup.host.isolation, Isolation::Open);
    assert!(stage.is_up(call));
}

fn interface(stage: &mut Stage) {
    let call = stage.alice();
    stage.change(&[("interface: core0", "interface: core1")]);
    assert_eq!(stage.setup.host.core_interface.as_deref(), Some("core1"));
    assert!(stage.is_up(call));
}
