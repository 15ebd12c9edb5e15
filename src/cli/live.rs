//! Asking the process that has the journal: only one process can open it, yet `status`, `runs` and `report` work meanwhile.
//!
//! The live process listens on loopback, on a port that it names in the journal together with a token; so who may read the
//! journal may ask, and nobody else.

use super::context::holder;
use super::exit::Failure;
use crate::journal::{
    Control, ControlToken, Journal, JournalError, RunRecord, Session, read_holder,
};
use crate::report::{self, Liveness, Summary};
use crate::runner::stop::Gate;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// What is asked.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Question {
    /// The run, or the beginning of its name.
    pub run: Option<String>,
    /// Where to write the report.
    pub dir: Option<PathBuf>,
}

#[derive(Clone)]
struct Shared {
    journal: Weak<Mutex<Journal>>,
    session: Weak<Session>,
    gate: Gate,
    token: Arc<str>,
}

/// The listening side, in the live process.
pub(super) struct Live(Option<JoinHandle<()>>);

impl Live {
    /// Begins to listen. A process that cannot listen works all the same; others then cannot ask it.
    pub async fn serve(journal: &Arc<Mutex<Journal>>, session: &Arc<Session>, gate: &Gate) -> Live {
        let shared = Shared {
            journal: Arc::downgrade(journal),
            session: Arc::downgrade(session),
            gate: gate.clone(),
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
        if self.gate.is_closed() {
            Liveness::Draining
        } else {
            Liveness::Running
        }
    }

    async fn find(
        &self,
        prefix: Option<&str>,
    ) -> Result<(RunRecord, Liveness, Shareable), Refusal> {
        let session = self.session.upgrade().ok_or(Refusal::Ending)?;
        let journal = self.journal.upgrade().ok_or(Refusal::Ending)?;
        // Brings the checkpoint up to the log.
        drop(session.reader()?);
        let run = journal.lock().await.find(prefix)?;
        let own = run.id() == session.header().id;
        let live = if own {
            self.liveness()
        } else {
            Liveness::Nobody
        };
        Ok((run, live, journal))
    }
}

/// The journal, as the questions share it.
type Shareable = Arc<Mutex<Journal>>;

/// Why a question is not answered.
enum Refusal {
    Ending,
    Journal(JournalError),
    Report(report::ReportError),
}

impl From<JournalError> for Refusal {
    fn from(error: JournalError) -> Self {
        Refusal::Journal(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = match self {
            Refusal::Ending => "the process is about to end; ask again".into(),
            Refusal::Journal(error) => error.to_string(),
            Refusal::Report(error) => error.to_string(),
        };
        (StatusCode::UNPROCESSABLE_ENTITY, text).into_response()
    }
}

async fn status(
    State(shared): State<Shared>,
    Query(question): Query<Question>,
) -> Result<Json<Summary>, Refusal> {
    let (run, live, journal) = shared.find(question.run.as_deref()).await?;
    let mut reader = journal.lock().await.reader(&run)?;
    Ok(Json(report::summarize(&run, &mut reader, live)?))
}

async fn runs(State(shared): State<Shared>) -> Result<Json<Vec<Summary>>, Refusal> {
    let (_, live, journal) = shared.find(None).await?;
    let own = shared.session.upgrade().map(|session| session.header().id);
    let journal = journal.lock().await;
    let mut all = Vec::new();
    for run in journal.runs()? {
        let live = if Some(run.id()) == own {
            live
        } else {
            Liveness::Nobody
        };
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
    let mut reader = journal.lock().await.reader(&run)?;
    let (_, summary) = report::write(&run, &mut reader, &dir, live).map_err(Refusal::Report)?;
    Ok(Json(summary))
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
    if !Journal::exists(journal) {
        return Ok(None);
    }
    let holder = read_holder(journal).map_err(Failure::unusable)?;
    let Some(holder) = holder else {
        return Ok(None);
    };
    let busy = |what: String| {
        let message = format!("process {} has the journal and {what}", holder.pid);
        Failure::usage(message, "try again in a moment")
    };
    let Some(control) = &holder.control else {
        return Err(busy("does not answer yet".into()));
    };
    // An error says that a provider is in place already, which is all that is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!("http://127.0.0.1:{}{path}", control.port);
    let reply = reqwest::Client::new()
        .get(url)
        .query(question)
        .bearer_auth(control.token.expose())
        .send()
        .await
        .map_err(|_| busy("does not answer".into()))?;
    if !reply.status().is_success() {
        let text = reply.text().await.unwrap_or_default();
        return Err(busy(format!("says: {text}")));
    }
    let value = reply
        .json()
        .await
        .map_err(|error| busy(format!("answers badly: {error}")))?;
    Ok(Some(value))
}
