//! The command line: one file a command, arguments in, exit code out. No decisions about rows.

mod args;
mod check;
mod connect;
mod context;
mod doctor;
mod errors;
mod exit;
mod explain;
mod forecast;
mod half_way;
mod immutable_id;
mod jobs;
mod journal;
mod last_words;
mod live;
mod logging;
mod opening;
mod plan;
mod privacy;
mod report;
mod resume;
mod retry;
mod run;
mod runs;
mod signals;
mod sim;
mod status;
mod steer;
mod usage;
mod verify;
mod work;

pub use exit::Exit;

use crate::progress::{end, fail};
use args::{Cli, Command};
use exit::Failure;
use std::ffi::OsString;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::{Arc, Mutex, mpsc};

/// Threads of the journal: those that write the log and the checkpoint.
const THREADS_BESIDE: usize = 2;

/// Does what the command line asks for.
#[must_use]
pub fn main(arguments: Vec<OsString>) -> Exit {
    let exit = match usage::parse(arguments) {
        Ok(cli) => guarded(cli),
        Err(exit) => exit,
    };
    end(exit.code());
    exit
}

/// A panic is told like every other error, and ends in the exit code of a fault of the program.
fn guarded(cli: Cli) -> Exit {
    set_hook(Box::new(|panic| {
        fail(
            errors::INTERNAL.code,
            &panic.to_string(),
            Some(errors::INTERNAL.advice),
        );
    }));
    // What a panic leaves behind is not looked at any more: the process ends.
    catch_unwind(AssertUnwindSafe(|| work_on(cli))).unwrap_or(Exit::Program)
}

fn work_on(cli: Cli) -> Exit {
    privacy::keep_private();
    let done = logging::init(&cli.global).and_then(|()| dispatch(cli));
    done.unwrap_or_else(Failure::tell)
}

fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let global = cli.global;
    match cli.command {
        Command::Run(args) => on_runtime(run::main(&global, &args)),
        Command::Plan(args) => on_runtime(plan::main(&global, &args)),
        Command::Check(args) => on_runtime(async { check::main(&args) }),
        Command::Doctor(args) => on_runtime(doctor::main(&args)),
        Command::Resume(args) => on_runtime(resume::main(&global, &args)),
        Command::Retry(args) => on_runtime(retry::main(&global, &args)),
        Command::Verify(args) => on_runtime(verify::main(&global, &args)),
        Command::Pause(args) => on_runtime(steer::pause(&global, &args)),
        Command::Continue(args) => on_runtime(steer::go_on(&global, &args)),
        Command::Drain(args) => on_runtime(steer::drain(&global, &args)),
        Command::Pace(args) => on_runtime(steer::pace(&global, &args)),
        Command::Status(args) => on_runtime(status::main(&global, &args)),
        Command::Report(args) => on_runtime(report::main(&global, &args)),
        Command::Runs(args) => on_runtime(runs::main(&global, &args)),
        Command::Journal(args) => on_runtime(async { journal::main(&global, args.what) }),
        Command::Jobs(args) => jobs::main(args.what.as_ref()),
        Command::Explain(args) => explain::main(args.code.as_deref()),
        Command::ImmutableId(args) => immutable_id::main(&args.value),
        Command::Sim(args) => on_runtime(sim::main(&args)),
    }
}

fn on_runtime<F: Future<Output = Result<Exit, Failure>>>(future: F) -> Result<Exit, Failure> {
    must_give_threads()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| over_limit(format!("the runtime cannot start: {error}")))?;
    runtime.block_on(async {
        survive_file_limit();
        future.await
    })
}

/// A file that would grow over `ulimit -f` is then an error of that write, and does not end the process.
#[cfg(unix)]
fn survive_file_limit() {
    use tokio::signal::unix::{SignalKind, signal};
    let over_limit = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    // Nobody listens: that it is heard at all takes its default away.
    if let Err(error) = signal(over_limit) {
        tracing::warn!("a file over the limit of its size will end the process: {error}");
    }
}

/// Windows has no such limit.
#[cfg(not(unix))]
fn survive_file_limit() {}

/// tokio panics where the system refuses it a thread, and then may wait for ever; so as many as it begins with, and those of the
/// journal, are asked for first.
fn must_give_threads() -> Result<(), Failure> {
    let (held, release) = mpsc::sync_channel::<()>(0);
    let release = Arc::new(Mutex::new(release));
    let wanted = std::thread::available_parallelism().map_or(1, NonZero::get) + THREADS_BESIDE;
    let threads: std::io::Result<Vec<_>> = (0..wanted)
        .map(|_| {
            let release = Arc::clone(&release);
            // All of them at once: each waits until the last one was begun.
            std::thread::Builder::new().spawn(move || drop(release.lock().map(|end| end.recv())))
        })
        .collect();
    drop(held);
    let refused = match threads {
        Ok(threads) => {
            // They do nothing that could fail.
            threads.into_iter().for_each(|thread| drop(thread.join()));
            return Ok(());
        }
        Err(error) => error,
    };
    Err(over_limit(format!(
        "the system refuses to start a thread: {refused}"
    )))
}

fn over_limit(message: String) -> Failure {
    let kind = &errors::SYSTEM_LIMIT;
    Failure::usage(message, kind.advice).coded(kind)
}
