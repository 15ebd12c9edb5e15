//! Every way to sign in, as a connection file names it.

use std::sync::LazyLock;

use miette::Diagnostic;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::services::{Cloud, Connection, ConnectionError, GraphConnection};

const KEY: &str = include_str!("../../../tests/data/keys/app.key");

/// A folder with what the files of these tests name.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("secret.txt", "hush".to_owned());
    write("app.pem", pem_until(4_000));
    write("old.pem", pem_until(2_001));
    folder
});

fn pem_until(year: i32) -> String {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.not_before = rcgen::date_time_ymd(2_000, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = rcgen::KeyPair::from_pem(KEY).unwrap();
    format!("{KEY}{}", params.self_signed(&key).unwrap().pem())
}

fn parse_with(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<GraphConnection, ConnectionError> {
    let path = FOLDER.path().join("contoso.toml");
    Connection::parse(&path, text, variable).map(|connection| connection.graph)
}

fn parse(text: &str) -> Result<GraphConnection, ConnectionError> {
    parse_with(text, &|name| (name == "SECRET").then(|| "hush".to_owned()))
}

/// Each mistake as `line message | advice`.
fn mistakes(text: &str) -> Vec<(usize, String)> {
    match parse(text) {
        Err(ConnectionError::Mistakes { mistakes, .. }) => {
            mistakes.iter().map(|mistake| (mistake.line, format!("{mistake} | {}", mistake.help().unwrap()))).collect()
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => Vec::new(),
    }
}

/// A key that belongs to some ways, as a line of a file.
fn line(key: &str) -> &'static str {
    match key {
        "client_id" => "client_id = \"11111111-2222-3333-4444-555555555555\"",
        "client_secret" => "client_secret = { env = \"SECRET\" }",
        "certificate" => "certificate = { file = \"app.pem\" }",
        "login" => "login = \"https://login.contoso.test\"",
        other => panic!("{other}"),
    }
}

fn file_of(way: AuthWay, tenant: &str, cloud: Cloud, order: &[&'static str]) -> String {
    let own = order.iter().filter(|key| way.keys.contains(key));
    let lines: Vec<&str> = own.map(|key| line(key)).collect();
    format!(
        "[graph]\ntenant = \"{tenant}\"\ncloud = \"{}\"\nauth = \"{}\"\n{}\n",
        cloud.name,
        way.name,
        lines.join("\n")
    )
}

fn way_of(auth: &Auth) -> &'static str {
    match auth {
        Auth::ClientSecret { .. } => "client-secret",
        Auth::Certificate { .. } => "certificate",
        Auth::DeviceCode { .. } => "device-code",
        Auth::ManagedIdentity { .. } => "managed-identity",
        Auth::AzureCli => "azure-cli",
    }
}

fn client_id_of(auth: &Auth) -> Option<&str> {
    match auth {
        Auth::ClientSecret { client_id, .. } | Auth::Certificate { client_id, .. } | Auth::DeviceCode { client_id } => {
            Some(client_id)
        }
        Auth::ManagedIdentity { client_id, .. } => client_id.as_deref(),
        Auth::AzureCli => None,
    }
}

/// The keys that only some ways take.
fn own_keys() -> [&'static str; 4] {
    OWN_KEYS.map(|(key, _)| key)
}

fn a_way() -> impl Strategy<Value = AuthWay> {
    proptest::sample::select(WAYS.to_vec())
}

proptest! {
    #[test]
    fn what_a_file_says_is_what_is_read(
        way in a_way(),
        tenant in "[a-z0-9][a-z0-9-]{0,20}(\\.[a-z]{2,8}){0,2}",
        cloud in proptest::sample::select(Cloud::ALL.to_vec()),
        order in Just(own_keys().to_vec()).prop_shuffle(),
    ) {
        let text = file_of(way, &tenant, cloud, &order);
        let graph = parse(&text).map_err(|error| TestCaseError::fail(format!("{text}{error:?}")))?;
        prop_assert_eq!(graph.tenant, tenant);
        prop_assert_eq!(graph.cloud, cloud);
        prop_assert_eq!(way_of(&graph.auth), way.name);
        let is_app = way.keys.contains(&"client_id");
        let client_id = is_app.then_some("11111111-2222-3333-4444-555555555555");
        prop_assert_eq!(client_id_of(&graph.auth), client_id);
        prop_assert_eq!(graph.endpoint.as_str(), format!("https://{}/", cloud.graph));
        let login = match way.name {
            "azure-cli" => cloud.login,
            _ => "login.contoso.test",
        };
        prop_assert_eq!(graph.login.as_str(), format!("https://{login}/"));
    }

    #[test]
    fn a_key_of_another_way_is_told_with_its_line_and_what_to_write(
        way in a_way(),
        foreign in proptest::sample::select(own_keys().to_vec()),
        order in Just(own_keys().to_vec()).prop_shuffle(),
    ) {
        prop_assume!(!way.keys.contains(&foreign));
        let text = file_of(way, "contoso.test", Cloud::GLOBAL, &order);
        let at = text.lines().count() + 1;
        let found = mistakes(&format!("{text}{}\n", line(foreign)));
        prop_assert_eq!(found.len(), 1, "{:?}", found);
        let (line, message) = &found[0];
        prop_assert_eq!(*line, at);
        let told = format!("`{foreign}` does not belong to `auth = \"{}\"` | take it out; ", way.name);
        prop_assert!(message.contains(&told), "{}", message);
    }

    #[test]
    fn a_key_that_is_missing_is_told(way in a_way(), gone in proptest::sample::select(own_keys().to_vec())) {
        let is_needed = way.keys.contains(&gone)
            && gone != "login"
            && (way.name, gone) != ("managed-identity", "client_id");
        let order: Vec<_> = own_keys().into_iter().filter(|key| *key != gone).collect();
        let found = mistakes(&file_of(way, "contoso.test", Cloud::GLOBAL, &order));
        prop_assert_eq!(found.len(), usize::from(is_needed), "{:?}", found);
        if let Some((_, message)) = found.first() {
            let told = format!("`{gone}` is missing in [graph] | add `{gone} = ");
            prop_assert!(message.contains(&told), "{}", message);
        }
    }
}

const CERTIFICATE: &str = "[graph]\ntenant = \"contoso.test\"\nclient_id = \"app\"\nauth = \"certificate\"\n";

#[test]
fn a_bad_certificate_is_told_with_line_file_and_cure() {
    for (value, message, advice) in [
        ("{ file = \"old.pem\" }", "has expired: it was valid until 2001-01-01T00:00:00Z", "make a new certificate"),
        ("{ file = \"secret.txt\" }", "no private key", "-----BEGIN PRIVATE KEY-----"),
        ("{ file = \"none.pem\" }", "cannot be read", "check the path"),
        ("\"app.pem\"", "does not name a file", "write `certificate = { file = \"app.pem\" }`"),
        ("{}", "does not name a file", "write `certificate = { file = \"app.pem\" }`"),
    ] {
        let found = mistakes(&format!("{CERTIFICATE}certificate = {value}\n"));
        assert_eq!(found.len(), 1, "{value}: {found:?}");
        let (line, text) = &found[0];
        assert_eq!(*line, 5, "{value}");
        assert!(text.contains(message) && text.contains(advice), "{value}: {text}");
    }
}

#[test]
fn an_identity_comes_from_the_machine_or_from_the_app_it_runs_in() {
    let text = "[graph]\ntenant = \"contoso.test\"\nauth = \"managed-identity\"\n";
    let service = |variables: &[(&str, &str)], text: &str| {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        parse_with(text, &variable).map(|graph| match graph.auth {
            Auth::ManagedIdentity { service, .. } => service,
            other => panic!("{other:?}"),
        })
    };
    let named = [(APP_ENDPOINT, "http://127.0.0.1:41/msi/token"), (APP_HEADER, "hush")];
    match service(&named, text) {
        Ok(IdentityService::App { endpoint, header }) => {
            assert_eq!(endpoint.as_str(), "http://127.0.0.1:41/msi/token");
            assert_eq!(header.expose(), "hush");
        }
        other => panic!("{other:?}"),
    }
    for variables in [&named[..0], &named[..1], &named[1..]] {
        match service(variables, text) {
            Ok(IdentityService::Metadata(root)) => {
                assert_eq!(root.as_str(), "http://169.254.169.254/")
            }
            other => panic!("{other:?}"),
        }
    }
    let here = format!("{text}login = \"http://127.0.0.1:8080\"\n");
    match service(&named, &here) {
        Ok(IdentityService::Metadata(root)) => assert_eq!(root.as_str(), "http://127.0.0.1:8080/"),
        other => panic!("{other:?}"),
    }
    let arc = [named[0], (ARC_ENDPOINT, "http://localhost:40342")];
    let error = service(&arc, text).unwrap_err().to_string();
    assert!(error.contains("Azure Arc"), "{error}");
    let error = service(&[(APP_ENDPOINT, "nowhere"), named[1]], text).unwrap_err().to_string();
    assert!(error.contains("`IDENTITY_ENDPOINT` is no address"), "{error}");
}

#[test]
fn a_secret_from_a_variable_stays_and_one_from_a_file_is_read_again() {
    let app = "[graph]\ntenant = \"contoso.test\"\nclient_id = \"app\"\n";
    let source = |value: &str| {
        let graph = parse(&format!("{app}client_secret = {value}\n")).unwrap();
        match graph.auth {
            Auth::ClientSecret { secret, .. } => secret,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(source("{ env = \"SECRET\" }"), SecretSource::Given(_)));
    assert!(matches!(source("{ file = \"secret.txt\" }"), SecretSource::File(_)));
}
