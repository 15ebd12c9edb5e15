//! Microsoft Graph: which budget a request takes from, what it is recognised by, and how it is sent.
//!
//! What is said in OData's words is said in this folder only.

mod batch;
mod budgets;
mod classify;
mod error_body;
mod gather;
mod http;
mod preflight;

use super::budget::Budget;
use super::connection::GraphLimits;
use super::reply::{Fault, Reply};
use super::service::{BudgetId, Check, Patience, Service};
use crate::core::{Expects, Request, ServiceName};
use async_trait::async_trait;
use batch::Batcher;
use http::{BETA, is_beta};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

pub use classify::classify;
pub use http::{HttpTransport, Transport};

/// A tenant behind Microsoft Graph.
pub struct Graph {
    transport: Arc<dyn Transport>,
    reads: Arc<Batcher>,
    beta_reads: Arc<Batcher>,
    tenant: String,
    limits: GraphLimits,
    patience: Patience,
}

impl Graph {
    /// A tenant by its name, behind anything that carries requests.
    #[must_use]
    pub fn new(
        transport: Arc<dyn Transport>,
        tenant: impl Into<String>,
        limits: GraphLimits,
        patience: Patience,
    ) -> Graph {
        Graph {
            reads: Batcher::new(Arc::clone(&transport), ""),
            beta_reads: Batcher::new(Arc::clone(&transport), BETA),
            transport,
            tenant: tenant.into(),
            limits,
            patience,
        }
    }
}

#[async_trait]
impl Service for Graph {
    fn name(&self) -> ServiceName {
        ServiceName::GRAPH
    }

    fn budgets(&self) -> Vec<Arc<Budget>> {
        budgets::all(&self.limits)
    }

    fn budget(&self, request: &Request) -> BudgetId {
        budgets::of(request)
    }

    fn patience(&self) -> Patience {
        self.patience
    }

    async fn send(&self, request: &Request, attempt: Uuid) -> Reply {
        let reads = if is_beta(&request.path) { &self.beta_reads } else { &self.reads };
        match reads.takes(request) {
            true => reads.send(request, attempt).await,
            false => self.transport.send(request, attempt).await,
        }
    }

    fn introduction(&self) -> Option<Request> {
        Some(Request::get(preflight::DOMAINS, Expects::Survey))
    }

    fn recognise(&self, signed_in_to: Option<&str>, answer: Result<&[Value], &Fault>) -> Vec<Check> {
        preflight::checks(&self.tenant, signed_in_to, answer)
    }
}
