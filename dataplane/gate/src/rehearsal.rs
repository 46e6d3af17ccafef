//! Whether the kernel can have a gate, found out without one: the tables of a gate whose chains see no packet, a hold
//! in them that has to end by itself, and their end.

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use std::collections::BTreeSet;
use std::thread;

use lns_tables::time::Instant;
use nix::libc::{EINVAL, EOPNOTSUPP};

use crate::clock;
use crate::error::{GateError, KernelError};
use crate::gate::MARGIN;
use crate::nft::model::{Table, TableId};
use crate::nft::{OWNED, Owner, Socket, UNOWNED};
use crate::plan::{Announce, Plan};
use crate::rules;

/// What the tables are named after. Kubernetes has no namespace of such a name.
const NAME: &str = "-/preflight";

/// How long the hold lasts, and how long it may be seen at most.
const LIFE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(2);

/// What a rehearsal has found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rehearsal {
    /// Whether only the process that makes a gate can change it (Linux 6.9).
    pub shielded: bool,
    /// How long after its end the hold was still to be seen.
    pub late: Duration,
}

/// Why the kernel can have no gate.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// It refuses the tables, or cannot be asked.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Another process is at it.
    #[error(transparent)]
    Gate(GateError),
    /// Elements have no timeouts that work.
    #[error("what has a timeout of {} ms in nftables is there after {} ms still", LIFE.as_millis(), PATIENCE.as_millis())]
    Lasting,
    /// They are not there at all.
    #[error("what was put into a set of nftables for {} ms was not in it", LIFE.as_millis())]
    Lost,
}

/// Makes tables in the network namespace of the calling thread, with hooks at IP, ARP and this interface, and
/// removes them again. No packet is looked at.
///
/// # Errors
/// [`RehearsalError`]; nothing stays.
pub fn rehearse(interface: &str) -> Result<Rehearsal, RehearsalError> {
    let mut socket = Socket::open()?;
    clear(&mut socket)?;
    let tables = tables(interface);
    let shielded = make(&mut socket, &tables)?;
    let late = tables
        .first()
        .map_or(Ok(Duration::ZERO), |table| hold(&mut socket, &table.id));
    clear(&mut socket)?;
    late.map(|late| Rehearsal { shielded, late })
}

/// Those of a gate; no packet enters a chain with rules.
fn tables(interface: &str) -> Vec<Table> {
    let plan = Plan {
        cluster: NAME.to_owned(),
        service: BTreeSet::from([IpAddr::V4(Ipv4Addr::LOCALHOST)]),
        nas: None,
        announce: Announce::External,
        interfaces: BTreeSet::from([interface.to_owned()]),
        subscribers: interface.to_owned(),
    };
    let mut tables = rules::tables(&plan);
    for table in &mut tables {
        let hooked = table.chains.iter_mut().filter(|chain| chain.hook.is_some());
        hooked.for_each(|chain| chain.rules.clear());
    }
    tables
}

fn make(socket: &mut Socket, tables: &[Table]) -> Result<bool, RehearsalError> {
    let mut attempt = |flags| {
        let mut batch = socket.batch();
        for table in tables {
            batch.add_table(&table.id, flags);
            rules::install(&mut batch, table);
        }
        socket.commit(batch)
    };
    match attempt(OWNED) {
        Ok(()) => Ok(true),
        // A kernel that does not know the flags.
        Err(error) if matches!(error.number(), Some(EOPNOTSUPP | EINVAL)) => {
            attempt(UNOWNED)?;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Puts something into a set for a while, and waits until it is gone.
fn hold(socket: &mut Socket, table: &TableId) -> Result<Duration, RehearsalError> {
    let [slot, _] = rules::slots(crate::Kind::Control);
    let mut batch = socket.batch();
    batch.time_families(table, slot.alive, LIFE);
    let began = clock::now();
    socket.commit(batch)?;
    if socket.elements(table, slot.alive)?.is_empty() && since(began) < LIFE {
        return Err(RehearsalError::Lost);
    }
    while since(began) < PATIENCE {
        if socket.elements(table, slot.alive)?.is_empty() {
            return Ok(since(began).saturating_sub(LIFE.saturating_add(MARGIN)));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err(RehearsalError::Lasting)
}

fn since(began: Instant) -> Duration {
    clock::now().since(began)
}

/// Removes what is there, also of an earlier rehearsal that was killed.
fn clear(socket: &mut Socket) -> Result<(), RehearsalError> {
    let mut batch = socket.batch();
    let mut is_there = false;
    for table in rules::names(NAME) {
        match socket.owner(&table)? {
            Owner::Absent => continue,
            Owner::Socket(port) if port != socket.port() => {
                return Err(RehearsalError::Gate(GateError::Taken(NAME.to_owned())));
            }
            Owner::Nobody | Owner::Socket(_) => batch.remove_table(&table),
        }
        is_there = true;
    }
    if is_there {
        socket.commit(batch)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_packet_enters_a_chain_with_rules() {
        let tables = tables("lo");
        assert_eq!(tables.len(), 3);
        let chains = || tables.iter().flat_map(|table| &table.chains);
        assert!(chains().any(|chain| !chain.rules.is_empty()));
        for chain in chains().filter(|chain| chain.hook.is_some()) {
            assert!(chain.rules.is_empty(), "{}", chain.name);
        }
    }
}
