//! What is known of the codes that a fault may carry, the services' and our own: a table, in `codes.toml`.

use super::class::Class;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A code, or a form of codes (`ldap-…`).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownCode {
    /// The code as it stands in `error`, or its form; in the file, its key.
    #[serde(skip)]
    pub code: &'static str,
    /// The class that it leads to.
    pub class: Class,
    /// Who says so; in the file, its section.
    #[serde(skip)]
    pub speaker: Speaker,
    /// Whether it sorts a refusal whatever the status.
    #[serde(default)]
    pub(super) decides: bool,
    /// What it means beyond its class.
    pub note: Option<&'static str>,
    /// What to do, where that is more than what the class advises.
    pub advice: Option<&'static str>,
}

/// Whose code it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// Microsoft Graph.
    #[default]
    Graph,
    /// This program, about an answer that did not come or makes no sense.
    Transport,
    /// Whoever issues tokens, or the way there.
    SignIn,
    /// The on-premises directory, or the way there.
    Directory,
}

impl Speaker {
    /// Where its codes are written down.
    pub fn source(self) -> &'static str {
        match self {
            Speaker::Graph => "https://learn.microsoft.com/graph/errors, and replies that were seen",
            Speaker::SignIn => {
                "https://learn.microsoft.com/entra/identity-platform/reference-error-codes, and cutover itself"
            }
            Speaker::Directory => "RFC 4511, appendix A; after 49/ Windows' system error codes; and cutover itself",
            Speaker::Transport => "cutover itself",
        }
    }
}

/// The last letter of a form.
const FORM: char = '…';

/// The table. It is part of the program and read by its tests, so that it is never empty.
static TABLE: LazyLock<Vec<KnownCode>> = LazyLock::new(|| read().unwrap_or_default());

fn read() -> Result<Vec<KnownCode>, toml::de::Error> {
    let sections: BTreeMap<Speaker, BTreeMap<&str, KnownCode>> = toml::from_str(include_str!("codes.toml"))?;
    let codes = sections
        .into_iter()
        .flat_map(|(speaker, codes)| codes.into_iter().map(move |(code, known)| KnownCode { code, speaker, ..known }));
    Ok(codes.collect())
}

/// Every code that is known by name.
pub fn known_codes() -> impl Iterator<Item = &'static KnownCode> {
    TABLE.iter().filter(|known| !known.code.ends_with(FORM))
}

/// What is known of a code: by its name, by its form (`http-502`, `AADSTS…`, `ldap-…`), or by its last part that is known
/// (`Request_BadRequest/ObjectConflict`). Letters may be of either case.
pub fn known_code(code: &str) -> Option<KnownCode> {
    let named = |code: &str| known_codes().find(|known| known.code.eq_ignore_ascii_case(code)).copied();
    let by_form = || TABLE.iter().find(|known| has_form(code, known.code)).copied();
    named(code).or_else(by_form).or_else(|| by_status(code)).or_else(|| code.rsplit('/').find_map(named))
}

/// Whether a code begins as a form does, and goes on with a number, or after a slash with anything.
fn has_form(code: &str, form: &str) -> bool {
    let parts = form.strip_suffix(FORM).and_then(|prefix| Some((prefix, code.split_at_checked(prefix.len())?)));
    parts.is_some_and(|(prefix, (head, rest))| {
        let is_number = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
        head.eq_ignore_ascii_case(prefix) && (is_number || prefix.ends_with('/'))
    })
}

fn by_status(code: &str) -> Option<KnownCode> {
    let status = code.strip_prefix("http-")?.parse().ok().filter(|status| (100..=599).contains(status))?;
    let class = Class::of_status(status);
    // Also where every fresh token is refused, which is another class.
    let advice = (class == Class::Unauthenticated).then(|| class.kind().advice);
    let note = Some("an HTTP status without a code of the service's own");
    Some(KnownCode { code: "http-…", class, speaker: Speaker::Graph, decides: false, note, advice })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::listing::ENDLESS;
    use crate::services::reply::{EXPIRED_PAGE, PENDING, UNREADABLE};

    #[test]
    fn the_table_is_read_and_has_every_code_that_the_program_decides_by() {
        assert_eq!(read().map(|codes| codes.is_empty()), Ok(false));
        for code in [UNREADABLE, ENDLESS, EXPIRED_PAGE, PENDING] {
            assert!(known_codes().any(|known| known.code == code), "{code}");
        }
    }

    #[test]
    fn no_code_is_explained_twice() {
        let mut codes: Vec<String> = known_codes().map(|known| known.code.to_ascii_lowercase()).collect();
        codes.sort_unstable();
        let all = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }

    #[test]
    fn the_most_specific_code_tells() {
        let class = |code| known_code(code).map(|known| known.class);
        assert_eq!(class("Request_BadRequest/ObjectConflict"), Some(Class::Duplicate));
        assert_eq!(class("Request_BadRequest/news"), Some(Class::InvalidValue));
        assert_eq!(class("request_badrequest"), Some(Class::InvalidValue));
        assert_eq!(class("http-502"), Some(Class::UNAVAILABLE));
        assert_eq!(class("http-999"), None);
        assert_eq!(class("AADSTS1"), Some(Class::SignIn));
        assert_eq!(class("ldap-49/775"), Some(Class::SignIn));
        assert_eq!(class("managed-identity/AADSTS1"), Some(Class::SignIn));
        assert_eq!(class("nonsense"), None);
    }
}
