//! A story of a subscriber that looks for what is not his: every address of nodes, pods and Services.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Story;
use super::bed::{Bed, Scene};
use super::kind::{CONTROL_PLANE, node_of};
use crate::blast;
use crate::cluster::network::{NAS, Place};
use crate::cluster::scene::{Expected, rest};
use crate::lac::{Lac, Options};
use crate::net::{self, VIP};
use crate::scenario::{is_no_route, probe};

pub(super) const STORIES: &[Story] = &[Story {
    name: "kube-scan",
    says: "a subscriber scans every node, pod and Service address, and gets nothing",
    tell: scan,
}];

/// What listens on nodes and in pods, beside the ports of Services.
const PORTS: [u16; 24] = [
    22, 53, 80, 179, 443, 1701, 1702, 1812, 1813, 2379, 2380, 2381, 3799, 6379, 6443, 8080, 8181,
    9153, 9171, 10_248, 10_249, 10_250, 10_256, 26_379,
];

fn scan(scene: &mut Scene) -> Result<Expected> {
    let targets = addresses(&scene.bed)?;
    // A node reaches what the subscriber must not.
    let node = node_of(Place(0));
    let asked = ["curl", "-sk", "--max-time", "5", "https://10.96.0.1/livez"];
    let answer = scene.bed.kind.on(&node, &asked)?;
    ensure!(answer == "ok", "the API server says {answer}");
    let options = Options {
        from_port: 0,
        tunnels: 1,
        sessions: 1,
        tun: None,
        hosts: 0,
        capture: true,
        ..scene.options(1, "scanner{}@isp")
    };
    let lac = Lac::up(scene.lac_space(1), options)?;
    let source = lac.address(0)?;
    let mut probes = 0;
    for target in &targets {
        for tcp in [true, false] {
            for port in PORTS {
                lac.inject(source, &probe(source, *target, port, tcp))?;
                probes += 1;
            }
        }
        lac.inject(source, &ping(source, *target))?;
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    rest(1);
    let mut answers = lac.shared().take_captured();
    answers.retain(|packet| !is_no_route(packet));
    ensure!(
        answers.is_empty(),
        "{} answers, the first: {:02x?}",
        answers.len(),
        answers.first()
    );
    // What he may reach, he does: the silence is not the session's.
    lac.inject(source, &ping(source, net::CORE))?;
    rest(1);
    let answers = lac.shared().take_captured();
    ensure!(!answers.is_empty(), "the core does not answer him");
    lac.close()?;
    scene
        .bed
        .note(format!("{} addresses, {probes} probes", targets.len()));
    Ok(Expected::default())
}

/// An Echo-Request (RFC 792).
fn ping(source: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut packet = blast::udp_packet(source, to, 0, 28);
    packet.truncate(20);
    packet.splice(9..12, [1, 0, 0]);
    let sum = blast::checksum(&packet).to_be_bytes();
    packet.splice(10..12, sum);
    let mut message = [8, 0, 0, 0, 0x4b, 0, 0, 1];
    let [high, low] = blast::checksum(&message).to_be_bytes();
    (message[2], message[3]) = (high, low);
    packet.extend_from_slice(&message);
    packet
}

/// All of them, and those that are the nodes' outside of Kubernetes.
fn addresses(bed: &Bed) -> Result<BTreeSet<Ipv4Addr>> {
    let lists = [
        (
            "nodes",
            "{range .items[*]}{range .status.addresses[?(@.type=='InternalIP')]}{.address} {end}{end}",
        ),
        ("pods", "{range .items[*]}{.status.podIP} {end}"),
        ("services", "{range .items[*]}{.spec.clusterIP} {end}"),
    ];
    let mut all = BTreeSet::from([
        VIP,
        NAS,
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::new(169, 254, 169, 254),
    ]);
    for (kind, path) in lists {
        let path = format!("jsonpath={path}");
        let text = bed.kind.kubectl(&["get", kind, "-A", "-o", &path])?;
        let found: Vec<Ipv4Addr> = text
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        ensure!(!found.is_empty(), "no address of {kind}: {text}");
        all.extend(found);
    }
    let nodes = Place::ALL.map(node_of);
    for node in nodes.iter().map(String::as_str).chain([CONTROL_PLANE]) {
        let links = bed.kind.on(node, &["ip", "-4", "-j", "address"])?;
        let links: Value = serde_json::from_str(&links)?;
        let links = links.as_array().context("no links")?;
        let infos = links
            .iter()
            .filter_map(|link| link.get("addr_info")?.as_array());
        let words = infos
            .flatten()
            .filter_map(|info| info.get("local")?.as_str());
        all.extend(words.filter_map(|word| word.parse::<Ipv4Addr>().ok()));
    }
    // The end of his own link, which he may ask whether it is there.
    all.remove(&Ipv4Addr::new(100, 64, 0, 1));
    Ok(all)
}
