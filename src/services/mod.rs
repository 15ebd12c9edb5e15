//! What is talked to: the connection file, authentication, requests, and replies sorted into a few classes.
//!
//! A [`Service`] sends one request once and says what became of it; the [`Registry`] holds all services of a run with their
//! budgets. Nothing here retries, knows rows, jobs or the journal, or takes a permit: whoever sends a request decides when, and
//! whether to send it again.

mod auth;
mod bounded_json;
pub mod budget;
mod claims;
mod class;
mod cloud;
mod codes;
mod connection;
mod connection_file;
mod graph;
mod ldap;
mod listing;
mod priority;
mod registry;
mod reply;
mod retry_after;
mod rights;
mod service;
mod sign_in;
#[cfg(test)]
mod test_server;
mod token;

use async_trait::async_trait;

pub use auth::{Auth, IdentityService, SecretSource};
pub use claims::Claims;
pub use class::{Again, Applied, CLASSES, Class, ClassFacts, Concerns};
pub use cloud::Cloud;
pub use codes::{KnownCode, Speaker, known_code, known_codes};
pub use connection::{Connection, ConnectionError, GraphConnection, GraphLimits};
pub use graph::{Graph, GraphError, HttpTransport, Transport, classify, statuses_of};
pub use ldap::{Account, ActiveDirectory, AdConnection, AdLimits, Question};
pub use listing::Listing;
pub use priority::ThrottlePriority;
pub use registry::{Binding, Endpoint, GivenUp, Registry};
pub use reply::{Fault, Payload, Reply, Success};
pub use service::{BudgetId, BudgetPlan, Check, Patience, Service, Verdict};
pub use sign_in::{Granted, read_token_reply};

/// A directory that answers questions about accounts.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Asks once and waits for the whole answer: every account with one of the values asked for, in no order, and perhaps
    /// accounts whose value only looks alike to the directory.
    ///
    /// # Errors
    /// [`Fault`]: `SignIn` and `Rejected` where asking again would fail alike, any other where it may not.
    async fn find(&self, question: &Question) -> Result<Vec<Account>, Fault>;
}
