//! `cutover explain`: what a code means, whether anything was changed, whether it is tried again, and what to do.
//!
//! Each room has a table of its own codes, which its reports use as well; this file collects them all, and those of the shipped
//! jobs. Only the codes of commands are explained here, in `explain.toml`. A code may be in several tables, and then has several
//! pages.

use super::context::job;
use super::failure::ErrorPages;
use super::{Exit, Failure};
use crate::core::{NOT_AGAIN, NOTHING_CHANGED, ProblemKind, nearest_first};
use crate::job::SHIPPED;
use crate::machine::Outcome;
use crate::progress::print_text;
use crate::services::{Class, KnownCode, Speaker, known_code, known_codes};
use crate::values::Rule;
use crate::{job, machine, runner};
use std::collections::BTreeSet;

/// Columns of a page: fits every terminal, and is the same in all of them.
const PAGE_COLUMNS: usize = 100;
/// Columns before the text of a page's line.
const LABEL_COLUMNS: usize = 15;
/// The longest code that shares a line with its text in the list.
const CODE_COLUMNS: usize = 30;

const BEFORE_A_RUN: &str = "nothing was written to any target";
const DURING_A_RUN: &str = "the journal has everything that was done; nothing was sent without a stored intent";
const AGAIN_BY_HAND: &str = "no; run the same command again once the cause is fixed";
const WARNING_CHANGED: &str = "as the row's outcome says: this is a warning and stops nothing";

pub(super) fn main(code: Option<&str>) -> Result<Exit, Failure> {
    let pages = pages()?;
    print_text(match code {
        None => list(&pages),
        Some(code) => explain(code, &pages)?,
    });
    Ok(Exit::Good)
}

/// What a page is about: in the singular after a code, in the plural over the list.
type Topic = [String; 2];

fn topic(one: &str, many: &str) -> Topic {
    [one.to_owned(), many.to_owned()]
}

fn codes_of(whom: &str) -> Topic {
    [format!("a code of {whom}"), format!("Codes of {whom}")]
}

/// What is known about one code.
struct ExplainPage {
    code: String,
    topic: Topic,
    meaning: String,
    /// Its line in the list.
    summary: String,
    /// Label and text.
    lines: Vec<(&'static str, String)>,
}

/// A label and a text of a page.
type PageLine<'t> = (&'static str, &'t str);

impl ExplainPage {
    fn new(topic: &Topic, code: &str, meaning: &str, lines: &[PageLine<'_>]) -> ExplainPage {
        ExplainPage {
            code: code.to_owned(),
            topic: topic.clone(),
            meaning: meaning.to_owned(),
            summary: meaning.to_owned(),
            lines: lines.iter().map(|(label, text)| (*label, (*text).to_owned())).collect(),
        }
    }

    fn of_problem(topic: &Topic, kind: &ProblemKind) -> ExplainPage {
        ExplainPage::new(topic, kind.code, kind.meaning, &action(kind.changed, kind.again, kind.advice))
    }
}

fn action<'t>(changed: &'t str, again: &'t str, advice: &'t str) -> [PageLine<'t>; 3] {
    [("changed", changed), ("tried again", again), ("what to do", advice)]
}

/// Every page there is, in the order of the list.
fn pages() -> Result<Vec<ExplainPage>, Failure> {
    let mut pages = Vec::new();
    let of_commands = ErrorPages::read();
    let exits = topic("an exit code", "Exit codes");
    for (code, [meaning, advice]) in &of_commands.exit_code {
        pages.push(ExplainPage::new(&exits, code, meaning, &[("what to do", advice)]));
    }
    let errors = topic("an error of a command", "Errors of commands");
    for (changed, codes) in [(BEFORE_A_RUN, &of_commands.before_a_run), (DURING_A_RUN, &of_commands.during_a_run)] {
        for (code, [meaning, advice]) in codes {
            pages.push(ExplainPage::new(&errors, code, meaning, &action(changed, AGAIN_BY_HAND, advice)));
        }
    }
    let outcomes = topic("an outcome of a row", "Outcomes of rows");
    for outcome in Outcome::ALL {
        pages.push(ExplainPage::new(&outcomes, outcome.word(), outcome.meaning(), &[("what to do", outcome.advice())]));
    }
    let classes = topic("a class of replies", "Classes of replies");
    pages.extend(Class::all().map(|class| class_page(&classes, class)));
    let problems = topic("a problem of a row", "Problems of rows");
    let of_rooms = job::PROBLEMS.into_iter().chain(machine::PROBLEMS).chain(runner::problems::PROBLEMS);
    pages.extend(of_rooms.map(|kind| ExplainPage::of_problem(&problems, kind)));
    let rules = topic("a rule of the file", "Rules of the file");
    pages.extend(Rule::all().map(|rule| {
        let lines = action(NOTHING_CHANGED, NOT_AGAIN, rule.advice().unwrap_or_default());
        ExplainPage::new(&rules, rule.name(), &rule.meaning(), &lines)
    }));
    for file in SHIPPED {
        let job = job(file.name)?;
        let topic = codes_of(&format!("the job {}", job.name));
        let refusals = job.obstacles.iter().chain(&job.checks).chain(&job.refusals);
        pages.extend(refusals.map(|one| {
            let lines = action(NOTHING_CHANGED, NOT_AGAIN, &one.advice);
            ExplainPage::new(&topic, &one.code, &one.reason.to_string(), &lines)
        }));
        pages.extend(job.warnings.iter().map(|one| {
            let lines = [("changed", WARNING_CHANGED), ("what to do", &one.advice)];
            ExplainPage::new(&topic, &one.code, &one.reason.to_string(), &lines)
        }));
    }
    pages.extend(known_codes().map(|known| code_page(known.code, known)));
    Ok(pages)
}

fn class_page(topic: &Topic, class: Class) -> ExplainPage {
    let kind = class.kind();
    let codes = known_codes().filter(|known| known.class.kind() == kind).map(|known| known.code.to_owned());
    let leads: Vec<String> = class.statuses().map(|status| format!("http-{status}")).chain(codes).collect();
    let mut page = ExplainPage::of_problem(topic, kind);
    page.lines.extend([("comes from", leads.join(", ")), ("source", Speaker::Graph.source().to_owned())]);
    page
}

fn code_page(code: &str, known: &KnownCode) -> ExplainPage {
    let kind = known.class.kind();
    let (note, advice) = (known.note, known.advice);
    let mut lines = vec![("leads to", kind.code)];
    lines.extend(note.map(|_| ("that is", kind.meaning)));
    lines.extend(action(kind.changed, kind.again, advice.unwrap_or(kind.advice)));
    lines.push(("source", known.speaker.source()));
    let topic = codes_of(match known.speaker {
        Speaker::Graph => "Microsoft Graph",
        Speaker::SignIn => "the sign-in",
        Speaker::Directory => "the on-premises directory",
        Speaker::Transport => "cutover about a request",
    });
    let meaning = note.map_or_else(|| kind.meaning.to_owned(), sentence);
    let more = note.or(advice).map_or_else(String::new, |more| format!(": {more}"));
    let page = ExplainPage::new(&topic, code, &meaning, &lines);
    ExplainPage { summary: format!("{}{more}", kind.code), ..page }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    format!("{}{}.", first.collect::<String>(), letters.as_str())
}

/// The pages of a code: by its name, else by its form.
fn explain(code: &str, pages: &[ExplainPage]) -> Result<String, Failure> {
    // As it is printed: error[CODE].
    let code = code.trim().trim_end_matches([':', ',']).trim_start_matches("error[").trim_end_matches(']');
    let by_name = pages.iter().filter(|page| page.code.eq_ignore_ascii_case(code));
    let texts: Vec<String> = by_name.map(text_of).collect();
    if !texts.is_empty() {
        return Ok(texts.join("\n"));
    }
    // An HTTP status looks like an exit code, but no exit code was found.
    let is_status = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    let in_form = if is_status { format!("http-{code}") } else { code.to_owned() };
    let known = known_code(&in_form).ok_or_else(|| unknown(code, pages))?;
    Ok(text_of(&code_page(&in_form, &known)))
}

fn unknown(code: &str, pages: &[ExplainPage]) -> Failure {
    let codes: Vec<&str> = pages.iter().map(|page| page.code.as_str()).collect();
    let wanted = code.to_ascii_lowercase();
    let holds = |known: &&str| wanted.len() > 2 && known.to_ascii_lowercase().contains(&wanted);
    // The nearest first; one may be both near and longer.
    let mut near = nearest_first(code, &codes);
    near.extend(codes.iter().copied().filter(holds));
    let mut seen = BTreeSet::new();
    near.retain(|code| seen.insert(*code));
    let similar = if near.is_empty() { String::new() } else { format!("similar codes: {}; ", near.join(", ")) };
    let help = format!("{similar}`cutover explain` without a code lists all of them");
    Failure::usage("unknown-code", format!("the code `{code}` is not known"), help)
}

fn text_of(page: &ExplainPage) -> String {
    let lines = page.lines.iter().map(|(label, text)| {
        let text = wrapped(text, &format!("{label:<LABEL_COLUMNS$}"), &" ".repeat(LABEL_COLUMNS));
        format!("{text}\n")
    });
    let meaning = wrapped(&page.meaning, "", "");
    format!("{} ({})\n\n{meaning}\n\n{}", page.code, page.topic[0], lines.collect::<String>())
}

fn wrapped(text: &str, first: &str, rest: &str) -> String {
    let options = textwrap::Options::new(PAGE_COLUMNS)
        .initial_indent(first)
        .subsequent_indent(rest)
        .break_words(false)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::fill(text, options)
}

/// A line a code, under a heading a topic.
fn list(pages: &[ExplainPage]) -> String {
    let groups = pages.chunk_by(|one, next| one.topic == next.topic).map(|group| {
        let heading = group.iter().take(1).map(|page| format!("{}\n", page.topic[1]));
        heading.chain(group.iter().map(in_list)).collect::<String>()
    });
    groups.collect::<Vec<_>>().join("\n")
}

/// A code that is too long for its column has a line of its own.
fn in_list(page: &ExplainPage) -> String {
    let rest = " ".repeat(CODE_COLUMNS + 3);
    let first = format!("  {:<CODE_COLUMNS$} ", page.code);
    match page.code.len() > CODE_COLUMNS {
        true => format!("{}\n{}\n", first.trim_end(), wrapped(&page.summary, &rest, &rest)),
        false => format!("{}\n", wrapped(&page.summary, &first, &rest)),
    }
}
