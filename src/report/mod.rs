//! The report files of a run, and `plan.csv` before it.
//!
//! Made from the journal, so they can be written again at any time. One pass over the rows ([`write()`]) makes an [`OutcomeRow`]
//! of each and hands it to every sink. Each file is put in its place when it is whole.

mod csv_files;
mod error;
mod exposed_list;
mod liveness;
mod outcome;
mod plan;
mod sink;
mod summary;
mod table;
mod words;
mod write;

pub use error::ReportError;
pub use exposed_list::write_exposed_list;
pub use liveness::{LiveRun, Liveness, RunStatus, UnderWay};
pub use outcome::{ExposedPerson, OutcomeRow};
pub use plan::PlanTable;
pub use sink::Sink;
pub use summary::{LogHead, RunSummary, WarningGroup, summarize};
pub use table::CsvTable;
pub use words::{end_lines, exposed_lines, listed, rerun_command, resume_command, status_lines, stop_reason};
pub use write::{Report, make_folder, write};

/// A line a row.
pub const OUTCOMES: &str = "outcomes.csv";
/// The rows that need another try or a person, as input for the same job.
pub const UNFINISHED: &str = "unfinished.csv";
/// The numbers.
pub const SUMMARY: &str = "summary.json";
/// Who cannot sign in now; only when there is somebody.
pub const EXPOSED: &str = "exposed.csv";
/// Rows that are done and still need attention; only when there are some.
pub const WARNED: &str = "warned.csv";
