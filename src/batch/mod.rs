//! CSV bytes to checked rows.
//!
//! [`reader::open`] finds out what kind of file it is and where the job's columns are; [`reader::Input::rows`] reads
//! every row, checks it and compares it with all others. The memory needed does not depend on the number of rows:
//! the file is read twice instead of being kept, and the search for duplicates sorts on disk when it must.
//!
//! Nothing here knows a target, and nothing here changes a value: cells stay as they are in the file, and a repair is
//! only ever suggested.

pub mod anchor;
pub mod column;
pub mod dialect;
mod duplicates;
pub mod error;
mod external_sort;
pub mod finding;
pub mod header;
pub mod immutable_id;
mod lines;
mod mistake;
pub mod plan_file;
pub mod reader;
mod records;
mod rows;
mod rule;
mod source;
pub mod spelling;

pub mod upn;

pub use anchor::{Anchor, AnchorError, interpret};
pub use column::{Column, Kind, Layout, Value};
pub use dialect::Dialect;
pub use error::InputError;
pub use finding::{Fault, Finding, Severity, Summary};
pub use header::Mapping;
pub use immutable_id::{ImmutableId, ObjectGuid, decode};
pub use plan_file::{PlanFile, PlanFileError};
pub use reader::{Input, open};
pub use rows::{Row, Visit};
pub use rule::{Rule, RulePage};
pub use source::Digest;
pub use upn::{domain, local_part, same_upn};
