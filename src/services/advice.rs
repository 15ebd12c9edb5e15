//! What to tell the person who has to do something about a fault. Separate from the fault's message, which is the service's.

use super::codes::known_code;
use super::sign_in::PENDING;
use super::{Class, Fault};
use crate::core::Problem;

impl Fault {
    /// Whether a person is asked to sign in, as the message says, and has not done so yet.
    #[must_use]
    pub fn awaits_person(&self) -> bool {
        self.class == Class::SignIn && self.code == PENDING
    }

    /// What a person can do about it: what is known of its code, or else of its class.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        known_code(&self.code).and_then(|known| known.advice).unwrap_or(self.class.kind().advice)
    }

    /// Its code and its message, without saying the code twice where the service does.
    #[must_use]
    pub fn words(&self) -> String {
        coded(&self.code, &self.message)
    }

    /// The same without the numbers that Entra adds for its own people.
    #[must_use]
    pub fn brief_words(&self) -> String {
        coded(&self.code, self.brief())
    }

    /// What it means for the person who reads the report: the class by its code, and the service's own codes in the words.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem { advice: self.advice().to_owned(), ..self.class.kind().problem(self.words()) }
    }
}

fn coded(code: &str, message: &str) -> String {
    if message.starts_with(code) { message.to_owned() } else { format!("{code}: {message}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(class: Class, code: &str) -> Fault {
        Fault { class, code: code.to_owned(), message: "AADSTS7000215: wrong".to_owned(), status: None }
    }

    #[test]
    fn an_expired_secret_is_told_from_a_wrong_one() {
        let advice = |code| fault(Class::SignIn, code).advice();
        assert!(advice("AADSTS7000222").contains("expired"));
        assert!(advice("AADSTS7000215").contains("wrong"));
        assert!(advice("AADSTS1").contains("look the code up"));
        assert!(advice("http-401").contains("tokens"));
        assert!(fault(Class::Contended, "").advice().contains("later"));
    }

    #[test]
    fn the_report_has_our_code_and_keeps_the_services() {
        let problem = fault(Class::Duplicate, "Request_BadRequest/ObjectConflict").problem();
        assert_eq!(problem.code, "Duplicate");
        assert_eq!(problem.message, "Request_BadRequest/ObjectConflict: AADSTS7000215: wrong");
        assert!(problem.advice.contains("Deleted users"));
        let once = fault(Class::SignIn, "AADSTS7000215").problem();
        assert_eq!(once.message, "AADSTS7000215: wrong");
    }

    /// The directory's advice for its own time-outs was given for Graph's.
    #[test]
    fn a_time_out_of_graph_says_nothing_of_the_directory() {
        let advice = fault(Class::InDoubt, "timeout").advice();
        assert!(!advice.contains("[ad]"), "{advice}");
    }
}
