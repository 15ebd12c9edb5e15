//! The end of `control.rs` in the live process: it knows more than the journal says, so `status`, `runs` and `report` ask it,
//! and `pause`, `continue`, `drain` and `pace` steer it.

use super::context::holder;
use super::control::{ControlRequest, PROGRAM_HEADER, SteerOrder, VERSION};
use crate::journal::{Control, ControlToken, Holder, Journal, RunId, RunReader, RunRecord, Session, takers};
use crate::progress::waiting_in_words;
use crate::report::{self, Liveness, RunSummary, UnderWay};
use crate::runner::stop::AdmissionGate;
use crate::runner::{Asked, Command, Services};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};
use tokio::task::JoinSet;
use uuid::Uuid;

/// How soon `holder.json` is written again after somebody deleted it.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);

/// The way to the dispatcher of the run, and what it shows of itself.
#[derive(Clone)]
pub(super) struct Bridge {
    /// How the run stands.
    pub gate: AdmissionGate,
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

/// Listens for as long as the run is worked on: until what is returned is shut down. A run goes on without it; other processes then
/// cannot ask this one.
pub(super) async fn listen(journal: &Arc<Mutex<Journal>>, session: &Arc<Session>, bridge: Bridge) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let shared = LiveProcess {
        journal: Arc::downgrade(journal),
        session: Arc::downgrade(session),
        bridge,
        token: Uuid::new_v4().to_string().into(),
    };
    if let Err(error) = listen_with(shared, journal, session.header().id, &mut tasks).await {
        tracing::warn!("other processes cannot ask this one how the run stands: {error}");
    }
    tasks
}

async fn listen_with(
    shared: LiveProcess,
    journal: &Arc<Mutex<Journal>>,
    run: RunId,
    tasks: &mut JoinSet<()>,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let mut holder = holder("run", Some(run.to_string()));
    let token = ControlToken::new(shared.token.to_string());
    holder.control = Some(Control { port: listener.local_addr()?.port(), token });
    journal.lock().await.announce(&holder).map_err(std::io::Error::other)?;
    tasks.spawn(announce_again(Arc::downgrade(journal), holder));
    let router = Router::new().route("/", post(serve)).with_state(shared);
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

async fn serve(State(shared): State<LiveProcess>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    ([(PROGRAM_HEADER, VERSION)], shared.reply(&headers, &body).await.map(Json))
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

/// Summaries: of one run, or of all.
type Summaries = Result<Vec<RunSummary>, ControlRefusal>;

impl LiveProcess {
    async fn reply(&self, headers: &HeaderMap, body: &[u8]) -> Summaries {
        let given = headers.get("authorization").map(|value| value.as_bytes());
        let wanted = format!("Bearer {}", self.token);
        // Digests, so that the time the comparison takes says nothing about the token.
        if given.map(Sha256::digest) != Some(Sha256::digest(wanted)) {
            return Err((StatusCode::UNAUTHORIZED, String::new()));
        }
        match serde_json::from_slice(body).map_err(refused)? {
            ControlRequest::Status { run } => self.status(run.as_deref()).await,
            ControlRequest::Runs => self.runs().await,
            ControlRequest::Report { run, dir } => self.write_report(&run, &dir).await,
            ControlRequest::Steer { run, order } => self.steer(run.as_deref(), order).await,
        }
    }

    async fn status(&self, run: Option<&str>) -> Summaries {
        let (mut reader, live, _journal) = self.find(run).await?;
        Ok(vec![summarized(&mut reader, &live)?])
    }

    async fn runs(&self) -> Summaries {
        let own = self.own_run()?;
        let (mut reader, live, journal) = self.find(Some(&own.to_string())).await?;
        let runs = journal.runs().map_err(refused)?;
        let takers = takers(&runs);
        let summarize = |run: &RunRecord| {
            if run.id() == own {
                return summarized(&mut reader, &live);
            }
            let idle = Liveness::idle(takers.get(&run.id()).copied());
            summarized(&mut journal.reader(run).map_err(refused)?, &idle)
        };
        runs.iter().map(summarize).collect()
    }

    async fn write_report(&self, run: &str, dir: &Path) -> Summaries {
        let session = self.session.upgrade().ok_or_else(ending)?;
        // Every row is read from the checkpoint: it must be up to the log.
        drop(session.reader().await.map_err(refused)?);
        drop(session);
        let (mut reader, live, _journal) = self.find(Some(run)).await?;
        let run = reader.run().clone();
        let (_, summary) = report::write(&run, &mut reader, dir, &live).map_err(refused)?;
        Ok(vec![summary])
    }

    /// Hands a command to the dispatcher, and returns how the run stands then.
    async fn steer(&self, named: Option<&str>, order: SteerOrder) -> Summaries {
        if let Some(named) = named {
            let (reader, ..) = self.find(Some(named)).await?;
            let (named, own) = (reader.run().id(), self.own_run()?);
            if named != own {
                return Err(refused(format_args!("nobody works on run {named}; the one that is worked on is {own}")));
            }
        }
        let command = match order {
            SteerOrder::Pause(why) => Command::Pause(why),
            SteerOrder::Continue => Command::Continue,
            SteerOrder::Drain(why) => Command::Drain(why),
            SteerOrder::Pace(rate) => Command::Pace(rate.parse().map_err(refused)?),
        };
        // Held until the reply: a run with nobody under way ends as soon as it is told to drain.
        let session = self.session.upgrade().ok_or_else(ending)?;
        let (asked, answered) = Asked::new(command);
        let sent = self.bridge.commands.send(asked).await;
        sent.map_err(|_| ending())?;
        let answer = answered.await.map_err(|_| ending())?;
        answer.map_err(|why| refused(format_args!("nothing has changed: {why}")))?;
        self.status(Some(&session.header().id.to_string())).await
    }

    fn own_run(&self) -> Result<RunId, ControlRefusal> {
        let session = self.session.upgrade().ok_or_else(ending)?;
        Ok(session.header().id)
    }

    /// The run, and the journal for as long as the reply takes: one at a time, so that no two write one report, and none once
    /// the session has ended, when the process itself writes the last one.
    async fn find(
        &self,
        prefix: Option<&str>,
    ) -> Result<(RunReader, Liveness, OwnedMutexGuard<Journal>), ControlRefusal> {
        let journal = self.journal.upgrade().ok_or_else(ending)?;
        let journal = journal.lock_owned().await;
        let session = self.session.upgrade().ok_or_else(ending)?;
        let own = session.header().id;
        let run = journal.find(prefix).map_err(refused)?;
        if run.id() == own || prefix.is_none() && run.id() < own {
            // People come and go in a run that is worked on, so it counts as one in which somebody cannot work.
            return Ok((session.glance().map_err(refused)?, self.bridge.liveness(), journal));
        }
        let live = Liveness::idle(journal.taken_over_by(run.id()).map_err(refused)?);
        Ok((journal.reader(&run).map_err(refused)?, live, journal))
    }
}

impl Bridge {
    fn liveness(&self) -> Liveness {
        let (registry, gauges) = (&self.services.registry, &self.services.gauges);
        let waiting = waiting_in_words(registry.waiting().as_ref());
        Liveness::Live {
            mode: self.gate.mode(),
            under_way: UnderWay { rows: gauges.in_flight.load(Ordering::Relaxed), exposed: gauges.exposed.count() },
            writes: registry.main().paced().quota(),
            binding: registry.binding(),
            slow: waiting.or_else(|| registry.eased()),
        }
    }
}

fn summarized(reader: &mut RunReader, live: &Liveness) -> Result<RunSummary, ControlRefusal> {
    let run = reader.run().clone();
    report::summarize(&run, reader, live).map_err(refused)
}
