//! One row of a report: what every file of the report is made from. How it is shown is each file's business.

use super::liveness::Liveness;
use crate::core::Problem;
use crate::journal::{InputRow, RowRecord, RunRecord, UnixMillis};
use crate::machine::Outcome;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A row and how it stands.
pub struct OutcomeRow<'a> {
    /// Its run.
    pub run: &'a RunRecord,
    /// What a live process does with that.
    pub live: &'a Liveness,
    /// As it stands in the file.
    pub input: &'a InputRow,
    /// What has become of it; `RowRecord::default()` for one that was not begun.
    pub record: &'a RowRecord,
    /// How it ended, or that it has not.
    pub outcome: Outcome,
    /// Set when the person cannot work now.
    pub exposed: Option<ExposedPerson>,
}

/// Somebody who cannot work now, as far as the journal knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposedPerson {
    /// Their row.
    pub row: u64,
    /// What identifies it.
    pub key: String,
    /// The account, where it is known.
    pub object_id: Option<String>,
    /// The UPN they have now, or may have.
    pub upn_now: Option<String>,
    /// The UPN they should have.
    pub upn_home: String,
    /// Since when: RFC 3339, UTC.
    pub since: Option<String>,
    /// A write got no answer: they may be at home after all.
    pub doubtful: bool,
    /// The row has ended, so resuming the run helps nobody.
    pub stranded: bool,
}

impl<'a> OutcomeRow<'a> {
    /// A row of a run.
    #[must_use]
    pub fn new(run: &'a RunRecord, live: &'a Liveness, input: &'a InputRow, record: &'a RowRecord) -> OutcomeRow<'a> {
        let mut row = OutcomeRow { run, live, input, record, outcome: record.outcome(), exposed: None };
        row.exposed = row.exposed_person();
        row
    }

    /// What identifies it, as it stands in the file.
    #[must_use]
    pub fn key(&self) -> &'a str {
        self.run.header.input.key(self.input)
    }

    /// What somebody should know although it is done. Rows that are not have a problem, which says more.
    #[must_use]
    pub fn warnings(&self) -> &'a [Problem] {
        if self.outcome == Outcome::Done { &self.record.warnings } else { &[] }
    }

    /// A cell of the job's own columns, if it has that one and something is known.
    #[must_use]
    pub fn own_cell(&self, column: &str) -> Option<&'a str> {
        let at = self.run.header.report_columns.iter().position(|name| name == column)?;
        self.record.report.get(at).map(String::as_str).filter(|cell| !cell.is_empty())
    }

    /// People whom another run has taken over are that run's.
    fn exposed_person(&self) -> Option<ExposedPerson> {
        if self.record.is_half_way() && matches!(self.live, Liveness::TakenOver { .. }) {
            return None;
        }
        let exposure = self.record.exposure(&self.run.header.rules)?;
        Some(ExposedPerson {
            row: self.input.number.0,
            key: self.key().to_owned(),
            object_id: self.own_cell("object_id").map(str::to_owned),
            upn_now: self.own_cell("upn_after").map(str::to_owned),
            upn_home: self.key().trim().to_owned(),
            since: exposure.since.map(rfc3339),
            doubtful: exposure.doubtful,
            stranded: self.outcome == Outcome::Stranded,
        })
    }

    /// What to do about the row: what its problem says; for a row that has not ended, how it continues.
    #[must_use]
    pub fn advice(&self) -> Cow<'a, str> {
        let of_problem = || Cow::Borrowed(self.record.problem().map_or("", |problem| &problem.advice));
        if self.outcome != Outcome::Pending {
            return of_problem();
        }
        let (run, half_way) = (self.run.id(), self.record.is_half_way());
        match (self.live, &self.exposed) {
            (Liveness::Live(_), _) => of_problem(),
            (Liveness::TakenOver { by }, _) if half_way => format!("half way; run {by} continues it").into(),
            (Liveness::TakenOver { .. }, _) => "not begun; run it again".into(),
            (Liveness::Nobody, Some(person)) => self.exposed_advice(person).into(),
            (Liveness::Nobody, None) if half_way => format!("half way; `cutover resume {run}` continues it").into(),
            (Liveness::Nobody, None) => format!("not begun; `cutover resume {run}` continues").into(),
        }
    }

    /// What to do about somebody who cannot work.
    #[must_use]
    pub fn exposed_advice(&self, person: &ExposedPerson) -> String {
        let home = &person.upn_home;
        let now = person.upn_now.as_ref().filter(|now| *now != home);
        let place = match (now, person.doubtful) {
            (Some(now), true) => format!("may be at {now} and unable to sign in"),
            (Some(now), false) => format!("cannot sign in: is at {now}"),
            (None, true) => "may be unable to sign in".to_owned(),
            (None, false) => "cannot sign in".to_owned(),
        };
        match person.stranded {
            true => format!("{place}; bring them back to {home} by hand: outcomes.csv says what went wrong"),
            false => format!("{place}; `cutover resume {}` finishes the row", self.run.id()),
        }
    }
}

/// A time in UTC as RFC 3339 with milliseconds.
pub(super) fn rfc3339(at: UnixMillis) -> String {
    let at = i64::try_from(at).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}
