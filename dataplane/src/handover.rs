//! What seals packets that workers hand over to another node, and opens them: the keys of the peer channel
//! (`lns_peers::data`) behind the workers' [`Seal`].
//!
//! Not here: which peer is the home ([`lns_datapath::Control::set_home`]), and whose keys there are.

use lns_datapath::{Handed, Open, Peer, Seal, Sealed};
use lns_peers::PeerNumber;
use lns_peers::data::{Data, HEADROOM, Halves, Handover, Opened, TAILROOM};

/// The keys of this node.
#[derive(Clone, Debug)]
pub(crate) struct Keys(pub(crate) Data);

/// One worker's.
struct Opener {
    data: Data,
    halves: Halves,
}

impl Seal for Keys {
    fn headroom(&self) -> usize {
        HEADROOM
    }

    fn tailroom(&self) -> usize {
        TAILROOM
    }

    fn seal(&self, to: Peer, what: Handed, buffer: &mut [u8], spare: &mut [u8]) -> Option<Sealed> {
        let routes = self.0.routes();
        let route = routes.get(PeerNumber::new(to.0)?)?;
        let handover = match what {
            Handed::Upstream { local, remote } => Handover::ToHome { local, remote },
            Handed::Downstream => Handover::ToHomeDownstream,
        };
        let begin = buffer.as_ptr().addr();
        let sealed = route.seal(handover, buffer, spare).ok()?;
        let start = sealed.first.as_ptr().addr().checked_sub(begin)?;
        Some(Sealed {
            to: route.address(),
            first: start..start + sealed.first.len(),
            second: sealed.second.map(<[u8]>::len),
        })
    }

    fn opener(&self) -> Box<dyn Open> {
        Box::new(Opener {
            data: self.0.clone(),
            halves: Halves::new(self.0.mtu()),
        })
    }
}

impl Open for Opener {
    fn open(&mut self, datagram: &mut [u8], take: &mut dyn FnMut(Handed, &mut [u8])) {
        let Self { data, halves } = self;
        // What is refused was counted there.
        if let Ok(Some(Opened { packet, .. })) = data.openers().open(datagram, halves) {
            let what = match packet.handover {
                Handover::ToHome { local, remote } => Handed::Upstream { local, remote },
                Handover::ToHomeDownstream => Handed::Downstream,
            };
            take(what, packet.octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use lns_cluster::Epoch;
    use lns_peers::Epochs;
    use lns_peers::data::{Direction, Keyring, PathMtu, SECRET, Secret};

    use super::*;

    const MASTER: Peer = Peer(3);

    /// A member, and the master that it hands over to.
    fn pair() -> [Keys; 2] {
        let epoch = Epoch::new(5).expect("an epoch");
        let data = [(); 2].map(|()| Data::new(Epochs::new(epoch), PathMtu::default(), 7));
        let keyring = |outbound| Keyring {
            peer: PeerNumber::new(MASTER.0).expect("a number"),
            secret: Secret::new(&[7; SECRET]),
            outbound,
            connection: 1,
        };
        let (ours, theirs) = (keyring(Direction::FromOpener), keyring(Direction::ToOpener));
        let [member, master] = &data;
        let address = "192.0.2.2:7701".parse().ok();
        member.set_address(ours.peer, address);
        let announced = master.expect(&theirs, 1).expect("a key");
        assert!(member.seal_with(&ours, announced));
        data.map(Keys)
    }

    /// The datagrams of one packet.
    fn sealed(keys: &Keys, what: Handed, packet: &[u8]) -> Vec<Vec<u8>> {
        let mut buffer = vec![0; keys.headroom()];
        buffer.extend(packet);
        buffer.resize(buffer.len() + keys.tailroom(), 0);
        let mut spare = vec![0; 1_500];
        let sealed = keys.seal(MASTER, what, &mut buffer, &mut spare);
        let Sealed { to, first, second } = sealed.expect("a way");
        assert_eq!(to, "192.0.2.2:7701".parse().expect("an address"));
        let second = second.map(|length| spare[..length].to_vec());
        [Some(buffer[first].to_vec()), second]
            .into_iter()
            .flatten()
            .collect()
    }

    fn ends() -> Handed {
        Handed::Upstream {
            local: "192.0.2.1:1701".parse().expect("an address"),
            remote: "198.51.100.1:1701".parse().expect("an address"),
        }
    }

    #[test]
    fn what_one_worker_seals_another_nodes_worker_opens_whole_or_in_halves() {
        let [member, master] = pair();
        let mut opener = master.opener();
        for length in (1..2_600).step_by(7) {
            for what in [ends(), Handed::Downstream] {
                let packet: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
                let mut taken = Vec::new();
                let datagrams = sealed(&member, what, &packet);
                let ends = if what == Handed::Downstream { 0 } else { 12 };
                assert_eq!(datagrams.len() == 2, length + ends > 1_434, "{length}");
                for mut datagram in datagrams {
                    assert!(datagram.len() <= 1_472);
                    opener.open(&mut datagram, &mut |what, octets| {
                        taken.push((what, octets.to_vec()));
                    });
                }
                assert_eq!(taken, [(what, packet)]);
            }
        }
    }

    #[test]
    fn what_is_forged_or_comes_twice_is_not_taken() {
        let [member, master] = pair();
        let mut opener = master.opener();
        let mut taken = 0;
        let datagram = sealed(&member, Handed::Downstream, b"packet").remove(0);
        let mut forged = datagram.clone();
        forged[30] ^= 1;
        for mut datagram in [forged, datagram.clone(), datagram] {
            opener.open(&mut datagram, &mut |_, _| taken += 1);
        }
        assert_eq!(taken, 1);
    }

    #[test]
    fn there_is_no_way_to_a_peer_without_a_key_or_for_what_is_too_long() {
        let [member, master] = pair();
        let mut spare = [0; 1_500];
        let mut buffer = [0; HEADROOM + 10 + TAILROOM];
        let what = Handed::Downstream;
        for peer in [Peer(4), Peer(255)] {
            assert_eq!(member.seal(peer, what, &mut buffer, &mut spare), None);
        }
        assert_eq!(master.seal(MASTER, what, &mut buffer, &mut spare), None);
        let mut long = [0; 4_000];
        assert_eq!(member.seal(MASTER, what, &mut long, &mut spare), None);
        assert!(member.seal(MASTER, what, &mut buffer, &mut spare).is_some());
    }
}
