//! What the workers count besides the sessions' own counters: packets in all, and drops by reason.

use core::sync::atomic::{AtomicU64, Ordering};

use lns_l2sess::Refusal;

lns_wire::labelled! {
    /// Why a packet was not forwarded, with the label that metrics use.
    pub enum DropReason {
        /// Upstream: the L2TP header is cut short, of another version, or has a combination of bits that
        /// RFC 2661, 3.1 forbids.
        MalformedL2tp = "malformed_l2tp",
        /// Upstream: the PPP header is cut short or the protocol field is none (RFC 1661, 2).
        MalformedPpp = "malformed_ppp",
        /// Either direction: the IP header does not describe the packet.
        MalformedIp = "malformed_ip",
        /// Either direction: longer than a worker's buffer.
        TooLarge = "too_large",
        /// Upstream: a tunnel id that is not in use.
        UnknownTunnel = "unknown_tunnel",
        /// Upstream: a session id that is not in use in that tunnel.
        UnknownSession = "unknown_session",
        /// Upstream: not from the tunnel's peer, or not to the address at which the tunnel was opened.
        WrongPeer = "wrong_peer",
        /// Upstream: the subscriber used an address that is not its own.
        SourceCheck = "source_check",
        /// Upstream: an IP packet before IPCP is open.
        NetworkNotOpen = "network_not_open",
        /// Either direction: an IPv6 packet; no session has IPv6 yet.
        Ipv6NotEnabled = "ipv6_not_enabled",
        /// Upstream: a sequenced packet that was already passed or given up.
        SequenceOld = "sequence_old",
        /// Either direction: more than the rate of the session's policies allows.
        Rate = "rate",
        /// Either direction: a rule or a default of the session's policies says so.
        Policy = "policy",
        /// Either direction: its flow had timed out; the next packet is judged by policy.
        FlowExpired = "flow_expired",
        /// Either direction: the session table is full of flows that are not given up for a new one.
        FlowTableFull = "flow_table_full",
        /// Either direction: the session has as many flows as one may have, none of which is given up for a
        /// new one.
        FlowLimit = "flow_limit",
        /// Either direction: the session ended, or its policies changed, while the packet was on its way.
        PortClosed = "port_closed",
        /// Either direction: the headers contradict the packet.
        ClassifierMalformed = "classifier_malformed",
        /// Downstream: no session has that address.
        NoSession = "no_session",
        /// Downstream: larger than the session's MTU and not to be fragmented; the sender was told, unless
        /// the limit for ICMP errors was reached.
        FragmentationNeeded = "fragmentation_needed",
        /// Either direction: its session's home is not known.
        HomeUnknown = "home_unknown",
        /// Either direction: another node has handed it over, and this is not its session's home.
        NotHome = "not_home",
        /// Either direction: there is no way to the session's home, or the packet is too long for it.
        NoWayHome = "no_way_home",
        /// Either direction: more than may be handed over of what is not known here.
        UnknownRate = "unknown_rate",
        /// Upstream: for the control, whose queue is full.
        ControlQueueFull = "control_queue_full",
        /// Upstream: more PPP control than one session may send to the control.
        ControlRate = "control_rate",
        /// Either direction: the table entry was being written for longer than a reader waits.
        TableBusy = "table_busy",
        /// Upstream: the socket's queue in the kernel was full, its worker did not keep up.
        SocketOverflow = "socket_overflow",
        /// Downstream, or to another node: the socket's queue in the kernel is full.
        SocketFull = "socket_full",
        /// Downstream, or to another node: the kernel refused the datagram, for instance because there is no
        /// route to the LAC.
        SocketError = "socket_error",
        /// Upstream: the subscribers' interface refused the packet; it is down, or its queue is full.
        InterfaceError = "interface_error",
    }
}

impl From<Refusal> for DropReason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Policy => Self::Policy,
            Refusal::FlowExpired => Self::FlowExpired,
            Refusal::FlowTableFull => Self::FlowTableFull,
            Refusal::FlowLimit => Self::FlowLimit,
            Refusal::PortClosed => Self::PortClosed,
            Refusal::Malformed => Self::ClassifierMalformed,
        }
    }
}

/// How many reasons there are.
const REASONS: usize = DropReason::ALL.len();

/// One thread's counters. Aligned so that two threads' never share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ThreadCounters {
    pub(crate) up_packets: AtomicU64,
    pub(crate) up_octets: AtomicU64,
    pub(crate) down_packets: AtomicU64,
    pub(crate) down_octets: AtomicU64,
    pub(crate) fragments_sent: AtomicU64,
    pub(crate) icmp_sent: AtomicU64,
    pub(crate) receive_calls: AtomicU64,
    pub(crate) send_calls: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) handed_up: AtomicU64,
    pub(crate) handed_down: AtomicU64,
    pub(crate) taken_up: AtomicU64,
    pub(crate) taken_down: AtomicU64,
    drops: [AtomicU64; REASONS],
}

impl ThreadCounters {
    pub(crate) fn count_drop(&self, reason: DropReason) {
        self.count_drops(reason, 1);
    }

    /// For counters that several threads write.
    pub(crate) fn count_shared_drop(&self, reason: DropReason) {
        if let Some(counter) = self.drops.get(reason.place()) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn count_drops(&self, reason: DropReason, packets: u64) {
        if let Some(counter) = self.drops.get(reason.place()) {
            add(counter, packets);
        }
    }
}

/// Adds to a counter that only this thread writes: a load and a store, no locked instruction.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(amount),
        Ordering::Relaxed,
    );
}

/// What all workers have counted since the start.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// IP packets from subscribers to the core.
    pub up_packets: u64,
    /// Their octets.
    pub up_octets: u64,
    /// IP packets from the core to subscribers; one that was fragmented counts once.
    pub down_packets: u64,
    /// Their octets.
    pub down_octets: u64,
    /// Fragments made of packets that were too large.
    pub fragments_sent: u64,
    /// ICMP errors sent.
    pub icmp_sent: u64,
    /// System calls that received datagrams from LACs, or other nodes.
    pub receive_calls: u64,
    /// System calls that sent datagrams to LACs, or other nodes.
    pub send_calls: u64,
    /// Data messages of LACs that were handed to another node.
    pub handed_up: u64,
    /// IP packets for subscribers that were handed to another node.
    pub handed_down: u64,
    /// Data messages of LACs that another node has handed over. What has become of them is counted with the
    /// others.
    pub taken_up: u64,
    /// IP packets for subscribers that another node has handed over.
    pub taken_down: u64,
    drops: [u64; REASONS],
}

impl Stats {
    /// Every reason with the packets dropped for it, also those with none.
    pub fn reasons(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        DropReason::ALL
            .iter()
            .zip(self.drops)
            .map(|(reason, packets)| (reason.label(), packets))
    }

    /// Packets dropped for one reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.reasons()
            .find(|(label, _)| *label == reason.label())
            .map_or(0, |(_, packets)| packets)
    }

    /// With drops that were counted elsewhere.
    pub(crate) fn with_drops(mut self, reason: DropReason, packets: u64) -> Self {
        if let Some(sum) = self.drops.get_mut(reason.place()) {
            *sum = sum.wrapping_add(packets);
        }
        self
    }

    pub(crate) fn sum<'a>(threads: impl Iterator<Item = &'a ThreadCounters>) -> Self {
        threads.fold(Self::default(), Self::plus)
    }

    fn plus(mut self, thread: &ThreadCounters) -> Self {
        let read =
            |counter: &AtomicU64, sum: u64| sum.wrapping_add(counter.load(Ordering::Relaxed));
        self.up_packets = read(&thread.up_packets, self.up_packets);
        self.up_octets = read(&thread.up_octets, self.up_octets);
        self.down_packets = read(&thread.down_packets, self.down_packets);
        self.down_octets = read(&thread.down_octets, self.down_octets);
        self.fragments_sent = read(&thread.fragments_sent, self.fragments_sent);
        self.icmp_sent = read(&thread.icmp_sent, self.icmp_sent);
        self.receive_calls = read(&thread.receive_calls, self.receive_calls);
        self.send_calls = read(&thread.send_calls, self.send_calls);
        self.handed_up = read(&thread.handed_up, self.handed_up);
        self.handed_down = read(&thread.handed_down, self.handed_down);
        self.taken_up = read(&thread.taken_up, self.taken_up);
        self.taken_down = read(&thread.taken_down, self.taken_down);
        for (sum, counter) in self.drops.iter_mut().zip(&thread.drops) {
            *sum = read(counter, *sum);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_drop_is_summed_under_its_own_label() {
        let threads = [ThreadCounters::default(), ThreadCounters::default()];
        for (times, reason) in (1_u64..).zip(DropReason::ALL) {
            threads[0].count_drops(*reason, times);
            threads[1].count_drop(*reason);
        }
        let stats = Stats::sum(threads.iter());
        for (times, reason) in (1_u64..).zip(DropReason::ALL) {
            assert_eq!(stats.dropped(*reason), times + 1, "{}", reason.label());
        }
        let mut labels: Vec<_> = stats.reasons().map(|(label, _)| label).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), DropReason::ALL.len());
    }

    #[test]
    fn each_refusal_of_the_classifier_is_a_drop_with_its_label() {
        for refusal in Refusal::ALL {
            assert_eq!(DropReason::from(*refusal).label(), refusal.label());
        }
    }
}
