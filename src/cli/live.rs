//! Asking the process that has the journal: only one process can open it, yet `status`, `runs` and `report` work meanwhile,
//! and `pause`, `continue`, `drain` and `pace` steer it.
//!
//! The live process listens on loopback, on a port that it names in the journal together with a token; so who may read the
//! journal may ask, and nobody else.

use super::context::holder;
use super::errors;
use super::exit::Failure;
use crate::journal::{
    Control, ControlToken, Journal, JournalError, RunRecord, Session, read_holder, takers,
};
use crate::pace::QuotaError;
use crate::progress::waiting_in_words;
use crate::report::{self, Liveness, Summary, UnderWay};
use crate::runner::stop::Gate;
use crate::runner::{Answer, Asked, Command, Refused, Services};
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// What is asked.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Question {
    /// The run, or the beginning of its name.
    pub run: Option<String>,
    /// Where to write the report.
    pub dir: Option<PathBuf>,
    /// Why the run is to pause or to stop.
    pub why: Option<String>,
    /// The pace that is wanted.
    pub rate: Option<String>,
}

impl Question {
    /// About a run, or the newest.
    pub fn about(run: Option<&str>) -> Question {
        Question {
            run: run.map(str::to_owned),
            ..Question::default()
        }
    }
}

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

#[derive(Clone)]
struct Shared {
    journal: Weak<Mutex<Journal>>,
    session: Weak<Session>,
    bridge: Bridge,
    token: Arc<str>,
}

/// The listening side, in the live process.
pub(super) struct Live(Option<JoinHandle<()>>);

impl Live {
    /// Begins to listen. A process that cannot listen works all the same; others then cannot ask it.
    pub async fn serve(
        journal: &Arc<Mutex<Journal>>,
        session: &Arc<Session>,
        bridge: Bridge,
    ) -> Live {
        let shared = Shared {
            journal: Arc::downgrade(journal),
            session: Arc::downgrade(session),
            bridge,
            token: Uuid::new_v4().to_string().into(),
        };
        let run = session.header().id.to_string();
        match listen(shared, journal, run).await {
            Ok(task) => Live(Some(task)),
            Err(error) => {
                tracing::warn!("other processes cannot ask this one where the run stands: {error}");
                Live(None)
            }
        }
    }

    /// Ends listening.
    pub async fn stop(self) {
        if let Some(task) = self.0 {
            task.abort();
            // It was just told to stop: that it did is no news.
            let _cancelled = task.await;
        }
    }
}

async fn listen(
    shared: Shared,
    journal: &Arc<Mutex<Journal>>,
    run: String,
) -> std::io::Result<JoinHandle<()>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let mut holder = holder("run", Some(run));
    holder.control = Some(Control {
        port: listener.local_addr()?.port(),
        token: ControlToken::new(shared.token.to_string()),
    });
    let announced = journal.lock().await.announce(&holder);
    announced.map_err(std::io::Error::other)?;
    let routes = Router::new()
        .route("/status", get(status))
        .route("/runs", get(runs))
        .route("/report", get(write_report))
        .route("/pause", post(pause))
        .route("/continue", post(go_on))
        .route("/drain", post(drain))
        .route("/pace", post(pace))
        .layer(from_fn_with_state(shared.clone(), only_with_token))
        .with_state(shared);
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::warn!("other processes cannot ask this one any more: {error}");
        }
    }))
}

async fn only_with_token(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    if given == Some(&format!("Bearer {}", shared.token)) {
        next.run(request).await
    } else {
        StatusCode::UNAUTHORIZED.into_response()
    }
}

impl Shared {
    fn liveness(&self) -> Liveness {
        let gauges = &self.bridge.services.gauges;
        Liveness::Live {
            standing: self.bridge.gate.standing(),
            under_way: UnderWay {
                rows: gauges.in_flight.load(Ordering::Relaxed),
                exposed: gauges.exposed.count(),
            },
            writes: self.bridge.services.writes.quota(),
            slow: slow_in_words(&self.bridge.services),
        }
    }

    /// Hands a command to the dispatcher and answers how the run stands then.
    async fn steer(&self, question: &Question, command: Command) -> Result<Json<Summary>, Refusal> {
        self.must_be_live(question.run.as_deref()).await?;
        // Held until there is an answer: a run with nobody under way ends at once when it is told to drain.
        let session = self.session.upgrade().ok_or(Refusal::Ending)?;
        let (asked, answered) = Asked::new(command);
        let sent = self.bridge.commands.send(asked).await;
        sent.map_err(|_| Refusal::Ending)?;
        let answer: Answer = answered.await.map_err(|_| Refusal::Ending)?;
        answer.map_err(Refusal::Refused)?;
        let own = session.header().id.to_string();
        let (run, live, journal) = self.find(Some(&own)).await?;
        let mut reader = journal.reader(&run)?;
        Ok(Json(report::summarize(&run, &mut reader, &live)?))
    }

    /// Without a name it is the run that is worked on, whether or not it is the newest.
    async fn must_be_live(&self, prefix: Option<&str>) -> Result<(), Refusal> {
        let Some(prefix) = prefix else {
            return Ok(());
        };
        let (run, live, _) = self.find(Some(prefix)).await?;
        match live {
            Liveness::Live { .. } => Ok(()),
            Liveness::Nobody | Liveness::TakenOver { .. } => {
                let session = self.session.upgrade().ok_or(Refusal::Ending)?;
                let live = session.header().id.to_string();
                let named = run.id().to_string();
                Err(Refusal::NotLive { named, live })
            }
        }
    }

    /// The run, and the journal for as long as the answer takes: one at a time, so that no two write one report, and none
    /// once the session has ended, when the process itself writes the last one.
    async fn find(&self, prefix: Option<&str>) -> Result<(RunRecord, Liveness, Held), Refusal> {
        let journal = self.journal.upgrade().ok_or(Refusal::Ending)?;
        let journal = journal.lock_owned().await;
        let session = self.session.upgrade().ok_or(Refusal::Ending)?;
        // Brings the checkpoint up to the log.
        drop(session.reader()?);
        let mut run = journal.find(prefix)?;
        let own = session.header().id;
        if prefix.is_none() && run.id() < own {
            // People come and go in a run that is worked on: it counts as one in which somebody cannot work.
            run = journal.find(Some(&own.to_string()))?;
        }
        let live = if run.id() == own {
            self.liveness()
        } else {
            Liveness::idle(journal.taken_over_by(run.id())?)
        };
        Ok((run, live, journal))
    }
}

/// Why the process sends nothing at present, or less than it could.
fn slow_in_words(services: &Services) -> Option<String> {
    let waiting = waiting_in_words(services.waiting().as_ref());
    waiting.or_else(|| services.eased())
}

/// The journal, while nobody else has it.
type Held = OwnedMutexGuard<Journal>;

/// Why a question is not answered.
enum Refusal {
    Ending,
    Journal(JournalError),
    Report(report::ReportError),
    NotLive { named: String, live: String },
    NoRate(String),
    Refused(Refused),
}

impl From<JournalError> for Refusal {
    fn from(error: JournalError) -> Self {
        Refusal::Journal(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = match self {
            Refusal::Ending => {
                let text = "the process is about to end";
                return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
            }
            Refusal::Journal(error) => error.to_string(),
            Refusal::Report(error) => error.to_string(),
            Refusal::NotLive { named, live } => {
                format!("nobody works on run {named}; the one that is worked on is {live}")
            }
            Refusal::NoRate(text) => text,
            Refusal::Refused(refused) => format!("the run goes on as it did: {refused}"),
        };
        (StatusCode::UNPROCESSABLE_ENTITY, text).into_response()
    }
}

async fn status(
    State(shared): State<Shared>,
    Query(question): Query<Question>,
) -> Result<Json<Summary>, Refusal> {
    let (run, live, journal) = shared.find(question.run.as_deref()).await?;
    let mut reader = journal.reader(&run)?;
    Ok(Json(report::summarize(&run, &mut reader, &live)?))
}

async fn runs(State(shared): State<Shared>) -> Result<Json<Vec<Summary>>, Refusal> {
    let own = shared.session.upgrade().map(|session| session.header().id);
    let named = own.map(|own| own.to_string());
    let (_, live, journal) = shared.find(named.as_deref()).await?;
    let mut all = Vec::new();
    let runs = journal.runs()?;
    let takers = takers(&runs);
    for run in runs {
        let idle = Liveness::idle(takers.get(&run.id()).copied());
        let live = if Some(run.id()) == own { &live } else { &idle };
        all.push(report::summarize(&run, &mut journal.reader(&run)?, live)?);
    }
    Ok(Json(all))
}

async fn write_report(
    State(shared): State<Shared>,
    Query(question): Query<Question>,
) -> Result<Json<Summary>, Refusal> {
    let (run, live, journal) = shared.find(question.run.as_deref()).await?;
    let dir = question.dir.ok_or(Refusal::Ending)?;
    let mut reader = journal.reader(&run)?;
    let (_, summary) = report::write(&run, &mut reader, &dir, &live).map_err(Refusal::Report)?;
    Ok(Json(summary))
}

/// A reason that came without words is still one.
fn why(question: &Question) -> String {
    let given = question.why.clone();
    given.unwrap_or_else(|| "asked for".to_owned())
}

async fn pause(
    State(shared): State<Shared>,
    Query(question): Query<Question>,
) -> Result<Json<Summary>, Refusal> {
    let command = Command::Pause(why(&question));
    shared.steer(&question, command).await
}

async fn go_on(
    State(shared): State<Shared>,
    Query(question): Query<Question>,
) -> Result<Json<Summary>, Refusal> {
    shared.steer(&question, Command::Continue).await
}

async fn drain(
    State(shared): State<Shared>,
    Query(question): Query<Question>,
) -> Result<Json<Summary>, Refusal> {
    let command = Command::Drain(why(&question));
    shared.steer(&question, command).await
}

async fn pace(
    State(shared): State<Shared>,
    Query(question): Query<Question>,
) -> Result<Json<Summary>, Refusal> {
    let rate = question.rate.as_deref().unwrap_or_default().parse();
    let rate = rate.map_err(|error: QuotaError| Refusal::NoRate(error.to_string()))?;
    shared.steer(&question, Command::Pace(rate)).await
}

/// Asks the live process, if there is one. None: nobody has the journal.
///
/// # Errors
/// The process does not answer, or refuses.
pub(super) async fn ask(
    journal: &Path,
    path: &str,
    question: &Question,
) -> Result<Option<serde_json::Value>, Failure> {
    request(journal, Method::GET, path, question).await
}

/// Steers the live process, if there is one. None: nobody has the journal.
///
/// # Errors
/// As [`ask`].
pub(super) async fn steer(
    journal: &Path,
    path: &str,
    question: &Question,
) -> Result<Option<serde_json::Value>, Failure> {
    request(journal, Method::POST, path, question).await
}

async fn request(
    journal: &Path,
    method: Method,
    path: &str,
    question: &Question,
) -> Result<Option<serde_json::Value>, Failure> {
    if !Journal::exists(journal) {
        return Ok(None);
    }
    let holder = read_holder(journal).map_err(Failure::unusable)?;
    let Some(holder) = holder else {
        return Ok(None);
    };
    let busy = |what: String| {
        let message = format!("process {} has the journal and {what}", holder.pid);
        Failure::usage(message, "try again in a moment").coded(&errors::LIVE_PROCESS)
    };
    let Some(control) = &holder.control else {
        return Err(busy("does not answer yet".into()));
    };
    // An error says that a provider is in place already, which is all that is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!("http://127.0.0.1:{}{path}", control.port);
    let reply = reqwest::Client::new()
        .request(method, url)
        .query(question)
        .bearer_auth(control.token.expose())
        .send()
        .await
        .map_err(|_| busy("does not answer".into()))?;
    let status = reply.status();
    if !status.is_success() {
        let text = reply.text().await.unwrap_or_default();
        if status != StatusCode::UNPROCESSABLE_ENTITY {
            return Err(busy(format!("says: {text}")));
        }
        let message = format!("process {} works on a run and says: {text}", holder.pid);
        return Err(
            Failure::usage(message, "`cutover status` shows how it stands")
                .coded(&errors::LIVE_PROCESS),
        );
    }
    let value = reply
        .json()
        .await
        .map_err(|error| busy(format!("answers badly: {error}")))?;
    Ok(Some(value))
}
