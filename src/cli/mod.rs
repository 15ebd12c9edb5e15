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
mod run;
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
use args::{Cli, CliCommand, Global};
use control::SteerOrder;
use failure::Failure;
use std::ffi::OsString;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Mutex;

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
        fail("internal", &panic.to_string(), Some(help));
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
        CliCommand::Resume(args) => on_runtime(resume::main(&global, &args, None)),
        CliCommand::Retry(args) => on_runtime(resume::main(&global, &args.resume, Some(args.rows.unwrap_or_default()))),
        CliCommand::Verify(args) => on_runtime(verify::main(&global, &args)),
        CliCommand::Pause { run } => on_runtime(steer::main(&global, run, SteerOrder::Pause(steer::reason()))),
        CliCommand::Continue { run } => on_runtime(steer::main(&global, run, SteerOrder::Continue)),
        CliCommand::Drain { run } => on_runtime(steer::main(&global, run, SteerOrder::Drain(steer::reason()))),
        CliCommand::Pace { rate, run } => on_runtime(steer::main(&global, run, SteerOrder::Pace(rate.to_string()))),
        CliCommand::Status { run, json } => on_runtime(status::main(&global, run, json)),
        CliCommand::Runs { json } => on_runtime(status::runs(&global, json)),
        CliCommand::Report { run, report } => on_runtime(report::main(&global, run, report)),
        CliCommand::Journal { what } => on_runtime(async { journal::main(&global, what) }),
        CliCommand::Jobs { what } => jobs::main(what.as_ref()),
        CliCommand::Explain { code } => explain::main(code.as_deref()),
        CliCommand::ImmutableId { value } => immutable_id::main(&value),
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
    let wanted = std::thread::available_parallelism().map_or(1, NonZero::get) + THREADS_BESIDE;
    let gate = Mutex::new(());
    let started = std::thread::scope(|scope| {
        // All at once: each waits until the last one has started.
        let _held = gate.lock();
        (0..wanted).try_for_each(|_| std::thread::Builder::new().spawn_scoped(scope, || drop(gate.lock())).map(drop))
    });
    started.map_err(|error| over_limit(format!("the system refuses to start a thread: {error}")))
}

fn over_limit(message: String) -> Failure {
    let help = "raise the limit for this account: `ulimit -u` or systemd's TasksMax for threads, `ulimit -n` for files";
    Failure::usage("system-limit", message, help)
}
