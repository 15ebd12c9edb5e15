//! `cutover jobs`: list, show, lint and draw jobs.

use super::args::JobsCommand;
use super::context::{job, job_failure};
use super::{Exit, Failure};
use crate::job::{SHIPPED, mermaid, parse, text_of};
use crate::progress::{print_file, print_result, print_text};

pub(super) fn main(what: Option<&JobsCommand>) -> Result<Exit, Failure> {
    match what {
        None | Some(JobsCommand::List) => list(),
        Some(JobsCommand::Show { job }) => {
            let (_, text) = text_of(job).map_err(job_failure)?;
            print_file(&text);
            Ok(Exit::Good)
        }
        Some(JobsCommand::Lint { file }) => lint(file),
        Some(JobsCommand::Diagram { job: name }) => {
            print_text(mermaid(&job(name)?));
            Ok(Exit::Good)
        }
    }
}

fn list() -> Result<Exit, Failure> {
    for file in SHIPPED {
        print_text(format_args!("{:<16} {}\n", file.name, job(file.name)?.title));
    }
    Ok(Exit::Good)
}

/// The mistakes are the result, so they go to standard output.
fn lint(file: &str) -> Result<Exit, Failure> {
    let (origin, text) = text_of(file).map_err(job_failure)?;
    match parse(&origin, &text) {
        Ok(job) => {
            print_result(format_args!("{origin}: job {} has no mistakes", job.name));
            Ok(Exit::Good)
        }
        Err(mistakes) => {
            print_text(mistakes.listing());
            Ok(Failure::usage("job-file", mistakes.to_string(), "fix what is listed").print())
        }
    }
}
