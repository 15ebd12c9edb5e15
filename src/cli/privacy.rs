//! Everything this process creates is for its owner only: journal, checkpoint, reports and logs name people, and its memory holds
//! tokens and secrets.
//!
//! Set once for the process, not file by file, because libraries create files, too (sled's for example). Existing files and folders
//! keep their permissions, so operators can prepare a report folder or a log that others may read.

/// Called before any thread is started.
pub(super) fn keep_private() {
    keep_files_private();
    keep_memory_private();
}

/// New files get no permissions for group and others.
#[cfg(unix)]
fn keep_files_private() {
    use rustix::fs::Mode;
    use rustix::process::umask;
    let others = Mode::RWXG | Mode::RWXO;
    let given = umask(others);
    // Keeps what the user's own umask takes away, too.
    umask(given | others);
}

/// On Windows a file has the rights of its folder, and a profile's folders are private.
#[cfg(not(unix))]
fn keep_files_private() {}

/// Switches core dumps off: one would contain every token and secret of the process. The limit alone does not stop a system that
/// pipes them into a program, as Ubuntu does.
#[cfg(unix)]
fn keep_memory_private() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::debug!("core dumps cannot be limited: {error}");
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::debug!("core dumps cannot be switched off: {error}");
        }
    }
}

/// Windows writes none unless an administrator has configured that.
#[cfg(not(unix))]
fn keep_memory_private() {}
