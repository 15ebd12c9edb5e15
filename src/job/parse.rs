//! From the text of a job file to a [`Job`], or to all of its mistakes at once.

use super::fragments::JobReader;
use super::{Job, JobMistakes, names};
use crate::core::config::{self, Mistake};

/// Ten times the longest shipped job; what is longer is no job, and not worth reading.
pub(super) const SOURCE_BYTES_MAX: usize = 256 * 1_024;

/// Reads a job file. `origin` names it in messages.
///
/// # Errors
/// [`JobMistakes`] with every mistake, each with line and column.
pub fn parse(origin: &str, source: &str) -> Result<Job, JobMistakes> {
    read(source).map_err(|mistakes| JobMistakes { origin: origin.to_owned(), mistakes })
}

fn read(source: &str) -> Result<Job, Vec<Mistake>> {
    if source.len() > SOURCE_BYTES_MAX {
        let bytes = source.len();
        return Err(vec![Mistake {
            line: 1,
            column: 1,
            message: format!("the file has {bytes} bytes; a job has at most {SOURCE_BYTES_MAX}"),
            help: None,
        }]);
    }
    config::read(source, "", |root| {
        let mut reader = JobReader::default();
        let mut job = reader.job(root, source);
        job.observe.order(&job.facts);
        names::check(root, &job, &reader.uses, &reader.defined);
        job
    })
}
