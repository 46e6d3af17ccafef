//! All keys of a member: written by the control channel, read by workers without a lock.

use core::net::SocketAddr;
use core::ops::Deref;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};

use super::halves::Halves;
use super::header::{Header, KeyId, Part};
use super::key::{Direction, OpenKey, SealKey, Secret};
use super::mtu::PathMtu;
use super::packet::Packet;
use super::refused::Refused;
use super::route::Route;
use crate::epochs::Epochs;
use crate::figures::Tally;
use crate::limits::{NUMBERS, REKEY};
use crate::member::PeerNumber;
use crate::wire::DataKey;

/// Keys that open, per peer: the last, and the one before it.
const LIVE: usize = 2;

/// Bits of a key's id that say where it is.
const PLACE_BITS: u32 = 9;

const _: () = assert!(NUMBERS * LIVE <= 1 << PLACE_BITS);

/// The keys of a member. All clones are one.
#[derive(Clone, Debug)]
pub struct Data(Arc<Shared>);

/// By number of the peer.
type RouteTable = Box<[Option<Route>]>;

/// By the last bits of the key's id.
type KeyTable = Box<[Option<Arc<OpenKey>>]>;

#[derive(Debug)]
struct Shared {
    routes: ArcSwap<RouteTable>,
    openers: ArcSwap<KeyTable>,
    epochs: Epochs,
    refused: Tally<{ Refused::ALL.len() }>,
    writer: Mutex<Writer>,
}

/// What the control channel knows of each peer.
#[derive(Debug)]
struct Writer {
    peers: Vec<Keys>,
    /// How many keys there were.
    serial: u32,
    mtu: PathMtu,
}

/// What both directions of one connection make their keys of.
#[derive(Clone, Debug)]
pub struct Keyring {
    /// Whose it is.
    pub peer: PeerNumber,
    /// What the connection gave.
    pub secret: Secret,
    /// Which way what we send goes.
    pub outbound: Direction,
    /// Which connection it is; a later one has a higher number.
    pub connection: u64,
}

#[derive(Clone, Debug, Default)]
struct Keys {
    address: Option<SocketAddr>,
    seal: Option<Arc<SealKey>>,
    /// Which key it is: of which connection, and after how many others of it.
    sealed_with: (u64, u32),
    /// The connection that has made the last key that opens.
    expected_by: u64,
    open: [Option<Arc<OpenKey>>; LIVE],
    /// Which of them is the last.
    last: usize,
    /// Since when there is no connection.
    gone: Option<Instant>,
}

/// The ways to all peers, as they are now.
pub struct Routes(Guard<Arc<RouteTable>>);

/// The keys that open, as they are now.
pub struct Openers<'d> {
    keys: Guard<Arc<KeyTable>>,
    data: &'d Shared,
}

/// A packet that a peer has handed over.
#[derive(Debug, Eq, PartialEq)]
pub struct Opened<'b> {
    /// From whom it is.
    pub from: PeerNumber,
    /// What it is.
    pub packet: Packet<'b>,
}

/// What was counted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DataFigures {
    /// Frames that were not opened, by reason.
    pub refused: Vec<(Refused, u64)>,
}

impl Data {
    /// The keys of a member that has none yet. `serial` is where the numbers of keys begin: any, so that
    /// frames for a process that was here before find no key.
    pub fn new(epochs: Epochs, mtu: PathMtu, serial: u32) -> Self {
        let none = || (0..NUMBERS).map(|_| None).collect();
        let openers = (0..NUMBERS.saturating_mul(LIVE)).map(|_| None).collect();
        Self(Arc::new(Shared {
            routes: ArcSwap::from_pointee(none()),
            openers: ArcSwap::from_pointee(openers),
            epochs,
            refused: Tally::default(),
            writer: Mutex::new(Writer {
                peers: vec![Keys::default(); NUMBERS],
                serial,
                mtu,
            }),
        }))
    }

    /// The ways to all peers.
    ///
    /// # Cost
    /// An atomic load and a store; what it gives is good for a batch, and keeps old keys while it is held.
    pub fn routes(&self) -> Routes {
        Routes(self.0.routes.load())
    }

    /// The keys that open. Its cost is that of [`Self::routes`].
    pub fn openers(&self) -> Openers<'_> {
        Openers {
            keys: self.0.openers.load(),
            data: &self.0,
        }
    }

    /// What was counted.
    pub fn figures(&self) -> DataFigures {
        DataFigures {
            refused: self.0.refused.read(&Refused::ALL),
        }
    }

    /// The path MTU that packets are cut for.
    pub fn mtu(&self) -> PathMtu {
        self.lock().mtu
    }

    /// Frames to this peer go there; `None`: there are none to it. The control channel does this.
    pub fn set_address(&self, peer: PeerNumber, address: Option<SocketAddr>) {
        let mut writer = self.lock();
        let keys = writer.peers.get_mut(peer.index());
        let Some(keys) = keys.filter(|keys| keys.address != address) else {
            return;
        };
        keys.address = address;
        self.publish(&writer);
    }

    /// What the peer seals with the key of this generation can be opened from here on: what to tell it.
    /// `None`: a later connection has made keys meanwhile. The control channel does this.
    pub fn expect(&self, keyring: &Keyring, generation: u32) -> Option<DataKey> {
        let mut writer = self.lock();
        writer.serial = writer.serial.wrapping_add(1);
        let serial = writer.serial;
        let peer = keyring.peer;
        let keys = writer.peers.get_mut(peer.index())?;
        if keyring.connection < keys.expected_by {
            return None;
        }
        let place = keys.last.saturating_add(1).checked_rem(LIVE)?;
        let at = peer.index().checked_mul(LIVE)?.checked_add(place)?;
        let id = KeyId(serial << PLACE_BITS | u32::try_from(at).ok()?);
        let inbound = keyring.outbound.back();
        let key = OpenKey::new(&keyring.secret, inbound, generation, id, peer)?;
        *keys.open.get_mut(place)? = Some(Arc::new(key));
        keys.last = place;
        keys.expected_by = keyring.connection;
        keys.gone = None;
        self.publish(&writer);
        Some(DataKey {
            generation,
            id: id.0,
        })
    }

    /// Packets for the peer are sealed with the key that it has announced, from here on. False: it, or a
    /// later one, is in use or was; a key whose counter began anew would give itself away. The control
    /// channel does this.
    pub fn seal_with(&self, keyring: &Keyring, announced: DataKey) -> bool {
        let DataKey { generation, id } = announced;
        let which = (keyring.connection, generation);
        let mut writer = self.lock();
        let Some(keys) = writer.peers.get_mut(keyring.peer.index()) else {
            return false;
        };
        if keys.sealed_with >= which {
            return false;
        }
        let key = SealKey::new(&keyring.secret, keyring.outbound, generation, KeyId(id));
        keys.seal = key.map(Arc::new);
        keys.sealed_with = which;
        self.publish(&writer);
        true
    }

    /// Whether so much has come by the last key of this peer that it should have another.
    pub fn is_worn(&self, peer: PeerNumber) -> bool {
        let writer = self.lock();
        let keys = writer.peers.get(peer.index());
        let last = keys.and_then(|keys| keys.open.get(keys.last)?.as_ref());
        last.is_some_and(|key| key.highest() >= REKEY)
    }

    /// There is no connection to this peer any more; its keys linger.
    pub(crate) fn lose(&self, peer: PeerNumber, now: Instant) {
        if let Some(keys) = self.lock().peers.get_mut(peer.index()) {
            keys.gone = Some(now);
        }
    }

    /// Forgets the keys of this peer.
    pub fn forget(&self, peer: PeerNumber) {
        let mut writer = self.lock();
        if let Some(keys) = writer.peers.get_mut(peer.index()) {
            keys.forget();
        }
        self.publish(&writer);
    }

    /// Forgets the keys of peers that have been gone for so long.
    pub(crate) fn expire(&self, now: Instant, linger: Duration) {
        let mut writer = self.lock();
        let is_over = |keys: &Keys| {
            let gone = keys.gone.map(|gone| now.saturating_duration_since(gone));
            gone.is_some_and(|gone| gone >= linger)
        };
        if !writer.peers.iter().any(is_over) {
            return;
        }
        let over = writer.peers.iter_mut().filter(|keys| is_over(keys));
        over.for_each(Keys::forget);
        self.publish(&writer);
    }

    fn publish(&self, writer: &Writer) {
        let route = |keys: &Keys| {
            Some(Route {
                address: keys.address?,
                mtu: writer.mtu,
                key: Arc::clone(keys.seal.as_ref()?),
                epochs: self.0.epochs.clone(),
            })
        };
        let routes = writer.peers.iter().map(route).collect();
        self.0.routes.store(Arc::new(routes));
        let openers = writer.peers.iter().flat_map(|keys| keys.open.clone());
        self.0.openers.store(Arc::new(openers.collect()));
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    /// Which keys there were is not forgotten: none of them comes again.
    fn forget(&mut self) {
        *self = Self {
            address: self.address,
            sealed_with: self.sealed_with,
            expected_by: self.expected_by,
            ..Self::default()
        };
    }
}

impl Routes {
    /// The way to this peer, if there is one.
    pub fn get(&self, peer: PeerNumber) -> Option<&Route> {
        self.0.get(peer.index())?.as_ref()
    }
}

impl core::fmt::Debug for Routes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list()
            .entries(self.0.deref().iter().flatten())
            .finish()
    }
}

impl core::fmt::Debug for Openers<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let ids = self.keys.deref().iter().flatten().map(|key| key.id());
        f.debug_list().entries(ids).finish()
    }
}

impl Openers<'_> {
    /// Opens a frame, in place. `None`: it is half of a packet, and waits for the other half.
    ///
    /// # Cost
    /// One pass over the frame, and a copy if it is a half; no allocation and no lock.
    ///
    /// # Denial of service
    /// A forged frame costs as much as a genuine one if it guesses a key's id, and nearly nothing if not.
    ///
    /// # Errors
    /// Why it is not opened. It was counted, and nothing has changed.
    pub fn open<'b>(
        &self,
        frame: &'b mut [u8],
        halves: &'b mut Halves,
    ) -> Result<Option<Opened<'b>>, Refused> {
        let opened = self.opened(frame, halves);
        if let Err(why) = &opened {
            self.data.refused.add(&Refused::ALL, why);
        }
        opened
    }

    fn opened<'b>(
        &self,
        frame: &'b mut [u8],
        halves: &'b mut Halves,
    ) -> Result<Option<Opened<'b>>, Refused> {
        let header = Header::parse(frame)?;
        let key = self.key(header.key).ok_or(Refused::UnknownKey)?;
        let sealed = key.open(&header, frame)?;
        if header.epoch < self.data.epochs.known() {
            return Err(Refused::OldEpoch);
        }
        let from = key.peer();
        if header.part == Part::Whole {
            let packet = Packet::parse(header.what, sealed)?;
            key.take(&header)?;
            return Ok(Some(Opened { from, packet }));
        }
        if sealed.len() > halves.longest() {
            return Err(Refused::TooLong);
        }
        key.take(&header)?;
        let put = halves.put(header.key, header.counter, header.what, header.part, sealed)?;
        let Some(whole) = put else {
            return Ok(None);
        };
        let packet = Packet::parse(header.what, whole)?;
        Ok(Some(Opened { from, packet }))
    }

    /// The key of this id: where its last bits say, if all of it is right.
    fn key(&self, id: KeyId) -> Option<&OpenKey> {
        let place = id.0 & ((1 << PLACE_BITS) - 1);
        let key = self.keys.get(usize::try_from(place).ok()?)?.as_deref()?;
        (key.id() == id).then_some(key)
    }
}
