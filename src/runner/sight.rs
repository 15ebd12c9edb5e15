//! What an observation means for the machine: the job's decision, and patience with replicas that lag behind our own writes.
//!
//! One fresh read that shows the goal is enough, though Graph's readers are often told to wait for two in a row. A replica
//! applies writes in order, and no state that this run led through has the goal's values before the last write made them: who
//! shows them has seen every write. A second read could only meet a replica that is further behind, which says nothing about
//! the person. On the way back that is not so, since what was before is a state that the run began with: there a read is
//! believed when no replica can be so far behind.
//!
//! Pure: the row's record, what was found and the time go in, an event comes out.

use super::observe::Found;
use super::plan::deviation;
use super::problems::{ADDRESS, AMBIGUOUS, CHANGED_BY_OTHERS, JOB_EXPRESSION, OFF_GOAL};
use crate::core::Problem;
use crate::job::{Agreement, Decision, Doing, EvalError, InDoubt, Job, RowView, State, StepId};
use crate::journal::{Planned, RowRecord, UnixMillis};
use crate::machine::{
    Active, Attempt, Begun, Course, Event, Forecast, Look, Observation, Phase, RowState, Sight,
};
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
        States {
            before: self.before.clone(),
            now,
            was,
        }
    }

    /// The states of somebody who was never seen before.
    #[must_use]
    pub fn of(now: State) -> States {
        States {
            before: now.clone(),
            now,
            was: None,
        }
    }
}

/// What the job makes of a state.
struct Judged {
    sight: Sight,
    exposed: bool,
}

/// Judges states of one row in the direction it is going.
pub struct Judge<'a> {
    /// The job.
    pub job: &'a Job,
    /// The job as the row sees it.
    pub view: &'a RowView,
    /// The row.
    pub record: &'a RowRecord,
    /// The time.
    pub now: UnixMillis,
    /// When a write last left that may have taken effect.
    pub left_at: Option<UnixMillis>,
    /// What the plan says of the row, where the run executes one.
    pub planned: Option<Planned>,
    /// What other rows have to say against it.
    pub against: Option<Problem>,
}

impl Judge<'_> {
    /// The event for what was found, and the states to go on with where it teaches something.
    #[must_use]
    pub fn observed(&self, found: Found, states: Option<&States>) -> (Event, Option<States>) {
        match found {
            Found::Nobody(_) if self.is_patient() => (Event::Lagging, None),
            Found::Nobody(problem) => (missing(problem), None),
            Found::Several(places) => (missing(several(self.job, &places)), None),
            Found::One(state) => match self.one(&state, states) {
                Ok(Event::Lagging) => (Event::Lagging, None),
                Ok(event) => {
                    let seen = match states {
                        Some(known) => known.then(state),
                        None => States::of(state),
                    };
                    (event, Some(seen))
                }
                Err(error) => (job_event(&error, self.record), None),
            },
        }
    }

    fn one(&self, state: &State, states: Option<&States>) -> Result<Event, EvalError> {
        let before = states.map_or(state, |known| &known.before);
        if let Some(known) = states
            && self.is_patient()
            && self.is_behind(state, known)?
        {
            return Ok(Event::Lagging);
        }
        let judged = self.judge(before, state)?;
        let against = match &self.against {
            Some(problem) => Some(problem.clone()),
            None if states.is_none() => self.off_plan(&judged.sight, state)?,
            None => None,
        };
        if let Some(problem) = against {
            return Ok(Event::Observed(Observation {
                sight: Sight::Barred(problem),
                exposed: judged.exposed,
            }));
        }
        if self.may_still_show(&judged.sight)
            || self.may_still_arrive()
            || self.may_be_of_long_ago(&judged.sight)
        {
            return Ok(Event::Lagging);
        }
        Ok(Event::Observed(Observation {
            sight: self.without_trace(judged.sight),
            exposed: judged.exposed,
        }))
    }

    /// What is not as planned, unless something speaks against the row anyway.
    fn off_plan(&self, sight: &Sight, state: &State) -> Result<Option<Problem>, EvalError> {
        let Some(planned) = self.planned else {
            return Ok(None);
        };
        match sight {
            Sight::Next(_) | Sight::Goal | Sight::Adrift(_) => {
                deviation(self.job, self.view, state, planned)
            }
            Sight::Repeatable(_) | Sight::Unknowable(_) | Sight::Barred(_) | Sight::Missing(_) => {
                Ok(None)
            }
        }
    }

    fn active(&self) -> Option<&Active> {
        match &self.record.state {
            RowState::Active(active) => Some(active),
            RowState::Waiting | RowState::Ended(_) => None,
        }
    }

    fn is_back(&self) -> bool {
        self.record.is_going_back()
    }

    fn doubtful(&self) -> Option<StepId> {
        self.doubtful_attempt().map(|attempt| attempt.step)
    }

    fn doubtful_attempt(&self) -> Option<Attempt> {
        match self.active()?.phase {
            Phase::Doubtful(attempt) => Some(attempt),
            Phase::Observing | Phase::Intending(_) | Phase::Applying(_) | Phase::Verifying => None,
        }
    }

    /// The write of a step that would be tried next, in the direction the row is going.
    fn next_doing(&self, step: StepId) -> Doing {
        let tried = self.begun(step).map_or(0, |begun| begun.attempts);
        self.doing(step, tried + 1)
    }

    fn doing(&self, step: StepId, number: u32) -> Doing {
        match self.is_back() {
            true => Doing::Undo(step),
            false => self.job.doing(step, number),
        }
    }

    /// What the row may have been through: on the way back, where steps stand for others, these too.
    fn been_through(&self) -> Vec<StepId> {
        match self.is_back() {
            true => self.job.to_undo(&self.record.begun),
            false => self.record.begun.clone(),
        }
    }

    /// Whether the target may still be catching up with our own writes.
    fn is_patient(&self) -> bool {
        let patience = self.job.limits.replication.as_millis() as u64;
        self.since_write().is_some_and(|ms| ms < patience)
    }

    fn since_write(&self) -> Option<u64> {
        Some(self.now.saturating_sub(self.record.wrote_at?))
    }

    fn is_behind(&self, state: &State, known: &States) -> Result<bool, EvalError> {
        let doubtful = self.doubtful_attempt();
        let doubtful = doubtful.map(|attempt| self.doing(attempt.step, attempt.number));
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

    /// A doubtful write that does not show may show in a moment; it is not sent again before that moment is over.
    fn may_still_show(&self, sight: &Sight) -> bool {
        let same = self
            .doubtful()
            .is_some_and(|step| *sight == Sight::Next(step));
        same && self.is_under_way()
    }

    /// What a second try was to do may have been done by the first one, whose doubt was given up; then the second is perhaps
    /// still on its way, and would come between later steps.
    fn may_still_arrive(&self) -> bool {
        let is_again = self
            .doubtful_attempt()
            .is_some_and(|attempt| attempt.number > 1);
        is_again && self.is_under_way()
    }

    /// Whether the last write may not have arrived yet.
    fn is_under_way(&self) -> bool {
        let patience = self.job.limits.doubt.as_millis() as u64;
        self.since_write().is_some_and(|ms| ms < patience)
    }

    /// On the way back a person passes through states they were in before. So a doubt that a read seems to answer may be
    /// answered by a replica that has not even seen what is to be undone; it is believed when none can be so far behind. Nor
    /// is anybody given up for what such a replica shows.
    fn may_be_of_long_ago(&self, sight: &Sight) -> bool {
        if !self.is_back() {
            return false;
        }
        let patience = self.job.limits.replication.as_millis() as u64;
        let recent = |at: UnixMillis| self.now.saturating_sub(at) < patience;
        let seems_undone = self
            .doubtful()
            .is_some_and(|step| *sight != Sight::Next(step));
        let unsettled = self.active().is_some_and(|row| row.progress.unsettled());
        let hopeless = matches!(sight, Sight::Adrift(_));
        (seems_undone && self.record.took_effect_at.is_some_and(recent))
            || (unsettled && *sight == Sight::Goal && self.record.wrote_at.is_some_and(recent))
            || (hopeless && self.left_at.is_some_and(recent))
    }

    /// A step that leaves no trace is decided by the job when it is in doubt.
    fn without_trace(&self, sight: Sight) -> Sight {
        let Some(step) = self.doubtful() else {
            return sight;
        };
        match self.job.in_doubt(step) {
            None => sight,
            Some(InDoubt::Repeat) => Sight::Repeatable(step),
            Some(InDoubt::Hold) => Sight::Unknowable(Class::InDoubt.kind().problem(
                "nobody can tell whether the step took effect, and it must not be repeated",
            )),
        }
    }

    fn judge(&self, before: &State, state: &State) -> Result<Judged, EvalError> {
        let decision = if self.is_back() {
            let given_up = |step| self.begun(step).is_some_and(|begun| begun.undo_given_up);
            self.view
                .decide_back(before, state, &self.been_through(), &given_up)?
        } else {
            let applied = |step| self.begun(step).is_some_and(|begun| begun.applied);
            self.view.decide(before, state, &applied)?
        };
        self.renders(&decision, before, state)?;
        Ok(Judged {
            sight: sight(decision),
            exposed: self.view.exposed(before, state)?,
        })
    }

    /// A write that cannot be put together is found out now, not after its intent.
    fn renders(&self, decision: &Decision, before: &State, state: &State) -> Result<(), EvalError> {
        match decision {
            Decision::Next(step) => {
                let doing = self.next_doing(*step);
                self.view.write(doing, before, state).map(drop)
            }
            Decision::Goal
            | Decision::Adrift(_)
            | Decision::Foreign(_)
            | Decision::Barred { .. } => Ok(()),
        }
    }

    fn begun(&self, step: StepId) -> Option<&Begun> {
        self.active()?.progress.of(step)
    }

    /// What follows from a write of `step` that succeeded and made the state this one.
    #[must_use]
    pub fn forecast(&self, step: StepId, states: &States) -> Forecast {
        let exposed = self
            .view
            .exposed(&states.before, &states.now)
            .unwrap_or(true);
        let look = self.forecast_look(step, states).unwrap_or(Look::Again);
        Forecast { look, exposed }
    }

    fn forecast_look(&self, step: StepId, states: &States) -> Option<Look> {
        let must_read = self.job.step(step).is_none_or(|step| step.observe_after);
        if must_read || self.is_back() {
            return None;
        }
        let applied = |id| id == step || self.begun(id).is_some_and(|begun| begun.applied);
        let decision = self
            .view
            .forecast(&states.before, &states.now, &applied)
            .ok()?;
        self.renders(&decision, &states.before, &states.now).ok()?;
        match decision {
            Decision::Next(next) => Some(Look::Next(next)),
            Decision::Goal => Some(Look::Rest),
            Decision::Adrift(_) | Decision::Foreign(_) | Decision::Barred { .. } => None,
        }
    }
}

/// The write of an attempt, in the direction the row is going.
#[must_use]
pub fn doing(job: &Job, course: &Course, attempt: Attempt) -> Doing {
    match course {
        Course::Forward => job.doing(attempt.step, attempt.number),
        Course::Back(_) => Doing::Undo(attempt.step),
    }
}

fn sight(decision: Decision) -> Sight {
    match decision {
        Decision::Next(step) => Sight::Next(step),
        Decision::Goal => Sight::Goal,
        Decision::Adrift(message) => Sight::Adrift(OFF_GOAL.problem(message)),
        Decision::Foreign(property) => Sight::Adrift(CHANGED_BY_OTHERS.problem(format!(
            "somebody else changed {property} meanwhile; it was left as it is"
        ))),
        Decision::Barred {
            code,
            reason,
            advice,
        } => Sight::Barred(Problem {
            code,
            message: reason,
            advice,
        }),
    }
}

/// No look finds the row's person; but perhaps somebody who may be, with what to do about it.
#[must_use]
pub fn nobody(passed_over: Option<(String, String)>) -> Problem {
    let kind = Class::NotFound.kind();
    match passed_over {
        None => kind.problem("nobody was found"),
        Some((message, advice)) => Problem {
            advice,
            ..kind.problem(message)
        },
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

fn missing(problem: Problem) -> Event {
    Event::Observed(Observation {
        sight: Sight::Missing(problem),
        exposed: false,
    })
}

/// What the job cannot do for a row.
#[must_use]
pub fn job_problem(error: &EvalError) -> Problem {
    let kind = match error {
        EvalError::Expression { .. } => &JOB_EXPRESSION,
        EvalError::Address { .. } => &ADDRESS,
    };
    kind.problem(error.to_string())
}

/// What it means for a row that the job cannot go on with it. A value that makes no address speaks against a row that was not
/// begun; of one that was, nothing can be seen.
#[must_use]
pub fn job_event(error: &EvalError, record: &RowRecord) -> Event {
    let problem = job_problem(error);
    let is_begun = record.has_begun_writing() || record.exposed();
    match error {
        EvalError::Address { .. } if !is_begun => Event::Observed(Observation {
            sight: Sight::Barred(problem),
            exposed: false,
        }),
        EvalError::Address { .. } | EvalError::Expression { .. } => Event::Unobservable(problem),
    }
}
