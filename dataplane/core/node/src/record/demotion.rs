//! The change of sides, the other way: a node that was the active one follows another.
//!
//! What it did since it lost its authority is nobody's, and what it knows is as old as that: it keeps
//! forwarding by it, reads everything anew ([`Node::handle_reload`] to [`Node::handle_reloaded`]), and
//! what the store does not know is gone then. A node that has fallen behind reads anew in the same way.

use lns_tables::path::SlotIndex;
use lns_tables::time::Instant;
use lns_wire::id::TunnelId;

use super::{RecordKey, Role};
use crate::node::Node;

impl Node {
    /// Is not the active node any more. What waits to be sent, asked or told is dropped: the node that is
    /// active now does it, or it is not to be done.
    ///
    /// # Cost
    /// One step for each tunnel, session and record of what is over.
    pub fn handle_demotion(&mut self, now: Instant) {
        if self.records.role == Role::Standby {
            return;
        }
        self.records.role = Role::Standby;
        self.admitting = true;
        self.records.renumber.clear();
        self.index.keep_resting();
        self.end_tallies();
        self.keep_sessions(now);
        self.keep_graves();
        self.keep_tunnels(now);
        self.forget_outputs();
    }

    /// Everything is going to be read anew.
    pub fn handle_reload(&mut self) {
        let tunnels = self.tunnels.after(None);
        let mut unread: std::collections::BTreeSet<RecordKey> = tunnels
            .map(|(tunnel, _)| RecordKey::Tunnel(tunnel))
            .collect();
        unread.extend(self.records.graves.keys());
        let sessions = self.sessions.range(0..self.sessions.span());
        unread.extend(
            sessions.map(|(_, session)| RecordKey::Session(session.tunnel, session.call.local())),
        );
        self.records.unread = Some(unread);
    }

    /// Everything has been read: what was not is gone.
    pub fn handle_reloaded(&mut self, now: Instant) {
        let unread = self.records.unread.take().unwrap_or_default();
        // Sessions before their tunnels.
        for key in unread.into_iter().rev() {
            match key {
                RecordKey::Session(tunnel, session) => {
                    if let Some(slot) = self.index.lookup(tunnel, session) {
                        self.evict(slot, now);
                    }
                }
                RecordKey::Tunnel(tunnel) if self.tunnels.get(tunnel).is_some() => {
                    self.take_tunnel_end(tunnel, now);
                }
                RecordKey::Tunnel(_) => {}
            }
            self.open_grave(key);
        }
    }

    /// A record was read.
    pub(super) fn note_read(&mut self, key: RecordKey) {
        if let Some(unread) = &mut self.records.unread {
            unread.remove(&key);
        }
    }

    fn keep_sessions(&mut self, now: Instant) {
        let slots: Vec<SlotIndex> = self
            .sessions
            .range(0..self.sessions.span())
            .map(|(slot, _)| slot)
            .collect();
        for slot in slots {
            self.wheel.disarm(slot.0);
            let Some(session) = self.sessions.get_mut(slot) else {
                continue;
            };
            session.question = None;
            session.echo_asked = false;
            let key = RecordKey::Session(session.tunnel, session.call.local());
            let said = session.said.take();
            if let Some(ppp) = session.ppp.take()
                && let Some(image) = ppp.image(now)
            {
                self.records.ppp.insert(slot, (now, image));
            }
            self.keep_said(key, said);
        }
    }

    /// What may have to be said again.
    fn keep_said(&mut self, key: RecordKey, number: Option<lns_l2tp::MessageNumber>) {
        let RecordKey::Session(tunnel, _) = key else {
            return;
        };
        let link = self.tunnels.get(tunnel).zip(number);
        let message = link.and_then(|(link, number)| link.machine.kept(number));
        if let Some(message) = message {
            self.records.said.insert(key, vec![message]);
        }
    }

    fn keep_graves(&mut self) {
        let graves = self.records.graves.iter();
        let said: Vec<_> = graves.map(|(key, grave)| (*key, grave.cdn)).collect();
        for (key, number) in said {
            self.keep_said(key, number);
        }
    }

    fn keep_tunnels(&mut self, now: Instant) {
        let ids: Vec<TunnelId> = self.tunnels.after(None).map(|(tunnel, _)| tunnel).collect();
        for tunnel in ids {
            let key = self.max_sessions.saturating_add(u32::from(tunnel.0));
            self.wheel.disarm(key);
            let Some(link) = self.tunnels.get_mut(tunnel) else {
                continue;
            };
            link.report_asked = false;
            if let Some(image) = link.machine.image(now) {
                self.records.images.insert(tunnel, (now, image));
            }
        }
    }

    fn forget_outputs(&mut self) {
        while self.ready.pop().is_some() {}
        while self.records.tunnels.pop().is_some() {}
        while self.records.sessions.pop().is_some() {}
        self.records.gone.clear();
        self.records.rests.clear();
        self.records.over.clear();
        self.teardown.clear();
        self.frames.clear();
        self.orders.clear();
        self.accounts.wait_for_nobody();
    }
}
