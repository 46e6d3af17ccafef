//! I12: every state has an exit. Whatever waits is watched with a bound of its own: a half-open tunnel, a
//! tunnel or a subscriber that nothing comes from, a call on its way up, a request that nobody
//! answers, a tunnel that is over.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BTreeMap, BinaryHeap};

use lns_node::{Event, Node, view};
use lns_tables::path::PathUpdate;
use lns_tables::time::Instant;
use lns_wire::id::TunnelId;
use lns_wire::ppp::{Code, Frame, Packet, Protocol};

use super::calls::succession::Kept;
use super::{Finding, Invariant, Key, Rules};

/// A LAC's patience, and ours: 1, 2, 4, 8, 8 and 8 seconds.
const CYCLE: Duration = Duration::from_secs(31);

/// A call that is not up by then ends.
const BRING_UP: Duration = Duration::from_secs(60);

/// After a session's network went down: bring-up once more, or two requests to terminate.
const DOWN: Duration = Duration::from_secs(70);

/// A request that nobody answers is repeated after three seconds.
const RESTART: Duration = Duration::from_secs(3);

/// A tick of the timers, and what the workers take to report.
const SLACK: Duration = Duration::from_secs(5);

/// The same where nobody has to be asked.
const TICK: Duration = Duration::from_millis(200);

/// What is watched, and of which object.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Watched {
    HalfOpen(TunnelId),
    Over(TunnelId),
    SilentTunnel(TunnelId),
    Opening(Key),
    Down(Key),
    SilentSession(Key),
    Aged(Key),
    Unanswered(Key),
}

/// What is known of a tunnel.
#[derive(Debug)]
struct Tunnel {
    opened: Instant,
    up: bool,
    over: Option<Instant>,
    heard: Instant,
}

/// What is known of a session.
#[derive(Debug)]
struct Session {
    began: Instant,
    up: Option<Instant>,
    down: Option<Instant>,
    heard: Instant,
    /// The last thing said was a request at this time, and nothing came since.
    asked: Option<Instant>,
    no_echo: bool,
}

/// All that is watched.
#[derive(Debug)]
pub(super) struct Deadlines {
    hello: Duration,
    echo: Duration,
    limit: Option<Duration>,
    tunnels: BTreeMap<TunnelId, Tunnel>,
    sessions: BTreeMap<Key, Session>,
    queue: BinaryHeap<Reverse<(Instant, Watched)>>,
    excused: Instant,
}

impl Deadlines {
    pub(super) const fn new(rules: &Rules) -> Self {
        Self {
            hello: rules.hello,
            echo: rules.echo,
            limit: if rules.session.is_zero() {
                None
            } else {
                Some(rules.session)
            },
            tunnels: BTreeMap::new(),
            sessions: BTreeMap::new(),
            queue: BinaryHeap::new(),
            excused: Instant::ZERO,
        }
    }

    pub(super) fn excuse(&mut self, until: Instant) {
        self.excused = self.excused.max(until);
    }

    /// From now on a session may be as old as it likes.
    pub(super) const fn forget_limit(&mut self) {
        self.limit = None;
    }

    /// When the node last woke.
    pub(super) const fn excused(&self) -> Instant {
        self.excused
    }

    fn watch(&mut self, at: Instant, what: Watched) {
        self.queue.push(Reverse((at, what)));
    }

    // What is seen.

    pub(super) fn tunnel_opened(&mut self, tunnel: TunnelId, now: Instant) {
        let known = Tunnel {
            opened: now,
            up: false,
            over: None,
            heard: now,
        };
        self.tunnels.insert(tunnel, known);
        self.watch(now + CYCLE + SLACK, Watched::HalfOpen(tunnel));
    }

    pub(super) fn heard_tunnel(&mut self, tunnel: TunnelId, now: Instant) {
        if let Some(known) = self.tunnels.get_mut(&tunnel) {
            known.heard = now;
        }
    }

    pub(super) fn heard_session(&mut self, key: Key, frame: &[u8], now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        session.heard = now;
        session.asked = None;
        if let Ok(frame) = Frame::parse(frame)
            && frame.protocol == Protocol::LCP
            && let Ok(packet) = Packet::parse(frame.information)
            && packet.code == Code::CODE_REJECT
        {
            session.no_echo |= packet.data.first() == Some(&Code::ECHO_REQUEST.0);
        }
    }

    /// The node said something to a subscriber.
    pub(super) fn said(&mut self, key: Key, frame: &[u8], now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let is_request = Frame::parse(frame).is_ok_and(|frame| match frame.protocol {
            Protocol::LCP | Protocol::IPCP => {
                frame.information.first() == Some(&Code::CONFIGURE_REQUEST.0)
            }
            // A Challenge.
            Protocol::CHAP => frame.information.first() == Some(&1),
            _ => false,
        });
        session.asked = is_request.then_some(now);
        if is_request {
            self.watch(now + RESTART + TICK, Watched::Unanswered(key));
        }
    }

    pub(super) fn path(&mut self, update: &PathUpdate, now: Instant) {
        match *update {
            PathUpdate::SetTunnel { tunnel, .. } => {
                if let Some(known) = self.tunnels.get_mut(&tunnel)
                    && !core::mem::replace(&mut known.up, true)
                {
                    self.watch(now + self.hello, Watched::SilentTunnel(tunnel));
                }
            }
            PathUpdate::SetSession { path, .. } => {
                self.set((path.tunnel, path.session), path.address.is_some(), now);
            }
            PathUpdate::ClearSession {
                tunnel, session, ..
            } => {
                self.sessions.remove(&(tunnel, session));
            }
            PathUpdate::SetPolicies { .. }
            | PathUpdate::ClearTunnel { .. }
            | PathUpdate::SetRoute { .. }
            | PathUpdate::ClearRoute { .. }
            | PathUpdate::ReportSession { .. }
            | PathUpdate::ReportTunnel { .. } => {}
        }
    }

    fn set(&mut self, key: Key, has_address: bool, now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            let session = Session {
                began: now,
                up: None,
                down: None,
                heard: now,
                asked: None,
                no_echo: false,
            };
            self.sessions.insert(key, session);
            return self.watch(now + BRING_UP + SLACK, Watched::Opening(key));
        };
        if has_address {
            session.down = None;
        } else if session.up.is_some() && session.down.is_none() {
            session.down = Some(now);
            self.watch(now + DOWN + SLACK, Watched::Down(key));
        }
    }

    pub(super) fn event(&mut self, event: &Event, now: Instant) {
        match event {
            Event::SessionUp {
                tunnel, session, ..
            } => {
                let key = (*tunnel, *session);
                if let Some(session) = self.sessions.get_mut(&key) {
                    session.up = Some(now);
                }
                if !self.echo.is_zero() {
                    self.watch(now + self.echo + SLACK, Watched::SilentSession(key));
                }
                if let Some(limit) = self.limit {
                    self.watch(now + limit + SLACK + DOWN, Watched::Aged(key));
                }
            }
            Event::TunnelDown { tunnel, .. } => {
                if let Some(known) = self.tunnels.get_mut(tunnel) {
                    known.over = Some(now);
                }
                self.watch(now + CYCLE + SLACK, Watched::Over(*tunnel));
            }
            Event::TunnelUp { .. }
            | Event::SessionDown(_)
            | Event::CallRefused { .. }
            | Event::LacRefused { .. } => {}
        }
    }

    /// Another node goes on: all that it has has its time from then on, and what it has not is nobody's.
    pub(super) fn succeed(
        &mut self,
        shown: &[view::Tunnel],
        kept: impl Iterator<Item = Kept>,
        now: Instant,
    ) {
        let before = core::mem::take(&mut self.tunnels);
        for (tunnel, mut known) in before {
            if let Some(shown) = shown.iter().find(|it| it.id == tunnel.0) {
                known.over = is_over(shown).then(|| known.over.unwrap_or(now));
                self.tunnels.insert(tunnel, known);
                self.watch(now + CYCLE + SLACK, Watched::Over(tunnel));
            }
        }
        let before = core::mem::take(&mut self.sessions);
        for Kept {
            key,
            up,
            has_address,
        } in kept
        {
            let known = before.get(&key);
            let session = Session {
                began: now,
                up: up.then(|| known.and_then(|known| known.up).unwrap_or(now)),
                down: (up && !has_address).then_some(now),
                heard: now,
                asked: None,
                no_echo: known.is_some_and(|known| known.no_echo),
            };
            self.sessions.insert(key, session);
            self.watch(now + BRING_UP + SLACK, Watched::Opening(key));
            self.watch(now + DOWN + SLACK, Watched::Down(key));
            if up && !self.echo.is_zero() {
                self.watch(now + self.echo + SLACK, Watched::SilentSession(key));
            }
            if let Some(limit) = self.limit {
                self.watch(now + limit + SLACK + DOWN, Watched::Aged(key));
            }
        }
    }

    // What must have happened.

    pub(super) fn settled(&mut self, node: &Node, now: Instant) -> Finding {
        if node.poll_timeout().is_none() {
            return late("the node waits for nothing, not even its sweep".to_owned());
        }
        if node.stats().overdue > 0 {
            return late("the back-stop sweep found something overdue".to_owned());
        }
        while let Some(Reverse((_, what))) = self.queue.peek().copied().filter(|it| it.0.0 < now) {
            self.queue.pop();
            let Some((since, bound)) = self.bound(what) else {
                continue;
            };
            // What slept could do nothing, and begins to count when it wakes.
            let until = since.max(self.excused) + bound;
            if now <= until {
                self.watch(until, what);
            } else {
                self.judge(what, since, node, now)?;
            }
        }
        Ok(())
    }

    /// Since when something waits and how long it may; `None`: it does not wait any more.
    fn bound(&self, what: Watched) -> Option<(Instant, Duration)> {
        let tunnel = |tunnel| self.tunnels.get(&tunnel);
        let session = |key| self.sessions.get(&key);
        match what {
            Watched::HalfOpen(id) => {
                let it = tunnel(id).filter(|it| !it.up && it.over.is_none())?;
                Some((it.opened, CYCLE + SLACK))
            }
            // Ours is repeated as long as this, and then the LAC may say that it ends it.
            Watched::Over(id) => Some((tunnel(id)?.over?, CYCLE * 2 + SLACK)),
            Watched::SilentTunnel(id) => {
                let it = tunnel(id).filter(|it| it.over.is_none())?;
                Some((it.heard, self.hello + CYCLE + SLACK))
            }
            Watched::Opening(key) => {
                let it = session(key).filter(|it| it.up.is_none())?;
                Some((it.began, BRING_UP + SLACK))
            }
            Watched::Down(key) => Some((session(key)?.down?, DOWN + SLACK)),
            Watched::SilentSession(key) => {
                let it = session(key).filter(|it| !it.no_echo)?;
                Some((it.heard, self.echo + SLACK))
            }
            Watched::Aged(key) => Some((session(key)?.up?, self.limit? + DOWN + SLACK)),
            Watched::Unanswered(key) => Some((session(key)?.asked?, RESTART + TICK)),
        }
    }

    fn judge(&mut self, what: Watched, since: Instant, node: &Node, now: Instant) -> Finding {
        late(match what {
            Watched::Over(tunnel) => {
                let before = tunnel.0.checked_sub(1).map(TunnelId);
                let shown = node.tunnels(before, 1, now).0;
                self.tunnels.remove(&tunnel);
                let Some(shown) = shown.iter().find(|it| it.id == tunnel.0) else {
                    return Ok(());
                };
                let state = shown.state;
                format!("tunnel {tunnel} is over since {since:?}, and still there: {state}")
            }
            Watched::HalfOpen(tunnel) => format!("tunnel {tunnel} is half open since {since:?}"),
            Watched::SilentTunnel(tunnel) => {
                format!("nothing came through tunnel {tunnel} since {since:?}")
            }
            Watched::Opening(key) => format!("{key:?} is on its way up since {since:?}"),
            Watched::Down(key) => format!("{key:?} is down since {since:?}"),
            Watched::SilentSession(key) => format!("nothing came from {key:?} since {since:?}"),
            Watched::Aged(key) => format!("{key:?} is up since {since:?}"),
            Watched::Unanswered(key) => {
                format!("a request in {key:?} is not repeated since {since:?}")
            }
        })
    }
}

/// Whether a tunnel that the node shows has ended.
pub(super) fn is_over(shown: &view::Tunnel) -> bool {
    !matches!(shown.state, "wait-ctl-conn" | "established")
}

fn late(what: String) -> Finding {
    Err((Invariant::Deadlines, what))
}
