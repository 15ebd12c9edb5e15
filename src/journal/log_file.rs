//! The only place where the log touches a disk.
//!
//! A file is a growing row of bytes with one promise: what was appended before a `sync` that returned `Ok` survives a
//! power cut. Everything above is written against that promise alone, so the same log runs on a file and on
//! the tests' `MemoryLogFile`, which can lose what was never synced. A file does not retry: whether an error is final is decided by
//! the log.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// Copied at once (1 MiB).
const COPY_BYTES: usize = 1 << 20;

/// A growing row of bytes that can be made durable.
pub trait LogFile: Send {
    /// Adds bytes at the end. They are readable at once, and durable only after [`LogFile::sync`].
    ///
    /// # Errors
    /// After an error a part of the bytes may have been added.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything appended or truncated so far durable.
    ///
    /// # Errors
    /// After an error nothing is known about what was not durable before, and asking again tells nothing new: Linux
    /// reports a failed write-back once and then forgets it (PostgreSQL's "fsyncgate", 2018).
    fn sync(&mut self) -> io::Result<()>;

    /// The length in bytes, durable or not.
    ///
    /// # Errors
    /// Those of the file system.
    fn len(&self) -> io::Result<u64>;

    /// Whether there is not a single byte.
    ///
    /// # Errors
    /// Those of [`LogFile::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads from `offset` on; returns how many bytes came, 0 at the end.
    ///
    /// # Errors
    /// Those of the file system.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes bytes that are there already once more where they stand, so that the next [`LogFile::sync`] makes them durable
    /// even if an earlier one failed for them.
    ///
    /// # Errors
    /// Those of the file system.
    fn rewrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts everything from `len` bytes on; durable after [`LogFile::sync`].
    ///
    /// # Errors
    /// Those of the file system.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Gives up what was kept back for a full disk; returns whether there was anything.
    ///
    /// # Errors
    /// Those of the file system.
    fn give_up_reserve(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    /// Whether it was deleted while it is open: it can still be read here, and nowhere else.
    fn is_deleted(&self) -> bool {
        false
    }
}

/// Copies all there is in one file to the end of another and makes that durable.
///
/// # Errors
/// Those of both.
pub fn copy_all(from: &dyn LogFile, to: &mut dyn LogFile) -> io::Result<()> {
    let mut chunk = vec![0; COPY_BYTES];
    let mut copied = 0;
    loop {
        let count = read_full(from, copied, &mut chunk)?;
        if count == 0 {
            return to.sync();
        }
        to.append(&chunk[..count])?;
        copied += count as u64;
    }
}

/// Fills `buf` from `offset` on as far as the file goes; returns how many bytes came.
///
/// # Errors
/// Those of [`LogFile::read_at`], but for an interruption, after which it reads on.
pub fn read_full(file: &dyn LogFile, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(offset + filled as u64, &mut buf[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A file; `sync` is `fdatasync` where the system has it. A file that was deleted meanwhile still takes bytes and loses them
/// when it is closed, so that counts as a failed `sync`; one that was only renamed goes on.
///
/// Whoever writes holds a lock on the file itself, so that no second process can write to it, whatever was deleted around it.
/// Readers take none.
#[derive(Debug)]
pub struct DiskLogFile {
    file: File,
    // Kept here so that an append needs no system call to find the end.
    end: u64,
}

impl DiskLogFile {
    /// Creates a file that must not exist yet, readable by its owner only, and makes its name durable.
    ///
    /// # Errors
    /// `AlreadyExists`, and those of the file system.
    pub fn create(path: &Path) -> io::Result<DiskLogFile> {
        let file = private().create_new(true).open(path)?;
        lock_to_write(&file)?;
        file.sync_all()?;
        sync_directory_of(path)?;
        Ok(DiskLogFile::at(file, 0))
    }

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// `NotFound`, `WouldBlock` when somebody else writes to it, and those of the file system.
    pub fn open(path: &Path) -> io::Result<DiskLogFile> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        lock_to_write(&file)?;
        let end = file.metadata()?.len();
        Ok(DiskLogFile::at(file, end))
    }

    /// Opens an existing file for reading only, next to the process that writes; appending to it fails.
    ///
    /// # Errors
    /// `NotFound`, and those of the file system.
    pub fn open_to_read(path: &Path) -> io::Result<DiskLogFile> {
        let file = File::open(path)?;
        let end = file.metadata()?.len();
        Ok(DiskLogFile::at(file, end))
    }

    fn at(file: File, end: u64) -> DiskLogFile {
        DiskLogFile { file, end }
    }
}

impl LogFile for DiskLogFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        write_all_at(&self.file, bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        still_has_a_name(&self.file)
    }

    fn len(&self) -> io::Result<u64> {
        // The file's own word, since another process may be the one that appends.
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset))?;
        file.read(buf)
    }

    fn rewrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        write_all_at(&self.file, bytes, offset)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.end = len;
        Ok(())
    }

    fn is_deleted(&self) -> bool {
        still_has_a_name(&self.file).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }
}

/// On Windows a locked file cannot be read by others, so it is not locked there.
fn lock_to_write(file: &File) -> io::Result<()> {
    if cfg!(unix) { Ok(file.try_lock()?) } else { Ok(()) }
}

/// What a deleted file says of itself.
#[cfg(unix)]
fn still_has_a_name(file: &File) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    if file.metadata()?.nlink() == 0 {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the file was deleted while it was being written"));
    }
    Ok(())
}

/// Windows keeps the name of a file that is open.
#[cfg(not(unix))]
fn still_has_a_name(_file: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_all_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    io::Write::write_all(&mut file, bytes)
}

/// Makes the name of a file durable, not only its content.
///
/// # Errors
/// Those of the file system.
#[cfg(unix)]
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

/// Windows gives a directory no handle that could be synced; NTFS journals names by itself.
///
/// # Errors
/// None.
#[cfg(windows)]
pub fn sync_directory_of(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Opens or makes a file of the journal for its owner only. A link in its place is not followed.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    options
}

/// Makes a folder that only its owner can look into: the journal holds names of people. Every folder on the way that is
/// made has a durable name then: a log is worth nothing in a folder that is gone after a power cut.
pub(super) fn make_private(dir: &Path) -> std::io::Result<()> {
    let nameless = nameless_folders(dir);
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    nameless.into_iter().rev().try_for_each(|made| sync_directory_of(&made))
}

/// The folder itself, whose maker may have been killed before its name was durable, and those above it that are not there
/// yet.
fn nameless_folders(dir: &Path) -> Vec<PathBuf> {
    let above = dir.ancestors().skip(1);
    let missing = above.take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
    std::iter::once(dir).chain(missing).map(Path::to_owned).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What every file must do, whatever it is made of.
    pub(in crate::journal) fn keeps_the_contract(mut file: impl LogFile) {
        assert!(file.is_empty().unwrap());
        file.append(b"hello ").unwrap();
        file.append(b"world").unwrap();
        assert_eq!(file.len().unwrap(), 11);

        let mut buf = [0; 16];
        assert_eq!(read_full(&file, 6, &mut buf).unwrap(), 5);
        assert_eq!(&buf[..5], b"world");
        assert_eq!(file.read_at(11, &mut buf).unwrap(), 0);
        assert_eq!(file.read_at(1 << 40, &mut buf).unwrap(), 0);

        file.sync().unwrap();
        file.truncate(5).unwrap();
        file.append(b"!").unwrap();
        file.sync().unwrap();
        assert_eq!(file.len().unwrap(), 6);
        assert_eq!(read_full(&file, 0, &mut buf).unwrap(), 6);
        assert_eq!(&buf[..6], b"hello!");
    }

    #[test]
    fn a_file_keeps_the_contract() {
        let dir = tempfile::tempdir().unwrap();
        keeps_the_contract(DiskLogFile::create(&dir.path().join("log")).unwrap());
    }

    #[test]
    fn a_file_goes_on_at_its_end_and_is_not_created_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        DiskLogFile::create(&path).unwrap().append(b"one").unwrap();
        assert_eq!(DiskLogFile::create(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        DiskLogFile::open(&path).unwrap().append(b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"onetwo");
        assert!(DiskLogFile::open_to_read(&path).unwrap().append(b"three").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_deleted_file_is_noticed_at_the_next_barrier_and_a_renamed_one_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (dir.path().join("log"), dir.path().join("elsewhere"));
        let mut file = DiskLogFile::create(&path).unwrap();
        std::fs::rename(&path, &elsewhere).unwrap();
        file.append(b"kept").unwrap();
        file.sync().unwrap();
        assert_eq!(std::fs::read(&elsewhere).unwrap(), b"kept");
        std::fs::remove_file(&elsewhere).unwrap();
        file.append(b"lost").unwrap();
        let noticed = file.sync().unwrap_err();
        assert_eq!(noticed.kind(), io::ErrorKind::NotFound);
        assert!(file.is_deleted());
        let mut copy = DiskLogFile::create(&path).unwrap();
        copy_all(&file, &mut copy).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"keptlost");
        assert!(!copy.is_deleted());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_written_to_opens_to_nobody_else_but_readers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for writer in [DiskLogFile::create, DiskLogFile::open] {
            let held = writer(&path).unwrap();
            let refused = DiskLogFile::open(&path).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
            DiskLogFile::open_to_read(&path).unwrap();
            drop(held);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        DiskLogFile::create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
