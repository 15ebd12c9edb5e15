//! A record in a few words, so that a finding can say what it is about.

use crate::journal::line::Entry;
use crate::journal::row::Transition;
use crate::journal::run::Stop;
use crate::machine::{Attempt, Event};

/// What a record says. `steps` are the names of the job's steps, as far as they are known.
pub(super) fn describe(entry: &Entry, steps: &[String]) -> String {
    match entry {
        Entry::Began { run, format: _ } => format!("the beginning of run {}", run.id),
        Entry::Rows(rows) => match (rows.first(), rows.last()) {
            (Some(first), Some(last)) => {
                format!("rows {} to {} of the input", first.number, last.number)
            }
            (None, _) | (_, None) => "no rows of the input".into(),
        },
        Entry::Imported { rows, at: _ } => format!("the end of the input after {rows} rows"),
        Entry::Opened { at: _, program } => format!("a process of cutover {program} began"),
        Entry::Moved(transition) => moved(transition, steps),
        Entry::Reopened(reopening) => moved(&reopening.moved, steps),
        Entry::Adopted(adoption) => {
            format!("row {}: taken over from row {} of run {}", adoption.row, adoption.from_row, adoption.from)
        }
        Entry::Closed { at: _, stop } => match stop {
            Stop::Finished => "a process stopped: finished".into(),
            Stop::Requested(why) | Stop::Fault(why) => format!("a process stopped: {why}"),
        },
    }
}

/// The same of bytes that may be none.
pub(super) fn describe_bytes(record: &[u8], steps: &[String]) -> String {
    match Entry::decode(record) {
        Ok(entry) => describe(&entry, steps),
        Err(_) => "no readable record".into(),
    }
}

fn moved(transition: &Transition, steps: &[String]) -> String {
    let row = transition.row;
    if transition.events.is_empty() {
        return format!("row {row}: facts");
    }
    let events = transition.events.iter().map(|(_, event)| event_words(event, steps));
    format!("row {row}: {}", events.collect::<Vec<_>>().join(", "))
}

fn event_words(event: &Event, steps: &[String]) -> String {
    let of = |word: &str, attempt: &Attempt| {
        let step = steps.get(usize::from(attempt.step.0));
        let step = step.map_or_else(|| format!("step {}", attempt.step.0), Clone::clone);
        format!("{word} {step} (attempt {})", attempt.number)
    };
    match event {
        Event::Admitted => "admitted".into(),
        Event::Rejected(problem) => format!("rejected ({})", problem.code),
        Event::Observed(_) => "observed".into(),
        Event::Lagging => "lagging".into(),
        Event::Unobservable(problem) => format!("unobservable ({})", problem.code),
        Event::Durable(attempt) => of("sent", attempt),
        Event::Applied(attempt, _) => of("applied", attempt),
        Event::Refused(attempt, _) => of("refused", attempt),
        Event::Contended(attempt, _) => of("contended", attempt),
        Event::Doubted(attempt, _) => of("doubted", attempt),
        Event::Recovered => "recovered".into(),
        Event::Retried { by } => format!("retried by {by}"),
        Event::RolledBack(cause) => format!("rolled back: {}", cause.message),
    }
}
