//! What a look means for the machine: the job's decision, once what was read can be believed.
//!
//! Pure: the row's record, what was found and the time go in, an event comes out.

use super::observe::Found;
use super::plan::deviation;
use super::problems::AMBIGUOUS;
use super::staleness::{Reading, Staleness, Verdict};
use crate::core::Problem;
use crate::job::{Agreement, Decision, EvalError, InDoubt, Job, Operation, RowView, State, StepId, Write};
use crate::journal::{Planned, RowRecord, UnixMillis};
use crate::machine::{Attempt, Begun, Event, Forecast, Look, Observation};
use crate::services::Class;

/// A row's states as the job sees them.
#[derive(Debug, Clone)]
pub struct States {
    /// The before-image.
    pub before: State,
    /// As last observed or predicted.
    pub now: State,
    /// As observed or predicted before that, by this process: a replica may still show it.
    pub was: Option<State>,
}

impl States {
    /// The states once this one is known.
    #[must_use]
    pub fn then(&self, now: State) -> States {
        let was = match now == self.now {
            true => self.was.clone(),
            false => Some(self.now.clone()),
        };
        States { before: self.before.clone(), now, was }
    }

    /// The states of somebody who was never seen before.
    #[must_use]
    pub fn of(now: State) -> States {
        States { before: now.clone(), now, was: None }
    }
}

/// What a look came to.
#[derive(Debug)]
pub enum Seen {
    /// An answer.
    Found(Found),
    /// The target refuses to be read for this row.
    Refused(Problem),
    /// There is no answer, and it was waited for long enough.
    Silence(Problem),
    /// The job cannot say how to look.
    JobError(EvalError),
}

/// A write that was put together when it was decided.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Which.
    pub operation: Operation,
    /// It.
    pub write: Write,
}

/// What a look means.
#[derive(Debug)]
pub struct Assessment {
    /// For the machine.
    pub event: Event,
    /// The states to go on with, where it taught something.
    pub states: Option<States>,
    /// The write that is needed next.
    pub prepared: Option<Prepared>,
    /// Since when nothing can be seen of a person whom this run may have changed.
    pub unseen_since: Option<UnixMillis>,
}

/// What an assessment looks at.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The job as the row sees it.
    pub view: &'a RowView,
    /// The row.
    pub record: &'a RowRecord,
    /// The states it was seen in, if it was.
    pub states: Option<&'a States>,
    /// Since when nothing can be seen of a person whom this run may have changed.
    pub unseen_since: Option<UnixMillis>,
    /// What the plan says of the row, where the run executes one.
    pub planned: Option<Planned>,
    /// The time.
    pub now: UnixMillis,
}

/// What a look means for a row.
#[must_use]
pub fn assess(case: &Case<'_>, seen: Seen) -> Assessment {
    let limits = &case.view.job().limits;
    let staleness = Staleness::of(case.record, case.states.is_none(), case.unseen_since, limits, case.now);
    let nothing = |reading, event| case.nothing(staleness, reading, event);
    match seen {
        Seen::Found(Found::One(state)) => {
            case.one(staleness, state).unwrap_or_else(|error| case.job_error(staleness, &error))
        }
        Seen::Found(Found::Nobody(problem)) => nothing(Reading::Nobody, refused(problem, false)),
        Seen::Found(Found::Several(places)) => {
            let problem = several(case.view.job(), &places);
            nothing(Reading::Nothing, refused(problem, false))
        }
        Seen::Refused(problem) => nothing(Reading::Nothing, Event::Unobservable(problem)),
        Seen::Silence(problem) => {
            Assessment { unseen_since: case.unseen_since, ..Assessment::of(Event::Unobservable(problem)) }
        }
        Seen::JobError(error) => case.job_error(staleness, &error),
    }
}

impl Assessment {
    /// It teaches nothing but this.
    #[must_use]
    pub fn of(event: Event) -> Assessment {
        Assessment { event, states: None, prepared: None, unseen_since: None }
    }

    /// Another row has something against it, too. The job's own word for the same is left out: it tells people to change by hand
    /// what the other row is about to change.
    pub fn refuse(&mut self, problem: Problem) {
        if let Event::Observed(observation) = &mut self.event {
            let mut problems = vec![problem];
            if let Decision::Refused(others) = &mut observation.decision {
                others.retain(|other| !problems[0].message.starts_with(&other.message));
                problems.append(others);
            }
            observation.decision = Decision::Refused(problems);
            self.prepared = None;
        }
    }
}

/// Something speaks against the row.
#[must_use]
pub fn refused(problem: Problem, exposed: bool) -> Event {
    Event::Observed(Observation { decision: Decision::Refused(vec![problem]), exposed })
}

/// No look finds the row's person; but perhaps somebody who may be, with what to do about it.
#[must_use]
pub fn nobody(passed_over: Option<(String, String)>) -> Problem {
    let kind = Class::NotFound.kind();
    match passed_over {
        None => kind.problem("nobody was found"),
        Some((message, advice)) => Problem { advice, ..kind.problem(message) },
    }
}

/// Several were found where there can be only one.
#[must_use]
pub fn several(job: &Job, places: &[String]) -> Problem {
    let mut problem = AMBIGUOUS.problem(format!("several were found: {}", places.join("; ")));
    if let Some(advice) = &job.observe.if_several {
        problem.advice.clone_from(advice);
    }
    problem
}

impl Case<'_> {
    /// Of a look that shows nothing of the person.
    fn nothing(&self, staleness: Staleness, reading: Reading<'_>, event: Event) -> Assessment {
        let again = staleness.verdict(reading) == Verdict::LookAgain;
        let since = self.unseen_since;
        Assessment {
            unseen_since: match reading {
                // What is not there yet is not unseen.
                Reading::Nobody if staleness.left => since,
                _ if staleness.touched => since.or(Some(self.now)),
                _ => None,
            },
            ..Assessment::of(if again { Event::Lagging } else { event })
        }
    }

    /// A value that makes no address speaks against a row that was not begun; of one that was, nothing can be seen.
    fn job_error(&self, staleness: Staleness, error: &EvalError) -> Assessment {
        let problem = error.problem();
        match error {
            EvalError::Address { .. } if !staleness.touched => Assessment::of(refused(problem, false)),
            EvalError::Address { .. } | EvalError::Expression { .. } => {
                self.nothing(staleness, Reading::Nothing, Event::Unobservable(problem))
            }
        }
    }

    fn one(&self, staleness: Staleness, state: State) -> Result<Assessment, EvalError> {
        let again = || Assessment { unseen_since: self.unseen_since, ..Assessment::of(Event::Lagging) };
        if let Some(known) = self.states
            && staleness.verdict(Reading::Older) == Verdict::LookAgain
            && self.is_behind(&state, known)?
        {
            return Ok(again());
        }
        let states = match self.states {
            Some(known) => known.then(state),
            None => States::of(state),
        };
        let mut decision = self.decide(&states)?;
        let prepared = self.prepare(&decision, &states)?;
        let exposed = self.view.exposed(&states.before, &states.now)?;
        if self.states.is_none()
            && let Some(problem) = self.off_plan(&decision, &states.now)?
        {
            decision = Decision::Refused(vec![problem]);
        }
        if staleness.verdict(Reading::State(&decision)) == Verdict::LookAgain {
            return Ok(again());
        }
        Ok(Assessment {
            states: Some(states),
            prepared,
            ..Assessment::of(Event::Observed(Observation {
                decision: self.without_trace(staleness, decision),
                exposed,
            }))
        })
    }

    fn decide(&self, states: &States) -> Result<Decision, EvalError> {
        let (before, now) = (&states.before, &states.now);
        if self.is_back() {
            let given_up = |step| self.begun(step).is_some_and(|begun| begun.undo_given_up);
            self.view.decide_back(before, now, &self.been_through(), &given_up)
        } else {
            let applied = |step| self.begun(step).is_some_and(|begun| begun.applied);
            self.view.decide(before, now, &applied)
        }
    }

    /// What is not as planned, unless something speaks against the row anyway.
    fn off_plan(&self, decision: &Decision, state: &State) -> Result<Option<Problem>, EvalError> {
        match (self.planned, decision) {
            (None, _) | (_, Decision::Refused(_) | Decision::Unknowable(_)) => Ok(None),
            (Some(planned), Decision::Next(_) | Decision::Goal | Decision::Adrift(_)) => {
                deviation(self.view.job(), self.view, state, planned)
            }
        }
    }

    /// The write that is needed next. One that cannot be put together is found out now, not after its intent.
    fn prepare(&self, decision: &Decision, states: &States) -> Result<Option<Prepared>, EvalError> {
        match decision {
            Decision::Next(step) => {
                let tried = self.begun(*step).map_or(0, |begun| begun.attempts);
                let next = Attempt { step: *step, number: tried + 1 };
                let operation = operation(self.view.job(), self.record, next);
                let write = self.view.write(operation, &states.before, &states.now)?;
                Ok(Some(Prepared { operation, write }))
            }
            Decision::Goal | Decision::Adrift(_) | Decision::Refused(_) | Decision::Unknowable(_) => Ok(None),
        }
    }

    fn begun(&self, step: StepId) -> Option<&Begun> {
        self.record.progress()?.of(step)
    }

    fn is_back(&self) -> bool {
        self.record.is_going_back()
    }

    /// The steps that the row may have been through: on the way back, where steps stand for others, these too.
    fn been_through(&self) -> Vec<StepId> {
        match self.is_back() {
            true => self.view.job().to_undo(&self.record.begun),
            false => self.record.begun.clone(),
        }
    }

    fn is_behind(&self, state: &State, known: &States) -> Result<bool, EvalError> {
        let doubtful = self.record.doubt().map(|attempt| operation(self.view.job(), self.record, attempt));
        let agreement = self.view.agreement(
            &known.before,
            &known.now,
            known.was.as_ref(),
            state,
            &self.been_through(),
            doubtful,
        )?;
        Ok(agreement == Agreement::Behind)
    }

    /// A step that leaves no trace is decided by the job when it is in doubt.
    fn without_trace(&self, staleness: Staleness, decision: Decision) -> Decision {
        let Some(doubt) = staleness.doubt else {
            return decision;
        };
        match self.view.job().in_doubt(doubt.step) {
            None => decision,
            Some(InDoubt::Repeat) => Decision::Next(doubt.step),
            Some(InDoubt::Hold) => Decision::Unknowable(
                Class::InDoubt
                    .kind()
                    .problem("nobody can tell whether the step took effect, and it must not be repeated"),
            ),
        }
    }

    /// What follows from a write of `step` that succeeded and made the state this one.
    #[must_use]
    pub fn forecast(&self, step: StepId, states: &States) -> (Forecast, Option<Prepared>) {
        let exposed = self.view.exposed(&states.before, &states.now);
        let foreseen = self.forecast_look(step, states);
        let (look, prepared) = foreseen.unwrap_or((Look::Again, None));
        let exposed = exposed.unwrap_or(true);
        (Forecast { look, exposed }, prepared)
    }

    fn forecast_look(&self, step: StepId, states: &States) -> Option<(Look, Option<Prepared>)> {
        let must_read = self.view.job().step(step).is_none_or(|step| step.observe_after);
        if must_read || self.is_back() {
            return None;
        }
        let applied = |id| id == step || self.begun(id).is_some_and(|begun| begun.applied);
        let decision = self.view.forecast(&states.before, &states.now, &applied).ok()?;
        let prepared = self.prepare(&decision, states).ok()?;
        match decision {
            Decision::Next(next) => Some((Look::Next(next), prepared)),
            Decision::Goal => Some((Look::Rest, None)),
            Decision::Adrift(_) | Decision::Refused(_) | Decision::Unknowable(_) => None,
        }
    }
}

/// The write of an attempt, in the direction the row is going.
#[must_use]
pub fn operation(job: &Job, record: &RowRecord, attempt: Attempt) -> Operation {
    match record.is_going_back() {
        true => Operation::Undo(attempt.step),
        false => job.operation(attempt.step, attempt.number),
    }
}
