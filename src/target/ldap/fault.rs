//! What a directory's refusals and silences mean, and what to do about each. Sorted by result code, by the number that Active
//! Directory gives with a refused sign-in, and by rustls' reason; never by the words beside them.

use super::super::Secret;
use super::super::message::{Class, Fault};
use ldap3::{LdapError, LdapResult};
use rustls::CertificateError;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Bind,
    Search,
}

/// Longest message that is passed on, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

const IN_DOUBT: Class = Class::InDoubt { retry_after: None };

fn fault(class: Class, code: impl Into<String>, message: impl Into<String>) -> Fault {
    Fault {
        class,
        code: code.into(),
        message: message.into(),
        status: None,
    }
}

/// The directory answered with a result other than success.
pub(super) fn result_fault(result: &LdapResult, stage: Stage, password: &Secret) -> Fault {
    let words = one_line(&password.redact(&result.text));
    let (class, code) = match (result.rc, stage) {
        (49, _) => (
            Class::SignIn,
            format!("ldap-49/{}", data(&result.text).unwrap_or("?")),
        ),
        // Busy, unavailable, out of time, out of effort; or a session that the server has forgotten.
        (3 | 11 | 51 | 52, _) | (1, Stage::Search) => (IN_DOUBT, format!("ldap-{}", result.rc)),
        (rc, Stage::Bind) | (rc @ (8 | 10 | 32 | 34 | 50), Stage::Search) => {
            (Class::SignIn, format!("ldap-{rc}"))
        }
        (rc, Stage::Search) => (Class::Rejected, format!("ldap-{rc}")),
    };
    let what = match stage {
        Stage::Bind => "the directory refuses the sign-in",
        Stage::Search => "the directory refuses the search",
    };
    fault(class, code, format!("{what}: {words}"))
}

/// The number after `data` in the words of a refused sign-in: the one place where Active Directory says why.
fn data(text: &str) -> Option<&str> {
    let after = text.split_once("data ")?.1;
    let end = after
        .find(|letter: char| !letter.is_ascii_hexdigit())
        .unwrap_or(after.len());
    after.get(..end).filter(|code| !code.is_empty())
}

/// No connection, or none any more.
pub(super) fn connect_fault(error: &LdapError, password: &Secret) -> Fault {
    if let Some(tls) = tls_error(error) {
        return tls_fault(tls);
    }
    let words = one_line(&password.redact(&error.to_string()));
    match error {
        LdapError::LdapResult { result } => result_fault(result, Stage::Bind, password),
        LdapError::Timeout { .. } => fault(
            Class::NotSent,
            "timeout",
            "the directory did not answer in time",
        ),
        LdapError::DNSName { .. } => fault(
            Class::SignIn,
            "tls-name",
            "the host in `url` is no name that a certificate can have",
        ),
        _ => fault(
            Class::NotSent,
            "unreachable",
            format!("no connection to the directory: {words}"),
        ),
    }
}

impl Fault {
    /// The same in the middle of a search, when the question may have been heard.
    pub(super) fn of_search(self) -> Fault {
        match self.class {
            Class::NotSent => Fault {
                class: IN_DOUBT,
                ..self
            },
            _ => self,
        }
    }
}

/// tokio-rustls hands rustls' errors through as I/O errors.
fn tls_error(error: &LdapError) -> Option<&rustls::Error> {
    match error {
        LdapError::Rustls { source } => Some(source),
        LdapError::Io { source } => source.get_ref()?.downcast_ref(),
        _ => None,
    }
}

pub(super) fn tls_fault(error: &rustls::Error) -> Fault {
    let code = match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => "tls-issuer",
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "tls-name",
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "tls-expired",
        _ => "tls",
    };
    let words = one_line(&error.to_string());
    fault(
        Class::SignIn,
        code,
        format!("no secure connection to the directory: {words}"),
    )
}

pub(super) fn empty_password() -> Fault {
    let message = "the password of the directory's account is empty";
    fault(Class::SignIn, "empty-password", message)
}

pub(super) fn no_base(base: &str) -> Fault {
    let message = format!("the directory has no entry `{base}`");
    fault(Class::SignIn, "ldap-32", message)
}

fn one_line(text: &str) -> String {
    let visible = text.chars().map(|letter| match letter {
        letter if letter.is_control() => ' ',
        letter => letter,
    });
    let line: String = visible.take(MESSAGE_CHARS_MAX).collect();
    line.trim().to_owned()
}

/// What to do about a code of a directory. The numbers behind 49 are Windows' own error codes in hexadecimal.
pub(in crate::target) fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "ldap-49/525" => "the directory does not know this account: correct `bind` in [ad]",
        "ldap-49/52e" => {
            "the account does not exist or the password is wrong: correct `bind` or the password of [ad]; a domain locks an \
             account after a few wrong ones"
        }
        "ldap-49/530" => "the account may not sign in at this time: change its logon hours",
        "ldap-49/531" => "the account may not sign in from this machine: change its \"Log On To\"",
        "ldap-49/532" => {
            "the password has expired: set a new one, for this account best one that does not expire"
        }
        "ldap-49/533" => "the account is disabled: enable it, or name another one in `bind`",
        "ldap-49/701" => {
            "the account has expired: give it a later end, or name another one in `bind`"
        }
        "ldap-49/773" => {
            "the password must be changed before the first use: change it, then write the new one"
        }
        "ldap-49/775" => "the account is locked: unlock it, and find out who tries wrong passwords",
        "ldap-8" => {
            "the directory takes passwords over a secure connection only: write `ldaps://…`, or `start_tls = true`"
        }
        "ldap-10" | "ldap-32" | "ldap-34" => {
            "correct `base` in [ad]: the distinguished name of the domain, such as `DC=contoso,DC=local`, which the account \
             can read"
        }
        "ldap-50" => {
            "let the account of `bind` read the users: an ordinary account of the domain may"
        }
        "tls-issuer" => {
            "the certificate was made by an authority that is not trusted here: write `ca = \"…\"` with the domain's own \
             authority in PEM (`certutil -ca.cert`)"
        }
        "tls-name" => {
            "write in `url` a name that the server's certificate has, most often the full DNS name of the domain controller"
        }
        "tls-expired" => {
            "renew the domain controller's certificate, and check this machine's clock"
        }
        "tls" => {
            "check that the port speaks TLS (636 for ldaps, 389 with `start_tls = true`) and the server's certificate"
        }
        "empty-password" => "set the password that `password` in [ad] names",
        "unreachable" | "timeout" => {
            "check the network, `url` in [ad] and the firewall (TCP 636, or 389) from here"
        }
        code if code.starts_with("ldap-49/") => {
            "check `bind` and the password of [ad], and the account in the directory"
        }
        code if code.starts_with("ldap-") => {
            "look up the result code of LDAP, and ask who runs the directory"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(rc: u32, text: &str, stage: Stage) -> Fault {
        let result = LdapResult {
            rc,
            matched: String::new(),
            text: text.into(),
            refs: Vec::new(),
            ctrls: Vec::new(),
        };
        result_fault(&result, stage, &Secret::new("hush"))
    }

    #[test]
    fn a_refused_sign_in_says_why_and_what_to_do() {
        let text = "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 775, v4563\0";
        let fault = refused(49, text, Stage::Bind);
        assert_eq!(
            (fault.class, fault.code.as_str()),
            (Class::SignIn, "ldap-49/775")
        );
        assert!(fault.advice().contains("unlock it"), "{}", fault.advice());
        assert!(!fault.message.contains('\0'), "{:?}", fault.message);
        let unknown = refused(49, "no", Stage::Bind);
        assert_eq!(unknown.code, "ldap-49/?");
        assert!(unknown.advice().contains("check `bind`"));
    }

    #[test]
    fn what_may_pass_is_told_from_what_must_be_mended() {
        for rc in [3, 11, 51, 52] {
            assert_eq!(refused(rc, "", Stage::Bind).class, IN_DOUBT, "{rc}");
            assert_eq!(refused(rc, "", Stage::Search).class, IN_DOUBT, "{rc}");
        }
        // A bind of another client may end a session's rights; the next connection has them again.
        assert_eq!(refused(1, "", Stage::Search).class, IN_DOUBT);
        assert_eq!(refused(8, "", Stage::Bind).class, Class::SignIn);
        assert_eq!(refused(32, "", Stage::Search).class, Class::SignIn);
        assert_eq!(refused(4, "", Stage::Search).class, Class::Rejected);
    }

    #[test]
    fn the_password_is_in_no_message() {
        let fault = refused(53, "you said hush", Stage::Bind);
        assert!(!fault.message.contains("hush"), "{}", fault.message);
    }

    #[test]
    fn every_code_of_ours_has_advice() {
        for code in [
            "ldap-49/52e",
            "ldap-2",
            "tls",
            "tls-name",
            "unreachable",
            "timeout",
        ] {
            assert!(advice(code).is_some(), "{code}");
        }
        assert_eq!(advice("AADSTS53003"), None);
    }
}
