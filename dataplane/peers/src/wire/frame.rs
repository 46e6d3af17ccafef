//! Frames on a stream, one behind the other.
//!
//! ```text
//! 0       4      6          14
//! | length | kind | epoch    | body ... |
//! ```
//!
//! Numbers are big-endian. The length is that of all behind it, 10 octets at least. The epoch is the
//! highest that the sender knew when it made the frame. What the body is, the kind says.

use lns_cluster::Epoch;
use thiserror::Error;

/// Octets in front of a body.
pub const HEADER: usize = LENGTH + REST;

/// Octets of the length.
const LENGTH: usize = 4;

/// Octets of the header that the length counts.
const REST: usize = 10;

/// Octets that are read ahead, so that small frames are not read one by one.
const AHEAD: usize = 16 * 1024;

/// The next frame of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame<'a> {
    /// The code of its kind, known or not.
    pub kind: u16,
    /// What the sender knew.
    pub epoch: Epoch,
    /// What it says.
    pub body: &'a [u8],
}

/// Why a stream cannot be followed any further: where the next frame begins is not known.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum FrameError {
    /// A length that has no room for kind and epoch.
    #[error("a frame of {0} octets")]
    TooShort(u32),
    /// A length beyond what is allowed now.
    #[error("a frame of {0} octets")]
    TooLong(u32),
    /// An epoch that no Lease takes.
    #[error("an epoch of {0}")]
    Epoch(u64),
}

impl FrameError {
    /// The value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooShort(_) => "frame_too_short",
            Self::TooLong(_) => "frame_too_long",
            Self::Epoch(_) => "frame_epoch",
        }
    }
}

/// Writes a header for a body that follows; [`finish`] fills the length in.
pub(crate) fn begin(kind: u16, epoch: Epoch, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; LENGTH]);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&epoch.number().to_be_bytes());
}

/// Fills the length in of the one frame that `out` holds. `None`: its body is longer than `longest`.
pub(crate) fn finish(out: &mut [u8], longest: usize) -> Option<()> {
    let body = out.len().checked_sub(HEADER)?;
    if body > longest {
        return None;
    }
    let (length, rest) = out.split_first_chunk_mut::<LENGTH>()?;
    *length = u32::try_from(rest.len()).ok()?.to_be_bytes();
    Some(())
}

/// What was read of a stream and was not taken yet.
#[derive(Debug)]
pub struct Frames {
    octets: Vec<u8>,
    /// Where the next frame begins.
    start: usize,
    /// Where what was read ends.
    end: usize,
    /// The longest body.
    longest: usize,
}

impl Frames {
    /// Of a stream of which nothing was read, with bodies of at most so many octets.
    pub fn new(longest: usize) -> Self {
        Self {
            octets: vec![0; room(longest)],
            start: 0,
            end: 0,
            longest,
        }
    }

    /// Bodies may have so many octets from here on; never fewer than before.
    pub fn allow(&mut self, longest: usize) {
        self.longest = self.longest.max(longest);
        self.octets.resize(room(self.longest), 0);
    }

    /// Where to read to. Never empty once [`Self::next_frame`] has said that there is no more.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.octets.copy_within(self.start..self.end, 0);
            self.end = self.end.saturating_sub(self.start);
            self.start = 0;
        }
        self.octets.get_mut(self.end..).unwrap_or_default()
    }

    /// So many octets were read there.
    pub fn read(&mut self, octets: usize) {
        self.end = self.end.saturating_add(octets).min(self.octets.len());
    }

    /// Takes the next whole frame.
    ///
    /// # Errors
    /// The stream cannot be followed any further.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let read = self.octets.get(self.start..self.end).unwrap_or_default();
        let Some((length, rest)) = read.split_first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length);
        let octets = usize::try_from(length).unwrap_or(usize::MAX);
        if octets < REST {
            return Err(FrameError::TooShort(length));
        }
        if octets > REST.saturating_add(self.longest) {
            return Err(FrameError::TooLong(length));
        }
        let Some(whole) = rest.get(..octets) else {
            return Ok(None);
        };
        self.start = self.start.saturating_add(LENGTH).saturating_add(octets);
        parse(whole)
    }
}

/// A frame behind its length.
fn parse(whole: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
    let Some((kind, rest)) = whole.split_first_chunk::<2>() else {
        return Ok(None);
    };
    let Some((number, body)) = rest.split_first_chunk::<8>() else {
        return Ok(None);
    };
    let number = u64::from_be_bytes(*number);
    let epoch = Epoch::new(number).ok_or(FrameError::Epoch(number))?;
    Ok(Some(Frame {
        kind: u16::from_be_bytes(*kind),
        epoch,
        body,
    }))
}

/// The octets that hold the longest frame and more.
const fn room(longest: usize) -> usize {
    HEADER.saturating_add(longest).saturating_add(AHEAD)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONGEST: usize = 5_000;

    fn frame(kind: u16, epoch: u64, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        begin(kind, Epoch::new(epoch).unwrap(), &mut out);
        out.extend_from_slice(body);
        finish(&mut out, LONGEST).unwrap();
        out
    }

    /// What comes out of a stream that is read in pieces of at most `at_once` octets.
    fn read(stream: &[u8], at_once: usize) -> Result<Vec<(u16, u64, Vec<u8>)>, FrameError> {
        let mut frames = Frames::new(LONGEST);
        let mut all = Vec::new();
        let mut rest = stream;
        while !rest.is_empty() {
            let space = frames.space();
            let now = at_once.min(space.len()).min(rest.len());
            assert!(now > 0, "there is always room for the rest of a frame");
            space[..now].copy_from_slice(&rest[..now]);
            frames.read(now);
            rest = &rest[now..];
            while let Some(frame) = frames.next_frame()? {
                all.push((frame.kind, frame.epoch.number(), frame.body.to_vec()));
            }
        }
        Ok(all)
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_the_stream_is_cut(
            all in prop::collection::vec((any::<u16>(), 0_u64..=Epoch::LAST.number(), 0_usize..=LONGEST), 1..12),
            at_once in 1_usize..40_000,
        ) {
            let all: Vec<_> = all
                .into_iter()
                .zip(1_u8..)
                .map(|((kind, epoch, length), fill)| (kind, epoch, vec![fill; length]))
                .collect();
            let stream: Vec<u8> = all
                .iter()
                .flat_map(|(kind, epoch, body)| frame(*kind, *epoch, body))
                .collect();
            prop_assert_eq!(read(&stream, at_once), Ok(all));
        }
    }

    #[test]
    fn a_length_that_no_frame_has_ends_the_stream() {
        let longest = u32::try_from(REST + LONGEST).unwrap();
        for (length, error) in [
            (0, FrameError::TooShort(0)),
            (9, FrameError::TooShort(9)),
            (longest + 1, FrameError::TooLong(longest + 1)),
            (u32::MAX, FrameError::TooLong(u32::MAX)),
        ] {
            let mut stream = frame(1, 1, b"first");
            stream.extend_from_slice(&length.to_be_bytes());
            stream.extend_from_slice(&[0; 32]);
            assert_eq!(read(&stream, 7), Err(error));
        }
    }

    #[test]
    fn an_epoch_that_no_lease_takes_ends_the_stream() {
        let mut stream = frame(1, 1, b"");
        stream[6..14].copy_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(read(&stream, 100), Err(FrameError::Epoch(u64::MAX)));
    }

    #[test]
    fn a_body_that_is_too_long_is_not_written() {
        let mut out = Vec::new();
        begin(1, Epoch::NONE, &mut out);
        out.extend_from_slice(&[0; 11]);
        assert_eq!(finish(&mut out, 10), None);
        assert_eq!(finish(&mut out, 11), Some(()));
    }

    #[test]
    fn longer_bodies_are_read_once_they_are_allowed() {
        let long = frame(3, 1, &[7; LONGEST]);
        let mut frames = Frames::new(16);
        frames.space()[..long.len()].copy_from_slice(&long);
        frames.read(long.len());
        assert!(matches!(frames.next_frame(), Err(FrameError::TooLong(_))));
        frames.allow(LONGEST);
        let body = frames.next_frame().unwrap().unwrap().body.to_vec();
        assert_eq!(body, [7; LONGEST]);
    }
}
