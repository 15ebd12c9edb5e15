//! The machine's one door, and the rules behind it.
//!
//! Read [`RowState::on`] from top to bottom: it is a row's path. Every bound (attempts of a step, attempts of an undo, looks
//! that teach nothing) is a number in [`Rules`], so that no sequence of replies can keep a row busy for ever.

use super::event::{Effect, Event, Forecast, Look, Observation};
use super::problem::{NO_EFFECT, REPLICATION};
use super::state::{Active, Attempt, Course, Ended, Ending, Phase, Progress, RowState};
use crate::core::Problem;
use crate::job::{Decision, StepId};
use serde::{Deserialize, Serialize};

/// What the machine has to know of one step of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepTraits {
    /// From this step on the person cannot work.
    pub exposes: bool,
}

/// The bounds a row is driven within.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The steps of the job, in order.
    pub steps: Vec<StepTraits>,
    /// Most forward attempts of one step.
    pub attempts_max: u32,
    /// Most attempts of the undo of one step, whatever came of them.
    pub undo_attempts_max: u32,
    /// Most observations in a row that teach nothing; the driver's patience in time ends sooner in practice.
    pub looks_max: u32,
}

impl Rules {
    /// Whether from this step on the person cannot work.
    #[must_use]
    pub fn exposes(&self, step: StepId) -> bool {
        self.steps.get(usize::from(step.0)).is_some_and(|traits| traits.exposes)
    }
}

/// An event that cannot happen in this state: a fault of the program, never of the input or the target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a row that is {state} cannot take the event {event:?}")]
pub struct IllegalMove {
    /// The state's name.
    pub state: &'static str,
    /// The event.
    pub event: Box<Event>,
}

/// What an event leads to.
#[derive(Debug)]
pub struct Move {
    /// Where the row is now.
    pub state: RowState,
    /// What is to be done next.
    pub effect: Effect,
    /// A write has become known to have taken effect: it was answered, or a read has answered the doubt about it.
    pub took_effect: bool,
}

impl RowState {
    /// The only door: live runs, resumed runs and the journal's verification come through here.
    ///
    /// An answer to an attempt that is no longer the current one changes nothing.
    ///
    /// # Errors
    /// [`IllegalMove`] when the event cannot happen in this state.
    pub fn on(self, event: Event, rules: &Rules) -> Result<Move, IllegalMove> {
        Ok(match (self, event) {
            (RowState::Waiting, Event::Admitted) => {
                active(Course::Forward, Phase::Observing, Progress::default(), Effect::Observe)
            }
            (RowState::Waiting, Event::Rejected(problem)) => ended(Ending::Refused(problem), Progress::default()),
            (RowState::Waiting, Event::Recovered) => stays(RowState::Waiting),
            (RowState::Active(row), Event::Recovered) => row.recovered(rules),
            (RowState::Active(row), Event::Observed(observation)) if row.is_looking() => {
                row.observed(observation, rules)
            }
            (RowState::Active(row), Event::Lagging) if row.is_looking() => row.lagging(rules),
            (RowState::Active(row), Event::Unobservable(problem)) if row.is_looking() => row.unobservable(problem),
            (RowState::Active(row), Event::Durable(attempt)) if row.phase == Phase::Intending(attempt) => {
                active(row.course, Phase::Applying(attempt), row.progress, Effect::Send(attempt))
            }
            (RowState::Active(row), Event::Applied(attempt, forecast)) if row.is_applying(attempt) => {
                row.applied(attempt, forecast, rules)
            }
            (RowState::Active(row), Event::Refused(attempt, problem)) if row.is_applying(attempt) => {
                row.refused(problem)
            }
            (RowState::Active(row), Event::Contended(attempt, problem)) if row.is_applying(attempt) => {
                row.contended(problem)
            }
            (RowState::Active(row), Event::Doubted(attempt, problem)) if row.is_applying(attempt) => {
                row.doubted(attempt, problem, rules)
            }
            (RowState::Active(row), event) if row.is_late(&event) => stays(RowState::Active(row)),
            (RowState::Ended(row), Event::Retried { .. }) if !row.is_good() => row.retried(),
            (RowState::Ended(row), Event::RolledBack(cause)) if row.ending == Ending::Done => {
                active(Course::Back(cause), Phase::Observing, row.progress.anew(), Effect::Observe)
            }
            (
                state,
                event @ (Event::Admitted
                | Event::Rejected(_)
                | Event::Observed(_)
                | Event::Lagging
                | Event::Unobservable(_)
                | Event::Durable(_)
                | Event::Applied(..)
                | Event::Refused(..)
                | Event::Contended(..)
                | Event::Doubted(..)
                | Event::Recovered
                | Event::Retried { .. }
                | Event::RolledBack(_)),
            ) => return Err(IllegalMove { state: state.name(), event: Box::new(event) }),
        })
    }
}

impl Active {
    /// Waits for what a read shows.
    fn is_looking(&self) -> bool {
        matches!(self.phase, Phase::Observing | Phase::Doubtful(_) | Phase::Verifying)
    }

    fn is_applying(&self, attempt: Attempt) -> bool {
        self.phase == Phase::Applying(attempt)
    }

    /// An answer to an attempt that was given up: a time-out was declared and the reply came after all.
    fn is_late(&self, event: &Event) -> bool {
        let (Event::Durable(answered)
        | Event::Applied(answered, _)
        | Event::Refused(answered, _)
        | Event::Contended(answered, _)
        | Event::Doubted(answered, _)) = event
        else {
            return false;
        };
        match self.phase {
            Phase::Intending(current) | Phase::Applying(current) => *answered != current,
            Phase::Doubtful(_) | Phase::Observing | Phase::Verifying => self
                .progress
                .of(answered.step)
                .is_some_and(|begun| answered.number <= begun.attempts.max(begun.undo_attempts)),
        }
    }

    /// After a restart an attempt with a durable intent may have left; what was only being read is read again.
    fn recovered(self, rules: &Rules) -> Move {
        match self.phase {
            phase @ (Phase::Observing | Phase::Verifying) => active(self.course, phase, self.progress, Effect::Observe),
            Phase::Intending(attempt) | Phase::Applying(attempt) | Phase::Doubtful(attempt) => {
                self.doubt(attempt, Effect::Observe, rules)
            }
        }
    }

    /// Until a read says otherwise, a doubtful step that exposes has exposed.
    fn doubt(mut self, attempt: Attempt, effect: Effect, rules: &Rules) -> Move {
        let forward = self.course == Course::Forward;
        self.progress.exposed |= forward && rules.exposes(attempt.step);
        active(self.course, Phase::Doubtful(attempt), self.progress, effect)
    }

    fn observed(mut self, observation: Observation, rules: &Rules) -> Move {
        self.progress.exposed = observation.exposed;
        self.progress.looks = 0;
        let took_effect = match self.phase {
            Phase::Doubtful(attempt) => self.settle(attempt, &observation.decision),
            Phase::Observing | Phase::Intending(_) | Phase::Applying(_) | Phase::Verifying => false,
        };
        self.settle_late(&observation.decision);
        let next = match observation.decision {
            Decision::Next(step) => self.intend(step, rules),
            Decision::Goal => self.arrived(),
            Decision::Unknowable(problem) => self.give_up_in_doubt(problem),
            Decision::Adrift(problem) => self.fail(problem),
            Decision::Refused(problems) => {
                // There is at least one: a log that says otherwise gives no reason.
                let problem = Problem::all(problems);
                self.refuse(problem.unwrap_or_else(|| NO_EFFECT.problem("no reason was given")))
            }
        };
        Move { took_effect, ..next }
    }

    /// Whether a write in doubt took effect, by a fresh read: had it not, the same step would still be the next.
    fn settle(&mut self, attempt: Attempt, decision: &Decision) -> bool {
        let took_effect = match decision {
            Decision::Next(step) => *step != attempt.step,
            Decision::Goal | Decision::Adrift(_) | Decision::Refused(_) => true,
            Decision::Unknowable(_) => false,
        };
        if took_effect {
            self.note_applied(attempt.step);
        } else if self.course == Course::Forward {
            self.progress.of_mut(attempt.step).unsettled = true;
        }
        took_effect
    }

    /// A step whose doubt was given up has taken effect after all when a read shows that it is behind the row.
    fn settle_late(&mut self, decision: &Decision) {
        let behind = |step: StepId| match decision {
            Decision::Next(next) => step < *next,
            Decision::Goal => true,
            Decision::Adrift(_) | Decision::Refused(_) | Decision::Unknowable(_) => false,
        };
        if self.course != Course::Forward {
            return;
        }
        let late = self.progress.begun.iter();
        let late = late.filter(|begun| begun.unsettled && behind(begun.step));
        for step in late.map(|begun| begun.step).collect::<Vec<_>>() {
            self.note_applied(step);
        }
    }

    fn note_applied(&mut self, step: StepId) {
        self.progress.changed = true;
        if self.course == Course::Forward {
            let begun = self.progress.of_mut(step);
            begun.applied = true;
            begun.unsettled = false;
        }
    }

    fn lagging(mut self, rules: &Rules) -> Move {
        self.progress.looks = self.progress.looks.saturating_add(1);
        if self.progress.looks <= rules.looks_max {
            return active(self.course, self.phase, self.progress, Effect::ObserveLater);
        }
        self.progress.looks = 0;
        self.fail(REPLICATION.problem("the target never showed what was written to it"))
    }

    /// The goal, or on the way back the before-image, holds on a fresh read.
    fn arrived(self) -> Move {
        match self.course {
            Course::Forward if self.progress.changed => ended(Ending::Done, self.progress),
            Course::Forward => ended(Ending::Unchanged, self.progress),
            Course::Back(cause) if self.progress.exposed => ended(Ending::Stranded(cause), self.progress),
            Course::Back(cause) if self.progress.changed || self.progress.undoing() => {
                ended(Ending::Reverted(cause), self.progress)
            }
            // What was in doubt has not happened.
            Course::Back(cause) => ended(Ending::Failed(cause), self.progress),
        }
    }

    fn refuse(self, problem: Problem) -> Move {
        let untouched = self.course == Course::Forward && !self.progress.touched();
        match (untouched, self.progress.exposed) {
            (true, false) => ended(Ending::Refused(problem), self.progress),
            (true, true) => ended(Ending::Stranded(problem), self.progress),
            (false, _) => self.fail(problem),
        }
    }

    /// The only way to a write: within the bound of its step, and by way of a durable intent.
    fn intend(mut self, step: StepId, rules: &Rules) -> Move {
        let forward = self.course == Course::Forward;
        let begun = self.progress.of_mut(step);
        let (count, max) = if forward {
            (&mut begun.attempts, rules.attempts_max)
        } else {
            (&mut begun.undo_attempts, rules.undo_attempts_max)
        };
        if *count >= max {
            let problem = self.out_of_attempts(max);
            return if forward { self.fail(problem) } else { self.skip_undo(step) };
        }
        *count += 1;
        let attempt = Attempt { step, number: *count };
        active(self.course, Phase::Intending(attempt), self.progress, Effect::Persist(attempt))
    }

    fn out_of_attempts(&self, max: u32) -> Problem {
        match &self.progress.last_problem {
            Some(last) => Problem {
                code: last.code.clone(),
                message: format!("{} (gave up after {max} attempts)", last.message),
                advice: last.advice.clone(),
            },
            None => NO_EFFECT.problem(format!("the write was accepted {max} times and never showed")),
        }
    }

    fn applied(mut self, attempt: Attempt, forecast: Forecast, rules: &Rules) -> Move {
        self.note_applied(attempt.step);
        self.progress.exposed = forecast.exposed;
        self.progress.looks = 0;
        let next = match forecast.look {
            Look::Next(step) => self.intend(step, rules),
            Look::Rest => active(self.course, Phase::Verifying, self.progress, Effect::Observe),
            Look::Again => active(self.course, Phase::Observing, self.progress, Effect::Observe),
        };
        Move { took_effect: true, ..next }
    }

    /// A step that is refused is not tried again. An undo is, later: nobody is left half changed for what may pass.
    fn refused(self, problem: Problem) -> Move {
        match self.course {
            Course::Forward => self.fail(problem),
            Course::Back(_) => self.contended(problem),
        }
    }

    /// This undo was tried often enough; the others may still bring the person back to work.
    fn skip_undo(mut self, step: StepId) -> Move {
        self.progress.of_mut(step).undo_given_up = true;
        active(self.course, Phase::Observing, self.progress, Effect::Observe)
    }

    fn contended(mut self, problem: Problem) -> Move {
        self.progress.last_problem = Some(problem);
        active(self.course, Phase::Observing, self.progress, Effect::ObserveLater)
    }

    fn doubted(mut self, attempt: Attempt, problem: Problem, rules: &Rules) -> Move {
        self.progress.last_problem = Some(problem);
        self.doubt(attempt, Effect::ObserveLater, rules)
    }

    fn unobservable(self, problem: Problem) -> Move {
        match self.phase {
            Phase::Doubtful(_) => self.give_up_in_doubt(problem),
            Phase::Observing | Phase::Verifying | Phase::Intending(_) | Phase::Applying(_) => self.fail(problem),
        }
    }

    /// Nobody can tell whether the last write took effect.
    fn give_up_in_doubt(self, problem: Problem) -> Move {
        if self.progress.exposed {
            ended(Ending::Stranded(problem), self.progress)
        } else {
            ended(Ending::Held(problem), self.progress)
        }
    }

    /// The row cannot reach its goal: back to the before-image if anything was changed, and if that fails too, say so.
    fn fail(self, problem: Problem) -> Move {
        match self.course {
            Course::Forward if self.progress.touched() => {
                active(Course::Back(problem), Phase::Observing, self.progress, Effect::Observe)
            }
            Course::Forward if self.progress.exposed => ended(Ending::Stranded(problem), self.progress),
            Course::Forward => ended(Ending::Failed(problem), self.progress),
            Course::Back(cause) => {
                let both = both(cause, &self.progress.hindrance(problem));
                ended(Ending::Stranded(both), self.progress)
            }
        }
    }
}

impl Progress {
    /// What stands in the way of undoing, with the last word on an undo that was given up.
    fn hindrance(&self, problem: Problem) -> Problem {
        let given_up = self.begun.iter().find(|begun| begun.undo_given_up);
        match (given_up, &self.last_problem) {
            (Some(begun), Some(last)) => Problem {
                message: format!("{} (tried {} times, at last: {last})", problem.message, begun.undo_attempts),
                ..problem
            },
            (Some(_) | None, _) => problem,
        }
    }
}

/// What went wrong first, and what then stood in the way of undoing it.
fn both(cause: Problem, hindrance: &Problem) -> Problem {
    Problem {
        message: format!("{}; not undone: {}", cause.message, hindrance.message),
        advice: format!("at once: put back by hand what is not as before; then, for the cause: {}", cause.advice),
        ..cause
    }
}

impl Ended {
    /// At its goal: there is nothing to try again.
    fn is_good(&self) -> bool {
        matches!(self.ending, Ending::Done | Ending::Unchanged)
    }

    fn retried(self) -> Move {
        let progress = match self.ending {
            Ending::Held(_) | Ending::Stranded(_) => self.progress.anew(),
            // The person is as before: nothing of the earlier try is left.
            Ending::Refused(_) | Ending::Failed(_) | Ending::Reverted(_) | Ending::Done | Ending::Unchanged => {
                Progress::default()
            }
        };
        active(Course::Forward, Phase::Observing, progress, Effect::Observe)
    }
}

fn active(course: Course, phase: Phase, progress: Progress, effect: Effect) -> Move {
    let state = RowState::Active(Active { course, phase, progress });
    Move { state, effect, took_effect: false }
}

fn ended(ending: Ending, progress: Progress) -> Move {
    let state = RowState::Ended(Ended { ending, progress });
    Move { state, effect: Effect::Finish, took_effect: false }
}

fn stays(state: RowState) -> Move {
    Move { state, effect: Effect::Nothing, took_effect: false }
}
