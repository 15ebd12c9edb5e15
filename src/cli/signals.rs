//! The signals that end a run, and which of them count as one.
//!
//! A dropped connection (SIGHUP) and Ctrl-\ (SIGQUIT) bring everybody to safety as Ctrl-C does: they rarely mean "leave people
//! locked out". One request may arrive as several signals: `timeout` signals its child and then the whole group, and a person presses
//! Ctrl-C until something happens. So signals soon after the first one count as the same request.

use crate::runner::{Asked, Command};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};

/// Signals within this time after the first one are part of it.
const ONE_REQUEST: Duration = Duration::from_secs(2);

/// The first signal drains, a second request stops at once. Called early, so that no signal is lost before the run is worked on.
pub(super) fn hear(sender: mpsc::Sender<Asked>) {
    let (heard, signals) = mpsc::channel(1);
    match listen(&heard) {
        Ok(()) => drop(tokio::spawn(pass_on(signals, sender))),
        Err(error) => tracing::warn!("signals cannot be handled; the run ends at once on one: {error}"),
    }
}

/// Names the signals that end a run as they come; None: none will.
async fn pass_on(mut signals: mpsc::Receiver<&'static str>, sender: mpsc::Sender<Asked>) -> Option<()> {
    let first = signals.recv().await?;
    let until = Instant::now() + ONE_REQUEST;
    // A run that has ended takes no more commands.
    let _ended = sender.send(Command::Interrupt(format!("{first} received")).into()).await;
    let mut again = signals.recv().await?;
    while Instant::now() < until {
        again = signals.recv().await?;
    }
    let _ended = sender.send(Command::StopNow(format!("{again} received twice")).into()).await;
    Some(())
}

#[cfg(unix)]
fn listen(heard: &mpsc::Sender<&'static str>) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [
        ("SIGINT", SignalKind::interrupt()),
        ("SIGTERM", SignalKind::terminate()),
        ("SIGQUIT", SignalKind::quit()),
        ("SIGHUP", SignalKind::hangup()),
    ];
    for (name, kind) in kinds.into_iter().filter(|(_, kind)| *kind != SignalKind::hangup() || !ignores_hangup()) {
        let (mut signal, heard) = (signal(kind)?, heard.clone());
        tokio::spawn(async move { while signal.recv().await.is_some() && heard.send(name).await.is_ok() {} });
    }
    Ok(())
}

#[cfg(not(unix))]
fn listen(heard: &mpsc::Sender<&'static str>) -> std::io::Result<()> {
    let heard = heard.clone();
    tokio::spawn(async move { while tokio::signal::ctrl_c().await.is_ok() && heard.send("Ctrl-C").await.is_ok() {} });
    Ok(())
}

/// Whether the process was started to outlive its terminal, as by `nohup`. Only Linux says so without unsafe code.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| is_hangup_ignored(&status))
}

#[cfg(unix)]
fn is_hangup_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // SIGHUP is signal 1, the lowest bit.
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {})
    }

    async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::is_hangup_ignored;

    #[test]
    fn nohup_is_seen() {
        let status = |mask| format!("Name:\tcutover\nSigBlk:\t0000000000000000\nSigIgn:\t{mask}\nSigCgt:\t1\n");
        assert!(is_hangup_ignored(&status("0000000000001001")));
        assert!(!is_hangup_ignored(&status("0000000000001000")));
        assert!(!is_hangup_ignored("Name:\tcutover\n"));
    }
}
