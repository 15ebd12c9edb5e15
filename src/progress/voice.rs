//! The only way to standard output and standard error, for people and for programs (`--progress json`).
//!
//! Text from elsewhere (a heading, a job's name, a service's message) may contain characters that control a terminal or reverse the
//! text. They are made visible here, so that no caller has to think of them.

use crate::journal::RunId;
use clap::{ColorChoice, ValueEnum};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io::{IsTerminal, Write as _};
use std::sync::OnceLock;

/// Version of the JSON lines' schema, `samples/progress-events.schema.json`.
const SCHEMA: u32 = 1;

/// SGR codes of the labels on standard error.
const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const CYAN: &str = "36";

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Style {
    /// A bar on a terminal, else plain lines
    #[default]
    Auto,
    /// A bar
    Bar,
    /// A line every ten seconds
    Plain,
    /// JSON lines
    Json,
    /// Nothing, except how the run stops
    None,
}

/// How this process prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manner {
    /// [`Style::Json`]: standard error carries JSON lines, and nothing else.
    pub style: Style,
    /// Only warnings and errors are printed.
    pub quiet: bool,
    /// When colour is used.
    pub color: ColorChoice,
}

impl Manner {
    fn is_json(self) -> bool {
        self.style == Style::Json
    }
}

/// Whether a stream gets colour.
fn is_coloured(color: ColorChoice, stream: &impl IsTerminal) -> bool {
    match color {
        ColorChoice::Auto => stream.is_terminal() && may_colour(),
        ColorChoice::Always => true,
        ColorChoice::Never => false,
    }
}

/// <https://no-color.org>: set and not empty means no colour. A dumb terminal has none.
fn may_colour() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !is_set("NO_COLOR") && !is_dumb
}

static MANNER: OnceLock<Manner> = OnceLock::new();

/// What JSON lines say of the run that is worked on.
static STORY: Mutex<RunStory> = Mutex::new(RunStory { run: None, end: Value::Null });

struct RunStory {
    /// Named in every line from here on.
    run: Option<RunId>,
    /// What the last line says, next to the exit code.
    end: Value,
}

/// Sets how this process prints; the first call counts.
pub fn set_manner(manner: Manner) {
    // Set twice only in tests.
    let _first = MANNER.set(manner);
}

pub(super) fn manner() -> Manner {
    MANNER.get().copied().unwrap_or_default()
}

/// The run that every JSON line from here on belongs to.
pub fn name_run(run: RunId) {
    STORY.lock().run = Some(run);
}

/// What the last JSON line says about the run, next to the exit code.
pub fn note_end(facts: Value) {
    STORY.lock().end = facts;
}

/// To standard error: a JSON line of this name, or the words. Errors are ignored: a full disk under standard error is no reason to
/// stop a run.
fn tell(name: &str, facts: Value, words: &str) {
    match manner().is_json() {
        true => event(name, facts),
        false => line(words),
    }
}

/// Prints a line on standard error, unless `--quiet`.
pub fn print(text: impl Display) {
    if !manner().quiet {
        let text = text.to_string();
        tell("message", json!({"text": text}), &visible(&text));
    }
}

/// Prints a warning, also with `--quiet`.
pub fn warn(text: impl Display) {
    let text = text.to_string();
    let words = format!("{}: {}", painted(YELLOW, "warning"), visible(&text));
    tell("warning", json!({"text": text}), &words);
}

/// Prints a warning only with `--quiet`, in place of results that are not shown then.
pub fn warn_if_quiet(text: impl Display) {
    if manner().quiet {
        warn(text);
    }
}

/// Prints a finding, which names its severity itself, also with `--quiet`.
pub fn print_finding(text: impl Display) {
    let text = text.to_string();
    tell("warning", json!({"text": text}), &visible(&text));
}

/// Prints why a command ended early.
pub fn fail(code: &str, message: &str, help: Option<&str>) {
    let label = painted(RED, &format!("error[{}]", visible(code)));
    let mut words = format!("{label}: {}", visible(message));
    if let Some(help) = help {
        // Writing to a String cannot fail.
        let _ = write!(words, "\n  {}: {}", painted(CYAN, "help"), visible(help));
    }
    tell("error", json!({"code": code, "message": message, "help": help}), &words);
}

/// Shows a part of a line on the terminal, for somebody to answer.
pub fn prompt(text: &str) {
    let mut terminal = std::io::stderr();
    // Without a terminal no answer comes either.
    let _ = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
}

/// A line of the log.
pub fn log(level: tracing::Level, text: &str) {
    let (word, label) = match level {
        tracing::Level::ERROR => ("error", painted(RED, "error")),
        tracing::Level::WARN => ("warning", painted(YELLOW, "warning")),
        tracing::Level::INFO => ("info", "info".to_owned()),
        tracing::Level::DEBUG => ("debug", "debug".to_owned()),
        tracing::Level::TRACE => ("trace", "trace".to_owned()),
    };
    tell("log", json!({"level": word, "text": text}), &format!("{} {label}: {}", now(), visible(text)));
}

/// A JSON line, with what every line has: the schema's version, the time, the run.
pub(super) fn event(name: &str, facts: Value) {
    let run = STORY.lock().run;
    let head = json!({"schema": SCHEMA, "time": now(), "run": run, "event": name});
    line(&escaped(&with(head, facts).to_string()));
}

/// The last JSON line: how the process ends, and what is known of its run.
pub fn end(exit_code: u8) {
    if manner().is_json() {
        let unknown = json!({"state": null, "rows": null, "outcomes": null, "exposed": null, "report": null});
        let known = with(unknown, STORY.lock().end.take());
        event("end", with(known, json!({"exit_code": exit_code})));
    }
}

/// An object with what another one has.
fn with(mut object: Value, other: Value) -> Value {
    if let (Value::Object(members), Value::Object(more)) = (&mut object, other) {
        members.extend(more);
    }
    object
}

fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// In one write, so that lines of several threads do not mix.
fn line(text: &str) {
    let _unheard = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Prints a result on standard output, unless `--quiet`.
pub fn print_result(text: impl Display) {
    if !manner().quiet {
        // A closed pipe is no error: the exit code and the report print it, too.
        let _unheard = writeln!(std::io::stdout(), "{}", visible(&text.to_string()));
    }
}

/// Prints a requested document on standard output, with its own line ends.
pub fn print_text(text: impl Display) {
    // A closed pipe is no error.
    let _unheard = write!(std::io::stdout(), "{}", visible(&text.to_string()));
}

/// The same for a user's file, which is not changed when standard output is no terminal.
pub fn print_file(text: &str) {
    if std::io::stdout().is_terminal() {
        return print_text(text);
    }
    // A closed pipe is no error.
    let _unheard = std::io::stdout().write_all(text.as_bytes());
}

/// Prints JSON on standard output, with its own line ends.
pub fn print_json_text(text: &str) {
    // A closed pipe is no error.
    let _unheard = std::io::stdout().write_all(escaped(text).as_bytes());
}

fn painted(code: &str, text: &str) -> String {
    match is_coloured(manner().color, &std::io::stderr()) {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

/// Whether a character controls a terminal, is invisible, or reverses the text around it.
fn is_hidden(letter: char) -> bool {
    match letter {
        '\n' | '\t' => false,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        letter => letter.is_control(),
    }
}

/// The text with hidden characters spelt out, as in `\u{1b}`.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    replaced(text, |letter, out| out.extend(letter.escape_unicode()))
}

/// JSON with the same characters escaped. They occur in strings only, so the value stays the same.
fn escaped(json: &str) -> Cow<'_, str> {
    replaced(json, |letter, out| {
        for unit in letter.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

fn replaced(text: &str, spell: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_hidden(letter) {
            spell(letter, &mut out);
        } else {
            out.push(letter);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_steers_a_terminal_is_spelt_out() {
        assert_eq!(visible("a\x1b]0;x\x07b"), "a\\u{1b}]0;x\\u{7}b");
        assert_eq!(visible("\u{9b}31m\u{202e}txt\u{2066}"), "\\u{9b}31m\\u{202e}txt\\u{2066}");
        assert_eq!(visible("Zoë\tO'Brien\n"), "Zoë\tO'Brien\n");
    }

    #[test]
    fn a_dumb_stream_has_colour_only_when_it_must() {
        let file = tempfile::tempfile().unwrap();
        let is_on = |color| is_coloured(color, &file);
        assert_eq!([ColorChoice::Auto, ColorChoice::Always, ColorChoice::Never].map(is_on), [false, true, false]);
    }

    proptest! {
        #[test]
        fn nothing_hidden_gets_through_and_json_keeps_its_value(text in "\\PC{0,40}|(?s).{0,40}") {
            prop_assert!(!visible(&text).contains(is_hidden));
            let json = serde_json::to_string(&text).unwrap();
            let shown = escaped(&json);
            prop_assert!(!shown.contains(is_hidden));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }
}
