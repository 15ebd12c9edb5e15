//! Codes that a fault may carry, ours and the services', with the class that each leads to and what is known beyond it.
//!
//! Codes of Graph are in `graph/codes.rs`, those of the sign-in in `sign_in/codes.rs`, those of the directory in
//! `ldap/codes.rs`, each beside what makes or reads them. What is not in any table is told by how it is built.

use super::Class;
use super::class::REFUSED_TOKEN;
use super::graph::{STATUSES, class_of_status};
use super::{graph, ldap, sign_in};

/// A code, or a form of codes (`ldap-…`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnownCode {
    /// The code as it stands in `error`.
    pub code: &'static str,
    /// The class that it leads to.
    pub class: Class,
    /// Who says so.
    pub speaker: Speaker,
    /// What it means beyond its class.
    pub note: Option<&'static str>,
    /// What to do, where that is more than what the class advises.
    pub advice: Option<&'static str>,
}

/// Whose code it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// Microsoft Graph.
    Graph,
    /// Whoever issues tokens, or the way there.
    SignIn,
    /// The on-premises directory, or the way there.
    Directory,
    /// This program, about an answer that did not come or makes no sense.
    Transport,
}

impl Speaker {
    /// Where its codes are written down.
    #[must_use]
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

impl KnownCode {
    pub(super) const fn new(code: &'static str, class: Class, speaker: Speaker) -> KnownCode {
        KnownCode { code, class, speaker, note: None, advice: None }
    }

    pub(super) const fn noting(self, note: &'static str) -> KnownCode {
        KnownCode { note: Some(note), ..self }
    }

    pub(super) const fn advising(self, advice: &'static str) -> KnownCode {
        KnownCode { advice: Some(advice), ..self }
    }
}

/// Every code that is known by name.
pub fn known_codes() -> impl Iterator<Item = &'static KnownCode> {
    graph::codes::DECIDING
        .iter()
        .chain(graph::codes::TELLING)
        .chain(graph::codes::TRANSPORT)
        .chain(sign_in::CODES)
        .chain(ldap::CODES)
}

/// The HTTP statuses that lead to a class where no code decides.
pub fn statuses_of(class: Class) -> impl Iterator<Item = u16> {
    let leads = move |status: &u16| class_of_status(*status).kind() == class.kind();
    STATUSES.into_iter().filter(leads)
}

/// What is known of a code: by its name, by its last part that is known (`Request_BadRequest/ObjectConflict`), or by its
/// form (`http-502`, `AADSTS…`, `ldap-…`). Letters may be of either case.
#[must_use]
pub fn known_code(code: &str) -> Option<KnownCode> {
    named(code)
        .or_else(|| sign_in::by_form(code))
        .or_else(|| ldap::by_form(code))
        .or_else(|| by_status(code))
        .or_else(|| code.rsplit('/').find_map(named))
}

fn named(code: &str) -> Option<KnownCode> {
    known_codes().find(|known| known.code.eq_ignore_ascii_case(code)).copied()
}

fn by_status(code: &str) -> Option<KnownCode> {
    let status = code.strip_prefix("http-")?.parse().ok()?;
    if !(100..=599).contains(&status) {
        return None;
    }
    let class = class_of_status(status);
    let known =
        KnownCode::new("http-…", class, Speaker::Graph).noting("an HTTP status without a code of the service's own");
    // Also where every fresh token is refused, which is another class.
    Some(match class == Class::Unauthenticated {
        true => known.advising(REFUSED_TOKEN),
        false => known,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
