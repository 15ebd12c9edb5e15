//! Asking the process that works on the journal: it knows more than the journal says, so `status`, `runs` and `report` ask it,
//! and `pause`, `continue`, `drain` and `pace` steer it.
//!
//! The live process listens on loopback, on a port that it names in the journal together with a token; so who may read the
//! journal may ask, and nobody else.

use super::context::holder;
use super::errors;
use super::exit::Failure;
use crate::core::Secret;
use crate::journal::{
    Control, ControlToken, Holder, Journal, JournalError, RunRecord, Session, takers,
};
use crate::progress::{waiting_in_words, warn};
use crate::report::{self, Liveness, Summary, UnderWay};
use crate::runner::stop::Gate;
use crate::runner::{Answer, Asked, Command, Refused, Services};
use crate::services::budget::QuotaError;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Between two tries to ask a process that is starting or ending.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How many times; three seconds in all.
const ASKS_MAX: u32 = 60;

/// How long a live process may take for an answer: one that was stopped never gives one.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The one question whose answer takes as long as there are rows.
pub(super) const WRITE_REPORT: &str = "/report";

/// How long that may take.
const REPORT_MAX: Duration = Duration::from_secs(600);

/// How long a live process may be unknown to others after its name was deleted.
const NAMED_AGAIN_AFTER: Duration = Duration::from_secs(1);

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
        .route(WRITE_REPORT, get(write_report))
        .route("/pause", post(pause))
        .route("/continue", post(go_on))
        .route("/drain", post(drain))
        .route("/pace", post(pace))
        .layer(from_fn_with_state(shared.clone(), only_with_token))
        .with_state(shared);
    let staying = stay_known(Arc::downgrade(journal), holder);
    Ok(tokio::spawn(async move {
        tokio::select! {
            () = staying => {}
            served = axum::serve(listener, routes) => if let Err(error) = served {
                tracing::warn!("other processes cannot ask this one any more: {error}");
            }
        }
    }))
}

/// Whoever deletes `holder.json` under a live process hides it for a moment only.
async fn stay_known(journal: Weak<Mutex<Journal>>, holder: Holder) {
    loop {
        tokio::time::sleep(NAMED_AGAIN_AFTER).await;
        let Some(journal) = journal.upgrade() else {
            return;
        };
        if let Err(error) = journal.lock().await.announce(&holder) {
            tracing::debug!("other processes are not told who has the journal: {error}");
        }
    }
}

async fn only_with_token(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let wanted = format!("Bearer {}", shared.token);
    // Digests, so that how long the comparison takes says nothing about the token.
    if given.map(Sha256::digest) == Some(Sha256::digest(wanted)) {
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
            writes: self.bridge.services.registry.main().paced().quota(),
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
        drop(session.reader().await?);
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
    let waiting = waiting_in_words(services.registry.waiting().as_ref());
    waiting.or_else(|| services.registry.eased())
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

/// Asks the live process, if there is one. None: nobody works on the journal, or nobody who answers; what stands in the
/// journal itself is the answer then.
///
/// # Errors
/// The process refuses, or this user may not ask.
pub(super) async fn ask(
    journal: &Path,
    path: &str,
    question: &Question,
) -> Result<Option<Value>, Failure> {
    match request(journal, &Method::GET, path, question).await? {
        Reached::Nobody => Ok(None),
        Reached::Answered(value) => Ok(Some(value)),
        Reached::Silent(holder) => {
            warn(format_args!(
                "{}, so this is what the journal has",
                silent(&holder)
            ));
            Ok(None)
        }
    }
}

/// Steers the live process, if there is one. None: nobody has the journal.
///
/// # Errors
/// The process does not answer, or refuses, or this user may not ask.
pub(super) async fn steer(
    journal: &Path,
    path: &str,
    question: &Question,
) -> Result<Option<Value>, Failure> {
    match request(journal, &Method::POST, path, question).await? {
        Reached::Nobody => Ok(None),
        Reached::Answered(value) => Ok(Some(value)),
        Reached::Silent(holder) => Err(Failure::usage(
            silent(&holder),
            format!(
                "it may be starting or ending: try again in a moment. If it was stopped, `kill -CONT {pid}` lets it go on; if it hangs, \
                 end it with `kill -9 {pid}` and go on with `cutover resume`: the journal is good",
                pid = holder.pid
            ),
        )
        .coded(&errors::LIVE_PROCESS)),
    }
}

fn silent(holder: &Holder) -> String {
    let (pid, command) = (holder.pid, &holder.command);
    format!("process {pid} (`cutover {command}`) has the journal and does not answer")
}

/// What came of asking.
enum Reached {
    Nobody,
    Answered(Value),
    /// It may be at its beginning, at its end, or stopped.
    Silent(Holder),
}

/// A process that is just starting or ending is asked again for a few seconds.
async fn request(
    journal: &Path,
    method: &Method,
    path: &str,
    question: &Question,
) -> Result<Reached, Failure> {
    let mut asks = 0;
    loop {
        let Some(holder) = Journal::holder(journal)?.filter(Holder::may_live) else {
            return Ok(Reached::Nobody);
        };
        let heard = match &holder.control {
            Some(control) => ask_once(&holder, control, method, path, question).await?,
            None => Heard::NotYet,
        };
        match heard {
            Heard::Answer(value) => return Ok(Reached::Answered(value)),
            Heard::Nothing => return Ok(Reached::Silent(holder)),
            Heard::NotYet => asks += 1,
        }
        if asks >= ASKS_MAX {
            return Ok(Reached::Silent(holder));
        }
        tokio::time::sleep(ASK_AGAIN_AFTER).await;
    }
}

/// What came of asking once.
enum Heard {
    Answer(Value),
    /// No answer, or none of ours, which may be different in a moment.
    NotYet,
    /// It was waited for long enough.
    Nothing,
}

async fn ask_once(
    holder: &Holder,
    control: &Control,
    method: &Method,
    path: &str,
    question: &Question,
) -> Result<Heard, Failure> {
    let token = control.token.expose();
    let url = format!("http://127.0.0.1:{}{path}", control.port);
    let patience = if path == WRITE_REPORT {
        REPORT_MAX
    } else {
        ANSWER_MAX
    };
    let sent = client()?.request(method.clone(), url).query(question);
    let reply = match sent.bearer_auth(token).timeout(patience).send().await {
        Ok(reply) => reply,
        Err(error) if error.is_timeout() => return Ok(Heard::Nothing),
        Err(_) => return Ok(Heard::NotYet),
    };
    let status = reply.status();
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        let text = reply.text().await.unwrap_or_default();
        let text = Secret::new(token).redact(&text);
        let message = format!("process {} works on a run and says: {text}", holder.pid);
        return Err(
            Failure::usage(message, "`cutover status` shows how it stands")
                .coded(&errors::LIVE_PROCESS),
        );
    }
    if !status.is_success() {
        return Ok(Heard::NotYet);
    }
    Ok(match reply.json().await {
        Ok(value) => Heard::Answer(value),
        Err(error) if error.is_timeout() => Heard::Nothing,
        Err(_) => Heard::NotYet,
    })
}

/// What is said here stays on this machine, whatever proxy its environment names.
fn client() -> Result<reqwest::Client, Failure> {
    // An error says that a provider is in place already, which is all that is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build();
    client.map_err(|error| Failure::program(format!("no client can be made: {error}")))
}
