//! CSV bytes to checked rows.
//!
//! [`reader::open`] finds out what kind of file it is and where the job's columns are; [`reader::Input::rows`] reads
//! every row, checks it and compares it with all others. The memory needed does not depend on the number of rows:
//! the file is read twice instead of being kept, and the search for duplicates sorts on disk when it must.
//!
//! Nothing here knows a target, and nothing here changes a value: cells stay as they are in the file, and a repair is
//! only ever suggested.

pub mod column;
pub mod dialect;
mod duplicates;
pub mod error;
pub mod external_sort;
pub mod finding;
pub mod header;
mod lines;
pub mod plan_file;
pub mod reader;
mod records;
mod rows;
mod source;

pub use column::{Column, Layout};
pub use dialect::Dialect;
pub use error::InputError;
pub use finding::{Finding, FindingCounts};
pub use header::Mapping;
pub use plan_file::{PlanFile, PlanFileError};
pub use reader::{Input, open};
pub use rows::{Row, Visit};
pub use source::Digest;
