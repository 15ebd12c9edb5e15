//! What the program prints. Progress goes to standard error: a bar on a terminal, otherwise a plain line every ten seconds, or JSON
//! lines. It shows rows by outcome, the rate against the budget, the time left, how many people are exposed, and the reason whenever
//! the run waits. Everything is printed through `voice`.

mod bar;
mod lines;
mod voice;
mod words;

pub use crate::core::counted;
pub use voice::{
    Manner, Style, end, fail, log, name_run, note_end, print, print_file, print_finding, print_json_text, print_result,
    print_text, prompt, set_manner, visible, warn, warn_if_quiet,
};
pub use words::{short, waiting_in_words};

use crate::runner::Consumer;
use bar::Bar;
use lines::{Every, JsonLines, PlainLines};
use std::io::IsTerminal;

/// What shows how a run goes.
#[must_use]
pub fn consumer() -> Box<dyn Consumer> {
    let manner = voice::manner();
    match manner.style {
        Style::Auto if manner.quiet => Box::new(PlainLines(None)),
        // A bar that is not on a terminal shows nothing at all.
        Style::Auto | Style::Bar if std::io::stderr().is_terminal() => Box::new(Bar::new()),
        Style::Auto | Style::Bar | Style::Plain => Box::new(PlainLines(Some(Every::default()))),
        Style::Json => Box::new(JsonLines::default()),
        Style::None => Box::new(PlainLines(None)),
    }
}
