//! `cutover report`: write the report files again.

use super::context::{absolute, report_dir, warn_unused};
use super::status::View;
use super::{Exit, Failure, Global};
use crate::progress::print_result;
use crate::report::{exposed_lines, write};
use std::path::PathBuf;

pub(super) async fn main(global: &Global, run: Option<String>, dir: Option<PathBuf>) -> Result<Exit, Failure> {
    let mut view = View::of(global, run.as_deref()).await?;
    let named = view.run.id().to_string();
    let dir = absolute(&report_dir(dir.as_deref(), &named));
    loop {
        let (mut reader, unused) = view.journal.rows(&view.run)?;
        unused.iter().for_each(warn_unused);
        let (report, summary) = write(&view.run, &mut reader, &dir, &view.live)?;
        let was_live = view.live.live().is_some();
        if was_live {
            view = View::of(global, Some(&named)).await?;
        }
        // A process that has ended meanwhile has written its last report, which this one may have replaced.
        if !was_live || view.live.live().is_some() {
            exposed_lines(&summary, &global.journal).iter().for_each(print_result);
            report.files.iter().for_each(|file| print_result(report.dir.join(file).display()));
            return Ok(Exit::of_shown(&summary));
        }
    }
}
