//! Reliable delivery between two channels over a line that loses, repeats and reorders.

use lns_wire::l2tp::Packet;
use proptest::prelude::*;

use super::*;
use crate::limits;

const PEER: PeerTunnelId = PeerTunnelId(7);
const START: Instant = Instant::from_millis(1_000);

fn after(millis: u64) -> Instant {
    Instant::from_millis(START.as_millis() + millis)
}

fn channel(peer_window: u16) -> Channel {
    let mut channel = Channel::new(RetransmitConfig::default(), 8);
    channel.set_peer_window(peer_window);
    channel
}

fn send(channel: &mut Channel, number: u16) {
    channel
        .send(
            PeerSessionId(number),
            Keeper::Call,
            Box::new(number.to_be_bytes()),
        )
        .unwrap();
}

/// Ns, Nr and body of the next payload.
fn sent(channel: &mut Channel, now: Instant) -> Option<(u16, u16, Vec<u8>)> {
    let mut out = Vec::new();
    channel
        .poll_transmit(PEER, now, &mut out)
        .then(|| match Packet::parse(&out) {
            Ok(Packet::Control(header, body)) => (header.ns.0, header.nr.0, body.to_vec()),
            other => panic!("{other:?}"),
        })
}

/// The Ns of all payloads that go out now.
fn all_sent(channel: &mut Channel, now: Instant) -> Vec<u16> {
    core::iter::from_fn(|| sent(channel, now))
        .map(|(ns, ..)| ns)
        .collect()
}

#[test]
fn nothing_goes_out_of_an_idle_channel() {
    let mut idle = channel(4);
    assert_eq!(sent(&mut idle, START), None);
    assert_eq!(idle.poll_timeout(), None);
}

#[test]
fn a_zlb_goes_out_only_if_no_message_carries_the_acknowledgement() {
    let mut end = channel(4);
    end.receive();
    assert_eq!(sent(&mut end, START), Some((0, 1, vec![])));
    assert_eq!(sent(&mut end, START), None, "once");
    end.receive();
    send(&mut end, 5);
    assert_eq!(sent(&mut end, START), Some((0, 2, vec![0, 5])));
    assert_eq!(sent(&mut end, START), None);
    end.acknowledge_again();
    assert_eq!(
        sent(&mut end, START),
        Some((1, 2, vec![])),
        "a ZLB has the number of the next message"
    );
}

#[test]
fn a_message_is_sent_again_after_1_3_7_15_and_23_seconds_and_given_up_after_31() {
    let mut end = channel(4);
    send(&mut end, 1);
    assert_eq!(all_sent(&mut end, START), [0]);
    for seconds in [1, 3, 7, 15, 23] {
        let due = after(seconds * 1_000);
        assert_eq!(end.poll_timeout(), Some(due));
        end.handle_timeout(after(seconds * 1_000 - 1)).unwrap();
        assert_eq!(all_sent(&mut end, due), []);
        end.handle_timeout(due).unwrap();
        assert_eq!(all_sent(&mut end, due), [0], "{seconds}");
    }
    assert_eq!(end.poll_timeout(), Some(after(31_000)));
    assert_eq!(end.handle_timeout(after(31_000)), Err(NoAnswer));
}

#[test]
fn an_acknowledgement_begins_the_count_of_tries_anew() {
    let mut end = channel(4);
    send(&mut end, 1);
    send(&mut end, 2);
    assert_eq!(all_sent(&mut end, START), [0], "slow start lets one out");
    for seconds in [1, 3] {
        end.handle_timeout(after(seconds * 1_000)).unwrap();
        all_sent(&mut end, after(seconds * 1_000));
    }
    assert_eq!(end.status().tries, 2);
    end.acknowledge(Seq16(1), after(4_000));
    assert_eq!(end.status().tries, 0);
    assert_eq!(all_sent(&mut end, after(4_000)), [1]);
    assert_eq!(end.poll_timeout(), Some(after(5_000)));
    end.acknowledge(Seq16(2), after(4_500));
    assert_eq!(end.poll_timeout(), None);
    assert!(end.is_idle());
}

#[test]
fn slow_start_doubles_and_congestion_avoidance_adds_one_per_window() {
    let mut end = channel(16);
    for number in 0..200 {
        send(&mut end, number);
    }
    let mut windows = Vec::new();
    let round = |end: &mut Channel| {
        let burst = all_sent(end, START).len();
        let status = end.status();
        end.acknowledge(status.ns, START);
        burst
    };
    windows.extend((0..5).map(|_| round(&mut end)));
    assert_eq!(windows, [1, 2, 4, 8, 16], "up to the peer's window");
    assert_eq!(round(&mut end), 16, "and never above it");
    // A loss: half the window is the threshold, and it begins again with one.
    all_sent(&mut end, START);
    end.handle_timeout(after(1_000)).unwrap();
    assert_eq!(
        (end.status().congestion_window, end.status().threshold),
        (1, 8)
    );
    let lost = end.status();
    assert_eq!(all_sent(&mut end, after(1_000)), [lost.ns.0 - 16]);
    end.acknowledge(lost.ns, after(1_000));
    assert!(
        end.status().congestion_window > 8,
        "the peer had kept the rest"
    );
    let before = end.status().congestion_window;
    round(&mut end);
    assert_eq!(
        end.status().congestion_window,
        before + 1,
        "above the threshold by one per window"
    );
}

#[test]
fn an_nr_beyond_what_was_sent_is_dropped() {
    let mut end = channel(4);
    assert_eq!(
        end.check_acknowledgement(Seq16(1)),
        Err(Dropped::NrBeyondNs)
    );
    send(&mut end, 1);
    send(&mut end, 2);
    assert_eq!(
        end.check_acknowledgement(Seq16(1)),
        Err(Dropped::NrBeyondNs),
        "queued is not sent"
    );
    all_sent(&mut end, START);
    assert_eq!(end.check_acknowledgement(Seq16(1)), Ok(()));
    assert_eq!(
        end.check_acknowledgement(Seq16(2)),
        Err(Dropped::NrBeyondNs)
    );
    assert_eq!(
        end.check_acknowledgement(Seq16(65_535)),
        Ok(()),
        "old, and says nothing"
    );
    end.acknowledge(Seq16(65_535), START);
    assert!(!end.is_idle());
    assert_eq!(
        end.classify(Seq16(0), Seq16(9), 2),
        Err(Dropped::NrBeyondNs)
    );
}

#[test]
fn after_a_takeover_an_nr_of_messages_that_no_record_has_is_believed_within_bounds() {
    let image = ChannelImage {
        acknowledged: 26,
        queued: 26,
        received: 7,
        peer_window: 8,
        messages: Vec::new(),
    };
    let restored = || Channel::restore(RetransmitConfig::default(), 4, image.clone(), []);
    let mut end = restored();
    send(&mut end, 1);
    all_sent(&mut end, START);
    // The node before has sent 26 and 27, and the peer has them.
    assert_eq!(end.check_acknowledgement(Seq16(28)), Ok(()));
    end.acknowledge(Seq16(28), START);
    assert!(end.is_idle(), "what has their numbers is taken for them");
    send(&mut end, 2);
    assert_eq!(all_sent(&mut end, START), [28]);
    let far = |ahead: u16| Seq16(26).plus(ahead);
    let end = restored();
    assert_eq!(
        end.check_acknowledgement(far(limits::UNHEARD.saturating_add(1))),
        Err(Dropped::NrBeyondNs)
    );
    let image = ChannelImage {
        acknowledged: 0,
        queued: 1,
        ..image.clone()
    };
    let end = Channel::restore(RetransmitConfig::default(), 4, image, []);
    assert_eq!(end.check_acknowledgement(Seq16(1)), Ok(()));
    assert_eq!(
        end.check_acknowledgement(Seq16(2)),
        Err(Dropped::NrBeyondNs),
        "a tunnel that is not up has said one message"
    );
    // Once as many were acknowledged here, nothing is believed that was not sent here.
    let mut end = restored();
    end.acknowledge(far(limits::UNHEARD), START);
    assert_eq!(
        end.check_acknowledgement(far(limits::UNHEARD.saturating_add(1))),
        Err(Dropped::NrBeyondNs)
    );
}

#[test]
fn after_a_takeover_a_message_that_comes_again_and_again_is_the_next_one() {
    let image = ChannelImage {
        acknowledged: 1,
        queued: 1,
        received: 7,
        peer_window: 8,
        messages: Vec::new(),
    };
    let restored = || Channel::restore(RetransmitConfig::default(), 8, image.clone(), []);
    let at = |ms: u64| START + core::time::Duration::from_millis(ms);
    let classify = |end: &Channel, ns| end.classify(Seq16(ns), Seq16(1), 2);
    // Inside the window it is kept, outside it is not, and is known again nevertheless.
    for ns in [9, 300] {
        let mut end = restored();
        for again in [0, 1_000, 1_100, 3_000] {
            end.note_number(Seq16(ns), at(again));
            end.note_number(Seq16(ns + 1), at(again));
            assert_ne!(classify(&end, ns), Ok(Arrival::Next), "{again}");
            if ns == 9 {
                end.keep(early(Seq16(ns)), Box::new([]));
            }
        }
        end.note_number(Seq16(ns), at(7_000));
        assert_eq!(classify(&end, ns), Ok(Arrival::Next));
        end.receive();
        assert_eq!((end.status().nr, end.status().kept), (Seq16(ns + 1), 0));
        assert!(!end.is_unheard());
    }
    // One that comes in order ends it, and so do more than the node before can have acknowledged.
    let far = 7 + limits::UNHEARD + 1;
    for (ns, in_order) in [(9, true), (far, false)] {
        let mut end = restored();
        if in_order {
            end.receive();
        }
        for again in 0..9 {
            end.note_number(Seq16(ns), at(again * 1_000));
        }
        assert_ne!(classify(&end, ns), Ok(Arrival::Next));
    }
}

#[test]
fn early_messages_are_kept_inside_the_window_and_dropped_outside() {
    for expected in [0, 32_764, 65_532] {
        let mut end = channel(4).starting_at(Seq16(0), Seq16(expected));
        let at = |ahead: u16| Seq16(expected).plus(ahead);
        let classify = |end: &Channel, ns| end.classify(ns, Seq16(0), 2);
        assert_eq!(classify(&end, at(7)), Ok(Arrival::Early));
        assert_eq!(classify(&end, at(8)), Err(Dropped::OutsideWindow));
        assert_eq!(classify(&end, at(32_768)), Err(Dropped::OutsideWindow));
        assert_eq!(classify(&end, at(32_769)), Ok(Arrival::Duplicate));
        assert_eq!(classify(&end, at(65_535)), Ok(Arrival::Duplicate));
        for ahead in [5, 2, 1, 7] {
            end.keep(early(at(ahead)), Box::new([]));
            assert_eq!(
                classify(&end, at(ahead)),
                Ok(Arrival::Duplicate),
                "kept already"
            );
        }
        assert!(end.next_kept().is_none(), "its turn has not come");
        end.receive();
        let turn: Vec<u16> = core::iter::from_fn(|| end.next_kept())
            .map(|(header, _)| header.ns.0)
            .collect();
        assert_eq!(turn, [at(1).0, at(2).0]);
        assert_eq!((end.status().nr, end.status().kept), (at(3), 2));
    }
}

fn early(ns: Seq16) -> ControlHeader {
    ControlHeader {
        ns,
        ..ControlHeader::default()
    }
}

#[test]
fn the_octets_that_are_kept_are_bounded() {
    let mut end = channel(4);
    end.set_kept_limit(100);
    end.keep(early(Seq16(1)), vec![0; 60].into());
    assert_eq!(end.classify(Seq16(2), Seq16(0), 41), Err(Dropped::NoRoom));
    assert_eq!(end.classify(Seq16(2), Seq16(0), 40), Ok(Arrival::Early));
    end.receive();
    assert!(end.next_kept().is_some());
    assert_eq!(
        end.classify(Seq16(3), Seq16(0), 100),
        Ok(Arrival::Early),
        "the room is free again"
    );
}

#[test]
fn the_send_queue_is_bounded() {
    let mut end = channel(4);
    for _ in 0..limits::SEND_QUEUE {
        end.send(PEER_SESSION, Keeper::Tunnel, Box::default())
            .unwrap();
    }
    assert_eq!(
        end.send(PEER_SESSION, Keeper::Tunnel, Box::default()),
        Err(Full)
    );
    end.drop_unsent();
    assert!(end.is_idle());
}

const PEER_SESSION: PeerSessionId = PeerSessionId(1);

#[test]
fn a_held_channel_sends_again_only_when_told() {
    let mut end = channel(4);
    end.hold(true, START);
    end.receive();
    send(&mut end, 1);
    assert_eq!(all_sent(&mut end, START), [0]);
    assert_eq!(end.poll_timeout(), None);
    end.acknowledge_again();
    assert_eq!(
        all_sent(&mut end, START),
        [],
        "no ZLB: it would stop the peer's own retransmission"
    );
    end.resend();
    assert_eq!(all_sent(&mut end, START), [0]);
    end.hold(false, after(500));
    assert_eq!(end.poll_timeout(), Some(after(1_500)));
}

#[test]
fn an_idle_channel_keeps_no_heap() {
    let mut end = channel(4);
    send(&mut end, 1);
    all_sent(&mut end, START);
    end.acknowledge(Seq16(1), START);
    end.keep(early(Seq16(1)), Box::new([1]));
    end.receive();
    assert!(end.next_kept().is_some());
    assert_eq!((end.sender.capacity(), end.receiver.capacity()), (0, 0));
}

/// What may happen on the line or at an end.
#[derive(Clone, Debug)]
enum Op {
    Send {
        end: usize,
    },
    /// All that an end has to send goes onto the line.
    Flush {
        end: usize,
    },
    /// One of what is on the line arrives, whichever it is.
    Deliver {
        pick: usize,
    },
    /// The same, and it stays on the line too.
    Repeat {
        pick: usize,
    },
    Lose {
        pick: usize,
    },
    Wait {
        millis: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..2_usize).prop_map(|end| Op::Send { end }),
        4 => (0..2_usize).prop_map(|end| Op::Flush { end }),
        6 => any::<usize>().prop_map(|pick| Op::Deliver { pick }),
        2 => any::<usize>().prop_map(|pick| Op::Repeat { pick }),
        2 => any::<usize>().prop_map(|pick| Op::Lose { pick }),
        1 => (1..3_000_u64).prop_map(|millis| Op::Wait { millis }),
    ]
}

/// Two channels, and what is on the line towards each.
struct Line {
    ends: [Channel; 2],
    numbers: [u16; 2],
    delivered: [Vec<u16>; 2],
    /// To which end, and the payload.
    payloads: Vec<(usize, Vec<u8>)>,
    now: Instant,
}

impl Line {
    fn new(window: u16, starts: [u16; 2]) -> Self {
        // So patient that no generated silence ends the connection.
        let retransmit = RetransmitConfig {
            tries: 250,
            ..RetransmitConfig::default()
        };
        let end = |ns, nr| {
            let mut end = Channel::new(retransmit, window).starting_at(Seq16(ns), Seq16(nr));
            end.set_peer_window(window);
            end
        };
        Self {
            ends: [end(starts[0], starts[1]), end(starts[1], starts[0])],
            numbers: [0; 2],
            delivered: [vec![], vec![]],
            payloads: vec![],
            now: START,
        }
    }

    fn apply(&mut self, op: &Op, window: u16) {
        match *op {
            Op::Send { end } => {
                send(&mut self.ends[end], self.numbers[end]);
                self.numbers[end] += 1;
            }
            Op::Flush { end } => self.flush(end, window),
            Op::Deliver { pick } => self.deliver(pick, false),
            Op::Repeat { pick } => self.deliver(pick, true),
            Op::Lose { pick } => {
                if !self.payloads.is_empty() {
                    self.payloads.swap_remove(pick % self.payloads.len());
                }
            }
            Op::Wait { millis } => self.wait(millis),
        }
    }

    fn flush(&mut self, end: usize, window: u16) {
        let mut out = Vec::new();
        while self.ends[end].poll_transmit(PEER, self.now, &mut out) {
            self.payloads.push((1 - end, out.clone()));
        }
        assert!(self.ends[end].status().unacknowledged <= window);
    }

    fn wait(&mut self, millis: u64) {
        self.now = Instant::from_millis(self.now.as_millis() + millis);
        for end in &mut self.ends {
            end.handle_timeout(self.now).unwrap();
        }
    }

    fn deliver(&mut self, pick: usize, stays: bool) {
        if self.payloads.is_empty() {
            return;
        }
        let pick = pick % self.payloads.len();
        let (to, payload) = self.payloads[pick].clone();
        if !stays {
            self.payloads.swap_remove(pick);
        }
        let Ok(Packet::Control(header, body)) = Packet::parse(&payload) else {
            panic!()
        };
        let (end, delivered) = (&mut self.ends[to], &mut self.delivered[to]);
        if body.is_empty() {
            end.check_acknowledgement(header.nr).unwrap();
            end.acknowledge(header.nr, self.now);
            return;
        }
        let number = |body: &[u8]| u16::from_be_bytes(body.try_into().unwrap());
        match end
            .classify(header.ns, header.nr, body.len())
            .expect("the window is never exceeded")
        {
            Arrival::Next => {
                end.receive();
                delivered.push(number(body));
                delivered
                    .extend(core::iter::from_fn(|| end.next_kept()).map(|(_, body)| number(&body)));
            }
            Arrival::Early => end.keep(header, body.into()),
            Arrival::Duplicate => end.acknowledge_again(),
        }
        end.acknowledge(header.nr, self.now);
    }

    /// Lets everything through until both ends are content.
    fn settle(&mut self, window: u16) {
        for _ in 0..10_000 {
            self.flush(0, window);
            self.flush(1, window);
            while !self.payloads.is_empty() {
                self.deliver(0, false);
            }
            if self
                .ends
                .iter()
                .all(|end| end.is_idle() && !end.is_ack_due())
            {
                return;
            }
            self.wait(500);
        }
        panic!("the ends never agree");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_message_arrives_once_and_in_order_whatever_the_line_does(
        window in 1..20_u16,
        starts in prop_oneof![
            Just([0_u16, 0]),
            Just([32_760, 65_530]),
            Just([65_535, 32_767]),
            any::<[u16; 2]>(),
        ],
        ops in prop::collection::vec(op(), 0..400),
    ) {
        let mut line = Line::new(window, starts);
        for op in &ops {
            line.apply(op, window);
        }
        line.settle(window);
        for (from, to) in [(0, 1), (1, 0)] {
            let all: Vec<u16> = (0..line.numbers[from]).collect();
            prop_assert_eq!(&line.delivered[to], &all);
        }
    }
}

#[test]
fn a_whole_turn_of_the_numbers_passes_both_wraps() {
    let mut line = Line::new(16, [0, 60_000]);
    let mut count = 0_u16;
    for _ in 0..70 {
        line.numbers[0] = 0;
        line.delivered[1].clear();
        for _ in 0..1_000 {
            line.apply(&Op::Send { end: 0 }, 16);
        }
        line.settle(16);
        count = count.wrapping_add(1_000);
        assert_eq!(line.delivered[1], (0..1_000).collect::<Vec<u16>>());
        assert_eq!(
            (line.ends[0].status().ns, line.ends[1].status().nr),
            (Seq16(count), Seq16(count))
        );
    }
}
