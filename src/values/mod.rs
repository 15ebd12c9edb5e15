//! What a cell of a file may hold: a kind of cell is one file that reads it, and one line in the table of `kind`.
//!
//! Nothing here changes a value: what is wrong with it is a [`Violation`], and a repair is only ever suggested.

pub mod anchor;
pub mod guid;
pub mod immutable_id;
mod kind;
mod mistake;
mod rule;
pub mod spelling;
mod text;
pub mod upn;
mod violation;

pub use anchor::{Anchor, AnchorError, interpret};
pub use guid::{ObjectGuid, decode};
pub use immutable_id::ImmutableId;
pub use kind::{CellKind, KINDS};
pub use rule::Rule;
pub use text::is_blank;
pub use upn::{domain, local_part, same_upn};
pub use violation::{Severity, Violation};
