//! Many threads at once: each flow is opened once, and ends once.

use std::sync::Arc;
use std::thread;

use lns_l2sess::{Event, Verdict, Visit};

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
