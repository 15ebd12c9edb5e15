//! Panics of the database that are answered by an error, and so are not shown as if the program had failed.
//!
//! The hook that prints a panic runs before anybody can catch it. So it is told which threads are inside the database, and
//! leaves what happens there to the log of the program, at level debug.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// sled's own threads are called so, with a number behind it.
const ITS_THREADS: &str = "sled-io-";

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Calls into the database; a panic there is answered and not shown. What it leaves behind must not be looked at again.
///
/// # Errors
/// The message of the panic.
pub(super) fn quietly<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    HOOK.call_once(install);
    let before = INSIDE.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    INSIDE.set(before);
    result.map_err(|panic| message_of(&*panic))
}

fn install() {
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if is_inside() {
            tracing::debug!("the checkpoint's database: {panic}");
        } else {
            shown(panic);
        }
    }));
}

fn is_inside() -> bool {
    // A thread that is just ending has no such value any more, and is in no call.
    let called = INSIDE.try_with(Cell::get).unwrap_or(false);
    let thread = std::thread::current();
    called || thread.name().is_some_and(|name| name.starts_with(ITS_THREADS))
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const ALONE: &str = "CUTOVER_TEST_PANIC_ALONE";
    const NAME: &str = "journal::sled_store::panic_guard::tests::a_panic_inside_is_not_shown_and_one_outside_is";

    /// In a process of its own, since the hook is one for all threads.
    #[test]
    fn a_panic_inside_is_not_shown_and_one_outside_is() {
        if std::env::var_os(ALONE).is_some() {
            let inside = quietly::<()>(|| panic!("an inner one"));
            assert_eq!(inside, Err("an inner one".to_owned()));
            let its_own = std::thread::Builder::new().name(format!("{ITS_THREADS}7"));
            let its_own = its_own.spawn(|| panic!("one of its threads")).unwrap();
            assert!(its_own.join().is_err());
            let outside = std::panic::catch_unwind(|| panic!("an outer one"));
            assert!(outside.is_err());
            return;
        }
        let mut alone = Command::new(std::env::current_exe().unwrap());
        alone.args(["--exact", NAME, "--nocapture"]).env(ALONE, "1");
        let ran = alone.output().unwrap();
        let shown = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{shown}");
        assert!(shown.contains("an outer one"), "{shown}");
        let inside = shown.contains("an inner one") || shown.contains("one of its threads");
        assert!(!inside, "{shown}");
    }
}
