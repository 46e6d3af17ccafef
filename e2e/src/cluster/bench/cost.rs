//! What a session and a packet cost the processor in a cluster, beside a node alone in the same network.
//!
//! Both stand side by side in networks of their own, and each round measures one and then the other, first one
//! first and then the other. What a node spends while nothing happens is measured before and taken away.

use std::net::Ipv4Addr;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::super::bed::{Bed, PATIENCE};
use super::super::network::{Announce, LACS, NAS, Network, Place};
use super::super::objects::{self, USERS, Wanted};
use super::super::router::Router;
use super::super::scene::{Ground as _, rest};
use super::outcome::{Outcome, Spread};
use super::{path, progress};
use crate::blast::{self, Sink};
use crate::lac::{Authentication, Lac, Options};
use crate::lnsd::Lnsd;
use crate::net::{CORE, Namespace, VIP};
use crate::radius::{FreeRadius, Server};

/// Rounds of both, after one that warms up.
const ROUNDS: usize = 5;
/// Sessions of a round.
const SESSIONS: usize = 2_000;
/// Calls that are being set up at once.
const IN_FLIGHT: usize = 64;
/// So long a node is watched while nothing happens.
const IDLE: Duration = Duration::from_secs(4);
/// What comes after the last session is up, such as its Start.
const AFTER: u64 = 2;
/// Sessions that packets go through, and packets of a round.
const CARRIERS: usize = 200;
const OFFERED: u64 = 10_000;
const SECONDS: Duration = Duration::from_secs(8);
/// Octets of an inner packet.
const SIZE: usize = 64;
/// What a session may cost the master, and a packet a member, of what it costs a node alone.
const PER_SESSION: f64 = 1.5;
const PER_PACKET: f64 = 1.1;

/// A node alone in a network like that of the cluster.
struct Alone<'a> {
    network: &'a Network,
    lnsd: Lnsd<'a>,
    _router: Router,
    _radius: FreeRadius<'a>,
}

impl<'a> Alone<'a> {
    fn start(network: &'a Network) -> Result<Self> {
        let [place, _, _] = Place::ALL;
        let node = network.node(place);
        let server = Server {
            client: NAS,
            ..Server::new(0, USERS)
        };
        let radius = FreeRadius::start(&network.core, server)?;
        node.ip(&[
            &format!("address add {VIP}/32 dev lo"),
            &format!("address add {NAS}/32 dev lo"),
        ])?;
        let lnsd = Lnsd::start(node, &objects::alone()?)?;
        let router = Router::start(network)?;
        router.wait(PATIENCE, "the node answers", |view| {
            view.service.contains(&place) && view.nas.contains(&place)
        })?;
        path::steer(network, place)?;
        Ok(Self {
            network,
            lnsd,
            _router: router,
            _radius: radius,
        })
    }
}

/// Both figures.
pub(super) fn cpu(outcome: &mut Outcome) -> Result<()> {
    let (network, other) = (
        Network::create(Announce::External)?,
        Network::create(Announce::External)?,
    );
    let mut bed = Bed::start(&network, &Wanted::default())?;
    let master = bed.start_nodes();
    let master = bed.attest(master)?;
    let alone = Alone::start(&other)?;
    setups(outcome, &bed, master, &alone)?;
    packets(outcome, &bed, master, &alone)
}

/// What setting up a session costs.
fn setups(outcome: &mut Outcome, bed: &Bed<'_>, master: Place, alone: &Alone<'_>) -> Result<()> {
    let leader = bed.node(master)?;
    let mut costs: [Vec<f64>; 2] = Default::default();
    for round in 0..=ROUNDS {
        let mut measured = [0.0; 2];
        for turn in [round % 2, (round + 1) % 2] {
            let (network, lnsd) = match turn {
                0 => (bed.network, leader),
                _ => (alone.network, &alone.lnsd),
            };
            let cost = setup(network, lnsd)?;
            if let Some(measured) = measured.get_mut(turn) {
                *measured = cost;
            }
        }
        progress(&format!(
            "round {round}: {:.0} us for a session in the cluster, {:.0} alone",
            measured[0], measured[1]
        ));
        if round > 0 {
            for (costs, cost) in costs.iter_mut().zip(measured) {
                costs.push(cost);
            }
        }
    }
    let [ours, theirs] = costs;
    compare(
        outcome,
        "CPU of the master for a session set up, of a node alone",
        (&ours, &theirs),
        PER_SESSION,
    );
    outcome.values("CPU per session cluster, us", ours);
    outcome.values("CPU per session alone, us", theirs);
    Ok(())
}

/// Microseconds for each of the sessions of a round.
fn setup(network: &Network, lnsd: &Lnsd<'_>) -> Result<f64> {
    let ([space, _], [from, _]) = (&network.lacs, LACS);
    let (before, since) = (lnsd.cpu()?, Instant::now());
    std::thread::sleep(IDLE);
    let (started, idle) = (lnsd.cpu()?, since.elapsed());
    let dialled = Instant::now();
    let lac = Lac::up(
        space,
        Options {
            from,
            tunnels: 8,
            sessions: SESSIONS,
            user: "home{}@isp".into(),
            authentication: vec![Authentication::Chap],
            in_flight: IN_FLIGHT,
            ..Options::towards((VIP, 1701).into())
        },
    )?;
    rest(AFTER);
    let spent = lnsd.cpu()?.saturating_sub(started).as_secs_f64();
    let at_rest = started.saturating_sub(before).as_secs_f64() / idle.as_secs_f64();
    let cost = spent - at_rest * dialled.elapsed().as_secs_f64();
    lac.close()?;
    lnsd.wait(PATIENCE, "all are gone", |lnsd| {
        Ok(lnsd.status("sessions")? == 0)
    })?;
    Ok(cost * 1e6 / SESSIONS as f64)
}

/// What a packet costs, where it is forwarded and where it is handed over.
fn packets(outcome: &mut Outcome, bed: &Bed<'_>, master: Place, alone: &Alone<'_>) -> Result<()> {
    let member = Place::ALL.into_iter().find(|place| *place != master);
    let member = member.context("a member")?;
    path::steer(bed.network, member)?;
    let (plain, lone) = (dial(bed.network, "plain")?, dial(alone.network, "plain")?);
    let home = dial(bed.network, "home")?;
    let nodes = [bed.node(member)?, bed.node(master)?, &alone.lnsd];
    let [here, there, single_node] = at_rest(nodes)?;
    let mut costs: [Vec<f64>; 6] = Default::default();
    for round in 0..=ROUNDS {
        let up = |network: &Network, node: &Resting<'_>, lac: &Lac| up(&network.core, node, lac);
        let ours = || -> Result<[f64; 2]> {
            Ok([
                up(bed.network, &here, &plain)?,
                down(&bed.network.core, &here, &plain)?,
            ])
        };
        let theirs = || -> Result<[f64; 2]> {
            Ok([
                up(alone.network, &single_node, &lone)?,
                down(&alone.network.core, &single_node, &lone)?,
            ])
        };
        let (cluster, single) = if round % 2 == 0 {
            let cluster = ours()?;
            (cluster, theirs()?)
        } else {
            let single = theirs()?;
            (ours()?, single)
        };
        let handed = [
            up(bed.network, &here, &home)?,
            up(bed.network, &there, &home)?,
        ];
        let all = [cluster, single, handed].concat();
        progress(&format!(
            "round {round}: ns for a packet: member up, down, alone up, down, handed over there, taken in: {all:.0?}"
        ));
        if round > 0 {
            for (costs, cost) in costs.iter_mut().zip(all) {
                costs.push(cost);
            }
        }
    }
    let [up_here, down_here, up_alone, down_alone, handed, taken] = costs;
    for (way, ours, theirs) in [
        ("up", &up_here, &up_alone),
        ("down", &down_here, &down_alone),
    ] {
        compare(
            outcome,
            &format!(
                "CPU of a member for a packet {way} forwarded where it arrives, of a node alone"
            ),
            (ours, theirs),
            PER_PACKET,
        );
    }
    for (what, costs) in [
        ("CPU of a member for a packet up handed to its home", handed),
        ("CPU of the home for that packet", taken),
    ] {
        let Spread { median, least, .. } = Spread::of(&costs);
        outcome.tell(what, format!("{median:.0} ns (minimum {least:.0})"));
    }
    for lac in [plain, lone, home] {
        lac.close()?;
    }
    Ok(())
}

/// Sessions to carry packets, of subscribers with such names.
fn dial(network: &Network, name: &str) -> Result<Lac> {
    let place = usize::from(name == "home");
    let (space, from) = network.lacs.iter().zip(LACS).nth(place).context("a LAC")?;
    Lac::up(
        space,
        Options {
            from,
            tunnels: 4,
            sessions: CARRIERS,
            user: format!("{name}{{}}@isp"),
            ..Options::towards((VIP, 1701).into())
        },
    )
}

/// A node, and which part of a processor it takes while sessions are up and nothing passes.
struct Resting<'a> {
    lnsd: &'a Lnsd<'a>,
    share: f64,
}

/// Watches nodes while nothing passes.
fn at_rest<'a, const N: usize>(nodes: [&'a Lnsd<'a>; N]) -> Result<[Resting<'a>; N]> {
    rest(AFTER);
    let (since, before) = (Instant::now(), nodes.map(Lnsd::cpu));
    std::thread::sleep(IDLE);
    let (after, took) = (nodes.map(Lnsd::cpu), since.elapsed().as_secs_f64());
    let mut resting = nodes.map(|lnsd| Resting { lnsd, share: 0.0 });
    for (it, (before, after)) in resting.iter_mut().zip(before.into_iter().zip(after)) {
        it.share = after?.saturating_sub(before?).as_secs_f64() / took;
    }
    Ok(resting)
}

/// Nanoseconds of a node for each packet from subscribers that arrives in the core.
fn up(core: &Namespace, node: &Resting<'_>, lac: &Lac) -> Result<f64> {
    let socket = core.enter(|| Sink::bind(blast::PORT))??;
    let sink = Sink::default();
    let runs = lac.upstream(CORE, SIZE)?;
    std::thread::scope(|scope| {
        let counter = scope.spawn(|| sink.count(&socket));
        let cost = spend(node, &runs, || sink.packets());
        sink.stop();
        counter
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        cost
    })
}

/// The same for packets to subscribers.
fn down(core: &Namespace, node: &Resting<'_>, lac: &Lac) -> Result<f64> {
    let addresses: Vec<Ipv4Addr> = lac.addresses();
    let runs = core.enter(|| blast::downstream(&addresses, SIZE))??;
    spend(node, &runs, || lac.shared().down.packets())
}

fn spend(node: &Resting<'_>, runs: &[blast::Run], count: impl Fn() -> u64) -> Result<f64> {
    let (since, before, counted) = (Instant::now(), node.lnsd.cpu()?, count());
    let sent = blast::send(runs, OFFERED, SECONDS, &AtomicBool::new(false))?;
    std::thread::sleep(Duration::from_millis(300));
    let arrived = count() - counted;
    ensure!(
        arrived * 2 > sent.packets,
        "{arrived} of {} packets arrived: too few to say what one costs",
        sent.packets
    );
    let used = node.lnsd.cpu()?.saturating_sub(before).as_secs_f64();
    let at_rest = node.share * since.elapsed().as_secs_f64();
    Ok((used - at_rest) * 1e9 / arrived as f64)
}

/// What something costs in the cluster, of what it costs a node alone.
fn compare(outcome: &mut Outcome, what: &str, (ours, theirs): (&[f64], &[f64]), most: f64) {
    let (here, alone) = (Spread::of(ours), Spread::of(theirs));
    let ratio = here.median / alone.median;
    outcome.promise(
        what,
        format!(
            "{ratio:.2}: median {:.0} against {:.0}, minimum {:.0} against {:.0}",
            here.median, alone.median, here.least, alone.least
        ),
        &format!("<= {most:.2}"),
        ratio <= most,
    );
}
