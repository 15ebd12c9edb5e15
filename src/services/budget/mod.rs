//! How fast a target may be talked to: budgets kept by governor, priorities among those who wait, and feedback from
//! the service. Every request of the program takes one permit from a [`Budget`] first.
//!
//! This room knows no rows and no HTTP. Whoever sends the requests reports what came back
//! ([`Budget::throttled`], [`Budget::taken`], [`Budget::usage`], [`Budget::unavailable`], [`Budget::answered`]); the
//! budget decides how long everybody waits. All time is tokio's, so a paused clock drives the whole room.

mod breaker;
mod delays;
mod feedback;
mod gate;
mod limiter;
mod pause;
mod permits;
mod quota;
mod refusals;
mod taken;
mod usage;

pub use delays::{Delays, Sequence};
pub use feedback::row_wait;
pub use gate::Permit;
pub use limiter::fits;
pub use pause::{Pause, PauseReason, ThrottleReason, Trouble};
pub use permits::{Budget, Priority};
pub use quota::{Quota, parse_duration};
