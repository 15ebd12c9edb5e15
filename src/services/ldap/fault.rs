//! What a directory's refusals and silences mean; what to do about each is in `codes.toml`. Sorted by result code, by the number that
//! Active Directory gives with a refused sign-in, and by rustls' reason; never by the words beside them.

use crate::core::Secret;
use crate::services::class::Class;
use crate::services::reply::Fault;
use ldap3::{LdapError, LdapResult};
use rustls::CertificateError;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Bind,
    Search,
}

/// The directory answered with a result other than success.
pub(super) fn result_fault(result: &LdapResult, stage: Stage, password: &Secret) -> Fault {
    let words = password.redact(&result.text);
    let (class, code) = match (result.rc, stage) {
        (49, _) => (Class::SignIn, format!("ldap-49/{}", data(&result.text).unwrap_or("?"))),
        // Out of time, out of effort, busy, unavailable.
        (3 | 11 | 51 | 52, _) => (Class::UNAVAILABLE, format!("ldap-{}", result.rc)),
        // A session that the server has forgotten.
        (1, Stage::Search) => (Class::InDoubt, format!("ldap-{}", result.rc)),
        (rc, Stage::Bind) | (rc @ (8 | 10 | 32 | 34 | 50), Stage::Search) => (Class::SignIn, format!("ldap-{rc}")),
        (rc, Stage::Search) => (Class::Rejected, format!("ldap-{rc}")),
    };
    let what = match stage {
        Stage::Bind => "the directory refuses the sign-in",
        Stage::Search => "the directory refuses the search",
    };
    Fault::new(class, code, format!("{what}: {words}"))
}

/// The number after `data` in the words of a refused sign-in: the one place where Active Directory says why.
fn data(text: &str) -> Option<&str> {
    let after = text.split_once("data ")?.1;
    after.split(|letter: char| !letter.is_ascii_hexdigit()).next().filter(|code| !code.is_empty())
}

/// No connection, or none any more.
pub(super) fn connect_fault(error: &LdapError, password: &Secret) -> Fault {
    if let Some(tls) = tls_error(error) {
        return tls_fault(tls);
    }
    let words = password.redact(&error.to_string());
    match error {
        LdapError::LdapResult { result } => result_fault(result, Stage::Bind, password),
        LdapError::Timeout { .. } => Fault::new(Class::NotSent, "ldap-timeout", "the directory did not reply in time"),
        LdapError::DNSName { .. } => {
            Fault::sign_in("tls-name", "the host in `url` is no name that a certificate can have")
        }
        _ => Fault::new(Class::NotSent, "ldap-unreachable", format!("no connection to the directory: {words}")),
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
    use CertificateError::{Expired, ExpiredContext, NotValidForName, NotValidForNameContext};
    use CertificateError::{NotValidYet, NotValidYetContext, UnknownIssuer};
    let code = match error {
        rustls::Error::InvalidCertificate(error) => match error {
            UnknownIssuer => "tls-issuer",
            NotValidForName | NotValidForNameContext { .. } => "tls-name",
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => "tls-expired",
            _ => "tls",
        },
        _ => "tls",
    };
    Fault::sign_in(code, format!("no secure connection to the directory: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(rc: u32, text: &str, stage: Stage) -> Fault {
        let result = LdapResult { rc, matched: String::new(), text: text.into(), refs: Vec::new(), ctrls: Vec::new() };
        result_fault(&result, stage, &Secret::new("hush"))
    }

    #[test]
    fn a_refused_sign_in_says_why_and_what_to_do() {
        let text = "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 775, v4563\0";
        let fault = refused(49, text, Stage::Bind);
        assert_eq!((fault.class, fault.code.as_str()), (Class::SignIn, "ldap-49/775"));
        assert!(fault.advice().contains("unlock it"), "{}", fault.advice());
        assert!(!fault.message.contains('\0'), "{:?}", fault.message);
        let unknown = refused(49, "no", Stage::Bind);
        assert_eq!(unknown.code, "ldap-49/?");
        assert!(unknown.advice().contains("check `bind`"));
    }

    #[test]
    fn what_may_pass_is_told_from_what_must_be_mended() {
        for rc in [3, 11, 51, 52] {
            let busy = Class::UNAVAILABLE;
            assert_eq!(refused(rc, "", Stage::Bind).class, busy, "{rc}");
            assert_eq!(refused(rc, "", Stage::Search).class, busy, "{rc}");
        }
        // A bind of another client may end a session's rights; the next connection has them again.
        assert_eq!(refused(1, "", Stage::Search).class, Class::InDoubt);
        assert_eq!(refused(8, "", Stage::Bind).class, Class::SignIn);
        assert_eq!(refused(32, "", Stage::Search).class, Class::SignIn);
        assert_eq!(refused(4, "", Stage::Search).class, Class::Rejected);
    }

    #[test]
    fn the_password_is_in_no_message() {
        let fault = refused(53, "you said hush", Stage::Bind);
        assert!(!fault.message.contains("hush"), "{}", fault.message);
    }
}
