//! From the text of a job file to a [`Job`], or to all of its mistakes at once.
//!
//! The walk follows the order of the file's sections. A mistake never ends it: a placeholder takes the place of what could
//! not be read, and the job is handed out only if no mistake was noted.

use super::reader::Reader;
use super::shipped::SOURCE_BYTES_MAX;
use super::source::{Mistakes, Table};
use super::{Job, JobMistakes, Limits, Param, names};
use crate::batch::{Column, Digest, Kind, Layout};
use std::sync::Arc;
use std::time::Duration;
use toml::de::DeTable;

/// The format of job files this program reads.
const FORMAT: u32 = 1;

/// Most steps of a job: their number is stored in a byte.
const STEPS_MAX: usize = 100;

/// Reads a job file. `origin` names it in messages.
///
/// # Errors
/// [`JobMistakes`] with every mistake, each with line and column.
pub fn parse(origin: &str, source: &str) -> Result<Job, JobMistakes> {
    let mistakes = Mistakes::new(source);
    if source.len() > SOURCE_BYTES_MAX {
        let message = format!(
            "the file has {} bytes; a job has at most {SOURCE_BYTES_MAX}",
            source.len()
        );
        mistakes.note(&(0..0), message, None);
        return Err(JobMistakes {
            origin: origin.to_owned(),
            mistakes: mistakes.into_sorted(),
        });
    }
    let (root, errors) = DeTable::parse_recoverable(source);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        mistakes.note(&span, error.message(), None);
    }
    let job = if errors.is_empty() {
        let job = read(&Table::root(&root, &mistakes), source);
        names::check(&job, &mistakes);
        Some(job.into_job())
    } else {
        None
    };
    let mistakes = mistakes.into_sorted();
    match job {
        Some(job) if mistakes.is_empty() => Ok(job),
        Some(_) | None => Err(JobMistakes {
            origin: origin.to_owned(),
            mistakes,
        }),
    }
}

/// A job with the places of its expressions, for the checks that need the whole.
pub(super) struct Draft {
    job: Job,
    /// Every expression with what it may see and where it stands.
    pub(super) uses: Vec<names::Use>,
    /// Where the steps stand, in order.
    pub(super) step_spans: Vec<std::ops::Range<usize>>,
    /// Where the file has its goal.
    pub(super) has_exposure: bool,
}

impl Draft {
    pub(super) fn job(&self) -> &Job {
        &self.job
    }

    fn into_job(self) -> Job {
        self.job
    }
}

fn read(root: &Table<'_, '_>, source: &str) -> Draft {
    let mut reader = Reader { uses: Vec::new() };
    format(root);
    let name = root
        .required_text("name")
        .map_or_else(String::new, |at| at.value);
    let title = root
        .required_text("title")
        .map_or_else(String::new, |at| at.value);
    let layout = layout(root);
    let params = params(root);
    let permissions = reader.permissions(root);
    let lookups = reader.lookups(root);
    let obstacles = reader.objections(root, "obstacle", names::Place::Obstacle);
    let directory = reader.directory(root);
    let derived = reader.named_exprs(root, "derive", names::Place::Derive);
    let checks = reader.objections(root, "check", names::Place::Check);
    let mut observe = reader.observe(root);
    let facts = reader.named_exprs(root, "facts", names::Place::Fact);
    observe.order(&facts);
    let claims = reader.claims(root);
    let refusals = reader.objections(root, "refuse", names::Place::State);
    let warnings = reader.objections(root, "warn", names::Place::State);
    let steps = root.tables("step");
    let step_spans = steps.iter().map(|table| table.span.clone()).collect();
    if steps.is_empty() || steps.len() > STEPS_MAX {
        let message = format!("a job needs between 1 and {STEPS_MAX} steps ([[step]])");
        root.note(message, None);
    }
    let steps = reader.steps(steps, root.mistakes());
    let exposed = reader.exposure(root);
    let goal = reader.goal(root);
    let report = reader
        .named_exprs(root, "report", names::Place::Report)
        .into_iter()
        .map(|(name, expr)| (name.to_string(), expr))
        .collect();
    let limits = limits(root);
    for (key, _) in root.entries() {
        if root.mistakes().is_full() {
            break;
        }
        if !SECTIONS.contains(&key.value.as_str()) {
            let help = format!("known here: {}", SECTIONS.join(", "));
            let message = format!("`{}` is not a section of a job", key.value);
            root.mistakes().note(&key.span, message, Some(help));
        }
    }
    Draft {
        has_exposure: exposed.is_some(),
        job: Job {
            name,
            title,
            source: Arc::from(source),
            digest: Digest::of(source.as_bytes()),
            layout,
            params,
            permissions,
            lookups,
            obstacles,
            directory,
            derived,
            checks,
            observe,
            facts,
            claims,
            refusals,
            warnings,
            steps,
            exposed,
            goal,
            report,
            limits,
        },
        uses: reader.uses,
        step_spans,
    }
}

const SECTIONS: &[&str] = &[
    "format",
    "name",
    "title",
    "columns",
    "params",
    "permission",
    "lookups",
    "obstacle",
    "directory",
    "derive",
    "check",
    "observe",
    "facts",
    "claims",
    "refuse",
    "warn",
    "step",
    "exposure",
    "goal",
    "report",
    "limits",
];

fn format(root: &Table<'_, '_>) {
    match root.count("format") {
        Some(FORMAT) => {}
        Some(other) => root.note(
            format!("format {other} is not known to this version of cutover, which reads format {FORMAT}"),
            Some("use the version of cutover that the job was written for".into()),
        ),
        None if root.has("format") => {}
        None => root.note("`format` is missing", Some(format!("write `format = {FORMAT}` first"))),
    }
}

fn layout(root: &Table<'_, '_>) -> Layout {
    let mut columns = Vec::new();
    let mut keys = Vec::new();
    for (name, table) in root.named_tables("columns") {
        let key = table.flag("key");
        if key {
            keys.push(columns.len());
        }
        let unique = table.text("unique").map(|at| at.value);
        if key && unique.is_none() {
            table.note(
                format!("the key column `{}` needs `unique`", name.value),
                Some("write `unique = \"…\"` with a name for the group of values".into()),
            );
        }
        columns.push(Column {
            name: name.value,
            kind: kind(&table),
            aliases: table
                .texts("aliases")
                .into_iter()
                .map(|at| at.value)
                .collect(),
            required: table.flag("required") || key,
            unique,
        });
        table.finish();
    }
    if keys.len() != 1 {
        let message = format!("a job has exactly one key column, not {}", keys.len());
        root.note(
            message,
            Some("write `key = true` in one of [columns.…]".into()),
        );
    }
    Layout {
        columns,
        key: keys.first().copied().unwrap_or(0),
    }
}

fn kind(table: &Table<'_, '_>) -> Kind {
    let Some(text) = table.required_text("kind") else {
        return Kind::Text;
    };
    let known = [
        ("upn", Kind::Upn),
        ("guid", Kind::Guid),
        ("immutable-id", Kind::ImmutableId),
        ("text", Kind::Text),
    ];
    match known.iter().find(|(name, _)| *name == text.value) {
        Some((_, kind)) => *kind,
        None => {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let message = format!("`{}` is not a kind of column", text.value);
            let help = format!("one of {}", names.join(", "));
            table.mistakes().note(&text.span, message, Some(help));
            Kind::Text
        }
    }
}

fn params(root: &Table<'_, '_>) -> Vec<Param> {
    let mut params = Vec::new();
    for (name, table) in root.named_tables("params") {
        let default = table.required_text("default");
        let param = Param {
            name: name.value,
            values: table
                .texts("values")
                .into_iter()
                .map(|at| at.value)
                .collect(),
            default: default
                .as_ref()
                .map_or_else(String::new, |at| at.value.clone()),
            help: table
                .required_text("help")
                .map_or_else(String::new, |at| at.value),
        };
        if let Some(default) = default.filter(|at| !param.accepts(&at.value)) {
            let message = format!("the default `{}` is not one of `values`", default.value);
            table.mistakes().note(&default.span, message, None);
        }
        params.push(param);
        table.finish();
    }
    params
}

fn limits(root: &Table<'_, '_>) -> Limits {
    let mut limits = Limits::default();
    let Some(table) = root.table("limits") else {
        return limits;
    };
    limits.attempts = table.count("attempts").unwrap_or(limits.attempts);
    limits.undo_attempts = table.count("undo_attempts").unwrap_or(limits.undo_attempts);
    limits.replication = seconds(&table, "replication_s").unwrap_or(limits.replication);
    limits.doubt = seconds(&table, "doubt_s").unwrap_or(limits.doubt);
    table.finish();
    limits
}

fn seconds(table: &Table<'_, '_>, key: &str) -> Option<Duration> {
    Some(Duration::from_secs(u64::from(table.count(key)?)))
}
