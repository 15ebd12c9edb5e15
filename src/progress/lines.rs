//! Progress without a terminal: plain lines for people, JSON lines for programs. On standard error.

use super::voice::{event, print, warn_if_quiet};
use super::words::{RunNews, news_in_words, outcomes_in_words, pace_in_words};
use crate::machine::Outcome;
use crate::runner::{AdmissionPause, Consumer, RunEvent, RunMode, Snapshot};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// Often enough to see that it lives, rarely enough for a night's log.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// When the last line was written.
#[derive(Debug, Default)]
pub(super) struct Every(Option<Instant>);

impl Every {
    fn is_due(&mut self) -> bool {
        let due = self.0.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }
}

/// Lines for people: how the run stops, which every style prints, and unless that is all, whatever else happens and a line every
/// ten seconds.
pub(super) struct PlainLines(pub Option<Every>);

impl Consumer for PlainLines {
    fn on_event(&mut self, event: &RunEvent) {
        match (news_in_words(event), &mut self.0) {
            (Some(RunNews::Stop(words)), _) => {
                print(&words);
                warn_if_quiet(&words);
            }
            (Some(RunNews::Hold(words)), Some(_)) => print(words),
            (None, Some(every)) => show_numbers(event, every),
            (Some(RunNews::Hold(_)) | None, None) => {}
        }
    }
}

fn show_numbers(event: &RunEvent, every: &mut Every) {
    if let RunEvent::Started { run, .. } = event {
        print(format_args!("run {run}"));
    }
    let snapshot = match event {
        RunEvent::Started { snapshot, .. } | RunEvent::Tick(snapshot) if every.is_due() => snapshot,
        RunEvent::Ended(snapshot) => snapshot,
        RunEvent::Started { .. }
        | RunEvent::RowEnded { .. }
        | RunEvent::Tick(_)
        | RunEvent::Paused(_)
        | RunEvent::GoingOn
        | RunEvent::Draining(_)
        | RunEvent::Interrupted { .. }
        | RunEvent::StillDraining { .. }
        | RunEvent::StoppingNow { .. } => return,
    };
    let (ended, rows) = (snapshot.counts.total(), snapshot.rows);
    print(format_args!("{ended} of {rows} rows: {}; {}", outcomes_in_words(snapshot), pace_in_words(snapshot)));
}

/// A JSON object a line, as `samples/progress-events.schema.json` describes it.
#[derive(Default)]
pub(super) struct JsonLines(Every);

/// One decimal is enough.
fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

impl Consumer for JsonLines {
    fn on_event(&mut self, happened: &RunEvent) {
        let (name, facts) = match happened {
            RunEvent::Tick(_) if !self.0.is_due() => return,
            RunEvent::Started { run: _, snapshot } => ("started", numbers(snapshot)),
            // The last line of the process is `end`, once the report is written.
            RunEvent::Tick(snapshot) | RunEvent::Ended(snapshot) => ("progress", numbers(snapshot)),
            RunEvent::RowEnded { row, who, outcome, error_code } => {
                let (line, key, outcome) = (who.line, &who.key, outcome.word());
                let facts =
                    json!({"row": row.0, "line": line, "key": key, "outcome": outcome, "error_code": error_code});
                ("row", facts)
            }
            RunEvent::Paused(AdmissionPause::Operator(why)) => ("paused", json!({"reason": why})),
            RunEvent::Paused(pause @ AdmissionPause::Window { .. }) => {
                ("waiting", json!({"reason": pause.to_string()}))
            }
            RunEvent::GoingOn => ("going_on", json!({})),
            RunEvent::Draining(reason) => ("draining", json!({"reason": reason.text})),
            RunEvent::Interrupted { snapshot, .. } => ("interrupted", numbers(snapshot)),
            RunEvent::StillDraining { snapshot, .. } => ("still_draining", numbers(snapshot)),
            RunEvent::StoppingNow { reason, exposed } => {
                ("stopping_now", json!({"reason": reason.text, "exposed": exposed}))
            }
        };
        event(name, facts);
    }
}

fn numbers(snapshot: &Snapshot) -> Value {
    let ended = snapshot.counts.total();
    let count = |outcome| match outcome {
        Outcome::Pending => snapshot.rows.saturating_sub(ended),
        ended => snapshot.counts.of(ended),
    };
    let outcomes: Map<String, Value> =
        Outcome::ALL.into_iter().map(|outcome| (outcome.word().to_owned(), count(outcome).into())).collect();
    let (held, stopping) = match &snapshot.mode {
        RunMode::Running => (None, None),
        RunMode::Paused(pause) => (Some(pause.to_string()), None),
        RunMode::Stopping(reason) => (None, Some(reason.text.as_str())),
    };
    json!({
        "rows": snapshot.rows,
        "ended": ended,
        "outcomes": outcomes,
        "in_flight": snapshot.in_flight,
        "exposed": snapshot.exposed,
        "writes_per_s": tenths(snapshot.writes_per_s),
        "budget_per_s": tenths(snapshot.budget_per_s),
        "binding": snapshot.binding.as_ref().map(|binding| &binding.budget),
        "seconds_left": snapshot.left.map(|left| left.as_secs()),
        "waiting": snapshot.waiting.as_ref().map(|(reason, _)| reason),
        "eased": snapshot.eased,
        "held": held,
        "stopping": stopping,
    })
}
