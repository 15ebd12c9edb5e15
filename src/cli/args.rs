//! Arguments, by clap.

use crate::core::Flaw;
use crate::journal::line::ChainHash;
use crate::progress::Style;
use crate::runner::reopen::Retried;
use crate::runner::{Deadline, MaxFailed, Window};
use crate::services::budget::Quota;
use crate::sim::{Faults, GraphPermission};
use clap::{Args, ColorChoice, Parser, Subcommand};
use std::path::PathBuf;

/// Applies a change to many people in a Microsoft 365 tenant, one row of a CSV each, and never loses its place.
#[derive(Debug, Parser)]
#[command(name = "cutover", version, max_term_width = 110)]
pub struct Cli {
    /// The options of every command.
    #[command(flatten)]
    pub(super) global: Global,
    /// The command.
    #[command(subcommand)]
    pub(super) command: CliCommand,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// The journal's folder
    #[arg(long, global = true, value_name = "DIR", env = "CUTOVER_JOURNAL", default_value = "cutover-journal")]
    pub journal: PathBuf,
    /// Print more (twice: still more)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print only warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// When to use colour; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value = "auto")]
    pub color: ColorChoice,
    /// How progress is shown
    #[arg(long, global = true, value_name = "HOW", value_enum, default_value = "auto")]
    pub progress: Style,
    /// Write a log of JSON lines to this file
    #[arg(long, global = true, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum CliCommand {
    /// Start a run, or pick up the unfinished one of the same job, rows and target
    Run(RunArgs),
    /// Read live state, write nothing: what would change, and what it would cost
    Plan(PlanArgs),
    /// Offline: parse the file, lint every row, print every finding
    Check(CheckArgs),
    /// Whether the target can be reached, with which permissions, domains and limits; changes nothing
    Doctor(DoctorArgs),
    /// Continue an interrupted run from the journal alone
    Resume(ResumeArgs),
    /// A new try for rows that ended failed, reverted, held or stranded
    Retry(RetryArgs),
    /// Read finished rows again and report what is no longer as it should be; writes nothing
    Verify(VerifyArgs),
    /// Start no more rows, bring those under way to safety, and wait for `continue`
    Pause {
        /// The run, or an unambiguous beginning of its name [default: the run in progress]
        run: Option<String>,
    },
    /// Start rows again after a pause
    Continue {
        /// The run, or an unambiguous beginning of its name [default: the run in progress]
        run: Option<String>,
    },
    /// Start no more rows, bring those under way to safety, and stop
    Drain {
        /// The run, or an unambiguous beginning of its name [default: the run in progress]
        run: Option<String>,
    },
    /// Change the write budget of the live process
    Pace {
        /// Most writes in a time, such as 12/s or 2000/150s; no more than the connection file allows
        #[arg(value_parser = rate)]
        rate: Quota,
        /// The run, or an unambiguous beginning of its name [default: the run in progress]
        run: Option<String>,
    },
    /// How a run stands; works while another process is running it
    Status {
        /// The run, or an unambiguous beginning of its name [default: the newest in which somebody cannot sign in, else the newest]
        run: Option<String>,
        /// Machine-readable, on standard output
        #[arg(long)]
        json: bool,
    },
    /// Write the report files again
    Report {
        /// The run, or an unambiguous beginning of its name [default: the newest in which somebody cannot sign in, else the newest]
        run: Option<String>,
        /// Where report files go [default: cutover-report/RUN]
        #[arg(long, value_name = "DIR")]
        report: Option<PathBuf>,
    },
    /// The runs in the journal
    Runs {
        /// Machine-readable, on standard output
        #[arg(long)]
        json: bool,
    },
    /// Prove that the journal was not changed since it was written, or export its history
    Journal {
        #[command(subcommand)]
        what: Option<JournalCommand>,
    },
    /// The shipped jobs; show one, lint a file, draw one
    Jobs {
        #[command(subcommand)]
        what: Option<JobsCommand>,
    },
    /// What a code means, what was changed, and what to do about it
    Explain {
        /// An `error_code`, a code in `error`, a rule, an outcome or an exit code [default: lists them all]
        code: Option<String>,
    },
    /// Convert between GUID, hex and ImmutableID
    ImmutableId {
        /// A GUID, its octets (hexadecimal or decimal, as LDAP, ADUC, PowerShell or SQL show them), or an ImmutableID
        #[arg(required = true, allow_hyphen_values = true)]
        value: Vec<String>,
    },
    /// Serve the simulated tenant for other programs
    Sim(SimArgs),
}

/// The job and the file.
#[derive(Debug, Args)]
pub(super) struct BatchArgs {
    /// The name of a shipped job, or the path of a TOML file
    pub job: String,
    /// The CSV file
    pub csv: PathBuf,
    /// A parameter of the job
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub set: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// The connection file, or `sim` for the simulated tenant inside the process
    #[arg(long, value_name = "FILE|sim", env = "CUTOVER_TARGET")]
    pub target: Option<String>,
}

/// How to work on a run.
#[derive(Debug, Args)]
pub(super) struct WorkArgs {
    /// Where report files go [default: cutover-report/RUN]
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Most rows in flight [default: from rate and latency]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: Option<u32>,
    /// Stop when more rows than this end failed, reverted or held
    #[arg(long, value_name = "N|P%", default_value = "10%")]
    pub max_failed: MaxFailed,
    /// Stop when more rows than this are stranded
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_stranded: u64,
    /// Start rows only in these hours of the day, and wait outside of them; without a zone, the system's is used
    #[arg(long, value_name = "HH:MM-HH:MM[ ZONE]")]
    pub window: Option<Window>,
    /// Stop at this time, with everybody in safety: the next HH:MM, or a moment such as 2026-01-31T05:00:00+01:00
    #[arg(long, value_name = "TIME")]
    pub deadline: Option<Deadline>,
    /// Start a new run without asking; needed if there is no terminal to ask on
    #[arg(long)]
    pub yes: bool,
    /// Machine-readable, on standard output: summary.json at the end
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub batch: BatchArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub work: WorkArgs,
    /// Execute exactly what `plan` wrote there; rows that have changed since are refused
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// A new run, even if there is an unfinished one
    #[arg(long)]
    pub fresh: bool,
    /// A new run that takes over the people who are half way in RUN and knows how they were before; RUN cannot be resumed any more
    #[arg(long, value_name = "RUN")]
    pub adopt_run: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub batch: BatchArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    /// Where plan.csv goes
    #[arg(long, value_name = "DIR", default_value = "cutover-report")]
    pub report: PathBuf,
    /// Machine-readable, on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub batch: BatchArgs,
    /// Machine-readable, on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// The job whose permissions are asked for: a shipped one's name or a TOML file's path [default: all that are shipped]
    pub job: Option<String>,
    #[command(flatten)]
    pub target: TargetArgs,
    /// Machine-readable, on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// The run, or an unambiguous beginning of its name [default: the newest in which somebody cannot sign in, else the newest]
    pub run: Option<String>,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub work: WorkArgs,
}

#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    /// Only these of the rows that ended so, such as 3,7-9
    #[arg(long, value_name = "ROWS")]
    pub rows: Option<Retried>,
    #[command(flatten)]
    pub resume: ResumeArgs,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The run, or an unambiguous beginning of its name [default: the newest in which somebody cannot sign in, else the newest]
    pub run: Option<String>,
    #[command(flatten)]
    pub target: TargetArgs,
    /// Most rows read at once [default: from rate and latency]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: Option<u32>,
    /// Machine-readable, on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum JournalCommand {
    /// Check every record, and compare the checkpoint with what follows from them
    Verify(JournalVerifyArgs),
    /// Write a run's whole history as JSON lines that can be verified without the journal
    Export {
        /// The run, or an unambiguous beginning of its name
        run: String,
        /// Where to write it [default: standard output]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, Default, Args)]
pub(super) struct JournalVerifyArgs {
    /// The run, or an unambiguous beginning of its name [default: all]
    pub run: Option<String>,
    /// A head that was noted earlier: it must be in the run's chain
    #[arg(long, value_name = "HASH")]
    pub head: Option<ChainHash>,
    /// Check an export instead of the journal
    #[arg(long, value_name = "FILE", conflicts_with = "run")]
    pub export: Option<PathBuf>,
    /// Machine-readable, on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// The shipped jobs
    List,
    /// Print a job's file, to read it or to start your own from it
    Show {
        /// The name of a shipped job, or the path of a TOML file
        job: String,
    },
    /// Find every mistake in a job file
    Lint {
        /// The TOML file
        file: String,
    },
    /// Draw a job's state machine as Mermaid
    Diagram {
        /// The name of a shipped job, or the path of a TOML file
        job: String,
    },
}

/// The simulated tenant.
#[derive(Debug, Args)]
pub(super) struct SimArgs {
    /// The port on 127.0.0.1; 0 takes any free one
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// How many people it has
    #[arg(long, default_value_t = 1_000)]
    pub users: u64,
    /// The seed of every random decision
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Keep its state in this folder
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Write a CSV of the people, ready for the job immutable-id
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    #[command(flatten)]
    pub faults: Faults,
    /// How long reads may show what was before a write, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub replication: u64,
    /// How long a token lives, in seconds
    #[arg(long, value_name = "S", default_value_t = 3_599)]
    pub token_life: u64,
    /// No throttling
    #[arg(long)]
    pub unlimited: bool,
    /// Do not grant the app this permission of Graph; can be given several times
    #[arg(long, value_name = "PERMISSION")]
    pub without: Vec<GraphPermission>,
    /// Give the app the roles that acting on administrators takes
    #[arg(long)]
    pub admin_role: bool,
    /// What all apps of the tenant may write together, such as 3000/150s [default: 18000/300s]
    #[arg(long, value_name = "RATE", value_parser = rate, conflicts_with = "unlimited")]
    pub tenant_writes: Option<Quota>,
    /// Writes a second that another app makes in the same tenant
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    pub other_app: f64,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| "write NAME=VALUE".to_owned())
}

/// clap prints an error without its advice, so both go into one sentence.
fn rate(text: &str) -> Result<Quota, String> {
    text.parse().map_err(|flaw: Flaw| format!("{flaw}; {}", flaw.help))
}
