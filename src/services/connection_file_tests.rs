//! Connection files as operators write them, good and bad.

use miette::Diagnostic;
use proptest::prelude::*;

use super::*;
use crate::services::{Auth, ConnectionError};

const GOOD: &str = r#"
[graph]
tenant = "Contoso.onmicrosoft.com"
client_id = "11111111-2222-3333-4444-555555555555"
client_secret = { env = "CONTOSO_SECRET" }
"#;

fn parse(text: &str) -> Result<Connection, ConnectionError> {
    let variable = |name: &str| (name == "CONTOSO_SECRET").then(|| "hush".to_owned());
    Connection::parse(Path::new("contoso.toml"), text, &variable)
}

fn graph(text: &str) -> GraphConnection {
    parse(text).unwrap().graph
}

/// Each mistake as `line:column message | advice`; also makes sure that nothing shown holds the secret.
fn mistakes(text: &str) -> Vec<String> {
    let error = parse(text).unwrap_err();
    let told = error.related().into_iter().flatten();
    let told: Vec<String> = told.map(|mistake| format!("{mistake} {}", mistake.help().unwrap())).collect();
    let shown = format!("{error:?} {error} {told:?}");
    assert!(!shown.contains("hush"), "{shown}");
    let ConnectionError::Mistakes { mistakes, .. } = error else {
        panic!("{error:?}");
    };
    mistakes.iter().map(|mistake| format!("{mistake} | {}", mistake.help().unwrap())).collect()
}

/// The mistakes of the good file with these lines more in [graph].
fn mistakes_with(lines: &str) -> Vec<String> {
    mistakes(&format!("{GOOD}{lines}"))
}

#[test]
fn priority_and_the_budget_of_identity_protection_can_be_given() {
    let given = graph(&format!("{GOOD}throttle_priority = \"high\"\n[graph.limits]\nidentity_protection = \"2/s\"\n"));
    assert_eq!(given.throttle_priority, "high");
    let limits = given.limits;
    assert_eq!(limits.identity_protection, "2/s".parse().unwrap());
    assert_eq!(limits.writes, GraphLimits::GRAPH.writes);
    assert_eq!(graph(GOOD).throttle_priority, "low");
}

#[test]
fn a_short_file_has_defaults() {
    let graph = graph(GOOD);
    assert_eq!(graph.tenant, "contoso.onmicrosoft.com");
    assert_eq!(graph.cloud, Cloud::GLOBAL);
    assert_eq!(graph.endpoint.as_str(), "https://graph.microsoft.com/");
    assert_eq!(graph.login.as_str(), "https://login.microsoftonline.com/");
    assert_eq!(graph.limits, GraphLimits::GRAPH);
    assert_eq!(graph.patience.silence, Duration::from_secs(300));
    assert_eq!(graph.patience.sign_in, Duration::from_secs(12 * 3_600));
    let Auth::ClientSecret { client_id, secret } = graph.auth else {
        panic!("{:?}", graph.auth);
    };
    assert_eq!(client_id, "11111111-2222-3333-4444-555555555555");
    assert_eq!(secret.read().unwrap().expose(), "hush");
}

#[test]
fn a_full_file_says_everything() {
    let graph = graph(&format!(
        "{GOOD}{}",
        r#"
cloud = "usgov-dod"
auth = "client-secret"
endpoint = "http://127.0.0.1:8080/"
login = "https://login.contoso.test"
patience = "90s"
sign_in_patience = "2h"
[graph.limits]
writes = "2000/150s"
reads = "50/s"
"#
    ));
    assert_eq!(graph.cloud.name, "usgov-dod");
    assert_eq!(graph.endpoint.as_str(), "http://127.0.0.1:8080/");
    assert_eq!(graph.login.as_str(), "https://login.contoso.test/");
    assert_eq!(graph.patience.silence, Duration::from_secs(90));
    assert_eq!(graph.patience.sign_in, Duration::from_secs(7_200));
    assert_eq!(graph.limits.writes.to_string(), "2000/150s");
    assert_eq!(graph.limits.reads.to_string(), "50/s");
}

#[test]
fn a_byte_order_mark_is_no_mistake() {
    assert!(parse(&format!("\u{feff}{GOOD}")).is_ok());
}

#[test]
fn all_mistakes_are_told_at_once_and_in_order() {
    let text = r#"
[graph]
tennant = "contoso.onmicrosoft.com"
cloud = "mars"
client_id = 7
auth = "certificate"
endpoint = "http://graph.microsoft.com"
login = "ftp://login"
patience = "soon"
throttle_priority = "Low"
[graph.limits]
writes = "fast"
raeds = "3/s"
identity_protection = "1"
[exchange]
endpont = "https://outlook.office365.com"
endpoint = "http://outlook.office365.com"
[exchnage]
"#;
    assert_eq!(
        mistakes(text),
        [
            "line 2, column 1: `tenant` is missing in [graph] | add `tenant = \"contoso.onmicrosoft.com\"`",
            "line 2, column 1: `certificate` is missing in [graph] | add `certificate = { file = \"app.pem\" }`",
            "line 3, column 1: unknown key `tennant` in [graph] | did you mean `tenant`?",
            "line 4, column 9: `mars` is not a cloud | write one of: global, usgov, usgov-dod, china",
            "line 5, column 13: `client_id` must be a text in quotes, not integer | write a value as in `client_id = \"00000000-0000-0000-0000-000000000000\"`",
            "line 7, column 12: `endpoint` would send tokens in the clear: plain http is for loopback addresses only | use https",
            "line 8, column 9: `login` is not the root of a web service: it begins neither with https:// nor with http:// | write scheme and host, and a port where needed, as in `login = \"https://login.microsoftonline.com\"`",
            "line 9, column 12: `soon` is not a time from 1 s to 24 h | write a time such as `patience = \"5m\"`, `\"90s\"` or `\"12h\"`",
            "line 10, column 21: `Low` is not a priority | write one of: low, normal, high",
            "line 12, column 10: `fast` is not a rate | write requests per time, such as `3000/150s`, `12/s` or `600/m`",
            "line 13, column 1: unknown key `raeds` in [graph.limits] | did you mean `reads`?",
            "line 14, column 23: `1` is not a rate | write requests per time, such as `3000/150s`, `12/s` or `600/m`",
            "line 16, column 1: unknown key `endpont` in [exchange] | did you mean `endpoint`?",
            "line 17, column 12: `endpoint` would send tokens in the clear: plain http is for loopback addresses only | use https",
            "line 18, column 2: unknown key `exchnage` at the top of the file | did you mean `exchange`?",
        ]
    );
}

#[test]
fn the_secret_must_not_stand_in_the_file_and_is_never_shown() {
    let with_secret = |secret: &str| GOOD.replace("{ env = \"CONTOSO_SECRET\" }", secret);
    for (secret, message) in [
        ("\"hush\"", "holds the secret itself"),
        ("{ value = \"hush\" }", "unknown key `value`"),
        ("{ env = \"hush~1\" }", "names no environment variable"),
        ("{ env = \"CONTOSO_SECRET\", file = \"x\" }", "exactly one source"),
        ("{}", "exactly one source"),
        ("{ env = \"OTHER\" }", "the environment variable `OTHER` is not set"),
        ("{ file = \"no-such-file\" }", "`no-such-file` cannot be read"),
        ("\"hush", "not TOML"),
    ] {
        let found = mistakes(&with_secret(secret));
        assert!(found.iter().any(|found| found.contains(message)), "{secret}: {found:?}");
    }
    let misspelt = GOOD.replace("client_secret", "client_secrt").replace("CONTOSO_SECRET", "hush");
    assert!(mistakes(&misspelt)[1].contains("did you mean `client_secret`?"));
}

#[test]
fn a_secret_file_stands_beside_the_connection_file() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("secret"), "hush\r\n").unwrap();
    std::fs::write(directory.path().join("nothing"), "\n").unwrap();
    let path = directory.path().join("contoso.toml");
    let file = |name: &str| GOOD.replace("env = \"CONTOSO_SECRET\"", &format!("file = \"{name}\""));
    let parse = |text: &str| Connection::parse(&path, text, &|_| None);

    let Auth::ClientSecret { secret, .. } = parse(&file("secret")).unwrap().graph.auth else {
        panic!("no secret");
    };
    assert_eq!(secret.read().unwrap().expose(), "hush");
    let error = parse(&file("nothing")).unwrap_err().to_string();
    assert!(error.contains("is empty"), "{error}");
}

#[test]
fn other_mistakes() {
    for (lines, message) in [
        ("certificate = { file = \"app.pem\" }\n", "`certificate` does not belong to `auth = \"client-secret\"`"),
        (
            "auth = \"password\"\n",
            "`password` is not a way to sign in | write one of: client-secret, certificate, device-code, managed-identity, azure-cli",
        ),
        (
            "sign_in_patience = \"a while\"\n",
            "`a while` is not a time from 1 s to 24 h | write a time such as `sign_in_patience = \"5m\"`, `\"90s\"` or `\"12h\"`",
        ),
        ("auth = \"\"\n", "`` is not a way to sign in"),
        ("endpoint = \"https://graph.microsoft.com/v1.0\"\n", "it has a path"),
        ("endpoint = \"https://me:hush@graph.microsoft.com\"\n", "a user or a password"),
        ("endpoint = \"https://graph.microsoft.com?x=1\"\n", "a query"),
        ("limits = 7\n", "`limits` must be a table, not integer"),
        ("patience = \"0s\"\n", "`0s` is not a time"),
        ("banana = \"blue\"\n", "unknown key `banana` in [graph] | known here: tenant, cloud"),
    ] {
        let found = mistakes_with(lines);
        assert_eq!(found.len(), 1, "{lines}: {found:?}");
        assert!(found[0].contains(message), "{lines}: {found:?}");
    }
    assert!(mistakes("")[0].contains("no section [graph]"));
    assert!(mistakes("graph = 7")[0].contains("`graph` must be a table"));
    let tenant = GOOD.replace("Contoso.onmicrosoft.com", "contoso/../other");
    assert!(mistakes(&tenant)[0].contains("neither a tenant's domain nor its id"));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Connection::load(Path::new("no/such.toml")).unwrap_err();
    assert_eq!(error.to_string(), "connection file `no/such.toml` cannot be read");
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "(?s).{0,120}") {
        let _ = parse(&text);
        let _ = parse(&format!("[graph]\n{text}"));
    }
}

const AD: &str = r#"
[ad]
url = "ldaps://dc1.contoso.local"
base = "DC=contoso,DC=local"
bind = "CN=reader,CN=Users,DC=contoso,DC=local"
password = { env = "CONTOSO_SECRET" }
"#;

/// The mistakes of a good section [ad] with a part replaced.
fn mistakes_of_ad(from: &str, to: &str) -> Vec<String> {
    assert!(AD.contains(from), "{from}");
    mistakes(&format!("{GOOD}{}", AD.replace(from, to)))
}

#[test]
fn a_directory_has_defaults_and_limits() {
    let ad = parse(&format!("{GOOD}{AD}")).unwrap().ad.unwrap();
    assert_eq!(ad.url.as_str(), "ldaps://dc1.contoso.local");
    assert_eq!(ad.limits, crate::services::AdLimits::DEFAULT);
    assert!(!ad.start_tls && ad.ca.is_none());
    assert!(!format!("{ad:?}").contains("hush"));
    let limits = "[ad.limits]\nqueries = \"5/s\"\nat_once = 4\n";
    let ad = parse(&format!("{GOOD}{AD}{limits}")).unwrap().ad.unwrap();
    assert_eq!((ad.limits.queries, ad.limits.at_once), ("5/s".parse().unwrap(), 4));
}

#[test]
fn a_directory_is_reached_in_the_clear_on_loopback_only() {
    let url = "ldaps://dc1.contoso.local";
    for (instead, expected) in [
        ("ldap://dc1.contoso.local", "would send the password in the clear"),
        ("ldap://127.0.0.1.contoso.local", "would send the password in the clear"),
        ("https://dc1.contoso.local", "begins neither with ldaps://"),
        ("ldaps://reader:pw@dc1", "holds a user or a password"),
        ("ldaps://", "`url` is not the address of a directory"),
        ("ldaps://dc1/DC=contoso", "it has a path"),
    ] {
        let found = mistakes_of_ad(url, instead);
        assert!(found.len() == 1 && found[0].contains(expected), "{instead}: {found:?}");
        assert!(!found[0].contains("pw@"), "{found:?}");
    }
    let loopback = AD.replace(url, "ldap://127.3.89.1");
    assert!(parse(&format!("{GOOD}{loopback}")).is_ok());
    let start_tls = "ldap://dc1.contoso.local\"\nstart_tls = true\n# \"";
    let start_tls = AD.replace(url, start_tls);
    assert!(parse(&format!("{GOOD}{start_tls}")).unwrap().ad.unwrap().start_tls);
    let twice = mistakes_of_ad(url, "ldaps://dc1\"\nstart_tls = true\n# \"");
    assert!(twice[0].contains("`start_tls` belongs to `ldap://…`"), "{twice:?}");
}

#[test]
fn all_mistakes_of_a_directory_are_told_at_once() {
    let broken = "[ad]\nurl = \"ldap://dc1\"\nbse = \"DC=x\"\nbind = \"\"\npassword = \"hush\"\nca = \"/nowhere/ca.pem\"\n[ad.limits]\nqueries = \"fast\"\nat_once = 0\n";
    let found = mistakes(&format!("{GOOD}{broken}"));
    let expected = [
        "line 6, column 1: `base` is missing in [ad] | add `base = \"DC=contoso,DC=local\"`",
        "line 7, column 7: `url` would send the password in the clear",
        "line 8, column 1: unknown key `bse` in [ad] | did you mean `base`?",
        "line 9, column 8: `bind` is empty",
        "line 10, column 12: `password` holds the secret itself | put the secret into an environment variable or a file of its own and write `password = { env = \"CONTOSO_PASSWORD\" }`",
        "line 11, column 6: the certificates of `ca` cannot be used: ",
        "line 13, column 11: ",
        "line 14, column 11: `at_once` must be a whole number from 1",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\nis not\n{expected}");
    }
}

#[test]
fn an_empty_password_is_refused_before_a_directory_takes_it_for_anonymous() {
    let found = mistakes_of_ad("CONTOSO_SECRET", "UNSET");
    assert!(found[0].contains("is not set, or empty"), "{found:?}");
}

#[test]
fn the_authorities_of_a_directory_are_certificates() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "no certificate").unwrap();
    let with = format!("base = \"DC=x\"\nca = \"{}\"\n# ", file.display());
    let found = mistakes_of_ad("base = ", &with);
    assert!(found[0].contains("holds no certificate in PEM"), "{found:?}");
}
