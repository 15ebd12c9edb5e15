//! The command line: one file a command, arguments in, exit code out. No decisions about rows.

mod args;
mod check;
mod connect;
mod consent;
mod context;
mod control;
mod control_server;
mod doctor;
mod ending;
mod errors;
mod exit;
mod explain;
mod failure;
mod forecast;
mod half_way;
mod immutable_id;
mod jobs;
mod journal;
mod logging;
mod plan;
mod privacy;
mod reading;
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
mod waits;
mod work;

pub use exit::Exit;

use crate::progress::{end, fail};
use args::{Cli, CliCommand};
use failure::Failure;
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

/// A panic is printed like any other error, and ends with the exit code of a fault of the program.
fn guarded(cli: Cli) -> Exit {
    set_hook(Box::new(|panic| {
        let help = "please report it, with the log; then `cutover resume`";
        fail(errors::INTERNAL, &panic.to_string(), Some(help));
    }));
    // Unwind safe: the process ends, so nothing sees a broken state.
    catch_unwind(AssertUnwindSafe(|| work_on(cli))).unwrap_or(Exit::Program)
}

fn work_on(cli: Cli) -> Exit {
    privacy::keep_private();
    let done = logging::init(&cli.global).and_then(|()| dispatch(cli));
    done.unwrap_or_else(Failure::print)
}

fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let global = cli.global;
    match cli.command {
        CliCommand::Run(args) => on_runtime(run::main(&global, &args)),
        CliCommand::Plan(args) => on_runtime(plan::main(&global, &args)),
        CliCommand::Check(args) => on_runtime(async { check::main(&args) }),
        CliCommand::Doctor(args) => on_runtime(doctor::main(&args)),
        CliCommand::Resume(args) => on_runtime(resume::main(&global, &args)),
        CliCommand::Retry(args) => on_runtime(retry::main(&global, &args)),
        CliCommand::Verify(args) => on_runtime(verify::main(&global, &args)),
        CliCommand::Pause(args) => on_runtime(steer::pause(&global, &args)),
        CliCommand::Continue(args) => on_runtime(steer::go_on(&global, &args)),
        CliCommand::Drain(args) => on_runtime(steer::drain(&global, &args)),
        CliCommand::Pace(args) => on_runtime(steer::pace(&global, &args)),
        CliCommand::Status(args) => on_runtime(status::main(&global, &args)),
        CliCommand::Report(args) => on_runtime(report::main(&global, &args)),
        CliCommand::Runs(args) => on_runtime(runs::main(&global, &args)),
        CliCommand::Journal(args) => on_runtime(async { journal::main(&global, args.what) }),
        CliCommand::Jobs(args) => jobs::main(args.what.as_ref()),
        CliCommand::Explain(args) => explain::main(args.code.as_deref()),
        CliCommand::ImmutableId(args) => immutable_id::main(&args.value),
        CliCommand::Sim(args) => on_runtime(sim::main(&args)),
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
    // Registering the signal replaces its default action, which would end the process.
    if let Err(error) = signal(over_limit) {
        tracing::warn!("a file over the limit of its size will end the process: {error}");
    }
}

/// Windows has no such limit.
#[cfg(not(unix))]
fn survive_file_limit() {}

/// tokio panics if the system refuses it a thread, and may then hang. So this first starts as many threads as tokio and the journal
/// will need.
fn must_give_threads() -> Result<(), Failure> {
    let (held, release) = mpsc::sync_channel::<()>(0);
    let release = Arc::new(Mutex::new(release));
    let wanted = std::thread::available_parallelism().map_or(1, NonZero::get) + THREADS_BESIDE;
    let threads: std::io::Result<Vec<_>> = (0..wanted)
        .map(|_| {
            let release = Arc::clone(&release);
            // All at once: each waits until the last one has started.
            std::thread::Builder::new().spawn(move || drop(release.lock().map(|end| end.recv())))
        })
        .collect();
    drop(held);
    let refused = match threads {
        Ok(threads) => {
            // They cannot panic.
            threads.into_iter().for_each(|thread| drop(thread.join()));
            return Ok(());
        }
        Err(error) => error,
    };
    Err(over_limit(format!("the system refuses to start a thread: {refused}")))
}

fn over_limit(message: String) -> Failure {
    let help = "raise the limit for this account: `ulimit -u` or systemd's TasksMax for threads, `ulimit -n` for files";
    Failure::usage(message, help).coded(errors::SYSTEM_LIMIT)
}
