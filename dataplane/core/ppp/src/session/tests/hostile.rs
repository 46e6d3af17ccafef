//! Octets that nobody sane would send.

use lns_wire::ppp::Protocol;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::Phase;
use super::bench::{Bench, SUBSCRIBER, config, frame, seconds};
use crate::{AuthMethod, Error, Event, GrantedAddress};

/// What a peer may do to a session, and its owner.
#[derive(Clone, Debug)]
enum Step {
    Raw(Vec<u8>),
    Packet(Protocol, u8, u8, Vec<u8>),
    /// A packet whose identifier and data are those of what we sent last: an answer that fits.
    Answer(u8),
    Wait(u64),
    Accept,
    Reject,
    Grant(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let protocol = prop_oneof![
        4 => Just(Protocol::LCP),
        2 => Just(Protocol::IPCP),
        1 => Just(Protocol::PAP),
        1 => Just(Protocol::CHAP),
        1 => Just(Protocol::CCP),
        1 => Just(Protocol::IPV4),
    ];
    let data = prop_oneof![
        vec(any::<u8>(), 0..64),
        Just(vec![1, 4, 5, 0xdc, 5, 6, 1, 2, 3, 4, 7, 2, 8, 2]),
        Just(vec![3, 6, 0, 0, 0, 0]),
        Just(vec![3, 6, 100, 64, 0, 17]),
        Just(vec![0xc0, 0x21, 1]),
    ];
    prop_oneof![
        2 => vec(any::<u8>(), 0..80).prop_map(Step::Raw),
        8 => (protocol, 0_u8..16, any::<u8>(), data)
            .prop_map(|(protocol, code, id, data)| Step::Packet(protocol, code, id, data)),
        6 => (2_u8..5).prop_map(Step::Answer),
        2 => (0_u64..10).prop_map(Step::Wait),
        2 => Just(Step::Accept),
        1 => Just(Step::Reject),
        2 => any::<bool>().prop_map(Step::Grant),
    ]
}

/// Does one step and checks what must hold after each.
fn take(
    bench: &mut Bench,
    step: &Step,
    last: &mut Option<super::bench::Sent>,
) -> Result<(), TestCaseError> {
    let input = match step {
        Step::Raw(octets) => Some(octets.clone()),
        Step::Packet(protocol, code, id, data) => Some(frame(*protocol, *code, *id, data)),
        Step::Answer(code) => last
            .as_ref()
            .map(|sent| frame(sent.protocol, *code, sent.id, &sent.data)),
        Step::Wait(time) => {
            bench.advance(seconds(*time));
            None
        }
        Step::Accept => {
            bench.accept();
            None
        }
        Step::Reject => {
            bench.reject(b"no");
            None
        }
        Step::Grant(fixed) => {
            let fixed = fixed.then_some(GrantedAddress::Fixed(SUBSCRIBER));
            bench.answer_address(Some(fixed.unwrap_or(GrantedAddress::PeerChooses)));
            None
        }
    };
    if let Some(octets) = input {
        let phase = bench.session.phase();
        bench.sent();
        let result = bench.frame(&octets);
        let sent: usize = bench.out.frames.iter().map(<[u8]>::len).sum();
        prop_assert!(bench.out.frames.len() <= 3);
        prop_assert!(
            sent <= octets.len() + 128,
            "{sent} octets for {}",
            octets.len()
        );
        if let Err(error) = result {
            prop_assert_eq!(bench.out.frames.len(), 0, "{}", error);
            prop_assert!(matches!(error, Error::Discarded(_)) || bench.session.phase() == phase);
        }
    }
    *last = bench.sent().pop().or(last.take());
    Ok(())
}

/// Up before down, nothing after the end, one end.
fn check_order(events: &[Event]) -> Result<(), TestCaseError> {
    let mut open = false;
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Opened(_) => prop_assert!(!core::mem::replace(&mut open, true)),
            Event::NetworkDown => prop_assert!(core::mem::replace(&mut open, false)),
            Event::Closed(_) => prop_assert!(!open && at + 1 == events.len()),
            Event::LcpOpened(_)
            | Event::Authenticate(_)
            | Event::Repeated
            | Event::Withdrawn
            | Event::AddressWanted { .. }
            | Event::EchoDue
            | Event::Closing(_) => {
                let in_between = matches!(
                    event,
                    Event::EchoDue | Event::Authenticate(_) | Event::Repeated | Event::Withdrawn
                );
                prop_assert!(!open || in_between);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_octets_breaks_a_session(
        steps in vec(step(), 1..60),
        method in prop_oneof![
            Just(AuthMethod::None),
            Just(AuthMethod::Pap),
            Just(AuthMethod::Chap),
            Just(AuthMethod::MsChapV2),
            Just(AuthMethod::Eap),
        ],
    ) {
        let mut bench = Bench::new(config(&[method]));
        let mut last = bench.sent().pop();
        for step in &steps {
            take(&mut bench, step, &mut last)?;
        }
        // Left alone it ends, or it is open.
        bench.advance(seconds(180));
        let phase = bench.session.phase();
        let events = bench.events();
        check_order(&events)?;
        match phase {
            Phase::Dead => prop_assert!(matches!(events.last(), Some(Event::Closed(_)))),
            Phase::Network => prop_assert!(events.iter().any(|event| matches!(event, Event::Opened(_)))),
            Phase::Establish | Phase::Authenticate | Phase::Terminate => prop_assert!(false, "stuck in {:?}", phase),
        }
    }
}
