//! Files that are in their place only when they are whole: a reader never finds half of one, and a power cut leaves the old one
//! or the new one.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::NamedTempFile;

/// How the name of an unfinished file begins and ends.
const PART: (&str, &str) = (".cutover-", ".part");

/// An unfinished file that has not been written to for this long was left by a killed process.
const ABANDONED: Duration = Duration::from_secs(600);

/// A file under construction: written next to its place, renamed at the end, removed if it never gets there.
pub struct AtomicFile {
    path: PathBuf,
    /// Its name is random, so it cannot be a link that somebody planted.
    part: BufWriter<NamedTempFile>,
}

impl AtomicFile {
    /// Begins a file.
    ///
    /// # Errors
    /// The folder is missing or cannot be written.
    pub fn create(path: &Path) -> io::Result<AtomicFile> {
        let folder = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let part =
            tempfile::Builder::new().prefix(PART.0).suffix(PART.1).tempfile_in(folder.unwrap_or(Path::new(".")))?;
        Ok(AtomicFile { path: path.to_owned(), part: BufWriter::new(part) })
    }

    /// Puts it in its place. The content is synced before the rename, or a power cut could leave an empty file there.
    ///
    /// # Errors
    /// It cannot be made durable or renamed.
    pub fn commit(self) -> io::Result<PathBuf> {
        let part = self.part.into_inner().map_err(|error| error.into_error())?;
        part.as_file().sync_all()?;
        part.persist(&self.path).map_err(|error| error.error)?;
        Ok(self.path)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.part.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.part.flush()
    }
}

/// Removes what killed processes left of their files in a folder. Nothing depends on it, so errors are ignored.
pub fn remove_abandoned_parts(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_part = name.to_str().is_some_and(|name| name.starts_with(PART.0) && name.ends_with(PART.1));
        let written = entry.metadata().and_then(|file| file.modified());
        let age = written.ok().and_then(|written| written.elapsed().ok());
        if is_part && age.is_some_and(|age| age > ABANDONED) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_planted_link_is_replaced_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "as it was").unwrap();
        let place = dir.path().join("outcomes.csv");
        for planted in [dir.path().join("outcomes.csv.part"), place.clone()] {
            std::os::unix::fs::symlink(&victim, planted).unwrap();
        }
        let mut file = AtomicFile::create(&place).unwrap();
        file.write_all(b"upn\n").unwrap();
        file.commit().unwrap();
        assert_eq!(std::fs::read_to_string(victim).unwrap(), "as it was");
        assert!(place.symlink_metadata().unwrap().is_file());
    }
}
