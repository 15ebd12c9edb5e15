//! The journal: what a run was told to do, what it decided, and what came of it, safe from kills and power cuts.
//!
//! Two records of the same facts. The **log** ([`log`], one file a run) is append-only, a hash-chained line of JSON a record; a
//! transition is committed when the log is on disk, and it alone is enough to build everything else again. The
//! **checkpoint** (`cache` in sled, `summary` next to it) says where everyone is without reading the log, and may be thrown
//! away at any time. [`fold`] is what records come to, live as well as when they are read again. [`session`] writes,
//! [`open`] brings the checkpoint up to the log, `snapshot` and `reader` read, [`verify`] and [`export`] are for those who
//! trust nobody. What a row's events mean is the machine's business.

pub mod blocking;
mod cache;
mod checkpoint_writer;
pub mod error;
pub mod export;
mod exposures;
pub mod fold;
mod import;
pub mod line;
pub mod lock;
pub mod log;
pub mod log_file;
pub mod open;
mod reader;
pub mod reserve;
mod row;
mod run;
pub mod scan;
pub mod session;
pub mod sled_store;
mod snapshot;
pub mod storage;
pub mod store;
mod summary;
pub mod verify;
mod writer;

#[cfg(test)]
#[path = "../../tests/support/doubles/mod.rs"]
pub(crate) mod doubles;
#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod power_tests;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod test_world;

pub use error::JournalError;
pub use exposures::Exposures;
pub use import::Import;
pub use line::Adoption;
pub use lock::{Control, ControlToken, Holder};
pub use open::{Journal, takers};
pub use reader::RunReader;
pub use row::{Exposure, Facts, RowNumber, RowRecord, Transition, UnixMillis};
pub use run::{Counts, InputFacts, InputRow, Planned, RunHeader, RunId, RunRecord, RunState, Seal, Stop, Warned};
pub use session::{Closed, Copied, Session};
pub use snapshot::Snapshot;
