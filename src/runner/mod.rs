//! Running a batch: admission, dispatch, the work on one row, stopping. The only room that knows all those below.
//!
//! [`dispatcher`] owns the rows in flight; [`worker`] is one row's path from admission to its end, and [`row`] its pure half;
//! [`client`] sends its requests; [`observe`] and [`assess`](mod@assess) turn replies into what the machine understands.
//! No CSV is parsed here and no HTTP spoken.

pub mod admission;
pub mod assess;
pub mod claims;
pub mod client;
pub mod command;
pub mod directory;
pub mod dispatcher;
pub mod event;
pub mod exposed;
pub mod exposure_gate;
pub mod flight;
pub mod half_way;
pub mod lookups;
pub mod observe;
pub mod pass;
pub mod plan;
pub mod plan_rows;
pub mod policy;
pub mod preflight;
pub mod problems;
pub mod reading;
pub mod reopen;
pub mod row;
pub mod schedule;
pub mod services;
pub mod spool;
pub mod staleness;
pub mod start;
pub mod stop;
pub mod window;
pub mod worker;

pub use command::{Answer, Asked, Command, Refused};
pub use dispatcher::{DispatchEnd, Dispatcher};
pub use event::{Consumer, RunEvent, Snapshot};
pub use policy::{MaxFailed, Policy};
pub use schedule::{Deadline, Schedule};
pub use services::{Clock, Gauges, Services, SystemClock};
pub use stop::{AdmissionPause, RunMode, StopKind, StopReason};
pub use window::Window;
