//! A job as seen by one row: what to read, what is needed next, what to send, how to undo.
//!
//! Everything here is a pure function of the job, the run's settings, the row's values and the observed state. The answers
//! are values; whoever drives the row does the talking.

use super::decision::Decision;
use super::directory::{self, DirectoryEntry};
use super::expr::{EvalError, Expr, applies, to_json};
use super::extra_reads::those_that_hold;
use super::problem::{CHANGED_BY_OTHERS, OFF_GOAL};
use super::scope::{ROW, RowCells, STATE, Scope};
use super::settings::Settings;
use super::state::State;
use super::{InDoubt, Job, LookAt, Objection, StepId, WritePlan};
use crate::core::{Expects, Problem, Request};
use minijinja::value::{Serde, Value};
use serde_json::Value as JsonValue;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A write and what it changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// What to send.
    pub request: Request,
    /// What the observed state is afterwards, where it differs.
    pub effect: State,
}

/// What a read of a list or of one object brings.
pub(super) fn expects(list: bool) -> Expects {
    if list { Expects::Page } else { Expects::Object }
}

/// How a fresh read compares with what we wrote ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// It shows what we expect.
    Agrees,
    /// It shows an older value: the read was answered by a replica that has not seen our write.
    Behind,
    /// It shows a value that is neither: somebody else changed the person.
    Foreign,
}

/// What a look found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The state that was seen.
    pub state: State,
    /// Where it was found and what tells it from others, for people.
    pub told: String,
}

/// A write that is under way or was done, with its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The step itself.
    Do(StepId),
    /// The step in its other way.
    Otherwise(StepId),
    /// Its undo.
    Undo(StepId),
}

/// A job as seen by one row.
#[derive(Debug)]
pub struct RowView {
    job: Arc<Job>,
    base: Arc<Scope>,
    directory: Option<DirectoryEntry>,
    /// What expressions saw of the last few states, the latest first: a decision, its write and its forecast ask about the
    /// same ones.
    seen: Mutex<Remembered>,
}

/// How many states are remembered.
const REMEMBERED_MAX: usize = 4;

#[derive(Debug, Default)]
struct Remembered {
    before: Option<(State, Arc<Scope>)>,
    /// All with that before-image.
    states: VecDeque<(State, Arc<Scope>)>,
}

impl Job {
    /// What speaks against a row before anything is read. `row` holds the canonical values in the order of the layout.
    ///
    /// # Errors
    /// [`EvalError`] when an expression does not work for the row.
    pub fn objections(
        &self,
        settings: &Settings,
        row: &[Option<impl fmt::Display>],
    ) -> Result<Vec<Problem>, EvalError> {
        let is_empty = |name: &str| {
            let at = self.column_names.iter().position(|column| column == name);
            at.is_some_and(|at| row.get(at).is_none_or(Option::is_none))
        };
        if self.checks.iter().all(|check| check.when.cannot_hold(&is_empty)) {
            return Ok(Vec::new());
        }
        let scope = Arc::new(self.row_scope(settings, row));
        those_that_hold(&self.checks, &scope)
    }

    pub(super) fn row_scope(&self, settings: &Settings, row: &[Option<impl fmt::Display>]) -> Scope {
        let cells = RowCells::new(&self.column_names, row);
        Scope::inside(&settings.0).with(ROW, Value::from_object(cells))
    }
}

/// Where an item was found, and what tells it from others.
fn told(look: &LookAt, item: &Value, scope: &Arc<Scope>) -> Result<String, EvalError> {
    let which = match &look.tell {
        Some(text) => Some(text.render(scope)?),
        None => property(item, "id").as_str().map(str::to_owned),
    };
    Ok(match which {
        Some(which) => format!("{} ({which})", look.name),
        None => look.name.clone(),
    })
}

/// What an item says of itself; none where it does not.
fn property(item: &Value, name: &str) -> Value {
    let found = item.get_attr(name).ok().filter(|value| !value.is_undefined());
    found.unwrap_or(Value::from(()))
}

pub(super) fn problem_of(objection: &Objection, scope: &Arc<Scope>) -> Result<Problem, EvalError> {
    Ok(Problem {
        code: objection.code.clone(),
        message: objection.reason.render(scope)?,
        advice: objection.advice.clone(),
    })
}

impl RowView {
    /// The job.
    #[must_use]
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Binds a job to a row. `row` holds the canonical values in the order of the layout, `directory` what the on-premises
    /// directory said of it, where it was asked.
    ///
    /// # Errors
    /// [`EvalError`] when a derived value does not work for the row.
    pub fn new(
        job: &Arc<Job>,
        settings: &Settings,
        row: &[Option<String>],
        directory: Option<DirectoryEntry>,
    ) -> Result<RowView, EvalError> {
        let entry = directory.as_ref().map_or(Value::from(()), |entry| entry.0.clone());
        let scope = job.row_scope(settings, row).with(directory::NAME, entry);
        let base = Arc::new(scope.naming(&job.derived, false));
        base.settle()?;
        Ok(RowView { job: Arc::clone(job), base, directory, seen: Mutex::default() })
    }

    fn look_scope(&self, known: Option<&State>) -> Scope {
        let known = known.map_or(Value::from(()), State::value);
        Scope::inside(&self.base).with("known", known).with("select", self.job.observe.select.clone())
    }

    fn item_scope(&self, known: Option<&State>, item: &Value) -> Arc<Scope> {
        Arc::new(self.look_scope(known).with("item", item.clone()))
    }

    /// The read of one look, or None where it makes no sense for this row. `known` is the state as it was last seen.
    ///
    /// # Errors
    /// [`EvalError`] when an expression does not work for the row.
    pub fn look(&self, look: &LookAt, known: Option<&State>) -> Result<Option<Request>, EvalError> {
        let scope = Arc::new(self.look_scope(known));
        if !applies(look.when.as_ref(), &scope)? {
            return Ok(None);
        }
        let path = look.get.render_path(&scope)?;
        Ok(Some(Request::get(path, expects(look.list)).with_headers(&look.headers)))
    }

    /// The read to make instead, for a service that does not support the look's query.
    ///
    /// # Errors
    /// As [`RowView::look`].
    pub fn look_instead(&self, look: &LookAt, known: Option<&State>) -> Result<Option<Request>, EvalError> {
        let Some(text) = &look.if_unsupported else {
            return Ok(None);
        };
        let path = text.render_path(&Arc::new(self.look_scope(known)))?;
        Ok(Some(Request::get(path, expects(look.list))))
    }

    /// Which of the items that a look was answered with are this row.
    ///
    /// # Errors
    /// As [`RowView::look`].
    pub fn hits(&self, look: &LookAt, known: Option<&State>, items: &[JsonValue]) -> Result<Vec<Hit>, EvalError> {
        let mut hits = Vec::new();
        for item in items {
            let item = Value::from(Serde(item));
            let scope = self.item_scope(known, &item);
            if applies(look.pick.as_ref(), &scope)? {
                hits.push(Hit { state: self.state_of(look, &item), told: told(look, &item, &scope)? });
            }
        }
        Ok(hits)
    }

    /// An item that this look found and that is not this row, with what to say of it and what to do, where the job has a
    /// word for that.
    ///
    /// # Errors
    /// As [`RowView::look`].
    pub fn passed_over(&self, look: &LookAt, item: &JsonValue) -> Result<Option<(Hit, String)>, EvalError> {
        let (Some(passed_over), Some(pick)) = (&look.passed_over, &look.pick) else {
            return Ok(None);
        };
        let item = Value::from(Serde(item));
        let scope = self.item_scope(None, &item);
        if pick.holds(&scope)? {
            return Ok(None);
        }
        let hit = Hit { state: self.state_of(look, &item), told: passed_over.reason.render(&scope)? };
        Ok(Some((hit, passed_over.advice.clone())))
    }

    fn state_of(&self, look: &LookAt, item: &Value) -> State {
        let observed = |name: &Arc<str>| (Arc::clone(name), property(item, name));
        let observed = self.job.observe.properties.iter().map(observed);
        let mut state: State = observed.chain(look.set.iter().cloned()).collect();
        if let Some(entry) = &self.directory {
            state.set(directory::KEY, entry.0.clone());
        }
        state
    }

    pub(super) fn scope(&self, before: &State, state: &State) -> Arc<Scope> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let facts = &self.job.facts;
        let outer = match &seen.before {
            Some((known, scope)) if known == before => Arc::clone(scope),
            _ => {
                let scope = Scope::inside(&self.base).with("before", before.value()).naming(facts, false);
                let scope = Arc::new(scope);
                *seen = Remembered { before: Some((before.clone(), Arc::clone(&scope))), ..Remembered::default() };
                scope
            }
        };
        if let Some((_, scope)) = seen.states.iter().find(|(known, _)| known == state) {
            return Arc::clone(scope);
        }
        let scope = Arc::new(Scope::inside(&outer).with(STATE, state.value()).naming(facts, true));
        seen.states.truncate(REMEMBERED_MAX - 1);
        seen.states.push_front((state.clone(), Arc::clone(&scope)));
        scope
    }

    /// What a freshly observed state means on the way to the goal. Steps that leave no trace are decided by `applied`.
    ///
    /// # Errors
    /// [`EvalError`] when an expression does not work for the row.
    pub fn decide(
        &self,
        before: &State,
        state: &State,
        applied: &dyn Fn(StepId) -> bool,
    ) -> Result<Decision, EvalError> {
        let scope = self.scope(before, state);
        if before == state {
            // A job that does not work for a row is to say so before the first write.
            scope.settle()?;
        }
        let mut refusals = Vec::new();
        for refusal in &self.job.refusals {
            match refusal.when.holds(&scope) {
                Ok(true) => refusals.push(problem_of(refusal, &scope)?),
                Ok(false) => {}
                // A later rule may rely on an earlier one to have refused the row.
                Err(error) if refusals.is_empty() => return Err(error),
                Err(_) => {}
            }
        }
        match refusals.is_empty() {
            true => self.next(&scope, applied),
            false => Ok(Decision::Refused(refusals)),
        }
    }

    /// What follows from a predicted state; what speaks against the row is not asked again.
    ///
    /// # Errors
    /// As [`RowView::decide`].
    pub fn forecast(
        &self,
        before: &State,
        state: &State,
        applied: &dyn Fn(StepId) -> bool,
    ) -> Result<Decision, EvalError> {
        self.next(&self.scope(before, state), applied)
    }

    fn next(&self, scope: &Arc<Scope>, applied: &dyn Fn(StepId) -> bool) -> Result<Decision, EvalError> {
        for (id, step) in self.job.step_ids().zip(&self.job.steps) {
            let over = step.once.is_some() && applied(id);
            if !over && step.when.holds(scope)? {
                return Ok(Decision::Next(id));
            }
        }
        if self.job.goal.holds(scope)? {
            return Ok(Decision::Goal);
        }
        let goal = self.job.goal.source();
        let message = format!("no step is needed, yet this does not hold: {goal}");
        Ok(Decision::Adrift(OFF_GOAL.problem(message)))
    }

    /// What a freshly observed state means on the way back. `begun` are the steps to be undone, in order
    /// ([`Job::to_undo`]); `given_up` says which undos were.
    ///
    /// # Errors
    /// As [`RowView::decide`].
    pub fn decide_back(
        &self,
        before: &State,
        state: &State,
        begun: &[StepId],
        given_up: &dyn Fn(StepId) -> bool,
    ) -> Result<Decision, EvalError> {
        let scope = self.scope(before, state);
        let history = self.history(before, begun)?;
        for id in begun.iter().rev().copied() {
            let Some(undo) = self.job.step(id).and_then(|step| step.undo.as_ref()) else {
                continue;
            };
            if given_up(id) || !undo.when.holds(&scope)? {
                continue;
            }
            if let Some(key) = foreign_key(undo.write.effect.iter().map(|(key, _)| key), state, &history) {
                let message = format!("somebody else changed {key} meanwhile; it was left as it is");
                return Ok(Decision::Adrift(CHANGED_BY_OTHERS.problem(message)));
            }
            return Ok(Decision::Next(id));
        }
        Ok(as_before(before, state, &history))
    }

    /// Every value each property had or was given by this run: the before-image's, and what these steps and their undos
    /// write.
    fn history(&self, before: &State, begun: &[StepId]) -> Result<History, EvalError> {
        let scope = self.scope(before, before);
        let mut history = History::new();
        for step in begun.iter().filter_map(|id| self.job.step(*id)) {
            let undo = step.undo.iter().flat_map(|undo| &undo.write.effect);
            for (key, value) in step.write.effect.iter().chain(undo) {
                let values = history.entry(key.clone()).or_default();
                values.extend([before.get(key), value.kept(&scope)?]);
            }
        }
        Ok(history)
    }

    /// How a fresh read compares with what this run wrote. `expected` is the last state known or predicted, `was` the one
    /// before it, where that is known, `doubtful` a write that may or may not have taken effect.
    ///
    /// # Errors
    /// As [`RowView::decide`].
    pub fn agreement(
        &self,
        before: &State,
        expected: &State,
        was: Option<&State>,
        observed: &State,
        begun: &[StepId],
        doubtful: Option<Operation>,
    ) -> Result<Agreement, EvalError> {
        let history = self.history(before, begun)?;
        let doubtful = doubtful.and_then(|operation| self.plan(operation));
        let possible = doubtful.map(|plan| plan.effect(&self.scope(before, expected))).transpose()?;
        let mut agreement = Agreement::Agrees;
        for (key, values) in &history {
            let seen = observed.get(key);
            let maybe = possible.as_ref().and_then(|effect| effect.find(key));
            if seen == expected.get(key) || Some(&seen) == maybe {
                continue;
            }
            if !values.contains(&seen) {
                // Somebody else made that; but before our last write, and not since.
                let alike = |was: &State| history.keys().all(|key| was.get(key) == observed.get(key));
                let known = was.is_some_and(alike);
                return Ok(if known { Agreement::Behind } else { Agreement::Foreign });
            }
            agreement = Agreement::Behind;
        }
        Ok(agreement)
    }

    /// The write of a step or of its undo.
    ///
    /// # Errors
    /// As [`RowView::decide`].
    pub fn write(&self, operation: Operation, before: &State, state: &State) -> Result<Write, EvalError> {
        let scope = self.scope(before, state);
        let Some(plan) = self.plan(operation) else {
            return Err(EvalError::Expression {
                source_text: format!("{operation:?}"),
                detail: "the job has no such step".into(),
            });
        };
        let path = plan.path.render_path(&scope)?;
        let body = plan.body.as_ref().map(|body| body.render(&scope));
        let body = body.transpose()?.filter(|body| !body.is_null());
        Ok(Write { request: Request::write(plan.method, path, body), effect: plan.effect(&scope)? })
    }

    fn plan(&self, operation: Operation) -> Option<&WritePlan> {
        match operation {
            Operation::Do(id) => Some(&self.job.step(id)?.write),
            Operation::Otherwise(id) => self.job.step(id)?.otherwise.as_ref(),
            Operation::Undo(id) => Some(&self.job.step(id)?.undo.as_ref()?.write),
        }
    }

    /// Whether the person cannot work in this state.
    ///
    /// # Errors
    /// As [`RowView::decide`].
    pub fn exposed(&self, before: &State, state: &State) -> Result<bool, EvalError> {
        let exposed = self.job.exposed.as_ref();
        exposed.map_or(Ok(false), |exposed| exposed.holds(&self.scope(before, state)))
    }

    /// The job's report columns; a column that makes no sense in this state is empty.
    #[must_use]
    pub fn report(&self, before: &State, state: &State) -> Vec<String> {
        let scope = self.report_scope(before, state).ok();
        let cell = |expr: &Expr| {
            let value = scope.as_ref().and_then(|scope| expr.value(scope).ok());
            value.and_then(|value| text(&value)).unwrap_or_default()
        };
        self.job.report.iter().map(|(_, expr)| cell(expr)).collect()
    }
}

/// A value as people read it; None for none.
pub(super) fn text(value: &Value) -> Option<String> {
    match (value.is_none(), value.as_str()) {
        (true, _) => None,
        (false, Some(text)) => Some(text.to_owned()),
        (false, None) => Some(to_json(value).to_string()),
    }
}

/// The values by property.
type History = BTreeMap<Arc<str>, Vec<Value>>;

fn foreign_key<'k>(mut keys: impl Iterator<Item = &'k Arc<str>>, state: &State, history: &History) -> Option<&'k str> {
    let is_foreign = |key: &&Arc<str>| history.get(*key).is_some_and(|values| !values.contains(&state.get(key)));
    keys.find(is_foreign).map(|key| &**key)
}

fn as_before(before: &State, state: &State, history: &History) -> Decision {
    let differing = history.keys().filter(|key| before.get(key) != state.get(key));
    let names: Vec<&str> = differing.map(|key| &**key).collect();
    if names.is_empty() {
        return Decision::Goal;
    }
    let message = format!("still not as before: {}", names.join(", "));
    Decision::Adrift(OFF_GOAL.problem(message))
}

impl WritePlan {
    fn effect(&self, scope: &Arc<Scope>) -> Result<State, EvalError> {
        self.effect.iter().map(|(key, value)| Ok((key.clone(), value.kept(scope)?))).collect()
    }
}

impl Job {
    /// The ids of the steps, in order.
    pub fn step_ids(&self) -> impl Iterator<Item = StepId> {
        (0..=u8::MAX).map(StepId).take(self.steps.len())
    }

    /// A step by its id.
    #[must_use]
    pub fn step(&self, id: StepId) -> Option<&super::Step> {
        self.steps.get(usize::from(id.0))
    }

    /// What has to be undone, in the order in which it was done: where a step stands for others, these.
    #[must_use]
    pub fn to_undo(&self, begun: &[StepId]) -> Vec<StepId> {
        let parts = |id: &StepId| {
            let parts = self.step(*id).map(|step| step.undone_as.as_slice());
            parts.unwrap_or_default().iter().copied().chain([*id])
        };
        begun.iter().flat_map(parts).collect()
    }

    /// How a step is done at its `number`-th try, from 1.
    #[must_use]
    pub fn operation(&self, id: StepId, number: u32) -> Operation {
        let has_other_way = self.step(id).is_some_and(|step| step.otherwise.is_some());
        match has_other_way && number > 1 {
            true => Operation::Otherwise(id),
            false => Operation::Do(id),
        }
    }

    /// What to do when a step that leaves no trace is in doubt; None for a step that can be observed.
    #[must_use]
    pub fn in_doubt(&self, id: StepId) -> Option<InDoubt> {
        self.step(id).and_then(|step| step.once)
    }
}
