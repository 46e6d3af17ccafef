//! Strays: what only the store or another member has a record of, because the node took over without hearing
//! of it (spec: cluster, 2). Its tunnel's numbers went on without this node, so it is not restored: accounting has
//! its Stop, its ids and its address rest, and a record says so.
//!
//! As long as there may be any, nobody new is let in ([`Node::handle_admission`]): a stray may have the ids or the
//! address. Left out: telling its LAC, which hears nothing of its tunnel any more and gives it up.

use std::sync::Arc;

use lns_tables::path::SlotIndex;
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};

use super::form::{self, Form, GoneForm, SessionForm};
use super::read::{Reading, held, leaving, session};
use super::{Grave, RecordKey, StoreTime, Unreadable};
use crate::node::Node;
use crate::profile::orphan;

impl Node {
    /// Whether tunnels and calls are let in, and pools give addresses out: not while it is unknown who has which.
    /// A demotion opens it again.
    pub const fn handle_admission(&mut self, is_open: bool) {
        self.admitting = is_open;
    }

    /// Ends what only this record tells of. Whether it was a stray: what the node knows itself goes on, and a
    /// node that follows takes records in by [`Self::handle_record`].
    ///
    /// # Errors
    /// Why the record cannot be read; nothing has changed.
    pub fn handle_stray(
        &mut self,
        key: RecordKey,
        octets: &[u8],
        now: Instant,
        date: StoreTime,
    ) -> Result<bool, Unreadable> {
        if !self.records.are_written() || self.knows(key) {
            return Ok(false);
        }
        let (written, form) = form::read(octets)?;
        let age = date.since(written);
        let reading = Reading { now, age };
        match (key, form) {
            (RecordKey::Tunnel(tunnel), Form::Tunnel(_) | Form::Gone(_)) if !tunnel.is_none() => {
                self.end_stray_tunnel(tunnel, now);
            }
            (RecordKey::Session(tunnel, id), Form::Session(form)) if !id.is_none() => {
                self.end_stray_session(tunnel, id, *form, reading);
            }
            (RecordKey::Session(tunnel, id), Form::Gone(form)) if !id.is_none() => {
                self.end_stray_grave(tunnel, id, *form, reading);
            }
            (RecordKey::Tunnel(_) | RecordKey::Session(..), _) => return Err(Unreadable::Unfit),
        }
        Ok(true)
    }

    fn knows(&self, key: RecordKey) -> bool {
        let is_there = match key {
            RecordKey::Tunnel(tunnel) => self.tunnels.get(tunnel).is_some(),
            RecordKey::Session(tunnel, session) => self.index.lookup(tunnel, session).is_some(),
        };
        is_there || self.records.graves.contains_key(&key)
    }

    fn end_stray_tunnel(&mut self, tunnel: TunnelId, now: Instant) {
        if self.index.keep_tunnel(tunnel) {
            self.index.rest_tunnel(tunnel, now);
        }
        self.bury(RecordKey::Tunnel(tunnel), Grave::default(), now);
    }

    fn end_stray_session(
        &mut self,
        tunnel: TunnelId,
        id: SessionId,
        form: SessionForm,
        reading: Reading,
    ) {
        let link = self.tunnels.get(tunnel);
        let profile = link.map(|link| Arc::clone(&link.profile));
        let profile = profile.unwrap_or_else(|| Arc::new(orphan("", &self.host_name)));
        let slot = SlotIndex(form.slot);
        let (session, _, _) = session(tunnel, id, profile, form, reading);
        self.account_stray(slot, &session, reading.now);
        let grave = Grave {
            held: session.address,
            ..Grave::default()
        };
        self.bury_stray(tunnel, id, grave, reading.now);
    }

    fn end_stray_grave(
        &mut self,
        tunnel: TunnelId,
        id: SessionId,
        form: GoneForm,
        reading: Reading,
    ) {
        if let Some(stop) = form.stop {
            let (_, leaving) = leaving(stop, reading);
            self.account_stray_end(leaving);
        }
        let grave = Grave {
            held: form.address.map(held),
            ..Grave::default()
        };
        self.bury_stray(tunnel, id, grave, reading.now);
    }

    fn bury_stray(&mut self, tunnel: TunnelId, id: SessionId, grave: Grave, now: Instant) {
        // Without its tunnel there is nothing that could give the id out.
        if self.index.keep_session(tunnel, id) {
            self.index.rest_session(tunnel, id, now);
        }
        self.rest_address(grave.held.as_ref(), now);
        self.bury(RecordKey::Session(tunnel, id), grave, now);
    }
}
