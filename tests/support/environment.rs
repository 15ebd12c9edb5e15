//! What a child process may see of the environment in which the tests run. A variable of the machine must not decide a test: whoever
//! needs one sets it.

use std::process::Command;

/// What the system needs to find and run programs, and where the tests' own files go.
const KEPT: [&str; 5] = ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT"];

/// Leaves a command with these variables only, and those that are set on it afterwards.
pub fn clean(command: &mut Command) {
    command.env_clear();
    for name in KEPT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
}

/// Another program in the place and with the environment of a command, which its arguments make it run.
pub fn around(command: &Command, wrapper: &str) -> Command {
    let mut wrapped = Command::new(wrapper);
    wrapped.env_clear();
    let given = command.get_envs();
    wrapped.envs(given.filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}
