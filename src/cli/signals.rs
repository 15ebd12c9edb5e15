//! The signals that end a run, and which of them count as one.
//!
//! A dropped connection (SIGHUP) and Ctrl-\ (SIGQUIT) bring everybody to safety as Ctrl-C does: they rarely mean "leave people
//! locked out". One request may arrive as several signals: `timeout` signals its child and then the whole group, and a person presses
//! Ctrl-C until something happens. So signals soon after the first one count as the same request.

use crate::runner::{Asked, Command};
#[cfg(unix)]
use std::task::Poll;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};

/// Signals within this time after the first one are part of it.
const ONE_REQUEST: Duration = Duration::from_secs(2);

/// The first signal drains, a second request stops at once. Called early, so that no signal is lost before the run is worked on.
pub(super) fn hear(sender: mpsc::Sender<Asked>) {
    match Signals::listen() {
        Ok(signals) => drop(tokio::spawn(pass_on(signals, sender))),
        Err(error) => {
            tracing::warn!("signals cannot be handled; the run ends at once on one: {error}");
        }
    }
}

async fn pass_on(mut signals: Signals, sender: mpsc::Sender<Asked>) {
    let first = signals.next().await;
    let heard = Instant::now();
    let drain = Command::Interrupt(format!("{first} received"));
    // A run that has ended takes no more commands.
    let _ended = sender.send(drain.into()).await;
    let mut again = signals.next().await;
    while heard.elapsed() < ONE_REQUEST {
        again = signals.next().await;
    }
    let stop = Command::StopNow(format!("{again} received twice"));
    let _ended = sender.send(stop.into()).await;
}

/// Those that end a run, each with its name.
struct Signals {
    #[cfg(unix)]
    all: Vec<(&'static str, Signal)>,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Signals> {
        let mut kinds = vec![
            ("SIGINT", SignalKind::interrupt()),
            ("SIGTERM", SignalKind::terminate()),
            ("SIGQUIT", SignalKind::quit()),
        ];
        if !ignores_hangup() {
            kinds.push(("SIGHUP", SignalKind::hangup()));
        }
        let all = kinds.into_iter().map(|(name, kind)| Ok((name, signal(kind)?)));
        Ok(Signals { all: all.collect::<std::io::Result<_>>()? })
    }

    async fn next(&mut self) -> &'static str {
        std::future::poll_fn(|context| {
            let heard = |(name, signal): &mut (_, Signal)| signal.poll_recv(context).is_ready().then_some(*name);
            self.all.iter_mut().find_map(heard).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
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
