//! What other processes may ask of the one that works on a journal, and the client that asks it.
//!
//! The live process listens on loopback, on a port that `holder.json` in the journal names together with a token. So anyone who
//! may read the journal may ask, and nobody else. The other end is `control_server.rs`.

use super::errors;
use super::failure::Failure;
use crate::core::Secret;
use crate::journal::{Control, Holder, Journal};
use crate::progress::warn;
use crate::report::RunSummary;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two tries to reach a process that is starting or ending.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Tries in all: three seconds.
const TRIES_MAX: u32 = 60;

/// How long a live process may take to reply: one that was stopped never does.
const REPLY_MAX: Duration = Duration::from_secs(5);

/// The same for a report, which takes as long as there are rows.
const REPORT_MAX: Duration = Duration::from_secs(600);

/// What is asked of a live process. Without a run, the one it works on is meant.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ControlRequest {
    /// How a run stands.
    Status { run: Option<String> },
    /// How every run stands.
    Runs,
    /// Write the report of a run into a folder.
    Report { run: String, dir: PathBuf },
    /// Steer the run.
    Steer { run: Option<String>, order: SteerOrder },
}

/// An operator's order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum SteerOrder {
    /// With the reason.
    Pause(String),
    Continue,
    /// With the reason.
    Drain(String),
    /// A budget of writes, such as `12/s`.
    Pace(String),
}

/// Asks the live process, if there is one. None: nobody works on the journal, or nobody who replies; then what stands in the
/// journal has to do.
///
/// # Errors
/// The process refuses, or this user may not ask.
pub(super) async fn ask(journal: &Path, request: &ControlRequest) -> Result<Option<Vec<RunSummary>>, Failure> {
    match send(journal, request).await? {
        Contact::Nobody => Ok(None),
        Contact::Summaries(summaries) => Ok(Some(summaries)),
        Contact::Silent(holder) => {
            warn(format_args!("{}, so this is what the journal has", silent(&holder)));
            Ok(None)
        }
    }
}

/// Steers the live process, and returns how its run stands then.
///
/// # Errors
/// There is none, it does not reply or refuses, or this user may not ask.
pub(super) async fn steer(journal: &Path, run: Option<&str>, order: SteerOrder) -> Result<RunSummary, Failure> {
    let run = run.map(str::to_owned);
    match send(journal, &ControlRequest::Steer { run, order }).await? {
        Contact::Summaries(mut summaries) => summaries
            .pop()
            .ok_or_else(|| Failure::program("the live process sent no summary")),
        Contact::Nobody => Err(Failure::usage(
            format!(
                "no process works on a run of the journal `{}`, so there is nothing to steer",
                journal.display()
            ),
            "`cutover status` shows how the newest run stands, `cutover resume` continues it",
        )
        .coded(errors::NO_LIVE_RUN)),
        Contact::Silent(holder) => Err(Failure::usage(
            silent(&holder),
            format!(
                "it may be starting or ending: try again in a moment. If it was stopped, `kill -CONT {pid}` wakes it; if it hangs, \
                 end it with `kill -9 {pid}` and continue with `cutover resume`: the journal is good",
                pid = holder.pid
            ),
        )
        .coded(errors::LIVE_PROCESS)),
    }
}

fn silent(holder: &Holder) -> String {
    let (pid, command) = (holder.pid, &holder.command);
    format!("process {pid} (`cutover {command}`) has the journal and does not reply")
}

enum Contact {
    Nobody,
    Summaries(Vec<RunSummary>),
    /// It may be at its beginning, at its end, or stopped.
    Silent(Holder),
}

/// Asks again for a few seconds: the process may just be starting or ending.
async fn send(journal: &Path, request: &ControlRequest) -> Result<Contact, Failure> {
    let mut tries = 0;
    loop {
        let Some(holder) = Journal::holder(journal)?.filter(Holder::may_live) else {
            return Ok(Contact::Nobody);
        };
        let attempt = match &holder.control {
            Some(control) => send_once(&holder, control, request).await?,
            None => Sent::NotYet,
        };
        tries += 1;
        match attempt {
            Sent::Summaries(summaries) => return Ok(Contact::Summaries(summaries)),
            Sent::NotYet if tries < TRIES_MAX => tokio::time::sleep(TRY_AGAIN_AFTER).await,
            Sent::NotYet | Sent::TimedOut => return Ok(Contact::Silent(holder)),
        }
    }
}

enum Sent {
    Summaries(Vec<RunSummary>),
    /// No reply, or not one of ours. In a moment this may be different.
    NotYet,
    TimedOut,
}

async fn send_once(holder: &Holder, control: &Control, request: &ControlRequest) -> Result<Sent, Failure> {
    let token = control.token.expose();
    let patience = match request {
        ControlRequest::Report { .. } => REPORT_MAX,
        ControlRequest::Status { .. } | ControlRequest::Runs | ControlRequest::Steer { .. } => REPLY_MAX,
    };
    let url = format!("http://127.0.0.1:{}/", control.port);
    let sent = client()?.post(url).bearer_auth(token).json(request);
    let failed = |error: reqwest::Error| match error.is_timeout() {
        true => Sent::TimedOut,
        false => Sent::NotYet,
    };
    let reply = match sent.timeout(patience).send().await {
        Ok(reply) => reply,
        Err(error) => return Ok(failed(error)),
    };
    if reply.status() == StatusCode::UNPROCESSABLE_ENTITY {
        let text = reply.text().await.unwrap_or_default();
        let text = Secret::new(token).redact(&text);
        let message = format!("process {} works on a run and says: {text}", holder.pid);
        return Err(Failure::usage(message, "`cutover status` shows how it stands").coded(errors::LIVE_PROCESS));
    }
    if !reply.status().is_success() {
        return Ok(Sent::NotYet);
    }
    Ok(reply.json().await.map_or_else(failed, Sent::Summaries))
}

/// No proxy: what is said here stays on this machine.
fn client() -> Result<reqwest::Client, Failure> {
    // An error says that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build();
    client.map_err(|error| Failure::program(format!("no HTTP client: {error}")))
}
