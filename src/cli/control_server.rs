//! The end of `control.rs` in the live process: it knows more than the journal says, so `status`, `runs` and `report` ask it
//! first, and `pause`, `continue`, `drain` and `pace` steer it.

use super::context::holder;
use super::control::{ControlRequest, PROGRAM_HEADER, SteerOrder, VERSION};
use crate::journal::{Control, ControlToken, Holder, Journal, RunId, Session};
use crate::progress::waiting_in_words;
use crate::report::{LiveRun, RunStatus, UnderWay};
use crate::runner::stop::AdmissionGate;
use crate::runner::{AdmissionPause, Asked, Command, RunMode, Services};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use sha2::{Digest, Sha256};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

/// How soon `holder.json` is written again after somebody deleted it.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);

/// What a process has that works on a run, for others to see and to steer.
#[derive(Clone)]
pub(super) struct LiveProcess {
    /// Weak, so that a question under way does not keep it from being closed.
    pub session: Weak<Session>,
    /// How the run stands.
    pub gate: AdmissionGate,
    /// Takes commands.
    pub commands: mpsc::Sender<Asked>,
    /// Budgets and gauges.
    pub services: Arc<Services>,
    /// What others must know.
    pub token: ControlToken,
}

/// Listens for as long as the tasks run.
///
/// # Errors
/// Other processes cannot ask this one.
pub(super) async fn listen(
    tasks: &mut JoinSet<()>,
    journal: &Arc<Mutex<Journal>>,
    live: LiveProcess,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let mut holder = holder("run", Some(live.run().to_string()));
    holder.control = Some(Control { port: listener.local_addr()?.port(), token: live.token.clone() });
    journal.lock().await.announce(&holder).map_err(std::io::Error::other)?;
    tasks.spawn(announce_again(Arc::downgrade(journal), holder));
    let router = Router::new().route("/", post(serve)).with_state(live);
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::warn!("other processes cannot ask this one any more: {error}");
        }
    });
    Ok(())
}

async fn announce_again(journal: Weak<Mutex<Journal>>, holder: Holder) {
    loop {
        tokio::time::sleep(ANNOUNCE_EVERY).await;
        let Some(journal) = journal.upgrade() else {
            return;
        };
        if let Err(error) = journal.lock().await.announce(&holder) {
            tracing::debug!("other processes are not told who has the journal: {error}");
        }
    }
}

async fn serve(State(live): State<LiveProcess>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    ([(PROGRAM_HEADER, VERSION)], live.reply(&headers, &body).await.map(Json))
}

/// Why there is no reply.
type ControlRefusal = (StatusCode, String);

/// The process is about to end: in a moment there is nobody to ask, and what stands in the journal is all there is.
fn ending() -> ControlRefusal {
    (StatusCode::SERVICE_UNAVAILABLE, "the process is about to end".to_owned())
}

fn refused(why: impl ToString) -> ControlRefusal {
    (StatusCode::UNPROCESSABLE_ENTITY, why.to_string())
}

impl LiveProcess {
    async fn reply(&self, headers: &HeaderMap, body: &[u8]) -> Result<LiveRun, ControlRefusal> {
        let given = headers.get("authorization").map(|value| value.as_bytes());
        let wanted = format!("Bearer {}", self.token.expose());
        // Digests, so that the time the comparison takes says nothing about the token.
        if given.map(Sha256::digest) != Some(Sha256::digest(wanted)) {
            return Err((StatusCode::UNAUTHORIZED, String::new()));
        }
        let request = serde_json::from_slice(body).map_err(refused)?;
        // Held until the reply: a run with nobody under way ends as soon as it is told to drain. Once the session has ended, the
        // process itself writes the last report.
        let _session = self.session.upgrade().ok_or_else(ending)?;
        if let ControlRequest::Steer(order) = request {
            self.steer(order).await?;
        }
        Ok(self.look())
    }

    /// Hands a command to the dispatcher.
    async fn steer(&self, order: SteerOrder) -> Result<(), ControlRefusal> {
        let command = match order {
            SteerOrder::Pause(why) => Command::Pause(why),
            SteerOrder::Continue => Command::Continue,
            SteerOrder::Drain(why) => Command::Drain(why),
            SteerOrder::Pace(rate) => Command::Pace(rate.parse().map_err(refused)?),
        };
        let (asked, answered) = Asked::new(command);
        self.commands.send(asked).await.map_err(|_| ending())?;
        let answer = answered.await.map_err(|_| ending())?;
        answer.map_err(|why| refused(format_args!("nothing has changed: {why}")))
    }

    fn run(&self) -> RunId {
        RunId(self.services.run)
    }

    fn look(&self) -> LiveRun {
        let (registry, gauges) = (&self.services.registry, &self.services.gauges);
        let (state, reason) = match self.gate.mode() {
            RunMode::Running => (RunStatus::Running, None),
            RunMode::Paused(pause @ AdmissionPause::Operator(_)) => (RunStatus::Paused, Some(pause.to_string())),
            RunMode::Paused(pause @ AdmissionPause::Window { .. }) => (RunStatus::Waiting, Some(pause.to_string())),
            RunMode::Stopping(reason) => (RunStatus::Draining, Some(reason.text)),
        };
        LiveRun {
            run: self.run(),
            state,
            reason,
            under_way: UnderWay { rows: gauges.in_flight.load(Ordering::Relaxed), exposed: gauges.exposed.count() },
            budget: registry.main().paced().quota().per_second(),
            binding: registry.binding().map(|binding| binding.budget),
            slow: waiting_in_words(registry.waiting().as_ref()).or_else(|| registry.eased()),
        }
    }
}
