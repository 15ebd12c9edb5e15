//! Codes of a directory, and what to do about each. The numbers behind 49 are Windows' own error codes in hexadecimal, which
//! Active Directory gives with a refused sign-in; the others are LDAP's result codes (RFC 4511) and ours for the way there.

use crate::services::Class;
use crate::services::codes::{KnownCode, Speaker};

const fn code(code: &'static str, class: Class) -> KnownCode {
    KnownCode::new(code, class, Speaker::Directory)
}

const fn refused(name: &'static str, advice: &'static str) -> KnownCode {
    code(name, Class::SignIn).advising(advice)
}

const CORRECT_BASE: &str = "correct `base` in [ad]: the distinguished name of the domain, such as `DC=contoso,DC=local`, which the account can \
     read";
const CHECK_THE_WAY: &str = "check the network, `url` in [ad] and the firewall (TCP 636, or 389) from here";

/// Those with a meaning of their own.
pub(in crate::services) const CODES: &[KnownCode] = &[
    refused("ldap-49/525", "the directory does not know this account: correct `bind` in [ad]"),
    refused(
        "ldap-49/52e",
        "the account does not exist or the password is wrong: correct `bind` or the password of [ad]; a domain locks an account \
         after a few wrong ones",
    ),
    refused("ldap-49/530", "the account may not sign in at this time: change its logon hours"),
    refused("ldap-49/531", "the account may not sign in from this machine: change its \"Log On To\""),
    refused("ldap-49/532", "the password has expired: set a new one, for this account best one that does not expire"),
    refused("ldap-49/533", "the account is disabled: enable it, or name another one in `bind`"),
    refused("ldap-49/701", "the account has expired: give it a later end, or name another one in `bind`"),
    refused("ldap-49/773", "the password must be changed before the first use: change it, then write the new one"),
    refused("ldap-49/775", "the account is locked: unlock it, and find out who tries wrong passwords"),
    refused(
        "ldap-8",
        "the directory takes passwords over a secure connection only: write `ldaps://…`, or `start_tls = true`",
    ),
    refused("ldap-10", CORRECT_BASE),
    refused("ldap-32", CORRECT_BASE),
    refused("ldap-34", CORRECT_BASE),
    refused("ldap-50", "let the account of `bind` read the users: an ordinary account of the domain may"),
    code("ldap-1", Class::InDoubt).noting("the directory has forgotten the session; the next one is opened by itself"),
    code("ldap-3", Class::UNAVAILABLE).noting("the search took longer than the directory allows"),
    code("ldap-11", Class::UNAVAILABLE).noting("the search was more than the directory allows"),
    code("ldap-51", Class::UNAVAILABLE).noting("the directory is busy"),
    code("ldap-52", Class::UNAVAILABLE).noting("the directory is going down or coming up"),
    refused(
        "tls-issuer",
        "the certificate was made by an authority that is not trusted here: write `ca = \"…\"` with the domain's own authority \
         in PEM (`certutil -ca.cert`)",
    ),
    refused(
        "tls-name",
        "write in `url` a name that the server's certificate has, most often the full DNS name of the domain controller",
    ),
    refused("tls-expired", "renew the domain controller's certificate, and check this machine's clock"),
    refused(
        "tls",
        "check that the port speaks TLS (636 for ldaps, 389 with `start_tls = true`) and the server's certificate",
    ),
    refused("empty-password", "set the password that `password` in [ad] names"),
    code("ldap-unreachable", Class::NotSent)
        .noting("no connection to the directory could be made, or it was lost")
        .advising(CHECK_THE_WAY),
    code("ldap-timeout", Class::NotSent).noting("the directory did not reply in time").advising(CHECK_THE_WAY),
];

/// What the form of a code tells, where its name is in no table.
pub(in crate::services) fn by_form(code: &str) -> Option<KnownCode> {
    if code.starts_with("ldap-49/") {
        let advice = "check `bind` and the password of [ad], and the account in the directory";
        return Some(refused("ldap-49/…", advice));
    }
    let number = code.strip_prefix("ldap-")?;
    number.parse::<u32>().ok()?;
    let advice = "look up the result code of LDAP, and ask who runs the directory";
    Some(self::code("ldap-…", Class::Rejected).advising(advice))
}
