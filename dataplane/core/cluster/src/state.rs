//! The elector's states as a table that is printed (rule E7: no line leads back into an epoch).
//!
//! The table says where an event leads; what makes an event is in `elector`.

use crate::record::Epoch;

lns_wire::labelled! {
    /// Where an elector is.
    pub enum State {
        /// A candidate: looks at the record, and waits.
        Waiting = "waiting",
        /// Its acquiring write is out, or its outcome is unknown.
        Acquiring = "acquiring",
        /// Master, by the Lease.
        Holding = "holding",
        /// Master, by the promises of all other members.
        Extending = "extending",
        /// No longer master; the gate is being closed.
        Closing = "closing",
        /// The gate is closed, the Lease is being released.
        Releasing = "releasing",
        /// Takes no part any more.
        Stopped = "stopped",
    }
}

lns_wire::labelled! {
    /// What leads from one state to another.
    pub enum Event {
        /// D has passed: the acquiring write goes out.
        Due = "due",
        /// The record is ours.
        Won = "won",
        /// The acquiring write did not land, as far as can be seen.
        Lost = "lost",
        /// A promise was given, which voids what was not won yet.
        Voided = "voided",
        /// The Lease's time is over, the promises' is not.
        Extended = "extended",
        /// A renewal landed.
        Renewed = "renewed",
        /// The time is over.
        Lapsed = "lapsed",
        /// The record says something else (E7).
        Gone = "gone",
        /// The node is to stop.
        Stop = "stop",
        /// The gate is closed (E6).
        Closed = "closed",
        /// Released, or no longer ours to release.
        Released = "released",
    }
}

/// One step, to be told.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Transition {
    /// From where.
    pub from: State,
    /// Why.
    pub on: Event,
    /// To where.
    pub to: State,
    /// The epoch that it is about; none for a candidate.
    pub epoch: Epoch,
}

/// The table. None: this does not happen in this state.
pub const fn step(state: State, event: Event) -> Option<State> {
    use Event as E;
    use State as S;
    match (state, event) {
        (S::Waiting, E::Due) => Some(S::Acquiring),
        (S::Acquiring, E::Won) | (S::Extending, E::Renewed) => Some(S::Holding),
        (S::Holding, E::Extended) => Some(S::Extending),
        (S::Acquiring, E::Lost | E::Voided | E::Lapsed)
        | (S::Holding | S::Extending, E::Lapsed | E::Gone) => Some(S::Waiting),
        (S::Holding | S::Extending, E::Stop) => Some(S::Closing),
        (S::Closing, E::Closed) => Some(S::Releasing),
        (S::Waiting | S::Acquiring, E::Stop) | (S::Releasing, E::Released) => Some(S::Stopped),
        // All that is left, so that a state that is added has to be thought of.
        (
            S::Waiting
            | S::Acquiring
            | S::Holding
            | S::Extending
            | S::Closing
            | S::Releasing
            | S::Stopped,
            _,
        ) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_an_elector() {
        let lines = State::ALL.iter().flat_map(|from| {
            Event::ALL.iter().filter_map(|on| {
                let to = step(*from, *on)?;
                Some(format!(
                    "{:10} {:9} {}",
                    from.label(),
                    on.label(),
                    to.label()
                ))
            })
        });
        insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
    }

    /// Every way to be master begins with a write that was won, and so with a new epoch.
    #[test]
    fn nobody_becomes_master_but_by_winning() {
        let master = [State::Holding, State::Extending];
        for (from, on) in State::ALL
            .iter()
            .flat_map(|s| Event::ALL.iter().map(move |e| (*s, *e)))
        {
            let becomes = step(from, on).is_some_and(|to| master.contains(&to));
            if becomes && !master.contains(&from) {
                assert_eq!((from, on), (State::Acquiring, Event::Won));
            }
        }
    }
}
