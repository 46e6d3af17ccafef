//! All families: what is known to be hostile, and what chance makes of it. One test per family, so
//! that they run side by side; the same functions are what a fuzzer calls.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a harness's panics are its findings"
)]

use lns_fuzz::corpus;
use lns_fuzz::random::Inputs;

/// Runs a family's corpus and what chance makes of it.
fn check(name: &str) {
    let family = lns_fuzz::find(name).expect("a family");
    let cases = corpus::load(name);
    assert!(!cases.is_empty(), "a family without a corpus finds nothing");
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let caught = std::panic::catch_unwind(|| (family.run)(&case.octets));
            let path = case.path.display();
            caught
                .map_err(|_| format!("{path}: it panicked"))
                .and_then(|outcome| case.check(&outcome))
                .err()
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let seeds: Vec<Vec<u8>> = family.seeds().into_iter().map(|seed| seed.1).collect();
    for seed in &seeds {
        let caught = std::panic::catch_unwind(|| (family.run)(seed));
        assert!(caught.is_ok(), "{}", hex(seed));
    }
    let mut inputs = Inputs::new(number("LNS_FUZZ_SEED").unwrap_or(1), seeds);
    let rounds = number("LNS_FUZZ_ROUNDS").unwrap_or_else(|| family.rounds.into());
    let mut input = Vec::new();
    for round in 0..rounds {
        inputs.draw(&mut input);
        let caught = std::panic::catch_unwind(|| (family.run)(&input));
        assert!(caught.is_ok(), "round {round}: {}", hex(&input));
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// An input as a corpus file has it.
fn hex(octets: &[u8]) -> String {
    octets
        .iter()
        .fold(String::new(), |text, octet| text + &format!("{octet:02x}"))
}

macro_rules! families {
    ($($(#[$doc:meta])* $test:ident $family:literal,)*) => {
        $($(#[$doc])* #[test]
        fn $test() {
            if cfg!(fuzzing) {
                // `cargo bolero` has built this, and knows the target by the name of the test.
                let family = lns_fuzz::find($family).expect("a family");
                bolero::check!().for_each(|input: &[u8]| drop((family.run)(input)));
            } else {
                check($family);
            }
        })*

        #[test]
        fn no_family_is_left_out() {
            let tested = [$($family),*];
            let all = lns_fuzz::FAMILIES.map(|family| family.name);
            assert_eq!(tested, all);
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let name = entry.expect("an entry").file_name();
                assert!(all.iter().any(|each| name == *each), "{}", name.display());
            }
        }
    };
}

families! {
    l2tp_headers "l2tp-header",
    l2tp_messages "l2tp-message",
    l2tp_hidden_avps "l2tp-hidden",
    ppp_frames "ppp-frame",
    ppp_options "ppp-options",
    ppp_pap "ppp-pap",
    ppp_chap "ppp-chap",
    ppp_eap "ppp-eap",
    radius_packets "radius-packet",
    radius_replies "radius-reply",
    ip_upstream "ip-upstream",
    ip_downstream "ip-downstream",
    filter_packets "filter-packet",
    filters "filter",
    ppp_sessions "ppp-session",
    l2tp_tunnels "l2tp-tunnel",
    radius_dynamic "radius-dynamic",
    records "records",
    peer_frames "peer-frames",
    peer_data "peer-data",
    nodes "node",
    explanations "explain",
}
