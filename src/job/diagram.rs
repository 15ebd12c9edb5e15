//! A job's state machine as a Mermaid diagram, for a change request or a wiki page.

use super::{DirectoryPlan, Job};
use std::fmt::Write;

/// The diagram, as Mermaid's `stateDiagram-v2`.
#[must_use]
pub fn mermaid(job: &Job) -> String {
    let mut out = String::from("stateDiagram-v2\n");
    match &job.directory {
        Some(plan) => directory(&mut out, plan),
        None => line(&mut out, "[*] --> observing"),
    }
    for objection in &job.refusals {
        let label = plain(&objection.code);
        line(&mut out, &format!("observing --> refused: {label}"));
    }
    line(&mut out, "observing --> unchanged: the goal holds already");
    for (index, step) in job.steps.iter().enumerate() {
        let id = format!("step{}", index + 1);
        let title = plain(&step.title);
        line(&mut out, &format!("state \"{}\" as {id}", title));
        line(&mut out, &format!("observing --> {id}: {}", plain(step.when.source())));
        match job.steps.get(index + 1) {
            Some(_) if step.observe_after => line(&mut out, &format!("{id} --> observing: read again")),
            Some(_) => line(&mut out, &format!("{id} --> step{}", index + 2)),
            None => line(&mut out, &format!("{id} --> verifying")),
        }
        line(&mut out, &format!("{id} --> observing: in doubt, read first"));
        if let Some(undo) = &step.undo {
            line(&mut out, &format!("state \"undo: {title}\" as undo{}", index + 1));
            line(&mut out, &format!("failing --> undo{}: {}", index + 1, plain(undo.when.source())));
            line(&mut out, &format!("undo{} --> reverted", index + 1));
            line(&mut out, &format!("undo{} --> stranded: it cannot be undone", index + 1));
        }
        if !step.undone_as.is_empty() {
            let names = step.undone_as.iter().filter_map(|other| job.step(*other));
            let names: Vec<String> = names.map(|other| plain(&other.name)).collect();
            let note = format!("note right of {id}: undone like {}", names.join(" and "));
            line(&mut out, &note);
        }
        if step.otherwise.is_some() {
            line(&mut out, &format!("{id} --> observing: refused at first, then done the other way"));
        }
        line(&mut out, &format!("{id} --> failing: refused"));
        if step.exposes {
            line(&mut out, &format!("note right of {id}: from here on the person cannot work"));
        }
        if step.ends_exposure {
            line(&mut out, &format!("note right of {id}: from here on the person can work again"));
        }
    }
    line(&mut out, &format!("verifying --> done: {}", plain(job.goal.source())));
    line(&mut out, "failing --> failed: nothing was written");
    for end in ["done", "unchanged", "refused", "failed", "reverted", "stranded"] {
        line(&mut out, &format!("{end} --> [*]"));
    }
    out
}

/// The directory is asked before a row begins, and only about rows that need it.
fn directory(out: &mut String, plan: &DirectoryPlan) {
    let asked = plan.when.as_ref().map_or("every row", |when| when.source());
    line(out, "state \"ask the on-premises directory\" as directory");
    line(out, &format!("[*] --> directory: {}", plain(asked)));
    if plan.when.is_some() {
        line(out, "[*] --> observing: else");
    }
    line(out, "directory --> refused: nobody, several, or a value of no use");
    line(out, "directory --> observing: one entry, or no directory in the connection file");
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "    {text}");
}

/// A text of the job as part of one line: Mermaid ends a label at a colon, a semicolon, a hash or a quote, takes `%%` for a comment
/// or a directive and `<` for HTML; what looks alike stands in for them.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|letter: char| letter.is_whitespace() || letter.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let letters = words.join(" ");
    letters
        .chars()
        .map(|letter| match letter {
            ':' => '∶',
            ';' => ',',
            '#' => '＃',
            '"' => '″',
            '%' => '％',
            '<' => '＜',
            '>' => '＞',
            letter => letter,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_taken_for_mermaid_or_html() {
        let text = "a\nclick b \"javascript:x\"\r\n%%{init: {}}%% <img src=x>;#\u{1b}";
        let shown = plain(text);
        insta::assert_snapshot!(shown, @"a click b ″javascript∶x″ ％％{init∶ {}}％％ ＜img src=x＞,＃");
    }
}
