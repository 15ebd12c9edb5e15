//! Signing in, in each of the ways a connection file can name, and a sign-in that breaks in the middle of a run: the real
//! client, and the real program, against the simulated tenant's token services.
#![allow(clippy::unwrap_used)]

mod support;

use cutover::sim::{
    AppSecret, Approval, CLIENT_ID, CLIENT_SECRET, IDENTITY_CLIENT_ID, IDENTITY_HEADER, Options,
    SignIn, Simulator,
};
use cutover::target::{Class, Cloud, Connection, Fault, Graph, Kind, Method, Request, Target as _};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::oracle::{Oracle, Slack};
use support::{Going, Ran, Stage, calm, slow};
use tempfile::TempDir;
use uuid::Uuid;

const KEY: &str = include_str!("data/keys/app.key");
const OTHER_KEY: &str = include_str!("data/keys/other.key");

/// Slow enough to be met at work.
const SLOW_WRITES: &str = "60/1s";
const POLL: Duration = Duration::from_millis(5);

/// A certificate of this key, good until that year.
fn certificate(key: &str, until: i32) -> String {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = rcgen::KeyPair::from_pem(key).unwrap();
    params.self_signed(&key).unwrap().pem()
}

/// A tenant where people sign in as fast as they are asked.
fn prompt() -> SignIn {
    SignIn {
        interval_s: 0,
        ..SignIn::default()
    }
}

/// A simulated tenant and a client that reads this connection file.
struct Meeting {
    simulator: Simulator,
    folder: TempDir,
}

impl Meeting {
    async fn with(sign_in: SignIn) -> Meeting {
        let options = Options {
            sign_in,
            ..calm(10)
        };
        Meeting {
            simulator: Simulator::start(options).await.unwrap(),
            folder: TempDir::new().unwrap(),
        }
    }

    /// A client whose connection file has these lines.
    fn client(&self, lines: &str) -> Graph {
        self.client_in(Cloud::Global, lines, &[])
    }

    fn client_in(&self, cloud: Cloud, lines: &str, variables: &[(&str, &str)]) -> Graph {
        let text = format!(
            "[graph]\ntenant = \"{}\"\ncloud = \"{}\"\nendpoint = \"{}\"\n{lines}\n",
            self.simulator.tenant(),
            cloud.name(),
            self.simulator.url()
        );
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let path = self.folder.path().join("connection.toml");
        Graph::new(&Connection::parse(&path, &text, &variable).unwrap()).unwrap()
    }

    /// The lines of an app or a person that sign in here.
    fn login(&self, auth: &str) -> String {
        let url = self.simulator.url();
        format!("auth = \"{auth}\"\nclient_id = \"{CLIENT_ID}\"\nlogin = \"{url}\"\n")
    }

    /// The lines of a certificate in a file of its own.
    fn certificate(&self, pem: &str) -> String {
        fs::write(self.folder.path().join("app.pem"), pem).unwrap();
        format!(
            "{}certificate = {{ file = \"app.pem\" }}",
            self.login("certificate")
        )
    }
}

async fn status(graph: &Graph) -> Result<u16, Fault> {
    let request = Request {
        kind: Kind::Read,
        method: Method::Get,
        path: "/organization".to_owned(),
        headers: Vec::new(),
        body: None,
        id: Uuid::nil(),
    };
    graph
        .send(&request)
        .await
        .result
        .map(|success| success.status)
}

fn refused(fault: &Fault) -> &str {
    assert_eq!(fault.class, Class::SignIn, "{fault:?}");
    &fault.code
}

#[tokio::test]
async fn a_certificate_signs_in_and_the_tenant_verifies_what_it_signed() {
    let pem = certificate(KEY, 4000);
    let meeting = Meeting::with(SignIn {
        certificates: vec![certificate(OTHER_KEY, 4000), pem.clone()],
        ..SignIn::default()
    })
    .await;
    let graph = meeting.client(&meeting.certificate(&format!("{pem}{KEY}")));
    assert_eq!(status(&graph).await, Ok(200));

    let stranger = certificate(KEY, 3999);
    let graph = meeting.client(&meeting.certificate(&format!("{stranger}{KEY}")));
    let fault = graph.sign_in().await.unwrap_err();
    assert_eq!(refused(&fault), "AADSTS700027");
    assert!(fault.advice().contains("upload it"), "{}", fault.advice());
}

#[tokio::test]
async fn a_certificate_is_read_again_for_every_token() {
    let pem = certificate(KEY, 4000);
    let meeting = Meeting::with(SignIn {
        certificates: vec![pem.clone()],
        ..SignIn::default()
    })
    .await;
    let graph = meeting.client(&meeting.certificate(&format!("{pem}{KEY}")));
    assert_eq!(status(&graph).await, Ok(200));
    meeting.certificate(&format!("{}{KEY}", certificate(KEY, 2001)));
    meeting.simulator.end_tokens();
    assert_eq!(
        status(&graph).await.unwrap_err().class,
        Class::Unauthenticated
    );
    let fault = status(&graph).await.unwrap_err();
    assert_eq!(refused(&fault), "certificate-expired");
    assert!(fault.message.contains("app.pem"), "{}", fault.message);
}

#[tokio::test]
async fn every_cloud_asks_for_its_own_graph() {
    for cloud in Cloud::ALL {
        let meeting = Meeting::with(SignIn {
            resource: cloud.graph_root().to_owned(),
            ..prompt()
        })
        .await;
        let secret = format!(
            "{}client_secret = {{ env = \"S\" }}",
            meeting.login("client-secret")
        );
        let url = meeting.simulator.url();
        let machine = format!("auth = \"managed-identity\"\nlogin = \"{url}\"");
        for asked in Cloud::ALL {
            for lines in [&secret, &machine] {
                let graph = meeting.client_in(asked, lines, &[("S", CLIENT_SECRET)]);
                let signed_in = graph.sign_in().await;
                assert_eq!(signed_in.is_ok(), asked == cloud, "{asked:?} in {cloud:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_person_is_asked_once_and_their_refresh_token_does_the_rest() {
    let meeting = Meeting::with(prompt()).await;
    let graph = meeting.client(&meeting.login("device-code"));
    let asked = graph.sign_in().await.unwrap_err();
    assert!(asked.awaits_person());
    let page = format!("open {}/devicelogin in a browser", meeting.simulator.url());
    assert!(asked.message.contains(&page), "{}", asked.message);
    assert_eq!(
        graph.sign_in().await.unwrap_err(),
        asked,
        "one poll in vain"
    );
    assert_eq!(graph.sign_in().await, Ok(()));
    for _ in 0..3 {
        assert_eq!(status(&graph).await, Ok(200));
        meeting.simulator.end_tokens();
        assert_eq!(
            status(&graph).await.unwrap_err().class,
            Class::Unauthenticated
        );
    }
    assert_eq!(status(&graph).await, Ok(200));
}

#[tokio::test]
async fn a_refresh_that_is_refused_asks_the_person_again() {
    let meeting = Meeting::with(SignIn {
        refreshes: Some(0),
        approval: Approval::AfterPolls(0),
        ..prompt()
    })
    .await;
    let graph = meeting.client(&meeting.login("device-code"));
    graph.sign_in().await.unwrap_err();
    assert_eq!(status(&graph).await, Ok(200));
    meeting.simulator.end_tokens();
    status(&graph).await.unwrap_err();
    let fault = status(&graph).await.unwrap_err();
    assert!(fault.awaits_person());
    for part in ["AADSTS70043", "sign in again, open ", "enter the code "] {
        assert!(fault.message.contains(part), "{}", fault.message);
    }
    assert_eq!(status(&graph).await, Ok(200));
}

#[tokio::test]
async fn a_person_enters_the_code_on_the_page() {
    let meeting = Meeting::with(SignIn {
        approval: Approval::OnPage,
        ..prompt()
    })
    .await;
    let graph = meeting.client(&meeting.login("device-code"));
    let asked = graph.sign_in().await.unwrap_err();
    assert!(graph.sign_in().await.unwrap_err().awaits_person());
    let code = asked.message.rsplit(' ').next().unwrap();
    let url = format!("{}/devicelogin?code={code}", meeting.simulator.url());
    let page = reqwest::get(url).await.unwrap().text().await.unwrap();
    assert_eq!(page, "You are signed in.");
    assert_eq!(graph.sign_in().await, Ok(()));
}

#[tokio::test]
async fn a_code_that_is_declined_or_runs_out_is_a_refusal() {
    for (approval, code_life_s, code) in [
        (
            Approval::DeclinedAfterPolls(0),
            900,
            "authorization_declined",
        ),
        (Approval::OnPage, 0, "expired_token"),
    ] {
        let meeting = Meeting::with(SignIn {
            approval,
            code_life_s,
            ..prompt()
        })
        .await;
        let graph = meeting.client(&meeting.login("device-code"));
        assert!(graph.sign_in().await.unwrap_err().awaits_person());
        let fault = graph.sign_in().await.unwrap_err();
        assert_eq!(refused(&fault), code);
    }
}

#[tokio::test]
async fn a_machine_signs_in_by_itself() {
    let meeting = Meeting::with(SignIn::default()).await;
    let url = meeting.simulator.url();
    let machine = format!("auth = \"managed-identity\"\nlogin = \"{url}\"");
    assert_eq!(status(&meeting.client(&machine)).await, Ok(200));
    let named = |id: &str| format!("{machine}\nclient_id = \"{id}\"");
    assert_eq!(
        status(&meeting.client(&named(IDENTITY_CLIENT_ID))).await,
        Ok(200)
    );
    let fault = status(&meeting.client(&named(CLIENT_ID)))
        .await
        .unwrap_err();
    assert_eq!(refused(&fault), "managed-identity/invalid_request");
    assert!(fault.advice().contains("assigned to this machine"));

    let app = "auth = \"managed-identity\"";
    let endpoint = format!("{url}/msi/token");
    for (header, code) in [
        (IDENTITY_HEADER, None),
        ("wrong", Some("managed-identity/unauthorized")),
    ] {
        let variables = [
            ("IDENTITY_ENDPOINT", endpoint.as_str()),
            ("IDENTITY_HEADER", header),
        ];
        let graph = meeting.client_in(Cloud::Global, app, &variables);
        let answer = status(&graph).await;
        assert_eq!(answer.as_ref().err().map(refused), code, "{answer:?}");
    }
}

#[tokio::test]
async fn a_machine_without_an_identity_is_a_refusal_and_one_that_lost_it_waits() {
    let meeting = Meeting::with(SignIn::default()).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let nothing = format!("auth = \"managed-identity\"\nlogin = \"http://{closed}\"");
    let fault = meeting.client(&nothing).sign_in().await.unwrap_err();
    assert_eq!(refused(&fault), "no-managed-identity");

    let url = meeting.simulator.url();
    let graph = meeting.client(&format!("auth = \"managed-identity\"\nlogin = \"{url}\""));
    assert_eq!(status(&graph).await, Ok(200));
    meeting
        .simulator
        .change_sign_in(|sign_in| sign_in.is_down = true);
    meeting.simulator.end_tokens();
    status(&graph).await.unwrap_err();
    assert_eq!(status(&graph).await.unwrap_err().class, Class::NotSent);
}

// From here on the real program.

/// A stage whose connection file signs in like this.
fn stage(options: Options, lines: &str) -> Stage {
    let stage = Stage::new(options);
    let text = connection(&stage, lines, "100000/1s");
    stage.write("sim.toml", text);
    stage
}

fn connection(stage: &Stage, lines: &str, writes: &str) -> String {
    let simulator = stage.simulator();
    format!(
        "[graph]\ntenant = \"{}\"\nendpoint = \"{}\"\n{lines}\n[graph.limits]\nwrites = \"{writes}\"\n",
        simulator.tenant(),
        simulator.url()
    )
}

fn login(stage: &Stage, auth: &str) -> String {
    let url = stage.simulator().url();
    format!("auth = \"{auth}\"\nclient_id = \"{CLIENT_ID}\"\nlogin = \"{url}\"\n")
}

fn with(users: u64, sign_in: SignIn) -> Options {
    Options {
        sign_in,
        ..calm(users)
    }
}

#[track_caller]
fn must_be_true(stage: &Stage, oracle: &Oracle, ran: &Ran) {
    let complaints = oracle.complaints(stage, ran, Slack(0));
    assert!(complaints.is_empty(), "{}\n{ran:?}", complaints.join("\n"));
}

#[test]
fn a_run_signs_in_with_a_certificate() {
    let pem = certificate(KEY, 4000);
    let stage = Stage::new(with(
        40,
        SignIn {
            certificates: vec![pem.clone()],
            ..SignIn::default()
        },
    ));
    let oracle = Oracle::look(&stage);
    stage.write("app.pem", format!("{pem}{KEY}"));
    let lines = format!(
        "{}certificate = {{ file = \"app.pem\" }}",
        login(&stage, "certificate")
    );
    stage.write("sim.toml", connection(&stage, &lines, "100000/1s"));
    let ran = stage.end(&mut stage.run_line());
    must_be_true(&stage, &oracle, &ran);
    assert!(stage.stat("writes") > 0);
}

#[test]
fn a_bad_certificate_ends_the_run_before_anything_is_sent() {
    let stage = Stage::new(calm(5));
    let lines = format!(
        "{}certificate = {{ file = \"app.pem\" }}",
        login(&stage, "certificate")
    );
    stage.write("sim.toml", connection(&stage, &lines, "100000/1s"));
    let encrypted = include_str!("data/keys/app-encrypted.key");
    for (pem, words) in [
        (
            format!("{}{KEY}", certificate(KEY, 2001)),
            "has expired: it was valid until 2001-01-01T00:00:00Z",
        ),
        (
            format!("{}{OTHER_KEY}", certificate(KEY, 4000)),
            "its private key is not that of its certificate",
        ),
        (
            format!("{}{encrypted}", certificate(KEY, 4000)),
            "its private key is encrypted",
        ),
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
    let stage = Stage::new(with(
        40,
        SignIn {
            approval: Approval::AfterPolls(2),
            ..prompt()
        },
    ));
    let oracle = Oracle::look(&stage);
    stage.write(
        "sim.toml",
        connection(&stage, &login(&stage, "device-code"), "100000/1s"),
    );
    let ran = stage.end(&mut stage.run_line());
    must_be_true(&stage, &oracle, &ran);
    let page = format!(
        "to sign in, open {}/devicelogin in a browser and enter the code ",
        stage.simulator().url()
    );
    assert_eq!(ran.stderr.matches(&page).count(), 1, "{}", ran.stderr);
    assert_eq!(ran.stdout.matches(&page).count(), 0, "{}", ran.stdout);
}

#[test]
fn a_person_who_declines_ends_the_run_before_anything_is_sent() {
    let stage = Stage::new(with(
        5,
        SignIn {
            approval: Approval::DeclinedAfterPolls(1),
            ..prompt()
        },
    ));
    stage.write(
        "sim.toml",
        connection(&stage, &login(&stage, "device-code"), "100000/1s"),
    );
    let ran = stage.end(&mut stage.run_line()).must_end(2);
    assert!(ran.complaint().contains("declined"), "{}", ran.stderr);
    assert_eq!((stage.stat("reads"), stage.stat("writes")), (0, 0));
}

#[cfg(unix)]
#[test]
fn a_run_that_waits_for_a_person_can_be_stopped() {
    let stage = Stage::new(with(
        5,
        SignIn {
            approval: Approval::OnPage,
            ..prompt()
        },
    ));
    stage.write(
        "sim.toml",
        connection(&stage, &login(&stage, "device-code"), "100000/1s"),
    );
    let mut going = stage.start(&mut stage.run_line());
    await_words(&mut going, "enter the code");
    going.interrupt();
    let ran = going.wait().must_end(3);
    assert!(
        ran.complaint().contains("before anybody was signed in"),
        "{}",
        ran.stderr
    );
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
    let path = format!("/{}/oauth2/v2.0/token", stage.simulator().tenant());
    let token: Value = serde_json::from_str(&stage.post(&path, &form)).unwrap();
    let output = format!(
        r#"{{"accessToken":{},"expiresOn":"2999-01-01 00:00:00.000000","expires_on":32472144000,"tokenType":"Bearer"}}"#,
        token["access_token"]
    );
    let script = format!("echo \"$@\" >> asked\ncat <<'EOF'\n{output}\nEOF");
    let mut line = stage.run_line();
    let ran = stage.end(line.env("PATH", path_with(&azure_cli(&stage, &script))));
    must_be_true(&stage, &oracle, &ran);
    let tenant = stage.simulator().tenant();
    let asked = fs::read_to_string(stage.path("asked")).unwrap();
    assert_eq!(
        asked,
        format!(
            "account get-access-token --output json --tenant {tenant} --resource https://graph.microsoft.com\n"
        )
    );
}

fn path_with(folder: &Path) -> std::ffi::OsString {
    let rest = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(
        [folder.to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&rest)),
    )
    .unwrap()
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
    let ran = stage
        .end(line.env("PATH", path_with(&azure_cli(&stage, script))))
        .must_end(2);
    let complaint = ran.complaint();
    assert!(complaint.contains("Please run 'az login'"), "{complaint}");
    assert!(complaint.contains("run `az login --tenant"), "{complaint}");
    assert_eq!(stage.stat("requests"), 0);
}

#[test]
fn a_wrong_secret_ends_the_run_before_anything_is_sent() {
    let stage = Stage::new(calm(5));
    let mut line = stage.run_line();
    let ran = stage
        .end(line.env(cutover::sim::SECRET_VARIABLE, "wrong-secret"))
        .must_end(2);
    let complaint = ran.complaint();
    assert!(complaint.contains("AADSTS7000215"), "{complaint}");
    assert!(!complaint.contains("wrong-secret"), "{complaint}");
    assert_eq!((stage.stat("reads"), stage.stat("writes")), (0, 0));
}

#[test]
fn a_secret_that_has_expired_is_told_at_once_too() {
    let stage = Stage::new(with(
        5,
        SignIn {
            secrets: vec![AppSecret {
                value: CLIENT_SECRET.to_owned(),
                life_ms: Some(0),
            }],
            ..SignIn::default()
        },
    ));
    let ran = stage.end(&mut stage.run_line()).must_end(2);
    assert!(ran.complaint().contains("AADSTS7000222"), "{}", ran.stderr);
    assert!(ran.complaint().contains("add a new one"), "{}", ran.stderr);
}

/// A run at work, whose secret stands in a file.
fn at_work(more: &str) -> (Stage, Oracle, Going) {
    let stage = Stage::new(slow(120, 10));
    let oracle = Oracle::look(&stage);
    stage.write("secret", CLIENT_SECRET);
    let secret = format!("client_secret = {{ file = \"secret\" }}\n{more}");
    let lines = format!("{}{secret}", login(&stage, "client-secret"));
    stage.write("sim.toml", connection(&stage, &lines, SLOW_WRITES));
    let mut going = stage.start(&mut stage.quick_run(&[]));
    stage.await_writes(12, &mut going);
    (stage, oracle, going)
}

fn await_words(going: &mut Going, words: &str) {
    while !going.said().1.contains(words) {
        assert!(!going.has_ended(), "it ended too soon: {:?}", going.said());
        std::thread::sleep(POLL);
    }
}

/// Two in the morning: the app's secret ends, and with it the tokens.
fn expire(stage: &Stage) {
    stage.simulator().change_sign_in(|sign_in| {
        sign_in.secrets = vec![
            AppSecret {
                value: CLIENT_SECRET.to_owned(),
                life_ms: Some(0),
            },
            AppSecret {
                value: "the-new-one".to_owned(),
                life_ms: None,
            },
        ];
    });
    stage.simulator().end_tokens();
}

const HELD: &str = "the run waits, the sign-in is refused: AADSTS7000222";

/// A permit that was given before the refusal may still have let a write out; then there are no more.
fn await_silence(stage: &Stage) -> u64 {
    loop {
        let writes = stage.stat("writes");
        std::thread::sleep(Duration::from_millis(200));
        if stage.stat("writes") == writes {
            return writes;
        }
    }
}

#[test]
fn a_secret_that_expires_in_the_night_holds_the_run_until_it_is_renewed() {
    let (stage, oracle, mut going) = at_work("");
    expire(&stage);
    await_words(&mut going, HELD);
    let writes = await_silence(&stage);
    let tokens = stage.stat("tokens");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(
        stage.stat("writes"),
        writes,
        "nothing is sent while it is held"
    );
    assert_eq!(stage.stat("tokens"), tokens);
    stage.write("secret", "the-new-one\n");
    let ran = going.wait();
    must_be_true(&stage, &oracle, &ran);
    assert_eq!(
        ran.stderr.matches(HELD).count(),
        1,
        "told once: {}",
        ran.stderr
    );
    let told = stage.outcomes();
    let blamed = told
        .iter()
        .filter(|line| line["error_code"].contains("AADSTS"));
    assert_eq!(blamed.count(), 0, "no row fails for it");
}

#[test]
fn a_refusal_that_nobody_mends_stops_the_run_which_then_goes_on() {
    let (stage, oracle, mut going) = at_work("sign_in_patience = \"1s\"");
    expire(&stage);
    await_words(&mut going, HELD);
    let ran = going.wait().must_end(4);
    let said = format!("{}{}", ran.stdout, ran.complaint());
    for part in [
        "the sign-in has been refused for",
        "AADSTS7000222",
        "add a new one",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    stage.write("secret", "the-new-one");
    let ran = stage.end(&mut stage.quick_run(&[]));
    must_be_true(&stage, &oracle, &ran);
}

#[cfg(unix)]
#[test]
fn a_run_that_is_held_stops_when_it_is_told_to() {
    let (stage, oracle, mut going) = at_work("");
    expire(&stage);
    await_words(&mut going, HELD);
    await_silence(&stage);
    // Drains; where somebody is exposed it waits for their sake, and the second signal ends that.
    while !going.has_ended() {
        going.interrupt();
        std::thread::sleep(Duration::from_millis(50));
    }
    going.wait().must_end(3);
    stage.write("secret", "the-new-one");
    let ran = stage.end(&mut stage.quick_run(&[]));
    must_be_true(&stage, &oracle, &ran);
}

#[test]
fn a_sign_in_service_that_is_down_holds_the_run_and_names_itself() {
    let (stage, oracle, mut going) = at_work("");
    stage
        .simulator()
        .change_sign_in(|sign_in| sign_in.is_down = true);
    stage.simulator().end_tokens();
    let writes = await_silence(&stage);
    assert!(!going.has_ended());
    assert_eq!(stage.stat("writes"), writes);
    stage
        .simulator()
        .change_sign_in(|sign_in| sign_in.is_down = false);
    let ran = going.wait();
    must_be_true(&stage, &oracle, &ran);
}

#[test]
fn a_sign_in_service_that_stays_down_stops_the_run_within_its_patience() {
    let (stage, oracle, going) = at_work("patience = \"2s\"");
    stage
        .simulator()
        .change_sign_in(|sign_in| sign_in.is_down = true);
    stage.simulator().end_tokens();
    let ran = going.wait().must_end(4);
    let said = format!("{}{}", ran.stdout, ran.complaint());
    assert!(
        said.contains("no good answer for 2 s: temporarily_unavailable"),
        "{said}"
    );
    stage
        .simulator()
        .change_sign_in(|sign_in| sign_in.is_down = false);
    let ran = stage.end(&mut stage.quick_run(&[]));
    must_be_true(&stage, &oracle, &ran);
}

#[test]
fn a_token_refused_in_the_night_is_renewed_once_for_all_rows() {
    let (stage, oracle, going) = at_work("");
    stage.simulator().end_tokens();
    let ran = going.wait();
    must_be_true(&stage, &oracle, &ran);
    assert_eq!(stage.stat("tokens"), 2, "{ran:?}");
}

#[test]
fn a_person_is_asked_again_in_the_middle_of_a_run() {
    let mut options = slow(120, 10);
    options.sign_in = SignIn {
        approval: Approval::AfterPolls(0),
        refreshes: Some(0),
        ..prompt()
    };
    let stage = Stage::new(options);
    let oracle = Oracle::look(&stage);
    stage.write(
        "sim.toml",
        connection(&stage, &login(&stage, "device-code"), SLOW_WRITES),
    );
    let mut going = stage.start(&mut stage.quick_run(&[]));
    stage.await_writes(12, &mut going);
    stage.simulator().end_tokens();
    await_words(&mut going, "to sign in again, open ");
    let ran = going.wait();
    must_be_true(&stage, &oracle, &ran);
    assert!(ran.stderr.contains("AADSTS70043"), "{}", ran.stderr);
}
