//! Progress without a terminal: plain lines for people, JSON lines for programs. On standard error.

use super::{hold_in_words, outcomes_in_words, pace_in_words, say, stop_in_words};
use crate::machine::Outcome;
use crate::runner::{Consumer, Hold, RunEvent, Snapshot, Standing};
use serde_json::json;
use std::time::{Duration, Instant};

/// How often a line is written: often enough to see that it lives, rarely enough for a night's log.
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

/// Only how the run stops: what is at stake then is said in every style.
#[derive(Debug, Default)]
pub struct StopLines;

impl Consumer for StopLines {
    fn on_event(&mut self, event: &RunEvent) {
        if let Some(words) = stop_in_words(event) {
            say(words);
        }
    }
}

/// A line every ten seconds.
#[derive(Debug, Default)]
pub struct PlainLines(Every);

impl PlainLines {
    fn show(snapshot: &Snapshot) {
        let ended = snapshot.counts.total();
        say(format_args!(
            "{ended} of {} rows: {}; {}",
            snapshot.rows,
            outcomes_in_words(snapshot),
            pace_in_words(snapshot)
        ));
    }
}

impl Consumer for PlainLines {
    fn on_event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Started { run, snapshot } => {
                say(format_args!("run {run}"));
                if self.0.is_due() {
                    PlainLines::show(snapshot);
                }
            }
            RunEvent::Tick(snapshot) if self.0.is_due() => PlainLines::show(snapshot),
            RunEvent::Tick(_) | RunEvent::RowEnded { .. } => {}
            RunEvent::Held(hold) => say(hold_in_words(hold)),
            RunEvent::GoingOn => say("going on"),
            RunEvent::Draining(_)
            | RunEvent::Interrupted(_)
            | RunEvent::StillDraining { .. }
            | RunEvent::StoppingNow { .. } => {
                StopLines.on_event(event);
            }
            RunEvent::Ended(snapshot) => PlainLines::show(snapshot),
        }
    }
}

/// A JSON object a line.
#[derive(Debug, Default)]
pub struct JsonLines(Every);

impl JsonLines {
    fn show(event: &str, snapshot: &Snapshot) {
        let outcomes = Outcome::ALL.map(|outcome| (outcome.word(), snapshot.counts.of(outcome)));
        let outcomes: serde_json::Map<_, _> = outcomes
            .into_iter()
            .map(|(word, count)| (word.to_owned(), count.into()))
            .collect();
        let line = json!({
            "event": event,
            "rows": snapshot.rows,
            "ended": snapshot.counts.total(),
            "outcomes": outcomes,
            "in_flight": snapshot.in_flight,
            "exposed": snapshot.exposed,
            "writes_per_s": snapshot.writes_per_s,
            "budget_per_s": snapshot.budget_per_s,
            "seconds_left": snapshot.left.map(|left| left.as_secs()),
            "waiting": snapshot.waiting.as_ref().map(|(reason, _)| reason),
            "eased": snapshot.eased,
            "held": JsonLines::hold(&snapshot.standing).map(ToString::to_string),
            "stopping": snapshot.standing.stopping().map(|reason| reason.text()),
        });
        say(line);
    }

    fn hold(standing: &Standing) -> Option<&Hold> {
        match standing {
            Standing::Held(hold) => Some(hold),
            Standing::Running | Standing::Stopping(_) => None,
        }
    }

    fn state(hold: &Hold) -> &'static str {
        match hold {
            Hold::Operator(_) => "paused",
            Hold::Window { .. } => "waiting",
        }
    }
}

impl Consumer for JsonLines {
    fn on_event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Started { run: _, snapshot } => JsonLines::show("started", snapshot),
            RunEvent::Tick(snapshot) if self.0.is_due() => JsonLines::show("progress", snapshot),
            RunEvent::Tick(_) => {}
            RunEvent::RowEnded { row, outcome } => {
                say(json!({"event": "row", "row": row.0, "outcome": outcome.word()}));
            }
            RunEvent::Held(hold) => {
                let event = JsonLines::state(hold);
                say(json!({"event": event, "reason": hold.to_string()}));
            }
            RunEvent::GoingOn => say(json!({"event": "going_on"})),
            RunEvent::Draining(reason) => {
                say(json!({"event": "draining", "reason": reason.text()}));
            }
            RunEvent::Interrupted(snapshot) => JsonLines::show("interrupted", snapshot),
            RunEvent::StillDraining { snapshot, .. } => {
                JsonLines::show("still_draining", snapshot);
            }
            RunEvent::StoppingNow { reason, exposed } => say(json!({
                "event": "stopping_now", "reason": reason.text(), "exposed": exposed
            })),
            RunEvent::Ended(snapshot) => JsonLines::show("ended", snapshot),
        }
    }
}
