//! What several commands need: opening the journal, finding the job and the file, and showing findings.

use super::args::{BatchArgs, WorkArgs};
use super::connect::Target;
use super::{Failure, Global};
use crate::batch::{Finding, Input, InputError};
use crate::core::nearest_first;
use crate::job::{FindError, Job, SHIPPED};
use crate::journal::sled_store::Why;
use crate::journal::{Holder, Journal, JournalError, RunId, Snapshot};
use crate::progress::{print, print_json_text, warn};
use crate::runner::start::Order;
use crate::runner::{Clock, Schedule, SystemClock};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// The job, its parameters and the file of a command line.
pub(super) struct JobBatch {
    pub job: Arc<Job>,
    pub params: BTreeMap<String, String>,
    pub input: Input,
}

impl JobBatch {
    /// Reads the job and the head of the file, whose rows must be usable.
    ///
    /// # Errors
    /// Everything that makes the batch unusable, with every mistake of a kind at once.
    pub fn open(args: &BatchArgs) -> Result<JobBatch, Failure> {
        let batch = JobBatch::read(args)??;
        let wrong: Vec<String> = batch.file_errors().map(ToString::to_string).collect();
        if wrong.is_empty() {
            return Ok(batch);
        }
        let file = batch.input.file.display();
        let help = format!("`cutover check {} {file}` shows everything; nothing was sent", batch.job.name);
        Err(Failure::usage("input-unusable", format!("`{file}` cannot be used\n{}", wrong.join("\n")), help))
    }

    /// The same, but what makes the file unusable is handed back apart.
    ///
    /// # Errors
    /// Mistakes of the job and of its parameters.
    pub fn read(args: &BatchArgs) -> Result<Result<JobBatch, InputError>, Failure> {
        let job = job(&args.job)?;
        let params = job.parameters(&args.set).map_err(|wrong| {
            Failure::usage("parameter", wrong.join("\n"), format!("`cutover jobs show {}` explains them", job.name))
        })?;
        let input = crate::batch::open(&args.csv, &job.layout);
        Ok(input.map(|input| JobBatch { job: Arc::new(job), params, input }))
    }

    /// A new run of this batch on that target, without a plan and without people of another run.
    pub fn order(&self, target: &Target) -> Order<'_> {
        Order {
            run: RunId(Uuid::now_v7()),
            job: &self.job,
            params: self.params.clone(),
            input: &self.input,
            target: target.identity(),
            target_spec: target.spec.clone(),
            write_quota: target.write_quota(),
            operator: operator(),
            plan: None,
            adopts: None,
        }
    }

    /// Errors about the file as a whole.
    pub fn file_errors(&self) -> impl Iterator<Item = &Finding> {
        self.input.findings.iter().filter(|finding| finding.is_error())
    }

    /// Says what was detected, and which columns are left alone.
    pub fn tell_dialect(&self) {
        let Input { file, dialect, unread, .. } = &self.input;
        let unread = if unread.is_empty() { String::new() } else { format!("; not read: {}", unread.join(", ")) };
        print(format_args!("{}: {dialect}{unread}", file.display()));
    }
}

/// Finds a job; shows every mistake of a file that has some.
///
/// # Errors
/// When there is none, or it has mistakes.
pub(super) fn job(name: &str) -> Result<Job, Failure> {
    crate::job::find(name).map_err(job_failure)
}

pub(super) fn job_failure(error: FindError) -> Failure {
    match &error {
        FindError::Mistakes(mistakes) => {
            let message = format!("{mistakes}\n{}", mistakes.listing());
            Failure::usage("job-file", message, "fix the job file; nothing was sent")
        }
        FindError::Unreadable(_, source) => Failure::usage("job-file", format!("{error}: {source}"), "check the path"),
        FindError::TooLong { .. } => Failure::usage("job-file", error.to_string(), "check the path"),
        FindError::Unknown(name, _) => Failure::usage("unknown-job", error.to_string(), near_job(name)),
    }
}

fn near_job(name: &str) -> String {
    let shipped: Vec<&str> = SHIPPED.iter().map(|file| file.name).collect();
    match nearest_first(name, &shipped).as_slice() {
        [] => "`cutover jobs` lists them".to_owned(),
        near => format!("did you mean `{}`?", near.join("` or `")),
    }
}

/// Opens the journal to work on it.
///
/// # Errors
/// In use, damaged, or not there to be made.
pub(super) fn journal(global: &Global, command: &str) -> Result<Journal, Failure> {
    let journal = Journal::open(&global.journal, &holder(command, None))?;
    if let Some(note) = journal.set_aside() {
        warn(note);
    }
    if let Some(mode) = journal.open_to_others() {
        let dir = journal.dir().display();
        warn(format_args!(
            "others can open the journal's folder `{dir}` (mode {mode:04o}), which names people; close it with: chmod 700 {dir}"
        ));
    }
    Ok(journal)
}

/// The same for a journal that must be there already: looking for a run makes no folder.
///
/// # Errors
/// There is none, or as [`journal`].
pub(super) fn existing_journal(global: &Global, command: &str) -> Result<Journal, Failure> {
    must_be_there(global)?;
    journal(global, command)
}

/// The journal as it is at this moment, for commands that only look: they hold nobody up and write nothing to it.
///
/// # Errors
/// There is none, it may not be read, or it is damaged.
pub(super) fn snapshot(global: &Global) -> Result<Snapshot, Failure> {
    must_be_there(global)?;
    Ok(Snapshot::take(&global.journal)?)
}

/// Says why the checkpoint is not used.
pub(super) fn warn_unused(why: &Why) {
    warn(format_args!("the checkpoint is not used, and is rebuilt from the log by the next `run` or `resume`: {why}"));
}

/// # Errors
/// There is no journal, or it may not be read.
pub(super) fn must_be_there(global: &Global) -> Result<(), Failure> {
    if Journal::exists(&global.journal)? {
        return Ok(());
    }
    let dir = global.journal.clone();
    Err(JournalError::NoRun { dir }.into())
}

/// When rows may begin, from the options; asked for before anything else, so that a mistake costs nothing.
///
/// # Errors
/// No row could ever begin.
pub(super) fn schedule(args: &WorkArgs) -> Result<Schedule, Failure> {
    let zone = jiff::tz::TimeZone::system();
    Ok(Schedule::new(args.window.clone(), args.deadline.as_ref(), SystemClock.now(), &zone)?)
}

/// How this process names itself to others.
pub(super) fn holder(command: &str, run: Option<String>) -> Holder {
    Holder {
        pid: std::process::id(),
        command: command.to_owned(),
        run,
        since: jiff::Timestamp::now().to_string(),
        control: None,
    }
}

/// Who is at the keyboard, for the journal.
pub(super) fn operator() -> String {
    let variable = |names: &[&str]| names.iter().find_map(|name| std::env::var(name).ok());
    let user = variable(&["USER", "USERNAME", "LOGNAME"]).unwrap_or_else(|| "unknown".into());
    let host = variable(&["HOSTNAME", "COMPUTERNAME"])
        .or_else(|| std::fs::read_to_string("/etc/hostname").ok())
        .unwrap_or_else(|| "unknown".into());
    format!("{user}@{}", host.trim())
}

/// Where a run's report goes when nobody says otherwise.
pub(super) fn report_dir(given: Option<&Path>, run: &str) -> PathBuf {
    given.map_or_else(|| Path::new("cutover-report").join(run), Path::to_owned)
}

/// The same place, whatever the working directory.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A value as JSON on standard output.
///
/// # Errors
/// Never for the program's own types; not hidden either.
pub(super) fn print_json<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::program(error.to_string()))?;
    print_json_text(&format!("{text}\n"));
    Ok(())
}
