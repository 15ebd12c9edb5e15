//! One row as the journal keeps it, and the fold that makes it from its transitions.
//!
//! Every event passes the machine once, in [`RowRecord::take`]: as it happens in a live run, and as it is read from the log
//! ([`RowRecord::apply`]) when the checkpoint is rebuilt or verified. So what is stored is what was acted on.

use crate::core::Problem;
use crate::job::StepId;
use crate::machine::{
    Active, Attempt, Course, Effect, Event, IllegalMove, Move, Outcome, Phase, Progress, RowState, Rules,
};
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC.
pub type UnixMillis = u64;

/// The number of a row in its input, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowNumber(pub u64);

impl std::fmt::Display for RowNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a transition adds to what is known of a row. States are JSON objects as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The before-image: what was observed before the first write.
    #[serde(with = "json_text", skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The state as last observed or predicted, when it changed.
    #[serde(with = "json_text", skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// Reads sent since the last transition.
    #[serde(skip_serializing_if = "is_zero")]
    pub reads: u32,
    /// Answers since the last transition that said the service was throttling.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled: u32,
    /// The service's id of the last request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The job's report columns: before each write as far as is known then, and at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Vec<String>>,
    /// What tells the row's account from all others, when it was first seen: from here on it is this row's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What somebody should know of the row although nothing speaks against it, at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Vec<Problem>>,
}

/// What happened to a row, committed as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// Which row.
    pub row: RowNumber,
    /// What the machine was told and when, in order.
    pub events: Vec<(UnixMillis, Event)>,
    /// What became known.
    pub facts: Facts,
}

impl Transition {
    /// Of one event, from which nothing else became known.
    #[must_use]
    pub fn of(row: RowNumber, at: UnixMillis, event: Event) -> Transition {
        Transition { row, events: vec![(at, event)], facts: Facts::default() }
    }

    /// When the last of it happened.
    #[must_use]
    pub fn at(&self) -> UnixMillis {
        self.events.last().map_or(0, |(at, _)| *at)
    }
}

/// The present state of a row and its history in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRecord {
    /// Where it is.
    pub state: RowState,
    /// The before-image, as JSON text.
    #[serde(with = "json_text")]
    pub before: Option<String>,
    /// The state last observed or predicted; none means the before-image.
    #[serde(with = "json_text")]
    pub expected: Option<String>,
    /// When the row was begun.
    pub begun_at: Option<UnixMillis>,
    /// When it ended.
    pub ended_at: Option<UnixMillis>,
    /// When a write was last decided on.
    pub intended_at: Option<UnixMillis>,
    /// When a write last left that may have taken effect. One that was refused has not, though it was decided on later.
    pub left_at: Option<UnixMillis>,
    /// When the last write was answered or seen that is known to have taken effect: for a while after it, reads may show what
    /// was before.
    pub took_effect_at: Option<UnixMillis>,
    /// Since when the person cannot work; of a row that ended stranded, if it was so at the end.
    pub exposed_since: Option<UnixMillis>,
    /// How long the person could not work, in all earlier exposures.
    pub exposed_ms: u64,
    /// Writes begun, forward and back.
    pub attempts: u32,
    /// How often somebody had the row begin again.
    pub reopened: u32,
    /// Writes known to have taken effect.
    pub writes: u32,
    /// Reads sent.
    pub reads: u32,
    /// Throttling answers.
    pub throttled: u32,
    /// The steps begun in this try, or in earlier ones that left something behind, in order: what an undo has to look at.
    pub begun: Vec<StepId>,
    /// The last step begun.
    pub last_step: Option<StepId>,
    /// The service's id of the last request.
    pub request_id: Option<String>,
    /// The job's report columns. While a row is under way they show a person who may have moved where they may be.
    pub report: Vec<String>,
    /// What tells its account from all others, once it was seen.
    pub account: Option<String>,
    /// What somebody should know of the row although nothing speaks against it.
    pub warnings: Vec<Problem>,
}

/// That a person cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposure {
    /// Since when, as far as is known.
    pub since: Option<UnixMillis>,
    /// A write is not answered: it may have ended the exposure, or not have begun it.
    pub doubtful: bool,
}

impl RowRecord {
    /// Folds a transition in: every event through the machine, then the facts.
    ///
    /// # Errors
    /// As [`RowRecord::take`].
    pub fn apply(&mut self, transition: Transition, rules: &Rules) -> Result<(), IllegalMove> {
        for (at, event) in transition.events {
            self.take(at, event, rules)?;
        }
        self.learn(transition.facts);
        Ok(())
    }

    /// Folds one event in and returns what the machine wants done.
    ///
    /// # Errors
    /// [`IllegalMove`] when the event cannot happen now; the record is of no use after that.
    pub fn take(&mut self, at: UnixMillis, event: Event, rules: &Rules) -> Result<Effect, IllegalMove> {
        // A process that died may have sent its write in its last moment, and nobody knows when that was.
        let died_writing = event == Event::Recovered && self.may_be_writing();
        let left = died_writing || matches!(event, Event::Applied(..) | Event::Doubted(..));
        let reopens = matches!(event, Event::Retried { .. } | Event::RolledBack(_)).then(|| self.outcome());
        let Move { state, effect, took_effect } = std::mem::take(&mut self.state).on(event, rules)?;
        self.state = state;
        if let Some(ended_as) = reopens {
            self.reopen(ended_as);
        }
        self.begun_at.get_or_insert(at);
        if took_effect {
            self.writes = self.writes.saturating_add(1);
            self.took_effect_at = Some(at);
        }
        if left {
            self.left_at = Some(at);
        }
        if let Effect::Persist(attempt) = effect {
            self.note_attempt(attempt, at);
        }
        self.note_exposure(at);
        if effect == Effect::Finish {
            self.ended_at = Some(at);
            if !leaves_something(self.outcome()) {
                self.expected = None;
            }
        }
        Ok(effect)
    }

    /// The row begins again. Where nothing was left of the earlier try, the person is looked at as for the first time.
    fn reopen(&mut self, ended_as: Outcome) {
        if let (Some(since), Some(ended_at)) = (self.exposed_since, self.ended_at) {
            // It goes on, and is counted when it ends.
            self.exposed_ms -= self.exposed_ms.min(ended_at.saturating_sub(since));
        }
        self.ended_at = None;
        self.reopened = self.reopened.saturating_add(1);
        self.warnings.clear();
        if ended_as != Outcome::Done && !leaves_something(ended_as) {
            self.before = None;
            self.expected = None;
            self.begun.clear();
        }
    }

    /// Whether a write is intended or under way, as far as the journal knows.
    fn may_be_writing(&self) -> bool {
        let is_writing = |phase| matches!(phase, Phase::Intending(_) | Phase::Applying(_));
        matches!(&self.state, RowState::Active(active) if is_writing(active.phase))
    }

    fn note_attempt(&mut self, attempt: Attempt, at: UnixMillis) {
        self.attempts = self.attempts.saturating_add(1);
        self.last_step = Some(attempt.step);
        self.intended_at = Some(at);
        // On the way back a step may be undone that was done as a part of another one: it was never begun.
        if !self.is_going_back() && !self.begun.contains(&attempt.step) {
            self.begun.push(attempt.step);
        }
    }

    /// A row that ended is exposed only if it is stranded and was last seen so: then it is counted up to the end, and goes on.
    fn note_exposure(&mut self, at: UnixMillis) {
        let (exposed, over) = match &self.state {
            RowState::Waiting => (false, false),
            RowState::Active(active) => (active.progress.exposed, false),
            RowState::Ended(ended) => (ended.progress.exposed && self.outcome() == Outcome::Stranded, true),
        };
        let since = self.exposed_since.or(exposed.then_some(at));
        if let Some(since) = since.filter(|_| over || !exposed) {
            self.exposed_ms = self.exposed_ms.saturating_add(at.saturating_sub(since));
        }
        self.exposed_since = since.filter(|_| exposed);
    }

    /// Takes in what became known.
    pub fn learn(&mut self, facts: Facts) {
        renew(&mut self.before, facts.before);
        if self.ended_at.is_none() {
            renew(&mut self.expected, facts.expected);
        }
        renew(&mut self.request_id, facts.request_id);
        renew(&mut self.account, facts.account);
        self.report = facts.report.unwrap_or_else(|| std::mem::take(&mut self.report));
        self.warnings = facts.warnings.unwrap_or_else(|| std::mem::take(&mut self.warnings));
        // Numbers come from a log that anybody may have written: none of them may end the program.
        self.reads = self.reads.saturating_add(facts.reads);
        self.throttled = self.throttled.saturating_add(facts.throttled);
    }

    /// What an active row carries.
    #[must_use]
    pub fn progress(&self) -> Option<&Progress> {
        match &self.state {
            RowState::Active(active) => Some(&active.progress),
            RowState::Waiting | RowState::Ended(_) => None,
        }
    }

    /// The write of which nobody knows whether it took effect, if there is one.
    #[must_use]
    pub fn doubt(&self) -> Option<Attempt> {
        match &self.state {
            RowState::Active(Active { phase: Phase::Doubtful(attempt), .. }) => Some(*attempt),
            RowState::Active(_) | RowState::Waiting | RowState::Ended(_) => None,
        }
    }

    /// Whether the person cannot work now, as far as is known.
    #[must_use]
    pub fn exposed(&self) -> bool {
        self.progress().is_some_and(|progress| progress.exposed)
    }

    /// Whether the person cannot work now, or could not if the process died at this moment: a write that exposes may be on
    /// its way.
    #[must_use]
    pub fn may_be_exposed(&self, rules: &Rules) -> bool {
        let RowState::Active(active) = &self.state else {
            return false;
        };
        let exposes = |attempt: Attempt| active.course == Course::Forward && rules.exposes(attempt.step);
        active.progress.exposed || unanswered(active.phase).is_some_and(exposes)
    }

    /// Whether the person cannot work now, or may not be able to. None: they can.
    #[must_use]
    pub fn exposure(&self, rules: &Rules) -> Option<Exposure> {
        let (is_exposed, doubtful) = match &self.state {
            RowState::Waiting => (false, false),
            RowState::Ended(_) => (self.exposed_since.is_some(), false),
            RowState::Active(active) => (self.may_be_exposed(rules), unanswered(active.phase).is_some()),
        };
        is_exposed.then(|| Exposure { since: self.exposed_since.or(self.intended_at), doubtful })
    }

    /// Whether the row has been written to and is not at its end: the person may be anywhere between before-image and goal.
    #[must_use]
    pub fn is_half_way(&self) -> bool {
        matches!(self.state, RowState::Active(_)) && self.has_begun_writing()
    }

    /// The row as another run goes on with it. What was sent for it is counted where it was sent.
    #[must_use]
    pub fn taken_over(self) -> RowRecord {
        RowRecord { writes: 0, reads: 0, throttled: 0, ..self }
    }

    /// Whether a write of this try has been begun, or of an earlier one that left something behind.
    #[must_use]
    pub fn has_begun_writing(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Whether the row is on its way back.
    #[must_use]
    pub fn is_going_back(&self) -> bool {
        matches!(&self.state, RowState::Active(active) if matches!(active.course, Course::Back(_)))
    }

    /// The word of the reports.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.state.outcome()
    }

    /// Why the row ended as it did, or what it is busy with undoing.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match &self.state {
            RowState::Ended(ended) => ended.ending.problem(),
            RowState::Active(active) => match &active.course {
                Course::Back(cause) => Some(cause),
                Course::Forward => active.progress.last_problem.as_ref(),
            },
            RowState::Waiting => None,
        }
    }
}

/// Keeps what became known.
fn renew<T>(known: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *known = new;
    }
}

/// Whether the person may be elsewhere than before, and not at the goal.
fn leaves_something(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Held | Outcome::Stranded)
}

/// The write that is intended, under way or in doubt.
fn unanswered(phase: Phase) -> Option<Attempt> {
    match phase {
        Phase::Intending(attempt) | Phase::Applying(attempt) | Phase::Doubtful(attempt) => Some(attempt),
        Phase::Observing | Phase::Verifying => None,
    }
}

// The form that serde asks for.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A state is JSON as text. In JSON it is an object that `jq` can look into, in every other form the text it is.
mod json_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error as _};
    use serde_json::value::RawValue;

    pub fn serialize<S: Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return text.serialize(serializer);
        }
        let raw = text.clone().map(RawValue::from_string).transpose();
        raw.map_err(S::Error::custom)?.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
        if !deserializer.is_human_readable() {
            return Option::deserialize(deserializer);
        }
        let raw = Option::<Box<RawValue>>::deserialize(deserializer)?;
        Ok(raw.map(|raw| raw.get().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Decision;
    use crate::machine::{Forecast, Look, Observation, StepTraits};

    /// A step that stands for others is undone as they are, and these were never begun: they would come first on the way
    /// back, before what was done after them.
    #[test]
    fn an_undo_begins_no_step() {
        let rules =
            Rules { steps: vec![StepTraits::default(); 3], attempts_max: 2, undo_attempts_max: 2, looks_max: 2 };
        let seen = |decision| Event::Observed(Observation { decision, exposed: false });
        let first = Attempt { step: StepId(0), number: 1 };
        let forecast = Forecast { look: Look::Again, exposed: false };
        let adrift = Problem { code: String::new(), message: String::new(), advice: String::new() };
        let events = [
            Event::Admitted,
            seen(Decision::Next(StepId(0))),
            Event::Durable(first),
            Event::Applied(first, forecast),
            seen(Decision::Adrift(adrift)),
            seen(Decision::Next(StepId(2))),
        ];
        let mut row = RowRecord::default();
        for (at, event) in events.into_iter().enumerate() {
            row.take(at as UnixMillis, event, &rules).unwrap();
        }
        assert!(row.is_going_back());
        assert_eq!((row.attempts, row.last_step), (2, Some(StepId(2))));
        assert_eq!(row.begun, [StepId(0)]);
    }

    /// Whoever is given up while they cannot work is exposed for longer than the row lasts; whoever comes home is not.
    #[test]
    fn an_exposure_lasts_beyond_a_row_that_ends_stranded() {
        let rules =
            Rules { steps: vec![StepTraits { exposes: true }], attempts_max: 2, undo_attempts_max: 2, looks_max: 2 };
        let seen = |decision, exposed| Event::Observed(Observation { decision, exposed });
        let barred = || Problem { code: String::new(), message: String::new(), advice: String::new() };
        let row_after = |events: Vec<Event>| {
            let mut row = RowRecord::default();
            for (at, event) in events.into_iter().enumerate() {
                row.take(at as UnixMillis, event, &rules).unwrap();
            }
            row
        };
        let found_away = row_after(vec![Event::Admitted, seen(Decision::Refused(vec![barred()]), true)]);
        let since = |row: &RowRecord| row.exposure(&rules).map(|exposure| exposure.since);
        assert_eq!(found_away.outcome(), Outcome::Stranded);
        assert_eq!((since(&found_away), found_away.exposed_ms), (Some(Some(1)), 0));

        let first = Attempt { step: StepId(0), number: 1 };
        let begun = vec![Event::Admitted, seen(Decision::Next(StepId(0)), false)];
        let intending = row_after(begun.clone());
        let exposure = intending.exposure(&rules).unwrap();
        assert!(exposure.doubtful && exposure.since == Some(1));
        let away = [
            Event::Durable(first),
            Event::Applied(first, Forecast { look: Look::Again, exposed: true }),
            seen(Decision::Adrift(barred()), true),
        ];
        let given_up = seen(Decision::Adrift(barred()), true);
        let stranded = row_after([&begun[..], &away, &[given_up]].concat());
        assert_eq!(stranded.outcome(), Outcome::Stranded);
        assert_eq!((since(&stranded), stranded.exposed_ms), (Some(Some(3)), 2));
        let at_home = seen(Decision::Goal, false);
        let reverted = row_after([&begun[..], &away, &[at_home]].concat());
        assert_eq!(reverted.outcome(), Outcome::Reverted);
        assert_eq!((since(&reverted), reverted.exposed_ms), (None, 2));
    }
}
