//! What can be wrong with a connection file, in words for the person who wrote it, and how to mend each.
//!
//! Every mistake knows its line and column. The line itself is never shown: the file may hold a secret in the wrong place,
//! under a misspelt name or in a comment, and error messages end up in logs and tickets.

use std::ops::Range;

use miette::Diagnostic;

use super::Cloud;
use super::connection_file::Way;
use super::priority::ThrottlePriority;
use super::sign_in::certificate::CertificateError;
use crate::services::budget::QuotaError;

/// A mistake and where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    problem: Problem,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("this is not TOML: {message}")]
    Syntax { message: String },
    #[error("there is no section [graph]")]
    NoGraph,
    #[error("unknown key `{key}` {place}")]
    UnknownKey { key: String, place: &'static str, meant: Option<&'static str>, known: &'static [&'static str] },
    #[error("`{key}` is missing in [{section}]")]
    MissingKey { key: &'static str, section: &'static str, example: &'static str },
    #[error("`{key}` is not {expected}")]
    WrongType { key: &'static str, expected: &'static str },
    #[error("`{key}` is empty")]
    Empty { key: &'static str },
    #[error("`{value}` is neither a tenant's domain nor its id")]
    Tenant { value: String },
    #[error("unknown cloud `{value}`")]
    Cloud { value: String },
    #[error("unknown way to sign in: `{value}`")]
    Auth { value: String },
    #[error("`{key}` does not belong to `auth = \"{}\"`", way.name())]
    KeyOfOtherWay { key: &'static str, way: Way },
    #[error("`{key}` holds the secret itself")]
    SecretInFile { key: &'static str },
    #[error("`{key}` does not name exactly one source")]
    SecretSource { key: &'static str },
    #[error("`{key}` names no environment variable: a name has letters, digits and `_` only")]
    VariableName { key: &'static str },
    #[error("the environment variable `{name}` is not set, or empty, or not text")]
    VariableUnset { name: String },
    #[error("the secret file `{path}` cannot be read: {reason}")]
    SecretFile { path: String, reason: String },
    #[error("the secret file `{path}` is empty")]
    SecretFileEmpty { path: String },
    #[error("`certificate` does not name a file")]
    CertificateSource,
    #[error("the certificate file `{path}` cannot be used: {error}")]
    Certificate { path: String, error: CertificateError },
    #[error("the environment variable `{name}` is no address")]
    IdentityEndpoint { name: &'static str },
    #[error("this machine is managed by Azure Arc, whose identity this version cannot use")]
    IdentityOfArc,
    #[error("`{key}` is not the root of a web service: {reason}")]
    Url { key: &'static str, reason: String },
    #[error("`{key}` would send tokens in the clear: plain http is for loopback addresses only")]
    PlainHttp { key: &'static str },
    #[error("`url` is not the address of a directory: {reason}")]
    DirectoryUrl { reason: String },
    #[error("`url` would send the password in the clear: ldap without TLS is for loopback addresses only")]
    PlainLdap,
    #[error("`start_tls` belongs to `ldap://…`; what `ldaps://…` says is secure from the beginning")]
    StartTlsTwice,
    #[error("`{value}` is not a distinguished name")]
    DistinguishedName { value: String },
    #[error("the certificates of `ca` cannot be used: {reason}")]
    Ca { reason: String },
    #[error("`{key}` is not a whole number from 1 to {max}")]
    Count { key: &'static str, max: u32 },
    #[error("{error}")]
    Rate { error: QuotaError },
    #[error("unknown priority `{value}`")]
    ThrottlePriority { value: String },
    #[error("`{value}` is not a time from 1 s to 24 h")]
    Patience { key: &'static str, value: String },
}

impl Problem {
    /// What to write or to do instead.
    fn advice(&self) -> String {
        match self {
            Problem::Syntax { .. } => {
                "texts stand in quotes, as in `tenant = \"contoso.onmicrosoft.com\"`".to_owned()
            }
            Problem::NoGraph => {
                "begin with the line `[graph]`, then `tenant`, `auth` and what that way to sign in needs".to_owned()
            }
            Problem::UnknownKey { meant: Some(meant), .. } => format!("did you mean `{meant}`?"),
            Problem::UnknownKey { meant: None, known, .. } => {
                format!("known here: {}", known.join(", "))
            }
            Problem::MissingKey { key, example, .. } => format!("add `{key} = {example}`"),
            Problem::WrongType { key, .. } | Problem::Empty { key } => {
                format!("write a value as in `{key} = {}`", example(key))
            }
            Problem::Tenant { .. } => {
                "write the initial domain, such as `contoso.onmicrosoft.com`, or the tenant's GUID".to_owned()
            }
            Problem::Cloud { .. } => {
                format!("write one of: {}", Cloud::ALL.map(Cloud::name).join(", "))
            }
            Problem::Auth { .. } => {
                format!("write one of: {}", Way::ALL.map(Way::name).join(", "))
            }
            Problem::KeyOfOtherWay { key, way } => of_other_way(key, *way),
            Problem::SecretInFile { key } => format!(
                "put the secret into an environment variable and write `{key} = {}`, or into a file of its own and write `{key} = {{ file = \"…\" }}`; then renew the secret, for this file may have been copied",
                example(key)
            ),
            Problem::SecretSource { key } => format!(
                "write `{key} = {}` or `{key} = {{ file = \"…\" }}`",
                example(key)
            ),
            Problem::VariableName { key } => format!(
                "`env` takes the name of a variable, never the secret itself: `{}`",
                example(key)
            ),
            Problem::VariableUnset { name } => {
                format!("set `{name}` in the environment that starts this program")
            }
            Problem::SecretFile { .. } => {
                "check the path, which counts from the connection file's directory, and who may read the file".to_owned()
            }
            Problem::SecretFileEmpty { .. } => "write the secret into it, on one line".to_owned(),
            Problem::CertificateSource => "write `certificate = { file = \"app.pem\" }`".to_owned(),
            Problem::Certificate { error, .. } => error.advice().to_owned(),
            Problem::IdentityEndpoint { name } => format!(
                "Azure sets `{name}` where the app has a managed identity: unset it elsewhere"
            ),
            Problem::IdentityOfArc => {
                "use `auth = \"certificate\"` on this machine".to_owned()
            }
            Problem::Url { key, .. } => format!(
                "write scheme and host, and a port where needed, as in `{key} = {}`; no version, no query",
                example(key)
            ),
            Problem::PlainHttp { .. } => "use https".to_owned(),
            Problem::DirectoryUrl { .. } => {
                "write scheme and host, and a port where needed, as in `url = \"ldaps://dc1.contoso.local\"`".to_owned()
            }
            Problem::PlainLdap => {
                "write `ldaps://…`, or add `start_tls = true`".to_owned()
            }
            Problem::StartTlsTwice => "take `start_tls` out, or write `ldap://…`".to_owned(),
            Problem::DistinguishedName { .. } => {
                "write where the people are, as in `base = \"DC=contoso,DC=local\"`".to_owned()
            }
            Problem::Ca { .. } => {
                "name a file with the authority's certificates in PEM; its path counts from the connection file's directory; `certutil -ca.cert ca.cer` and `certutil -encode ca.cer ca.pem` make one".to_owned()
            }
            Problem::Count { key, .. } => format!("write a number such as `{key} = {}`", example(key)),
            Problem::Rate { error } => error.help().map(|help| help.to_string()).unwrap_or_default(),
            Problem::ThrottlePriority { .. } => format!(
                "write one of: {}",
                ThrottlePriority::ALL.map(ThrottlePriority::name).join(", ")
            ),
            Problem::Patience { key, .. } => {
                format!("write a time such as `{key} = {}`", example(key))
            }
        }
    }
}

/// What to do with a key that another way to sign in would need.
fn of_other_way(key: &str, way: Way) -> String {
    let instead = match key {
        "client_secret" => "to sign in with a secret, write `auth = \"client-secret\"`",
        "certificate" => "to sign in with a certificate, write `auth = \"certificate\"`",
        "login" => "the Azure CLI knows its own, from `az cloud set`",
        _ => "the Azure CLI signs in as the user who ran `az login`",
    };
    let keys = way.keys();
    if keys.is_empty() {
        return format!("take it out; {instead}");
    }
    format!("take it out; {instead}; this way takes {}", keys.join(", "))
}

/// A value of the right form, for advice.
pub(super) fn example(key: &str) -> &'static str {
    match key {
        "tenant" => "\"contoso.onmicrosoft.com\"",
        "client_id" => "\"00000000-0000-0000-0000-000000000000\"",
        "cloud" => "\"global\"",
        "auth" => "\"client-secret\"",
        "endpoint" => "\"https://graph.microsoft.com\"",
        "login" => "\"https://login.microsoftonline.com\"",
        "client_secret" => "{ env = \"CONTOSO_SECRET\" }",
        "url" => "\"ldaps://dc1.contoso.local\"",
        "start_tls" => "true",
        "ca" => "\"contoso-ca.pem\"",
        "base" => "\"DC=contoso,DC=local\"",
        "bind" => "\"CN=reader,CN=Users,DC=contoso,DC=local\"",
        "password" => "{ env = \"AD_PASSWORD\" }",
        "throttle_priority" => "\"low\"",
        "identity_protection" => "\"1/s\"",
        "queries" => "\"20/s\"",
        "at_once" => "2",
        "writes" => "\"3000/150s\"",
        "reads" => "\"3500/10s\"",
        "patience" => "\"5m\"",
        "sign_in_patience" => "\"12h\"",
        "graph" | "ad" | "limits" => "{ … }",
        _ => "\"…\"",
    }
}

impl Mistake {
    /// A mistake at these bytes of the file.
    pub(super) fn new(text: &str, span: &Range<usize>, problem: Problem) -> Mistake {
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        Mistake { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1, problem }
    }
}

impl Diagnostic for Mistake {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        Some(Box::new(self.problem.advice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_one_in_characters() {
        let text = "a = 1\nä = é\n";
        let at = text.find('é').unwrap();
        let mistake = Mistake::new(text, &(at..at + 2), Problem::NoGraph);
        assert_eq!((mistake.line, mistake.column), (2, 5));
        assert_eq!(mistake.to_string(), "line 2, column 5: there is no section [graph]");
    }
}
