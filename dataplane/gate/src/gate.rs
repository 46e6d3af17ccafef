//! A gate: its tables, and what holds it open until when.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use lns_tables::time::Instant;
use nix::libc::{EINVAL, EOPNOTSUPP};
use nix::net::if_::if_nametoindex;

use crate::address::Addresses;
use crate::error::{GateError, KernelError};
use crate::nft::model::{Table, TableId};
use crate::nft::{OWNED, Owner, Socket, UNOWNED};
use crate::plan::Plan;
use crate::rules::{self, Slot};
use crate::{Kind, clock};

#[cfg(test)]
mod tests;

/// How much earlier than its deadline a hold ends. The kernel times elements by its ticks, and notices after six
/// of them that the processor that counts them does not run (it may be a virtual one): 60 ms
/// where a tick is 10 ms.
pub const MARGIN: Duration = Duration::from_millis(60);

/// What is tried, one after the other, where transactions take longer: another process may be
/// changing nftables, and nobody does so while it is.
const MARGINS: [Duration; 3] = [MARGIN, Duration::from_millis(250), Duration::from_secs(1)];

/// A gate in the kernel. It stays when this is dropped, and closes when its last hold ends.
#[derive(Debug)]
pub struct Gate {
    socket: Socket,
    addresses: Addresses,
    plan: Plan,
    tables: Vec<TableId>,
    /// What is selected of each kind.
    holds: [Option<Hold>; 3],
    shielded: bool,
    /// No change has failed since the tables were made.
    whole: bool,
}

/// A slot whose time the kernel knows.
#[derive(Clone, Copy, Debug)]
struct Hold {
    slot: Slot,
    /// It ends at this at the latest.
    until: Instant,
}

/// What came of a hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Held {
    /// Open, and closed by itself before this.
    Until(Instant),
    /// Closed: the deadline has passed, or is too near.
    Closed,
}

/// Where a process may be stopped in the middle of a hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Moment {
    /// The clock was read, and the kernel knows nothing yet.
    Read,
    /// The slot has its time.
    Staged,
    /// The time was found to end in time.
    Checked,
}

/// How a gate stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct State {
    /// Until when control passes; `None`: it does not.
    pub control: Option<Instant>,
    /// Until when data passes.
    pub data: Option<Instant>,
    /// Until when probes are answered.
    pub announce: Option<Instant>,
    /// Whether nobody else can change it (Linux 6.9).
    pub shielded: bool,
    /// Packets dropped since it was made, by the chain that dropped them: `control`, `data`, `member`
    /// (to a node that has neither), `probe`.
    pub dropped: BTreeMap<String, u64>,
}

impl Gate {
    /// Makes the gate, closed, in the network namespace of the calling thread, and puts the cluster's addresses on
    /// the loopback interface. A gate that a killed process left is replaced in the same
    /// transaction: it is not open for a moment.
    pub fn install(plan: Plan) -> Result<Self, GateError> {
        plan.check()?;
        let mut socket = Socket::open()?;
        let addresses = Addresses::open(rules::earlier(&mut socket, &plan.cluster)?)?;
        let mut gate = Self {
            socket,
            addresses,
            plan,
            tables: Vec::new(),
            holds: [None; 3],
            shielded: false,
            whole: false,
        };
        gate.renew()?;
        Ok(gate)
    }

    /// Addresses of the plan that somebody else has put on the loopback interface. They stay in the end, and then the
    /// node answers for them with no gate before it: routers go on sending packets that nobody takes.
    pub fn lent(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let own = self.plan.own();
        own.filter(|address| !self.addresses.is_ours(*address))
    }

    /// Removes what a process left that ended without [`Gate::remove`], if there is anything.
    pub fn remove_leftovers(cluster: &str) -> Result<(), GateError> {
        let mut socket = Socket::open()?;
        existing(&mut socket, cluster)?;
        Addresses::open(rules::earlier(&mut socket, cluster)?)?.clear()?;
        remove(&mut socket, cluster)
    }

    /// Makes the gate anew for another plan, closed, and the addresses those of that plan. A plan that is refused
    /// changes nothing.
    pub fn replan(&mut self, plan: Plan) -> Result<(), GateError> {
        plan.check()?;
        let before = core::mem::replace(&mut self.plan, plan);
        let renewed = self.renew();
        if matches!(&renewed, Err(error) if error.is_about_the_plan()) {
            self.plan = before;
        }
        renewed
    }

    /// Takes the addresses away, and then the gate: what it dropped passes from then on.
    pub fn remove(mut self) -> Result<(), GateError> {
        self.addresses.clear()?;
        remove(&mut self.socket, &self.plan.cluster)
    }

    /// First the gate, then the addresses, so that the node never has them without it.
    fn renew(&mut self) -> Result<(), GateError> {
        self.addresses.check(&self.plan)?;
        self.build()?;
        Ok(self.addresses.set(&self.plan)?)
    }

    /// Passes packets of `kind` until `deadline` on [`clock::now`], and not longer, whatever happens to this
    /// process meanwhile. A later call replaces an earlier one, also with an earlier deadline.
    ///
    /// Takes some tens of microseconds; longer while another process changes nftables.
    pub fn hold(&mut self, kind: Kind, deadline: Instant) -> Result<Held, GateError> {
        self.hold_pausing(kind, deadline, |_| {})
    }

    /// [`Gate::hold`], where `pause` is called whenever it would matter that the process is stopped.
    fn hold_pausing(
        &mut self,
        kind: Kind,
        deadline: Instant,
        mut pause: impl FnMut(Moment),
    ) -> Result<Held, GateError> {
        self.repair()?;
        for margin in MARGINS {
            let life = deadline.since(clock::now()).saturating_sub(margin);
            if life.as_millis() == 0 {
                break;
            }
            pause(Moment::Read);
            let staged = self.stage(kind, life)?;
            pause(Moment::Staged);
            // From above: counted from when the kernel had it at the latest.
            let until = clock::now() + life;
            if until <= deadline {
                pause(Moment::Checked);
                self.select(
                    kind,
                    Some(Hold {
                        slot: staged,
                        until,
                    }),
                )?;
                return Ok(held(until));
            }
        }
        // Too near, or nftables too slow: the hold before stays, if it does not last longer.
        match self.selected(kind) {
            Some(before) if before.until <= deadline => Ok(held(before.until)),
            _ => {
                self.close(kind)?;
                Ok(Held::Closed)
            }
        }
    }

    /// [`Gate::hold`] for [`Kind::Control`].
    pub fn control_until(&mut self, deadline: Instant) -> Result<Held, GateError> {
        self.hold(Kind::Control, deadline)
    }

    /// [`Gate::hold`] for [`Kind::Data`].
    pub fn data_until(&mut self, deadline: Instant) -> Result<Held, GateError> {
        self.hold(Kind::Data, deadline)
    }

    /// [`Gate::hold`] for [`Kind::Announce`]. Only in [`crate::Announce::External`] mode does
    /// anything depend on it, and only together with control or data.
    pub fn announce_until(&mut self, deadline: Instant) -> Result<Held, GateError> {
        self.hold(Kind::Announce, deadline)
    }

    /// Closes `kind`. When this returns, the kernel has done so; after an error, the hold ends by
    /// itself.
    pub fn close(&mut self, kind: Kind) -> Result<(), GateError> {
        self.repair()?;
        self.select(kind, None)
    }

    /// [`Gate::close`] for [`Kind::Control`].
    pub fn close_control(&mut self) -> Result<(), GateError> {
        self.close(Kind::Control)
    }

    /// How the gate stands.
    pub fn state(&mut self) -> Result<State, GateError> {
        let mut dropped: BTreeMap<String, u64> = BTreeMap::new();
        for table in &self.tables {
            let counters = self.socket.counters(table)?;
            if counters.is_empty() {
                self.whole = false;
                return Err(GateError::Gone(self.plan.cluster.clone()));
            }
            for (name, packets) in counters {
                let sum = dropped.entry(name).or_default();
                *sum = sum.saturating_add(packets);
            }
        }
        let now = clock::now();
        let until = |kind| {
            self.selected(kind)
                .map(|hold| hold.until)
                .filter(|until| *until > now)
        };
        Ok(State {
            control: until(Kind::Control),
            data: until(Kind::Data),
            announce: until(Kind::Announce),
            shielded: self.shielded,
            dropped,
        })
    }

    /// Gives the slot that does not count a time to live.
    fn stage(&mut self, kind: Kind, life: Duration) -> Result<Slot, GateError> {
        let [first, second] = rules::slots(kind);
        let counts = self.selected(kind).map(|hold| hold.slot);
        let slot = if counts == Some(first) { second } else { first };
        self.change(kind, |batch, table| {
            batch.time_families(table, slot.alive, life);
        })?;
        Ok(slot)
    }

    /// Makes this slot the one that counts. If its time has ended by now, nothing passes.
    fn select(&mut self, kind: Kind, hold: Option<Hold>) -> Result<(), GateError> {
        let before = self.selected(kind);
        if before.is_none() && hold.is_none() {
            return Ok(());
        }
        self.change(kind, |batch, table| {
            if let Some(before) = before {
                batch.remove_families(table, before.slot.selected);
            }
            if let Some(hold) = hold {
                batch.add_families(table, hold.slot.selected);
            }
        })?;
        if let Some(selected) = self.holds.get_mut(index(kind)) {
            *selected = hold;
        }
        Ok(())
    }

    fn selected(&self, kind: Kind) -> Option<Hold> {
        self.holds.get(index(kind)).copied().flatten()
    }

    /// Changes each table in one transaction.
    fn change(
        &mut self,
        kind: Kind,
        mut change: impl FnMut(&mut crate::nft::Batch, &TableId),
    ) -> Result<(), GateError> {
        let mut batch = self.socket.batch();
        let tables = self.tables.iter();
        for table in tables.filter(|table| rules::kinds(table.family).contains(&kind)) {
            change(&mut batch, table);
        }
        let done = self.socket.commit(batch);
        self.whole &= done.is_ok();
        Ok(done?)
    }

    /// Makes the tables anew after a change that failed: somebody else has been at them.
    fn repair(&mut self) -> Result<(), GateError> {
        if self.whole { Ok(()) } else { self.build() }
    }

    fn build(&mut self) -> Result<(), GateError> {
        let mut names = self.plan.interfaces.iter();
        if let Some(missing) = names.find(|name| if_nametoindex(name.as_str()).is_err()) {
            return Err(GateError::NoInterface(missing.clone()));
        }
        let there = existing(&mut self.socket, &self.plan.cluster)?;
        let tables = rules::tables(&self.plan);
        self.shielded = match self.replace(&there, &tables, OWNED) {
            Ok(()) => true,
            // A kernel that does not know the flags.
            Err(error) if matches!(error.number(), Some(EOPNOTSUPP | EINVAL)) => {
                self.replace(&there, &tables, UNOWNED)?;
                false
            }
            Err(error) => return Err(error.into()),
        };
        self.tables = tables.into_iter().map(|table| table.id).collect();
        self.holds = [None; 3];
        self.whole = true;
        Ok(())
    }

    fn replace(
        &mut self,
        there: &[TableId],
        tables: &[Table],
        flags: u32,
    ) -> Result<(), KernelError> {
        let mut batch = self.socket.batch();
        for table in there {
            batch.remove_table(table);
        }
        for table in tables {
            batch.add_table(&table.id, flags);
            rules::install(&mut batch, table);
        }
        self.socket.commit(batch)
    }
}

fn held(until: Instant) -> Held {
    if until > clock::now() {
        Held::Until(until)
    } else {
        Held::Closed
    }
}

fn index(kind: Kind) -> usize {
    match kind {
        Kind::Control => 0,
        Kind::Data => 1,
        Kind::Announce => 2,
    }
}

/// The tables of this cluster that are there, if they are anybody's to change.
fn existing(socket: &mut Socket, cluster: &str) -> Result<Vec<TableId>, GateError> {
    let mut there = Vec::new();
    for table in rules::names(cluster) {
        match socket.owner(&table)? {
            Owner::Absent => {}
            Owner::Socket(port) if port != socket.port() => {
                return Err(GateError::Taken(cluster.to_owned()));
            }
            Owner::Nobody | Owner::Socket(_) => there.push(table),
        }
    }
    Ok(there)
}

fn remove(socket: &mut Socket, cluster: &str) -> Result<(), GateError> {
    let there = existing(socket, cluster)?;
    if there.is_empty() {
        return Ok(());
    }
    let mut batch = socket.batch();
    for table in &there {
        batch.remove_table(table);
    }
    Ok(socket.commit(batch)?)
}
