//! The peer channel: a stream of frames as a peer may send it once it has greeted, and datagrams as
//! anybody may send them.
//!
//! `peer-frames` is the stream. A length has four octets; `00 00 ( kind, epoch, body )` is a frame.
//!
//! `peer-data` has steps: an octet, then octets behind their length:
//!
//! | octet | its octets |
//! |---|---|
//! | 0 | a datagram |
//! | 1 | what it is, then a packet: sealed, kept, and opened |
//! | 2 | the same, and not opened |
//! | 3 | the number of a kept frame, a place, what to change there: opened |
//! | 4 | the number of a kept frame: opened |
//! | 5 | the same, and how much of it |
//! | 6 | another key |
//! | 7 | the number: the receiver knows an epoch that is as much later |
//! | 8 | the number: so does the sender |
//! | 9 | what it is, then the beginning of a packet of 1,500 octets: sealed in two halves, kept |
//!
//! What becomes of the last frame is the verdict.

use std::collections::BTreeSet;

use lns_cluster::{Epoch, Identity};
use lns_peers::data::{
    Data, Direction, HEADER, HEADROOM, Halves, Handover, Keyring, PathMtu, Refused, SECRET, Secret,
    TAILROOM,
};
use lns_peers::limits::{BODY, WINDOW};
use lns_peers::wire::{Frame, Frames, Unreadable, decode, encode};
use lns_peers::{Epochs, PeerNumber};

use crate::Outcome;
use crate::ops::Ops;

/// Frames that are kept. More are not: a list of steps is short.
const KEPT: usize = 64;

/// Reads a stream in pieces.
pub(crate) fn frames(input: &[u8]) -> Outcome {
    let from: Identity = "n1/pod/boot/1".parse().expect("an identity");
    let mut frames = Frames::new(BODY);
    let (mut verdict, mut seen, mut taken) = (Ok(()), 0, 0);
    for piece in input.chunks(31) {
        let space = frames.space();
        assert!(space.len() >= piece.len(), "there is always room");
        space[..piece.len()].copy_from_slice(piece);
        frames.read(piece.len());
        loop {
            match frames.next_frame() {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    seen += 1;
                    verdict = one(frame, &from);
                    taken += u32::from(verdict.is_ok());
                }
                Err(error) => {
                    return Outcome {
                        verdict: Err(error.label()),
                        then: format!("{seen} frames, {taken} taken, ended"),
                    };
                }
            }
        }
    }
    Outcome {
        verdict,
        then: format!("{seen} frames, {taken} taken"),
    }
}

/// What is taken is written, and read the same again.
fn one(frame: Frame<'_>, from: &Identity) -> Result<(), &'static str> {
    let body = decode(frame, from).map_err(Unreadable::label)?;
    let again = encode(&body, frame.epoch).expect("what was read is short enough");
    let mut frames = Frames::new(BODY);
    frames.space()[..again.len()].copy_from_slice(&again);
    frames.read(again.len());
    let written = frames.next_frame().expect("a frame").expect("all of it");
    assert_eq!(written.epoch, frame.epoch);
    let read = decode(written, from).expect("it was read before");
    assert_eq!(read, body);
    Ok(())
}

/// A frame that was sealed.
struct Kept {
    frame: Vec<u8>,
    /// What it should give: of a half, the whole.
    packet: Vec<u8>,
    is_half: bool,
    epoch: u64,
    /// Which key has sealed it.
    generation: usize,
    counter: u64,
}

/// What the receiver should know of a key.
#[derive(Default)]
struct Window {
    taken: BTreeSet<u64>,
    highest: u64,
    sealed: u64,
}

struct Bed {
    sender: Data,
    receiver: Data,
    epochs: [Epochs; 2],
    keyrings: [Keyring; 2],
    halves: Halves,
    kept: Vec<Kept>,
    /// By generation.
    windows: Vec<Window>,
    delivered: u32,
    verdict: Result<(), &'static str>,
}

/// Runs the steps.
pub(crate) fn data(input: &[u8]) -> Outcome {
    let mut bed = Bed::new();
    let mut ops = Ops::new(input);
    while let Some(step) = ops.step() {
        bed.step(step, ops.octets());
    }
    let refused: u64 = bed
        .receiver
        .figures()
        .refused
        .iter()
        .map(|(_, count)| count)
        .sum();
    Outcome {
        verdict: bed.verdict,
        then: format!("{} delivered, {refused} refused", bed.delivered),
    }
}

fn peer() -> PeerNumber {
    PeerNumber::new(7).expect("a number")
}

impl Bed {
    fn new() -> Self {
        let epochs = [(); 2].map(|()| Epochs::new(Epoch::new(1).expect("an epoch")));
        let data = |at: usize| Data::new(epochs[at].clone(), PathMtu::default(), 100);
        let keyring = |outbound| Keyring {
            peer: peer(),
            secret: Secret::new(&[7; SECRET]),
            outbound,
            connection: 1,
        };
        let (sender, receiver) = (data(0), data(1));
        let address = "192.0.2.7:1702".parse().expect("an address");
        sender.set_address(peer(), Some(address));
        let mut bed = Self {
            sender,
            receiver,
            epochs,
            keyrings: [Direction::FromOpener, Direction::ToOpener].map(keyring),
            halves: Halves::new(PathMtu::default()),
            kept: Vec::new(),
            windows: Vec::new(),
            delivered: 0,
            verdict: Ok(()),
        };
        bed.rekey();
        bed
    }

    fn step(&mut self, step: u8, octets: &[u8]) {
        let first = octets.first().copied().unwrap_or(0);
        match step {
            0 => self.datagram(octets),
            1 | 2 => {
                let kept = self.seal(first, octets.get(1..).unwrap_or_default());
                if let Some(at) = kept.filter(|_| step == 1) {
                    self.again(at);
                }
            }
            3 => self.change(octets),
            4 => self.again(first.into()),
            5 => self.cut(octets),
            6 => self.rekey(),
            7 | 8 => {
                let epochs = &self.epochs[usize::from(step == 7)];
                let later = epochs.known().number() + u64::from(first);
                epochs.raise(Epoch::new(later).expect("far from the last"));
            }
            _ => {
                let mut packet = octets.get(1..).unwrap_or_default().to_vec();
                packet.resize(1500, 0);
                self.seal(first, &packet);
            }
        }
    }

    fn rekey(&mut self) {
        let generation = u32::try_from(self.windows.len() + 1).expect("few");
        let key = self.receiver.expect(&self.keyrings[1], generation);
        assert!(
            self.sender
                .seal_with(&self.keyrings[0], key.expect("a key"))
        );
        self.windows.push(Window::default());
    }

    /// Seals a packet. The place of its first frame.
    fn seal(&mut self, what: u8, packet: &[u8]) -> Option<usize> {
        if packet.is_empty() || self.kept.len() + 1 >= KEPT {
            return None;
        }
        let handover = handover(what);
        let mut buffer = vec![0; HEADROOM];
        buffer.extend_from_slice(packet);
        buffer.extend([0; TAILROOM]);
        let mut spare = vec![0; 1500];
        let routes = self.sender.routes();
        let route = routes.get(peer()).expect("a way");
        let sealed = route
            .seal(handover, &mut buffer, &mut spare)
            .expect("it fits");
        let generation = self.windows.len() - 1;
        let at = self.kept.len();
        for frame in [Some(sealed.first), sealed.second].into_iter().flatten() {
            assert!(frame.len() <= 1500 - 28);
            let window = &mut self.windows[generation];
            self.kept.push(Kept {
                frame: frame.to_vec(),
                packet: packet.to_vec(),
                is_half: sealed.second.is_some(),
                epoch: self.epochs[0].known().number(),
                generation,
                counter: window.sealed,
            });
            window.sealed += 1;
        }
        Some(at)
    }

    /// Opens a frame as it was sealed: it is clear what must become of it.
    fn again(&mut self, at: usize) {
        let Some(kept) = self.kept.get(at) else {
            return;
        };
        let expected = self.expected(kept);
        let (frame, packet, is_half) = (kept.frame.clone(), kept.packet.clone(), kept.is_half);
        let (generation, counter) = (kept.generation, kept.counter);
        let opened = self.open(&frame);
        if let Err(why) = expected {
            assert_eq!(opened, Err(why));
            return;
        }
        let window = &mut self.windows[generation];
        window.taken.insert(counter);
        window.highest = window.highest.max(counter);
        match opened.expect("it is genuine, new and of this epoch") {
            Some(octets) => assert_eq!(octets, packet),
            None => assert!(is_half),
        }
    }

    fn expected(&self, kept: &Kept) -> Result<(), Refused> {
        if kept.generation + 2 < self.windows.len() {
            return Err(Refused::UnknownKey);
        }
        let window = &self.windows[kept.generation];
        if kept.counter + WINDOW <= window.highest {
            return Err(Refused::Late);
        }
        if window.taken.contains(&kept.counter) {
            return Err(Refused::Repeated);
        }
        if kept.epoch < self.epochs[1].known().number() {
            return Err(Refused::OldEpoch);
        }
        Ok(())
    }

    /// A frame that is not quite one that was sealed is never opened.
    fn change(&mut self, octets: &[u8]) {
        let [at, high, low, change @ ..] = octets else {
            return;
        };
        let Some(kept) = self.kept.get(usize::from(*at)) else {
            return;
        };
        let mut frame = kept.frame.clone();
        let place = usize::from(u16::from_be_bytes([*high, *low])) % frame.len();
        let change = change.first().copied().unwrap_or(1).max(1);
        frame[place] ^= change;
        assert!(self.open(&frame).is_err());
    }

    fn cut(&mut self, octets: &[u8]) {
        let [at, high, low, ..] = octets else {
            return;
        };
        let Some(kept) = self.kept.get(usize::from(*at)) else {
            return;
        };
        let length = usize::from(u16::from_be_bytes([*high, *low])) % kept.frame.len();
        let frame = kept.frame[..length].to_vec();
        assert!(self.open(&frame).is_err());
    }

    /// Octets out of nothing are a frame only if they are one that was kept.
    fn datagram(&mut self, octets: &[u8]) {
        let same = self.kept.iter().position(|kept| kept.frame == octets);
        if let Some(at) = same {
            return self.again(at);
        }
        assert!(self.open(octets).is_err());
    }

    fn open(&mut self, frame: &[u8]) -> Result<Option<Vec<u8>>, Refused> {
        let mut frame = frame.to_vec();
        let openers = self.receiver.openers();
        let opened = openers.open(&mut frame, &mut self.halves);
        let opened = opened.map(|opened| {
            opened.map(|opened| {
                assert_eq!(opened.from, peer());
                opened.packet.octets.to_vec()
            })
        });
        self.delivered += u32::from(matches!(opened, Ok(Some(_))));
        self.verdict = opened.as_ref().map(|_| ()).map_err(|why| why.label());
        opened
    }
}

/// What is handed over: its ends are of no interest here.
fn handover(what: u8) -> Handover {
    let to_home = |local: &str, remote: &str| Handover::ToHome {
        local: local.parse().expect("an address"),
        remote: remote.parse().expect("an address"),
    };
    match what % 3 {
        0 => Handover::ToHomeDownstream,
        1 => to_home("192.0.2.1:1701", "198.51.100.7:1701"),
        _ => to_home("[2001:db8::1]:1701", "[2001:db8::7]:1701"),
    }
}

const _: () = assert!(HEADER == 22, "the corpus has frames of this form");
