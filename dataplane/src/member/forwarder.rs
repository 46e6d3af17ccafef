//! Hands to the master what came to this node and is the master's: L2TP control messages and PPP negotiation.
//!
//! Nobody waits for it. What cannot be sent is dropped and counted by the channel: LACs and subscribers say it
//! again.

use lns_node::Forward;
use lns_peers::Speaker;
use lns_peers::wire::{Control, Message, PppFrame};

use super::Master;

/// The way to the master.
#[derive(Clone, Debug)]
pub(crate) struct Forwarder {
    speaker: Speaker,
    master: Master,
}

impl Forwarder {
    pub(super) const fn new(speaker: Speaker, master: Master) -> Self {
        Self { speaker, master }
    }

    /// Hands it over, if there is a master.
    pub(crate) fn hand_over(&self, forward: Forward) {
        let Some(master) = self.master.other() else {
            return;
        };
        let message = match forward {
            Forward::Control {
                local,
                remote,
                octets,
            } => Message::Control(Control {
                local,
                remote,
                octets,
            }),
            Forward::Ppp {
                tunnel,
                session,
                local,
                remote,
                frame,
            } => Message::Ppp(PppFrame {
                tunnel,
                session,
                local,
                remote,
                frame,
            }),
        };
        let _counted = self.speaker.send(&master, message);
    }
}
