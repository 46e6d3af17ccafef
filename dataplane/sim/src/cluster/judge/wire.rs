//! I10, as LACs see it: who speaks in the cluster's name goes on with the numbers of who spoke before.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use lns_wire::l2tp::{ControlHeader, Message};

use super::{Finding, Invariant};
use crate::peers::number::{after, is_older, steps};

/// Messages whose octets are kept in mind: no window is larger.
const KEPT: u32 = 256;

/// What a LAC was told in one tunnel.
#[derive(Debug, Default)]
struct Told {
    /// The number of the next message, and what the last ones said.
    next: u16,
    said: BTreeMap<u16, u64>,
    nr: u16,
    /// Calls that were accepted: by the LAC's id, the number of the message.
    accepted: BTreeMap<u16, u16>,
    /// Somebody went on who does not know all that was said.
    is_tainted: bool,
}

#[derive(Debug, Default)]
pub(super) struct Wire {
    tunnels: BTreeMap<(SocketAddr, u16), Told>,
}

impl Wire {
    pub(super) fn taint(&mut self) {
        for told in self.tunnels.values_mut() {
            told.is_tainted = true;
        }
    }

    /// A control message leaves. `sent`: what the LAC would send next in this tunnel, if it is in it.
    pub(super) fn sends(
        &mut self,
        to: SocketAddr,
        header: ControlHeader,
        body: &[u8],
        sent: Option<u16>,
    ) -> Finding {
        let key = (to, header.tunnel.0);
        let told = self.tunnels.entry(key).or_default();
        if told.is_tainted {
            return Ok(());
        }
        let found = told.sends(header, body, sent);
        found.map_err(|what| (Invariant::Delivery, format!("{key:?}: {what}")))
    }
}

impl Told {
    fn sends(
        &mut self,
        header: ControlHeader,
        body: &[u8],
        sent: Option<u16>,
    ) -> Result<(), String> {
        let (ns, nr) = (header.ns.0, header.nr.0);
        if is_older(nr, self.nr) {
            return Err(format!("Nr {nr} comes after {}", self.nr));
        }
        if sent.is_some_and(|sent| is_older(sent, nr)) {
            return Err(format!("Nr {nr}, and the LAC sends {sent:?} next"));
        }
        self.nr = nr;
        if body.is_empty() {
            return Ok(());
        }
        let what = hash(header.session.0, body);
        if ns == self.next {
            self.next = after(ns, 1);
            self.said.insert(ns, what);
            let next = self.next;
            self.said.retain(|number, _| steps(*number, next) <= KEPT);
            return self.accepts(header.session.0, ns, body);
        }
        if is_older(self.next, ns) {
            return Err(format!("Ns {ns} comes before {}", self.next));
        }
        // What a call that is over had to say is in no record: the next master says HELLO in its place.
        let is_filler = matches!(Message::parse(body), Ok(Message::Hello));
        match self.said.get(&ns) {
            Some(before) if *before != what && !is_filler => {
                Err(format!("Ns {ns} says something else now"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A call is accepted once.
    fn accepts(&mut self, session: u16, ns: u16, body: &[u8]) -> Result<(), String> {
        if !matches!(Message::parse(body), Ok(Message::Icrp(_))) {
            return Ok(());
        }
        match self.accepted.insert(session, ns) {
            // The LAC's ids begin anew after a whole turn.
            Some(before) if steps(before, ns) < 10_000 => Err(format!(
                "call {session} is accepted by Ns {before} and by {ns}"
            )),
            Some(_) | None => Ok(()),
        }
    }
}

fn hash(session: u16, body: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ u64::from(session);
    for octet in body {
        hash = (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash
}

#[cfg(test)]
mod tests {
    use lns_wire::id::{PeerSessionId, PeerTunnelId};
    use lns_wire::l2tp::{Packet, Seq16, emit_control};

    use super::*;

    fn said(wire: &mut Wire, ns: u16, nr: u16, body: &[u8]) -> Finding {
        let mut out = Vec::new();
        let (tunnel, session) = (PeerTunnelId(7), PeerSessionId(0));
        emit_control(tunnel, session, Seq16(ns), Seq16(nr), body, &mut out).unwrap();
        let Ok(Packet::Control(header, body)) = Packet::parse(&out) else {
            panic!("no control message");
        };
        let to = SocketAddr::from(([198, 18, 0, 1], 1701));
        wire.sends(to, header, body, Some(5))
    }

    #[test]
    fn numbers_that_go_back_ahead_or_say_something_else_are_i10_in_a_cluster() {
        let one = [0x80, 8, 0, 0, 0, 0, 0, 6];
        let other = [0x80, 8, 0, 0, 0, 0, 0, 2];
        let mut wire = Wire::default();
        assert_eq!(said(&mut wire, 0, 1, &one), Ok(()));
        assert_eq!(said(&mut wire, 0, 2, &one), Ok(()));
        assert_eq!(said(&mut wire, 1, 5, &[]), Ok(()));
        assert!(said(&mut wire, 0, 1, &one).is_err(), "Nr goes back");
        assert!(said(&mut wire, 1, 6, &[]).is_err(), "Nr goes ahead");
        assert!(said(&mut wire, 0, 5, &other).is_err(), "another repeat");
        assert!(said(&mut wire, 2, 5, &one).is_err(), "Ns goes ahead");
        wire.taint();
        assert_eq!(said(&mut wire, 2, 0, &other), Ok(()));
    }
}
