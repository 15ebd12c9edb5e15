//! Checks of a job as a whole: every name an expression uses is there, and the steps make sense together.
//!
//! minijinja would find an unknown name only when it runs into it, with a person half way; here it is found before.

use super::Job;
use super::directory;
use super::parse::Draft;
use super::source::Mistakes;
use std::collections::BTreeSet;
use std::ops::Range;

/// Where an expression stands, which decides what it can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Where only parameters are known.
    Parameters,
    /// The path of a lookup: parameters, and the lookups before it.
    Lookup(usize),
    /// The path of a lookup that is read for each entry of a list: also `each`.
    LookupEach(usize),
    /// The value of a lookup: also `items`.
    LookupValue(usize),
    /// What speaks against the whole run: parameters, all lookups, the app.
    Obstacle,
    /// A check of the row before anything is read: row and parameters.
    Check,
    /// A derived name.
    Derive,
    /// One of the derived names, which sees those before it.
    DeriveAt(usize),
    /// The path or condition of a look: also all derived names, `known` and `select`.
    Look,
    /// Which item of a list is meant: also `item`.
    Pick,
    /// A fact.
    Fact,
    /// One of the facts, which sees those before it.
    FactAt(usize),
    /// Anything about observed state: all but `known`, `select` and `item`.
    State,
    /// What is kept of a further read: also `item`.
    AlsoItem,
    /// What is kept of a further read of a list: also `items`.
    AlsoItems,
    /// A report column: also `warnings`.
    Report,
}

impl Place {
    /// The place of the `index`-th name of its section.
    pub(super) fn at(self, index: usize) -> Place {
        match self {
            Place::Derive => Place::DeriveAt(index),
            Place::Fact => Place::FactAt(index),
            Place::Parameters
            | Place::Lookup(_)
            | Place::LookupEach(_)
            | Place::LookupValue(_)
            | Place::Obstacle
            | Place::Check
            | Place::DeriveAt(_)
            | Place::Look
            | Place::Pick
            | Place::FactAt(_)
            | Place::State
            | Place::AlsoItem
            | Place::AlsoItems
            | Place::Report => self,
        }
    }
}

/// The variables one expression uses.
pub(super) struct Use {
    pub(super) variables: BTreeSet<String>,
    pub(super) place: Place,
    pub(super) span: Range<usize>,
}

/// Notes everything that does not fit together.
pub(super) fn check(draft: &Draft, mistakes: &Mistakes<'_>) {
    let names = Names::of(draft.job());
    for used in &draft.uses {
        if mistakes.is_full() {
            break;
        }
        for variable in &used.variables {
            if let Some(message) = names.mistake(variable, used.place) {
                let help = names.help(used.place);
                mistakes.note(&used.span, message, Some(help));
            }
        }
    }
    steps(draft, mistakes);
}

fn steps(draft: &Draft, mistakes: &Mistakes<'_>) {
    let job = draft.job();
    let mut seen = BTreeSet::new();
    for (step, span) in job.steps.iter().zip(&draft.step_spans) {
        if !seen.insert(step.name.as_str()) {
            mistakes.note(span, format!("there are two steps `{}`", step.name), None);
        }
        if step.exposes && !draft.has_exposure {
            mistakes.note(
                span,
                format!(
                    "step `{}` exposes, but nothing says how to see that",
                    step.name
                ),
                Some("write [exposure] with `when = \"…\"` on the observed state".into()),
            );
        }
        if step.exposes && step.undo.is_none() && step.undone_as.is_empty() {
            let message = format!("step `{}` exposes and has no undo", step.name);
            let help = "a person must be able to work again when a later step fails: write [step.undo], or `undone_as`";
            mistakes.note(span, message, Some(help.into()));
        }
    }
    let opens = job.steps.iter().position(|step| step.exposes);
    let ends = job.steps.iter().rposition(|step| step.ends_exposure);
    if let Some(open) = opens
        && ends.is_none_or(|end| end < open)
    {
        let span = draft.step_spans.get(open).cloned().unwrap_or(0..0);
        let message = "no later step ends the exposure";
        mistakes.note(
            &span,
            message,
            Some("write `ends_exposure = true` at the step that does".into()),
        );
    }
}

/// What can be known of the app ([`super::AppFacts`]).
const APP: [&str; 3] = ["permissions", "roles", "tenant"];

/// What only this place sees beside everything about observed state.
fn own_name(place: Place) -> Option<&'static str> {
    match place {
        Place::AlsoItem => Some("item"),
        Place::AlsoItems => Some("items"),
        Place::Report => Some("warnings"),
        Place::Parameters
        | Place::Lookup(_)
        | Place::LookupEach(_)
        | Place::LookupValue(_)
        | Place::Obstacle
        | Place::Check
        | Place::Derive
        | Place::DeriveAt(_)
        | Place::Look
        | Place::Pick
        | Place::Fact
        | Place::FactAt(_)
        | Place::State => None,
    }
}

struct Names {
    row: BTreeSet<String>,
    params: BTreeSet<String>,
    /// In the order they are read in.
    lookups: Vec<String>,
    derived: Vec<String>,
    facts: Vec<String>,
    state: BTreeSet<String>,
    /// What is kept of a directory's answer; None where none is asked.
    directory: Option<BTreeSet<String>>,
}

impl Names {
    fn of(job: &Job) -> Names {
        let mut state: BTreeSet<String> = job.observe.properties.iter().cloned().collect();
        for look in &job.observe.looks {
            state.extend(look.set.iter().map(|(key, _)| key.clone()));
        }
        state.extend(job.observe.also.iter().map(|read| read.name.clone()));
        Names {
            row: job
                .layout
                .columns
                .iter()
                .map(|column| column.name.clone())
                .collect(),
            params: job.params.iter().map(|param| param.name.clone()).collect(),
            lookups: job
                .lookups
                .iter()
                .map(|lookup| lookup.name.clone())
                .collect(),
            derived: job
                .derived
                .iter()
                .map(|(name, _)| name.to_string())
                .collect(),
            facts: job.facts.iter().map(|(name, _)| name.to_string()).collect(),
            state,
            directory: job.directory.as_ref().map(|plan| {
                let kept = plan.kept.iter();
                kept.map(|kept| kept.name.clone()).collect()
            }),
        }
    }

    /// The names at the top that this place can see.
    fn tops(&self, place: Place) -> Vec<&str> {
        let derived = |count: usize| self.derived.iter().take(count).map(String::as_str);
        let facts = |count: usize| self.facts.iter().take(count).map(String::as_str);
        let asked = self.directory.iter().map(|_| directory::NAME);
        let run = ["params", "lookups", "app"];
        let row = ["row"].into_iter().chain(run).chain(asked);
        let state = ["before", "state"];
        let all = usize::MAX;
        match place {
            Place::Parameters => vec!["params"],
            Place::Lookup(_) => vec!["params", "lookups"],
            Place::LookupEach(_) => vec!["params", "lookups", "each"],
            Place::LookupValue(_) => vec!["params", "lookups", "items"],
            Place::Obstacle => run.to_vec(),
            Place::Check => vec!["row", "params"],
            Place::Derive | Place::Fact => Vec::new(),
            Place::DeriveAt(index) => row.chain(derived(index)).collect(),
            Place::Look => {
                let extra = ["known", "select"];
                row.chain(derived(all)).chain(extra).collect()
            }
            Place::Pick => {
                let extra = ["known", "item"];
                row.chain(derived(all)).chain(extra).collect()
            }
            Place::FactAt(index) => {
                let names = row.chain(derived(all));
                names.chain(state).chain(facts(index)).collect()
            }
            Place::State | Place::AlsoItem | Place::AlsoItems | Place::Report => {
                let names = row.chain(derived(all));
                let names = names.chain(state).chain(facts(all));
                names.chain(own_name(place)).collect()
            }
        }
    }

    fn mistake(&self, variable: &str, place: Place) -> Option<String> {
        let (top, rest) = variable.split_once('.').unwrap_or((variable, ""));
        if !self.tops(place).contains(&top) {
            return Some(format!("there is no `{top}` here"));
        }
        let attribute = rest
            .split(['.', '['])
            .next()
            .filter(|name| !name.is_empty())?;
        let lookups = self.lookups_before(place);
        let app = APP.into_iter().map(str::to_owned).collect();
        let (known, what) = match top {
            "row" => (&self.row, "column"),
            "params" => (&self.params, "parameter"),
            "lookups" => (&lookups, "lookup"),
            "app" => (&app, "fact about the app"),
            "state" | "before" | "known" => (&self.state, "observed property"),
            directory::NAME => match &self.directory {
                Some(kept) => (kept, "value of the directory"),
                None => return None,
            },
            _ => return None,
        };
        let missing = !known.contains(attribute);
        missing.then(|| {
            let all: Vec<&str> = known.iter().map(String::as_str).collect();
            format!(
                "there is no {what} `{attribute}`; there are: {}",
                all.join(", ")
            )
        })
    }

    /// The lookups that were read when this is evaluated.
    fn lookups_before(&self, place: Place) -> BTreeSet<String> {
        let count = match place {
            Place::Lookup(at) | Place::LookupEach(at) | Place::LookupValue(at) => at,
            Place::Parameters
            | Place::Obstacle
            | Place::Check
            | Place::Derive
            | Place::DeriveAt(_)
            | Place::Look
            | Place::Pick
            | Place::Fact
            | Place::FactAt(_)
            | Place::State
            | Place::AlsoItem
            | Place::AlsoItems
            | Place::Report => usize::MAX,
        };
        self.lookups.iter().take(count).cloned().collect()
    }

    fn help(&self, place: Place) -> String {
        format!(
            "names that can be used here: {}",
            self.tops(place).join(", ")
        )
    }
}
