//! LACs, routers, and what gates let through.

use core::net::SocketAddr;
use core::time::Duration;

use lns_tables::time::Instant;
use lns_wire::l2tp::Packet;

use super::{PROBE, World};
use crate::cluster::queue::Item;
use crate::observe::Way;
use crate::peers::LacState;

/// Probes in a row that a router does without.
const MISSES: u8 = 2;

/// Datagrams that wait for a process that is stopped.
const SOCKET: usize = 256;

/// How late a late datagram is at most, milliseconds.
const LATE: u16 = 1_500;

impl World {
    // Routers.

    pub(super) fn probe(&mut self) {
        self.queue.push(self.now + PROBE, Item::Probe);
        let now = self.now;
        for site in &mut self.sites {
            let answers = site.router_cut == 0 && site.passes(site.gate.announce, now);
            site.missed = if answers {
                0
            } else {
                site.missed.saturating_add(1)
            };
        }
    }

    fn next_hop(&mut self, from: SocketAddr) -> Option<usize> {
        let sites = self.sites.iter().enumerate();
        let there: Vec<usize> = sites
            .filter(|(_, site)| site.missed < MISSES)
            .map(|(number, _)| number)
            .collect();
        if there.is_empty() {
            return None;
        }
        let place = if self.plan.sprays {
            self.dice.place(there.len())
        } else {
            let lac = self.by_address.get(&from).copied().unwrap_or_default();
            (lac + 7 * there.len()) % there.len()
        };
        there.get(place).copied()
    }

    pub(super) fn arrive_at_cluster(&mut self, from: SocketAddr, octets: Vec<u8>) {
        self.note(Way::ToNode, from, &octets);
        let Some(number) = self.next_hop(from) else {
            return;
        };
        let now = self.now;
        let site = &mut self.sites[number];
        if site.router_cut > 0 || site.process.is_none() || !site.passes(site.gate.data, now) {
            return;
        }
        if site.is_paused() {
            let datagrams = site.deferred.iter();
            let waiting = datagrams.filter(|it| matches!(it, Item::ToCluster(..)));
            if waiting.count() < SOCKET {
                site.deferred.push(Item::ToCluster(from, octets));
            }
            return;
        }
        self.reach(number, Item::ToCluster(from, octets));
    }

    // What leaves.

    pub(super) fn send(&mut self, number: usize, to: SocketAddr, octets: &[u8], as_data: bool) {
        let site = &self.sites[number];
        let until = if as_data {
            site.gate.data
        } else {
            site.gate.control
        };
        if !site.passes(until, self.now) {
            return;
        }
        self.note(Way::FromNode, to, octets);
        let Some(lac) = self.by_address.get(&to).copied() else {
            return;
        };
        if let Ok(Packet::Control(header, body)) = Packet::parse(octets) {
            let (tunnel, sent) = (self.lacs[lac].ids().0, self.lacs[lac].numbers().0);
            let is_there = !matches!(self.lacs[lac].state(), LacState::Idle(_));
            let sent = (is_there && tunnel == header.tunnel.0).then_some(sent);
            self.judge.control(number, to, header, body, sent, self.now);
        }
        if self.sites[number].router_cut == 0 {
            self.fly(octets, |octets| Item::ToLac(lac, octets));
        }
    }

    /// What the network does to a datagram.
    fn fly(&mut self, octets: &[u8], arrives: impl Fn(Vec<u8>) -> Item) {
        let faults = self.faults;
        if self.happens(faults.loss) {
            return;
        }
        if self.happens(faults.duplication) {
            let at = self.late();
            self.queue.push(at, arrives(octets.to_vec()));
        }
        let at = if self.happens(faults.reordering) {
            self.late()
        } else {
            self.now + Duration::from_millis(1 + u64::from(faults.delay))
        };
        self.queue.push(at, arrives(octets.to_vec()));
    }

    fn late(&mut self) -> Instant {
        self.now + self.millis(LATE)
    }

    // LACs.

    pub(super) fn arrive_at_lac(&mut self, lac: usize, octets: &[u8]) {
        self.lacs[lac].handle_datagram(octets, self.now);
        self.settle_lac(lac);
    }

    pub(super) fn lac_is_due(&mut self, lac: usize) {
        // One that was set to an earlier time since then has been here already.
        if self.lac_armed[lac].is_none_or(|at| at <= self.now) {
            self.lac_armed[lac] = None;
            self.lacs[lac].handle_timeout(self.now);
            self.settle_lac(lac);
        }
    }

    pub(super) fn settle_lac(&mut self, number: usize) {
        let mut out = Vec::new();
        while self.lacs[number].poll_transmit(self.now, &mut out) {
            let from = self.lacs[number].settings().address;
            self.fly(&out, |octets| Item::ToCluster(from, octets));
        }
        let Some(at) = self.lacs[number].poll_timeout() else {
            return;
        };
        let at = at.max(self.now);
        if self.lac_armed[number].is_none_or(|armed| at < armed) {
            self.lac_armed[number] = Some(at);
            self.queue.push(at, Item::Lac(number));
        }
    }
}
