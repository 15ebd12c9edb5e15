//! What other processes may ask of the one that works on a journal, and the client that asks it.
//!
//! The live process listens on loopback, on a port that `holder.json` in the journal names together with a token. So anyone who
//! may read the journal may ask, and nobody else. The other end is `control_server.rs`.

use super::failure::Failure;
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
    match send(journal, &ControlRequest::Look).await? {
        Some(Ok(live)) => return Ok(Some(live)),
        Some(Err([why, _])) => warn(format_args!("{why}, so this is what the journal has")),
        None => {}
    }
    Ok(None)
}

/// Steers the live process, and returns how its run stands then.
///
/// # Errors
/// There is none, it does not reply or refuses, or this user may not ask.
pub(super) async fn steer(journal: &Path, order: SteerOrder) -> Result<LiveRun, Failure> {
    match send(journal, &ControlRequest::Steer(order)).await? {
        Some(reply) => reply.map_err(|[why, help]| Failure::usage("live-process", why, help)),
        None => Err(Failure::usage(
            "no-live-run",
            format!("no process works on a run of the journal `{}`, so there is nothing to steer", journal.display()),
            "`cutover status` shows how the newest run stands, `cutover resume` continues it",
        )),
    }
}

/// Why a live process is of no use, and what to do.
type NoUse = [String; 2];

/// Asks again for a few seconds: the process may just be starting or ending. None if there is none.
async fn send(journal: &Path, request: &ControlRequest) -> Result<Option<Result<LiveRun, NoUse>>, Failure> {
    for tries in 1.. {
        let Some(holder) = Journal::holder(journal)?.filter(Holder::may_live) else {
            break;
        };
        let contact = match &holder.control {
            Some(control) => send_once(holder.pid, control, request).await?,
            None => Contact::NotYet,
        };
        let Holder { pid, command, .. } = holder;
        return Ok(Some(match contact {
            Contact::Reply(live) => Ok(live),
            Contact::NotYet if tries < TRIES_MAX => {
                tokio::time::sleep(TRY_AGAIN_AFTER).await;
                continue;
            }
            Contact::NotYet | Contact::TimedOut => Err([
                format!("process {pid} (`cutover {command}`) has the journal and does not reply"),
                format!(
                    "it may be starting or ending: try again in a moment. If it was stopped, `kill -CONT {pid}` wakes it; if it \
                     hangs, end it with `kill -9 {pid}` and continue with `cutover resume`: the journal is good"
                ),
            ]),
            Contact::OtherVersion(version) => Err([
                format!(
                    "process {pid} (`cutover {command}`) is cutover {version}, and this is cutover {VERSION}: they do not \
                     understand each other"
                ),
                format!(
                    "use the program it was started with; `kill -INT {pid}` makes it stop with everybody in safety"
                ),
            ]),
        }));
    }
    Ok(None)
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

async fn send_once(pid: u32, control: &Control, request: &ControlRequest) -> Result<Contact, Failure> {
    let (status, version, body) = match exchange(control, request).await {
        Ok(reply) => reply,
        Err(error) if error.is_timeout() => return Ok(Contact::TimedOut),
        Err(_) => return Ok(Contact::NotYet),
    };
    let reply = serde_json::from_slice(&body).ok().filter(|_| status.is_success());
    match (version, reply) {
        (_, Some(reply)) => Ok(Contact::Reply(reply)),
        (Some(version), None) if version != VERSION || status.is_success() => Ok(Contact::OtherVersion(version)),
        (Some(_), None) if status == StatusCode::UNPROCESSABLE_ENTITY => {
            let text = Secret::new(control.token.expose()).redact(&String::from_utf8_lossy(&body));
            let message = format!("process {pid} works on a run and says: {text}");
            Err(Failure::usage("live-process", message, "`cutover status` shows how it stands"))
        }
        (Some(_) | None, None) => Ok(Contact::NotYet),
    }
}

/// Returns the status, the version of the program that replies, and what it says.
async fn exchange(
    control: &Control,
    request: &ControlRequest,
) -> reqwest::Result<(StatusCode, Option<String>, Vec<u8>)> {
    // An error says that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // No proxy: what is said here stays on this machine.
    let client = reqwest::Client::builder().no_proxy().timeout(REPLY_MAX).build()?;
    let call = client.post(format!("http://127.0.0.1:{}/", control.port)).bearer_auth(control.token.expose());
    let reply = call.json(request).send().await?;
    let version = reply.headers().get(PROGRAM_HEADER).and_then(|version| version.to_str().ok()).map(str::to_owned);
    Ok((reply.status(), version, reply.bytes().await?.to_vec()))
}
