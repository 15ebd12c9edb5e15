//! Checks that every name an expression uses is there.
//!
//! minijinja would find an unknown name only when it runs into it, with a person half way; here it is found before.

use super::{Job, directory};
use crate::core::config::{At, Table};
use std::collections::BTreeSet;
use std::ops::Range;

const ALL: usize = usize::MAX;

/// What can be known of the app ([`super::AppFacts`]).
const APP: [&str; 3] = ["permissions", "roles", "tenant"];

/// Names that are fixed by the program.
const FIXED: [&str; 13] = [
    "row", "params", "lookups", "app", "ad", "before", "state", "known", "select", "item", "items", "each", "warnings",
];

/// What an expression can see where it stands. Parameters are seen everywhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visible {
    row: bool,
    /// So many lookups, of those in the order of the file; None where no lookup is seen.
    lookups: Option<usize>,
    app: bool,
    directory: bool,
    /// So many of the derived names, in the order of the file.
    derived: usize,
    /// The before-image and the observed state.
    state: bool,
    /// So many of the facts, in the order of the file.
    facts: usize,
    /// Names that only this place sees.
    own: &'static [&'static str],
}

impl Visible {
    pub(super) const PARAMETERS: Visible = Visible {
        row: false,
        lookups: None,
        app: false,
        directory: false,
        derived: 0,
        state: false,
        facts: 0,
        own: &[],
    };
    /// What speaks against the whole run.
    pub(super) const OBSTACLE: Visible = Visible { lookups: Some(ALL), app: true, ..Visible::PARAMETERS };
    /// A check of the row before anything is read.
    pub(super) const CHECK: Visible = Visible { row: true, ..Visible::PARAMETERS };
    const ROW: Visible = Visible { row: true, directory: true, ..Visible::OBSTACLE };
    pub(super) const LOOK: Visible = Visible { derived: ALL, own: &["known", "select"], ..Visible::ROW };
    /// Which item of an answer is meant.
    pub(super) const PICK: Visible = Visible { own: &["known", "item"], ..Visible::LOOK };
    /// Anything about observed state.
    pub(super) const STATE: Visible = Visible { state: true, facts: ALL, own: &[], ..Visible::LOOK };
    pub(super) const EXTRA_ITEM: Visible = Visible { own: &["item"], ..Visible::STATE };
    pub(super) const EXTRA_ITEMS: Visible = Visible { own: &["items"], ..Visible::STATE };
    pub(super) const REPORT: Visible = Visible { own: &["warnings"], ..Visible::STATE };

    /// The `at`-th lookup, which sees those before it.
    pub(super) fn lookup(at: usize) -> Visible {
        Visible { lookups: Some(at), ..Visible::PARAMETERS }
    }

    /// The path of a lookup that is read for each entry of a list.
    pub(super) fn lookup_each(at: usize) -> Visible {
        Visible { own: &["each"], ..Visible::lookup(at) }
    }

    pub(super) fn lookup_value(at: usize) -> Visible {
        Visible { own: &["items"], ..Visible::lookup(at) }
    }

    /// The `at`-th derived name, which sees those before it.
    pub(super) fn derived(at: usize) -> Visible {
        Visible { derived: at, ..Visible::ROW }
    }

    /// The `at`-th fact, which sees those before it.
    pub(super) fn fact(at: usize) -> Visible {
        Visible { facts: at, ..Visible::STATE }
    }
}

/// The variables one expression uses.
pub(super) struct NameUse {
    pub(super) variables: BTreeSet<String>,
    pub(super) place: Visible,
    pub(super) span: Range<usize>,
}

/// Notes every name that is not there, and every one that is defined twice.
pub(super) fn check(root: &Table<'_>, job: &Job, uses: &[NameUse], defined: &[At<String>]) {
    for (at, name) in defined.iter().enumerate() {
        let mut before = defined[..at].iter();
        let is_taken = FIXED.contains(&name.value.as_str());
        if is_taken || before.any(|other| other.value == name.value) {
            let message = format!("there is a `{}` already", name.value);
            root.note_at(&name.span, message, Some("give it another name"));
        }
    }
    let names = Names::of(job);
    for used in uses.iter().take_while(|_| !root.is_full()) {
        for variable in &used.variables {
            if let Some(message) = names.mistake(variable, used.place) {
                let tops = names.tops(used.place).join(", ");
                let help = format!("names that can be used here: {tops}");
                root.note_at(&used.span, message, Some(&help));
            }
        }
    }
}

struct Names<'a> {
    job: &'a Job,
    /// Every property that an observed state may have.
    state: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    fn of(job: &'a Job) -> Names<'a> {
        let set = job.observe.looks.iter().flat_map(|look| &look.set);
        let set = set.map(|(key, _)| &**key);
        let also = job.observe.extra_reads.iter().map(|read| &*read.name);
        let properties = job.observe.properties.iter().map(|name| &**name);
        Names { job, state: properties.chain(set).chain(also).collect() }
    }

    /// The names at the top that this place can see.
    fn tops(&self, place: Visible) -> Vec<&'a str> {
        let asks = place.directory && self.job.directory.is_some();
        let fixed = [
            ("row", place.row),
            ("params", true),
            ("lookups", place.lookups.is_some()),
            ("app", place.app),
            (directory::NAME, asks),
        ];
        let seen = |names: &[(&'static str, bool)]| -> Vec<&'a str> {
            let names = names.iter().filter(|(_, is_seen)| *is_seen);
            names.map(|(name, _)| *name).collect()
        };
        let mut tops = seen(&fixed);
        let derived = self.job.derived.iter().take(place.derived);
        tops.extend(derived.map(|name| &*name.name));
        tops.extend(seen(&[("before", place.state), ("state", place.state)]));
        let facts = self.job.facts.iter().take(place.facts);
        tops.extend(facts.map(|name| &*name.name));
        tops.extend(place.own);
        tops
    }

    fn mistake(&self, variable: &str, place: Visible) -> Option<String> {
        let (top, rest) = variable.split_once('.').unwrap_or((variable, ""));
        if !self.tops(place).contains(&top) {
            return Some(format!("there is no `{top}` here"));
        }
        let attribute = rest.split(['.', '[']).next();
        let attribute = attribute.filter(|name| !name.is_empty())?;
        let (known, what) = self.attributes(top, place)?;
        (!known.contains(attribute)).then(|| {
            let all: Vec<&str> = known.into_iter().collect();
            let all = all.join(", ");
            format!("there is no {what} `{attribute}`; there are: {all}")
        })
    }

    /// What can be read of a name, and what that is called; None where anything can be.
    fn attributes(&self, top: &str, place: Visible) -> Option<(BTreeSet<&'a str>, &'static str)> {
        let job = self.job;
        let lookups = job.lookups.iter().take(place.lookups.unwrap_or(0));
        Some(match top {
            "row" => {
                let columns = job.layout.columns.iter();
                (columns.map(|column| &*column.name).collect(), "column")
            }
            "params" => (job.params.iter().map(|param| &*param.name).collect(), "parameter"),
            "lookups" => (lookups.map(|lookup| &*lookup.name).collect(), "lookup"),
            "app" => (APP.into(), "fact about the app"),
            "state" | "before" | "known" => (self.state.clone(), "observed property"),
            directory::NAME => {
                let kept = job.directory.iter().flat_map(|plan| &plan.kept);
                (kept.map(|kept| &*kept.name).collect(), "value of the directory")
            }
            _ => return None,
        })
    }
}
