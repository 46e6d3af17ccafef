//! What the other members say, and the answers.

use lns_cluster::journal::Mark;
use lns_cluster::member::Side;
use lns_datapath::{Punt, clock};
use lns_peers::wire::{Answer, AskRefused, Failure, Message, Passed, Position, Question, Report};
use lns_peers::{Authenticated, Event, Member, Responder};
use tracing::debug;

use super::super::AskedByMember;
use super::Crew;

impl Crew {
    pub(super) async fn hear_peer(&mut self, event: Event) {
        match event {
            Event::Connected(peer) => {
                let known = (peer.number(), peer.identity().clone());
                self.connected.insert(peer.node().clone(), known);
                // Another life of it has to say anew what it has.
                self.positions.remove(peer.node());
                self.find_home().await;
            }
            Event::Disconnected(peer, _) => {
                // Packets pass for a while without a connection, so the home stays where it is.
                let known = (peer.number(), peer.identity().clone());
                if self.connected.get(peer.node()) == Some(&known) {
                    self.connected.remove(peer.node());
                }
            }
            Event::Epoch(said) => self.member.handle_epoch(said.epoch(), None),
            Event::Message(message) => self.hear_message(message).await,
            Event::Question(question, responder) => self.answer(question, responder).await,
        }
    }

    async fn hear_message(&mut self, message: Authenticated<Message>) {
        let from = message.from().clone();
        self.attendance.handle_seen(from.node(), clock::now());
        match message.into_value() {
            Message::Ask(ask) => {
                let (holder, epoch, sent) = (ask.holder.clone(), ask.epoch, ask.sent);
                let answer = match self.parts.lease.ask(ask).await {
                    Ok(Ok(promise)) => Message::Promise(promise),
                    Ok(Err(why)) => Message::AskRefused(AskRefused {
                        holder,
                        epoch,
                        sent,
                        why,
                    }),
                    Err(_) => return,
                };
                let _lost = self.speaker.send(from.node(), answer);
            }
            Message::Promise(promise) => drop(self.parts.lease.promised(promise).await),
            Message::AskRefused(refused) => {
                debug!(peer = %from.node(), "promises nothing: {}", refused.why);
            }
            Message::Applied(position) => {
                if let Some(mark) = Mark::new(position.epoch, position.seq) {
                    self.positions.insert(from.node().clone(), mark);
                }
                self.serves_now(from.node(), position.epoch).await;
            }
            Message::Control(control) => self.hand_in(Punt::Control {
                local: control.local,
                remote: control.remote,
                octets: control.octets,
            }),
            Message::Ppp(ppp) => self.hand_in(Punt::Ppp {
                tunnel: ppp.tunnel,
                session: ppp.session,
                local: ppp.local,
                remote: ppp.remote,
                frame: ppp.frame,
            }),
            Message::Report(report) => self.take_report(&from, report).await,
        }
    }

    /// What sessions have received and sent at another member.
    async fn take_report(&self, from: &Member, Report(sessions): Report) {
        let (node, incarnation) = (from.node().to_string(), from.identity().to_string());
        let passed = |it: Passed| lns_node::Passed {
            octets: it.octets,
            packets: it.packets,
            age: it.age,
        };
        let sessions: Vec<_> = sessions
            .into_iter()
            .map(|it| lns_node::SessionReport {
                tunnel: it.tunnel,
                session: it.session,
                up: passed(it.up),
                down: passed(it.down),
            })
            .collect();
        self.tell(move |control, now| {
            control
                .node
                .handle_reports_of(&node, &incarnation, &sessions, now);
        })
        .await;
    }

    /// Something that came to another member, and is the master's.
    fn hand_in(&self, punt: Punt) {
        if self.member.side().0 == Side::Serving {
            // A full queue is as a full socket: LAC and subscriber say it again.
            let _full = self.parts.punts.try_send(punt);
        }
    }

    async fn answer(&mut self, question: Authenticated<Question>, responder: Responder) {
        let from = question.from().node().clone();
        match question.into_value() {
            Question::Position => match self.position().await {
                Some(position) => responder.answer(Answer::Position(position)),
                None => responder.fail(Failure::NotMaster),
            },
            Question::Records(after) => match self.records_after(after).await {
                Ok(page) => responder.answer(page),
                Err(why) => responder.fail(why),
            },
            Question::Admin(query) => {
                let asked = AskedByMember {
                    from,
                    query,
                    responder,
                };
                if let Err(full) = self.parts.queried.try_send(asked) {
                    full.into_inner().fail();
                }
            }
            // The gate lets none in where it is not the master's.
            Question::Dynamic(_) => responder.fail(Failure::Unanswered),
        }
    }

    /// Where the stream is, if this node is the one to say so. While the store is away there is no answer: what
    /// changes then has no place in the stream yet, and nobody could have applied it.
    pub(super) async fn position(&self) -> Option<Position> {
        if !self.parts.stamp.is_valid(clock::now()) {
            return None;
        }
        let mark = self.parts.asker.ask(|control, _| control.keeper.position());
        let mark = mark.await.ok()??;
        Some(Position {
            epoch: mark.epoch,
            seq: mark.seq,
        })
    }
}
