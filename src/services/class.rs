//! The classes that replies are sorted into, and one table of what each means: for the request, for whoever decides whether
//! to send it again, and for people. `error_code` and `advice` of `outcomes.csv` come from here, and so does
//! `cutover explain`.

use crate::core::{NOT_AGAIN, ProblemKind};
use crate::services::budget::ThrottleReason;
use serde::Deserialize;
use std::time::Duration;

/// What a failure means for the caller. Sorted by status and codes, never by the text of a message. What it means for people
/// is in [`Class::facts`]; files name a class by the code that people see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Class {
    /// The object is absent, or not replicated yet. A write was not applied.
    NotFound,
    /// Another object holds the value already. A write was not applied, and the same write will not be.
    Duplicate,
    /// The service does not take the value. A write was not applied, and the same write will not be.
    InvalidValue,
    /// A permission or a role is missing. A write was not applied.
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
    /// refuses every fresh token. A write was not applied, and every other request will fail alike until that is mended.
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

/// Said of refusals.
const NOT_APPLIED: &str = "nothing: a write that is answered so was not made";
/// Said where a write may have been made.
const PERHAPS: &str = "perhaps: a write may have been made; the person is read before anything is written again";

pub(super) const REFUSED_TOKEN: &str = "the service refuses the tokens that the sign-in gives: check that the connection file's tenant and cloud belong \
     together, and this machine's clock";

const NOT_FOUND: ProblemKind = ProblemKind {
    code: "NotFound",
    meaning: "The person or the object is not there, or the replica that answered does not know it yet.",
    changed: NOT_APPLIED,
    again: "yes, for as long as the service may take to show this run's own writes; else no",
    advice: "check the UPN and the tenant; a person deleted more than 30 days ago is gone",
};

const DUPLICATE: ProblemKind = ProblemKind {
    code: "Duplicate",
    meaning: "Another object, live or deleted, holds the value already.",
    changed: NOT_APPLIED,
    again: NOT_AGAIN,
    advice: "find the object that has this value and change or purge it, then run the row again: Entra admin center > Users, \
             first All users, then Deleted users; an address may also belong to a group or a contact (Exchange admin center > \
             Recipients)",
};

const INVALID_VALUE: ProblemKind = ProblemKind {
    code: "InvalidValue",
    meaning: "The service does not take the value: it is malformed, its domain is not verified, or it may not change while the \
              person is synchronized or in a federated domain.",
    changed: NOT_APPLIED,
    again: NOT_AGAIN,
    advice: "correct the value in the file; take a person who is synchronized out of the scope of Entra Connect first",
};

const INSUFFICIENT_PRIVILEGE: ProblemKind = ProblemKind {
    code: "InsufficientPrivilege",
    meaning: "The app lacks a permission, or the person holds an administrator's role that the app may not act on.",
    changed: NOT_APPLIED,
    again: NOT_AGAIN,
    advice: "add the permission that the app lacks (App registrations > the app > API permissions > Add a permission > Microsoft \
             Graph > Application permissions: User.ReadWrite.All to change people, User.DeleteRestore.All to restore and delete, \
             Domain.Read.All for the domains) and click \"Grant admin consent\"; where the person holds an administrator's role, \
             give the app's service principal the role Privileged Authentication Administrator (Entra admin center > Roles & \
             admins > the role > Add assignments)",
};

const THROTTLED: ProblemKind = ProblemKind {
    code: "Throttled",
    meaning: "Too many requests: a limit of this app, of all apps in the tenant, or of the service itself is used up.",
    changed: NOT_APPLIED,
    again: "yes, as often as it takes; every request of that budget waits for as long as the service asks for",
    advice: "lower the budget in the connection file, or find the other app that uses up the tenant's limit",
};

const CONCURRENCY: ProblemKind = ProblemKind {
    code: "Concurrency",
    meaning: "Another write to the same object or tenant was under way, or the object changed since it was read.",
    changed: NOT_APPLIED,
    again: "yes, after the person was read again, up to the job's `attempts`",
    advice: "something else changes this person; find it, or run the row again later",
};

const LICENCE: ProblemKind = ProblemKind {
    code: "Licence",
    meaning: "The tenant or the person has no licence for what was asked.",
    changed: NOT_APPLIED,
    again: NOT_AGAIN,
    advice: "assign the licence (Microsoft 365 admin center > Billing > Licenses; a person's: Users > Active users > the person > \
             Licenses and apps): Entra ID P2 for identity protection and eligible roles, P1 for sign-in reports, Exchange Online \
             for a mailbox; then run the row again",
};

const UNAVAILABLE: ProblemKind = ProblemKind {
    code: "Unavailable",
    meaning: "The service answered that it cannot now: it is busy, broken, or gave up waiting for another.",
    changed: PERHAPS,
    again: "yes: a read some ten times within five minutes, a write after the person was read, up to the job's `attempts`; a \
            service that serves nobody holds the whole run",
    advice: "look at Microsoft 365 admin center > Health > Service health and at the person, then run the row again",
};

const UNAUTHENTICATED: ProblemKind = ProblemKind {
    code: "Unauthenticated",
    meaning: "The service does not accept the token.",
    changed: NOT_APPLIED,
    again: "yes, each time with a new token; a service that refuses every token holds the run",
    advice: REFUSED_TOKEN,
};

const SIGN_IN_REFUSED: ProblemKind = ProblemKind {
    code: "SignInRefused",
    meaning: "The sign-in is refused as the connection file has it, or the service refuses every fresh token.",
    changed: "nothing: the request never left, or was refused",
    again: "yes, the run waits and continues by itself once the sign-in works; a sign-in that never worked, and one to the on-premises \
            directory, ends the command",
    advice: "look the code up at https://login.microsoftonline.com/error, and check tenant, cloud and how the connection file says \
             to sign in",
};

const NOT_SENT: ProblemKind = ProblemKind {
    code: "NotSent",
    meaning: "The request never left, for want of a connection or of a token.",
    changed: "nothing: the request never left",
    again: "yes, as often as it takes; the whole run waits meanwhile",
    advice: "check the network, the proxy and the connection file's addresses from here",
};

const IN_DOUBT: ProblemKind = ProblemKind {
    code: "InDoubt",
    meaning: "The request was sent and got no clear reply.",
    changed: PERHAPS,
    again: "a read: yes; a write: only when a later read shows that it is still needed, and a step that leaves no trace only where \
            its job says so",
    advice: "find out whether the change was made (the person in the portal, the service's audit log), then run the row again or \
             continue by hand",
};

const UNSUPPORTED: ProblemKind = ProblemKind {
    code: "Unsupported",
    meaning: "The service does not do this, or not in this form: a fault of the job or of cutover.",
    changed: NOT_APPLIED,
    again: NOT_AGAIN,
    advice: "the job asks for something the service does not do: fix the job, or report it with the request id",
};

const REJECTED: ProblemKind = ProblemKind {
    code: "Rejected",
    meaning: "Refused for a reason that belongs to no other class.",
    changed: NOT_APPLIED,
    again: NOT_AGAIN,
    advice: "look up the code in the service's documentation, with the request id at hand",
};

/// Every class once, in the order of `cutover explain`.
pub const CLASSES: [Class; 14] = [
    Class::NotFound,
    Class::Duplicate,
    Class::InvalidValue,
    Class::Denied,
    Class::THROTTLED,
    Class::Contended,
    Class::Licence,
    Class::UNAVAILABLE,
    Class::Unauthenticated,
    Class::SignIn,
    Class::NotSent,
    Class::InDoubt,
    Class::Unsupported,
    Class::Rejected,
];

impl Class {
    /// Whether the service refuses what the request says or how: it may take the same in another form.
    #[must_use]
    pub fn is_of_the_form(self) -> bool {
        matches!(self, Class::InvalidValue | Class::Unsupported | Class::Rejected)
    }
}

impl TryFrom<String> for Class {
    type Error = String;

    fn try_from(code: String) -> Result<Class, String> {
        let named = CLASSES.into_iter().find(|class| class.kind().code == code);
        named.ok_or_else(|| format!("`{code}` is no class"))
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
    /// What people are told.
    pub kind: &'static ProblemKind,
}

impl Class {
    /// The table.
    #[must_use]
    pub const fn facts(self) -> ClassFacts {
        use {Again::*, Applied::*, Concerns::*};
        let (applied, again, concerns, kind) = match self {
            Class::NotFound => (No, Never, Request, &NOT_FOUND),
            Class::Duplicate => (No, Never, Request, &DUPLICATE),
            Class::InvalidValue => (No, Never, Request, &INVALID_VALUE),
            Class::Denied => (No, Never, Request, &INSUFFICIENT_PRIVILEGE),
            Class::Throttled { .. } => (No, Now, Service, &THROTTLED),
            Class::Contended => (No, AfterRead, Request, &CONCURRENCY),
            Class::Licence => (No, Never, Request, &LICENCE),
            Class::Unavailable { .. } => (Maybe, AfterRead, Service, &UNAVAILABLE),
            Class::Unauthenticated => (No, Now, App, &UNAUTHENTICATED),
            Class::SignIn => (No, Now, App, &SIGN_IN_REFUSED),
            Class::NotSent => (No, Now, Service, &NOT_SENT),
            Class::InDoubt => (Maybe, AfterRead, Service, &IN_DOUBT),
            Class::Unsupported => (No, Never, Request, &UNSUPPORTED),
            Class::Rejected => (No, Never, Request, &REJECTED),
        };
        ClassFacts { applied, again, concerns, kind }
    }

    /// What people are told of it.
    #[must_use]
    pub const fn kind(self) -> &'static ProblemKind {
        self.facts().kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_kind_of_its_own() {
        let mut codes: Vec<&str> = CLASSES.iter().map(|class| class.kind().code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), CLASSES.len());
    }
}
