//! A progress bar on a terminal, by indicatif.

use super::{hold_in_words, outcomes_in_words, pace_in_words, stop_in_words, visible};
use crate::runner::{Consumer, RunEvent, Snapshot};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const TEMPLATE: &str = "{bar:30} {percent:>3} %  {pos} of {len} rows\n{msg}";

/// A bar with two lines: rows, then outcomes and pace.
pub struct Bar(ProgressBar);

impl Default for Bar {
    fn default() -> Self {
        Bar::new()
    }
}

impl Bar {
    /// A bar on standard error.
    #[must_use]
    pub fn new() -> Bar {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        Bar(bar)
    }

    fn show(&self, snapshot: &Snapshot) {
        self.0.set_length(snapshot.rows);
        self.0.set_position(snapshot.counts.total());
        let (outcomes, pace) = (outcomes_in_words(snapshot), pace_in_words(snapshot));
        self.0.set_message(visible(&format!("{outcomes}\n{pace}")).into_owned());
    }
}

impl Consumer for Bar {
    fn on_event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Started { run: _, snapshot } | RunEvent::Tick(snapshot) => self.show(snapshot),
            RunEvent::RowEnded { .. } => {}
            RunEvent::Held(hold) => self.0.println(visible(&hold_in_words(hold))),
            RunEvent::GoingOn => self.0.println("continuing"),
            RunEvent::Draining(_)
            | RunEvent::Interrupted { .. }
            | RunEvent::StillDraining { .. }
            | RunEvent::StoppingNow { .. } => {
                let words = stop_in_words(event).unwrap_or_default();
                self.0.println(visible(&words));
            }
            RunEvent::Ended(snapshot) => {
                self.show(snapshot);
                self.0.finish_and_clear();
            }
        }
    }
}
