//! Signing in, in each of the ways a connection file can name, and a sign-in that breaks in the middle of a run, against
//! the simulated tenant's token services: `client` with the real client, `ways` and `night` with the real program.

mod client;
mod night;
mod ways;

use crate::support::oracle::{Oracle, Slack};
use crate::support::{Going, Ran, Stage, calm};
use cutover::sim::{CLIENT_ID, Options, SignIn};
use std::time::Duration;

const KEY: &str = include_str!("../../data/keys/app.key");
const OTHER_KEY: &str = include_str!("../../data/keys/other.key");

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
    SignIn { interval_s: 0, ..SignIn::default() }
}

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
        cutover::sim::INITIAL_DOMAIN,
        simulator.url()
    )
}

fn login(stage: &Stage, auth: &str) -> String {
    let url = stage.simulator().url();
    format!("auth = \"{auth}\"\nclient_id = \"{CLIENT_ID}\"\nlogin = \"{url}\"\n")
}

fn with(users: u64, sign_in: SignIn) -> Options {
    Options { sign_in, ..calm(users) }
}

#[track_caller]
fn must_be_true(stage: &Stage, oracle: &Oracle, ran: &Ran) {
    let complaints = oracle.complaints(stage, ran, Slack(0));
    assert!(complaints.is_empty(), "{}\n{ran:?}", complaints.join("\n"));
}

fn await_words(going: &mut Going, words: &str) {
    while !going.said().1.contains(words) {
        assert!(!going.has_ended(), "it ended too soon: {:?}", going.said());
        std::thread::sleep(POLL);
    }
}
