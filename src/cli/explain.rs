//! `cutover explain`: what a code means, whether anything was changed, whether it is tried again, and what to do.
//!
//! Nothing is explained here. Each room has a table of its own codes, which its reports use as well; this file asks them all,
//! and the shipped jobs for theirs. A code may be in several tables, and then has several pages.

use super::context::job;
use super::errors;
use super::exit::{Exit, Failure};
use crate::core::nearest_first;
use crate::core::{NOT_AGAIN, NOTHING_CHANGED, ProblemKind};
use crate::job::{Objection, SHIPPED};
use crate::machine::Outcome;
use crate::progress::show_text;
use crate::services::{CLASSES, Class, KnownCode, Speaker, known_code, known_codes, statuses_of};
use crate::values::Rule;
use crate::{job, machine, runner};
use std::fmt::{self, Write as _};

/// Columns of a page: fits every terminal, and is the same in all of them.
const PAGE_COLUMNS: usize = 100;
/// Columns before the text of a page's line.
const LABEL_COLUMNS: usize = 15;
/// Longest code that its line of the list makes room for.
const CODE_COLUMNS: usize = 30;

pub(super) fn main(code: Option<&str>) -> Result<Exit, Failure> {
    let pages = pages()?;
    match code {
        None => show_text(list(&pages)),
        Some(code) => show_text(explain(code, &pages)?),
    }
    Ok(Exit::Good)
}

/// What a page is about; the list is in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Topic {
    Exit,
    Error,
    Outcome,
    Class,
    Problem,
    Rule,
    Job(String),
    Code(Speaker),
}

impl Topic {
    /// As it stands behind a code, and over a list of codes.
    fn words(&self) -> (String, String) {
        let (one, many) = match self {
            Topic::Exit => ("an exit code", "Exit codes"),
            Topic::Error => ("an error of a command", "Errors of commands"),
            Topic::Outcome => ("an outcome of a row", "Outcomes of rows"),
            Topic::Class => ("a class of replies", "Classes of replies"),
            Topic::Problem => ("a problem of a row", "Problems of rows"),
            Topic::Rule => ("a rule of the file", "Rules of the file"),
            Topic::Job(name) => {
                return (
                    format!("a code of the job {name}"),
                    format!("Codes of the job {name}"),
                );
            }
            Topic::Code(Speaker::Graph) => {
                ("a code of Microsoft Graph", "Codes of Microsoft Graph")
            }
            Topic::Code(Speaker::SignIn) => ("a code of the sign-in", "Codes of the sign-in"),
            Topic::Code(Speaker::Directory) => (
                "a code of the on-premises directory",
                "Codes of the on-premises directory",
            ),
            Topic::Code(Speaker::Transport) => (
                "a code of cutover about a request",
                "Codes of cutover about a request",
            ),
        };
        (one.to_owned(), many.to_owned())
    }
}

/// What is told of one code.
struct Page {
    code: String,
    topic: Topic,
    meaning: String,
    /// Its line in the list.
    summary: String,
    /// Label and text.
    lines: Vec<(&'static str, String)>,
}

/// Every page there is.
fn pages() -> Result<Vec<Page>, Failure> {
    let mut pages: Vec<Page> = Vec::new();
    pages.extend(Exit::ALL.map(exit_page));
    let errors = errors::ERRORS.iter();
    pages.extend(errors.map(|kind| problem_page(Topic::Error, kind)));
    pages.extend(Outcome::ALL.map(outcome_page));
    pages.extend(CLASSES.map(class_page));
    let problem = |kind| problem_page(Topic::Problem, kind);
    pages.extend(job::PROBLEMS.map(problem));
    pages.extend(machine::PROBLEMS.map(problem));
    pages.extend(runner::problems::PROBLEMS.map(problem));
    pages.extend(Rule::ALL.iter().filter_map(rule_page));
    for file in SHIPPED {
        let job = job(file.name)?;
        let of_run = job.obstacles.iter().chain(&job.checks);
        let objections = of_run.chain(&job.refusals);
        pages.extend(objections.map(|one| job_page(&job.name, one, before_anything(&one.advice))));
        let warnings = job.warnings.iter();
        pages.extend(warnings.map(|one| job_page(&job.name, one, beside_an_end(&one.advice))));
    }
    pages.extend(known_codes().map(|known| code_page(known.code, known)));
    Ok(pages)
}

fn exit_page(exit: Exit) -> Page {
    Page {
        code: exit.code().to_string(),
        topic: Topic::Exit,
        meaning: exit.meaning().to_owned(),
        summary: exit.meaning().to_owned(),
        lines: vec![("what to do", exit.advice().to_owned())],
    }
}

fn outcome_page(outcome: Outcome) -> Page {
    Page {
        code: outcome.word().to_owned(),
        topic: Topic::Outcome,
        meaning: outcome.meaning().to_owned(),
        summary: outcome.meaning().to_owned(),
        lines: vec![("what to do", outcome.advice().to_owned())],
    }
}

fn problem_page(topic: Topic, kind: &ProblemKind) -> Page {
    Page {
        code: kind.code.to_owned(),
        topic,
        meaning: kind.meaning.to_owned(),
        summary: kind.meaning.to_owned(),
        lines: what_to_do(kind, kind.advice),
    }
}

fn class_page(class: Class) -> Page {
    let kind = class.kind();
    let codes = known_codes().filter(|known| known.class.kind() == kind);
    let leads: Vec<String> = statuses_of(class)
        .map(|status| format!("http-{status}"))
        .chain(codes.map(|known| known.code.to_owned()))
        .collect();
    let mut lines = what_to_do(kind, kind.advice);
    lines.push(("comes from", leads.join(", ")));
    lines.push(("source", Speaker::Graph.source().to_owned()));
    Page {
        code: kind.code.to_owned(),
        topic: Topic::Class,
        meaning: kind.meaning.to_owned(),
        summary: kind.meaning.to_owned(),
        lines,
    }
}

fn code_page(code: &str, known: &KnownCode) -> Page {
    let kind = known.class.kind();
    let mut lines = vec![("leads to", kind.code.to_owned())];
    lines.extend(known.note.map(|_| ("that is", kind.meaning.to_owned())));
    lines.extend(what_to_do(kind, known.advice.unwrap_or(kind.advice)));
    lines.push(("source", known.speaker.source().to_owned()));
    Page {
        code: code.to_owned(),
        topic: Topic::Code(known.speaker),
        meaning: match known.note {
            Some(note) => sentence(note),
            None => kind.meaning.to_owned(),
        },
        summary: match known.note.or(known.advice) {
            Some(more) => format!("{}: {more}", kind.code),
            None => kind.code.to_owned(),
        },
        lines,
    }
}

fn rule_page(rule: &Rule) -> Option<Page> {
    let page = rule.page().ok()?;
    Some(Page {
        code: page.name.to_owned(),
        topic: Topic::Rule,
        meaning: page.meaning.to_owned(),
        summary: page.meaning.to_owned(),
        lines: before_anything(page.advice),
    })
}

fn job_page(job: &str, objection: &Objection, lines: Vec<(&'static str, String)>) -> Page {
    Page {
        code: objection.code.clone(),
        topic: Topic::Job(job.to_owned()),
        meaning: objection.reason.to_string(),
        summary: objection.reason.to_string(),
        lines,
    }
}

/// What warns of a row stops nothing.
fn beside_an_end(advice: &str) -> Vec<(&'static str, String)> {
    let changed = "as the row's outcome says: this is a warning, and stops nothing";
    vec![
        ("changed", changed.to_owned()),
        ("what to do", advice.to_owned()),
    ]
}

/// What refuses a row does so before anything is written for it.
fn before_anything(advice: &str) -> Vec<(&'static str, String)> {
    vec![
        ("changed", NOTHING_CHANGED.to_owned()),
        ("tried again", NOT_AGAIN.to_owned()),
        ("what to do", advice.to_owned()),
    ]
}

fn what_to_do(kind: &ProblemKind, advice: &str) -> Vec<(&'static str, String)> {
    vec![
        ("changed", kind.changed.to_owned()),
        ("tried again", kind.again.to_owned()),
        ("what to do", advice.to_owned()),
    ]
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters
        .next()
        .map(|letter| letter.to_uppercase().collect())
        .unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// The pages of a code: by its name, else by its form.
fn explain(code: &str, pages: &[Page]) -> Result<String, Failure> {
    let code = code.trim().trim_end_matches([':', ',']);
    // As it is printed: error[CODE].
    let code = code.strip_prefix("error[").unwrap_or(code);
    let code = code.trim_end_matches(']');
    let by_name: Vec<&Page> = pages
        .iter()
        .filter(|page| page.code.eq_ignore_ascii_case(code))
        .collect();
    if !by_name.is_empty() {
        let texts: Vec<String> = by_name.into_iter().map(Page::to_string).collect();
        return Ok(texts.join("\n"));
    }
    // An HTTP status looks like an exit code, and is none that was found.
    let is_status = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    let in_form = if is_status {
        format!("http-{code}")
    } else {
        code.to_owned()
    };
    match known_code(&in_form) {
        Some(known) => Ok(code_page(&in_form, &known).to_string()),
        None => Err(unknown(code, pages)),
    }
}

fn unknown(code: &str, pages: &[Page]) -> Failure {
    let codes: Vec<&str> = pages.iter().map(|page| page.code.as_str()).collect();
    let wanted = code.to_ascii_lowercase();
    let holds = |known: &&str| wanted.len() > 2 && known.to_ascii_lowercase().contains(&wanted);
    let mut near = nearest_first(code, &codes);
    near.extend(codes.iter().copied().filter(holds));
    let mut named: Vec<&str> = Vec::new();
    for code in near {
        if !named.contains(&code) {
            named.push(code);
        }
    }
    let help = match named.as_slice() {
        [] => "`cutover explain` without a code lists all of them".to_owned(),
        near => format!(
            "near to it: {}; `cutover explain` without a code lists all of them",
            near.join(", ")
        ),
    };
    Failure::usage(format!("no code `{code}` is known"), help).coded(&errors::UNKNOWN_CODE)
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})\n", self.code, self.topic.words().0)?;
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
fn list(pages: &[Page]) -> String {
    let mut text = String::new();
    let mut topic: Option<&Topic> = None;
    for page in pages {
        if topic != Some(&page.topic) {
            let gap = if topic.is_some() { "\n" } else { "" };
            let _ = writeln!(text, "{gap}{}", page.topic.words().1);
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
