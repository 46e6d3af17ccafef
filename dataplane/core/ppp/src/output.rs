//! What a call of a session produced. The owner keeps one for all its sessions and drains it after
//! each call.

use crate::event::Event;

/// Frames to send and events to handle.
#[derive(Debug, Default)]
pub struct Output {
    /// Whole PPP frames: each is the payload of one data message.
    pub frames: Frames,
    /// What happened, oldest first.
    pub events: Vec<Event>,
}

impl Output {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.events.clear();
    }
}

/// Frames one behind the other in one buffer.
#[derive(Debug, Default)]
pub struct Frames {
    octets: Vec<u8>,
    ends: Vec<usize>,
}

impl Frames {
    /// The frames in the order in which they are to be sent.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = core::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .filter_map(|(start, &end)| self.octets.get(start..end))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.ends.clear();
    }

    /// Adds the frame that `write` appends.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.octets);
        self.ends.push(self.octets.len());
    }
}
