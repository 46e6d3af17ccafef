//! The way to one peer: where it is, what to seal with, and what fits.

use core::net::SocketAddr;
use std::sync::Arc;

use super::header::{HEADER, Part, TAG};
use super::key::SealKey;
use super::mtu::PathMtu;
use super::packet::{HEADROOM, Handover, TAILROOM};
use super::refused::SealError;
use crate::epochs::Epochs;

/// The way to one peer.
#[derive(Clone, Debug)]
pub struct Route {
    pub(super) address: SocketAddr,
    pub(super) mtu: PathMtu,
    pub(super) key: Arc<SealKey>,
    pub(super) epochs: Epochs,
}

/// A sealed packet: one frame, or two. Each is a datagram for [`Route::address`], the first first.
#[derive(Debug, Eq, PartialEq)]
pub struct Sealed<'b> {
    /// The frame, or the one with the first half.
    pub first: &'b [u8],
    /// The one with the second half.
    pub second: Option<&'b [u8]>,
}

impl Route {
    /// Where the peer takes frames, over UDP.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Seals a packet in place, under the epoch that is known now.
    ///
    /// `buffer` is [`HEADROOM`], the packet, and [`TAILROOM`], nothing else. Where the packet does not fit
    /// into one frame of the path, its second half is sealed in `spare`, which needs [`PathMtu::octets`].
    ///
    /// # Cost
    /// One pass over the packet, and a copy of half of it if it is cut; no allocation and no lock. Threads
    /// that seal for one peer share a counter.
    ///
    /// # Errors
    /// Why it is not sealed; nothing was.
    pub fn seal<'b>(
        &self,
        handover: Handover,
        buffer: &'b mut [u8],
        spare: &'b mut [u8],
    ) -> Result<Sealed<'b>, SealError> {
        let packet = buffer.len().checked_sub(HEADROOM + TAILROOM);
        if packet.is_none_or(|packet| packet == 0) {
            return Err(SealError::Empty);
        }
        let (what, ends) = handover.emit()?;
        let start = HEADROOM.saturating_sub(ends.octets().len());
        let room = buffer.get_mut(start..HEADROOM).ok_or(SealError::Empty)?;
        room.copy_from_slice(ends.octets());
        let frame = buffer.get_mut(start.saturating_sub(HEADER)..);
        let frame = frame.ok_or(SealError::Empty)?;
        let length = frame.len().saturating_sub(HEADER + TAG);
        let most = self.mtu.sealed(self.address);
        let epoch = self.epochs.known();
        if length <= most {
            let counter = self.key.reserve(1)?;
            self.key.seal(what, Part::Whole, counter, epoch, frame)?;
            return Ok(Sealed {
                first: frame,
                second: None,
            });
        }
        if length > most.saturating_mul(2) {
            return Err(SealError::TooLong);
        }
        let (first, second) = cut(frame, spare)?;
        let counter = self.key.reserve(2)?;
        self.key.seal(what, Part::First, counter, epoch, first)?;
        let next = counter.saturating_add(1);
        self.key.seal(what, Part::Second, next, epoch, second)?;
        Ok(Sealed {
            first,
            second: Some(second),
        })
    }

    #[cfg(test)]
    pub(crate) fn skip_to(&self, counter: u64) {
        self.key.skip_to(counter);
    }
}

/// Cuts a frame that is not sealed yet into two, the second in `spare`.
fn cut<'b>(
    frame: &'b mut [u8],
    spare: &'b mut [u8],
) -> Result<(&'b mut [u8], &'b mut [u8]), SealError> {
    let length = frame.len().saturating_sub(HEADER + TAG);
    let half = length.div_ceil(2);
    let middle = HEADER.saturating_add(half);
    let end = frame.len().saturating_sub(TAG);
    let rest = frame.get(middle..end).ok_or(SealError::NoRoom)?;
    let second = spare.get_mut(..rest.len().saturating_add(HEADER + TAG));
    let second = second.ok_or(SealError::NoRoom)?;
    let room = second.get_mut(HEADER..HEADER.saturating_add(rest.len()));
    room.ok_or(SealError::NoRoom)?.copy_from_slice(rest);
    let first = frame.get_mut(..middle.saturating_add(TAG));
    Ok((first.ok_or(SealError::NoRoom)?, second))
}
