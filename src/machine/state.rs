//! The states a row can be in, and the facts each of them carries.
//!
//! A state that makes no sense cannot be written down: an attempt exists only while one is under way, a cause only while a
//! row is being put back, and an unhappy ending always carries its problem. All of it is stored in the journal, so that a
//! restart refills no count and forgets no doubt.

use crate::core::Problem;
use crate::job::StepId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One try of one step, in the direction the row is going. The number counts from 1, and anew when the row is retried or
/// rolled back; it is the token by which a late reply is told from the awaited one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// Which step is tried.
    pub step: StepId,
    /// Which try this is, from 1.
    pub number: u32,
}

/// What the journal knows of one step of a row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Which step.
    pub step: StepId,
    /// Forward attempts whose intent was made durable.
    pub attempts: u32,
    /// Undo attempts whose intent was made durable.
    pub undo_attempts: u32,
    /// The step is known to have taken effect once; what a step that cannot be observed is decided by.
    pub applied: bool,
    /// A doubt about it was given up when no read had shown its effect in time, and it was tried again: the effect may show
    /// all the same, later.
    pub unsettled: bool,
    /// Its undo was tried as often as it may be; the others are still tried.
    pub undo_given_up: bool,
}

/// What a row carries through all its active states.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The steps begun, in the order of their first intent.
    pub begun: Vec<Begun>,
    /// At least one write of this run is known to have taken effect.
    pub changed: bool,
    /// The person cannot work now, as far as is known.
    pub exposed: bool,
    /// Observations in a row that taught nothing new.
    pub looks: u32,
    /// The last trouble on the way, told when attempts run out.
    pub last_problem: Option<Problem>,
}

impl Progress {
    /// What is known of `step`, if it was ever begun.
    #[must_use]
    pub fn of(&self, step: StepId) -> Option<&Begun> {
        self.begun.iter().find(|begun| begun.step == step)
    }

    pub(super) fn of_mut(&mut self, step: StepId) -> &mut Begun {
        let index = self.begun.iter().position(|begun| begun.step == step).unwrap_or_else(|| {
            self.begun.push(Begun { step, ..Begun::default() });
            self.begun.len() - 1
        });
        &mut self.begun[index]
    }

    /// The same for a row that begins again: what was written stays known, and tries are counted anew.
    pub(super) fn anew(&self) -> Progress {
        let again = |begun: &Begun| Begun { attempts: 0, undo_attempts: 0, undo_given_up: false, ..begun.clone() };
        Progress { begun: self.begun.iter().map(again).collect(), looks: 0, last_problem: None, ..self.clone() }
    }

    /// Whether a doubt was given up without an answer.
    #[must_use]
    pub fn unsettled(&self) -> bool {
        self.begun.iter().any(|begun| begun.unsettled)
    }

    /// Whether an undo was begun.
    #[must_use]
    pub fn undoing(&self) -> bool {
        self.begun.iter().any(|begun| begun.undo_attempts > 0)
    }

    /// Whether a write of this run took effect, or may have.
    #[must_use]
    pub fn touched(&self) -> bool {
        self.changed || self.unsettled()
    }

    /// All attempts of all steps, forward and back.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.begun.iter().map(|begun| begun.attempts + begun.undo_attempts).sum()
    }
}

/// Which way a row is going.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Course {
    /// Towards the goal.
    Forward,
    /// Back to its before-image, because of this.
    Back(Problem),
}

/// What an active row is about at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Reading the target to decide what to do next.
    Observing,
    /// Decided; the intent is on its way to the disk and nothing has left.
    Intending(Attempt),
    /// The intent is durable: after a crash we know what may have happened.
    Applying(Attempt),
    /// The write left and no answer came; only a fresh read can tell.
    Doubtful(Attempt),
    /// Nothing is left to do; a fresh read must confirm it.
    Verifying,
}

/// A row that was begun and has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// Which way it is going.
    pub course: Course,
    /// What it is about.
    pub phase: Phase,
    /// What it carries along.
    pub progress: Progress,
}

/// How a row ended, with the reason where a person has to know one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// At its goal, changed by this run, verified by a fresh read.
    Done,
    /// Was at its goal already; nothing was written.
    Unchanged,
    /// Untouched: a precondition or a lint error speaks against it.
    Refused(Problem),
    /// As before: the first write was refused or could not be made.
    Failed(Problem),
    /// As before: something failed on the way and was undone.
    Reverted(Problem),
    /// In doubt and not observable.
    Held(Problem),
    /// Changed, not at its goal, and could not be put back; or found exposed and left so.
    Stranded(Problem),
}

impl Ending {
    /// The word the reports use.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Ending::Done => Outcome::Done,
            Ending::Unchanged => Outcome::Unchanged,
            Ending::Refused(_) => Outcome::Refused,
            Ending::Failed(_) => Outcome::Failed,
            Ending::Reverted(_) => Outcome::Reverted,
            Ending::Held(_) => Outcome::Held,
            Ending::Stranded(_) => Outcome::Stranded,
        }
    }

    /// The reason, where there is one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Ending::Done | Ending::Unchanged => None,
            Ending::Refused(problem)
            | Ending::Failed(problem)
            | Ending::Reverted(problem)
            | Ending::Held(problem)
            | Ending::Stranded(problem) => Some(problem),
        }
    }
}

/// A row that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub ending: Ending,
    /// What it carried: a new try, or the way back, goes on from there.
    pub progress: Progress,
}

/// Where one row is in its life.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowState {
    /// Not begun.
    #[default]
    Waiting,
    /// Under way.
    Active(Active),
    /// Over.
    Ended(Ended),
}

impl RowState {
    /// The word the reports use for a row in this state.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            RowState::Waiting | RowState::Active(_) => Outcome::Pending,
            RowState::Ended(ended) => ended.ending.outcome(),
        }
    }

    /// The design's word for the state, for traces and messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            RowState::Waiting => "waiting",
            RowState::Ended(ended) => ended.ending.outcome().word(),
            RowState::Active(active) => match (&active.course, active.phase) {
                (Course::Forward, Phase::Observing) => "observing",
                (Course::Forward, Phase::Intending(_)) => "intending",
                (Course::Forward, Phase::Applying(_)) => "applying",
                (Course::Forward | Course::Back(_), Phase::Doubtful(_)) => "doubtful",
                (Course::Forward | Course::Back(_), Phase::Verifying) => "verifying",
                (Course::Back(_), Phase::Observing) => "failing",
                (Course::Back(_), Phase::Intending(_) | Phase::Applying(_)) => "reverting",
            },
        }
    }
}

/// The eight words of the reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// At its goal, changed by this run.
    Done,
    /// Was at its goal already.
    Unchanged,
    /// Untouched, something speaks against it.
    Refused,
    /// As before, nothing could be written.
    Failed,
    /// As before, undone.
    Reverted,
    /// In doubt and not observable.
    Held,
    /// Changed, not at its goal, not put back.
    Stranded,
    /// Not begun, or begun and not ended yet.
    Pending,
}

impl Outcome {
    /// All of them, in the order of the reports.
    pub const ALL: [Outcome; 8] = [
        Outcome::Done,
        Outcome::Unchanged,
        Outcome::Refused,
        Outcome::Failed,
        Outcome::Reverted,
        Outcome::Held,
        Outcome::Stranded,
        Outcome::Pending,
    ];

    /// The word of the reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.words()[0]
    }

    /// How the row stands in the target, in a sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.words()[1]
    }

    /// What a person has to do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        self.words()[2]
    }

    /// Word, meaning and advice.
    fn words(self) -> [&'static str; 3] {
        match self {
            Outcome::Done => {
                ["done", "The person is at the goal, changed by this run, and a fresh read has verified it.", "nothing"]
            }
            Outcome::Unchanged => ["unchanged", "The person was at the goal already; nothing was written.", "nothing"],
            Outcome::Refused => [
                "refused",
                "The person is untouched: a precondition of the job or a rule of the file speaks against the row.",
                "fix what `error` and `advice` name, then run `unfinished.csv`",
            ],
            Outcome::Failed => [
                "failed",
                "The person is as before: the first write was refused or could not be made.",
                "fix what `error` and `advice` name, then run `unfinished.csv`; nobody is waiting for it",
            ],
            Outcome::Reverted => [
                "reverted",
                "The person is as before: something failed on the way and was undone.",
                "fix what `error` and `advice` name, then run `unfinished.csv`; nobody is waiting for it",
            ],
            Outcome::Held => [
                "held",
                "A write may have been made, it leaves no trace that could be read, and it must not be repeated.",
                "find out whether the change was made, as `advice` says, then continue by hand",
            ],
            Outcome::Stranded => [
                "stranded",
                "The person was changed, is not at the goal, and could not be put back.",
                "at once: the person may be unable to work; look at them in the portal, together with `step` and the \
                 columns with what was before, and put them right by hand",
            ],
            Outcome::Pending => [
                "pending",
                "The row was not begun, or was begun and has not ended yet.",
                "continue the run: `cutover resume`",
            ],
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
