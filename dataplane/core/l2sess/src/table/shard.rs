//! What one thread at a time does with the ports of a shard and their flows.

use super::records::{Life, NOBODY, PORT, QUEUE, Reading, Records};
use super::ring::Ring;
use super::scale::SHARDS;
use super::sync::zeroed;
use super::wheel::Wheel;
use super::{Delta, NoMemory};
use crate::key::PortId;
use crate::state::{Class, Seconds};

/// A port and the flows that it has.
#[derive(Clone, Copy, Default)]
pub(super) struct Port {
    /// The first of its flows: the oldest that gives way, if one does.
    pub(super) first: u32,
    /// The last of those that give way.
    pub(super) last_soft: u32,
    pub(super) flows: u32,
    pub(super) is_open: bool,
}

/// A port as it is kept: in memory that is zero before it is used.
type PortWords = [u32; 4];

/// Octets of one port.
pub(super) const PORT_OCTETS: usize = size_of::<PortWords>();

/// The ports of a shard and what is kept of their flows beside the records.
pub(super) struct Shard {
    ports: Box<[PortWords]>,
    pub(super) wheel: Wheel,
    /// The flows that give way, oldest first.
    soft: Soft,
    /// Flows by [`place_of`] their class.
    pub(super) classes: [u32; 4],
    /// How many of its flows have given way to others.
    pub(super) evicted: u64,
    pub(super) news: Ring,
}

/// The ends of the list of those that give way.
#[derive(Clone, Copy)]
struct Soft {
    first: u32,
    last: u32,
}

/// The shard of a port.
pub(super) fn shard_of(port: PortId) -> usize {
    number(port) % SHARDS
}

fn place_in_shard(port: PortId) -> usize {
    number(port) / SHARDS
}

fn number(port: PortId) -> usize {
    usize::try_from(port.0).unwrap_or(usize::MAX)
}

/// The place of a class in [`Class::ALL`].
pub(super) const fn place_of(class: Class) -> usize {
    match class {
        Class::Transient => 0,
        Class::Established => 1,
        Class::Closing => 2,
        Class::Udp => 3,
    }
}

impl Shard {
    /// One that has its part of so many ports.
    pub(super) fn new(ports: u32) -> Result<Self, NoMemory> {
        Ok(Self {
            ports: zeroed(number(PortId(ports)).div_ceil(SHARDS))?,
            wheel: Wheel::new(),
            soft: Soft {
                first: NOBODY,
                last: NOBODY,
            },
            classes: [0; 4],
            evicted: 0,
            news: Ring::default(),
        })
    }

    pub(super) fn port(&self, port: PortId) -> Port {
        let words = self.ports.get(place_in_shard(port));
        let [first, last_soft, flows, is_open] = words.copied().unwrap_or_default();
        Port {
            first,
            last_soft,
            flows,
            is_open: is_open != 0,
        }
    }

    pub(super) fn set_open(&mut self, port: PortId, is_open: bool) {
        self.change_port(port, |port| port.is_open = is_open);
    }

    fn change_port(&mut self, port: PortId, change: impl FnOnce(&mut Port)) {
        let mut changed = self.port(port);
        change(&mut changed);
        if let Some(words) = self.ports.get_mut(place_in_shard(port)) {
            *words = [
                changed.first,
                changed.last_soft,
                changed.flows,
                u32::from(changed.is_open),
            ];
        }
    }

    /// The oldest of the shard's flows that give way, or nobody.
    pub(super) const fn oldest(&self) -> u32 {
        self.soft.first
    }

    /// Since when it has been one.
    pub(super) fn oldest_since(&self, records: &Records) -> Option<Seconds> {
        let first = self.soft.first;
        (first != NOBODY).then(|| records.listed(first).1)
    }

    /// Lists a flow that has begun.
    pub(super) fn insert(
        &mut self,
        record: u32,
        reading: &Reading,
        now: Seconds,
        records: &Records,
    ) {
        self.list(record, reading, now, records);
        self.change_port(reading.key().port(), |port| {
            port.flows = port.flows.saturating_add(1);
        });
        self.news
            .push(|| Delta::New(reading.flow(records.opened(record))));
    }

    /// Takes a flow that has ended from all lists.
    pub(super) fn remove(&mut self, record: u32, reading: &Reading, records: &Records) {
        self.unlist(record, reading, records);
        self.wheel.remove(record, records);
        self.change_port(reading.key().port(), |port| {
            port.flows = port.flows.saturating_sub(1);
        });
        self.news.push(|| Delta::Wiped(reading.key()));
    }

    /// Lists a flow anew if its class is not the one by which it is listed; `true` if that was so.
    pub(super) fn relist(
        &mut self,
        record: u32,
        reading: &Reading,
        now: Seconds,
        records: &Records,
    ) -> bool {
        let ((listed, since), class) = (records.listed(record), reading.class());
        if listed == class {
            return false;
        }
        // One that was closing and is transient has begun anew: it is the youngest of those.
        let is_anew = (listed, class) == (Class::Closing, Class::Transient);
        if listed.gives_way() == class.gives_way() && !is_anew {
            self.count(listed, class);
            records.set_listed(record, class, since);
        } else {
            self.unlist(record, reading, records);
            self.list(record, reading, now, records);
        }
        self.tell(record, reading, records);
        true
    }

    /// Tells a follower what a flow is like.
    pub(super) fn tell(&mut self, record: u32, reading: &Reading, records: &Records) {
        self.news
            .push(|| Delta::Changed(reading.flow(records.opened(record))));
    }

    fn count(&mut self, from: Class, to: Class) {
        if let Some(flows) = self.classes.get_mut(place_of(from)) {
            *flows = flows.saturating_sub(1);
        }
        if let Some(flows) = self.classes.get_mut(place_of(to)) {
            *flows = flows.saturating_add(1);
        }
    }

    fn list(&mut self, record: u32, reading: &Reading, now: Seconds, records: &Records) {
        let (port, class) = (reading.key().port(), reading.class());
        let Port {
            first, last_soft, ..
        } = self.port(port);
        let next = if last_soft == NOBODY {
            first
        } else {
            records.next(PORT, last_soft)
        };
        records.join(PORT, record, (last_soft, next));
        self.change_port(port, |port| {
            if last_soft == NOBODY {
                port.first = record;
            }
            if class.gives_way() {
                port.last_soft = record;
            }
        });
        if class.gives_way() {
            records.join(QUEUE, record, (self.soft.last, NOBODY));
            if self.soft.first == NOBODY {
                self.soft.first = record;
            }
            self.soft.last = record;
        }
        if let Some(flows) = self.classes.get_mut(place_of(class)) {
            *flows = flows.saturating_add(1);
        }
        records.set_listed(record, class, now);
    }

    fn unlist(&mut self, record: u32, reading: &Reading, records: &Records) {
        let (listed, _) = records.listed(record);
        let (previous, next) = records.part(PORT, record);
        self.change_port(reading.key().port(), |port| {
            if port.first == record {
                port.first = next;
            }
            if port.last_soft == record {
                port.last_soft = previous;
            }
        });
        if listed.gives_way() {
            let (previous, next) = records.part(QUEUE, record);
            if self.soft.first == record {
                self.soft.first = next;
            }
            if self.soft.last == record {
                self.soft.last = previous;
            }
        }
        if let Some(flows) = self.classes.get_mut(place_of(listed)) {
            *flows = flows.saturating_sub(1);
        }
    }
}

/// Whether a reading is that of a live flow of this generation.
pub(super) fn is_still(reading: &Reading, generation: u32) -> bool {
    let Life {
        generation: now, ..
    } = reading.life;
    now == generation && reading.life.is_live()
}
