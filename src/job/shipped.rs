//! The jobs inside the binary, and finding a job by name or path.

use super::parse::{SOURCE_BYTES_MAX, parse};
use super::{Job, JobMistakes};
use std::io::Read as _;
use std::path::Path;

/// A job inside the binary: its name and its text.
#[derive(Debug, Clone, Copy)]
pub struct JobFile {
    /// The name on the command line.
    pub name: &'static str,
    /// The text of `jobs/<name>.toml`.
    pub source: &'static str,
}

/// All of them, by name.
pub const SHIPPED: &[JobFile] =
    &[JobFile { name: "immutable-id", source: include_str!("../../jobs/immutable-id.toml") }];

/// Why a job could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Neither a shipped job, of which the names are given, nor a file.
    #[error("there is no job `{0}`; shipped jobs: {1}; a path to a TOML file works, too")]
    Unknown(String, String),
    /// The file could not be read.
    #[error("cannot read the job file {0}")]
    Unreadable(String, #[source] std::io::Error),
    /// The file is longer than any job.
    #[error("{0} is longer than {SOURCE_BYTES_MAX} bytes, and so no job file")]
    TooLong(String),
    /// The file has mistakes.
    #[error(transparent)]
    Mistakes(#[from] JobMistakes),
}

/// Finds a job by the name of a shipped one, else as a file.
///
/// # Errors
/// [`FindError`]; for a file with mistakes all of them.
pub fn find(name: &str) -> Result<Job, FindError> {
    let (origin, text) = text_of(name)?;
    Ok(parse(&origin, &text)?)
}

/// The text of a job and where it comes from, without reading what it says.
///
/// # Errors
/// [`FindError::Unknown`] and [`FindError::Unreadable`].
pub fn text_of(name: &str) -> Result<(String, String), FindError> {
    if let Some(file) = SHIPPED.iter().find(|file| file.name == name) {
        return Ok((format!("jobs/{name}.toml"), file.source.to_owned()));
    }
    let is_path = name.ends_with(".toml") || Path::new(name).exists();
    if !is_path {
        let known: Vec<&str> = SHIPPED.iter().map(|file| file.name).collect();
        return Err(FindError::Unknown(name.to_owned(), known.join(", ")));
    }
    let path = name.to_owned();
    match read(name) {
        Ok(Some(text)) => Ok((path, text)),
        Ok(None) => Err(FindError::TooLong(path)),
        Err(source) => Err(FindError::Unreadable(path, source)),
    }
}

/// No further than it takes to know that it is too long; None for that.
fn read(name: &str) -> std::io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(name)?;
    file.take(SOURCE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > SOURCE_BYTES_MAX {
        return Ok(None);
    }
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_job_is_without_mistakes_and_bears_its_name() {
        for file in SHIPPED {
            match find(file.name) {
                Ok(job) => assert_eq!(job.name, file.name),
                Err(FindError::Mistakes(mistakes)) => panic!("{}", mistakes.listing()),
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn an_unknown_name_says_which_there_are() {
        let error = find("imutable-id").unwrap_err();
        assert!(error.to_string().contains("immutable-id"), "{error}");
    }
}
