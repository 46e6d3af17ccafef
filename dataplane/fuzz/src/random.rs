//! Inputs made of the corpus by chance, the same for the same seed.

use lns_crypto::Rng;

/// The longest random input, octets: more than any path of the parsers needs, few enough to be quick.
const LONGEST: u16 = 600;

/// Makes inputs.
#[derive(Debug)]
pub struct Inputs {
    rng: Rng,
    seeds: Vec<Vec<u8>>,
}

impl Inputs {
    /// From `seed`, of the inputs `seeds`.
    pub fn new(seed: u64, seeds: Vec<Vec<u8>>) -> Self {
        let mut octets = [0; 32];
        octets[..8].copy_from_slice(&seed.to_be_bytes());
        Self {
            rng: Rng::from_seed(octets),
            seeds,
        }
    }

    /// The next input: a known one with a few faults, two of them joined, or octets out of nothing.
    pub fn draw(&mut self, input: &mut Vec<u8>) {
        input.clear();
        match self.below(8) {
            0 => {
                let len = self.below(LONGEST);
                input.resize(usize::from(len), 0);
                self.rng.fill(input);
            }
            1 | 2 => {
                self.known(input);
                self.known(input);
                self.spoil(input);
            }
            _ => {
                self.known(input);
                self.spoil(input);
            }
        }
    }

    fn known(&mut self, input: &mut Vec<u8>) {
        if let Ok(count) = u16::try_from(self.seeds.len())
            && count > 0
        {
            let which = usize::from(self.below(count));
            input.extend_from_slice(&self.seeds[which]);
        }
    }

    fn spoil(&mut self, input: &mut Vec<u8>) {
        /// Numbers at which lengths and counts go wrong.
        const EDGES: [u8; 10] = [0, 1, 2, 3, 4, 5, 0x7f, 0x80, 0xfe, 0xff];
        for _ in 0..=self.below(6) {
            let len = u16::try_from(input.len()).unwrap_or(u16::MAX);
            let at = usize::from(self.below(len.saturating_add(1)));
            let to = usize::from(self.below(len.saturating_add(1)));
            let some = self.rng.u16().to_be_bytes()[0];
            let edge = EDGES[usize::from(self.below(10))];
            match self.below(8) {
                0 => input.truncate(at),
                1 => input.insert(at, some),
                2 if at < input.len() => drop(input.remove(at)),
                3 if at < input.len() => input[at] = edge,
                4 if at < input.len() => input[at] = some,
                5 if at < input.len() => input[at] ^= 1 << (some & 7),
                6 if at < to && to - at < 64 => {
                    let part = input[at..to].to_vec();
                    input.extend(part);
                }
                7 if at < to => drop(input.drain(at..to)),
                _ => input.push(some),
            }
        }
    }

    fn below(&mut self, bound: u16) -> u16 {
        self.rng.u16().checked_rem(bound).unwrap_or_default()
    }
}
