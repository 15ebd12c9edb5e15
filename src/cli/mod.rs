//! The command line: one file a command, arguments in, exit code out. No decisions about rows.

mod args;
mod check;
mod connect;
mod context;
mod doctor;
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
mod plan;
mod privacy;
mod report;
mod resume;
mod run;
mod runs;
mod sim;
mod status;
mod steer;
mod work;

pub use args::Cli;
pub use exit::Exit;

use args::Command;
use exit::Failure;

/// Does what the command line asks for.
#[must_use]
pub fn main(cli: Cli) -> Exit {
    privacy::keep_files_private();
    if let Err(failure) = logging::init(&cli.global) {
        return failure.tell();
    }
    match dispatch(cli) {
        Ok(exit) => exit,
        Err(failure) => failure.tell(),
    }
}

fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let global = cli.global;
    match cli.command {
        Command::Run(args) => on_runtime(run::main(&global, &args)),
        Command::Plan(args) => on_runtime(plan::main(&global, &args)),
        Command::Check(args) => check::main(&args),
        Command::Doctor(args) => on_runtime(doctor::main(&args)),
        Command::Resume(args) => on_runtime(resume::main(&global, &args)),
        Command::Pause(args) => on_runtime(steer::pause(&global, &args)),
        Command::Continue(args) => on_runtime(steer::go_on(&global, &args)),
        Command::Drain(args) => on_runtime(steer::drain(&global, &args)),
        Command::Pace(args) => on_runtime(steer::pace(&global, &args)),
        Command::Status(args) => on_runtime(status::main(&global, &args)),
        Command::Report(args) => on_runtime(report::main(&global, &args)),
        Command::Runs(args) => on_runtime(runs::main(&global, &args)),
        Command::Journal(args) => journal::main(&global, args.what),
        Command::Jobs(args) => jobs::main(args.what.as_ref()),
        Command::Explain(args) => explain::main(args.code.as_deref()),
        Command::ImmutableId(args) => immutable_id::main(&args.value),
        Command::Sim(args) => on_runtime(sim::main(&args)),
    }
}

fn on_runtime<F: Future<Output = Result<Exit, Failure>>>(future: F) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::program(format!("the runtime cannot start: {error}")))?;
    runtime.block_on(future)
}
