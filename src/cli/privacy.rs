//! Whatever this process makes is for its owner only: journal, checkpoint, reports and logs all hold names of people, and its
//! memory holds tokens and secrets.
//!
//! Said once for the process rather than file by file, since libraries make files of their own (sled the checkpoint's).
//! Files and folders that are there already keep their rights, so a report folder or a log that others should read is
//! made by whoever wants that.

/// Called before any thread is started.
pub(super) fn keep_private() {
    keep_files_private();
    keep_memory_private();
}

/// Takes all rights of group and others from files that are made from here on.
#[cfg(unix)]
fn keep_files_private() {
    use rustix::fs::Mode;
    use rustix::process::umask;
    let others = Mode::RWXG | Mode::RWXO;
    let given = umask(others);
    // Who asked for less than that still gets it.
    umask(given | others);
}

/// On Windows a file has the rights of its folder, and a profile's folders are private.
#[cfg(not(unix))]
fn keep_files_private() {}

/// Switches core images off: one would hold every token and secret that the process has. The limit alone does not bind a
/// system that pipes them into a program, as Ubuntu's does.
#[cfg(unix)]
fn keep_memory_private() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::debug!("core images cannot be limited: {error}");
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::debug!("core images cannot be switched off: {error}");
        }
    }
}

/// Windows writes none unless an administrator has asked for that.
#[cfg(not(unix))]
fn keep_memory_private() {}
