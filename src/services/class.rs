//! The classes that replies are sorted into, and what each means: for the request and for whoever decides whether to send it again
//! in [`Class::facts`], for people in `classes.toml`. `error_code` and `advice` of `outcomes.csv` come from here, and so does
//! `cutover explain`.

use crate::core::{NOT_AGAIN, ProblemKind};
use crate::services::budget::ThrottleReason;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;
use strum::IntoEnumIterator as _;

/// What a failure means for the caller. Sorted by status and codes, never by the text of a message. Files name a class by the code
/// that people see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[serde(try_from = "&str")]
pub enum Class {
    /// The object is absent, or not replicated yet. A write was not applied.
    NotFound,
    /// Another object holds the value already. A write was not applied, and the same write will not be.
    Duplicate,
    /// The service does not take the value. A write was not applied, and the same write will not be.
    InvalidValue,
    /// A permission or a role is missing. A write was not applied.
    #[strum(serialize = "InsufficientPrivilege")]
    Denied,
    /// Too many requests. A write was not applied and may be sent again after the delay.
    Throttled {
        /// How long the service wants to be left alone, at most a day.
        retry_after: Option<Duration>,
        /// Whose limit was hit.
        reason: ThrottleReason,
    },
    /// Another write to the same object or tenant was under way, or the object changed since it was read. A write was
    /// not applied and may be tried again after a fresh read.
    #[strum(serialize = "Concurrency")]
    Contended,
    /// The tenant or the person lacks a licence. A write was not applied, and the same write will not be.
    Licence,
    /// The service answered that it cannot now, or something in between answered in its place: a write may have been applied.
    /// Read before writing again.
    Unavailable {
        /// How long the service wants to be left alone, if it said so; at most a day.
        retry_after: Option<Duration>,
    },
    /// The token was not accepted. A write was not applied; the next request will carry a new token.
    Unauthenticated,
    /// No token is to be had that is any good: the sign-in service refuses what the connection file says, or the service
    /// refuses every fresh token. A write was not applied, and every other request will fail alike until that is fixed.
    #[strum(serialize = "SignInRefused")]
    SignIn,
    /// The request never left, for want of a connection or of a token. A write was not applied and may be sent again.
    NotSent,
    /// The request left and no clear answer came: a write may have been applied. Read before writing again.
    InDoubt,
    /// The service does not do this, or not in this form: a fault of the job or of this program. Not applied.
    Unsupported,
    /// Refused for any other reason. A write was not applied, and the same write will not be.
    Rejected,
}

impl Class {
    /// Throttled, and nothing more is known.
    pub const THROTTLED: Class = Class::Throttled { retry_after: None, reason: ThrottleReason::Unstated };
    /// Unavailable for nobody knows how long.
    pub const UNAVAILABLE: Class = Class::Unavailable { retry_after: None };

    /// How long the service wants to be left alone, if it said so.
    pub(super) const fn retry_after(self) -> Option<Duration> {
        if let Class::Throttled { retry_after, .. } | Class::Unavailable { retry_after } = self {
            retry_after
        } else {
            None
        }
    }
}

/// Whether a write that was answered so may have been made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was not.
    No,
    /// Only a fresh read can tell.
    Maybe,
}

/// Whether the same request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It would be answered alike.
    Never,
    /// A read after a while; a write only once a fresh read has shown that it is still wanted.
    AfterRead,
    /// As soon as the budget allows it: it changed nothing.
    Now,
}

/// Who else is concerned by the reply to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concerns {
    /// Nobody: the service answered this one request.
    Request,
    /// Every request of this app: its sign-in is not accepted.
    App,
    /// Everybody who talks to the service.
    Service,
}

/// What is known of a class.
#[derive(Debug, Clone, Copy)]
pub struct ClassFacts {
    /// Whether a write may have been made.
    pub applied: Applied,
    /// Whether to send it again.
    pub again: Again,
    /// Who else is concerned.
    pub concerns: Concerns,
}

impl Class {
    /// Every class once, in the order of `cutover explain`.
    pub fn all() -> impl Iterator<Item = Class> {
        Class::iter()
    }

    /// The table.
    pub const fn facts(self) -> ClassFacts {
        use {Again::*, Applied::*, Concerns::*};
        let (applied, again, concerns) = match self {
            Class::NotFound
            | Class::Duplicate
            | Class::InvalidValue
            | Class::Denied
            | Class::Licence
            | Class::Unsupported
            | Class::Rejected => (No, Never, Request),
            Class::Contended => (No, AfterRead, Request),
            Class::Unauthenticated | Class::SignIn => (No, Now, App),
            Class::Throttled { .. } | Class::NotSent => (No, Now, Service),
            Class::Unavailable { .. } | Class::InDoubt => (Maybe, AfterRead, Service),
        };
        ClassFacts { applied, again, concerns }
    }

    /// What people are told of it.
    pub fn kind(self) -> &'static ProblemKind {
        let code: &str = self.into();
        // The file is part of the program, and a test asks it for every class.
        &KINDS[code]
    }

    /// Whether the service refuses what the request says or how: it may take the same in another form.
    pub fn is_of_the_form(self) -> bool {
        matches!(self, Class::InvalidValue | Class::Unsupported | Class::Rejected)
    }

    /// The class of a refusal that has no code to sort it by.
    pub(super) fn of_status(status: u16) -> Class {
        let listed = CLASS_BY_STATUS.iter().find(|(statuses, _)| statuses.contains(&status));
        listed.map_or(if status >= 500 { Class::UNAVAILABLE } else { Class::Rejected }, |(_, class)| *class)
    }

    /// The statuses that lead to it.
    pub fn statuses(self) -> impl Iterator<Item = u16> {
        let leads = CLASS_BY_STATUS.iter().filter(move |(_, class)| class.kind() == self.kind());
        leads.flat_map(|(statuses, _)| statuses.iter().copied())
    }
}

/// A section of `classes.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassWords {
    meaning: &'static str,
    changed: Option<&'static str>,
    again: Option<&'static str>,
    advice: &'static str,
}

static KINDS: LazyLock<BTreeMap<&str, ProblemKind>> = LazyLock::new(|| {
    let classes: BTreeMap<&str, ClassWords> = toml::from_str(include_str!("classes.toml")).unwrap_or_default();
    let kinds = classes.into_iter().map(|(code, words)| {
        let changed = words.changed.unwrap_or("nothing: a write that is answered so was not made");
        let again = words.again.unwrap_or(NOT_AGAIN);
        (code, ProblemKind { code, meaning: words.meaning, changed, again, advice: words.advice })
    });
    kinds.collect()
});

/// The classes of refusals that have no code to sort them by: the statuses on Microsoft's page, and 408, which proxies send.
const CLASS_BY_STATUS: [(&[u16], Class); 11] = [
    // A value, a page or a form that the service cannot make sense of.
    (&[400, 422], Class::InvalidValue),
    (&[401], Class::Unauthenticated),
    (&[402], Class::Licence),
    (&[403], Class::Denied),
    (&[404], Class::NotFound),
    // The method, the form of the answer or of the body.
    (&[405, 406, 411, 415, 501], Class::Unsupported),
    // The service gave up waiting for the rest of the request, or says so; what it did before is not known.
    (&[408], Class::InDoubt),
    // It changed since it was read; it is locked; what it depends on failed, and it was not tried.
    (&[412, 423, 424], Class::Contended),
    // Too many requests, or too much data in a time.
    (&[429, 509], Class::THROTTLED),
    // The last is a quota in size; waiting does not help.
    (&[409, 410, 413, 416, 507], Class::Rejected),
    (&[500, 502, 503, 504], Class::UNAVAILABLE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_kind_of_its_own() {
        let mut codes: Vec<&str> = Class::all().map(|class| class.kind().code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!((codes.len(), KINDS.len()), (14, 14));
    }
}
