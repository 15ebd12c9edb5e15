//! Replies as the rest of the program sees them: no protocol's types, and few enough kinds of failure that every caller can
//! treat each of them.

use serde_json::Value;

use super::class::{Again, Applied, Class, Concerns};
use super::codes::known_code;
use crate::core::Problem;
use crate::services::budget::Trouble;

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// What came back, or why nothing useful did.
    pub result: Result<Success, Fault>,
    /// The service's own name for the request (`request-id`), to quote to Microsoft.
    pub request_id: Option<String>,
    /// Fraction of a limit in use, reported by the service above 0.8 only (`x-ms-throttle-limit-percentage`).
    pub usage: Option<f64>,
    /// It came for another request, too, whose own says what there is to learn of the service.
    pub is_echo: bool,
}

impl Reply {
    /// The same for the request at this place among those that share it: the first says what there is to learn.
    pub(super) fn echo(&self, at: usize) -> Reply {
        Reply { is_echo: at > 0, ..self.clone() }
    }
}

impl From<Fault> for Reply {
    /// A reply that the service had no part in.
    fn from(fault: Fault) -> Reply {
        Reply { result: Err(fault), request_id: None, usage: None, is_echo: false }
    }
}

/// The service did what was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Success {
    /// The status in the service's protocol.
    pub status: u16,
    /// What the reply brought.
    pub payload: Payload,
}

/// What a good reply brings.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Word that it was done.
    Nothing,
    /// An object.
    Object(Value),
    /// A part of a list.
    Page {
        /// The entries.
        items: Vec<Value>,
        /// Where the next part is, as the path of another request.
        next: Option<String>,
    },
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

/// The code of a reply that is not the service's.
pub(super) const UNREADABLE: &str = "unreadable-reply";
/// The code of a sign-in while nobody has entered the device code yet.
pub(super) const PENDING: &str = "authorization_pending";
/// The code of a page that was asked for too late.
pub(super) const EXPIRED_PAGE: &str = "Directory_ExpiredPageToken";
/// Enough for every message seen, and little enough for a cell of a report.
const MESSAGE_CHARS_MAX: usize = 500;
/// Where Entra's messages turn to its own people.
const TRACE: &str = " Trace ID: ";

impl Fault {
    /// A failure without a status. Its message is made one line.
    #[must_use]
    pub fn new(class: Class, code: impl Into<String>, message: impl AsRef<str>) -> Fault {
        Fault { class, code: code.into(), message: one_line(message.as_ref()), status: None }
    }

    /// No token is to be had that is any good.
    pub(super) fn sign_in(code: impl Into<String>, message: impl AsRef<str>) -> Fault {
        Fault::new(Class::SignIn, code, message)
    }

    /// The same with the status that came.
    #[must_use]
    pub fn with_status(self, status: u16) -> Fault {
        Fault { status: Some(status), ..self }
    }

    /// Whether a person is asked to sign in, as the message says, and has not done so yet.
    pub fn awaits_person(&self) -> bool {
        self.class == Class::SignIn && self.code == PENDING
    }

    /// What a person can do about it: what is known of its code, or else of its class.
    pub fn advice(&self) -> String {
        let known = known_code(&self.code).and_then(|known| known.advice);
        known.unwrap_or(self.class.kind().advice).to_owned()
    }

    /// Its code and its message, without saying the code twice where the service does.
    pub fn words(&self) -> String {
        let Fault { code, message, .. } = self;
        if message.starts_with(code) { message.clone() } else { format!("{code}: {message}") }
    }

    /// What it means for the person who reads the report: the class by its code, and the service's own codes in the words.
    pub fn problem(&self) -> Problem {
        Problem { advice: self.advice(), ..self.class.kind().problem(self.words()) }
    }

    /// The message without the numbers that Entra adds to it for its own people.
    pub fn brief(&self) -> &str {
        self.message.split_once(TRACE).map_or(&self.message, |(brief, _)| brief)
    }

    /// Whether the service does not want this request, now or later: asked again, it would say the same.
    pub fn is_refusal(&self) -> bool {
        let facts = self.class.facts();
        facts.applied == Applied::No && facts.again == Again::Never
    }

    /// Whether nobody can be served until somebody has fixed the sign-in.
    pub fn concerns_app(&self) -> bool {
        self.class.facts().concerns == Concerns::App
    }

    /// Whether a page of a listing was asked for too late, so that the listing has to begin again.
    pub fn is_expired_page(&self) -> bool {
        self.code.split('/').any(|code| code == EXPIRED_PAGE)
    }

    /// What the fault says about the service as a whole: `None` where it answered, even if it refused this request.
    pub fn trouble(&self) -> Option<Trouble> {
        match self.class {
            Class::SignIn => Some(Trouble::SignInRefused),
            Class::Unavailable { retry_after } => Some(Trouble::ServerError { retry_after }),
            Class::Throttled { .. } => None,
            // With a status, the service did answer.
            Class::InDoubt if self.status.is_some() => None,
            class => (class.facts().concerns == Concerns::Service).then_some(Trouble::NoAnswer),
        }
    }
}

/// The text on a single line of at most 500 characters.
pub(super) fn one_line(text: &str) -> String {
    let words = text.split(|letter: char| letter.is_whitespace() || letter.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MESSAGE_CHARS_MAX {
        return line;
    }
    line.chars().take(MESSAGE_CHARS_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn fault(class: Class, status: Option<u16>) -> Fault {
        Fault { class, code: String::new(), message: String::new(), status }
    }

    #[test]
    fn silence_5xx_and_a_refused_sign_in_are_trouble_of_the_target() {
        let retry_after = Some(Duration::from_secs(3));
        let unavailable = Class::Unavailable { retry_after };
        assert_eq!(fault(Class::NotSent, None).trouble(), Some(Trouble::NoAnswer));
        assert_eq!(fault(Class::InDoubt, None).trouble(), Some(Trouble::NoAnswer));
        assert_eq!(fault(unavailable, Some(503)).trouble(), Some(Trouble::ServerError { retry_after }));
        assert_eq!(fault(Class::SignIn, Some(401)).trouble(), Some(Trouble::SignInRefused));
        assert_eq!(fault(Class::InDoubt, Some(200)).trouble(), None);
        assert_eq!(fault(Class::Denied, Some(403)).trouble(), None);
    }

    fn coded_fault(class: Class, code: &str) -> Fault {
        Fault::new(class, code.to_owned(), "AADSTS7000215: wrong")
    }

    #[test]
    fn an_expired_secret_is_told_from_a_wrong_one() {
        let advice = |code| coded_fault(Class::SignIn, code).advice();
        assert!(advice("AADSTS7000222").contains("expired"));
        assert!(advice("AADSTS7000215").contains("wrong"));
        assert!(advice("AADSTS1").contains("look the code up"));
        assert!(advice("http-401").contains("tokens"));
        assert!(coded_fault(Class::Contended, "").advice().contains("later"));
    }

    #[test]
    fn the_report_has_our_code_and_keeps_the_services() {
        let problem = coded_fault(Class::Duplicate, "Request_BadRequest/ObjectConflict").problem();
        assert_eq!(problem.code, "Duplicate");
        assert_eq!(problem.message, "Request_BadRequest/ObjectConflict: AADSTS7000215: wrong");
        assert!(problem.advice.contains("Deleted users"));
        let once = coded_fault(Class::SignIn, "AADSTS7000215").problem();
        assert_eq!(once.message, "AADSTS7000215: wrong");
    }

    /// The directory's advice for its own time-outs was given for Graph's.
    #[test]
    fn a_time_out_of_graph_says_nothing_of_the_directory() {
        let advice = coded_fault(Class::InDoubt, "timeout").advice();
        assert!(!advice.contains("[ad]"), "{advice}");
    }

    #[test]
    fn long_messages_are_cut() {
        let line = one_line(&"ä ".repeat(600));
        assert_eq!(line.chars().count(), MESSAGE_CHARS_MAX);
        assert!(line.ends_with('…'));
    }

    proptest! {
        #[test]
        fn lines_are_single_and_bounded(text in "(?s).{0,700}") {
            let line = one_line(&text);
            prop_assert!(line.chars().count() <= MESSAGE_CHARS_MAX);
            prop_assert!(!line.chars().any(char::is_control));
        }
    }
}
