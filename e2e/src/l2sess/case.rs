//! What a row sees of its stage: its subscribers, its host beyond the core, and what became of a packet.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::cast::Policy;
use super::packet::{Ends, Flow, Packet, Way, flag, protocol};
use super::stage::{Arrived, Stage};

/// The three segments that open a connection: whether the opener sends it, and its flags.
pub(super) const HANDSHAKE: &[(bool, u8)] = &[
    (true, flag::SYN),
    (false, flag::SYN | flag::ACK),
    (true, flag::ACK),
];

/// The first two of them.
pub(super) const HALF_OPEN: &[(bool, u8)] = &[(true, flag::SYN), (false, flag::SYN | flag::ACK)];

/// The machine was too slow for what a row asks: it is played again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the machine was too slow to ask in time")
    }
}

impl std::error::Error for Late {}

/// A row, played one way.
#[derive(Debug)]
pub(super) struct Case<'a> {
    /// Where it is played.
    pub(super) stage: &'a Stage<'a>,
    /// The way that is judged and that flows are opened.
    pub(super) way: Way,
    /// Its number, under which what arrives is kept.
    pub(super) owner: usize,
    /// Its host beyond the core.
    pub(super) host: Ipv4Addr,
    /// Its subscribers: the numbers of their sessions.
    pub(super) sessions: Vec<usize>,
    /// The names of its policies.
    pub(super) policies: Vec<String>,
    /// How often it was played before.
    pub(super) attempt: u16,
    /// What has passed as it should.
    passed: Mutex<Arrived>,
}

/// A subscriber and a host beyond the core, between whom flows go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    /// The way of a flow's first packet.
    pub(super) way: Way,
    /// The subscriber's address.
    pub(super) subscriber: Ipv4Addr,
    /// The host's address.
    pub(super) host: Ipv4Addr,
    attempt: u16,
}

impl Seat {
    /// UDP from a port of the opener to one of the other.
    pub(super) const fn udp(self, from: u16, to: u16) -> Flow {
        self.flow(protocol::UDP, Ends::Ports(self.port(from), to))
    }

    /// TCP from a port of the opener to one of the other.
    pub(super) const fn tcp(self, from: u16, to: u16) -> Flow {
        self.flow(protocol::TCP, Ends::Ports(self.port(from), to))
    }

    /// An ICMP question of type `question` and its answer.
    pub(super) const fn query(self, question: u8, answer: u8, identifier: u16) -> Flow {
        let identifier = self.port(identifier);
        self.flow(protocol::ICMP, Ends::Query(question, answer, identifier))
    }

    /// ICMP echo.
    pub(super) const fn ping(self, identifier: u16) -> Flow {
        self.query(8, 0, identifier)
    }

    /// A protocol without ports.
    pub(super) const fn plain(self, protocol: u8) -> Flow {
        self.flow(protocol, Ends::None)
    }

    /// The same with flows that begin on the other side.
    pub(super) const fn turned(self) -> Self {
        Self {
            way: self.way.back(),
            ..self
        }
    }

    /// Of another attempt there are other ports: the flows of the one before may still live.
    const fn port(self, port: u16) -> u16 {
        port.wrapping_add(self.attempt * 64)
    }

    const fn flow(self, protocol: u8, ends: Ends) -> Flow {
        let (opener, other) = match self.way {
            Way::Up => (self.subscriber, self.host),
            Way::Down => (self.host, self.subscriber),
        };
        Flow {
            way: self.way,
            opener,
            other,
            protocol,
            ends,
        }
    }
}

impl<'a> Case<'a> {
    /// A row's play number `owner` in the direction `way`.
    pub(super) fn new(
        stage: &'a Stage<'a>,
        owner: usize,
        way: Way,
        sessions: Vec<usize>,
        policies: Vec<String>,
    ) -> Result<Self> {
        let case = Self {
            stage,
            way,
            owner,
            host: super::stage::host(owner),
            sessions,
            policies,
            attempt: 0,
            passed: Mutex::default(),
        };
        let mut addresses = vec![case.host];
        for place in 0..case.sessions.len() {
            addresses.push(case.address(place)?);
        }
        stage.own(owner, &addresses);
        Ok(case)
    }

    /// The address of subscriber `place` of this row.
    pub(super) fn address(&self, place: usize) -> Result<Ipv4Addr> {
        let session = self.sessions.get(place).context("no such subscriber")?;
        self.stage.lac.address(*session)
    }

    /// The user name of subscriber `place` of this row.
    pub(super) fn user(&self, place: usize) -> Result<String> {
        let session = self.sessions.get(place).context("no such subscriber")?;
        Ok(super::user(*session))
    }

    /// Subscriber `place` and the host beyond the core.
    pub(super) fn seat(&self, place: usize) -> Result<Seat> {
        Ok(Seat {
            way: self.way,
            subscriber: self.address(place)?,
            host: self.host,
            attempt: self.attempt,
        })
    }

    /// The packet arrives as it was sent, once.
    pub(super) fn passes(&self, packet: &Packet) -> Result<()> {
        self.comes_out(packet, packet, true)
    }

    /// The packet does not arrive.
    pub(super) fn drops(&self, packet: &Packet) -> Result<()> {
        self.comes_out(packet, packet, false)
    }

    /// Sends the packet, whatever becomes of it.
    pub(super) fn sends(&self, packet: &Packet) -> Result<()> {
        self.stage.send(session_of(packet), packet)
    }

    /// The packet does not arrive when it comes from the session of `session`.
    pub(super) fn drops_from(&self, session: Ipv4Addr, packet: &Packet) -> Result<()> {
        let before = self.stage.count(self.owner, packet);
        self.stage.send(session, packet)?;
        self.stage.flush(packet.way)?;
        ensure!(
            self.stage.count(self.owner, packet) == before,
            "{packet} arrives"
        );
        Ok(())
    }

    /// What is sent as `sent` comes out as `out`, maybe on another way, or does not.
    pub(super) fn comes_out(&self, sent: &Packet, out: &Packet, passes: bool) -> Result<()> {
        let before = self.stage.count(self.owner, out);
        self.stage.send(session_of(sent), sent)?;
        if passes {
            ensure!(
                self.stage.wait_for(self.owner, out, before),
                "{sent} does not arrive"
            );
            self.note(out);
            return Ok(());
        }
        self.stage.flush(sent.way)?;
        if out.way != sent.way {
            // Between subscribers it takes one way and then the other.
            self.stage.flush(out.way)?;
        }
        ensure!(
            self.stage.count(self.owner, out) == before,
            "{sent} arrives"
        );
        Ok(())
    }

    fn note(&self, packet: &Packet) {
        let arrival = (packet.way, packet.expected());
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        *passed.entry(arrival).or_default() += 1;
    }

    /// The packet arrives while `limit` is not over since `last`. The time of its arrival.
    pub(super) fn passes_within(
        &self,
        packet: &Packet,
        last: Instant,
        limit: Duration,
    ) -> Result<Instant> {
        let sent = Instant::now();
        let result = self.passes(packet);
        if last.elapsed() >= limit {
            bail!(Late);
        }
        result?;
        Ok(sent)
    }

    /// Each of these segments of `flow` passes: whether the opener sends it, and its flags.
    pub(super) fn segments(&self, flow: &Flow, segments: &[(bool, u8)]) -> Result<()> {
        for (is_openers, flags) in segments {
            let packet = if *is_openers { flow.out() } else { flow.back() };
            self.passes(&packet.flags(*flags))?;
        }
        Ok(())
    }

    /// The flows of subscriber `place` as `lnsd flows` shows them.
    pub(super) fn flows(&self, place: usize) -> Result<Vec<Value>> {
        let user = self.user(place)?;
        self.stage.lnsd.rows("flows", &["flows", "--user", &user])
    }

    /// Fails unless subscriber `place` has `count` flows.
    pub(super) fn has_flows(&self, place: usize, count: usize) -> Result<()> {
        let flows = self.flows(place)?;
        ensure!(
            flows.len() == count,
            "{} flows, not {count}: {flows:?}",
            flows.len()
        );
        Ok(())
    }

    /// Ends the flows of subscriber `place`.
    pub(super) fn flush_flows(&self, place: usize) -> Result<()> {
        let user = self.user(place)?;
        self.stage
            .lnsd
            .table(&["flows", "--user", &user, "--flush"])?;
        Ok(())
    }

    /// Changes policy `place` of this row; it is in force when this is done.
    pub(super) fn change(&self, place: usize, change: impl FnOnce(&mut Policy)) -> Result<()> {
        let name = self.policies.get(place).context("no such policy")?;
        let outcome = self.stage.reload(|_, policies| {
            if let Some(policy) = policies.iter_mut().find(|policy| policy.name == *name) {
                change(policy);
            }
        })?;
        outcome.map_err(|error| anyhow::anyhow!("the reload is refused: {error}"))
    }

    /// Nothing has come but what has passed as it should.
    pub(super) fn finish(&self) -> Result<()> {
        for way in [Way::Up, Way::Down] {
            self.stage.flush(way)?;
        }
        let passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        for (arrival, count) in self.stage.arrived(self.owner) {
            let expected = passed.get(&arrival).copied().unwrap_or(0);
            ensure!(
                count == expected,
                "{} arrived {count} times, not {expected}: {:02x?}",
                arrival.0.label(),
                arrival.1
            );
        }
        Ok(())
    }

    /// Takes in what has arrived so far, whatever it is.
    pub(super) fn accept_all(&self) {
        let arrived = self.stage.arrived(self.owner);
        *self.passed.lock().unwrap_or_else(PoisonError::into_inner) = arrived;
    }
}

fn session_of(packet: &Packet) -> Ipv4Addr {
    match packet.way {
        Way::Up => packet.source,
        Way::Down => packet.destination,
    }
}

/// Waits until `duration` is over since `start`.
pub(super) fn wait(start: Instant, duration: Duration) {
    std::thread::sleep(duration.saturating_sub(start.elapsed()));
}
