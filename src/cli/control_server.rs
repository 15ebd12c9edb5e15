//! The end of `control.rs` in the live process: it knows more than the journal says, so `status`, `runs` and `report` ask it,
//! and `pause`, `continue`, `drain` and `pace` steer it.

use super::context::holder;
use super::control::{ControlRequest, SteerOrder};
use crate::journal::{
    Control, ControlToken, Holder, Journal, JournalError, RunId, RunReader, RunRecord, Session, takers,
};
use crate::progress::waiting_in_words;
use crate::report::{self, Liveness, ReportError, RunSummary, UnderWay};
use crate::runner::stop::Gate;
use crate::runner::{Asked, Command, Services};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How soon `holder.json` is written again after somebody deleted it.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);

/// The way to the dispatcher of the run, and what it shows of itself.
#[derive(Clone)]
pub(super) struct Bridge {
    /// How the run stands.
    pub gate: Gate,
    /// Takes commands.
    pub commands: mpsc::Sender<Asked>,
    /// Budgets and gauges.
    pub services: Arc<Services>,
}

/// Weak, so that a question under way does not keep the session from being closed.
#[derive(Clone)]
struct LiveProcess {
    journal: Weak<Mutex<Journal>>,
    session: Weak<Session>,
    bridge: Bridge,
    token: Arc<str>,
}

/// The server, for as long as the run is worked on.
pub(super) struct ControlServer(Option<JoinHandle<()>>);

impl ControlServer {
    /// Starts listening. A run goes on without it; other processes then cannot ask this one.
    pub async fn start(journal: &Arc<Mutex<Journal>>, session: &Arc<Session>, bridge: Bridge) -> ControlServer {
        let shared = LiveProcess {
            journal: Arc::downgrade(journal),
            session: Arc::downgrade(session),
            bridge,
            token: Uuid::new_v4().to_string().into(),
        };
        match listen(shared, journal, session.header().id).await {
            Ok(task) => ControlServer(Some(task)),
            Err(error) => {
                tracing::warn!("other processes cannot ask this one how the run stands: {error}");
                ControlServer(None)
            }
        }
    }

    /// Stops listening.
    pub async fn stop(self) {
        if let Some(task) = self.0 {
            task.abort();
            // It was just aborted: that it ended is no news.
            let _ = task.await;
        }
    }
}

async fn listen(shared: LiveProcess, journal: &Arc<Mutex<Journal>>, run: RunId) -> std::io::Result<JoinHandle<()>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let mut holder = holder("run", Some(run.to_string()));
    holder.control =
        Some(Control { port: listener.local_addr()?.port(), token: ControlToken::new(shared.token.to_string()) });
    let announced = journal.lock().await.announce(&holder);
    announced.map_err(std::io::Error::other)?;
    let announcing = announce_again(Arc::downgrade(journal), holder);
    let router = Router::new().route("/", post(serve)).with_state(shared);
    Ok(tokio::spawn(async move {
        tokio::select! {
            () = announcing => {}
            served = axum::serve(listener, router) => if let Err(error) = served {
                tracing::warn!("other processes cannot ask this one any more: {error}");
            }
        }
    }))
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

async fn serve(State(shared): State<LiveProcess>, headers: HeaderMap, Json(request): Json<ControlRequest>) -> Response {
    let given = headers.get("authorization").map(|value| value.as_bytes());
    let wanted = format!("Bearer {}", shared.token);
    // Digests, so that the time the comparison takes says nothing about the token.
    if given.map(Sha256::digest) != Some(Sha256::digest(wanted)) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let reply = match request {
        ControlRequest::Status { run } => shared.status(run.as_deref()).await,
        ControlRequest::Runs => shared.runs().await,
        ControlRequest::Report { run, dir } => shared.write_report(&run, &dir).await,
        ControlRequest::Steer { run, order } => shared.steer(run.as_deref(), order).await,
    };
    reply.map_or_else(ControlRefusal::into_response, |all| Json(all).into_response())
}

/// Summaries: of one run, or of all.
type Summaries = Result<Vec<RunSummary>, ControlRefusal>;

impl LiveProcess {
    async fn status(&self, run: Option<&str>) -> Summaries {
        let (mut reader, live, _journal) = self.find(run).await?;
        let run = reader.run().clone();
        Ok(vec![report::summarize(&run, &mut reader, &live)?])
    }

    async fn runs(&self) -> Summaries {
        let own = self.own_run()?;
        let (mut reader, live, journal) = self.find(Some(&own.to_string())).await?;
        let runs = journal.runs()?;
        let takers = takers(&runs);
        let summarize = |run: RunRecord| {
            if run.id() == own {
                let run = reader.run().clone();
                return Ok(report::summarize(&run, &mut reader, &live)?);
            }
            let idle = Liveness::idle(takers.get(&run.id()).copied());
            Ok(report::summarize(&run, &mut journal.reader(&run)?, &idle)?)
        };
        runs.into_iter().map(summarize).collect()
    }

    async fn write_report(&self, run: &str, dir: &Path) -> Summaries {
        let session = self.session.upgrade().ok_or(ControlRefusal::Ending)?;
        // Every row is read from the checkpoint: it must be up to the log.
        drop(session.reader().await?);
        drop(session);
        let (mut reader, live, _journal) = self.find(Some(run)).await?;
        let run = reader.run().clone();
        let (_, summary) = report::write(&run, &mut reader, dir, &live)?;
        Ok(vec![summary])
    }

    /// Hands a command to the dispatcher, and returns how the run stands then.
    async fn steer(&self, named: Option<&str>, order: SteerOrder) -> Summaries {
        if let Some(named) = named {
            self.must_be_live(named).await?;
        }
        let command = match order {
            SteerOrder::Pause(why) => Command::Pause(why),
            SteerOrder::Continue => Command::Continue,
            SteerOrder::Drain(why) => Command::Drain(why),
            SteerOrder::Pace(rate) => Command::Pace(rate.parse().map_err(ControlRefusal::words)?),
        };
        // Held until the reply: a run with nobody under way ends as soon as it is told to drain.
        let session = self.session.upgrade().ok_or(ControlRefusal::Ending)?;
        let (asked, answered) = Asked::new(command);
        let sent = self.bridge.commands.send(asked).await;
        sent.map_err(|_| ControlRefusal::Ending)?;
        let answer = answered.await.map_err(|_| ControlRefusal::Ending)?;
        answer.map_err(|refused| ControlRefusal::words(format!("nothing has changed: {refused}")))?;
        self.status(Some(&session.header().id.to_string())).await
    }

    async fn must_be_live(&self, named: &str) -> Result<(), ControlRefusal> {
        let (reader, ..) = self.find(Some(named)).await?;
        let (named, own) = (reader.run().id(), self.own_run()?);
        match named == own {
            true => Ok(()),
            false => {
                Err(ControlRefusal::words(format!("nobody works on run {named}; the one that is worked on is {own}")))
            }
        }
    }

    fn own_run(&self) -> Result<RunId, ControlRefusal> {
        let session = self.session.upgrade().ok_or(ControlRefusal::Ending)?;
        Ok(session.header().id)
    }

    /// The run as it stands now, and the journal for as long as the reply takes: one at a time, so that no two write one
    /// report, and none once the session has ended, when the process itself writes the last one.
    async fn find(
        &self,
        prefix: Option<&str>,
    ) -> Result<(RunReader, Liveness, OwnedMutexGuard<Journal>), ControlRefusal> {
        let journal = self.journal.upgrade().ok_or(ControlRefusal::Ending)?;
        let journal = journal.lock_owned().await;
        let session = self.session.upgrade().ok_or(ControlRefusal::Ending)?;
        let own = session.header().id;
        let run = journal.find(prefix)?;
        if run.id() == own || prefix.is_none() && run.id() < own {
            // People come and go in a run that is worked on, so it counts as one in which somebody cannot work.
            return Ok((session.glance()?, self.bridge.liveness(), journal));
        }
        let live = Liveness::idle(journal.taken_over_by(run.id())?);
        Ok((journal.reader(&run)?, live, journal))
    }
}

impl Bridge {
    fn liveness(&self) -> Liveness {
        let (registry, gauges) = (&self.services.registry, &self.services.gauges);
        let waiting = waiting_in_words(registry.waiting().as_ref());
        Liveness::Live {
            standing: self.gate.standing(),
            under_way: UnderWay { rows: gauges.in_flight.load(Ordering::Relaxed), exposed: gauges.exposed.count() },
            writes: registry.main().paced().quota(),
            binding: registry.binding(),
            slow: waiting.or_else(|| registry.eased()),
        }
    }
}

/// Why there is no reply.
enum ControlRefusal {
    Ending,
    Words(String),
}

impl ControlRefusal {
    fn words(text: impl ToString) -> ControlRefusal {
        ControlRefusal::Words(text.to_string())
    }
}

impl From<JournalError> for ControlRefusal {
    fn from(error: JournalError) -> Self {
        ControlRefusal::words(error)
    }
}

impl From<ReportError> for ControlRefusal {
    fn from(error: ReportError) -> Self {
        ControlRefusal::words(error)
    }
}

impl IntoResponse for ControlRefusal {
    fn into_response(self) -> Response {
        match self {
            ControlRefusal::Ending => {
                let text = "the process is about to end";
                (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
            }
            ControlRefusal::Words(text) => (StatusCode::UNPROCESSABLE_ENTITY, text).into_response(),
        }
    }
}
