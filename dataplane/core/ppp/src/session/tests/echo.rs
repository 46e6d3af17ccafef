//! An echo that is answered from the image of a session, and by the session itself.

use core::time::Duration;
use std::sync::Arc;

use lns_wire::ppp::{Frame, Packet, Protocol};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Session, SessionImage};
use super::bench::{Bench, MAGIC, config, frame};
use crate::{AuthMethod, Config, Discard, Echo, Error, Output};

/// Frames that were sent.
type Sent = Vec<Vec<u8>>;

/// What the image of an open session that has this magic number, and its peer this MRU, answers; and what
/// the session does.
fn both(magic: u32, peer_mru: u16, octets: &[u8]) -> (Option<Sent>, Result<Sent, Error>) {
    let bench = Bench::open(config(&[AuthMethod::None]));
    let image = SessionImage {
        magic,
        peer_mru,
        ..bench.session.image(bench.now).expect("it is open")
    };
    let (now, mut rng) = (bench.now, bench.rng);
    let config = Arc::new(config(&[AuthMethod::None]));
    let mut session = Session::restore(&config, image.clone(), now, &mut rng);
    let frames = |out: &Output| out.frames.iter().map(<[u8]>::to_vec).collect::<Sent>();
    let mut out = Output::default();
    let handled = session.handle_frame(octets, now, &mut rng, &mut out);
    let by_session = handled.map(|()| frames(&out));
    out.clear();
    let is_answered = image.answer_echo(octets, now, &mut out);
    assert_eq!(is_answered, !out.frames.is_empty());
    (is_answered.then(|| frames(&out)), by_session)
}

#[test]
fn an_echo_with_our_own_number_or_none_is_the_sessions() {
    let ours = u32::from_be_bytes(MAGIC);
    let ping = frame(Protocol::LCP, 9, 3, &MAGIC);
    assert_eq!(
        both(ours, 1500, &ping),
        (None, Err(Error::Discarded(Discard::Loop)))
    );
    let short = frame(Protocol::LCP, 9, 3, &MAGIC[..3]);
    assert!(matches!(
        both(1, 1500, &short),
        (None, Err(Error::Malformed(_)))
    ));
    // Whoever has no number has none to recognise.
    let zeros = frame(Protocol::LCP, 9, 3, &[0; 4]);
    let (by_image, by_session) = both(0, 1500, &zeros);
    assert_eq!(by_image, by_session.ok());
}

/// Asked at the same time, most of very many would be dropped where it is sent, and the same ones each time.
#[test]
fn sessions_that_are_taken_over_at_once_are_asked_one_after_the_other() {
    let interval = Duration::from_secs(30);
    let config = Config {
        echo: Some(Echo {
            interval,
            failures: 4,
        }),
        ..config(&[AuthMethod::None])
    };
    let config = Arc::new(config);
    let bench = Bench::open(Config::clone(&config));
    let image = bench.session.image(bench.now).expect("it is open");
    let (now, mut rng) = (bench.now, bench.rng);
    let mut in_second = [0_usize; 60];
    for _ in 0..3_000 {
        let mut session = Session::restore(&config, image.clone(), now, &mut rng);
        let due = session.echo;
        let (mut out, after) = (Output::default(), due.since(now));
        session.handle_echo(now, due, &mut out);
        assert_eq!(out.frames.iter().count(), 1, "{after:?}");
        in_second[usize::try_from(after.as_secs()).unwrap()] += 1;
    }
    assert_eq!(in_second[..30].iter().sum::<usize>(), 0);
    assert!(
        in_second[30..]
            .iter()
            .all(|asked| (50..200).contains(asked)),
        "{in_second:?}"
    );
}

proptest! {
    #[test]
    fn the_image_of_a_session_answers_an_echo_as_the_session_does(
        magic in prop_oneof![Just(0), Just(u32::from_be_bytes(MAGIC)), any::<u32>()],
        peer_mru in 64_u16..200,
        (protocol, code, id) in (
            prop_oneof![4 => Just(Protocol::LCP), 1 => Just(Protocol::IPCP)],
            prop_oneof![6 => Just(9_u8), 1 => 8_u8..14],
            any::<u8>(),
        ),
        number in prop_oneof![3 => Just(MAGIC), 1 => any::<[u8; 4]>()],
        data in vec(any::<u8>(), 0..300),
    ) {
        let octets = frame(protocol, code, id, &[&number[..], &data].concat());
        let (by_image, by_session) = both(magic, peer_mru, &octets);
        if let Some(by_image) = by_image {
            prop_assert_eq!((protocol, code), (Protocol::LCP, 9));
            prop_assert_eq!(Some(&by_image), by_session.as_ref().ok());
            let [reply] = &by_image[..] else { panic!("{by_image:?}") };
            let lcp = Frame::parse(reply).unwrap().information;
            prop_assert!(lcp.len() <= usize::from(peer_mru));
            prop_assert_eq!(Packet::parse(lcp).unwrap().id, id);
        } else if (protocol, code) == (Protocol::LCP, 9) {
            prop_assert!(by_session.is_err());
        }
    }
}
