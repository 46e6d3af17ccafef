//! The world of the model: the API server, the channel between members, clocks and faults.

use core::time::Duration;

use lns_cluster::{
    Answer, Ask, Epoch, Identity, Operation, Profile, Promise, RequestId, Revision, State, Stored,
};
use stateright::{Model, Property};

use crate::node::{Node, name, roster};

/// What is checked: how many nodes, for how long, with how many faults of each kind.
#[derive(Clone, Debug)]
pub struct Check {
    pub nodes: usize,
    pub profile: Profile,
    pub tick: Duration,
    /// How many ticks the world lasts.
    pub horizon: u8,
    /// Nodes that are on the roster at first; the master wants all of them on it.
    pub rostered: usize,
    /// There is no roster: who can write the Lease may acquire.
    pub open: bool,
    /// Nobody is master at first, and there is no record.
    pub cold: bool,
    /// Members hear each other.
    pub peers: bool,
    /// Questions between them may be lost, and not only late.
    pub lossy: bool,
    /// Promises may come later than they are given.
    pub slow_promises: bool,
    /// Whose clocks may miss a tick, and of how many at most one.
    pub slow: &'static [usize],
    pub misses_one_in: u8,
    /// Writes that may be done after nobody waits for them any more.
    pub ghosts: usize,
    /// Reads may be answered later than they are done.
    pub slow_reads: bool,
    /// How long nothing is served when the store is put back.
    pub restore: u8,
    pub faults: Faults,
    /// Who may be killed and started again.
    pub mortal: &'static [usize],
    /// What must come about for the check to mean anything.
    pub reaches: &'static [Reached],
}

/// Faults that are left.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Faults {
    pub deletions: u8,
    pub edits: u8,
    pub rewinds: u8,
    /// Of the Lease alone, while the API server goes on.
    pub restores: u8,
    pub restarts: u8,
    pub stops: u8,
}

/// What may come about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reached {
    /// Another node is master than at first.
    Takeover,
    /// A master lives by promises.
    Extension,
    /// A master lives by the Lease again after that.
    Return,
    /// Another node is master before D has passed.
    Handover,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct World {
    tick: u8,
    pub nodes: Vec<Node>,
    lease: Option<Stored>,
    /// The last revision that was given; none is given twice.
    revision: u32,
    /// What the store is put back to.
    saved: Option<Option<Stored>>,
    /// For how many ticks nothing is served.
    away: u8,
    requests: Vec<Sent>,
    asks: Vec<(usize, usize, Ask)>,
    promises: Vec<(usize, Promise)>,
    faults: Faults,
    /// The highest epoch with which anybody had authority, as the store knows it, and who that was.
    fence: (Epoch, Option<Identity>),
    /// An epoch came twice, or a lower one after a higher.
    broken: bool,
    /// A master has lived by promises.
    extended: bool,
}

/// A request that is under way.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Sent {
    node: usize,
    incarnation: u8,
    id: RequestId,
    operation: Operation,
    /// Nobody waits for it any more.
    ghost: bool,
    /// It is done, and this is what is to be answered.
    answer: Option<Answer>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Action {
    /// Time passes; this node's clock misses it.
    Tick(Option<usize>),
    /// The API server does what was asked.
    Serve(usize),
    /// Its answer arrives.
    Answer(usize),
    /// Both at once.
    ServeAndAnswer(usize),
    /// A question arrives, and the promise too if it is not late.
    Ask(usize),
    /// A promise arrives.
    Promise(usize),
    /// A question is lost.
    LoseAsk(usize),
    /// The Lease is deleted by hand.
    Delete,
    /// Its holder is emptied by hand.
    Empty,
    /// Its epoch is removed by hand.
    Unnumber,
    /// This node is written into it by hand.
    Name(usize),
    /// Its roster is removed by hand.
    Unlist,
    /// The store is copied, or the Lease is.
    Save,
    /// What the copy says is written into the Lease by hand.
    Restore,
    /// The store is put back to its copy.
    Rewind,
    /// A process is killed and started again.
    Restart(usize),
    /// A node is told to stop, and does so in order.
    Stop(usize),
}

impl Check {
    fn settle(&self, world: &mut World, index: usize) {
        let node = &mut world.nodes[index];
        let incarnation = node.incarnation;
        let (request, asks) = node.poll(self.tick);
        if let Some(request) = request {
            world.abandon(index, self.ghosts);
            world.requests.push(Sent {
                node: index,
                incarnation,
                id: request.id,
                operation: request.operation,
                ghost: false,
                answer: None,
            });
        }
        for (to, ask) in asks {
            let to = (0..self.nodes).find(|other| name(*other) == to).unwrap();
            let under_way = world
                .asks
                .iter()
                .any(|(from, at, _)| (*from, *at) == (index, to));
            if self.peers && to != index && !under_way {
                world.asks.push((index, to, ask));
            }
        }
        world.judge(index, self.tick);
        let returns = self.reaches.contains(&Reached::Return);
        world.extended |= returns && world.nodes[index].elector.state() == State::Extending;
    }

    /// The first node has founded the cluster and is master; all have just seen it.
    fn founded(&self) -> World {
        let mut world = self.nothing();
        world.nodes[0].elector.handle_nobody_knows();
        let wait = self
            .profile
            .timing()
            .wait
            .as_millis()
            .div_ceil(self.tick.as_millis());
        let wait = u8::try_from(wait).unwrap();
        world.at_once(self, 0, 1);
        for _ in 0..wait {
            world.nodes[0].clock += 1;
            world.at_once(self, 0, 1);
        }
        world.nodes[0].elector.handle_roster(roster(self.rostered));
        for _ in 0..self
            .profile
            .timing()
            .renew
            .as_millis()
            .div_ceil(self.tick.as_millis())
        {
            world.nodes[0].clock += 1;
        }
        world.at_once(self, 0, 1);
        let clock = world.nodes[0].clock;
        for index in 1..self.nodes {
            world.nodes[index].clock = clock;
            world.at_once(self, index, 1);
        }
        for node in &mut world.nodes {
            node.elector.handle_roster(roster(self.nodes));
            assert!(node.elector.view().record().is_some());
        }
        assert!(world.nodes[0].authority(self.tick).is_some());
        world
    }

    fn nothing(&self) -> World {
        let nodes = (0..self.nodes).map(|index| Node::new(index, 0, self));
        World {
            tick: 0,
            nodes: nodes.collect(),
            lease: None,
            revision: 0,
            saved: None,
            away: 0,
            requests: Vec::new(),
            asks: Vec::new(),
            promises: Vec::new(),
            faults: self.faults,
            fence: (Epoch::NONE, None),
            broken: false,
            extended: false,
        }
    }

    fn tick(&self, world: &mut World, missing: Option<usize>) {
        world.tick += 1;
        world.away = world.away.saturating_sub(1);
        for (index, node) in world.nodes.iter_mut().enumerate() {
            if missing == Some(index) {
                node.steady = 0;
            } else {
                node.clock += 1;
                node.steady = (node.steady.saturating_add(1)).min(self.misses_one_in);
            }
        }
        for index in 0..self.nodes {
            self.settle(world, index);
        }
    }

    fn faults(&self, world: &World, actions: &mut Vec<Action>) {
        let left = world.faults;
        if left.deletions > 0 && world.lease.is_some() {
            actions.push(Action::Delete);
        }
        if left.edits > 0 && world.lease.is_some() {
            actions.extend([Action::Empty, Action::Unnumber, Action::Unlist]);
            actions.extend((0..self.nodes).map(Action::Name));
        }
        if left.rewinds.max(left.restores) > 0 && world.saved.is_none() {
            actions.push(Action::Save);
        }
        if left.restores > 0 && world.lease.is_some() && matches!(world.saved, Some(Some(_))) {
            actions.push(Action::Restore);
        }
        if left.rewinds > 0
            && world
                .saved
                .as_ref()
                .is_some_and(|saved| *saved != world.lease)
        {
            actions.push(Action::Rewind);
        }
        if left.restarts > 0 {
            actions.extend(self.mortal.iter().copied().map(Action::Restart));
        }
        if left.stops > 0 {
            let running = (0..self.nodes).filter(|index| !world.nodes[*index].stopping);
            actions.extend(running.map(Action::Stop));
        }
    }
}

impl World {
    /// A node waits no longer for what it asked before.
    fn abandon(&mut self, node: usize, ghosts: usize) {
        let haunting = self.requests.iter().filter(|sent| sent.ghost).count();
        let mut left = ghosts.saturating_sub(haunting);
        self.requests.retain_mut(|sent| {
            if sent.node != node || sent.ghost {
                return true;
            }
            let may_haunt = left > 0
                && sent.answer.is_none()
                && matches!(sent.operation, Operation::Write { .. });
            left -= usize::from(may_haunt);
            sent.ghost = true;
            may_haunt
        });
    }

    /// Notes whether the epoch of who has authority is the fence's.
    fn judge(&mut self, index: usize, tick: Duration) {
        let node = &self.nodes[index];
        let me = node.elector.me().clone();
        let Some(authority) = node.authority(tick) else {
            return;
        };
        let (epoch, holder) = &self.fence;
        let again = authority.epoch == *epoch && holder.as_ref() == Some(&me);
        self.broken |= authority.epoch <= *epoch && !again;
        if authority.epoch > *epoch {
            self.fence = (authority.epoch, Some(me));
        }
    }

    /// All requests of a node are served and answered until it has none, so many rounds.
    fn at_once(&mut self, check: &Check, index: usize, rounds: usize) {
        for _ in 0..=rounds {
            check.settle(self, index);
            while let Some(at) = self.requests.iter().position(|sent| sent.node == index) {
                self.serve(at);
                self.answer(check, at);
            }
        }
    }

    fn serve(&mut self, at: usize) {
        let answer = match self.requests[at].operation.clone() {
            Operation::Read => Answer::Found(self.lease.clone()),
            Operation::Write { record, base } => {
                let current = self.lease.as_ref().map(|stored| stored.revision.clone());
                if current == base {
                    Answer::Written(self.put(record))
                } else {
                    Answer::Conflict
                }
            }
        };
        self.requests[at].answer = Some(answer);
        if self.requests[at].ghost {
            self.requests.remove(at);
        }
    }

    fn put(&mut self, record: lns_cluster::Record) -> Revision {
        self.revision += 1;
        let revision = Revision(self.revision.to_string().into());
        self.lease = Some(Stored {
            record,
            revision: revision.clone(),
        });
        revision
    }

    fn answer(&mut self, check: &Check, at: usize) {
        let sent = self.requests.remove(at);
        let fence = self.fence.0;
        let node = &mut self.nodes[sent.node];
        if sent.incarnation != node.incarnation {
            return;
        }
        let now = node.now(check.tick);
        // The store is asked before anything is concluded.
        node.elector.handle_epoch(fence);
        node.elector
            .handle_answer(sent.id, sent.answer.unwrap(), now);
        check.settle(self, sent.node);
    }

    fn ask(&mut self, check: &Check, at: usize) {
        let (from, to, ask) = self.asks.remove(at);
        let now = self.nodes[to].now(check.tick);
        let promise = self.nodes[to].elector.handle_ask(&ask, now);
        check.settle(self, to);
        // One promise is under way at a time: another one is lost.
        let under_way = self.promises.iter().any(|(at, _)| *at == from);
        if let Ok(promise) = promise
            && !under_way
        {
            self.promises.push((from, promise));
            if !check.slow_promises {
                self.promise(check, self.promises.len() - 1);
            }
        }
    }

    fn promise(&mut self, check: &Check, at: usize) {
        let (to, promise) = self.promises.remove(at);
        let now = self.nodes[to].now(check.tick);
        self.nodes[to].elector.handle_promise(&promise, now);
        check.settle(self, to);
    }

    fn edit(&mut self, change: impl FnOnce(&mut lns_cluster::Record)) {
        self.faults.edits -= 1;
        if let Some(Stored { mut record, .. }) = self.lease.take() {
            change(&mut record);
            self.put(record);
        }
    }

    fn masters(&self, tick: Duration) -> usize {
        let with = |node: &&Node| node.authority(tick).is_some();
        self.nodes.iter().filter(with).count()
    }

    fn has(&self, reached: Reached, tick: Duration) -> bool {
        let other = || {
            let others = self.nodes.iter().enumerate();
            others
                .skip(1)
                .any(|(_, node)| node.authority(tick).is_some())
        };
        let now = |state| self.nodes.iter().any(|node| node.elector.state() == state);
        match reached {
            Reached::Takeover => other(),
            Reached::Extension => now(State::Extending),
            Reached::Return => self.extended && now(State::Holding),
            Reached::Handover => other() && self.tick <= 2,
        }
    }
}

impl Model for Check {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        if !self.cold {
            return vec![self.founded()];
        }
        let mut world = self.nothing();
        for index in 0..self.nodes {
            world.nodes[index].elector.handle_nobody_knows();
            self.settle(&mut world, index);
        }
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.push(Action::Tick(None));
        let may_miss = |index: &&usize| world.nodes[**index].steady >= self.misses_one_in;
        let slow = self.slow.iter().filter(may_miss);
        actions.extend(slow.map(|index| Action::Tick(Some(*index))));
        for (at, sent) in world.requests.iter().enumerate() {
            let whole = sent.operation == Operation::Read && !self.slow_reads;
            match &sent.answer {
                Some(_) => actions.push(Action::Answer(at)),
                None if world.away > 0 => {}
                None if whole => actions.push(Action::ServeAndAnswer(at)),
                None => actions.push(Action::Serve(at)),
            }
        }
        actions.extend((0..world.asks.len()).map(Action::Ask));
        actions.extend((0..world.promises.len()).map(Action::Promise));
        if self.lossy {
            actions.extend((0..world.asks.len()).map(Action::LoseAsk));
        }
        self.faults(world, actions);
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Tick(missing) => self.tick(&mut world, missing),
            Action::Serve(at) => world.serve(at),
            Action::Answer(at) => world.answer(self, at),
            Action::ServeAndAnswer(at) => {
                world.serve(at);
                world.answer(self, at);
            }
            Action::Ask(at) => world.ask(self, at),
            Action::Promise(at) => world.promise(self, at),
            Action::LoseAsk(at) => drop(world.asks.remove(at)),
            Action::Delete => {
                world.faults.deletions -= 1;
                world.lease = None;
            }
            Action::Empty => world.edit(|record| record.holder = None),
            Action::Unnumber => world.edit(|record| record.epoch = Epoch::NONE),
            Action::Unlist => world.edit(|record| record.roster = lns_cluster::Roster::default()),
            Action::Name(index) => {
                let me = world.nodes[index].elector.me().clone();
                world.edit(|record| record.holder = Some(me));
            }
            Action::Save => world.saved = Some(world.lease.clone()),
            Action::Restore => {
                world.faults.restores -= 1;
                let saved = world.saved.clone()??;
                world.put(saved.record);
            }
            Action::Rewind => {
                // An API server whose store is put back is stopped: what was under way is gone.
                world.faults.rewinds -= 1;
                world.lease = world.saved.take()?;
                world.requests.clear();
                world.away = self.restore;
            }
            Action::Restart(index) => {
                world.faults.restarts -= 1;
                world.abandon(index, self.ghosts);
                world.nodes[index].restart(index, self);
                world.nodes[index].elector.handle_roster(roster(self.nodes));
                self.settle(&mut world, index);
            }
            Action::Stop(index) => {
                world.faults.stops -= 1;
                let now = world.nodes[index].now(self.tick);
                world.nodes[index].stopping = true;
                world.nodes[index].elector.handle_stop(now);
                world.nodes[index].elector.handle_closed(now);
                self.settle(&mut world, index);
            }
        }
        // In which order they were sent does not matter, only in which they are served.
        world
            .requests
            .sort_by_key(|sent| (sent.node, sent.incarnation, sent.id));
        world.asks.sort_by_key(|(from, to, _)| (*from, *to));
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::<Self>::always("one master at a time", |check, world| {
                world.masters(check.tick) <= 1
            }),
            Property::<Self>::always("epochs grow, and are given once", |_, world| !world.broken),
            Property::<Self>::always("no event in a state that does not know it", |_, world| {
                world.nodes.iter().all(|node| node.elector.refused() == 0)
            }),
        ];
        let has = |reached| self.reaches.contains(&reached);
        if has(Reached::Takeover) {
            all.push(Property::<Self>::sometimes("a takeover", |check, world| {
                world.has(Reached::Takeover, check.tick)
            }));
        }
        if has(Reached::Extension) {
            all.push(Property::<Self>::sometimes(
                "a master by promises",
                |check, world| world.has(Reached::Extension, check.tick),
            ));
        }
        if has(Reached::Return) {
            all.push(Property::<Self>::sometimes(
                "back to the Lease",
                |check, world| world.has(Reached::Return, check.tick),
            ));
        }
        if has(Reached::Handover) {
            all.push(Property::<Self>::sometimes("a handover", |check, world| {
                world.has(Reached::Handover, check.tick)
            }));
        }
        all
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.tick <= self.horizon
    }
}
