//! The report files of a run: `outcomes.csv`, `unfinished.csv`, `exposed.csv`, `warned.csv` and `summary.json`; and `plan.csv`,
//! before it.
//!
//! A consumer of the journal: it can be written again at any time and never steers a run. Those of a run come from one pass over
//! the rows. Each file is written beside its place and then renamed, so that a reader never finds half of one.

mod files;
mod gathered;
mod plan;
mod summary;
mod table;

pub use files::{ReportPaths, write};
pub use gathered::{ExposedPerson, Warned};
pub use plan::{PlanLine, write_plan};
pub use summary::{Chain, Liveness, Summary, UnderWay, summarize};
pub use table::{ReportError, Table, make_folder};
