//! What to do about a fault, for the person who has to do it. Separate from the fault's message, which is the
//! service's.
//!
//! The AADSTS numbers are from Microsoft's page on Entra authentication error codes, but for 900023, which the service
//! sends and the page leaves out. The page warns that numbers may change: nothing but this advice depends on them.

use super::ldap;
use super::message::{Class, Fault};

impl Fault {
    /// What a person can do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        if let Some(of_directory) = ldap::advice(&self.code) {
            return of_directory;
        }
        match self.class {
            Class::SignIn => sign_in_advice(&self.code),
            Class::Denied => {
                "give the app the permission it lacks, with admin consent, and where the person holds an \
                 administrator's role, a directory role"
            }
            Class::Unauthenticated => {
                "the token was refused: check that the connection file's tenant and cloud belong together, and this \
                 machine's clock"
            }
            Class::NotSent => {
                "check the network, the proxy and the connection file's addresses from here"
            }
            Class::NotFound => "check that the person exists in this tenant",
            Class::Duplicate => {
                "another object, live or deleted, has this value: find it, change or purge it, then run the row again"
            }
            Class::InvalidValue => "correct the value in the file",
            Class::Throttled { .. } => "lower the budget in the connection file",
            Class::Contended => "something else changes this person; run the row again later",
            Class::Unsupported => "the job asks for something the service does not do",
            Class::InDoubt { .. } => {
                "the service did not answer clearly; look at the person, then run the row again"
            }
            Class::Rejected => {
                "look up the code in the service's documentation, with the request id at hand"
            }
        }
    }
}

fn sign_in_advice(code: &str) -> &'static str {
    match code {
        "AADSTS7000215" => {
            "the secret is wrong: use the secret's value, not its id, and the secret of this app"
        }
        "AADSTS7000222" => "the secret has expired: add a new one to the app registration",
        "AADSTS700016" => "the tenant does not know this client_id: check both, and the cloud",
        "AADSTS7000112" => "the app is disabled in this tenant: enable its enterprise application",
        "AADSTS90002" | "AADSTS900023" => "there is no such tenant: check `tenant` and `cloud`",
        "AADSTS53003" => "conditional access blocks the app's sign-in: allow it from this address",
        _ => {
            "look the code up at https://login.microsoftonline.com/error, and check tenant, cloud, client_id and secret"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(class: Class, code: &str) -> Fault {
        Fault {
            class,
            code: code.to_owned(),
            message: String::new(),
            status: None,
        }
    }

    #[test]
    fn an_expired_secret_is_told_from_a_wrong_one() {
        let advice = |code| fault(Class::SignIn, code).advice();
        assert!(advice("AADSTS7000222").contains("expired"));
        assert!(advice("AADSTS7000215").contains("wrong"));
        assert!(advice("AADSTS1").contains("look the code up"));
        assert!(fault(Class::Contended, "").advice().contains("later"));
    }
}
