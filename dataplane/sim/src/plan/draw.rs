//! A plan from a seed.

use core::time::Duration;

use lns_crypto::Rng;
use lns_node::config::{Admission, Authentication, DuplicateAction, LcpRenegotiation};

use super::{
    Act, Duplicate, Ending, Hostile, LacPlan, LinePlan, LoginPlan, Malice, Plan, Profile, Settings,
};
use crate::peers::{Bugs, Proxied, Quirks};
use crate::world::{Death, Direction, Faults, Heir, Moment, StoreSettings, octets};

/// What is drawn with.
#[derive(Debug)]
pub struct Dice(Rng);

impl Dice {
    /// The same for the same seed and salt.
    pub fn new(seed: u64, salt: u64) -> Self {
        Self(Rng::from_seed(octets(seed, salt)))
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.0.u32() % bound.max(1)
    }

    /// A number from `low` to `high`.
    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// Whether something happens that happens so often in a hundred times.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.place(of.len())]
    }

    /// A place in a list of `len`.
    pub fn place(&mut self, len: usize) -> usize {
        let len = u32::try_from(len).expect("few");
        usize::try_from(self.below(len)).expect("few")
    }

    /// A rate in a thousand, up to `most`, that small ones are likelier of.
    fn rate(&mut self, most: u32) -> u16 {
        let high = self.between(1, most);
        u16::try_from(self.between(1, high)).expect("a rate")
    }

    fn seconds(&mut self, low: u32, high: u32) -> Duration {
        Duration::from_secs(u64::from(self.between(low, high)))
    }

    fn millis(&mut self, low: u32, high: u32) -> Duration {
        Duration::from_millis(u64::from(self.between(low, high)))
    }

    /// So many octets.
    pub fn octets(&mut self, len: u32) -> Vec<u8> {
        let mut octets = vec![0; usize::try_from(len).expect("few")];
        self.0.fill(&mut octets);
        octets
    }
}

/// The salt of plans: the worlds have the small ones.
const SALT: u64 = u64::MAX;

/// The salt of what befalls processes and the store: so the rest of a plan is what it would be without.
const MORTAL: u64 = u64::MAX - 2;

impl Plan {
    /// The plan of `seed`.
    pub fn draw(seed: u64) -> Self {
        let dice = &mut Dice::new(seed, SALT);
        let profile = match dice.below(100) {
            0..62 => Profile::Storm,
            62..74 => Profile::Quiet,
            74..94 => Profile::Churn,
            94..99 => Profile::Crowd,
            _ => Profile::Wrap,
        };
        let (span, lines) = match profile {
            Profile::Storm => (dice.seconds(60, 300), dice.between(1, 60)),
            Profile::Quiet => (Duration::from_secs(3_600), dice.between(1, 60)),
            Profile::Churn => (dice.seconds(120, 400), dice.between(5, 40)),
            Profile::Crowd => (dice.seconds(60, 120), dice.between(300, 1_000)),
            Profile::Wrap => (dice.seconds(120, 200), dice.between(1, 10)),
        };
        let lacs = draw_lacs(dice, profile, lines);
        let settings = draw_settings(dice, lines);
        let mut plan = Self {
            seed,
            profile,
            span,
            settings,
            lacs,
            faults: draw_faults(dice, profile),
            store: StoreSettings::default(),
            acts: Vec::new(),
            hostiles: draw_hostiles(dice, profile),
            ending: if dice.percent(10) {
                Ending::Drains
            } else {
                Ending::Heals
            },
        };
        plan.draw_acts(dice);
        plan.draw_filters();
        plan.draw_store(&mut Dice::new(seed, MORTAL));
        plan
    }

    /// How records are kept, and how often what keeps them ends: in a fifth of the plans.
    fn draw_store(&mut self, dice: &mut Dice) {
        let is_mortal = dice.percent(20);
        let is_slow = dice.percent(if is_mortal { 70 } else { 30 });
        let most = dice.pick(&[2, 20, 100, 300]);
        self.store = StoreSettings {
            latency: if is_slow { dice.rate(most) } else { 0 },
            follows: is_mortal && dice.percent(60),
        };
        let outages = if dice.percent(if is_mortal { 30 } else { 10 }) {
            dice.between(1, 4)
        } else {
            0
        };
        let deaths = match self.profile {
            _ if !is_mortal => 0,
            Profile::Crowd | Profile::Wrap => dice.between(1, 3),
            Profile::Storm | Profile::Quiet | Profile::Churn => dice.between(1, 10),
        };
        if deaths > 0 {
            // No record has a secret: a tunnel whose secret has left the configuration cannot read what its LAC
            // hides once another node has it, nor when the secret comes back.
            let has_secret = self.settings.has_secret;
            for (_, act) in &mut self.acts {
                if let Act::Reload(settings) = act {
                    settings.has_secret = has_secret;
                }
            }
        }
        let millis = u32::try_from(self.span.as_millis()).expect("an hour");
        for number in 0..outages + deaths {
            let at = Duration::from_millis(u64::from(dice.below(millis)));
            let act = if number < outages {
                Act::CutStore(dice.millis(100, 30_000))
            } else {
                Act::Die(draw_death(dice))
            };
            self.acts.push((at, act));
        }
        self.acts.sort_by_key(|(at, _)| *at);
    }

    fn draw_acts(&mut self, dice: &mut Dice) {
        let kinds: Vec<u32> = (0..10).filter(|_| dice.percent(40)).collect();
        let count = match self.profile {
            Profile::Storm => dice.between(0, 25),
            Profile::Quiet => dice.between(0, 6),
            Profile::Churn => dice.between(50, 300),
            Profile::Crowd => dice.between(0, 10),
            Profile::Wrap => 6,
        };
        let millis = u32::try_from(self.span.as_millis()).expect("an hour");
        // One kind of talk, so that one side's numbers come all the way around.
        let talk = match self.profile {
            Profile::Wrap => 10 + dice.below(2),
            _ => 10,
        };
        for _ in 0..count {
            let at = Duration::from_millis(u64::from(dice.below(millis)));
            let kind = match self.profile {
                Profile::Wrap => talk,
                Profile::Churn if dice.percent(90) => 6,
                _ if kinds.is_empty() => break,
                _ => dice.pick(&kinds),
            };
            let act = self.draw_act(dice, kind);
            self.acts.push((at, act));
        }
        self.acts.sort_by_key(|(at, _)| *at);
    }

    fn draw_act(&self, dice: &mut Dice, kind: u32) -> Act {
        let lac = dice.place(self.lacs.len());
        let line = dice.place(self.lacs[lac].lines.len().max(1));
        match kind {
            0 => Act::Reload(Box::new(self.draw_reload(dice))),
            1 => Act::Disconnect(dice.below(1_000)),
            2 => Act::DisconnectTunnel(dice.below(10)),
            3 => {
                let direction = dice.pick(&[Direction::ToNode, Direction::ToLac]);
                Act::Cut(lac, direction, dice.seconds(1, 90))
            }
            4 => Act::Pause(dice.millis(100, 120_000), dice.percent(50)),
            5 => Act::Restart(lac),
            6 => Act::Redial(lac, line, dice.millis(100, 20_000)),
            7 => Act::ReportDelay(dice.millis(0, 900)),
            8 => Act::Packet(
                lac,
                line,
                u16::try_from(dice.between(20, 1_492)).expect("an MTU"),
            ),
            9 => Act::Slow(lac, dice.millis(1, 2_500)),
            10 => Act::Talk(lac, dice.between(12_000, 16_000)),
            _ => Act::Refused(lac, dice.between(12_000, 16_000)),
        }
    }

    /// Other settings, of those that a run can live with.
    fn draw_reload(&self, dice: &mut Dice) -> Settings {
        let other = draw_settings(dice, 64);
        let mut settings = self.settings.clone();
        if dice.percent(30) {
            settings.duplicates = other.duplicates;
        }
        if dice.percent(30) {
            settings.authentication = other.authentication;
        }
        if dice.percent(30) {
            settings.prefix = other.prefix;
            settings.addresses = other.addresses;
        }
        if dice.percent(30) {
            settings.admission = dice.pick(&[Admission::Drain, Admission::Refuse]);
        }
        if dice.percent(20) {
            settings.has_secret ^= true;
        }
        if dice.percent(30) {
            settings.renegotiation = other.renegotiation;
        }
        if dice.percent(30) {
            (settings.echo, settings.echo_failures) = (other.echo, other.echo_failures);
            (settings.session, settings.idle) = (other.session, other.idle);
        }
        settings
    }
}

fn draw_death(dice: &mut Dice) -> Death {
    let moment = match dice.below(5) {
        0 => Moment::Idle,
        1 => Moment::Input,
        2 | 3 => Moment::Store,
        _ => Moment::Output(u8::try_from(dice.below(4)).expect("few")),
    };
    let down = match dice.below(5) {
        0 | 1 => dice.millis(0, 1_000),
        2 | 3 => dice.millis(1_000, 10_000),
        _ => dice.millis(10_000, 25_000),
    };
    let heir = dice.pick(&[Heir::Reader, Heir::Follower]);
    Death { moment, down, heir }
}

fn draw_settings(dice: &mut Dice, lines: u32) -> Settings {
    let mut authentication = vec![dice.pick(&[
        Authentication::Chap,
        Authentication::MsChapV2,
        Authentication::Pap,
    ])];
    if dice.percent(40) && authentication[0] != Authentication::Pap {
        authentication.push(Authentication::Pap);
    }
    // Every line may have one address up and one resting; some pools are too small for that.
    let enough = (lines * 4 + 8).next_power_of_two();
    let addresses = if dice.percent(15) { enough / 8 } else { enough };
    let sometimes = |dice: &mut Dice, low, high| {
        if dice.percent(20) {
            dice.seconds(low, high)
        } else {
            Duration::ZERO
        }
    };
    let duplicates = Duplicate {
        by_number: dice.percent(30),
        action: dice.pick(&[
            DuplicateAction::Allow,
            DuplicateAction::Replace,
            DuplicateAction::Refuse,
        ]),
    };
    Settings {
        authentication,
        duplicates,
        addresses: addresses.max(4),
        prefix: u8::try_from(dice.below(2)).expect("few"),
        rest: dice.seconds(5, 60),
        hello: dice.seconds(20, 60),
        echo: if dice.percent(90) {
            dice.seconds(10, 40)
        } else {
            Duration::ZERO
        },
        echo_failures: u8::try_from(dice.between(1, 5)).expect("few"),
        rechallenge: sometimes(dice, 20, 100),
        session: sometimes(dice, 60, 300),
        idle: sometimes(dice, 60, 300),
        has_secret: dice.percent(80),
        hides: dice.percent(20),
        renegotiation: dice.pick(&[
            LcpRenegotiation::OnMismatch,
            LcpRenegotiation::OnMismatch,
            LcpRenegotiation::Always,
        ]),
        admission: Admission::Accept,
        setups_per_second: if dice.percent(20) {
            dice.between(10, 50)
        } else {
            100_000
        },
        max_sessions: 2_000,
        filters: super::Filters::default(),
    }
}

fn draw_lacs(dice: &mut Dice, profile: Profile, lines: u32) -> Vec<LacPlan> {
    let count = match profile {
        Profile::Wrap => 1,
        _ => dice.between(1, 8).min(lines),
    };
    let mixes = Mix::draw(dice);
    let mut lacs: Vec<LacPlan> = (0..count)
        .map(|at| LacPlan {
            bugs: if at > 0 && profile != Profile::Wrap && dice.percent(25) {
                draw_bugs(dice)
            } else {
                Bugs::default()
            },
            has_previous_secret: dice.percent(30),
            hides: dice.percent(15),
            challenges: dice.percent(70),
            // A small one would let more wait than fits.
            window: match profile {
                Profile::Wrap => 128,
                _ => dice.pick(&[1, 2, 4, 8, 64, 128]),
            },
            lines: Vec::new(),
        })
        .collect();
    for _ in 0..lines {
        let lac = dice.place(lacs.len());
        let line = mixes.line(dice);
        lacs[lac].lines.push(line);
    }
    lacs
}

/// How many lines of a run are what, in percent.
#[derive(Debug)]
struct Mix {
    shared: u32,
    wrong: u32,
    quirky: u32,
    proxied: u32,
    sequencing: u32,
    echo: u32,
}

impl Mix {
    fn draw(dice: &mut Dice) -> Self {
        let mut share = |often: u32, most: u32| {
            if dice.percent(often) {
                dice.between(1, most)
            } else {
                0
            }
        };
        Self {
            shared: share(25, 30),
            wrong: share(30, 20),
            quirky: share(50, 30),
            proxied: share(50, 100),
            sequencing: share(30, 100),
            echo: share(30, 50),
        }
    }

    fn line(&self, dice: &mut Dice) -> LinePlan {
        let login = if dice.percent(self.shared) {
            LoginPlan::Shared
        } else if dice.percent(self.wrong) {
            LoginPlan::Wrong
        } else if dice.percent(1) {
            LoginPlan::Fixed
        } else {
            LoginPlan::Own
        };
        let quirks = if dice.percent(self.quirky) {
            draw_quirks(dice)
        } else {
            Quirks::default()
        };
        let proxied = if dice.percent(self.proxied) {
            dice.pick(&[Proxied::Lcp, Proxied::Chap, Proxied::Pap])
        } else {
            Proxied::No
        };
        LinePlan {
            login,
            quirks,
            proxied,
            sequencing: dice.percent(self.sequencing),
            echo: dice.percent(self.echo).then(|| dice.seconds(10, 60)),
        }
    }
}

fn draw_quirks(dice: &mut Dice) -> Quirks {
    let mut quirks = Quirks::default();
    match dice.below(6) {
        0 => quirks.ignores_echo = true,
        1 => quirks.is_looped = true,
        2 => quirks.odd_options = true,
        3 => quirks.renegotiates = Some(dice.seconds(1, 60)),
        4 => quirks.wrong_ids = true,
        _ => quirks.falls_silent = true,
    }
    quirks
}

fn draw_bugs(dice: &mut Dice) -> Bugs {
    let mut rate = |percent| {
        if dice.percent(percent) {
            dice.rate(200)
        } else {
            0
        }
    };
    Bugs {
        repeats: rate(50),
        wrong_ns: rate(30),
        wrong_nr: rate(30),
        wrong_session: rate(30),
        forgets_call: rate(40),
        early_frames: rate(40),
        same_tunnel_id: dice.percent(50),
    }
}

fn draw_faults(dice: &mut Dice, profile: Profile) -> Faults {
    if profile == Profile::Wrap {
        return Faults::default();
    }
    let calm = match profile {
        Profile::Storm | Profile::Churn => 20,
        Profile::Quiet | Profile::Crowd | Profile::Wrap => 60,
    };
    if dice.percent(calm) {
        return Faults {
            delay: u16::try_from(dice.below(50)).expect("small"),
            ..Faults::default()
        };
    }
    let mut rate = |most| {
        if dice.percent(50) { dice.rate(most) } else { 0 }
    };
    Faults {
        loss: rate(300),
        duplication: rate(300),
        reordering: rate(300),
        corruption: rate(100),
        delay: u16::try_from(dice.below(200)).expect("small"),
    }
}

fn draw_hostiles(dice: &mut Dice, profile: Profile) -> Vec<Hostile> {
    let count = match profile {
        Profile::Storm => dice.below(4),
        Profile::Churn | Profile::Quiet => dice.below(2),
        Profile::Crowd | Profile::Wrap => 0,
    };
    (0..count)
        .map(|_| Hostile {
            malice: dice.pick(&[
                Malice::Noise,
                Malice::Corpus,
                Malice::Replay,
                Malice::End,
                Malice::Flood,
                Malice::Frames,
                Malice::Cut,
            ]),
            per_minute: match profile {
                Profile::Quiet => dice.between(1, 6),
                _ => dice.between(1, 200),
            },
            spoofs: dice.percent(70),
        })
        .collect()
}
