//! One client: what it gets for what its connection file says, and what it does when that changes.

use super::{KEY, OTHER_KEY, certificate, prompt};
use crate::support::calm;
use cutover::core::{Expects, Request};
use cutover::services::{Class, Cloud, Connection, Fault, HttpTransport, Transport as _};
use cutover::sim::{
    Approval, CLIENT_ID, CLIENT_SECRET, IDENTITY_CLIENT_ID, IDENTITY_HEADER, Options, SignIn, Simulator,
};
use std::fs;
use tempfile::TempDir;
use uuid::Uuid;

/// A simulated tenant and a client that reads this connection file.
struct Meeting {
    simulator: Simulator,
    folder: TempDir,
}

impl Meeting {
    async fn with(sign_in: SignIn) -> Meeting {
        let options = Options { sign_in, ..calm(10) };
        Meeting { simulator: Simulator::start(options).await.unwrap(), folder: TempDir::new().unwrap() }
    }

    /// A client whose connection file has these lines.
    fn client(&self, lines: &str) -> HttpTransport {
        self.client_in(Cloud::GLOBAL, lines, &[])
    }

    fn client_in(&self, cloud: Cloud, lines: &str, variables: &[(&str, &str)]) -> HttpTransport {
        let text = format!(
            "[graph]\ntenant = \"{}\"\ncloud = \"{}\"\nendpoint = \"{}\"\n{lines}\n",
            cutover::sim::INITIAL_DOMAIN,
            cloud.name,
            self.simulator.url()
        );
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let path = self.folder.path().join("connection.toml");
        HttpTransport::new(&Connection::parse(&path, &text, &variable).unwrap()).unwrap()
    }

    /// The lines of an app or a person that sign in here.
    fn login(&self, auth: &str) -> String {
        let url = self.simulator.url();
        format!("auth = \"{auth}\"\nclient_id = \"{CLIENT_ID}\"\nlogin = \"{url}\"\n")
    }

    /// The lines of a certificate in a file of its own.
    fn certificate(&self, pem: &str) -> String {
        fs::write(self.folder.path().join("app.pem"), pem).unwrap();
        format!("{}certificate = {{ file = \"app.pem\" }}", self.login("certificate"))
    }
}

async fn status(graph: &HttpTransport) -> Result<u16, Fault> {
    let request = Request::get("/organization", Expects::Page);
    graph.send(&request, Uuid::nil()).await.result.map(|success| success.status)
}

fn refused(fault: &Fault) -> &str {
    assert_eq!(fault.class, Class::SignIn, "{fault:?}");
    &fault.code
}

#[tokio::test]
async fn a_certificate_signs_in_and_the_tenant_verifies_what_it_signed() {
    let pem = certificate(KEY, 4000);
    let meeting =
        Meeting::with(SignIn { certificates: vec![certificate(OTHER_KEY, 4000), pem.clone()], ..SignIn::default() })
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
    let meeting = Meeting::with(SignIn { certificates: vec![pem.clone()], ..SignIn::default() }).await;
    let graph = meeting.client(&meeting.certificate(&format!("{pem}{KEY}")));
    assert_eq!(status(&graph).await, Ok(200));
    meeting.certificate(&format!("{}{KEY}", certificate(KEY, 2001)));
    meeting.simulator.end_tokens();
    assert_eq!(status(&graph).await.unwrap_err().class, Class::Unauthenticated);
    let fault = status(&graph).await.unwrap_err();
    assert_eq!(refused(&fault), "certificate-expired");
    assert!(fault.message.contains("app.pem"), "{}", fault.message);
}

#[tokio::test]
async fn every_cloud_asks_for_its_own_graph() {
    for cloud in Cloud::ALL {
        let meeting = Meeting::with(SignIn { resource: format!("https://{}", cloud.graph), ..prompt() }).await;
        let secret = format!("{}client_secret = {{ env = \"S\" }}", meeting.login("client-secret"));
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
    assert_eq!(graph.sign_in().await.unwrap_err(), asked, "one poll in vain");
    assert!(graph.sign_in().await.is_ok());
    for _ in 0..3 {
        assert_eq!(status(&graph).await, Ok(200));
        meeting.simulator.end_tokens();
        assert_eq!(status(&graph).await.unwrap_err().class, Class::Unauthenticated);
    }
    assert_eq!(status(&graph).await, Ok(200));
}

#[tokio::test]
async fn a_refresh_that_is_refused_asks_the_person_again() {
    let meeting = Meeting::with(SignIn { refreshes: Some(0), approval: Approval::AfterPolls(0), ..prompt() }).await;
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
    let meeting = Meeting::with(SignIn { approval: Approval::OnPage, ..prompt() }).await;
    let graph = meeting.client(&meeting.login("device-code"));
    let asked = graph.sign_in().await.unwrap_err();
    assert!(graph.sign_in().await.unwrap_err().awaits_person());
    let code = asked.message.rsplit(' ').next().unwrap();
    let url = format!("{}/devicelogin?code={code}", meeting.simulator.url());
    let page = reqwest::get(url).await.unwrap().text().await.unwrap();
    assert_eq!(page, "You are signed in.");
    assert!(graph.sign_in().await.is_ok());
}

#[tokio::test]
async fn a_code_that_is_declined_or_runs_out_is_a_refusal() {
    for (approval, code_life_s, code) in
        [(Approval::DeclinedAfterPolls(0), 900, "authorization_declined"), (Approval::OnPage, 0, "expired_token")]
    {
        let meeting = Meeting::with(SignIn { approval, code_life_s, ..prompt() }).await;
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
    assert_eq!(status(&meeting.client(&named(IDENTITY_CLIENT_ID))).await, Ok(200));
    let fault = status(&meeting.client(&named(CLIENT_ID))).await.unwrap_err();
    assert_eq!(refused(&fault), "managed-identity/invalid_request");
    assert!(fault.advice().contains("assigned to this machine"));

    let app = "auth = \"managed-identity\"";
    let endpoint = format!("{url}/msi/token");
    for (header, code) in [(IDENTITY_HEADER, None), ("wrong", Some("managed-identity/unauthorized"))] {
        let variables = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", header)];
        let graph = meeting.client_in(Cloud::GLOBAL, app, &variables);
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
    meeting.simulator.change_sign_in(|sign_in| sign_in.is_down = true);
    meeting.simulator.end_tokens();
    status(&graph).await.unwrap_err();
    assert_eq!(status(&graph).await.unwrap_err().class, Class::NotSent);
}
