//! Sessions that are changed or ended by whoever may (RFC 5176): which are meant, and what is done with
//! them, whole or not at all.
//!
//! A Disconnect-Request ends every session that is as it says: who is named is to be gone. A CoA-Request
//! changes one: where several are as it says, none is changed. A session is there from its coming up until
//! its end has begun.
//!
//! Of a CoA-Request, Filter-Ids take the place of all policies that the session has, and must mean some
//! whatever `unknownFilterId` says; a Session-Timeout counts from now.

use std::borrow::Cow;
use std::sync::Arc;

use lns_radius::dynamic::{Command, ErrorCause, Order, Target};
use lns_tables::path::SlotIndex;
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::radius::Attribute;
use lns_wire::radius::kind::vendor;

use super::avpair::{self, Pair};
use super::grant::{Grant, GrantError};
use super::{line, vendors};
use crate::limits;
use crate::node::Node;
use crate::rejection::Rejection;
use crate::session::Session;

impl Node {
    /// Does what an order says, and gives the sessions that it was done to.
    ///
    /// # Errors
    /// Why nothing has been done.
    pub fn handle_dynamic(
        &mut self,
        order: &Order,
        now: Instant,
    ) -> Result<Vec<(TunnelId, SessionId)>, ErrorCause> {
        let slots = self.meant(&order.target)?;
        let ids = slots.iter().filter_map(|slot| self.name_of(*slot));
        let ids = ids.map(|(tunnel, session, _)| (tunnel, session)).collect();
        match order.command {
            Command::Disconnect => self.end_by_order(order, &slots, now),
            Command::Change => self.change_by_order(order, &slots, now)?,
        }
        Ok(ids)
    }

    /// The sessions that are as `target` says.
    ///
    /// # Cost
    /// By Acct-Session-Id or address one look-up, by User-Name one step for each session that has it.
    fn meant(&self, target: &Target) -> Result<Vec<SlotIndex>, ErrorCause> {
        let candidates: Vec<SlotIndex> = if let Some(session) = &target.session {
            let ids = session
                .parse()
                .ok()
                .and_then(|id| self.session_of_account(id));
            let slot = ids.and_then(|(tunnel, session)| self.index.lookup(tunnel, session));
            slot.into_iter().collect()
        } else if let Some(address) = target.address {
            self.addresses.get(&address).copied().into_iter().collect()
        } else {
            let user: Arc<[u8]> = target.user.as_deref().unwrap_or_default().into();
            let most = limits::DYNAMIC_SESSIONS.saturating_add(1);
            let called = self.accounted.of(&user);
            self.ports
                .sessions(&user)
                .chain(called)
                .take(most)
                .collect()
        };
        let is_meant = |slot: &SlotIndex| {
            let session = self.sessions.get(*slot);
            session.is_some_and(|session| self.is_as(session, target))
        };
        if candidates.len() > limits::DYNAMIC_SESSIONS {
            return Err(ErrorCause::MultipleSessionSelectionUnsupported);
        }
        let found: Vec<_> = candidates.into_iter().filter(is_meant).collect();
        if found.is_empty() {
            return Err(ErrorCause::SessionContextNotFound);
        }
        Ok(found)
    }

    /// Whether a session is all that is said of it, and there.
    fn is_as(&self, session: &Session, target: &Target) -> bool {
        let same = |wanted: &Option<Box<[u8]>>, own: Option<&str>| {
            let wanted = wanted.as_deref();
            wanted.is_none_or(|wanted| own.map(str::as_bytes) == Some(wanted))
        };
        let names = [session.user.as_ref(), session.accounted_user()];
        let is_user = |user: &[u8]| names.iter().flatten().any(|name| ***name == *user);
        let held = session.address.as_ref().map(|held| held.address);
        let link = self.tunnels.get(session.tunnel);
        let port_id = link.map(|link| line::port_id(session, &link.profile.lac.name));
        session.up_at.is_some()
            && session.closing.is_none()
            && target.user.as_deref().is_none_or(is_user)
            && target.address.is_none_or(|address| held == Some(address))
            && same(&target.calling, session.about.calling_number.as_deref())
            && same(&target.called, session.about.called_number.as_deref())
            && same(&target.port_id, port_id.as_deref())
    }

    fn end_by_order(&mut self, order: &Order, slots: &[SlotIndex], now: Instant) {
        for slot in slots {
            if let Some(session) = self.sessions.get_mut(*slot) {
                let detail = format!("by {}", order.client);
                session.detail.get_or_insert(Cow::Owned(detail));
            }
            self.close_session(*slot, "admin_reset", now);
        }
    }

    fn change_by_order(
        &mut self,
        order: &Order,
        slots: &[SlotIndex],
        now: Instant,
    ) -> Result<(), ErrorCause> {
        let [slot] = slots else {
            return Err(ErrorCause::MultipleSessionSelectionUnsupported);
        };
        for attribute in &order.changes {
            can_change(&attribute)?;
        }
        let grant = order.with_changes(Grant::parse);
        let grant = grant.and_then(|read| read.map_err(|_: GrantError| ()).ok());
        let grant = grant.ok_or(ErrorCause::InvalidAttributeValue)?;
        if !grant.filter_ids.iter().all(|it| self.bindings.knows(it)) {
            return Err(ErrorCause::InvalidAttributeValue);
        }
        self.amend(*slot, &grant, now).map_err(|rejection| {
            if matches!(rejection, Rejection::NoPolicyChain) {
                ErrorCause::ResourcesUnavailable
            } else {
                ErrorCause::InvalidAttributeValue
            }
        })
    }
}

/// A vendor's attribute can be changed where all of it is rates.
fn can_change(attribute: &Attribute<'_>) -> Result<(), ErrorCause> {
    let Some(of_vendor) = vendors::read(attribute) else {
        return Ok(());
    };
    let (whose, inner) = of_vendor.map_err(|_| ErrorCause::InvalidAttributeValue)?;
    if whose != vendor::CISCO {
        return Err(ErrorCause::UnsupportedAttribute);
    }
    for inner in inner {
        let inner = inner.map_err(|_| ErrorCause::InvalidAttributeValue)?;
        if inner.kind != vendor::CISCO_AVPAIR {
            return Err(ErrorCause::UnsupportedAttribute);
        }
        let text = core::str::from_utf8(inner.value);
        for pair in avpair::pairs(text.map_err(|_| ErrorCause::InvalidAttributeValue)?) {
            match pair.map_err(|_| ErrorCause::InvalidAttributeValue)? {
                Pair::Up(_) | Pair::Down(_) | Pair::Both(_) | Pair::OfPolicies => {}
                Pair::Route(_) | Pair::Dns(_) | Pair::Unknown => {
                    return Err(ErrorCause::UnsupportedAttribute);
                }
            }
        }
    }
    Ok(())
}
