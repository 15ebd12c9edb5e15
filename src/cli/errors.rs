//! The codes with which a command can end early, printed as `error[CODE]`. `explain.toml` explains them, and those that the
//! rooms below give their errors.

pub(super) const USAGE: &str = "usage";
pub(super) const STOPPED: &str = "stopped";
pub(super) const FAULT: &str = "fault";
pub(super) const INTERNAL: &str = "internal";
pub(super) const SYSTEM_LIMIT: &str = "system-limit";
pub(super) const UNKNOWN_JOB: &str = "unknown-job";
pub(super) const JOB_FILE: &str = "job-file";
pub(super) const PARAMETER: &str = "parameter";
pub(super) const INPUT_UNUSABLE: &str = "input-unusable";
pub(super) const NO_TARGET: &str = "no-target";
pub(super) const SIGN_IN: &str = "sign-in";
pub(super) const NOT_AGREED: &str = "not-agreed";
pub(super) const PREFLIGHT: &str = "preflight";
pub(super) const RUN_DIFFERS: &str = "run-differs";
pub(super) const HALF_WAY: &str = "half-way";
pub(super) const NO_LIVE_RUN: &str = "no-live-run";
pub(super) const LIVE_PROCESS: &str = "live-process";
pub(super) const UNKNOWN_CODE: &str = "unknown-code";

/// `journal::no_run` as operators see it: `journal-no-run`.
pub(super) fn code_of_room(path: &str) -> String {
    path.replace("::", "-").replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::super::explain::ErrorPages;
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// What `code(…)` names anywhere in the source.
    fn codes_of_rooms(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                codes_of_rooms(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.extend(between(&text, "code(", ')').filter(|code| code.contains("::")));
            }
        }
    }

    fn between<'t>(text: &'t str, begin: &'t str, end: char) -> impl Iterator<Item = String> + 't {
        let parts = text.split(begin).skip(1);
        let codes = parts.filter_map(move |part| part.split_once(end));
        let is_code = |code: &&str| {
            let mut letters = code.chars();
            letters.all(|c| c.is_ascii_lowercase() || "_:-".contains(c))
        };
        codes.map(|(code, _)| code).filter(is_code).map(str::to_owned)
    }

    /// Every code in the source has a page, and no page is of a code that nothing prints.
    #[test]
    fn codes_and_pages_are_the_same() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut of_rooms = BTreeSet::new();
        codes_of_rooms(&source, &mut of_rooms);
        let mut codes: BTreeSet<String> = of_rooms.iter().map(|code| code_of_room(code)).collect();
        assert!(codes.contains("journal-no-run"), "{codes:?}");
        codes.extend(between(include_str!("errors.rs"), "&str = \"", '"'));
        let pages = ErrorPages::read().unwrap();
        let pages = pages.before_a_run.keys().chain(pages.during_a_run.keys());
        let pages: BTreeSet<String> = pages.cloned().collect();
        let missing: Vec<_> = codes.difference(&pages).collect();
        assert!(missing.is_empty(), "without a page: {missing:?}");
        let stale: Vec<_> = pages.difference(&codes).collect();
        assert!(stale.is_empty(), "nothing prints {stale:?}");
    }
}
