//! Requests and replies as the rest of the program sees them: no HTTP types, and few enough kinds of failure that
//! every caller can treat each of them.

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::graph_codes;
use crate::services::budget::{ThrottleReason, Trouble};

/// Whether a request changes anything, and so which budget it takes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Changes nothing; may be sent again at will.
    Read,
    /// May change something.
    Write,
}

/// What a good reply to a request brings. A reply that brings anything else is not the service's, whatever its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expects {
    /// One object.
    Object,
    /// A page of a list that is read for one row.
    Page,
    /// A page of a list that is read once a run.
    Survey,
    /// Word that something was done: nothing more, or an object.
    Done,
}

/// The methods in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates, or does what its path names.
    Post,
    /// Changes some properties.
    Patch,
    /// Replaces.
    Put,
    /// Removes.
    Delete,
}

/// One attempt at one request.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// Whether it changes anything.
    pub kind: Kind,
    /// What a good reply brings.
    pub expects: Expects,
    /// What is done.
    pub method: Method,
    /// Relative to the root of the API's version: begins with `/` and is percent-encoded already. Or the absolute
    /// URL of a next page ([`Success::next`]), which must lie under the target's endpoint.
    pub path: String,
    /// Further headers, name and value.
    pub headers: Vec<(String, String)>,
    /// The JSON body.
    pub body: Option<Value>,
    /// Sent as `client-request-id`: fresh for every attempt, so that Microsoft's logs can be matched with ours.
    pub id: Uuid,
}

impl fmt::Debug for Request {
    /// Without headers and body, which may carry generated passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("kind", &self.kind)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// What came back, or why nothing useful did.
    pub result: Result<Success, Fault>,
    /// The service's own name for the request (`request-id`), to quote to Microsoft.
    pub request_id: Option<String>,
    /// Fraction of a limit in use, reported by the service above 0.8 only (`x-ms-throttle-limit-percentage`).
    pub usage: Option<f64>,
}

impl From<Fault> for Reply {
    /// A reply that the service had no part in.
    fn from(fault: Fault) -> Reply {
        Reply {
            result: Err(fault),
            request_id: None,
            usage: None,
        }
    }
}

/// A status 2xx, with what the request asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Success {
    /// 200 to 299.
    pub status: u16,
    /// The JSON body; `None` where the reply had no body.
    pub body: Option<Value>,
    /// The absolute URL of the next page (`@odata.nextLink`).
    pub next: Option<String>,
}

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What it means for the caller.
    pub class: Class,
    /// The service's codes, from the general to the most specific (`Request_BadRequest/ObjectConflict`), or one of
    /// ours in lower case (`timeout`, `connection-lost`, `http-502`).
    pub code: String,
    /// The service's words, or ours: one line of at most 500 characters. For people; nothing is decided by it.
    pub message: String,
    /// The HTTP status, where one came.
    pub status: Option<u16>,
}

/// Where Entra's messages turn to its own people.
const TRACE: &str = " Trace ID: ";

impl Fault {
    /// The message without the numbers that Entra adds to it for its own people.
    #[must_use]
    pub fn brief(&self) -> &str {
        self.message
            .split_once(TRACE)
            .map_or(&self.message, |(brief, _)| brief)
    }

    /// Whether the target answered and does not want this request, now or later: asking again would be answered alike.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self.class {
            Class::NotFound
            | Class::Duplicate
            | Class::InvalidValue
            | Class::Denied
            | Class::Unsupported
            | Class::Licence
            | Class::Rejected => true,
            Class::Throttled { .. }
            | Class::Contended
            | Class::Unauthenticated
            | Class::SignIn
            | Class::NotSent
            | Class::Unavailable { .. }
            | Class::InDoubt => false,
        }
    }

    /// Whether a page of a listing was asked for too late, so that the listing has to begin again.
    #[must_use]
    pub fn is_expired_page(&self) -> bool {
        self.code
            .split('/')
            .any(|code| code == graph_codes::EXPIRED_PAGE)
    }

    /// What the fault says about the target as a whole: `None` where it answered, even if it refused this request.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        match self.class {
            Class::NotSent => Some(Trouble::NoAnswer),
            Class::SignIn => Some(Trouble::SignInRefused),
            Class::Unavailable { retry_after } => Some(Trouble::ServerError { retry_after }),
            Class::InDoubt if self.status.is_none() => Some(Trouble::NoAnswer),
            Class::NotFound
            | Class::Duplicate
            | Class::InvalidValue
            | Class::Denied
            | Class::Throttled { .. }
            | Class::Contended
            | Class::Licence
            | Class::Unauthenticated
            | Class::InDoubt
            | Class::Unsupported
            | Class::Rejected => None,
        }
    }
}

/// What a failure means for the caller. Sorted by status and codes, never by the text of a message. What it means for people
/// is in [`Class::kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub const THROTTLED: Class = Class::Throttled {
        retry_after: None,
        reason: ThrottleReason::Unstated,
    };
    /// Unavailable for nobody knows how long.
    pub const UNAVAILABLE: Class = Class::Unavailable { retry_after: None };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(class: Class, status: Option<u16>) -> Fault {
        Fault {
            class,
            code: String::new(),
            message: String::new(),
            status,
        }
    }

    #[test]
    fn silence_5xx_and_a_refused_sign_in_are_trouble_of_the_target() {
        let retry_after = Some(Duration::from_secs(3));
        let unavailable = Class::Unavailable { retry_after };
        assert_eq!(
            fault(Class::NotSent, None).trouble(),
            Some(Trouble::NoAnswer)
        );
        assert_eq!(
            fault(Class::InDoubt, None).trouble(),
            Some(Trouble::NoAnswer)
        );
        assert_eq!(
            fault(unavailable, Some(503)).trouble(),
            Some(Trouble::ServerError { retry_after })
        );
        assert_eq!(
            fault(Class::SignIn, Some(401)).trouble(),
            Some(Trouble::SignInRefused)
        );
        assert_eq!(fault(Class::InDoubt, Some(200)).trouble(), None);
        assert_eq!(fault(Class::Denied, Some(403)).trouble(), None);
    }

    #[test]
    fn debug_shows_no_body() {
        let request = Request {
            kind: Kind::Write,
            expects: Expects::Done,
            method: Method::Patch,
            path: "/users/1".to_owned(),
            headers: vec![("Prefer".to_owned(), "hush".to_owned())],
            body: Some(serde_json::json!({"password": "hush"})),
            id: Uuid::nil(),
        };
        let shown = format!("{request:?}");
        assert!(
            shown.contains("/users/1") && !shown.contains("hush"),
            "{shown}"
        );
    }
}
