//! What is talked to: the connection file, authentication, requests, and replies sorted into a few classes.
//!
//! A [`Service`] sends one request once and says what became of it; the [`Registry`] holds all services of a run with their
//! budgets. Nothing here retries, knows rows, jobs or the journal, or takes a permit: whoever sends a request decides when, and
//! whether to send it again.

mod auth;
mod bounded_json;
pub mod budget;
mod class;
mod cloud;
mod codes;
mod connection;
mod connection_file;
mod graph;
mod http;
mod ldap;
mod listing;
mod registry;
mod reply;
mod retry_after;
mod rights;
mod service;
mod sign_in;
mod signed_client;
#[cfg(test)]
mod test_server;
mod token;
mod token_claims;

pub use auth::{Auth, IdentityService, SecretSource};
pub use class::{Again, Applied, Class, ClassFacts, Concerns};
pub use cloud::Cloud;
pub use codes::{KnownCode, Speaker, known_code, known_codes};
pub use connection::{Connection, GraphConnection, GraphLimits};
pub use connection_file::ConnectionError;
pub use graph::{Graph, HttpTransport, Transport, classify};
pub use ldap::{Account, ActiveDirectory, AdConnection, AdLimits, Directory, Question};
pub use listing::Listing;
pub use registry::{Binding, Endpoint, Registry};
pub use reply::{Fault, Payload, Reply, Success};
pub use service::{BudgetId, Check, Patience, Service, Verdict};
pub use sign_in::{Granted, Refusal, read_token_reply};
pub use signed_client::ClientError;
pub use token_claims::Claims;
