//! What other processes may ask of the one that works on a journal, and the client that asks it.
//!
//! The live process listens on loopback, on a port that `holder.json` in the journal names together with a token. So anyone who
//! may read the journal may ask, and nobody else. The other end is `control_server.rs`.

use super::Failure;
use crate::core::Secret;
use crate::journal::{Control, Holder, Journal};
use crate::progress::warn;
use crate::report::LiveRun;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// Between two tries to reach a process that is starting or ending.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Tries in all: three seconds.
const TRIES_MAX: u32 = 60;

/// How long a live process may take to reply: one that was stopped never does.
const REPLY_MAX: Duration = Duration::from_secs(5);

/// What is asked of a live process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ControlRequest {
    /// How its run stands.
    Look,
    /// Steer its run.
    Steer(SteerOrder),
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

/// The header of every reply that names the program and its version.
pub(super) const PROGRAM_HEADER: &str = "cutover-version";

/// Of this program.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Asks the live process how its run stands. None: nobody works on the journal, or nobody whose reply can be used; then what
/// stands in the journal has to do.
///
/// # Errors
/// The process refuses, or this user may not ask.
pub(super) async fn ask(journal: &Path) -> Result<Option<LiveRun>, Failure> {
    let (holder, contact) = match send(journal, &ControlRequest::Look).await? {
        Some((_, Contact::Reply(live))) => return Ok(Some(live)),
        Some(other) => other,
        None => return Ok(None),
    };
    let (why, _) = no_use(&holder, &contact);
    warn(format_args!("{why}, so this is what the journal has"));
    Ok(None)
}

/// Steers the live process, and returns how its run stands then.
///
/// # Errors
/// There is none, it does not reply or refuses, or this user may not ask.
pub(super) async fn steer(journal: &Path, order: SteerOrder) -> Result<LiveRun, Failure> {
    match send(journal, &ControlRequest::Steer(order)).await? {
        Some((_, Contact::Reply(live))) => Ok(live),
        Some((holder, contact)) => {
            let (why, help) = no_use(&holder, &contact);
            Err(Failure::usage("live-process", why, help))
        }
        None => Err(Failure::usage(
            "no-live-run",
            format!("no process works on a run of the journal `{}`, so there is nothing to steer", journal.display()),
            "`cutover status` shows how the newest run stands, `cutover resume` continues it",
        )),
    }
}

/// Why the live process is of no use, and what to do.
fn no_use(holder: &Holder, contact: &Contact) -> (String, String) {
    let (pid, command) = (holder.pid, &holder.command);
    match contact {
        Contact::OtherVersion(version) => (
            format!(
                "process {pid} (`cutover {command}`) is cutover {version}, and this is cutover {VERSION}: they do not understand \
                 each other"
            ),
            format!("use the program it was started with; `kill -INT {pid}` makes it stop with everybody in safety"),
        ),
        Contact::Reply(_) | Contact::NotYet | Contact::TimedOut => (
            format!("process {pid} (`cutover {command}`) has the journal and does not reply"),
            format!(
                "it may be starting or ending: try again in a moment. If it was stopped, `kill -CONT {pid}` wakes it; if it hangs, \
                 end it with `kill -9 {pid}` and continue with `cutover resume`: the journal is good"
            ),
        ),
    }
}

/// What came of asking a process.
enum Contact {
    Reply(LiveRun),
    /// Its version; two builds of one version may differ, too.
    OtherVersion(String),
    /// No reply, or not one of ours. In a moment this may be different: it may be at its beginning, at its end, or stopped.
    NotYet,
    TimedOut,
}

/// Asks again for a few seconds: the process may just be starting or ending. None if there is none.
async fn send(journal: &Path, request: &ControlRequest) -> Result<Option<(Holder, Contact)>, Failure> {
    let mut tries = 0;
    loop {
        let Some(holder) = Journal::holder(journal)?.filter(Holder::may_live) else {
            return Ok(None);
        };
        let contact = match &holder.control {
            Some(control) => send_once(&holder, control, request).await?,
            None => Contact::NotYet,
        };
        tries += 1;
        match contact {
            Contact::NotYet if tries < TRIES_MAX => tokio::time::sleep(TRY_AGAIN_AFTER).await,
            contact => return Ok(Some((holder, contact))),
        }
    }
}

async fn send_once(holder: &Holder, control: &Control, request: &ControlRequest) -> Result<Contact, Failure> {
    let token = control.token.expose();
    let url = format!("http://127.0.0.1:{}/", control.port);
    let sent = client()?.post(url).bearer_auth(token).json(request);
    let failed = |error: reqwest::Error| match error.is_timeout() {
        true => Contact::TimedOut,
        false => Contact::NotYet,
    };
    let reply = match sent.timeout(REPLY_MAX).send().await {
        Ok(reply) => reply,
        Err(error) => return Ok(failed(error)),
    };
    let status = reply.status();
    let version = reply.headers().get(PROGRAM_HEADER).and_then(|version| version.to_str().ok()).map(str::to_owned);
    let body = match reply.bytes().await {
        Ok(body) => body,
        Err(error) => return Ok(failed(error)),
    };
    let reply = serde_json::from_slice(&body).ok().filter(|_| status.is_success());
    match (version, reply) {
        (_, Some(reply)) => Ok(Contact::Reply(reply)),
        (Some(version), None) if version != VERSION || status.is_success() => Ok(Contact::OtherVersion(version)),
        (Some(_), None) if status == StatusCode::UNPROCESSABLE_ENTITY => {
            let text = Secret::new(token).redact(&String::from_utf8_lossy(&body));
            let message = format!("process {} works on a run and says: {text}", holder.pid);
            Err(Failure::usage("live-process", message, "`cutover status` shows how it stands"))
        }
        (Some(_) | None, None) => Ok(Contact::NotYet),
    }
}

/// No proxy: what is said here stays on this machine.
fn client() -> Result<reqwest::Client, Failure> {
    // An error says that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build();
    client.map_err(|error| Failure::program(format!("no HTTP client: {error}")))
}
