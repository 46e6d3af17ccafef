//! Hands to the master what came to this node and is the master's: L2TP control messages and PPP negotiation;
//! and tells it what has passed here.
//!
//! Nobody waits for it. What cannot be sent is dropped and counted by the channel: LACs and subscribers say it
//! again.

use lns_node::{Forward, Reports};
use lns_peers::wire::{Control, Message, Passed, PppFrame, Report, SessionReport};
use lns_peers::{Epochs, Speaker};

use super::Master;

/// The way to the master.
#[derive(Clone, Debug)]
pub(crate) struct Forwarder {
    speaker: Speaker,
    epochs: Epochs,
    master: Master,
}

impl Forwarder {
    pub(super) const fn new(speaker: Speaker, epochs: Epochs, master: Master) -> Self {
        Self {
            speaker,
            epochs,
            master,
        }
    }

    /// Tells the master of a mastership what has passed here; nobody, if that is over.
    pub(crate) fn report(&self, reports: &Reports) {
        let is_over = self.epochs.known().number() != reports.epoch;
        let Some(master) = self.master.other().filter(|_| !is_over) else {
            return;
        };
        let passed = |it: &lns_node::Passed| Passed {
            octets: it.octets,
            packets: it.packets,
            age: it.age,
        };
        let sessions = reports.sessions.iter().map(|it| SessionReport {
            tunnel: it.tunnel,
            session: it.session,
            up: passed(&it.up),
            down: passed(&it.down),
        });
        // One that is lost is in the next.
        let report = Message::Report(Report(sessions.collect()));
        let _counted = self.speaker.send(&master, report);
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
