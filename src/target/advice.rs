//! What to do about a fault, for the person who has to do it. Separate from the fault's message, which is the
//! service's.
//!
//! The AADSTS numbers are from Microsoft's page on Entra authentication error codes, but for 900023, which the service
//! sends and the page leaves out. The page warns that numbers may change: nothing but this advice depends on them.

use super::ldap;
use super::message::{Class, Fault};
use super::sign_in::PENDING;

const REFUSED_TOKEN: &str = "the service refuses the tokens that the sign-in gives: check that the connection file's tenant and cloud belong \
     together, and this machine's clock";

impl Fault {
    /// Whether a person is asked to sign in, as the message says, and has not done so yet.
    #[must_use]
    pub fn awaits_person(&self) -> bool {
        self.class == Class::SignIn && self.code == PENDING
    }

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
            Class::Unauthenticated => REFUSED_TOKEN,
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

/// The codes are Entra's, the certificate's (`sign_in/certificate.rs`) and those of the other ways to sign in.
fn sign_in_advice(code: &str) -> &'static str {
    match code {
        "AADSTS7000215" => {
            "the secret is wrong: use the secret's value, not its id, and the secret of this app"
        }
        "AADSTS7000222" => {
            "the secret has expired: add a new one to the app registration; where the connection file names a secret \
             file, write it there, and it is read again for the next try; where it names a variable, stop the run, \
             set the variable, and `cutover resume`"
        }
        "AADSTS700016" => "the tenant does not know this client_id: check both, and the cloud",
        "AADSTS7000112" => "the app is disabled in this tenant: enable its enterprise application",
        "AADSTS90002" | "AADSTS900023" => "there is no such tenant: check `tenant` and `cloud`",
        "AADSTS53003" => "conditional access blocks the app's sign-in: allow it from this address",
        "AADSTS700027" => {
            "the app does not know this certificate: upload it to the app registration, and check the client_id"
        }
        "AADSTS700024" => "this machine's clock is wrong: set it",
        "AADSTS7000218" => {
            "the app is no public client: allow public client flows in its registration, under Authentication"
        }
        "AADSTS65001" => "nobody has consented to what the app asks for: give it admin consent",
        "AADSTS500011" => {
            "this tenant does not have the service that was asked for: check `tenant` and `cloud`"
        }
        "authorization_pending" => "whoever signs in must be allowed to do what the job does",
        "expired_token" | "authorization_declined" => {
            "run it again, open the address in a browser and enter the code within a quarter of an hour"
        }
        "secret-file" => "write the secret into that file, on one line; it is read for every try",
        "certificate-unreadable"
        | "certificate-incomplete"
        | "certificate-key"
        | "certificate-mismatch" => {
            "put a good certificate and its private key into that file; it is read for every try"
        }
        "certificate-not-yet-valid" => "check this machine's clock",
        "certificate-expired" => {
            "make a new certificate, upload it to the app registration, and put it with its key into that file; it is \
             read for every try"
        }
        "no-managed-identity" => {
            "this machine has no managed identity, or is not in Azure: assign one to it, or sign in another way"
        }
        "azure-cli-missing" => {
            "install the Azure CLI and run `az login`, or sign in another way (`auth` in the connection file)"
        }
        "azure-cli-failed" | "azure-cli-unreadable" => {
            "run `az login --tenant …` with the connection file's tenant, and before it `az cloud set` where that is \
             not in the global cloud"
        }
        "InvalidAuthenticationToken" | "http-401" => REFUSED_TOKEN,
        code if code.starts_with("managed-identity/") => {
            "check that the identity is assigned to this machine; one that is user-assigned is named by `client_id`"
        }
        _ => {
            "look the code up at https://login.microsoftonline.com/error, and check tenant, cloud and how the \
             connection file says to sign in"
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
