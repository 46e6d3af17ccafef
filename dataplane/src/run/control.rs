//! The control task: the one owner of the node and the one writer of the workers' tables.
//!
//! It takes inputs (what workers hand over, questions of the admin interface, the node's timer) in
//! batches, then carries out what the node wants: table updates first, datagrams second, events
//! last, so that no LAC and no log line is ahead of the tables. It waits for nothing but the next
//! input, and everything that reaches it does so through a bounded channel.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use lns_cluster::Epoch;
use lns_cluster::journal::Ticket;
use lns_datapath::{Datagram, Home, Punt, clock};
use lns_l2sess::policy::Policies;
use lns_node::radius::{Order, Reach};
use lns_node::{Event, Node, Role, Sequence, Transmit};
use lns_tables::path::{Counters, PathReport, PathUpdate, SlotIndex};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing::error;

use super::journal::Journal;
use super::keeper::{Keeper, Output};
use crate::member::{Forwarder, Stamp};
use crate::radius::line::Line;

/// Packets that workers have handed over and that wait: a second of call setups at the highest rate.
pub(super) const PUNT_QUEUE: usize = 16_384;

/// Changes of what is routed to subscribers that wait for the machine: all that a burst of logins brings.
pub(super) const REACH_QUEUE: usize = 65_536;

/// Questions that wait. Those who ask wait too, so this bounds only how many at once.
const QUESTION_QUEUE: usize = 64;

/// Packets per round, so that timers and questions have their turn.
const PUNTS_PER_ROUND: usize = 256;

/// Outcomes of RADIUS per round, the same.
const OUTCOMES_PER_ROUND: usize = 256;

/// Sessions in one report, as many as the peer channel takes.
const REPORTS: usize = lns_peers::limits::REPORT;

/// Questions per round. The longest is a page of sessions, well below a millisecond.
const QUESTIONS_PER_ROUND: usize = 8;

/// The longest sleep: timers count through a suspend of the machine, the runtime's sleep does not.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Buckets of the setup time, seconds: a quick LAC needs some ten milliseconds, RFC 1661's restart
/// timer gives the step at 3 s.
const SETUP_BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0, 30.0,
];

/// What the control task is asked: runs there, briefly.
type Question = Box<dyn FnOnce(&mut Control, Instant) + Send>;

/// The node with its hands.
#[derive(Debug)]
pub(crate) struct Control {
    /// The protocol.
    pub(crate) node: Node,
    /// The workers' tables.
    pub(crate) path: lns_datapath::Control,
    /// Who routes to subscribers what sessions bring.
    reach: mpsc::Sender<Reach>,
    /// RADIUS.
    pub(crate) radius: Line,
    /// What is stored, and what waits for it.
    pub(crate) keeper: Keeper,
    /// How long setups took, seconds.
    pub(crate) setups: Histogram,
    journal: Journal,
    /// What ended sessions had counted, from the table update to the event of the same round.
    finals: BTreeMap<(SlotIndex, TunnelId, SessionId), Counters>,
    /// The datagram that is being sent; kept so that it is allocated once.
    octets: Vec<u8>,
    /// LACs turned away, by reason.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// Of a member of a cluster: until when it may say what only a master says.
    stamp: Option<Stamp>,
    /// The same: the way to the active node.
    forwarder: Option<Forwarder>,
}

/// What reaches the control task.
#[derive(Debug)]
pub(crate) struct Inputs {
    punts: mpsc::Receiver<Punt>,
    questions: mpsc::Receiver<Question>,
}

/// Asks the control task.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    questions: mpsc::Sender<Question>,
}

/// The control task has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Gone;

/// The ways into a control task: questions, and what reaches it in all.
pub(crate) fn inputs(punts: mpsc::Receiver<Punt>) -> (Asker, Inputs) {
    let (sender, questions) = mpsc::channel(QUESTION_QUEUE);
    (Asker { questions: sender }, Inputs { punts, questions })
}

impl Asker {
    /// Runs `question` in the control task and gives its answer. What it changes is carried out
    /// before the next question.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Control, Instant) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (answer, answered) = oneshot::channel();
        let question = Box::new(move |control: &mut Control, now: Instant| {
            // Who has stopped waiting needs no answer.
            let _unwanted = answer.send(question(control, now));
        });
        self.questions.send(question).await.map_err(|_| Gone)?;
        answered.await.map_err(|_| Gone)
    }
}

impl Control {
    /// A control task that has done nothing yet.
    pub(super) fn new(
        node: Node,
        path: lns_datapath::Control,
        reach: mpsc::Sender<Reach>,
        radius: Line,
        keeper: Keeper,
        member: Option<(Stamp, Forwarder)>,
    ) -> Self {
        let (stamp, forwarder) = member.unzip();
        Self {
            node,
            path,
            reach,
            radius,
            keeper,
            setups: Histogram::new(SETUP_BUCKETS),
            journal: Journal::default(),
            finals: BTreeMap::new(),
            octets: Vec::new(),
            refused: BTreeMap::new(),
            stamp,
            forwarder,
        }
    }

    /// The node becomes the active one of its cluster.
    pub(crate) fn take_over(&mut self, epoch: Epoch, admits: bool, now: Instant) {
        self.path.set_home(Home::Here);
        self.node.handle_admission(admits);
        self.path.resume_flows(now);
        self.keeper.take_over(&mut self.node, epoch, now);
    }

    /// The node follows another: what it wanted to say is not to be said.
    pub(crate) fn demote(&mut self, now: Instant) {
        self.keeper.demote(&mut self.node, now);
        self.radius.forget();
        while self.node.poll_transmit(now, &mut self.octets).is_some() {}
    }

    /// Whether what leaves may leave. On standby a node says nothing that only a master says.
    fn may_speak(&self, now: Instant) -> bool {
        let stamp = self.stamp.as_ref();
        self.node.role() == Role::Standby || stamp.is_none_or(|stamp| stamp.is_valid(now))
    }

    /// Serves until nobody can ask any more.
    pub(super) async fn serve(mut self, mut inputs: Inputs) {
        loop {
            let patience = self.patience(clock::now());
            tokio::select! {
                Some(punt) = inputs.punts.recv() => self.punt(punt, clock::now()),
                question = inputs.questions.recv() => match question {
                    Some(question) => question(&mut self, clock::now()),
                    None => return,
                },
                () = self.radius.wait() => {}
                () = self.keeper.wait() => {}
                () = sleep(patience) => {}
            }
            self.round(&mut inputs);
        }
    }

    /// What else is there now, then the timer, then all that follows from it.
    fn round(&mut self, inputs: &mut Inputs) {
        let now = clock::now();
        for _ in 0..PUNTS_PER_ROUND {
            let Ok(punt) = inputs.punts.try_recv() else {
                break;
            };
            self.punt(punt, now);
        }
        for _ in 0..OUTCOMES_PER_ROUND {
            let Some(outcome) = self.radius.take() else {
                break;
            };
            self.node.handle_outcome(&outcome, now);
        }
        if self.node.poll_timeout().is_some_and(|at| at <= now) {
            self.node.handle_timeout(now);
        }
        while let Some(number) = self.radius.take_settled() {
            self.keeper.handle_settled(number);
        }
        self.keeper.turn(&mut self.node, now);
        self.release(now);
        self.carry_out(now);
        for _ in 0..QUESTIONS_PER_ROUND {
            let Ok(question) = inputs.questions.try_recv() else {
                break;
            };
            question(self, now);
            self.carry_out(now);
        }
    }

    fn patience(&self, now: Instant) -> Duration {
        let until = self.node.poll_timeout().map(|at| at.since(now));
        [until, self.radius.again(), self.keeper.patience(now)]
            .into_iter()
            .flatten()
            .fold(LONGEST_SLEEP, Duration::min)
    }

    fn punt(&mut self, punt: Punt, now: Instant) {
        match punt {
            Punt::Control {
                local,
                remote,
                octets,
            } => self.node.handle_control(local, remote, &octets, now),
            Punt::Ppp {
                tunnel,
                session,
                remote,
                frame,
                ..
            } => {
                self.node.handle_ppp(tunnel, session, remote, &frame, now);
            }
        }
    }

    /// Does what the node wants, in its order.
    fn carry_out(&mut self, now: Instant) {
        loop {
            while let Some(update) = self.node.poll_path() {
                self.update(&update, now);
            }
            if !self.order(now) {
                break;
            }
        }
        self.path.settle();
        while let Some(change) = self.node.poll_reach() {
            if let Err(error) = self.reach.try_send(change) {
                error!("{change:?} does not reach the machine: {error}");
            }
        }
        self.hand_over(now);
        let ticket = self.keeper.store(&mut self.node, now);
        self.transmit(ticket, now);
        self.release(now);
        while let Some(event) = self.node.poll_event() {
            self.tell(&event, now);
        }
        // Every ended call has told its event by now.
        self.finals.clear();
    }

    /// What is the master's, and what it is to be told, of a member that is not the master.
    fn hand_over(&mut self, now: Instant) {
        let Some(forwarder) = &self.forwarder else {
            return;
        };
        while let Some(forward) = self.node.poll_forward() {
            forwarder.hand_over(forward);
        }
        while let Some(reports) = self.node.poll_reports(REPORTS, now) {
            forwarder.report(&reports);
        }
    }

    /// Hands orders to RADIUS. What finds no room there has its outcome at once: whether there was any.
    fn order(&mut self, now: Instant) -> bool {
        self.radius.flush();
        let mut ended = false;
        while let Some(order) = self.node.poll_order() {
            if let Order::Record(record) = order {
                self.keeper.take(*record);
                continue;
            }
            if let Some(outcome) = self.radius.order(order) {
                self.node.handle_outcome(&outcome, now);
                ended = true;
            }
        }
        ended
    }

    fn update(&mut self, update: &PathUpdate, now: Instant) {
        let Some(report) = self.path.apply(update) else {
            return;
        };
        if let (
            PathUpdate::ClearSession { .. },
            PathReport::Session {
                slot,
                tunnel,
                session,
                counters,
                ..
            },
        ) = (update, report)
        {
            self.finals.insert((slot, tunnel, session), counters);
        }
        self.node.handle_report(&report, now);
    }

    /// Sends what may leave; what tells of a change that is not stored waits for the ticket.
    fn transmit(&mut self, ticket: Ticket, now: Instant) {
        let may_speak = self.may_speak(now);
        while let Some(transmit) = self.node.poll_transmit(now, &mut self.octets) {
            let is_settled = self.keeper.is_settled(ticket);
            if !may_speak || (transmit.waits && !is_settled) {
                self.keeper.delay(ticket, transmit, &self.octets);
                continue;
            }
            send(&mut self.path, transmit, &mut self.octets);
        }
    }

    /// Sends what has waited and may leave now.
    fn release(&mut self, now: Instant) {
        if !self.may_speak(now) {
            return;
        }
        while let Some(output) = self.keeper.poll_output(now) {
            match output {
                Output::Datagram(transmit, mut octets) => {
                    send(&mut self.path, transmit, &mut octets);
                }
                Output::Record(record) => {
                    // Only a request can have ended at once.
                    let _none = self.radius.order(Order::Record(record));
                }
            }
        }
    }

    fn tell(&mut self, event: &Event, now: Instant) {
        let counters = match event {
            Event::SessionUp { setup, .. } => {
                self.setups.observe(setup.as_secs_f64());
                None
            }
            Event::SessionDown(end) => {
                let own = self.finals.remove(&(end.slot, end.tunnel, end.session));
                own.map(|own| own.plus(&end.elsewhere))
            }
            Event::LacRefused { reason, .. } => {
                *self.refused.entry(reason).or_default() += 1;
                None
            }
            Event::TunnelUp { .. } | Event::TunnelDown { .. } | Event::CallRefused { .. } => None,
        };
        self.journal.write(event, counters, now);
    }

    /// The policies in force.
    pub(crate) fn policies(&self) -> Arc<Policies> {
        Arc::clone(self.node.policies())
    }

    /// What the workers have counted for a session so far.
    pub(crate) fn counters(
        &mut self,
        slot: SlotIndex,
        tunnel: TunnelId,
        session: SessionId,
    ) -> Counters {
        match self.path.apply(&PathUpdate::ReportSession {
            slot,
            tunnel,
            session,
        }) {
            Some(PathReport::Session { counters, .. }) => {
                self.node.counted(tunnel, session, &counters)
            }
            Some(PathReport::Tunnel { .. }) | None => Counters::default(),
        }
    }
}

/// Sends one datagram of the node's. What the kernel does not take is counted there and repeated by the
/// protocol.
fn send(path: &mut lns_datapath::Control, transmit: Transmit, octets: &mut [u8]) {
    if let Some(Sequence { slot, skips }) = transmit.sequence {
        path.stamp_sequence(slot, skips, octets);
    }
    path.send(&[Datagram {
        local: transmit.local,
        remote: transmit.remote,
        octets,
        as_data: transmit.as_data,
    }]);
}
