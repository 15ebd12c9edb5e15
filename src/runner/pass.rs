//! A walk over the rows of a run: to change them, or only to read them. One engine admits and drives the rows of every pass.

use super::admission::Admitted;
use super::claims::Claims;
use super::reading::{ReadWork, read};
use super::services::Services;
use super::stop::AdmissionGate;
use super::worker::{Work, WorkerEnd, work};
use std::sync::Arc;
use tokio::task::{AbortHandle, JoinSet};

/// What the rows are walked over for.
#[derive(Clone)]
pub enum Pass {
    /// To bring each to its end.
    Apply(Arc<Work>),
    /// To say how each is, or what would be done with it. Nothing is written anywhere.
    Read(Arc<ReadWork>),
}

impl From<Arc<Work>> for Pass {
    fn from(work: Arc<Work>) -> Pass {
        Pass::Apply(work)
    }
}

impl Pass {
    pub(super) fn services(&self) -> &Arc<Services> {
        match self {
            Pass::Apply(work) => &work.services,
            Pass::Read(work) => &work.services,
        }
    }

    pub(super) fn gate(&self) -> &AdmissionGate {
        match self {
            Pass::Apply(work) => &work.gate,
            Pass::Read(work) => &work.gate,
        }
    }

    /// That the disk with the journal is full. Whoever only reads writes nothing there.
    pub(super) fn shortage(&self) -> Option<&str> {
        match self {
            Pass::Apply(work) => work.session.shortage(),
            Pass::Read(_) => None,
        }
    }

    /// What the rows have for themselves. Whoever only reads takes nothing.
    pub(super) fn claims(&self) -> Option<&Claims> {
        match self {
            Pass::Apply(work) => Some(&work.claims),
            Pass::Read(_) => None,
        }
    }

    pub(super) fn begin(&self, workers: &mut JoinSet<WorkerEnd>, row: Admitted) -> AbortHandle {
        match self {
            Pass::Apply(shared) => workers.spawn(work(Arc::clone(shared), row)),
            Pass::Read(shared) => workers.spawn(read(Arc::clone(shared), row)),
        }
    }
}
