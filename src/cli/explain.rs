//! `cutover explain`: what a code means, whether anything was changed, whether it is tried again, and what to do.
//!
//! Each room has a table of its own codes, which its reports use as well; this file collects them all, and those of the shipped
//! jobs. Only the codes of commands are explained here, in `explain.toml`. A code may be in several tables, and then has several
//! pages.

use super::context::job;
use super::errors;
use super::exit::Exit;
use super::failure::Failure;
use crate::core::{NOT_AGAIN, NOTHING_CHANGED, ProblemKind, nearest_first};
use crate::job::{Objection, SHIPPED};
use crate::machine::Outcome;
use crate::progress::print_text;
use crate::services::{CLASSES, Class, KnownCode, Speaker, known_code, known_codes, statuses_of};
use crate::values::Rule;
use crate::{job, machine, runner};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

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
    match code {
        None => print_text(list(&pages)),
        Some(code) => print_text(explain(code, &pages)?),
    }
    Ok(Exit::Good)
}

/// What a page is about: in the singular after a code, in the plural over the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Topic {
    one: String,
    many: String,
}

impl Topic {
    fn new(one: &str, many: &str) -> Topic {
        Topic { one: one.to_owned(), many: many.to_owned() }
    }

    fn of_speaker(speaker: Speaker) -> Topic {
        let name = match speaker {
            Speaker::Graph => "Microsoft Graph",
            Speaker::SignIn => "the sign-in",
            Speaker::Directory => "the on-premises directory",
            Speaker::Transport => "cutover about a request",
        };
        Topic::new(&format!("a code of {name}"), &format!("Codes of {name}"))
    }

    fn of_job(name: &str) -> Topic {
        let (one, many) = ("a code of the job", "Codes of the job");
        Topic::new(&format!("{one} {name}"), &format!("{many} {name}"))
    }
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

impl ExplainPage {
    fn new(topic: &Topic, code: &str, meaning: &str) -> ExplainPage {
        ExplainPage {
            code: code.to_owned(),
            topic: topic.clone(),
            meaning: meaning.to_owned(),
            summary: meaning.to_owned(),
            lines: Vec::new(),
        }
    }

    fn line(mut self, label: &'static str, text: &str) -> ExplainPage {
        self.lines.push((label, text.to_owned()));
        self
    }

    fn action(self, changed: &str, again: &str, advice: &str) -> ExplainPage {
        self.line("changed", changed).line("tried again", again).line("what to do", advice)
    }

    fn of_problem(topic: &Topic, kind: &ProblemKind) -> ExplainPage {
        let page = ExplainPage::new(topic, kind.code, kind.meaning);
        page.action(kind.changed, kind.again, kind.advice)
    }
}

/// `explain.toml`: meaning and advice, by code.
#[derive(Deserialize)]
pub(super) struct ErrorPages {
    pub before_a_run: BTreeMap<String, [String; 2]>,
    pub during_a_run: BTreeMap<String, [String; 2]>,
    exit_code: BTreeMap<String, [String; 2]>,
}

impl ErrorPages {
    pub fn read() -> Result<ErrorPages, Failure> {
        toml::from_str(include_str!("explain.toml")).map_err(|error| Failure::program(format!("explain.toml: {error}")))
    }

    fn into_pages(self) -> Vec<ExplainPage> {
        let exits = Topic::new("an exit code", "Exit codes");
        let errors = Topic::new("an error of a command", "Errors of commands");
        let exits = self
            .exit_code
            .iter()
            .map(|(code, [meaning, advice])| ExplainPage::new(&exits, code, meaning).line("what to do", advice));
        let of_errors = |changed, pages: &BTreeMap<String, [String; 2]>| -> Vec<ExplainPage> {
            let pages = pages.iter().map(|(code, [meaning, advice])| {
                ExplainPage::new(&errors, code, meaning).action(changed, AGAIN_BY_HAND, advice)
            });
            pages.collect()
        };
        exits
            .chain(of_errors(BEFORE_A_RUN, &self.before_a_run))
            .chain(of_errors(DURING_A_RUN, &self.during_a_run))
            .collect()
    }
}

/// Every page there is, in the order of the list.
fn pages() -> Result<Vec<ExplainPage>, Failure> {
    let mut pages = ErrorPages::read()?.into_pages();
    let outcomes = Topic::new("an outcome of a row", "Outcomes of rows");
    pages.extend(Outcome::ALL.map(|outcome| {
        ExplainPage::new(&outcomes, outcome.word(), outcome.meaning()).line("what to do", outcome.advice())
    }));
    let classes = Topic::new("a class of replies", "Classes of replies");
    pages.extend(CLASSES.map(|class| class_page(&classes, class)));
    let problems = Topic::new("a problem of a row", "Problems of rows");
    let of_rooms = (job::PROBLEMS.into_iter()).chain(machine::PROBLEMS).chain(runner::problems::PROBLEMS);
    pages.extend(of_rooms.map(|kind| ExplainPage::of_problem(&problems, kind)));
    let rules = Topic::new("a rule of the file", "Rules of the file");
    pages.extend(Rule::all().filter_map(|rule| {
        let page = ExplainPage::new(&rules, rule.name(), &rule.meaning());
        Some(page.action(NOTHING_CHANGED, NOT_AGAIN, rule.advice()?))
    }));
    for file in SHIPPED {
        let job = job(file.name)?;
        let topic = Topic::of_job(&job.name);
        let page = |one: &Objection| ExplainPage::new(&topic, &one.code, &one.reason.to_string());
        let refusals = job.obstacles.iter().chain(&job.checks).chain(&job.refusals);
        pages.extend(refusals.map(|one| page(one).action(NOTHING_CHANGED, NOT_AGAIN, &one.advice)));
        pages.extend(
            job.warnings.iter().map(|one| page(one).line("changed", WARNING_CHANGED).line("what to do", &one.advice)),
        );
    }
    pages.extend(known_codes().map(|known| code_page(known.code, known)));
    Ok(pages)
}

fn class_page(topic: &Topic, class: Class) -> ExplainPage {
    let kind = class.kind();
    let codes = known_codes().filter(|known| known.class.kind() == kind);
    let leads: Vec<String> = statuses_of(class)
        .map(|status| format!("http-{status}"))
        .chain(codes.map(|known| known.code.to_owned()))
        .collect();
    ExplainPage::of_problem(topic, kind).line("comes from", &leads.join(", ")).line("source", Speaker::Graph.source())
}

fn code_page(code: &str, known: &KnownCode) -> ExplainPage {
    let kind = known.class.kind();
    let meaning = match known.note {
        Some(note) => sentence(note),
        None => kind.meaning.to_owned(),
    };
    let mut page = ExplainPage::new(&Topic::of_speaker(known.speaker), code, &meaning);
    page.summary = match known.note.or(known.advice) {
        Some(more) => format!("{}: {more}", kind.code),
        None => kind.code.to_owned(),
    };
    page = page.line("leads to", kind.code);
    if known.note.is_some() {
        page = page.line("that is", kind.meaning);
    }
    let advice = known.advice.unwrap_or(kind.advice);
    page.action(kind.changed, kind.again, advice).line("source", known.speaker.source())
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    format!("{}{}.", first.collect::<String>(), letters.as_str())
}

/// The pages of a code: by its name, else by its form.
fn explain(code: &str, pages: &[ExplainPage]) -> Result<String, Failure> {
    let code = code.trim().trim_end_matches([':', ',']);
    // As it is printed: error[CODE].
    let code = code.strip_prefix("error[").unwrap_or(code);
    let code = code.trim_end_matches(']');
    let by_name = pages.iter().filter(|page| page.code.eq_ignore_ascii_case(code));
    let texts: Vec<String> = by_name.map(ExplainPage::to_string).collect();
    if !texts.is_empty() {
        return Ok(texts.join("\n"));
    }
    // An HTTP status looks like an exit code, but no exit code was found.
    let is_status = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    let in_form = match is_status {
        true => format!("http-{code}"),
        false => code.to_owned(),
    };
    match known_code(&in_form) {
        Some(known) => Ok(code_page(&in_form, &known).to_string()),
        None => Err(unknown(code, pages)),
    }
}

fn unknown(code: &str, pages: &[ExplainPage]) -> Failure {
    let codes: Vec<&str> = pages.iter().map(|page| page.code.as_str()).collect();
    let wanted = code.to_ascii_lowercase();
    let holds = |known: &&str| wanted.len() > 2 && known.to_ascii_lowercase().contains(&wanted);
    let mut near = nearest_first(code, &codes);
    for known in codes.iter().copied().filter(holds) {
        if !near.contains(&known) {
            near.push(known);
        }
    }
    let similar = match near.is_empty() {
        true => String::new(),
        false => format!("similar codes: {}; ", near.join(", ")),
    };
    let help = format!("{similar}`cutover explain` without a code lists all of them");
    Failure::usage(format!("the code `{code}` is not known"), help).coded(errors::UNKNOWN_CODE)
}

impl fmt::Display for ExplainPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})\n", self.code, self.topic.one)?;
        writeln!(f, "{}\n", wrapped(&self.meaning, "", ""))?;
        for (label, text) in &self.lines {
            let first = format!("{label:<LABEL_COLUMNS$}");
            writeln!(f, "{}", wrapped(text, &first, &" ".repeat(LABEL_COLUMNS)))?;
        }
        Ok(())
    }
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
    let mut text = String::new();
    let mut topic: Option<&Topic> = None;
    for page in pages {
        if topic != Some(&page.topic) {
            let gap = if topic.is_some() { "\n" } else { "" };
            let _ = writeln!(text, "{gap}{}", page.topic.many);
            topic = Some(&page.topic);
        }
        let rest = " ".repeat(CODE_COLUMNS + 3);
        let mut first = format!("  {:<CODE_COLUMNS$} ", page.code);
        if page.code.len() > CODE_COLUMNS {
            let _ = writeln!(text, "{}", first.trim_end());
            first.clone_from(&rest);
        }
        let _ = writeln!(text, "{}", wrapped(&page.summary, &first, &rest));
    }
    text
}
