//! The jobs inside the binary, and finding a job by name or path.

use super::{Job, JobMistakes, parse};
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
pub const SHIPPED: &[JobFile] = &[JobFile {
    name: "immutable-id",
    source: include_str!("../../jobs/immutable-id.toml"),
}];

/// Why a job could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Neither a shipped job nor a file.
    #[error("there is no job `{name}`; shipped jobs: {known}; a path to a TOML file works, too")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The file could not be read.
    #[error("cannot read the job file {path}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
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
        return Err(FindError::Unknown {
            name: name.to_owned(),
            known: known.join(", "),
        });
    }
    let text = std::fs::read_to_string(name).map_err(|source| FindError::Unreadable {
        path: name.to_owned(),
        source,
    })?;
    Ok((name.to_owned(), text))
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
