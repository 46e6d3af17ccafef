//! Keys: where they come from, and the two halves of each.
//!
//! A connection of TLS gives one secret to both its ends (RFC 5705, RFC 8446, 7.5). HKDF makes of it a key
//! and an initialisation vector for each direction and generation (RFC 5869). AES-128-GCM, because
//! it was measured: half of the time of ChaCha20-Poly1305 for 64 octets, a third for 1,400 (ring 0.17 on
//! x86-64 with AES instructions, as every server of today has).

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

use super::header::{HEADER, Header, KeyId, Part, TAG, What};
use super::refused::{Refused, SealError};
use super::window::Window;
use crate::limits::SEALED;
use crate::member::PeerNumber;

/// What an exporter of TLS is asked for.
pub(crate) const LABEL: &[u8] = b"EXPORTER-kubelns-peers-data";

/// Octets of it.
pub const SECRET: usize = 32;

/// What both ends of a connection make their keys of.
#[derive(Clone)]
pub struct Secret(Prk);

/// Which way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From who has opened the connection.
    FromOpener,
    /// To who has opened it.
    ToOpener,
}

/// A key of one direction.
struct Key {
    aead: LessSafeKey,
    iv: [u8; NONCE_LEN],
}

/// The half that seals.
#[derive(Debug)]
pub(super) struct SealKey {
    key: Key,
    /// What the receiver knows it by.
    id: KeyId,
    /// The next counter.
    next: AtomicU64,
}

/// The half that opens.
#[derive(Debug)]
pub(super) struct OpenKey {
    key: Key,
    id: KeyId,
    peer: PeerNumber,
    window: Window,
}

impl Secret {
    /// Of what an exporter gave.
    pub fn new(exported: &[u8; SECRET]) -> Self {
        Self(Salt::new(HKDF_SHA256, b"kubelns peers data 1").extract(exported))
    }

    /// The key of this direction and generation. `None`: never.
    fn key(&self, direction: Direction, generation: u32) -> Option<Key> {
        let direction = match direction {
            Direction::FromOpener => [0],
            Direction::ToOpener => [1],
        };
        let generation = generation.to_be_bytes();
        let info = |what| [what, &direction[..], &generation[..]];
        let of_key = info(b"key");
        let aead = UnboundKey::from(self.0.expand(&of_key, &AES_128_GCM).ok()?);
        let mut iv = [0; NONCE_LEN];
        let of_iv = info(b"iv ");
        self.0.expand(&of_iv, Iv).ok()?.fill(&mut iv).ok()?;
        Some(Key {
            aead: LessSafeKey::new(aead),
            iv,
        })
    }
}

/// The length of an initialisation vector, as HKDF wants it.
struct Iv;

impl KeyType for Iv {
    fn len(&self) -> usize {
        NONCE_LEN
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Direction {
    /// The other way.
    #[must_use]
    pub const fn back(self) -> Self {
        match self {
            Self::FromOpener => Self::ToOpener,
            Self::ToOpener => Self::FromOpener,
        }
    }
}

impl Key {
    /// A counter's nonce (RFC 8446, 5.3): it never comes twice, because no counter does.
    fn nonce(&self, counter: u64) -> Nonce {
        let mut nonce = self.iv;
        let places = nonce.iter_mut().rev();
        for (octet, counted) in places.zip(counter.to_be_bytes().into_iter().rev()) {
            *octet ^= counted;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

impl SealKey {
    pub(super) fn new(
        secret: &Secret,
        direction: Direction,
        generation: u32,
        id: KeyId,
    ) -> Option<Self> {
        Some(Self {
            key: secret.key(direction, generation)?,
            id,
            next: AtomicU64::new(0),
        })
    }

    /// The first of so many counters that are nobody else's.
    pub(super) fn reserve(&self, count: u64) -> Result<u64, SealError> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        if first.saturating_add(count) > SEALED {
            return Err(SealError::Worn);
        }
        Ok(first)
    }

    /// Seals `frame`, which is room for a header, what is to be sealed, and room for a tag.
    pub(super) fn seal(
        &self,
        what: What,
        part: Part,
        counter: u64,
        epoch: lns_cluster::Epoch,
        frame: &mut [u8],
    ) -> Result<(), SealError> {
        let header = Header {
            what,
            part,
            key: self.id,
            counter,
            epoch,
        };
        let octets = header.emit();
        let (head, rest) = frame
            .split_first_chunk_mut::<HEADER>()
            .ok_or(SealError::Empty)?;
        let (sealed, room) = rest.split_last_chunk_mut::<TAG>().ok_or(SealError::Empty)?;
        let nonce = self.key.nonce(counter);
        let tag = self
            .key
            .aead
            .seal_in_place_separate_tag(nonce, Aad::from(octets), sealed);
        let tag = tag.map_err(|_| SealError::TooLong)?;
        *head = octets;
        for (octet, tag) in room.iter_mut().zip(tag.as_ref()) {
            *octet = *tag;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn skip_to(&self, counter: u64) {
        self.next.store(counter, Ordering::Relaxed);
    }
}

impl OpenKey {
    pub(super) fn new(
        secret: &Secret,
        direction: Direction,
        generation: u32,
        id: KeyId,
        peer: PeerNumber,
    ) -> Option<Self> {
        Some(Self {
            key: secret.key(direction, generation)?,
            id,
            peer,
            window: Window::new(),
        })
    }

    pub(super) const fn id(&self) -> KeyId {
        self.id
    }

    pub(super) const fn peer(&self) -> PeerNumber {
        self.peer
    }

    /// The highest counter that has come.
    pub(super) fn highest(&self) -> u64 {
        self.window.highest()
    }

    /// Opens a frame in place: what was sealed.
    pub(super) fn open<'b>(
        &self,
        header: &Header,
        frame: &'b mut [u8],
    ) -> Result<&'b mut [u8], Refused> {
        self.window.admits(header.counter)?;
        let (head, rest) = frame
            .split_first_chunk_mut::<HEADER>()
            .ok_or(Refused::Short)?;
        let (sealed, tag) = rest.split_last_chunk_mut::<TAG>().ok_or(Refused::Short)?;
        let opened = self.key.aead.open_in_place_separate_tag(
            self.key.nonce(header.counter),
            Aad::from(*head),
            Tag::from(*tag),
            sealed,
            0..,
        );
        opened.map_err(|_| Refused::Forged)
    }

    /// Takes the counter of a frame that was opened and is wanted.
    pub(super) fn take(&self, header: &Header) -> Result<(), Refused> {
        self.window.take(header.counter)
    }
}
