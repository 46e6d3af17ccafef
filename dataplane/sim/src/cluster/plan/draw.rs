//! Draws plans.

use core::time::Duration;

use lns_cluster::member::Aside;
use lns_cluster::{Profile, Timing};

use super::{Act, Kind, Plan, RadiusPlan, StorePlan, Target, Ways};
use crate::plan::Dice;
use crate::world::Faults;

/// The salt of plans.
const SALT: u64 = u64::MAX - 7;

/// The salt of what is drawn of RADIUS: apart, so that seeds of before mean what they meant.
const RADIUS: u64 = u64::MAX - 9;

/// The salt of what is drawn of sites that stand aside, for the same reason.
const ASIDE: u64 = u64::MAX - 11;

/// Clocks are wrong by so much at most, in millionths: of two of them one is less than a hundredth faster.
const DRIFT: u32 = 4_900;

/// What may go wrong in one run.
#[derive(Clone, Copy, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fault of its own, and any of them may come together"
)]
struct Menu {
    processes: bool,
    pauses: bool,
    planned: bool,
    api: bool,
    edits: bool,
    rewinds: bool,
    store: bool,
    losses: bool,
    cuts: bool,
    subscribers: bool,
}

impl Plan {
    /// The plan of `seed`.
    pub fn draw(seed: u64) -> Self {
        let dice = &mut Dice::new(seed, SALT);
        let kind = Kind::of(seed);
        let profile = profile(kind, dice);
        let sites = sites(kind, dice);
        let menu = menu(dice);
        let (span, pause) = pace(kind, &profile, dice);
        let acts = match kind {
            Kind::Single => singles(sites.len(), span, pause, &profile, dice),
            Kind::Election | Kind::Sessions => {
                acts(kind, menu, sites.len(), span, pause, &profile, dice)
            }
        };
        let acts = if stands_aside(seed) {
            with_asides(acts, sites.len(), &profile, &mut Dice::new(seed, ASIDE))
        } else {
            acts
        };
        let (lacs, pool) = lacs(kind, dice);
        let radius = radius(kind, &mut Dice::new(seed, RADIUS));
        let acts = with_outages(
            acts,
            radius.as_ref(),
            span,
            &mut Dice::new(seed, RADIUS - 1),
        );
        Self {
            seed,
            kind,
            profile,
            staleness: dice.pick(&[20, 30, 60, 600]),
            sites,
            span,
            api: api(kind, menu, dice),
            peers: peers(kind, dice),
            store: store(kind, menu, dice),
            radius,
            faults: faults(kind, dice),
            sprays: dice.percent(30),
            lacs,
            pool,
            acts,
        }
    }
}

fn profile(kind: Kind, dice: &mut Dice) -> Profile {
    match dice.below(10) {
        0..4 => Profile::DEFAULT,
        4..7 => Profile::FAST,
        7 if kind == Kind::Election => Profile::SLOW,
        _ => edge(dice),
    }
}

/// Times that just fit together.
fn edge(dice: &mut Dice) -> Profile {
    let hold = Duration::from_millis(dice.between(1_000, 6_000).into());
    let grain = Duration::from_millis(100);
    let timing = Timing {
        hold,
        wait: hold.mul_f64(1.01) + grain + Duration::from_millis(1),
        renew: hold.mul_f64(0.3),
        patience: hold.mul_f64(0.7),
        gap: hold,
        drift: 10,
        grain,
    };
    Profile::new(timing).unwrap_or(Profile::DEFAULT)
}

fn sites(kind: Kind, dice: &mut Dice) -> Vec<i32> {
    let few = if kind == Kind::Single { 2 } else { 1 };
    let count = match dice.below(10) {
        0 => few,
        1..4 => 2,
        4..8 => 3,
        8 => 4,
        _ => 5,
    };
    let drifts = dice.percent(70);
    (0..count)
        .map(|_| {
            let drift = if drifts {
                dice.below(2 * DRIFT + 1)
            } else {
                DRIFT
            };
            i32::try_from(drift).expect("small") - i32::try_from(DRIFT).expect("small")
        })
        .collect()
}

fn menu(dice: &mut Dice) -> Menu {
    Menu {
        processes: dice.percent(60),
        pauses: dice.percent(50),
        planned: dice.percent(40),
        api: dice.percent(50),
        edits: dice.percent(25),
        rewinds: dice.percent(15),
        store: dice.percent(50),
        losses: dice.percent(30),
        cuts: dice.percent(50),
        subscribers: dice.percent(60),
    }
}

/// How long it goes, and how long it is from one thing to the next about.
fn pace(kind: Kind, profile: &Profile, dice: &mut Dice) -> (Duration, Duration) {
    let wait = profile.timing().wait;
    match kind {
        Kind::Election => {
            let acts = dice.between(20, 60);
            let pause = wait * dice.between(1, 4) / 2;
            (pause * acts, pause)
        }
        Kind::Sessions => {
            let pause = wait * dice.between(1, 4) + Duration::from_secs(3);
            (pause * dice.between(10, 25), pause)
        }
        Kind::Single => {
            let pause = Duration::from_secs(100);
            (pause * dice.between(3, 8), pause)
        }
    }
}

fn api(kind: Kind, menu: Menu, dice: &mut Dice) -> Ways {
    let delay = u16::try_from(dice.pick(&[5, 20, 100])).expect("small");
    if kind == Kind::Single || !menu.api {
        return Ways {
            delay,
            ..Ways::default()
        };
    }
    Ways {
        delay,
        slow: thousandth(200, dice),
        longest: dice.pick(&[500, 3_000, 8_000, 30_000]),
        lost: thousandth(100, dice),
        unanswered: thousandth(100, dice),
    }
}

fn peers(kind: Kind, dice: &mut Dice) -> Ways {
    let delay = dice.pick(&[1, 5, 50]);
    if kind == Kind::Single || dice.percent(50) {
        return Ways {
            delay,
            ..Ways::default()
        };
    }
    Ways {
        delay,
        slow: thousandth(100, dice),
        longest: dice.pick(&[200, 2_000, 10_000]),
        lost: thousandth(100, dice),
        unanswered: 0,
    }
}

fn store(kind: Kind, menu: Menu, dice: &mut Dice) -> StorePlan {
    let is_slow = kind != Kind::Single && menu.store && dice.percent(30);
    StorePlan {
        latency: if is_slow { 400 } else { dice.pick(&[1, 5, 20]) },
        lag: dice.pick(&[1, 20, 200]),
        waits: dice.percent(60),
        stream: dice.pick(&[20, 200, 5_000]),
    }
}

fn radius(kind: Kind, dice: &mut Dice) -> Option<RadiusPlan> {
    if kind == Kind::Election || dice.percent(40) {
        return None;
    }
    let is_rough = kind == Kind::Sessions && dice.percent(50);
    let thousandth = |most, dice: &mut Dice| if is_rough { thousandth(most, dice) } else { 0 };
    Some(RadiusPlan {
        judges: dice.percent(50),
        interim: dice.pick(&[0, 10, 60]),
        ways: Ways {
            delay: dice.pick(&[1, 20, 300]),
            slow: thousandth(100, dice),
            longest: dice.pick(&[500, 5_000]),
            lost: thousandth(200, dice),
            unanswered: thousandth(200, dice),
        },
    })
}

/// The same, and now and then the RADIUS servers are away.
fn with_outages(
    mut acts: Vec<(Duration, Act)>,
    radius: Option<&RadiusPlan>,
    span: Duration,
    dice: &mut Dice,
) -> Vec<(Duration, Act)> {
    if radius.is_none() || dice.percent(50) {
        return acts;
    }
    let end = u32::try_from(span.as_millis()).unwrap_or(u32::MAX / 4);
    for _ in 0..dice.between(1, 4) {
        let at = millis(1, end, dice);
        acts.push((at, Act::RadiusAway(millis(500, 40_000, dice))));
    }
    acts.sort_by_key(|(at, _)| *at);
    acts
}

fn faults(kind: Kind, dice: &mut Dice) -> Faults {
    if kind != Kind::Sessions || dice.percent(40) {
        return Faults::default();
    }
    Faults {
        loss: thousandth(60, dice),
        duplication: thousandth(60, dice),
        reordering: thousandth(60, dice),
        corruption: 0,
        delay: dice.pick(&[0, 5, 40]),
    }
}

fn lacs(kind: Kind, dice: &mut Dice) -> (Vec<u16>, u8) {
    if kind == Kind::Election {
        return (Vec::new(), 24);
    }
    let lacs = dice.between(1, 3);
    let most = dice.pick(&[2, 5, 15]);
    let lines = (0..lacs).map(|_| u16::try_from(dice.between(1, most)).expect("few"));
    (lines.collect(), dice.pick(&[24, 25]))
}

fn thousandth(most: u32, dice: &mut Dice) -> u16 {
    let high = dice.between(1, most);
    u16::try_from(dice.between(0, high)).expect("small")
}

fn millis(low: u32, high: u32, dice: &mut Dice) -> Duration {
    Duration::from_millis(dice.between(low, high).into())
}

/// A span around D: shorter, just as long, longer, much longer.
fn around(wait: Duration, dice: &mut Dice) -> Duration {
    let most = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX / 8);
    match dice.below(4) {
        0 => millis(1, most / 2, dice),
        1 => millis(most / 2, most, dice),
        2 => millis(most, most * 2, dice),
        _ => millis(most, most * 5, dice),
    }
}

fn target(sites: usize, dice: &mut Dice) -> Target {
    if dice.percent(60) {
        Target::Master
    } else {
        Target::Site(site(sites, dice))
    }
}

fn site(sites: usize, dice: &mut Dice) -> u8 {
    u8::try_from(dice.place(sites)).expect("few")
}

/// Whether sites stand aside in this run. None of those that have found something (`cluster-regressions.txt`) is among
/// them: they are to mean what they meant.
const fn stands_aside(seed: u64) -> bool {
    matches!(seed % 5, 0 | 2 | 3)
}

/// Half of the planned switchovers come about because a site is drained or fenced. It stands aside for no
/// longer than a process that is killed is away: where there is one fault at a time there still is.
fn with_asides(
    mut acts: Vec<(Duration, Act)>,
    sites: usize,
    profile: &Profile,
    dice: &mut Dice,
) -> Vec<(Duration, Act)> {
    let wait = profile.timing().wait;
    let planned = acts.iter_mut().map(|(_, act)| act);
    for act in planned.filter(|act| matches!(act, Act::StepDown(_))) {
        if dice.percent(50) {
            let whom = target(sites, dice);
            let aside = dice.pick(&[Aside::Draining, Aside::Fenced]);
            let long = around(wait, dice).min(Duration::from_secs(25));
            *act = Act::Aside(whom, aside, long);
        }
    }
    acts
}

fn acts(
    kind: Kind,
    menu: Menu,
    sites: usize,
    span: Duration,
    pause: Duration,
    profile: &Profile,
    dice: &mut Dice,
) -> Vec<(Duration, Act)> {
    let mut at = Duration::ZERO;
    let mut acts = Vec::new();
    let most = u32::try_from(pause.as_millis()).unwrap_or(u32::MAX / 4);
    loop {
        at += millis(1, most * 2, dice);
        if at >= span {
            return acts;
        }
        let wait = profile.timing().wait;
        let drawn = if kind == Kind::Election && dice.percent(60) {
            Some(strike(menu, wait, dice))
        } else {
            draw(menu, sites, wait, dice)
        };
        acts.extend(drawn.map(|act| (at, act)));
    }
}

/// What ends a mastership, most of the time.
fn strike(menu: Menu, wait: Duration, dice: &mut Dice) -> Act {
    let long = around(wait, dice);
    match dice.below(10) {
        0..3 if menu.processes => Act::Kill(Target::Master, long),
        3 if menu.processes => Act::Reboot(Target::Master, long),
        4..7 if menu.pauses => Act::Pause(Target::Master, long),
        7 if menu.cuts => Act::Isolate(Target::Master, long),
        8 if menu.planned => Act::Leave(Target::Master, long),
        _ => Act::StepDown(Target::Master),
    }
}

fn draw(menu: Menu, sites: usize, wait: Duration, dice: &mut Dice) -> Option<Act> {
    let long = around(wait, dice);
    let whom = target(sites, dice);
    match dice.below(30) {
        0..4 if menu.processes => Some(Act::Kill(whom, long)),
        4 if menu.processes => Some(Act::Reboot(whom, long)),
        5 if menu.processes && dice.percent(20) => Some(Act::KillAll(long)),
        6..9 if menu.pauses => Some(Act::Pause(whom, long)),
        9..12 if menu.planned => Some(Act::StepDown(Target::Master)),
        12 if menu.planned => Some(Act::Leave(whom, long)),
        13 if menu.api => Some(Act::ApiAway(long)),
        14 | 15 if menu.api => Some(Act::ApiCut(whom, long)),
        16 | 17 if menu.edits => Some(edit(sites, dice)),
        18 if menu.rewinds => Some(Act::Save),
        19 if menu.rewinds => Some(Act::Rewind),
        20 if menu.store => Some(Act::StoreAway(long)),
        21 if menu.store => Some(Act::StoreCut(whom, long)),
        22 if menu.store => Some(Act::StoreSlow(dice.pick(&[100, 600, 3_000]), long)),
        23 if menu.losses => Some(match dice.below(3) {
            0 => Act::Flush,
            _ => Act::FailOver(long.min(Duration::from_secs(4))),
        }),
        24 if menu.cuts => Some(Act::Isolate(whom, long)),
        25 if menu.cuts => Some(Act::PeerCut(site(sites, dice), site(sites, dice), long)),
        26 if menu.cuts => Some(Act::RouterCut(whom, long)),
        27 if menu.subscribers && dice.percent(20) => Some(Act::Restart(small(dice))),
        27 | 28 if menu.subscribers => Some(Act::Redial(small(dice), small(dice), long)),
        29 if menu.subscribers => Some(Act::Packets(small(dice))),
        _ => None,
    }
}

fn small(dice: &mut Dice) -> u8 {
    u8::try_from(dice.below(16)).expect("small")
}

fn edit(sites: usize, dice: &mut Dice) -> Act {
    match dice.below(7) {
        0 => Act::Delete,
        1 => Act::Empty,
        2 => Act::Unnumber,
        3 => Act::Unlist,
        4 => Act::Name(site(sites, dice)),
        5 => Act::Save,
        _ => Act::Restore,
    }
}

/// One fault after the other, each of a kind that nobody loses a session by.
fn singles(
    sites: usize,
    span: Duration,
    pause: Duration,
    profile: &Profile,
    dice: &mut Dice,
) -> Vec<(Duration, Act)> {
    let wait = profile.timing().wait;
    let mut acts = Vec::new();
    let mut at = Duration::from_secs(60);
    while at < span {
        let long = around(wait, dice).min(Duration::from_secs(25));
        let whom = target(sites, dice);
        acts.push((at, single(whom, long, sites, dice)));
        at += pause + millis(0, 5_000, dice);
    }
    acts
}

fn single(whom: Target, long: Duration, sites: usize, dice: &mut Dice) -> Act {
    match dice.below(17) {
        0 | 1 => Act::Kill(whom, long),
        2 => Act::Reboot(whom, long),
        3 | 4 => Act::Pause(whom, long),
        5 | 6 => Act::StepDown(Target::Master),
        7 => Act::Leave(whom, long),
        8 => Act::ApiAway(long * 3),
        9 => Act::ApiCut(whom, long),
        10 => Act::Delete,
        11 => Act::StoreAway(long),
        12 => Act::StoreCut(whom, long),
        13 => Act::FailOver(long.min(Duration::from_secs(4))),
        14 => Act::Flush,
        15 => Act::Isolate(whom, long),
        _ => Act::PeerCut(site(sites, dice), site(sites, dice), long),
    }
}
