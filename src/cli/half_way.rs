//! What is said of people who are half way: who cannot work now, who is half way in another run, why a run over them does not
//! begin; and of those who are done and still need somebody.
//!
//! The words for a run come from the JSON of its summary, since that may be the answer of another process.

use super::args::Global;
use super::errors;
use super::exit::{Exit, Failure};
use super::work::quoted;
use crate::journal::{Journal, RunId};
use crate::progress::{counted, warn};
use crate::runner::half_way::{HalfWayError, LeftBehind, left_behind};
use serde_json::Value;
use std::path::Path;

/// People named one by one; the rest is counted.
const PEOPLE_NAMED_MAX: usize = 20;

/// Who cannot work now in a run that no process works on, and what to do; nothing, where there is nobody.
pub(super) fn exposed_in_words(summary: &Value, journal: &Path) -> Vec<String> {
    let people = left_exposed(summary);
    if people.is_empty() {
        return Vec::new();
    }
    let run = summary["run"].as_str().unwrap_or("-");
    let count = counted(people.len() as u64, "person", "people");
    let mut lines = vec![format!("{count} cannot sign in (run {run}):")];
    lines.extend(
        people
            .iter()
            .take(PEOPLE_NAMED_MAX)
            .map(|person| person_in_words(person)),
    );
    if people.len() > PEOPLE_NAMED_MAX {
        let more = people.len() - PEOPLE_NAMED_MAX;
        lines.push(format!(
            "  and {more} more: `cutover report {run}` lists them in exposed.csv"
        ));
    }
    let is_stranded = |person: &&Value| person["stranded"].as_bool() == Some(true);
    if people.iter().any(|person| !is_stranded(person)) {
        let target = summary["target_spec"].as_str().unwrap_or("-");
        lines.push(format!("now: {}", resume_command(run, target, journal)));
    }
    if people.iter().any(is_stranded) {
        lines.push(
            "the stranded ones are brought back by hand: outcomes.csv says how they were".into(),
        );
    }
    lines
}

/// Those of a live run are on their way and stay for no longer than their writes take.
fn left_exposed(summary: &Value) -> Vec<&Value> {
    let is_live = summary["under_way"].is_object();
    let people = summary["exposed"].as_array().filter(|_| !is_live);
    people.into_iter().flatten().collect()
}

/// How a command ends that has shown a run.
pub(super) fn exit_of(summary: &Value) -> Exit {
    Exit::Good.if_exposed(!left_exposed(summary).is_empty())
}

fn person_in_words(person: &Value) -> String {
    let text = |name: &str| person[name].as_str();
    let key = text("key").unwrap_or("-");
    let maybe = if person["doubtful"].as_bool() == Some(true) {
        "may be"
    } else {
        "is"
    };
    let mut words = match text("upn_now").filter(|now| Some(*now) != text("upn_home")) {
        Some(now) => format!("{key} {maybe} at {now}"),
        None => format!("{key} {maybe} half way"),
    };
    let since = text("since").map(|since| format!(", since {since}"));
    let id = text("object_id").map(|id| format!(", object id {id}"));
    words.extend(since.into_iter().chain(id));
    if person["stranded"].as_bool() == Some(true) {
        words.push_str(", stranded");
    }
    format!("  {words}")
}

/// As a shell takes it.
pub(super) fn resume_command(run: &str, target: &str, journal: &Path) -> String {
    format!(
        "cutover resume {run} --target {} --journal {}",
        quoted(target),
        quoted(&journal.display().to_string())
    )
}

/// The people who are done and still need somebody, by what it is.
pub(super) fn warned_in_words(summary: &Value) -> Vec<String> {
    let warned = summary["warned"].as_array();
    let warned: Vec<&Value> = warned.into_iter().flatten().collect();
    if warned.is_empty() {
        return Vec::new();
    }
    let people = summary["warned_rows"].as_u64().unwrap_or(0);
    let people = counted(
        people,
        "person is done and still needs",
        "people are done and still need",
    );
    let mut lines = vec![format!("warnings  {people} something (warned.csv):")];
    for one in warned {
        let text = |name: &str| one[name].as_str().unwrap_or("-");
        lines.push(format!(
            "  {:<9} {}: {}",
            one["rows"].as_u64().unwrap_or(0),
            text("code"),
            text("warning")
        ));
        lines.push(format!(
            "            {}; more: cutover explain {}",
            text("advice"),
            text("code")
        ));
    }
    lines
}

/// Mentions the other runs of a journal that have people half way, so that nobody is forgotten over this one. What cannot be
/// read is no reason to leave this run.
pub(super) fn mention_others(journal: &Journal, own: RunId, dir: &Path) {
    let left = match left_behind(journal, Some(own)) {
        Ok(left) => left,
        Err(error) => {
            return warn(format_args!("the other runs cannot be read: {error}"));
        }
    };
    for behind in &left {
        let run = behind.run.id().to_string();
        warn(format_args!(
            "run {run} has left {} half way: {}",
            count_of(behind),
            resume_command(&run, &behind.run.header.target_spec, dir)
        ));
    }
}

/// `15 people, 3 of whom cannot sign in`.
fn count_of(behind: &LeftBehind) -> String {
    let people = counted(behind.people.len() as u64, "person", "people");
    match behind.exposed() {
        0 => people,
        exposed if exposed == behind.people.len() => format!("{people} who cannot sign in"),
        exposed => format!("{people}, {exposed} of whom cannot sign in,"),
    }
}

/// Why a run does not begin over people who are half way in another one.
pub(super) fn refusal(error: HalfWayError, global: &Global) -> Failure {
    match error {
        HalfWayError::Journal(error) => error.into(),
        HalfWayError::Input(error) => Failure::unusable(error),
        HalfWayError::Elsewhere(left) => elsewhere(&left, global),
        error @ HalfWayError::CannotTakeOver { .. } => Failure::usage(
            error.to_string(),
            "`cutover resume` of that run brings them to their end; nothing was written",
        )
        .coded(&errors::HALF_WAY),
    }
}

fn elsewhere(left: &[LeftBehind], global: &Global) -> Failure {
    let mut lines = Vec::new();
    let mut help = Vec::new();
    for behind in left {
        let run = behind.run.id().to_string();
        let keys = behind
            .people
            .iter()
            .take(PEOPLE_NAMED_MAX)
            .map(|person| person.key.as_str());
        let keys: Vec<&str> = keys.collect();
        let more = match behind.people.len().saturating_sub(PEOPLE_NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        lines.push(format!(
            "run {run} has left {} of this file half way: {}{more}",
            count_of(behind),
            keys.join(", ")
        ));
        help.push(format!(
            "bring them to their end first: {}",
            resume_command(&run, &behind.run.header.target_spec, &global.journal)
        ));
    }
    if let [behind] = left {
        help.push(format!(
            "or begin anew and take over how they were before: the same line with --adopt-run {}",
            behind.run.id()
        ));
    }
    help.push("nothing was written".into());
    Failure::usage(lines.join("\n"), help.join("\n")).coded(&errors::HALF_WAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn summary(exposed: &Value, under_way: &Value) -> Value {
        json!({
            "run": "0199",
            "target_spec": "my tenant.toml",
            "exposed": exposed,
            "under_way": under_way,
        })
    }

    fn person(key: &str, doubtful: bool, stranded: bool) -> Value {
        json!({
            "row": 3,
            "key": key,
            "object_id": "7c9e",
            "upn_now": "x@contoso.onmicrosoft.com",
            "upn_home": key,
            "since": "2026-01-31T05:00:00.000Z",
            "doubtful": doubtful,
            "stranded": stranded,
        })
    }

    fn words(exposed: &Value) -> String {
        let lines = exposed_in_words(&summary(exposed, &Value::Null), Path::new("journal"));
        lines.join("\n")
    }

    #[test]
    fn who_cannot_sign_in_comes_with_what_helps() {
        let people = json!([
            person("ann@contoso.com", false, false),
            person("bob@contoso.com", true, false),
            person("eve@contoso.com", false, true),
        ]);
        insta::assert_snapshot!(words(&people), @r"
        3 people cannot sign in (run 0199):
          ann@contoso.com is at x@contoso.onmicrosoft.com, since 2026-01-31T05:00:00.000Z, object id 7c9e
          bob@contoso.com may be at x@contoso.onmicrosoft.com, since 2026-01-31T05:00:00.000Z, object id 7c9e
          eve@contoso.com is at x@contoso.onmicrosoft.com, since 2026-01-31T05:00:00.000Z, object id 7c9e, stranded
        now: cutover resume 0199 --target 'my tenant.toml' --journal journal
        the stranded ones are brought back by hand: outcomes.csv says how they were
        ");
        let stranded = words(&json!([person("eve@contoso.com", false, true)]));
        insta::assert_snapshot!(stranded, @r"
        1 person cannot sign in (run 0199):
          eve@contoso.com is at x@contoso.onmicrosoft.com, since 2026-01-31T05:00:00.000Z, object id 7c9e, stranded
        the stranded ones are brought back by hand: outcomes.csv says how they were
        ");
        let nothing_known = json!([{"key": "ann@contoso.com", "doubtful": true}]);
        assert!(words(&nothing_known).contains("\n  ann@contoso.com may be half way\n"));
        assert_eq!(words(&json!([])), "");
    }

    #[test]
    fn many_are_counted() {
        let people: Vec<Value> = (0..23)
            .map(|at| person(&format!("p{at}"), false, false))
            .collect();
        let words = words(&people.into());
        assert!(words.starts_with("23 people cannot sign in (run 0199):\n"));
        assert!(words.contains("\n  p19 is at"), "{words}");
        assert!(!words.contains("\n  p20 is at"), "{words}");
        let more = "\n  and 3 more: `cutover report 0199` lists them in exposed.csv\n";
        assert!(words.contains(more), "{words}");
    }

    #[test]
    fn whoever_a_live_process_works_on_is_not_left() {
        let people = json!([person("ann@contoso.com", false, false)]);
        let live = summary(&people, &json!({"rows": 1, "exposed": 1}));
        assert!(exposed_in_words(&live, Path::new("journal")).is_empty());
        assert_eq!(exit_of(&live), Exit::Good);
        assert_eq!(exit_of(&summary(&people, &Value::Null)), Exit::Stranded);
    }

    #[test]
    fn warnings_are_told_in_words() {
        let summary = json!({
            "warned_rows": 247,
            "warned": [
                {"code": "HardMatchIdentifier", "rows": 240, "warning": "it is set", "advice": "clear it"},
                {"code": "HardMatchRole", "rows": 7, "warning": "they hold a role", "advice": "take it away"},
            ],
        });
        insta::assert_snapshot!(warned_in_words(&summary).join("\n"), @r"
        warnings  247 people are done and still need something (warned.csv):
          240       HardMatchIdentifier: it is set
                    clear it; more: cutover explain HardMatchIdentifier
          7         HardMatchRole: they hold a role
                    take it away; more: cutover explain HardMatchRole
        ");
        assert!(warned_in_words(&json!({})).is_empty());
    }
}
