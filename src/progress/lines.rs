//! Progress without a terminal: plain lines for people, JSON lines for programs. On standard error.

use super::voice::{event, print, warn_if_quiet};
use super::words::{news_in_words, outcomes_in_words, pace_in_words, stop_in_words};
use crate::machine::Outcome;
use crate::runner::{AdmissionPause, Consumer, RunEvent, RunMode, Snapshot};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// Often enough to see that it lives, rarely enough for a night's log.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// When the last line was written.
#[derive(Debug, Default)]
struct Every(Option<Instant>);

impl Every {
    fn is_due(&mut self) -> bool {
        let due = self.0.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }
}

/// Only how the run stops, which every style prints.
pub(super) struct StopLines;

impl Consumer for StopLines {
    fn on_event(&mut self, event: &RunEvent) {
        if let Some(words) = stop_in_words(event) {
            print(&words);
            warn_if_quiet(&words);
        }
    }
}

/// A line every ten seconds.
#[derive(Default)]
pub(super) struct PlainLines(Every);

impl PlainLines {
    fn show(snapshot: &Snapshot) {
        let (ended, rows) = (snapshot.counts.total(), snapshot.rows);
        print(format_args!("{ended} of {rows} rows: {}; {}", outcomes_in_words(snapshot), pace_in_words(snapshot)));
    }
}

impl Consumer for PlainLines {
    fn on_event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Started { run, snapshot } => {
                print(format_args!("run {run}"));
                if self.0.is_due() {
                    PlainLines::show(snapshot);
                }
            }
            RunEvent::Tick(snapshot) if self.0.is_due() => PlainLines::show(snapshot),
            RunEvent::Tick(_) | RunEvent::RowEnded { .. } => {}
            RunEvent::Paused(_) | RunEvent::GoingOn => print(news_in_words(event).unwrap_or_default()),
            RunEvent::Draining(_)
            | RunEvent::Interrupted { .. }
            | RunEvent::StillDraining { .. }
            | RunEvent::StoppingNow { .. } => StopLines.on_event(event),
            RunEvent::Ended(snapshot) => PlainLines::show(snapshot),
        }
    }
}

/// A JSON object a line, as `samples/progress-events.schema.json` describes it.
#[derive(Default)]
pub(super) struct JsonLines(Every);

impl JsonLines {
    fn show(name: &str, snapshot: &Snapshot) {
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
            RunMode::Stopping(reason) => (None, Some(reason.text())),
        };
        let numbers = json!({
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
        });
        event(name, numbers);
    }
}

/// One decimal is enough.
fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

impl Consumer for JsonLines {
    fn on_event(&mut self, happened: &RunEvent) {
        match happened {
            RunEvent::Started { run: _, snapshot } => JsonLines::show("started", snapshot),
            RunEvent::Tick(snapshot) if self.0.is_due() => JsonLines::show("progress", snapshot),
            RunEvent::Tick(_) => {}
            RunEvent::RowEnded { row, who, outcome, error_code } => {
                let (line, key, outcome) = (who.line, &who.key, outcome.word());
                let facts =
                    json!({"row": row.0, "line": line, "key": key, "outcome": outcome, "error_code": error_code});
                event("row", facts);
            }
            RunEvent::Paused(pause) => {
                let state = match pause {
                    AdmissionPause::Operator(_) => "paused",
                    AdmissionPause::Window { .. } => "waiting",
                };
                event(state, json!({"reason": pause.to_string()}));
            }
            RunEvent::GoingOn => event("going_on", json!({})),
            RunEvent::Draining(reason) => event("draining", json!({"reason": reason.text()})),
            RunEvent::Interrupted { snapshot, .. } => JsonLines::show("interrupted", snapshot),
            RunEvent::StillDraining { snapshot, .. } => JsonLines::show("still_draining", snapshot),
            RunEvent::StoppingNow { reason, exposed } => {
                event("stopping_now", json!({"reason": reason.text(), "exposed": exposed}))
            }
            // The last line of the process is `end`, once the report is written.
            RunEvent::Ended(snapshot) => JsonLines::show("progress", snapshot),
        }
    }
}
