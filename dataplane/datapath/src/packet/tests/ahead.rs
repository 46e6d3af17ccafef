//! Batches that are looked ahead at.

use lns_l2sess::policy::{Epoch, PolicyId};
use lns_l2sess::table::NewFlow;
use lns_l2sess::{ChainId, FlowKey, Packet, PortId, Seconds, State, Timeouts};

use super::filters::residential;
use super::{Bed, NOW, SERVER, SUBSCRIBER, frame, from_subscriber, packet};
use crate::flows::port_of;
use crate::packet::Batch;
use crate::packet::tests::SLOT;

impl Bed {
    /// Opens flows of another session until there are more than the caches keep.
    pub(in crate::packet) fn crowd(&self) {
        let (table, now) = (self.classifier.table(), Seconds::new(NOW.as_secs()));
        let port = PortId(7);
        self.classifier.open(port);
        let new = NewFlow {
            state: State::first(lns_l2sess::Direction::Input, None, now),
            policy: PolicyId::NONE,
            epoch: Epoch::default(),
            opener: lns_l2sess::Direction::Input,
            timeouts: Timeouts::DEFAULT,
        };
        let tuple = Packet::parse(&from_subscriber()).unwrap().tuple().unwrap();
        let key = FlowKey::new(port, lns_l2sess::Direction::Input, &tuple);
        for number in 0.. {
            if table.is_large() {
                break;
            }
            let [inner, _, outer, server, ends, what] = key.words();
            let key = FlowKey::from_words([inner, number, outer, server, ends, what]);
            table.add(&key, &new, u32::MAX, now).unwrap();
        }
    }

    fn batch(&self) -> Batch<'_> {
        Batch::new(&self.tables, &self.classifier, &self.policies, 0, NOW)
    }

    fn meet_up(&self, datagrams: &[Vec<u8>]) -> usize {
        self.batch()
            .meet_upstream(datagrams.iter().map(Vec::as_slice))
    }

    fn meet_down(&self, packets: &[Vec<u8>]) -> usize {
        let packets = packets.iter().map(Vec::as_slice);
        self.batch().meet_downstream(&self.addresses, packets)
    }
}

/// What answers [`from_subscriber`].
fn answer() -> Vec<u8> {
    let mut answer = packet(SERVER, SUBSCRIBER, 60, true);
    answer[20..24].copy_from_slice(&[2, 3, 0, 1]);
    answer
}

#[test]
fn among_many_flows_those_of_a_batch_are_met_in_both_directions() {
    let (mut bed, _book) = Bed::filtered(residential());
    let up = bed.data(&frame(&from_subscriber()));
    assert_eq!(bed.up(&up).forwarded.len(), 1);
    let (ups, downs) = (vec![up; 3], vec![answer(); 4]);
    assert_eq!(
        (bed.meet_up(&ups), bed.meet_down(&downs)),
        (0, 0),
        "few flows"
    );
    bed.crowd();
    assert_eq!((bed.meet_up(&ups), bed.meet_down(&downs)), (3, 4));
    let mut stranger = answer();
    stranger[12] = 9;
    assert_eq!(
        bed.meet_down(&[stranger, packet(SERVER, SERVER, 60, true)]),
        0
    );
}

#[test]
fn what_is_no_packet_of_a_session_is_passed_over() {
    let (mut bed, _book) = Bed::filtered(residential());
    let up = bed.data(&frame(&from_subscriber()));
    assert_eq!(bed.up(&up).forwarded.len(), 1);
    bed.crowd();
    let other = |place: usize| {
        let mut other = up.clone();
        other[place] ^= 1;
        other
    };
    let ipv6 = bed.data(&[&[0xff, 0x03, 0x00, 0x57], &from_subscriber()[..]].concat());
    let lcp = bed.data(&[0xff, 0x03, 0xc0, 0x21, 1, 1, 0, 4]);
    let control = [&[0xc8][..], &up[1..]].concat();
    let cut = up[..up.len() - 50].to_vec();
    let nothing = [other(2), other(4), ipv6, lcp, control, cut, Vec::new()];
    for datagram in nothing {
        assert_eq!(
            bed.meet_up(&[datagram.clone(), up.clone()]),
            1,
            "{datagram:02x?}"
        );
        assert_eq!(bed.meet_up(&[datagram]), 0);
    }
    for length in 0..20 {
        assert_eq!(bed.meet_down(&[answer()[..length].to_vec()]), 0);
    }
}

#[test]
fn a_session_without_policies_has_no_flows_to_be_met() {
    let (mut bed, _book) = Bed::filtered(residential());
    let up = bed.data(&frame(&from_subscriber()));
    assert_eq!(bed.up(&up).forwarded.len(), 1);
    bed.crowd();
    let slot = bed.tables.session_slot(SLOT).unwrap();
    let mut view = slot.read().unwrap().unwrap();
    view.chain = ChainId::NONE;
    slot.write(Some(&view));
    assert_eq!((bed.meet_up(&[up]), bed.meet_down(&[answer()])), (0, 0));
    assert_eq!(bed.classifier.table().flows_of(port_of(SLOT), 9).len(), 1);
}
