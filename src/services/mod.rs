//! What is talked to: the connection file, authentication, requests, and replies sorted into a few classes.
//!
//! A [`Target`] sends one request once and says what became of it. It has no retry loops, no journal, no rows and no
//! jobs, and it does not ask for permits: whoever calls it decides when to send, and whether to send again.

mod advice;
mod allowance;
mod auth;
mod bounded_json;
pub mod budget;
mod claims;
mod classify;
mod cloud;
mod codes;
mod connection;
mod connection_file;
mod error_body;
mod graph;
mod graph_codes;
mod kinds;
mod ldap;
mod message;
mod mistake;
mod priority;
mod retry_after;
mod rights;
mod sign_in;
#[cfg(test)]
mod test_server;
mod token;

use async_trait::async_trait;

pub use allowance::Allowance;
pub use auth::{Auth, IdentityService, SecretSource};
pub use claims::Claims;
pub use classify::{classify, endless_listing};
pub use cloud::Cloud;
pub use codes::{KnownCode, Speaker, known_code, known_codes, statuses_of};
pub use connection::{Connection, ConnectionError, GraphConnection, Limits};
pub use graph::{Graph, GraphError};
pub use kinds::CLASSES;
pub use ldap::{Account, ActiveDirectory, AdConnection, AdLimits, Question};
pub use message::{Class, Expects, Fault, Kind, Method, Reply, Request, Success};
pub use mistake::Mistake;
pub use priority::ThrottlePriority;
pub use sign_in::{Granted, read_token_reply};

/// A service that takes requests.
#[async_trait]
pub trait Target: Send + Sync {
    /// Sends the request once and waits for what becomes of it; every failure is a [`Fault`] in the reply. If the
    /// future is dropped, the request may or may not have been applied.
    async fn send(&self, request: &Request) -> Reply;
}

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
