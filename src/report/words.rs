//! A run's numbers in words, for people: how it stands, who cannot sign in, and the command that helps.

use super::liveness::RunStatus;
use super::outcome::ExposedPerson;
use super::summary::{LogHead, RunSummary};
use crate::core::counted;
use crate::journal::Warned;
use crate::machine::Outcome;
use std::path::Path;

/// People named one by one; the rest is counted.
pub const PEOPLE_NAMED_MAX: usize = 20;

/// The first of these people by name, and how many more there are.
#[must_use]
pub fn listed<'k>(keys: impl ExactSizeIterator<Item = &'k str>) -> String {
    let more = keys.len().saturating_sub(PEOPLE_NAMED_MAX);
    let mut names: Vec<String> = keys.take(PEOPLE_NAMED_MAX).map(str::to_owned).collect();
    names.extend((more > 0).then(|| format!("and {more} more")));
    names.join(", ")
}

/// Who cannot sign in in a run that no process works on, and what to do. Empty if there is nobody.
#[must_use]
pub fn exposed_lines(summary: &RunSummary, journal: &Path) -> Vec<String> {
    let people: Vec<&ExposedPerson> = summary.left_exposed().collect();
    if people.is_empty() {
        return Vec::new();
    }
    let run = &summary.run;
    let count = counted(people.len() as u64, "person", "people");
    let mut lines = vec![format!("{count} cannot sign in (run {run}):")];
    lines.extend(people.iter().take(PEOPLE_NAMED_MAX).map(|one| person_line(one)));
    if people.len() > PEOPLE_NAMED_MAX {
        let more = people.len() - PEOPLE_NAMED_MAX;
        lines.push(format!("  and {more} more: `cutover report {run}` lists them in exposed.csv"));
    }
    if people.iter().any(|person| !person.stranded) {
        lines.push(format!("now: {}", resume_command(run, &summary.target_spec, journal)));
    }
    if people.iter().any(|person| person.stranded) {
        lines.push("bring the stranded ones back by hand: outcomes.csv says how they were".into());
    }
    lines
}

fn person_line(person: &ExposedPerson) -> String {
    let is = if person.doubtful { "may be" } else { "is" };
    let now = person.upn_now.as_ref();
    let place = match now.filter(|now| **now != person.upn_home) {
        Some(now) => format!("at {now}"),
        None => "half way".to_owned(),
    };
    let since = person.since.iter().map(|since| format!(", since {since}"));
    let id = person.object_id.iter().map(|id| format!(", object id {id}"));
    let more: String = since.chain(id).collect();
    let stranded = if person.stranded { ", stranded" } else { "" };
    format!("  {} {is} {place}{more}{stranded}", person.key)
}

/// Warnings about people who are done, by code.
#[must_use]
pub fn warned_lines(summary: &RunSummary) -> Vec<String> {
    if summary.warned.is_empty() {
        return Vec::new();
    }
    let people = counted(summary.warned_rows, "person is done and still needs", "people are done and still need");
    let mut lines = vec![format!("warnings  {people} something (warned.csv):")];
    for one in &summary.warned {
        let (code, Warned { rows, warning, advice }) = (&one.code, &one.people);
        lines.push(format!("  {rows:<9} {code}: {warning}"));
        lines.push(format!("            {advice}; more: cutover explain {code}"));
    }
    lines
}

/// How a run stands: one fact a line.
#[must_use]
pub fn status_lines(summary: &RunSummary) -> Vec<String> {
    let mut lines = vec![
        format!("run        {}", summary.run),
        format!("job        {}", summary.job),
        format!("target     {}", summary.target),
        format!("state      {}", summary.state),
    ];
    lines.extend(summary.reason.iter().map(|why| format!("because    {why}")));
    let under_way = summary.under_way.iter();
    lines.extend(under_way.map(|one| format!("under way  {} rows, {} people exposed", one.rows, one.exposed)));
    lines.extend(summary.slow.iter().map(|why| format!("slow       {why}")));
    lines.extend(summary.rate.binding.iter().map(|budget| format!("limited by {budget}")));
    lines.push(format!("started    {}", summary.started_at));
    lines.push(format!("finished   {}", summary.finished_at.as_deref().unwrap_or("-")));
    lines.push(format!("rows       {}", summary.rows));
    let counts = summary.outcomes.iter().filter(|(_, count)| **count > 0);
    lines.extend(counts.map(|(outcome, count)| format!("  {outcome:<9} {count}")));
    lines.extend(warned_lines(summary));
    let RunSummary { writes, reads, throttled, journal: LogHead { head, records }, .. } = summary;
    lines.push(format!("writes     {writes} ({reads} reads, {throttled} times throttled)"));
    lines.push(format!("journal    {records} records, head {head}"));
    lines
}

/// How a run ended, for a tired person.
#[must_use]
pub fn end_lines(summary: &RunSummary, journal: &Path) -> Vec<String> {
    let mut lines = vec![String::new()];
    lines.extend(exposed_lines(summary, journal));
    lines.push(format!("run       {} ({})", summary.run, summary.state));
    lines.extend(stop_reason(summary).map(|why| format!("stopped   {why}")));
    lines.push(format!("rows      {}", summary.rows));
    let counts = Outcome::ALL.map(|outcome| (outcome, summary.count(outcome))).into_iter();
    let counts = counts.filter(|(_, count)| *count > 0);
    lines.extend(counts.map(|(one, count)| format!("  {:<9} {count:>7}  {}", one.word(), meaning(one))));
    let RunSummary { writes, reads, throttled, journal: LogHead { head, records }, .. } = summary;
    let pace = format!("{:.1} of {:.1} a second", summary.rate.mean, summary.rate.budget);
    lines.push(format!("writes    {writes} at {pace}; {reads} reads; {throttled} times throttled"));
    let [half, max] = [summary.exposed_ms.p50, summary.exposed_ms.max].map(|ms| ms as f64 / 1_000.0);
    if max > 0.0 {
        lines.push(format!("exposed   half of the people at most {half:.1} s, the longest {max:.1} s"));
    }
    lines.extend(warned_lines(summary));
    lines.push(format!("journal   {records} records, head {head}"));
    lines
}

/// Why a run stopped before its end, if it did.
#[must_use]
pub fn stop_reason(summary: &RunSummary) -> Option<&str> {
    let reason = summary.reason.as_deref();
    reason.filter(|_| summary.state == RunStatus::Stopped)
}

fn meaning(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "at their goal, verified",
        Outcome::Unchanged => "were at their goal already",
        Outcome::Refused => "untouched: something speaks against them",
        Outcome::Failed => "as before: the first write was refused",
        Outcome::Reverted => "as before: undone after something failed",
        Outcome::Held => "in doubt: find out by hand",
        Outcome::Stranded => "CHANGED AND NOT PUT BACK: help them now",
        Outcome::Pending => "not begun, or not ended yet",
    }
}

/// The command that continues a run, as a shell takes it.
#[must_use]
pub fn resume_command(run: &str, target: &str, journal: &Path) -> String {
    format!("cutover resume {run} {}", places(target, journal))
}

/// The command that runs the unfinished rows again.
#[must_use]
pub fn rerun_command(job: &str, file: &Path, target: &str, journal: &Path) -> String {
    let file = quoted(&file.display().to_string());
    format!("cutover run {job} {file} {}", places(target, journal))
}

fn places(target: &str, journal: &Path) -> String {
    let journal = quoted(&journal.display().to_string());
    format!("--target {} --journal {journal}", quoted(target))
}

fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@+=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{LogHead, UnderWay, WarningGroup};

    fn summary(exposed: Vec<ExposedPerson>) -> RunSummary {
        RunSummary {
            run: "0199".into(),
            job: "immutable-id".into(),
            target: "contoso".into(),
            target_spec: "my tenant.toml".into(),
            state: RunStatus::Stopped,
            reason: None,
            taken_over_by: None,
            exposed,
            under_way: None,
            slow: None,
            rows: 3,
            outcomes: Default::default(),
            warnings: Default::default(),
            warned: Vec::new(),
            warned_rows: 0,
            writes: 0,
            reads: 0,
            throttled: 0,
            started_at: "2026-01-31T05:00:00.000Z".into(),
            finished_at: None,
            exposed_ms: Default::default(),
            rate: Default::default(),
            journal: LogHead { head: String::new(), records: 0 },
        }
    }

    fn person(key: &str, doubtful: bool, stranded: bool) -> ExposedPerson {
        ExposedPerson {
            row: 3,
            key: key.into(),
            object_id: Some("7c9e".into()),
            upn_now: Some("x@contoso.onmicrosoft.com".into()),
            upn_home: key.into(),
            since: Some("2026-01-31T05:00:00.000Z".into()),
            doubtful,
            stranded,
        }
    }

    fn words(exposed: Vec<ExposedPerson>) -> String {
        exposed_lines(&summary(exposed), Path::new("journal")).join("\n")
    }

    #[test]
    fn who_cannot_sign_in_comes_with_what_helps() {
        let people = vec![
            person("ann@contoso.com", false, false),
            person("bob@contoso.com", true, false),
            person("eve@contoso.com", false, true),
        ];
        insta::assert_snapshot!(words(people), @r"
        3 people cannot sign in (run 0199):
          ann@contoso.com is at x@contoso.onmicrosoft.com, since 2026-01-31T05:00:00.000Z, object id 7c9e
          bob@contoso.com may be at x@contoso.onmicrosoft.com, since 2026-01-31T05:00:00.000Z, object id 7c9e
          eve@contoso.com is at x@contoso.onmicrosoft.com, since 2026-01-31T05:00:00.000Z, object id 7c9e, stranded
        now: cutover resume 0199 --target 'my tenant.toml' --journal journal
        bring the stranded ones back by hand: outcomes.csv says how they were
        ");
        let stranded = words(vec![person("eve@contoso.com", false, true)]);
        insta::assert_snapshot!(stranded, @r"
        1 person cannot sign in (run 0199):
          eve@contoso.com is at x@contoso.onmicrosoft.com, since 2026-01-31T05:00:00.000Z, object id 7c9e, stranded
        bring the stranded ones back by hand: outcomes.csv says how they were
        ");
        let nothing_known = ExposedPerson { upn_now: None, ..person("ann@contoso.com", true, false) };
        assert!(words(vec![nothing_known]).contains("\n  ann@contoso.com may be half way,"));
        assert_eq!(words(Vec::new()), "");
    }

    #[test]
    fn many_are_counted() {
        let people = (0..23).map(|at| person(&format!("p{at}"), false, false));
        let words = words(people.collect());
        assert!(words.starts_with("23 people cannot sign in (run 0199):\n"));
        assert!(words.contains("\n  p19 is at"), "{words}");
        assert!(!words.contains("\n  p20 is at"), "{words}");
        let more = "\n  and 3 more: `cutover report 0199` lists them in exposed.csv\n";
        assert!(words.contains(more), "{words}");
    }

    #[test]
    fn people_of_a_live_run_are_not_left_exposed() {
        let mut live = summary(vec![person("ann@contoso.com", false, false)]);
        assert_eq!(live.left_exposed().count(), 1);
        live.under_way = Some(UnderWay { rows: 1, exposed: 1 });
        assert_eq!(live.left_exposed().count(), 0);
        assert!(exposed_lines(&live, Path::new("journal")).is_empty());
    }

    #[test]
    fn warnings_are_told_in_words() {
        let warned = |code: &str, rows, warning: &str, advice: &str| WarningGroup {
            code: code.into(),
            people: Warned { rows, warning: warning.into(), advice: advice.into() },
        };
        let mut summary = summary(Vec::new());
        assert!(warned_lines(&summary).is_empty());
        summary.warned_rows = 247;
        summary.warned = vec![
            warned("HardMatchIdentifier", 240, "it is set", "clear it"),
            warned("HardMatchRole", 7, "they hold a role", "take it away"),
        ];
        insta::assert_snapshot!(warned_lines(&summary).join("\n"), @r"
        warnings  247 people are done and still need something (warned.csv):
          240       HardMatchIdentifier: it is set
                    clear it; more: cutover explain HardMatchIdentifier
          7         HardMatchRole: they hold a role
                    take it away; more: cutover explain HardMatchRole
        ");
    }
}
