//! The journal: what a run was told to do, what it decided, and what came of it, safe from kills and power cuts.
//!
//! Two records of the same facts. The **log** ([`log`], one file a run) is append-only, checksummed and hash-chained; a
//! transition is committed when the log is on disk, and it alone is enough to build everything else again. The
//! **checkpoint** ([`checkpoint`], sled) says where everyone is, in constant memory. [`session`] writes both, [`open`]
//! brings the checkpoint up to the log, [`snapshot`] reads beside whoever works, [`view`] reads rows, [`verify`] and [`export`] are for those who trust nobody. What a row's events mean is the machine's business; here they are folded.

pub mod checkpoint;
pub mod committer;
pub mod disk;
pub mod entry;
pub mod error;
pub mod error_run;
pub mod export;
pub mod frame;
mod keeper;
mod keys;
pub mod ledger;
pub mod lock;
pub mod log;
pub mod medium;
pub mod memory;
pub mod memory_store;
pub mod open;
pub mod reserve;
pub mod row;
pub mod run;
pub mod scan;
pub mod scratch;
pub mod session;
pub mod snapshot;
pub mod store;
pub mod verify;
pub mod view;

#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod power_tests;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod test_world;

pub use entry::Adoption;
pub use error_run::JournalError;
pub use keeper::Writing;
pub use lock::{Control, ControlToken, Holder, LockError};
pub use open::{Journal, takers};
pub use row::{Exposure, Facts, RowNumber, RowRecord, Transition, UnixMillis};
pub use run::{
    Counts, InputFacts, InputRow, Planned, RunHeader, RunId, RunRecord, RunState, Seal, Stop,
};
pub use session::{Closed, Copied, Import, Session};
pub use snapshot::Snapshot;
pub use view::RunReader;
