//! The state machine once more, in plain words: two sides, each with what has been seen of it.

use super::*;

/// What has been seen of one side.
#[allow(
    clippy::struct_excessive_bools,
    reason = "four things that are seen or not"
)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Side {
    syn: bool,
    acknowledged_syn: bool,
    fin: bool,
    acknowledged_fin: bool,
}

impl Side {
    const ENDED: Self = Self {
        syn: false,
        acknowledged_syn: false,
        fin: true,
        acknowledged_fin: true,
    };
}

/// Both sides: the subscriber's first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Model([Side; 2]);

impl Model {
    /// Bit 0: SYN of input; 1: SYN of output; then in the same order acknowledgements of the other's
    /// SYN, FINs, acknowledgements of the other's FIN.
    fn of(bits: u8) -> Self {
        let is_set = |at: u32| bits & 1 << at != 0;
        Self([0, 1].map(|side| Side {
            syn: is_set(side),
            acknowledged_syn: is_set(side + 2),
            fin: is_set(side + 4),
            acknowledged_fin: is_set(side + 6),
        }))
    }

    fn class(self) -> Class {
        let all = |what: fn(&Side) -> bool| self.0.iter().all(what);
        if all(|side| side.fin && side.acknowledged_fin) {
            return Class::Closing;
        }
        let is_open = all(|side| side.syn && side.acknowledged_syn);
        let ends = self.0.iter().any(|side| side.fin || side.acknowledged_fin);
        if is_open && !ends {
            Class::Established
        } else {
            Class::Transient
        }
    }

    fn segment(&mut self, sender: usize, flags: u8) -> bool {
        let has = |flag: u8| flags & flag != 0;
        let closing = self.class() == Class::Closing;
        if closing && has(SYN) && !has(ACK) && !has(FIN) && !has(RST) {
            *self = Self::of(0);
            self.0[sender].syn = true;
            return true;
        }
        if has(RST) {
            for side in &mut self.0 {
                side.fin = Side::ENDED.fin;
                side.acknowledged_fin = Side::ENDED.acknowledged_fin;
            }
            return false;
        }
        let other = self.0[1 - sender];
        let side = &mut self.0[sender];
        side.acknowledged_syn |= has(ACK) && other.syn;
        side.acknowledged_fin |= has(ACK) && other.fin;
        side.syn |= has(SYN);
        side.fin |= has(FIN);
        false
    }
}

#[test]
fn every_state_and_every_segment_do_what_the_plain_model_says() {
    for bits in 0..=255_u8 {
        let state = State::from_word(u32::from(bits) << 24 | NOW.get());
        assert_eq!(Model::of(bits).class(), state.class(true), "{bits:08b}");
        for (sender, direction) in Direction::ALL.into_iter().enumerate() {
            for flags in 0..=255_u8 {
                let mut model = Model::of(bits);
                let restarted = model.segment(sender, flags);
                let step = state.step(direction, Some(TcpFlags(flags)), &TIMEOUTS, NOW);
                let next = match step {
                    Step::Same => state,
                    Step::Changed(next) | Step::Restarted(next) => next,
                    Step::Expired => panic!("no time has gone by"),
                };
                let at = format!("{bits:08b} {direction:?} {flags:08b}");
                assert_eq!(Model::of(next.bits()), model, "{at}");
                assert_eq!(matches!(step, Step::Restarted(_)), restarted, "{at}");
                assert_eq!(step == Step::Same, next == state && !restarted, "{at}");
                assert_eq!(next.seconds(), NOW);
            }
        }
    }
}

#[test]
fn the_first_segment_does_what_it_would_do_to_an_empty_state() {
    for (sender, direction) in Direction::ALL.into_iter().enumerate() {
        for flags in 0..=255_u8 {
            let mut model = Model::of(0);
            model.segment(sender, flags);
            let first = State::first(direction, Some(TcpFlags(flags)), NOW);
            assert_eq!(Model::of(first.bits()), model, "{direction:?} {flags:08b}");
        }
    }
}
