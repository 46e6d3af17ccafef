//! One session as a worker sees it: three cache lines.
//!
//! The first line is what both directions read and almost nobody writes. The second is written by the
//! worker that receives from the LAC, the third by those that send to it, so they do not take each
//! other's lines away.

use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use lns_l2sess::ChainId;
use lns_tables::path::{Counters, DirectionCounters, SessionPath};
use lns_tables::time::Instant;
use lns_wire::id::{PeerSessionId, SessionId, TunnelId};

use super::PolicerId;
use super::seqlock::{self, Busy};
use crate::memory::Zeroable;

/// What a worker must know of a session: a [`SessionPath`] with the policer that has its rates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionView {
    /// See [`SessionPath`]; so are the others of its fields.
    pub tunnel: TunnelId,
    /// Our id of it.
    pub session: SessionId,
    /// The LAC's.
    pub peer_session: PeerSessionId,
    /// The subscriber's.
    pub address: Option<Ipv4Addr>,
    /// The largest packet to the subscriber.
    pub mtu: u16,
    /// The largest segment of TCP, or 0.
    pub mss: u16,
    /// Data is numbered.
    pub sequencing: bool,
    /// FF03 is left out.
    pub acfc: bool,
    /// One octet of protocol is left out.
    pub pfc: bool,
    /// By which policies its packets are judged.
    pub chain: ChainId,
    /// The policer that has its rates, if it has any.
    pub policer: Option<PolicerId>,
}

impl SessionView {
    pub(crate) const fn new(path: &SessionPath, policer: Option<PolicerId>) -> Self {
        Self {
            tunnel: path.tunnel,
            session: path.session,
            peer_session: path.peer_session,
            address: path.address,
            mtu: path.mtu,
            mss: path.mss,
            sequencing: path.sequencing,
            acfc: path.acfc,
            pfc: path.pfc,
            chain: path.chain,
            policer,
        }
    }
}

/// A place for a session.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct SessionSlot {
    version: AtomicU32,
    /// The number that the next data message to the LAC carries, modulo 2^16 (RFC 2661, 5.4).
    next_sent: AtomicU32,
    /// Tunnel, session, peer's session, flags: 16 bits each. Without [`LIVE`] there is no session.
    ids: AtomicU64,
    /// Address (32 bits), MTU, MSS (16 bits each).
    network: AtomicU64,
    /// Chain, policer: 32 bits each.
    judges: AtomicU64,
    /// The state of `packet::sequence` for what the LAC sends.
    pub(crate) arrivals: AtomicU64,
    /// The state of a `packet::meter` for ICMP errors about this session.
    pub(crate) errors: AtomicU64,
    /// The state of a `packet::meter` for PPP frames of this session to the control.
    pub(crate) control: AtomicU64,
    /// When the control last emptied the slot, nanoseconds; nobody else reads it.
    pub(crate) cleared: AtomicU64,
    pub(crate) up: Direction,
    pub(crate) down: Direction,
}

// SAFETY: it consists of atomic integers only, for which zero is a value.
unsafe impl Zeroable for SessionSlot {}

const _: () = assert!(size_of::<SessionSlot>() == 192);

/// What has passed in one direction. Any worker may add to it.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Direction {
    ipv4_packets: AtomicU64,
    ipv4_octets: AtomicU64,
    dropped: AtomicU64,
    /// Nanoseconds; 0: never.
    last_received: AtomicU64,
    last_forwarded: AtomicU64,
}

const LIVE: u64 = 1;
const SEQUENCING: u64 = 1 << 1;
const ACFC: u64 = 1 << 2;
const PFC: u64 = 1 << 3;
const ADDRESS: u64 = 1 << 4;

impl SessionSlot {
    /// What is in the slot, if anything.
    ///
    /// # Errors
    /// [`Busy`] when it was being written all the time.
    pub fn read(&self) -> Result<Option<SessionView>, Busy> {
        let words = [&self.ids, &self.network, &self.judges];
        let load = || words.map(|word| word.load(Ordering::Relaxed));
        seqlock::read(&self.version, load).map(decode)
    }

    /// Replaces what is in the slot. For the control only.
    pub(crate) fn write(&self, view: Option<&SessionView>) {
        let values = view.map_or([0; 3], encode);
        let words = [&self.ids, &self.network, &self.judges];
        seqlock::write(&self.version, || {
            for (word, value) in words.into_iter().zip(values) {
                word.store(value, Ordering::Relaxed);
            }
        });
    }

    /// Forgets what the session before left. For the control only, while the slot is empty and no
    /// worker is in a batch that began before it was emptied.
    pub(crate) fn reset(&self) {
        for word in [&self.arrivals, &self.errors, &self.control] {
            word.store(0, Ordering::Relaxed);
        }
        self.next_sent.store(0, Ordering::Relaxed);
        self.up.reset();
        self.down.reset();
    }

    /// The number for the next data message to the LAC.
    pub(crate) fn next_sequence(&self) -> u16 {
        self.sequence_after(0)
    }

    /// The same, where so many numbers before it are left out.
    pub(crate) fn sequence_after(&self, skips: u16) -> u16 {
        let skips = u32::from(skips);
        let taken = skips.saturating_add(1);
        let next = self.next_sent.fetch_add(taken, Ordering::Relaxed);
        let [_, _, high, low] = next.wrapping_add(skips).to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    /// What has passed.
    pub fn counters(&self) -> Counters {
        Counters {
            up: self.up.counters(),
            down: self.down.counters(),
        }
    }

    /// When anything last came from the subscriber.
    pub fn last_received(&self) -> Option<Instant> {
        instant(&self.up.last_received)
    }

    /// When an IP packet last passed in either direction.
    pub fn last_forwarded(&self) -> Option<Instant> {
        instant(&self.up.last_forwarded).max(instant(&self.down.last_forwarded))
    }
}

impl Direction {
    /// Something came, whatever it was.
    pub(crate) fn received(&self, now: Instant) {
        self.last_received
            .store(now.as_nanos().max(1), Ordering::Relaxed);
    }

    /// An IPv4 packet of so many octets has passed.
    pub(crate) fn forwarded(&self, octets: usize, now: Instant) {
        self.ipv4_packets.fetch_add(1, Ordering::Relaxed);
        self.ipv4_octets
            .fetch_add(u64::try_from(octets).unwrap_or(0), Ordering::Relaxed);
        self.last_forwarded
            .store(now.as_nanos().max(1), Ordering::Relaxed);
    }

    /// A packet has been dropped.
    pub(crate) fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn counters(&self) -> DirectionCounters {
        DirectionCounters {
            ipv4_packets: self.ipv4_packets.load(Ordering::Relaxed),
            ipv4_octets: self.ipv4_octets.load(Ordering::Relaxed),
            ipv6_packets: 0,
            ipv6_octets: 0,
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    fn reset(&self) {
        let Self {
            ipv4_packets,
            ipv4_octets,
            dropped,
            last_received,
            last_forwarded,
        } = self;
        for word in [
            ipv4_packets,
            ipv4_octets,
            dropped,
            last_received,
            last_forwarded,
        ] {
            word.store(0, Ordering::Relaxed);
        }
    }
}

fn instant(nanos: &AtomicU64) -> Option<Instant> {
    match nanos.load(Ordering::Relaxed) {
        0 => None,
        nanos => Some(Instant::from_nanos(nanos)),
    }
}

fn encode(view: &SessionView) -> [u64; 3] {
    let flag = |set: bool, bit: u64| if set { bit } else { 0 };
    let flags = LIVE
        | flag(view.sequencing, SEQUENCING)
        | flag(view.acfc, ACFC)
        | flag(view.pfc, PFC)
        | flag(view.address.is_some(), ADDRESS);
    let ids = u64::from(view.tunnel.0) << 48
        | u64::from(view.session.0) << 32
        | u64::from(view.peer_session.0) << 16;
    let address = view.address.map_or(0, Ipv4Addr::to_bits);
    [
        ids | flags,
        u64::from(address) << 32 | u64::from(view.mtu) << 16 | u64::from(view.mss),
        u64::from(view.chain.0) << 32 | u64::from(PolicerId::to_word(view.policer)),
    ]
}

fn decode([ids, network, judges]: [u64; 3]) -> Option<SessionView> {
    let [t0, t1, s0, s1, p0, p1, _, _] = ids.to_be_bytes();
    let [a0, a1, a2, a3, mtu0, mtu1, mss0, mss1] = network.to_be_bytes();
    let [c0, c1, c2, c3, r0, r1, r2, r3] = judges.to_be_bytes();
    (ids & LIVE != 0).then(|| SessionView {
        tunnel: TunnelId(u16::from_be_bytes([t0, t1])),
        session: SessionId(u16::from_be_bytes([s0, s1])),
        peer_session: PeerSessionId(u16::from_be_bytes([p0, p1])),
        address: (ids & ADDRESS != 0).then(|| Ipv4Addr::new(a0, a1, a2, a3)),
        mtu: u16::from_be_bytes([mtu0, mtu1]),
        mss: u16::from_be_bytes([mss0, mss1]),
        sequencing: ids & SEQUENCING != 0,
        acfc: ids & ACFC != 0,
        pfc: ids & PFC != 0,
        chain: ChainId(u32::from_be_bytes([c0, c1, c2, c3])),
        policer: PolicerId::from_word(u32::from_be_bytes([r0, r1, r2, r3])),
    })
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicBool;

    use super::*;
    use crate::memory::Zeroed;

    fn view(bits: u8) -> SessionView {
        let fill = u16::from(bits) << 8 | u16::from(!bits);
        SessionView {
            tunnel: TunnelId(fill),
            session: SessionId(!fill),
            peer_session: PeerSessionId(fill.rotate_left(3)),
            address: (bits & 1 != 0).then(|| Ipv4Addr::from_bits(u32::from(fill) << 9)),
            mtu: fill.rotate_left(5),
            mss: fill.rotate_left(7),
            sequencing: bits & 2 != 0,
            acfc: bits & 4 != 0,
            pfc: bits & 8 != 0,
            chain: ChainId(u32::from(fill.rotate_left(1)) << 11),
            policer: (bits & 16 != 0).then(|| PolicerId::new(u32::from(!fill) << 13)),
        }
    }

    #[test]
    fn every_combination_of_fields_comes_back() {
        let slots = Zeroed::<SessionSlot>::new(1).unwrap();
        assert_eq!(slots[0].read(), Ok(None));
        for bits in 0..=255 {
            slots[0].write(Some(&view(bits)));
            assert_eq!(slots[0].read(), Ok(Some(view(bits))), "{bits}");
        }
        slots[0].write(None);
        assert_eq!(slots[0].read(), Ok(None));
    }

    #[test]
    fn a_reader_sees_one_session_or_the_other_and_never_a_mix() {
        let slots = Zeroed::<SessionSlot>::new(1).unwrap();
        let stop = AtomicBool::new(false);
        let seen = [AtomicU32::new(0), AtomicU32::new(0)];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let Ok(Some(found)) = slots[0].read() else {
                        continue;
                    };
                    let which = usize::from(found != view(0x55));
                    assert_eq!(found, view([0x55, 0xaa][which]));
                    seen[which].fetch_add(1, Ordering::Relaxed);
                }
            });
            for round in 0..5_000_000 {
                slots[0].write(Some(&view(0x55)));
                for _ in 0..round % 40 {
                    core::hint::spin_loop();
                }
                slots[0].write(Some(&view(0xaa)));
                for _ in 0..round % 30 {
                    core::hint::spin_loop();
                }
                if seen
                    .iter()
                    .all(|times| times.load(Ordering::Relaxed) > 1_000)
                {
                    break;
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(
            seen.iter().all(|times| times.load(Ordering::Relaxed) > 0),
            "{seen:?}"
        );
    }

    #[test]
    fn numbers_of_data_messages_begin_at_zero_and_wrap_at_sixteen_bits() {
        let slots = Zeroed::<SessionSlot>::new(1).unwrap();
        for expected in (0..=u16::MAX).chain(0..3) {
            assert_eq!(slots[0].next_sequence(), expected);
        }
    }
}
