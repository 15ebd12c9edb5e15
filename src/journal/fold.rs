//! A run as its log says: the fold of all records, in memory that does not grow with the rows.
//!
//! Counts, who cannot work now, and how long people could not work are kept as records come, so that asking for them costs the
//! same at a million rows as at ten. Of single rows only those under way are held, and those that ended with the person
//! exposed. A row that has ended and begins again brings what is known of it along, so nothing more is needed to go on folding.

use super::error::JournalError;
use super::line::{Adoption, Entry, Reopening};
use super::row::{RowNumber, RowRecord, Transition, UnixMillis};
use super::run::{RunRecord, RunState, Stop, Warned, shared};
use super::scan::{Group, Head};
use crate::machine::Outcome;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a record of the log means for the fold.
#[derive(Debug, Clone)]
pub enum Mark {
    /// Rows were copied, from this one on.
    Rows {
        /// The first of them.
        first: RowNumber,
    },
    /// All rows were copied.
    Imported {
        /// How many.
        rows: u64,
        /// When.
        at: UnixMillis,
    },
    /// A process began to work.
    Opened {
        /// When.
        at: UnixMillis,
    },
    /// A row moved.
    Moved(Box<Moved>),
    /// A process stopped.
    Closed {
        /// When.
        at: UnixMillis,
        /// Why.
        stop: Stop,
    },
}

/// A row that moved.
#[derive(Debug, Clone)]
pub struct Moved {
    /// Which row.
    pub row: RowNumber,
    /// When.
    pub at: UnixMillis,
    /// Where it is now.
    pub record: Arc<RowRecord>,
    /// How it had ended, if it begins again.
    pub was: Option<RowRecord>,
}

impl Moved {
    /// A row that goes on from where another run left it.
    #[must_use]
    pub fn adopted(adoption: Adoption) -> Moved {
        Moved { row: adoption.row, at: adoption.at, record: Arc::new(adoption.record.taken_over()), was: None }
    }
}

/// A run as far as its records were folded in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFold {
    /// Where it stands.
    pub run: RunRecord,
    /// The rows under way, and those that ended with the person exposed.
    #[serde(with = "shared_rows")]
    rows: BTreeMap<RowNumber, Arc<RowRecord>>,
    /// Where in the log the input rows from each of these on lie.
    #[serde(with = "shared")]
    chunks: Arc<Vec<(RowNumber, u64)>>,
}

impl RunFold {
    /// A run of which this is known already.
    #[must_use]
    pub fn new(run: RunRecord, rows: BTreeMap<RowNumber, Arc<RowRecord>>, chunks: Vec<(RowNumber, u64)>) -> RunFold {
        RunFold { run, rows, chunks: Arc::new(chunks) }
    }

    /// The run that this first record begins; `head` is the end of its group.
    ///
    /// # Errors
    /// It is no first record.
    pub fn begun_by(entry: Entry, head: Head) -> Result<RunFold, JournalError> {
        let Entry::Began { run, format: _ } = entry else {
            return Err(JournalError::NoBeginning);
        };
        Ok(RunFold::new(RunRecord::new(*run, head), BTreeMap::new(), Vec::new()))
    }

    /// Takes in a whole group, the first of which begins the run; what each record after the beginning means is shown to
    /// `note`, with the byte of the log at which it begins.
    ///
    /// # Errors
    /// [`JournalError`] when a record cannot be read, or does not follow from those before it.
    pub fn take_group(
        known: &mut Option<RunFold>,
        group: &Group<'_>,
        mut note: impl FnMut(u64, &Mark),
    ) -> Result<(), JournalError> {
        for line in group.lines() {
            let entry = Entry::decode(&line.record())?;
            let Some(fold) = known else {
                *known = Some(RunFold::begun_by(entry, group.head)?);
                continue;
            };
            let mark = fold.mark_of(entry)?;
            note(line.before.offset, &mark);
            fold.take(line.before.offset, mark);
        }
        if let Some(fold) = known {
            fold.run.head = group.head;
        }
        Ok(())
    }

    /// A row that is under way or ended with the person exposed.
    #[must_use]
    pub fn held(&self, row: RowNumber) -> Option<&RowRecord> {
        self.rows.get(&row).map(Arc::as_ref)
    }

    /// All of those.
    pub fn rows(&self) -> impl Iterator<Item = (RowNumber, &RowRecord)> {
        self.rows.iter().map(|(row, record)| (*row, &**record))
    }

    /// The rows begun and not ended, in the order of the input.
    pub fn active(&self) -> impl Iterator<Item = (RowNumber, &RowRecord)> {
        self.rows().filter(|(_, record)| record.ended_at.is_none())
    }

    /// The rows whose person cannot work now, or may not be able to.
    pub fn exposed(&self) -> impl Iterator<Item = (RowNumber, &RowRecord)> {
        let rules = &self.run.header.rules;
        let is_exposed = |record: &RowRecord| record.exposure(rules).is_some();
        self.rows().filter(move |(_, record)| is_exposed(record))
    }

    /// Where in the log the piece of the input begins that a row is in.
    #[must_use]
    pub fn chunk_of(&self, row: RowNumber) -> Option<u64> {
        let after = self.chunks.partition_point(|(first, _)| *first <= row);
        self.chunks.get(after.checked_sub(1)?).map(|(_, at)| *at)
    }

    /// Where in the log the pieces of the input begin.
    #[must_use]
    pub fn chunks(&self) -> Arc<Vec<(RowNumber, u64)>> {
        Arc::clone(&self.chunks)
    }

    /// What a record means.
    ///
    /// # Errors
    /// [`JournalError::Impossible`] when it does not follow from those before it.
    pub fn mark_of(&self, entry: Entry) -> Result<Mark, JournalError> {
        Ok(match entry {
            Entry::Began { .. } => return Err(JournalError::NoBeginning),
            Entry::Rows(rows) => Mark::Rows { first: rows.first().map_or(RowNumber(0), |row| row.number) },
            Entry::Imported { rows, at } => Mark::Imported { rows, at },
            Entry::Opened { at, program: _ } => Mark::Opened { at },
            Entry::Moved(transition) => Mark::Moved(Box::new(self.moved(transition, None)?)),
            Entry::Reopened(reopening) => {
                let Reopening { was, moved } = *reopening;
                Mark::Moved(Box::new(self.moved(moved, Some(was))?))
            }
            Entry::Adopted(adoption) => Mark::Moved(Box::new(Moved::adopted(*adoption))),
            Entry::Closed { at, stop } => Mark::Closed { at, stop },
        })
    }

    fn moved(&self, transition: Transition, was: Option<RowRecord>) -> Result<Moved, JournalError> {
        let (row, at) = (transition.row, transition.at());
        let mut record = was.as_ref().or_else(|| self.held(row)).cloned().unwrap_or_default();
        let rules = &self.run.header.rules;
        record.apply(transition, rules).map_err(|source| JournalError::Impossible { row, source })?;
        Ok(Moved { row, at, record: Arc::new(record), was })
    }

    /// Takes in the record that begins at this byte of the log.
    pub fn take(&mut self, offset: u64, mark: Mark) {
        match mark {
            Mark::Rows { first } => Arc::make_mut(&mut self.chunks).push((first, offset)),
            Mark::Imported { rows, at } => {
                self.run.rows = rows;
                self.run.state = RunState::Open;
                self.run.last_at = at;
            }
            Mark::Opened { at } => {
                // The last process may have been killed: nobody worked between its last record and now.
                self.run.half_way_ms = self.run.worked_ms();
                self.run.half_way_since = (self.run.half_way > 0).then_some(at);
                self.run.state = RunState::Open;
                self.run.last_at = at;
            }
            Mark::Moved(moved) => self.take_moved(*moved),
            Mark::Closed { at, stop } => {
                self.run.last_at = at;
                self.run.half_way_ms = self.run.worked_ms();
                self.run.half_way_since = None;
                self.run.state = match stop {
                    Stop::Finished => RunState::Finished,
                    Stop::Requested(_) | Stop::Fault(_) => RunState::Stopped(stop),
                };
            }
        }
    }

    fn take_moved(&mut self, moved: Moved) {
        let Moved { row, at, record, was } = moved;
        let held = self.rows.remove(&row);
        let before = was.map(Arc::new).or(held).unwrap_or_default();
        let run = &mut self.run;
        run.last_at = run.last_at.max(at);
        run.begun_max = run.begun_max.max(row.0);
        let grown = |now: u32, then: u32| u64::from(now.saturating_sub(then));
        run.writes += grown(record.writes, before.writes);
        run.reads += grown(record.reads, before.reads);
        run.throttled += grown(record.throttled, before.throttled);
        run.exposures.replace(before.exposed_ms, record.exposed_ms);
        let rules = &run.header.rules;
        run.exposed -= u64::from(before.may_be_exposed(rules));
        run.exposed += u64::from(record.may_be_exposed(rules));
        note_half_way(run, &before, &record);
        if before.ended_at.is_some() {
            run.counts.remove(before.outcome());
            note_warnings(run, &before, |rows| rows.saturating_sub(1));
        }
        if record.ended_at.is_some() {
            run.counts.add(record.outcome());
            note_warnings(run, &record, |rows| rows + 1);
        }
        if record.ended_at.is_none() || record.exposed_since.is_some() {
            self.rows.insert(row, record);
        }
    }
}

/// Rows are stored as themselves.
mod shared_rows {
    use super::{Arc, BTreeMap, RowNumber, RowRecord};
    use serde::{Deserialize, Deserializer, Serializer};

    type Rows = BTreeMap<RowNumber, Arc<RowRecord>>;

    pub fn serialize<S: Serializer>(rows: &Rows, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(rows.iter().map(|(row, record)| (row, &**record)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Rows, D::Error> {
        let rows = BTreeMap::<RowNumber, RowRecord>::deserialize(deserializer)?;
        Ok(rows.into_iter().map(|(row, record)| (row, Arc::new(record))).collect())
    }
}

/// Keeps the time in which rows are half way; `last_at` is the time of this move.
fn note_half_way(run: &mut RunRecord, before: &RowRecord, record: &RowRecord) {
    let rows = run.half_way + u64::from(record.is_half_way());
    run.half_way = rows.saturating_sub(u64::from(before.is_half_way()));
    if run.half_way == 0 {
        run.half_way_ms = run.worked_ms();
        run.half_way_since = None;
    } else {
        run.half_way_since.get_or_insert(run.last_at);
    }
}

/// Rows that are not done have a reason of their own.
fn note_warnings(run: &mut RunRecord, record: &RowRecord, count: fn(u64) -> u64) {
    if record.outcome() != Outcome::Done || record.warnings.is_empty() {
        return;
    }
    run.warned_rows = count(run.warned_rows);
    for warning in &record.warnings {
        let known = run.warned.entry(warning.code.clone());
        let known = known.or_insert_with(|| Warned {
            rows: 0,
            warning: warning.message.clone(),
            advice: warning.advice.clone(),
        });
        known.rows = count(known.rows);
    }
    run.warned.retain(|_, warned| warned.rows > 0);
}

#[cfg(test)]
mod tests {
    use super::super::session_tests::{header, intended, rules};
    use super::*;
    use crate::machine::{Ended, Ending, Progress, RowState};

    fn moved(row: u64, at: UnixMillis, record: &RowRecord) -> Mark {
        Mark::Moved(Box::new(Moved { row: RowNumber(row), at, record: Arc::new(record.clone()), was: None }))
    }

    #[test]
    fn neither_pauses_nor_the_time_after_a_kill_count_as_work() {
        let dir = tempfile::tempdir().unwrap();
        let header = header(dir.path());
        let head = Head::genesis(header.id);
        let mut fold = RunFold::new(RunRecord::new(header, head), BTreeMap::new(), Vec::new());
        let mut half_way = RowRecord::default();
        half_way.apply(intended(1), &rules()).unwrap();
        let ended = RowRecord {
            state: RowState::Ended(Ended { ending: Ending::Done, progress: Progress::default() }),
            ended_at: Some(0),
            ..half_way.clone()
        };
        let work = [
            Mark::Opened { at: 1_000 },
            moved(1, 2_000, &half_way),
            moved(2, 2_500, &half_way),
            moved(1, 3_000, &ended),
            moved(2, 4_000, &ended),
        ];
        let after_a_pause = [
            moved(3, 100_000, &half_way),
            moved(4, 100_100, &half_way),
            Mark::Opened { at: 500_000 },
            moved(3, 500_200, &ended),
            moved(4, 500_400, &ended),
        ];
        let stop = Stop::Finished;
        let closed = Mark::Closed { at: 900_000, stop };
        for (marks, worked_ms) in [(work.to_vec(), 2_000), (after_a_pause.to_vec(), 2_500), (vec![closed], 2_500)] {
            marks.into_iter().for_each(|mark| fold.take(0, mark));
            assert_eq!(fold.run.worked_ms(), worked_ms);
        }
    }
}
