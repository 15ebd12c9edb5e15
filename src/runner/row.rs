//! One row as this process knows it, ahead of the journal by what was not stored yet: the pure half of a worker.
//!
//! It is told the time and what was found or answered, and says what happens next and what has to be stored. It neither waits
//! nor sends nor writes, so that a test can walk it through every sequence of replies.

use super::assess::{Assessment, Case, Prepared, Seen, States, assess, operation};
use super::client::Costs;
use crate::core::Problem;
use crate::job::{DirectoryEntry, Job, RowView, State, Write};
use crate::journal::{Facts, Planned, RowNumber, RowRecord, Transition, UnixMillis};
use crate::machine::{Attempt, Course, Effect, Event, Forecast, IllegalMove, Look, Phase, RowState, Rules};
use crate::services::budget::Priority;
use crate::services::{Applied, Class, Fault};
use std::sync::Arc;

/// One row, as it is now.
#[derive(Debug, Clone)]
pub struct LiveRow {
    number: RowNumber,
    /// Shared with the journal's fold and checkpoint, which have it as it was when it was last handed to them.
    record: Arc<RowRecord>,
    /// What the journal lacks of it.
    events: Vec<(UnixMillis, Event)>,
    facts: Facts,
    /// The intent of a write has been handed to the journal.
    has_stored_intent: bool,
    states: Option<States>,
    planned: Option<Planned>,
    /// Since when nothing can be seen of a person whom this run may have changed.
    unseen_since: Option<UnixMillis>,
    prepared: Option<Prepared>,
}

impl LiveRow {
    /// A row as the journal has it, if it was begun, held to what a plan says of it.
    #[must_use]
    pub fn new(number: RowNumber, record: Option<RowRecord>, planned: Option<Planned>) -> LiveRow {
        let record = record.unwrap_or_default();
        LiveRow {
            states: states_of(&record),
            unseen_since: None,
            prepared: None,
            has_stored_intent: record.has_begun_writing(),
            record: Arc::new(record),
            number,
            events: Vec::new(),
            facts: Facts::default(),
            planned,
        }
    }

    /// Which row it is.
    #[must_use]
    pub fn number(&self) -> RowNumber {
        self.number
    }

    /// As it is now, ahead of the journal by what was not taken for it yet.
    #[must_use]
    pub fn record(&self) -> &Arc<RowRecord> {
        &self.record
    }

    /// Whether a write may have been sent: only what the journal was told of before can have been.
    #[must_use]
    pub fn has_stored_intent(&self) -> bool {
        self.has_stored_intent
    }

    /// The states it was seen in, if it was.
    #[must_use]
    pub fn states(&self) -> Option<&States> {
        self.states.as_ref()
    }

    /// What the on-premises directory said before the row was looked at for the first time.
    #[must_use]
    pub fn said_by_directory(&self) -> Option<DirectoryEntry> {
        DirectoryEntry::of_state(&self.states.as_ref()?.before)
    }

    /// What the machine is to be told when a process takes the row on.
    #[must_use]
    pub fn beginning(&self) -> Event {
        match self.record.state {
            RowState::Waiting => Event::Admitted,
            RowState::Active(_) | RowState::Ended(_) => Event::Recovered,
        }
    }

    /// Tells the machine what happened; answers what it wants done.
    ///
    /// # Errors
    /// [`IllegalMove`] when that cannot happen now.
    pub fn tell(&mut self, event: Event, now: UnixMillis, rules: &Rules) -> Result<Effect, IllegalMove> {
        self.events.push((now, event.clone()));
        Arc::make_mut(&mut self.record).take(now, event, rules)
    }

    /// What the row's present wish is worth beside others'.
    #[must_use]
    pub fn priority(&self) -> Priority {
        let RowState::Active(active) = &self.record.state else {
            return Priority::New;
        };
        match (&active.course, active.phase) {
            (Course::Back(_), _) => Priority::Compensate,
            (Course::Forward, _) if active.progress.exposed => Priority::Exposed,
            (Course::Forward, Phase::Verifying) => Priority::Verify,
            (Course::Forward, _) if self.record.has_begun_writing() => Priority::Started,
            (Course::Forward, _) => Priority::New,
        }
    }

    /// Since when it is unknown whether the last write took effect, if it is.
    #[must_use]
    pub fn doubtful_since(&self) -> Option<UnixMillis> {
        self.record.left_at.filter(|_| self.record.doubt().is_some())
    }

    fn case<'a>(&'a self, view: &'a RowView, now: UnixMillis) -> Case<'a> {
        Case {
            view,
            record: &self.record,
            states: self.states.as_ref(),
            unseen_since: self.unseen_since,
            planned: self.planned,
            now,
        }
    }

    /// What a look means for the row. It is not taken in yet: other rows may have a say.
    #[must_use]
    pub fn assess(&self, view: &RowView, seen: Seen, now: UnixMillis) -> Assessment {
        assess(&self.case(view, now), seen)
    }

    /// Takes in what a look taught; returns what the machine is to be told.
    pub fn take_in(&mut self, view: &RowView, assessment: Assessment) -> Event {
        if let Some(states) = assessment.states {
            if self.states.is_none() {
                // An account that cannot be told was not claimed either.
                self.facts.account = view.account(&states.before).ok().flatten();
            }
            self.learn(states);
        }
        self.prepared = assessment.prepared;
        self.unseen_since = assessment.unseen_since;
        assessment.event
    }

    /// Since when nothing can be seen of a person whom this run may have changed.
    #[must_use]
    pub fn unseen_since(&self) -> Option<UnixMillis> {
        self.unseen_since
    }

    /// The write of an attempt; None when nothing is known of the person yet.
    ///
    /// # Errors
    /// The job does not work for the row.
    pub fn write(&self, view: &RowView, attempt: Attempt) -> Result<Option<Write>, Problem> {
        let Some(states) = &self.states else {
            return Ok(None);
        };
        let operation = operation(view.job(), &self.record, attempt);
        match &self.prepared {
            Some(prepared) if prepared.operation == operation => Ok(Some(prepared.write.clone())),
            Some(_) | None => {
                let write = view.write(operation, &states.before, &states.now);
                write.map(Some).map_err(|error| error.problem())
            }
        }
    }

    /// What it means that the write of an attempt succeeded.
    pub fn applied(&mut self, view: &RowView, attempt: Attempt, write: &Write, now: UnixMillis) -> Event {
        // Without a state there was no write; what a read will show is right in any case.
        let Some(known) = &self.states else {
            let look = Look::Again;
            return Event::Applied(attempt, Forecast { look, exposed: true });
        };
        let mut after = known.now.clone();
        after.merge(&write.effect);
        let states = known.then(after);
        let (forecast, prepared) = self.case(view, now).forecast(attempt.step, &states);
        self.learn(states);
        self.prepared = prepared;
        Event::Applied(attempt, forecast)
    }

    /// What it means for an attempt that its write has no good answer.
    #[must_use]
    pub fn unanswered(&self, view: &RowView, attempt: Attempt, fault: &Fault) -> Event {
        let (class, problem) = (fault.class, fault.problem());
        if class.facts().applied == Applied::Maybe {
            return Event::Doubted(attempt, problem);
        }
        let has_another_way = class.is_of_the_form() && self.has_another_way(view.job(), attempt);
        if has_another_way || matches!(class, Class::NotFound | Class::Contended) {
            return Event::Contended(attempt, problem);
        }
        // The job may know better than the service what to do about it.
        let step = view.job().step(attempt.step).filter(|_| !self.record.is_going_back());
        let advice = step.and_then(|step| match class {
            Class::Duplicate => step.if_taken.clone(),
            _ if class.is_of_the_form() => step.if_refused.clone(),
            _ => None,
        });
        Event::Refused(attempt, Problem { advice: advice.unwrap_or(problem.advice), ..problem })
    }

    /// Whether the next attempt would not be the same again.
    fn has_another_way(&self, job: &Job, attempt: Attempt) -> bool {
        let next = job.operation(attempt.step, attempt.number + 1);
        !self.record.is_going_back() && next != job.operation(attempt.step, attempt.number)
    }

    fn learn(&mut self, states: States) {
        match &self.states {
            None => self.facts.before = Some(states.before.to_text()),
            Some(known) if known.now != states.now => self.facts.expected = Some(states.now.to_text()),
            Some(_) => {}
        }
        self.states = Some(states);
    }

    /// Whether a later process should know what is not stored yet. Looks that taught nothing would only fill the journal:
    /// they are told with the next event that does.
    #[must_use]
    pub fn has_change(&self) -> bool {
        let taught = self.events.iter().any(|(_, event)| *event != Event::Lagging);
        taught && self.record.has_begun_writing()
    }

    /// Fills in the job's report columns, at the end, and what somebody should know.
    pub fn report(&mut self, view: &RowView) {
        if let Some(states) = &self.states {
            self.facts.report = Some(view.report(&states.before, &states.now));
            let warnings = view.warnings(&states.before).unwrap_or_default();
            self.facts.warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
        }
    }

    /// Fills them in before a write leaves, for whoever has to read the journal of a run that was cut off. Somebody who is
    /// about to be moved where they cannot work is shown there: they are looked for there first.
    pub fn report_meanwhile(&mut self, view: &RowView, attempt: Attempt, rules: &Rules) {
        let Some(states) = &self.states else {
            return;
        };
        let mut shown = states.now.clone();
        if rules.exposes(attempt.step)
            && !self.record.is_going_back()
            && let Ok(Some(write)) = self.write(view, attempt)
        {
            shown.merge(&write.effect);
        }
        let report = view.report(&states.before, &shown);
        if report != self.record.report {
            self.facts.report = Some(report);
        }
    }

    /// What the journal lacks; with it, the row is as it is now.
    pub fn take_transition(&mut self, costs: Costs) -> Transition {
        let Costs { reads, throttled, request_id } = costs;
        let facts = Facts { reads, throttled, request_id, ..std::mem::take(&mut self.facts) };
        Arc::make_mut(&mut self.record).learn(facts.clone());
        self.has_stored_intent = self.record.has_begun_writing();
        Transition { row: self.number, events: std::mem::take(&mut self.events), facts }
    }
}

/// The states of a row as the journal has it, if it was seen.
pub(super) fn states_of(record: &RowRecord) -> Option<States> {
    let before = State::from_text(record.before.as_deref()?)?;
    let now = match record.expected.as_deref() {
        Some(text) => State::from_text(text)?,
        None => before.clone(),
    };
    let was = None;
    Some(States { before, now, was })
}
