//! What happens in a run, in words: numbers, waits, and how it stops.

use crate::core::counted;
use crate::machine::Outcome;
use crate::runner::{AdmissionPause, RunEvent, RunMode, Snapshot};
use std::time::Duration;

/// The budget whose rate every line shows.
const WRITES: &str = "writes";

/// The outcomes that occur, in words: `120 done, 3 refused`.
pub(super) fn outcomes_in_words(snapshot: &Snapshot) -> String {
    let counts = Outcome::ALL.map(|outcome| (outcome, snapshot.counts.of(outcome))).into_iter();
    let parts = counts.filter(|(_, count)| *count > 0).map(|(outcome, count)| format!("{count} {outcome}"));
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "none ended yet".into() } else { parts.join(", ") }
}

/// Rate, exposure, time left and the reason for waiting, in words.
pub(super) fn pace_in_words(snapshot: &Snapshot) -> String {
    let mut parts = vec![format!("{:.1} of {:.1} writes/s", snapshot.writes_per_s, snapshot.budget_per_s)];
    // The rate of writes is shown anyway.
    let binding = snapshot.binding.iter().filter(|one| one.budget != WRITES);
    parts.extend(binding.map(|one| format!("limited by {}, {:.1}/s", one.budget, one.per_s)));
    parts.push(format!("{} exposed", snapshot.exposed));
    if let Some(left) = snapshot.left {
        parts.push(format!("{} left", short(left)));
    }
    parts.extend(waiting_in_words(snapshot.waiting.as_ref()));
    parts.extend(snapshot.eased.clone());
    match &snapshot.mode {
        RunMode::Running => {}
        RunMode::Paused(pause) => parts.push(pause_in_words(pause)),
        RunMode::Stopping(reason) => parts.push(format!("stopping: {}", reason.text)),
    }
    parts.join(", ")
}

/// What happened, where that is more than other numbers.
pub(super) enum RunNews {
    /// No row begins for a while, or they begin again.
    Hold(String),
    /// How the run stops, and who would be left exposed: said however little is to be said.
    Stop(String),
}

pub(super) fn news_in_words(event: &RunEvent) -> Option<RunNews> {
    let stop = match event {
        RunEvent::Paused(pause) => return Some(RunNews::Hold(pause_in_words(pause))),
        RunEvent::GoingOn => return Some(RunNews::Hold("continuing".to_owned())),
        RunEvent::Draining(reason) => {
            format!("stopping: {}; no more rows start, rows in flight are finished or undone", reason.text)
        }
        RunEvent::Interrupted { at_stake: 0, .. } => {
            "no user is in mid-change now; Ctrl-C again stops at once".to_owned()
        }
        RunEvent::Interrupted { at_stake, .. } => {
            let users = users(*at_stake);
            format!("Ctrl-C again abandons {users} in mid-change: they could not sign in until the run is resumed")
        }
        RunEvent::StillDraining { snapshot, gives_up_in } => drain_in_words(snapshot, *gives_up_in),
        RunEvent::StoppingNow { reason, exposed: 0 } => format!("stopping now: {}", reason.text),
        RunEvent::StoppingNow { reason, exposed } => {
            format!("stopping now: {}; {} in mid-change abandoned", reason.text, users(*exposed))
        }
        RunEvent::Started { .. } | RunEvent::RowEnded { .. } | RunEvent::Tick(_) | RunEvent::Ended(_) => return None,
    };
    Some(RunNews::Stop(stop))
}

/// What a drain waits for, for how long, and why.
fn drain_in_words(snapshot: &Snapshot, gives_up_in: Option<Duration>) -> String {
    let rows = counted(snapshot.in_flight as u64, "row", "rows");
    let why = waiting_in_words(snapshot.waiting.as_ref());
    let why = why.unwrap_or_else(|| "waiting until the target shows what was written".to_owned());
    let left = gives_up_in.map(|left| format!("; gives up in {}", short(left))).unwrap_or_default();
    format!("still stopping: {rows} in flight, {} in mid-change; {why}{left}", users(snapshot.exposed))
}

fn users(count: u64) -> String {
    counted(count, "user", "users")
}

/// Why no row begins for a while.
fn pause_in_words(pause: &AdmissionPause) -> String {
    match pause {
        AdmissionPause::Operator(why) => format!("paused: {why}"),
        AdmissionPause::Window { .. } => format!("waiting: {pause}"),
    }
}

/// A run waits for the budget's next permit all night, so only longer waits are mentioned.
#[must_use]
pub fn waiting_in_words(waiting: Option<&(String, Duration)>) -> Option<String> {
    let (reason, left) = waiting?;
    let is_long = *left >= Duration::from_secs(1);
    is_long.then(|| format!("waiting {}: {reason}", short(*left)))
}

/// A duration for people: `42 s`, `7 min`, `3 h 05 min`.
#[must_use]
pub fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Counts;
    use crate::runner::StopKind;

    fn snapshot() -> Snapshot {
        let mut counts = Counts::default();
        counts.add(Outcome::Done);
        counts.add(Outcome::Refused);
        Snapshot {
            rows: 10,
            counts,
            in_flight: 3,
            exposed: 1,
            writes_per_s: 19.76,
            budget_per_s: 19.8,
            left: Some(Duration::from_secs(4_000)),
            waiting: Some(("tenant throttled, Retry-After".into(), Duration::from_secs(42))),
            eased: None,
            binding: None,
            mode: RunMode::Stopping(StopKind::Requested.because("SIGINT")),
        }
    }

    #[test]
    fn everything_an_operator_asks_is_in_one_line() {
        insta::assert_snapshot!(outcomes_in_words(&snapshot()), @"1 done, 1 refused");
        insta::assert_snapshot!(pace_in_words(&snapshot()), @"19.8 of 19.8 writes/s, 1 exposed, 66 min left, waiting 42 s: tenant throttled, Retry-After, stopping: SIGINT");
    }

    #[test]
    fn a_hold_says_who_or_what_and_until_when() {
        let with = |pause| Snapshot { mode: RunMode::Paused(pause), left: None, waiting: None, ..snapshot() };
        let paused = with(AdmissionPause::Operator("asked for by ann@pc1".into()));
        insta::assert_snapshot!(pace_in_words(&paused), @"19.8 of 19.8 writes/s, 1 exposed, paused: asked for by ann@pc1");
        let waiting = with(AdmissionPause::Window {
            window: "22:00-05:00".into(),
            until: 0,
            opens: "2026-01-31 22:00 CET".into(),
        });
        let eased =
            Snapshot { eased: Some("rate of writes eased to 9.8/s: tenant throttled".into()), ..paused.clone() };
        insta::assert_snapshot!(pace_in_words(&eased), @"19.8 of 19.8 writes/s, 1 exposed, rate of writes eased to 9.8/s: tenant throttled, paused: asked for by ann@pc1");
        insta::assert_snapshot!(pace_in_words(&waiting), @"19.8 of 19.8 writes/s, 1 exposed, waiting: outside the window 22:00-05:00 until 2026-01-31 22:00 CET");
    }

    #[test]
    fn a_stop_says_what_it_waits_for_and_what_would_be_abandoned() {
        let words = |event| match news_in_words(&event).unwrap() {
            RunNews::Stop(words) => words,
            RunNews::Hold(words) => panic!("{words}"),
        };
        let nobody = Snapshot { exposed: 0, waiting: None, ..snapshot() };
        let interrupted = |at_stake| RunEvent::Interrupted { snapshot: snapshot(), at_stake };
        let reason = StopKind::Requested.because("SIGTERM received");
        insta::assert_snapshot!(words(RunEvent::Draining(reason.clone())), @"stopping: SIGTERM received; no more rows start, rows in flight are finished or undone");
        insta::assert_snapshot!(words(interrupted(1)), @"Ctrl-C again abandons 1 user in mid-change: they could not sign in until the run is resumed");
        insta::assert_snapshot!(words(interrupted(0)), @"no user is in mid-change now; Ctrl-C again stops at once");
        let still = |snapshot, gives_up_in| RunEvent::StillDraining { snapshot, gives_up_in };
        insta::assert_snapshot!(words(still(snapshot(), None)), @"still stopping: 3 rows in flight, 1 user in mid-change; waiting 42 s: tenant throttled, Retry-After");
        insta::assert_snapshot!(words(still(nobody, Some(Duration::from_secs(240)))), @"still stopping: 3 rows in flight, 0 users in mid-change; waiting until the target shows what was written; gives up in 4 min");
        let now = |exposed| RunEvent::StoppingNow { reason: reason.clone(), exposed };
        insta::assert_snapshot!(words(now(2)), @"stopping now: SIGTERM received; 2 users in mid-change abandoned");
        insta::assert_snapshot!(words(now(0)), @"stopping now: SIGTERM received");
    }

    #[test]
    fn durations_are_short() {
        let shown = |s| short(Duration::from_secs(s));
        assert_eq!([shown(0), shown(119), shown(120), shown(11_100)], ["0 s", "119 s", "2 min", "3 h 05 min"]);
    }
}
