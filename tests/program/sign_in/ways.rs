//! The real program at the beginning of a run: every way to sign in, and what is told before anything is sent.

use super::{KEY, OTHER_KEY, await_words, certificate, connection, login, must_be_true, prompt, stage, with};
use crate::support::oracle::Oracle;
use crate::support::{Stage, calm};
use cutover::sim::{AppSecret, Approval, CLIENT_ID, CLIENT_SECRET, SignIn};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn a_run_signs_in_with_a_certificate() {
    let pem = certificate(KEY, 4000);
    let stage = Stage::new(with(40, SignIn { certificates: vec![pem.clone()], ..SignIn::default() }));
    let oracle = Oracle::look(&stage);
    stage.write("app.pem", format!("{pem}{KEY}"));
    let lines = format!("{}certificate = {{ file = \"app.pem\" }}", login(&stage, "certificate"));
    stage.write("sim.toml", connection(&stage, &lines, "100000/1s"));
    let ran = stage.end(&mut stage.run_line());
    must_be_true(&stage, &oracle, &ran);
    assert!(stage.stat("writes") > 0);
}

#[test]
fn a_bad_certificate_ends_the_run_before_anything_is_sent() {
    let stage = Stage::new(calm(5));
    let lines = format!("{}certificate = {{ file = \"app.pem\" }}", login(&stage, "certificate"));
    stage.write("sim.toml", connection(&stage, &lines, "100000/1s"));
    let encrypted = include_str!("../../data/keys/app-encrypted.key");
    for (pem, words) in [
        (format!("{}{KEY}", certificate(KEY, 2001)), "has expired: it was valid until 2001-01-01T00:00:00Z"),
        (format!("{}{OTHER_KEY}", certificate(KEY, 4000)), "its private key is not that of its certificate"),
        (format!("{}{encrypted}", certificate(KEY, 4000)), "its private key is encrypted"),
    ] {
        stage.write("app.pem", pem);
        let ran = stage.end(&mut stage.run_line()).must_end(2);
        let complaint = ran.complaint();
        for part in ["sim.toml", "line 7", "app.pem", words] {
            assert!(complaint.contains(part), "{part}: {complaint}");
        }
    }
    assert_eq!(stage.stat("requests"), 0);
}

#[test]
fn a_run_asks_a_person_to_sign_in_and_then_works() {
    let stage = Stage::new(with(40, SignIn { approval: Approval::AfterPolls(2), ..prompt() }));
    let oracle = Oracle::look(&stage);
    stage.write("sim.toml", connection(&stage, &login(&stage, "device-code"), "100000/1s"));
    let ran = stage.end(&mut stage.run_line());
    must_be_true(&stage, &oracle, &ran);
    let page = format!("to sign in, open {}/devicelogin in a browser and enter the code ", stage.simulator().url());
    assert_eq!(ran.stderr.matches(&page).count(), 1, "{}", ran.stderr);
    assert_eq!(ran.stdout.matches(&page).count(), 0, "{}", ran.stdout);
}

#[test]
fn a_person_who_declines_ends_the_run_before_anything_is_sent() {
    let stage = Stage::new(with(5, SignIn { approval: Approval::DeclinedAfterPolls(1), ..prompt() }));
    stage.write("sim.toml", connection(&stage, &login(&stage, "device-code"), "100000/1s"));
    let ran = stage.end(&mut stage.run_line()).must_end(2);
    assert!(ran.complaint().contains("declined"), "{}", ran.stderr);
    assert_eq!((stage.stat("reads"), stage.stat("writes")), (0, 0));
}

#[cfg(unix)]
#[test]
fn a_run_that_waits_for_a_person_can_be_stopped() {
    let stage = Stage::new(with(5, SignIn { approval: Approval::OnPage, ..prompt() }));
    stage.write("sim.toml", connection(&stage, &login(&stage, "device-code"), "100000/1s"));
    let mut going = stage.start(&mut stage.run_line());
    await_words(&mut going, "enter the code");
    going.interrupt();
    let ran = going.wait().must_end(3);
    assert!(ran.complaint().contains("nothing was changed or begun"), "{}", ran.stderr);
    assert_eq!((stage.stat("reads"), stage.stat("writes")), (0, 0));
}

/// A folder with a program `az` that is this script, for PATH.
fn azure_cli(stage: &Stage, script: &str) -> PathBuf {
    let folder = stage.path("bin");
    fs::create_dir_all(&folder).unwrap();
    let program = folder.join("az");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    make_executable(&program);
    folder
}

#[cfg(unix)]
fn make_executable(program: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(not(unix))]
fn make_executable(_program: &Path) {}

#[cfg(unix)]
#[test]
fn a_run_gets_its_token_from_the_azure_cli() {
    let stage = stage(calm(40), "auth = \"azure-cli\"");
    let oracle = Oracle::look(&stage);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("scope", "https://graph.microsoft.com/.default"),
    ];
    let path = format!("/{}/oauth2/v2.0/token", cutover::sim::INITIAL_DOMAIN);
    let token: Value = serde_json::from_str(&stage.post(&path, &form)).unwrap();
    let output = format!(
        r#"{{"accessToken":{},"expiresOn":"2999-01-01 00:00:00.000000","expires_on":32472144000,"tokenType":"Bearer"}}"#,
        token["access_token"]
    );
    let script = format!("echo \"$@\" >> asked\ncat <<'EOF'\n{output}\nEOF");
    let mut line = stage.run_line();
    let ran = stage.end(line.env("PATH", path_with(&azure_cli(&stage, &script))));
    must_be_true(&stage, &oracle, &ran);
    let tenant = cutover::sim::INITIAL_DOMAIN;
    let asked = fs::read_to_string(stage.path("asked")).unwrap();
    assert_eq!(
        asked,
        format!("account get-access-token --output json --tenant {tenant} --resource https://graph.microsoft.com\n")
    );
}

fn path_with(folder: &Path) -> std::ffi::OsString {
    let rest = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths([folder.to_owned()].into_iter().chain(std::env::split_paths(&rest))).unwrap()
}

#[cfg(unix)]
#[test]
fn an_azure_cli_that_is_missing_or_not_signed_in_ends_the_run_before_anything_is_sent() {
    let stage = stage(calm(5), "auth = \"azure-cli\"");
    let nothing = stage.path("empty");
    fs::create_dir(&nothing).unwrap();
    let mut line = stage.run_line();
    let ran = stage.end(line.env("PATH", &nothing)).must_end(2);
    let complaint = ran.complaint();
    assert!(complaint.contains("`az` is not in PATH"), "{complaint}");
    assert!(complaint.contains("install the Azure CLI"), "{complaint}");
    let script = "echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1";
    let mut line = stage.run_line();
    let ran = stage.end(line.env("PATH", path_with(&azure_cli(&stage, script)))).must_end(2);
    let complaint = ran.complaint();
    assert!(complaint.contains("Please run 'az login'"), "{complaint}");
    assert!(complaint.contains("run `az login --tenant"), "{complaint}");
    assert_eq!(stage.stat("requests"), 0);
}

#[test]
fn a_wrong_secret_ends_the_run_before_anything_is_sent() {
    let stage = Stage::new(calm(5));
    let mut line = stage.run_line();
    let ran = stage.end(line.env(cutover::sim::SECRET_VARIABLE, "wrong-secret")).must_end(2);
    let complaint = ran.complaint();
    assert!(complaint.contains("AADSTS7000215"), "{complaint}");
    assert!(!complaint.contains("wrong-secret"), "{complaint}");
    assert_eq!((stage.stat("reads"), stage.stat("writes")), (0, 0));
}

#[test]
fn a_secret_that_has_expired_is_told_at_once_too() {
    let stage = Stage::new(with(
        5,
        SignIn { secrets: vec![AppSecret { value: CLIENT_SECRET.to_owned(), life_ms: Some(0) }], ..SignIn::default() },
    ));
    let ran = stage.end(&mut stage.run_line()).must_end(2);
    assert!(ran.complaint().contains("AADSTS7000222"), "{}", ran.stderr);
    assert!(ran.complaint().contains("add a new one"), "{}", ran.stderr);
}
