//! Many threads at once: each flow is opened once, and ends once.

use std::sync::Arc;
use std::thread;

use lns_l2sess::policy::{Action, Matches};
use lns_l2sess::{ChainId, Classifier, Event, Policies, PortId, Seconds, Verdict, Visit};

use super::support::bed::*;
use super::support::*;

const THREADS: usize = 4;

/// Every thread runs this over `packets`, beginning each at another one.
fn on_threads(bed: &Bed, packets: &[(lns_l2sess::Direction, Vec<u8>)], dropped: bool) {
    let (classifier, policies) = (&bed.classifier, Arc::clone(bed.book.current()));
    let (chain, now) = (bed.chain, bed.seconds());
    thread::scope(|scope| {
        for lane in 0..THREADS {
            let policies = &policies;
            scope.spawn(move || {
                let from = lane * packets.len() / THREADS;
                let turned = packets[from..].iter().chain(&packets[..from]);
                for (direction, packet) in turned {
                    let visit = Visit {
                        lane,
                        port: PORT,
                        chain,
                        direction: *direction,
                        packet,
                        now,
                    };
                    let verdict = classifier.classify(policies, &visit);
                    assert_eq!(verdict != Verdict::Forward, dropped);
                }
            });
        }
    });
}

#[test]
fn the_first_packets_of_flows_on_many_threads_open_each_flow_once() {
    for case in Case::all() {
        let bed = case.bed();
        bed.set(|options| options.per_port = 1_000);
        let packets: Vec<_> = (0..800)
            .map(|port| (case.opener, case.packet(case.opener, 17, &udp(port, 53, 0))))
            .collect();
        on_threads(&bed, &packets, false);
        assert_eq!((bed.flows(), bed.events(Event::Opened)), (800, 800));
        // Long after, many threads find each of them over, and each ends once.
        bed.wait(1_000);
        let back: Vec<_> = (0..800)
            .map(|port| (case.back(), case.packet(case.back(), 17, &udp(53, port, 0))))
            .collect();
        on_threads(&bed, &back, true);
        assert_eq!((bed.flows(), bed.events(Event::Expired)), (0, 800));
    }
}

/// A sequence of numbers that looks like chance, the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// What a worker does: packets of a few conversations of four ports, of which more are begun than there is
/// room for, while its clock goes on.
fn work(classifier: &Classifier, policies: &Policies, chain: ChainId, lane: usize) {
    const FLAGS: [u8; 6] = [SYN, SYN | ACK, ACK, ACK, FIN | ACK, RST];
    let mut numbers = Numbers(lane.try_into().unwrap());
    let cases: Vec<_> = Case::all().filter(|case| case.opener == UP).collect();
    for step in 0..4_000_u64 {
        let case = cases[usize::from(numbers.below(2) == 1)];
        let direction = if numbers.below(3) == 0 { DOWN } else { UP };
        let near = 1_000 + u16::try_from(numbers.below(40)).unwrap();
        let ports = if direction == UP {
            (near, 80)
        } else {
            (80, near)
        };
        let packet = if numbers.below(4) == 0 {
            case.packet(direction, 17, &udp(ports.0, ports.1, 0))
        } else {
            let flags = FLAGS[usize::try_from(numbers.below(6)).unwrap()];
            case.packet(direction, 6, &tcp(ports.0, ports.1, flags))
        };
        let visit = Visit {
            lane,
            port: PortId(u32::try_from(numbers.below(4)).unwrap()),
            chain,
            direction,
            packet: &packet,
            now: Seconds::new(step / 8),
        };
        classifier.classify(policies, &visit);
    }
}

#[test]
fn whatever_threads_do_at_once_every_flow_ends_in_one_way_that_is_counted() {
    let mut bed = Bed::with_room(100, vec![reflect(UP)]);
    let before = Arc::clone(bed.book.current());
    let mut anew = reflect(UP);
    anew.on_change = lns_l2sess::policy::OnChange::Reclassify;
    let no_udp = Matches {
        protocol: Some(17),
        ..Matches::default()
    };
    let rules = &mut anew.input.as_mut().unwrap().rules;
    rules.push(rule("no-udp", Action::Drop, no_udp));
    bed.book.replace(vec![anew]).unwrap();
    let after = Arc::clone(bed.book.current());
    let (classifier, chain) = (&bed.classifier, bed.chain);
    thread::scope(|scope| {
        for lane in 0..THREADS {
            let editions = [&before, &after];
            // Some workers have heard of the change already.
            let policies = editions[lane % 2];
            scope.spawn(move || work(classifier, policies, chain, lane));
        }
        scope.spawn(|| {
            for step in 0..400 {
                classifier.sweep(&after, Seconds::new(step), 10);
                classifier.clear(PortId(u32::try_from(step % 4).unwrap()));
                if step % 7 == 0 {
                    classifier.close(PortId(3));
                    classifier.open(PortId(3));
                }
                thread::yield_now();
            }
        });
    });
    let ended: u64 = [
        Event::Expired,
        Event::Swept,
        Event::Evicted,
        Event::Revoked,
        Event::Cleared,
    ]
    .map(|event| bed.events(event))
    .into_iter()
    .sum();
    let counts = bed.classifier.table().counts();
    assert_eq!(counts.in_use, counts.flows());
    assert_eq!(bed.events(Event::Opened), ended + u64::from(counts.flows()));
    let listed: usize = (0..4)
        .map(|port| bed.classifier.table().flows_of(PortId(port), 1_000).len())
        .sum();
    assert_eq!(u32::try_from(listed), Ok(counts.flows()));
    bed.classifier.clear_all();
    assert_eq!(bed.classifier.table().counts().in_use, 0);
}
