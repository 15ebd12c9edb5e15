//! The report files of a run: `outcomes.csv`, `unfinished.csv` and `summary.json`.
//!
//! A consumer of the journal: it can be written again at any time and never steers a run. All three come from one pass over
//! the rows. Each file is written beside its place and then renamed, so that a reader never finds half of one.

mod files;
mod summary;

pub use files::{ReportError, ReportPaths, write};
pub use summary::{Chain, Liveness, Summary, UnderWay, summarize};
