//! People whom an earlier run of this journal left half way: changed, and neither at the goal nor back.
//!
//! Only that run knows how they were before. Another run over them would take the state half way for the before-image, and an
//! undo would put them back to that. So they are found before a run begins, and the new run either does not begin, or takes
//! them over as they stand in the journal ([`take_over`]). They are few: no more than were ever in flight.

use super::start::{Order, each_row};
use crate::batch::{Finding, InputError, Mapping, Visit};
use crate::job::{Job, Settings, State};
use crate::journal::{Adoption, InputRow, Journal, JournalError, RowNumber, RowRecord, RunId, RunRecord, takers};
use std::collections::{BTreeMap, BTreeSet};

/// The column, of the input and of the report, that names an account for good.
const OBJECT_ID: &str = "object_id";

/// Somebody who is half way.
#[derive(Debug)]
pub struct HalfWayPerson {
    /// The row as it stood in that run's input.
    pub input: InputRow,
    /// What identifies it there.
    pub key: String,
    /// Where it is.
    pub record: RowRecord,
    /// Whether they cannot work, or may not be able to.
    pub exposed: bool,
    /// The rows of the new file that name them; none before they were looked for.
    named_by: Vec<NamingRow>,
}

/// A run that may still go on, and the people who are half way in it.
#[derive(Debug)]
pub struct LeftBehind {
    /// The run.
    pub run: RunRecord,
    /// The people, in the order of its input.
    pub people: Vec<HalfWayPerson>,
}

impl LeftBehind {
    /// How many of them cannot work.
    #[must_use]
    pub fn exposed(&self) -> usize {
        self.people.iter().filter(|person| person.exposed).count()
    }
}

/// The runs of a journal that have somebody half way and may still go on, oldest first, apart from `own`.
///
/// # Errors
/// [`JournalError`] when the journal cannot be read.
pub fn left_behind(journal: &Journal, own: Option<RunId>) -> Result<Vec<LeftBehind>, JournalError> {
    let mut found = Vec::new();
    let runs = journal.runs()?;
    let takers = takers(&runs);
    for run in runs {
        if Some(run.id()) == own || takers.contains_key(&run.id()) {
            continue;
        }
        let half_way = journal.reader(&run)?.half_way()?;
        let people = half_way.into_iter().map(|(input, record)| HalfWayPerson {
            key: run.header.input.key(&input).trim().to_owned(),
            exposed: record.exposure(&run.header.rules).is_some(),
            input,
            record,
            named_by: Vec::new(),
        });
        let people: Vec<HalfWayPerson> = people.collect();
        if !people.is_empty() {
            found.push(LeftBehind { run, people });
        }
    }
    Ok(found)
}

impl HalfWayPerson {
    /// Everything by which a file may name them: the key, the object id, and every UPN that they had or may have by now.
    fn names(&self, run: &RunRecord) -> BTreeSet<String> {
        let mut names = BTreeSet::from([self.key.to_lowercase()]);
        let states = [&self.record.before, &self.record.expected];
        for state in states.into_iter().flatten().filter_map(|text| State::from_text(text)) {
            let values = ["id", "userPrincipalName"].map(|name| state.get(name));
            names.extend(values.iter().filter_map(|value| value.as_str()).map(str::to_lowercase));
        }
        let columns = run.header.report_columns.iter().zip(&self.record.report);
        let shown = columns.filter(|(column, _)| [OBJECT_ID, "upn_before", "upn_after"].contains(&column.as_str()));
        names.extend(shown.map(|(_, value)| value.to_lowercase()));
        names.remove("");
        names
    }
}

/// A row of a file that names somebody who is half way.
#[derive(Debug)]
struct NamingRow {
    row: u64,
    values: Vec<Option<String>>,
    /// By the very key that they have there; a UPN that they had meanwhile may be another row's key.
    by_key: bool,
    faulty: bool,
}

/// Finds the rows of the file that name these people. One pass over the file, and only where somebody is half way.
fn find_named(order: &Order<'_>, left: &mut [LeftBehind]) -> Result<(), InputError> {
    let mut people = Vec::new();
    let mut whose: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for LeftBehind { run, people: of_run } in left {
        for person in of_run {
            for name in person.names(run) {
                whose.entry(name).or_default().insert(people.len());
            }
            people.push(person);
        }
    }
    if people.is_empty() {
        return Ok(());
    }
    let layout = &order.job.layout;
    let object_id = layout.columns.iter().position(|column| column.name == OBJECT_ID);
    let columns = [Some(layout.key), object_id];
    let settings = Settings::new(&order.params, &serde_json::Map::new());
    let mut clashes = BTreeSet::new();
    each_row::<InputError>(order.job, &settings, order.input, |item| {
        match item {
            Visit::Row { row, findings } => {
                let cells = columns.iter().flatten().filter_map(|at| row.values.get(*at)?.as_deref());
                let named: BTreeSet<_> = cells.filter_map(|name| whose.get(&name.to_lowercase())).flatten().collect();
                for at in named {
                    let person = &mut people[*at];
                    let key = row.values.get(layout.key).and_then(Option::as_deref);
                    person.named_by.push(NamingRow {
                        by_key: key.is_some_and(|key| key.to_lowercase() == person.key.to_lowercase()),
                        row: row.number,
                        values: row.values.clone(),
                        faulty: findings.iter().any(Finding::is_error),
                    });
                }
            }
            Visit::Clash(finding) => clashes.extend(finding.row.filter(|_| finding.is_error())),
        }
        Ok(())
    })?;
    for naming in people.into_iter().flat_map(|person| &mut person.named_by) {
        naming.faulty |= clashes.contains(&naming.row);
    }
    Ok(())
}

/// Why a run over people who are half way elsewhere cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum HalfWayError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The file.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The file has people who are half way in these runs, and only those are listed.
    #[error("people of the file are half way in other runs")]
    Elsewhere(Vec<LeftBehind>),
    /// They cannot be taken over, for these reasons.
    #[error("the people who are half way in run {run} cannot be taken over: {}", reasons.join("; "))]
    CannotTakeOver {
        /// The run.
        run: RunId,
        /// Each of them.
        reasons: Vec<String>,
    },
}

/// What the run takes over from the one that its order names; nothing, where it names none and nobody of the file is half way.
///
/// # Errors
/// [`HalfWayError`]; nothing was written.
pub fn take_over(journal: &Journal, order: &Order<'_>, at: u64) -> Result<BTreeMap<u64, Adoption>, HalfWayError> {
    let mut left = left_behind(journal, None)?;
    left.retain(|behind| behind.run.header.target == order.target);
    find_named(order, &mut left)?;
    let (own, mut elsewhere): (Vec<_>, Vec<_>) =
        left.into_iter().partition(|behind| Some(behind.run.id()) == order.adopts);
    for behind in &mut elsewhere {
        behind.people.retain(|person| !person.named_by.is_empty());
    }
    elsewhere.retain(|behind| !behind.people.is_empty());
    if !elsewhere.is_empty() {
        return Err(HalfWayError::Elsewhere(elsewhere));
    }
    let Some(run) = order.adopts else {
        return Ok(BTreeMap::new());
    };
    let adoptions = match own.first() {
        Some(behind) => adoptions(order, behind, at),
        None => Err(vec![match journal.taken_over_by(run)? {
            Some(by) => format!("run {by} has taken them over"),
            None => format!("nobody of {} is half way in it", order.target),
        }]),
    };
    adoptions.map_err(|reasons| HalfWayError::CannotTakeOver { run, reasons })
}

/// All of them or nobody: whoever is half way in a run that does not go on must be in the one that does.
fn adoptions(order: &Order<'_>, behind: &LeftBehind, at: u64) -> Result<BTreeMap<u64, Adoption>, Vec<String>> {
    let header = &behind.run.header;
    let steps = order.job.steps.iter().map(|step| &step.name);
    let columns = order.job.report.iter().map(|(name, _)| name);
    if header.job != order.job.name || !steps.eq(&header.steps) || !columns.eq(&header.report_columns) {
        return Err(vec![format!("it was begun with another job, or another version of the job {}", header.job)]);
    }
    let mut adoptions = BTreeMap::new();
    let mut reasons = Vec::new();
    for person in &behind.people {
        match continuing_row(order.job, &header.input.mapping, person) {
            Ok(row) => {
                let (from, from_row) = (behind.run.id(), person.input.number);
                let record = person.record.clone();
                adoptions.insert(row, Adoption { row: RowNumber(row), at, from, from_row, record });
            }
            Err(reason) => reasons.push(reason),
        }
    }
    if reasons.is_empty() { Ok(adoptions) } else { Err(reasons) }
}

/// The one row that a person goes on with: it must say the same as the one they were begun with, since what was written for
/// them came from that.
fn continuing_row(job: &Job, mapping: &Mapping, person: &HalfWayPerson) -> Result<u64, String> {
    let key = &person.key;
    let by_key = person.named_by.iter().any(|naming| naming.by_key);
    let rows: Vec<&NamingRow> = person.named_by.iter().filter(|naming| naming.by_key == by_key).collect();
    let [naming] = rows[..] else {
        return Err(match rows.len() {
            0 => format!("{key} is not in the file"),
            several => format!("{several} rows of the file name {key}"),
        });
    };
    let row = naming.row;
    if naming.faulty {
        return Err(format!("row {row} ({key}) has an error"));
    }
    let then = mapping.values(&job.layout, &person.input.cells);
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "empty".into());
    let columns = job.layout.columns.iter().zip(then.iter().zip(&naming.values));
    let changed = columns.filter(|(_, (then, now))| then != now);
    let changed: Vec<String> = changed
        .map(|(column, (then, now))| format!("{} was {}, now {}", column.name, shown(then), shown(now)))
        .collect();
    match changed.is_empty() {
        true => Ok(row),
        false => Err(format!("row {row} ({key}) has changed: {}", changed.join(", "))),
    }
}
