//! Whether a read can be believed, or may come from a replica that has not seen our own writes yet.
//!
//! Forward, one fresh read that shows the goal is enough, though Graph's readers are often told to wait for two in a row. A
//! replica applies writes in order, and no state that this run led through has the goal's values before the last write made
//! them: a replica that shows them has seen every write. A second read could only meet a replica that is further behind, which
//! says nothing about the person.
//!
//! On the way back an old replica can look like success, since the before-image is a state that the run began with. There a
//! read is believed only once `limits.replication` has passed since the write that it might not show.

use crate::job::{Decision, Limits, StepId};
use crate::journal::{RowRecord, UnixMillis};
use std::time::Duration;

/// How long the target may refuse to be read for a person whom this run may have changed.
const UNSEEN_PATIENCE: Duration = Duration::from_secs(120);

/// How far behind a read may be at this moment. "Recently" means less than `limits.replication` ago.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Staleness {
    /// A write is known to have taken effect recently.
    pub took_effect: bool,
    /// A write left recently that may have taken effect.
    pub left: bool,
    /// The write whose effect is unknown.
    pub doubt: Option<Doubt>,
    /// A doubt was given up, and its effect may show all the same.
    pub unsettled: bool,
    /// The row is on its way back.
    pub undoing: bool,
    /// The person was not seen before in this try.
    pub first_look: bool,
    /// This run may have changed the person, or they cannot work.
    pub touched: bool,
    /// Nothing could be seen of the person for longer than they are waited for.
    pub unseen_too_long: bool,
}

/// A write whose effect is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// Its step.
    pub step: StepId,
    /// It is not the first try: an earlier one may still arrive, too.
    pub again: bool,
    /// It may not have arrived yet: less than `limits.doubt` has passed.
    pub under_way: bool,
}

/// What a look showed.
#[derive(Debug, Clone, Copy)]
pub enum Reading<'a> {
    /// Nothing that says anything of the person.
    Nothing,
    /// That there is nobody.
    Nobody,
    /// A state that the row has left behind.
    Older,
    /// A state that means this.
    State(&'a Decision),
}

/// Whether a reading says how the person is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Believe,
    /// It may be old: look again later.
    LookAgain,
}

impl Staleness {
    /// Of a row at this moment.
    #[must_use]
    pub fn of(
        record: &RowRecord,
        first_look: bool,
        unseen_since: Option<UnixMillis>,
        limits: &Limits,
        now: UnixMillis,
    ) -> Staleness {
        let since = |at: UnixMillis| Duration::from_millis(now.saturating_sub(at));
        let recent = |at: Option<UnixMillis>| at.is_some_and(|at| since(at) < limits.replication);
        let doubt = record.doubt().map(|attempt| Doubt {
            step: attempt.step,
            again: attempt.number > 1,
            under_way: record.left_at.is_some_and(|at| since(at) < limits.doubt),
        });
        Staleness {
            took_effect: recent(record.took_effect_at),
            left: recent(record.left_at),
            doubt,
            unsettled: record.progress().is_some_and(|progress| progress.unsettled()),
            undoing: record.is_going_back(),
            first_look,
            touched: record.has_begun_writing() || record.exposed(),
            unseen_too_long: unseen_since.is_some_and(|at| since(at) >= UNSEEN_PATIENCE),
        }
    }

    /// The one answer to all of it.
    #[must_use]
    pub fn verdict(&self, reading: Reading<'_>) -> Verdict {
        let may_be_old = match reading {
            Reading::Older => self.left,
            Reading::Nobody if self.left => true,
            // Nobody is given up for a few reads that are refused or show nobody.
            Reading::Nobody | Reading::Nothing => self.touched && !self.unseen_too_long,
            Reading::State(decision) => {
                self.first_look && self.left || self.may_still_arrive(decision) || self.may_be_of_before(decision)
            }
        };
        match may_be_old {
            true => Verdict::LookAgain,
            false => Verdict::Believe,
        }
    }

    /// A doubtful write that does not show may show in a moment, and is not sent again before that. What a second try was to
    /// do may have been done by the first; the second would then come between later steps.
    fn may_still_arrive(&self, decision: &Decision) -> bool {
        self.doubt.is_some_and(|doubt| doubt.under_way && (doubt.again || *decision == Decision::Next(doubt.step)))
    }

    /// On the way back: a replica that has not seen what is to be undone shows what looks like the undo's effect; and nobody
    /// is given up for what such a replica shows.
    fn may_be_of_before(&self, decision: &Decision) -> bool {
        let seems_undone = self.doubt.is_some_and(|doubt| *decision != Decision::Next(doubt.step));
        self.undoing
            && (seems_undone && self.took_effect
                || self.unsettled && *decision == Decision::Goal && self.left
                || matches!(decision, Decision::Adrift(_)) && self.left)
    }
}

#[cfg(test)]
#[path = "staleness_tests.rs"]
mod tests;
