//! The real program in the middle of a run: a sign-in that breaks holds it, and it goes on by itself.

use super::{await_words, connection, login, must_be_true, prompt};
use crate::support::oracle::Oracle;
use crate::support::{Going, Stage, slow};
use cutover::sim::{AppSecret, Approval, CLIENT_SECRET, SignIn};
use std::time::Duration;

/// Slow enough to be met at work.
const SLOW_WRITES: &str = "60/1s";

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

/// Two in the morning: the app's secret ends, and with it the tokens.
fn expire(stage: &Stage) {
    stage.simulator().change_sign_in(|sign_in| {
        sign_in.secrets = vec![
            AppSecret { value: CLIENT_SECRET.to_owned(), life_ms: Some(0) },
            AppSecret { value: "the-new-one".to_owned(), life_ms: None },
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
    assert_eq!(stage.stat("writes"), writes, "nothing is sent while it is held");
    assert_eq!(stage.stat("tokens"), tokens);
    stage.write("secret", "the-new-one\n");
    let ran = going.wait();
    must_be_true(&stage, &oracle, &ran);
    assert_eq!(ran.stderr.matches(HELD).count(), 1, "told once: {}", ran.stderr);
    let told = stage.outcomes();
    let blamed = told.iter().filter(|line| line["error_code"] == "SignInRefused" || line["error"].contains("AADSTS"));
    assert_eq!(blamed.count(), 0, "no row fails for it");
}

#[test]
fn a_refusal_that_nobody_mends_stops_the_run_which_then_goes_on() {
    let (stage, oracle, mut going) = at_work("sign_in_patience = \"1s\"");
    expire(&stage);
    await_words(&mut going, HELD);
    let ran = going.wait().must_end(5);
    let said = format!("{}{}", ran.stdout, ran.complaint());
    for part in ["the sign-in has been refused for", "AADSTS7000222", "add a new one"] {
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
    going.wait().must_end(5);
    stage.write("secret", "the-new-one");
    let ran = stage.end(&mut stage.quick_run(&[]));
    must_be_true(&stage, &oracle, &ran);
}

#[test]
fn a_sign_in_service_that_is_down_holds_the_run_and_names_itself() {
    let (stage, oracle, mut going) = at_work("");
    stage.simulator().change_sign_in(|sign_in| sign_in.is_down = true);
    stage.simulator().end_tokens();
    let writes = await_silence(&stage);
    assert!(!going.has_ended());
    assert_eq!(stage.stat("writes"), writes);
    stage.simulator().change_sign_in(|sign_in| sign_in.is_down = false);
    let ran = going.wait();
    must_be_true(&stage, &oracle, &ran);
}

#[test]
fn a_sign_in_service_that_stays_down_stops_the_run_within_its_patience() {
    let (stage, oracle, going) = at_work("patience = \"2s\"");
    stage.simulator().change_sign_in(|sign_in| sign_in.is_down = true);
    stage.simulator().end_tokens();
    let ran = going.wait().must_end(5);
    let said = format!("{}{}", ran.stdout, ran.complaint());
    assert!(said.contains("no good reply for 2 s: temporarily_unavailable"), "{said}");
    stage.simulator().change_sign_in(|sign_in| sign_in.is_down = false);
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
    options.sign_in = SignIn { approval: Approval::AfterPolls(0), refreshes: Some(0), ..prompt() };
    let stage = Stage::new(options);
    let oracle = Oracle::look(&stage);
    stage.write("sim.toml", connection(&stage, &login(&stage, "device-code"), SLOW_WRITES));
    let mut going = stage.start(&mut stage.quick_run(&[]));
    stage.await_writes(12, &mut going);
    stage.simulator().end_tokens();
    await_words(&mut going, "to sign in again, open ");
    let ran = going.wait();
    must_be_true(&stage, &oracle, &ran);
    assert!(ran.stderr.contains("AADSTS70043"), "{}", ran.stderr);
}
