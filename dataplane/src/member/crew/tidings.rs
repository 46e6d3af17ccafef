//! What a node says of itself in its own Lease beside whether it can serve: for the operator's status.
//!
//! | note | says |
//! |---|---|
//! | `objects` | which state of the objects is in force ([`lns_api::digest`]) |
//! | `store` | `synced`, `standby` of who is not the master, or why the store has not all records |
//! | `sessions` | about how many there are: two digits |
//! | `aside` | `no`, `draining`, `drained` once nothing comes here any more, or `fenced` |
//! | `format` | the form in which this node writes records, or would |
//! | `reads` | the newest form of records that it reads |

use lns_cluster::member::Side;
use lns_datapath::clock;
use lns_lease::{NoteError, Notes};
use lns_node::RecordForm;

use super::Crew;

/// The note that says which records a node can read.
pub(super) const READS: &str = "reads";

/// What the control task knows of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tidings {
    sessions: u64,
    /// What has left is not stored.
    is_degraded: bool,
    /// How records are written.
    form: RecordForm,
}

impl Crew {
    /// Has the control task say how it stands.
    pub(super) async fn hear_tidings(&mut self) {
        let tidings = self.parts.asker.ask(|control, _| Tidings {
            sessions: control.node.status().sessions.into(),
            is_degraded: control.keeper.figures().degraded,
            form: control.keeper.form(),
        });
        if let Ok(tidings) = tidings.await {
            self.tidings = tidings;
        }
    }

    /// The notes of the node's own Lease.
    pub(super) fn notes(&self) -> Result<Notes, NoteError> {
        let mut notes = Notes::default();
        notes.set("objects", &self.parts.setup.objects)?;
        notes.set("aside", self.said_of_aside())?;
        notes.set("store", &self.said_of_store())?;
        notes.set("sessions", &about(self.tidings.sessions).to_string())?;
        notes.set("format", &self.tidings.form.number().to_string())?;
        notes.set(READS, &RecordForm::NEWEST.number().to_string())?;
        Ok(notes)
    }

    pub(super) fn said_of_aside(&self) -> &'static str {
        if self.member.is_drained(clock::now()) {
            return "drained";
        }
        self.member.aside().label()
    }

    fn said_of_store(&self) -> String {
        if self.member.side().0 != Side::Serving {
            return "standby".to_owned();
        }
        match &self.store_away {
            Some(why) => format!("the store is away: {why}"),
            None if self.tidings.is_degraded => "the store has not all records yet".to_owned(),
            None => "synced".to_owned(),
        }
    }
}

/// Two digits of a number, rounded down: a Lease is not written for what changes all the time.
fn about(sessions: u64) -> u64 {
    let mut unit = 1;
    while sessions / unit >= 100 {
        unit *= 10;
    }
    sessions / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_of_a_number_are_told() {
        let told = [0, 9, 99, 100, 129, 12_345, u64::MAX].map(about);
        assert_eq!(
            told,
            [0, 9, 99, 100, 120, 12_000, 18_000_000_000_000_000_000]
        );
    }
}
