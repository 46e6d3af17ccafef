//! What the workers look packets up in: sessions by slot, tunnels by id, slots by subscriber address;
//! and the policers that some sessions have.
//!
//! One writer, the [`Control`](crate::Control); any number of readers, which never wait for it. Every
//! entry is guarded by a version ([`seqlock`]) and holds the ids or the address by which it was
//! looked for, so that a stale way to it is noticed: the entry decides, not the index.

mod addresses;
mod policers;
mod routes;
pub(crate) mod seqlock;
mod sessions;
mod tunnels;

use core::net::SocketAddr;
use std::sync::Arc;

use lns_tables::index::PageIndex;
use lns_tables::path::{SessionPath, SlotIndex, TunnelPath};
use lns_wire::id::{SessionId, TunnelId};

pub use self::addresses::AddressTable;
use self::policers::Policers;
pub(crate) use self::policers::is_limited;
pub use self::policers::{Policer, PolicerId};
pub use self::routes::RouteTable;
pub use self::seqlock::Busy;
pub use self::sessions::{Direction, SessionSlot, SessionView};
pub use self::tunnels::{TunnelSlot, TunnelView};
pub use crate::memory::NoMemory;
use crate::memory::Zeroed;

/// The place of a service address in [`Config::listen`](crate::Config::listen).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Service(pub u8);

/// A session that was found: what it is, where, and its counters.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Its slot's number.
    pub index: SlotIndex,
    /// Its slot.
    pub slot: &'a SessionSlot,
    /// What the slot said when it was read.
    pub view: SessionView,
    /// The policer that the slot names.
    pub policer: Option<&'a Policer>,
}

impl Found<'_> {
    /// The session as the control said it.
    pub fn path(&self) -> SessionPath {
        let Self { view, policer, .. } = self;
        SessionPath {
            tunnel: view.tunnel,
            session: view.session,
            peer_session: view.peer_session,
            address: view.address,
            mtu: view.mtu,
            mss: view.mss,
            sequencing: view.sequencing,
            acfc: view.acfc,
            pfc: view.pfc,
            chain: view.chain,
            rates: policer.map(Policer::rates).unwrap_or_default(),
        }
    }
}

/// Sessions and tunnels.
#[derive(Debug)]
pub struct Tables {
    index: Arc<PageIndex>,
    sessions: Zeroed<SessionSlot>,
    policers: Policers,
    tunnels: Zeroed<TunnelSlot>,
    routes: RouteTable,
    services: Box<[SocketAddr]>,
}

impl Tables {
    /// Empty tables for `capacity` sessions and every tunnel id.
    ///
    /// # Errors
    /// [`NoMemory`] when the system does not even give the address space.
    pub fn new(
        capacity: u32,
        services: Vec<SocketAddr>,
        index: Arc<PageIndex>,
    ) -> Result<Self, NoMemory> {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        Ok(Self {
            index,
            sessions: Zeroed::new(capacity)?,
            policers: Policers::new(capacity)?,
            tunnels: Zeroed::new(usize::from(u16::MAX).saturating_add(1))?,
            routes: RouteTable::new()?,
            services: services.into_boxed_slice(),
        })
    }

    /// The session that a data message names.
    ///
    /// # Errors
    /// [`Busy`] when its slot was being written all the time.
    ///
    /// # Cost
    /// Two loads in the index, three in the slot.
    pub fn session(&self, tunnel: TunnelId, session: SessionId) -> Result<Option<Found<'_>>, Busy> {
        let Some(index) = self.index.lookup(tunnel, session) else {
            return Ok(None);
        };
        let found = self.slot(index)?;
        Ok(found.filter(|found| found.view.tunnel == tunnel && found.view.session == session))
    }

    /// The session in a slot, if it holds one.
    ///
    /// # Errors
    /// [`Busy`] when the slot was being written all the time.
    pub fn slot(&self, index: SlotIndex) -> Result<Option<Found<'_>>, Busy> {
        let Some(slot) = self.session_slot(index) else {
            return Ok(None);
        };
        Ok(slot.read()?.map(|view| Found {
            index,
            slot,
            view,
            policer: view.policer.and_then(|policer| self.policer(policer)),
        }))
    }

    /// The tunnel with our id `tunnel`, if it exists.
    ///
    /// # Errors
    /// [`Busy`] when its entry was being written all the time.
    pub fn tunnel(&self, tunnel: TunnelId) -> Result<Option<(&TunnelSlot, TunnelView)>, Busy> {
        let Some(slot) = self.tunnel_slot(tunnel) else {
            return Ok(None);
        };
        Ok(slot.read()?.map(|view| (slot, view)))
    }

    /// What is routed to subscribers beside their addresses.
    pub const fn routes(&self) -> &RouteTable {
        &self.routes
    }

    /// The service address of that number.
    pub fn service(&self, service: Service) -> Option<SocketAddr> {
        self.services.get(usize::from(service.0)).copied()
    }

    /// The number of a service address.
    pub fn service_of(&self, address: SocketAddr) -> Option<Service> {
        let place = self.services.iter().position(|each| *each == address)?;
        u8::try_from(place).ok().map(Service)
    }

    /// The slot itself, whatever it holds.
    pub(crate) fn session_slot(&self, index: SlotIndex) -> Option<&SessionSlot> {
        usize::try_from(index.0)
            .ok()
            .and_then(|at| self.sessions.get(at))
    }

    /// The policer of that number.
    pub(crate) fn policer(&self, policer: PolicerId) -> Option<&Policer> {
        self.policers.get(policer)
    }

    /// The entry itself, whatever it holds.
    pub(crate) fn tunnel_slot(&self, tunnel: TunnelId) -> Option<&TunnelSlot> {
        self.tunnels.get(usize::from(tunnel.0))
    }

    /// Writes a tunnel's entry; `false` when `path.local` is no service address. For the control only.
    pub(crate) fn set_tunnel(&self, tunnel: TunnelId, path: &TunnelPath) -> bool {
        let view = self.service_of(path.local).map(|service| TunnelView {
            service,
            remote: path.remote,
            peer_tunnel: path.peer_tunnel,
        });
        match (view, self.tunnel_slot(tunnel)) {
            (Some(view), Some(slot)) => {
                slot.write(Some(&view));
                true
            }
            _ => false,
        }
    }
}
