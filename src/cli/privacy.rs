//! Whatever this process makes is for its owner only: journal, checkpoint, reports and logs all hold names of people.
//!
//! Said once for the process rather than file by file, since libraries make files of their own (sled the checkpoint's).
//! Files and folders that are there already keep their rights, so a report folder or a log that others should read is
//! made by whoever wants that.

/// Takes all rights of group and others from files that are made from here on. Called before any thread is started.
#[cfg(unix)]
pub(super) fn keep_files_private() {
    use rustix::fs::Mode;
    use rustix::process::umask;
    let others = Mode::RWXG | Mode::RWXO;
    let given = umask(others);
    // Who asked for less than that still gets it.
    umask(given | others);
}

/// On Windows a file has the rights of its folder, and a profile's folders are private.
#[cfg(not(unix))]
pub(super) fn keep_files_private() {}
