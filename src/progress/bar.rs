//! A progress bar on a terminal, by indicatif.

use super::voice::visible;
use super::words::{RunNews, news_in_words, outcomes_in_words, pace_in_words};
use crate::runner::{Consumer, RunEvent, Snapshot};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const TEMPLATE: &str = "{bar:30} {percent:>3} %  {pos} of {len} rows\n{msg}";

/// A bar with two lines: rows, then outcomes and pace.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// A bar on standard error.
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
        if let RunEvent::Started { snapshot, .. } | RunEvent::Tick(snapshot) | RunEvent::Ended(snapshot) = event {
            self.show(snapshot);
        }
        if let Some(RunNews::Hold(words) | RunNews::Stop(words)) = news_in_words(event) {
            self.0.println(visible(&words));
        }
        if let RunEvent::Ended(_) = event {
            self.0.finish_and_clear();
        }
    }
}
