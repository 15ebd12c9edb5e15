//! Whether others can get at a file that this program signs in with: the secret itself, or the connection file, in which
//! somebody else could name another address to send the secret to. A word to the operator, and no refusal: who is meant to
//! read the file is not known here.

use std::path::Path;

/// Warns of a file that its group or everybody can read or write.
#[cfg(unix)]
pub(super) fn warn_of_others(what: &str, path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    // A file that cannot be looked at is told about by whoever reads it.
    let Ok(metadata) = std::fs::metadata(path) else {
        return;
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o066 != 0 {
        tracing::warn!(
            "the {what} `{}` can be read or written by others than its owner (mode {mode:04o}); `chmod 600` fixes that",
            path.display()
        );
    }
}

/// Windows has no such bits; who may read a file there is a list that its folder hands down.
#[cfg(not(unix))]
pub(super) fn warn_of_others(_what: &str, _path: &Path) {}
