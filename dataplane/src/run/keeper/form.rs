//! In which form records are written. It is a record of its own, so that whoever is master next knows it, and a node
//! that cannot read that form finds out, though nobody may be up.
//!
//! Where there is none, records have the first form, which the release before reads, too: going back to it loses
//! nothing. [`Keeper::finalize`] ends that. What begins with this release has nothing to go back to, and begins with
//! the newest.

use lns_node::{Node, RecordForm, Role, Unreadable};

use super::Keeper;

/// The record's key.
pub(super) const KEY: &str = "form/records";

/// What it has come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Finalized {
    /// In which form records are written from now on.
    pub(crate) form: RecordForm,
    /// How many records are going to be written again in it; none if they were before.
    pub(crate) records: usize,
}

impl Keeper {
    /// The form in which records are written.
    pub(crate) const fn form(&self) -> RecordForm {
        self.form
    }

    /// Takes in what the record says.
    ///
    /// # Errors
    /// It is of a later release, or none.
    pub(super) fn take_form(&mut self, node: &mut Node, octets: &[u8]) -> Result<(), Unreadable> {
        let number = octets.first().ok_or(Unreadable::Damaged)?;
        let form = RecordForm::of(*number)?;
        if octets.len() > 1 {
            return Err(Unreadable::Damaged);
        }
        // Nobody goes back.
        self.form = self.form.max(form);
        node.handle_form(self.form);
        Ok(())
    }

    /// From now on records are written in the newest form, and all that there are are written again. Who calls this
    /// has seen to it that every node reads it.
    ///
    /// # Errors
    /// Why not: the node is not the active one, or the store has not all that there is.
    pub(crate) fn finalize(&mut self, node: &mut Node) -> Result<Finalized, &'static str> {
        if node.role() != Role::Active {
            return Err("this node does not serve");
        }
        if self.figures().degraded {
            return Err("sessions are not stored now: see `lnsd status`");
        }
        if self.form == RecordForm::NEWEST {
            return Ok(Finalized {
                form: self.form,
                records: 0,
            });
        }
        let records = self.write_in_newest(node);
        Ok(Finalized {
            form: self.form,
            records,
        })
    }

    /// The same, whether it may be done or not; how many records there are.
    pub(super) fn write_in_newest(&mut self, node: &mut Node) -> usize {
        self.begin_in_newest(node);
        let sessions = |key: &&String| key.starts_with("t/") || key.starts_with("s/");
        let before = self.lost.len();
        // They need not be in any order: all of them are there.
        self.lost
            .extend(self.journal.keys().filter(sessions).cloned());
        self.lost.len().saturating_sub(before)
    }

    /// Nobody was ever active before: there is no older release whose records these are.
    pub(super) fn begin_in_newest(&mut self, node: &mut Node) {
        self.form = RecordForm::NEWEST;
        node.handle_form(self.form);
        self.put_form();
    }

    /// The store is to have the record, if there is any.
    pub(super) fn put_form(&mut self) {
        if self.form > RecordForm::default() {
            let octets = [self.form.number()];
            self.journal.put(KEY.to_owned(), &octets, true);
        }
    }
}
