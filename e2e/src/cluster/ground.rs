//! What the cluster's tests stand on, proved without a cluster: three nodes that know nothing of each
//! other, behind the router.

use std::collections::BTreeSet;
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::bed::PATIENCE;
use super::capture::{Capture, Said};
use super::flows::{self, Flows, Streams, Subscriber};
use super::network::{Announce, LACS, Link, MANAGEMENT, NAS, Network, Place, Way};
use super::objects::{self, LEASE, OBJECT, Wanted};
use super::router::{Router, View};
use super::scene::rest;
use super::{apiserver::ApiServer, redis::Store, verdict};
use crate::lac::{Lac, Options};
use crate::lnsd::Lnsd;
use crate::manifest::Manifest;
use crate::net::VIP;
use crate::scenario::Scenario;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "ground-router",
        says: "the router finds nodes, spreads tunnels, and loses a node whose link is cut one way",
        run: router,
    },
    Scenario {
        name: "ground-traffic",
        says: "packets and streams tell how long they missed a node that was killed and started again",
        run: traffic,
    },
    Scenario {
        name: "ground-arp",
        says: "on a bridge, the router finds the node that has the addresses, and then another one",
        run: arp,
    },
    Scenario {
        name: "ground-store",
        says: "Sentinel finds another master of Redis when it is killed",
        run: store,
    },
    Scenario {
        name: "ground-objects",
        says: "the API server takes the cluster's objects, lets members read them and no more, and can stand still",
        run: objects,
    },
];

fn router() -> Result<String> {
    let network = Network::create(Announce::External)?;
    let mut nodes = Vec::new();
    for place in Place::ALL {
        let node = network.node(place);
        node.ip(&[&format!("address add {VIP}/32 dev lo")])?;
        nodes.push(Lnsd::start(node, &Manifest::default())?);
    }
    let [first, second, third] = Place::ALL;
    network
        .node(second)
        .ip(&[&format!("address add {NAS}/32 dev lo")])?;
    let router = Router::start(&network)?;
    let capture = Capture::start(&network.router, network.marks()?)?;
    let nas = router.wait_for(PATIENCE, &Place::ALL)?;
    ensure!(nas == second, "{nas:?} answers for nasAddress");

    let [from, _] = LACS;
    let [space, _] = &network.lacs;
    let options = || Options {
        from,
        tunnels: 16,
        sessions: 32,
        ..Options::towards((VIP, 1701).into())
    };
    Lac::up(space, options())?.close()?;
    network.cut(Link::Access(first), Way::FromNode)?;
    let cut = SystemTime::now();
    router.wait_for(PATIENCE, &[second, third])?;
    Lac::up(space, options())?.close()?;
    network.mend(Link::Access(first))?;
    router.wait_for(PATIENCE, &Place::ALL)?;

    let sightings = capture.end()?;
    let who = |said: Said| -> BTreeSet<_> {
        let saying = sightings.iter().filter(|sighting| sighting.said == said);
        saying.map(|sighting| sighting.place).collect()
    };
    let all = BTreeSet::from(Place::ALL);
    ensure!(who(Said::Control) == all, "not every node spoke");
    ensure!(who(Said::Serving) == all, "not every node was probed");
    ensure!(
        who(Said::Answer) == BTreeSet::from([second]),
        "nasAddress is not at one node"
    );
    // What these three do is what no cluster may do.
    ensure!(
        verdict::one_at_a_time(&sightings, 10).is_err(),
        "three masters at once are not seen"
    );
    ensure!(
        verdict::silent(&sightings, third, cut).is_err(),
        "who speaks is not heard"
    );
    Ok(format!("{} words in the cluster's name", sightings.len()))
}

fn traffic() -> Result<String> {
    let network = Network::create(Announce::External)?;
    let [first, _, _] = Place::ALL;
    let node = network.node(first);
    node.ip(&[&format!("address add {VIP}/32 dev lo")])?;
    let mut lnsd = Lnsd::start(node, &Manifest::default())?;
    let router = Router::start(&network)?;
    router.wait(PATIENCE, "the node answers", |view| {
        view.service.contains(&first)
    })?;
    flows::serve(&network.core)?;
    let [from, _] = LACS;
    let [space, _] = &network.lacs;
    let options = Options {
        from,
        tunnels: 4,
        sessions: 20,
        tun: Some("sub0".into()),
        ..Options::towards((VIP, 1701).into())
    };
    let lac = Lac::up(space, options)?;
    let addresses = lac.addresses();
    let numbered = Flows::start(space, &network.core, 0, &addresses)?;
    let some = addresses.get(..3).unwrap_or_default();
    let streams = Streams::start(space, some, Subscriber::Asks)?;
    rest(1);
    lnsd.signal(Signal::SIGKILL)?;
    lnsd.wait_exit(PATIENCE)?;
    // Longer than any start takes, so that it is seen for sure.
    rest(2);
    lnsd.restart()?;
    rest(2);
    let report = numbered.end()?;
    report.all_live()?;
    let [lost_up, lost_down] = report.lost();
    ensure!(
        lost_up > 0 && lost_down > 0,
        "nothing was missed: {}",
        report.shown()
    );
    ensure!(
        report.gaps().into_iter().all(|gap| gap.as_secs() >= 2),
        "the gap was longer: {}",
        report.shown()
    );
    let carried = streams.end()?;
    ensure!(
        carried.iter().all(|carried| carried.octets > 0),
        "a stream carried nothing: {carried:?}"
    );
    lac.close()?;
    Ok(report.shown())
}

fn arp() -> Result<String> {
    let network = Network::create(Announce::L2)?;
    let [_, second, third] = Place::ALL;
    let addresses = |place, change: &str| {
        let all = [VIP, NAS].map(|address| format!("address {change} {address}/32 dev lo"));
        network.node(place).ip(&all.each_ref().map(String::as_str))
    };
    addresses(second, "add")?;
    let capture = Capture::start(&network.router, network.marks()?)?;
    let router = Router::start(&network)?;
    let is_at =
        |place| move |view: &View| view.nas == BTreeSet::from([place]) && view.service == view.nas;
    router.wait(PATIENCE, "the second node answers", is_at(second))?;
    addresses(second, "del")?;
    addresses(third, "add")?;
    // Nobody here announces that the addresses have moved, as a member does.
    network.router.ip(&["neigh flush dev access"])?;
    router.wait(PATIENCE, "the third node answers", is_at(third))?;
    let sightings = capture.end()?;
    let masters: Vec<_> = verdict::reigns(&sightings);
    let masters: Vec<_> = masters.iter().map(|reign| reign.place).collect();
    ensure!(masters == [second, third], "{masters:?} had the addresses");
    ensure!(
        sightings.iter().any(|sighting| sighting.said == Said::Arp),
        "no ARP was seen"
    );
    Ok(String::new())
}

fn store() -> Result<String> {
    let network = Network::create(Announce::External)?;
    let mut store = Store::start(&network.management)?;
    let before = store.master()?;
    store.kill(before)?;
    store.wait("Sentinel has another master", |store| {
        Ok(store.master()? != before)
    })?;
    let after = store.master()?;
    store.restart(before)?;
    store.wait("the one before is its replica", |store| {
        let info = store.ask(before, &["INFO", "replication"])?;
        Ok(info.contains("role:slave") && info.contains("master_link_status:up"))
    })?;
    // Nothing is taken until the master has heard from its replica, which is a second after the replica is in step.
    store.wait("a write is taken", |store| {
        Ok(store.ask(after, &["SET", "a", "b"])?.trim() == "OK")
    })?;
    store.wait("it has what the other one has", |store| {
        Ok(store.ask(before, &["GET", "a"])?.trim() == "b")
    })?;
    Ok(String::new())
}

fn objects() -> Result<String> {
    let network = Network::create(Announce::External)?;
    let api = ApiServer::start(&network.management, MANAGEMENT)?;
    let stream = objects::stream(&Wanted::default())?;
    api.apply(&stream)?;
    api.admit(&stream)?;
    let object = api.get(OBJECT)?;
    let profile = object.pointer("/spec/election/profile");
    ensure!(
        profile.is_some_and(|profile| profile == "Default"),
        "the object is not what was applied: {object}"
    );
    members_may_do_no_more(&api)?;
    for place in Place::ALL {
        let server = format!("https://{MANAGEMENT}:6443/readyz");
        let output = network
            .node(place)
            .output(std::process::Command::new("curl").args(["--silent", "--insecure", &server]))?;
        ensure!(
            output.status.success(),
            "{} does not reach the API server",
            place.name()
        );
    }
    api.signal(Signal::SIGSTOP)?;
    let asked = network.management.output(
        std::process::Command::new("curl")
            .args(["--silent", "--insecure", "--max-time", "2"])
            .arg(format!("https://{MANAGEMENT}:6443/readyz")),
    )?;
    api.signal(Signal::SIGCONT)?;
    ensure!(
        !asked.status.success(),
        "an API server that stands still answers"
    );
    api.delete(OBJECT)?;
    api.get(OBJECT).err().context("a deleted object is there")?;
    Ok(String::new())
}

/// Members read what is theirs and write Leases; all else is forbidden to them.
fn members_may_do_no_more(api: &ApiServer<'_>) -> Result<()> {
    let secret = |name: &str| format!("/api/v1/namespaces/lns/secrets/{name}");
    let leases = LEASE.strip_suffix("/edge.master").unwrap_or(LEASE);
    let other = "/api/v1/namespaces/kube-system/secrets/radius";
    for (method, path, status) in [
        ("GET", OBJECT, 200),
        ("GET", &secret("radius"), 200),
        ("GET", leases, 200),
        // They may, and there is none.
        ("GET", LEASE, 404),
        ("GET", "/api/v1/namespaces/lns/secrets", 403),
        ("GET", &secret("users"), 403),
        ("DELETE", &secret("radius"), 403),
        ("DELETE", OBJECT, 403),
        ("DELETE", LEASE, 403),
        ("GET", other, 403),
    ] {
        let answer = api.asked_by_member(method, path)?;
        ensure!(
            answer == status,
            "{method} {path} is answered to a member with {answer}, not {status}"
        );
    }
    Ok(())
}
