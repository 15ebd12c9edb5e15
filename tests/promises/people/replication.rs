//! Replicas that have not seen a write yet: waited for within a bound, never believed, and told from somebody else's hand.

use super::stage::{NEW, OLD, Stage, Twist, error, one};
use cutover::core::Method;
use serde_json::json;
use std::time::Duration;

const ANN: &str = "ann@contoso.com";
const SEEDS: u64 = 60;

fn gone() -> Twist {
    Twist::Instead(404, error("Request_ResourceNotFound"))
}

/// Each read may be answered by a replica that is up to a minute behind; nothing is written a second time for that.
#[tokio::test(start_paused = true)]
async fn stale_reads_after_our_own_writes_are_waited_out() {
    for seed in 0..SEEDS {
        let stage = Stage::new(seed, Duration::from_secs(60));
        let tenant = stage.tenant.clone();
        let (live, bob) = (tenant.hire(ANN, Some(OLD)), "bob@contoso.com");
        let deleted = tenant.deleted(bob, Some("Ym9iIGJvYiBib2IgYm9iIQ=="));
        tokio::time::sleep(Duration::from_secs(61)).await;
        let other = "9c5923e9-de52-33ea-88de-7ebc8633b9cc";
        let rows = format!("{}{bob},{other}\n", one(ANN));
        let ran = stage.run(&rows).await;
        for end in &ran.rows {
            assert_eq!(end.outcome, "done", "seed {seed}: {end:?}");
        }
        assert_eq!(ran.writes().len(), 8, "seed {seed}: {:?}", ran.writes());
        assert_eq!(tenant.stand(&live), (ANN.to_owned(), Some(NEW.to_owned()), false));
        assert!(!tenant.stand(&deleted).2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_404_after_our_own_restore_is_not_missing() {
    let mut restored_at = None;
    let stage = Stage::fresh().through(move |moment| {
        if moment.is(Method::Post, "/restore") {
            restored_at = Some(moment.elapsed);
        }
        let since = restored_at.map(|at| moment.elapsed - at);
        let early = since.is_some_and(|since| since < Duration::from_secs(100));
        match early && moment.request.method == Method::Get {
            true => gone(),
            false => Twist::Nothing,
        }
    });
    let tenant = stage.tenant.clone();
    let id = tenant.deleted(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    assert_eq!(ran.writes().len(), 4, "{:?}", ran.writes());
    assert!(!tenant.stand(&id).2);
}

/// A replica that has the account answers the read, one that lacks it refuses the write (as after a creation).
#[tokio::test(start_paused = true)]
async fn a_404_to_a_write_after_our_own_restore_is_tried_until_replication_is_over() {
    let mut restored_at = None;
    let stage = Stage::fresh().through(move |moment| {
        if moment.is(Method::Post, "/restore") {
            restored_at = Some(moment.elapsed);
        }
        let since = restored_at.map(|at| moment.elapsed - at);
        let early = since.is_some_and(|since| since < Duration::from_secs(80));
        match early && moment.request.method == Method::Patch {
            true => gone(),
            false => Twist::Nothing,
        }
    });
    let tenant = stage.tenant.clone();
    let id = tenant.deleted(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    assert_eq!(tenant.stand(&id), (ANN.to_owned(), Some(NEW.to_owned()), false));
}

/// Patience has a bound, and what cannot be seen at its end is not called done.
#[tokio::test(start_paused = true)]
async fn whoever_never_shows_again_is_told_stranded() {
    let mut restored = false;
    let stage = Stage::fresh().through(move |moment| {
        restored |= moment.is(Method::Post, "/restore");
        match restored && moment.request.method == Method::Get {
            true => gone(),
            false => Twist::Nothing,
        }
    });
    stage.tenant.deleted(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    assert_eq!(ran.end().outcome, "stranded", "{:?}", ran.end());
    assert_eq!(ran.writes().len(), 1, "{:?}", ran.writes());
}

/// What somebody else wrote is no past of ours: it is judged at once.
#[tokio::test(start_paused = true)]
async fn somebody_elses_change_is_not_waited_out() {
    let mut first = true;
    let stage = Stage::fresh().through(move |moment| {
        let comes_back = moment.request.body == Some(json!({"userPrincipalName": ANN}));
        if comes_back && std::mem::take(&mut first) {
            let body = json!({"onPremisesImmutableId": "c29tZWJvZHkgZWxzZQ=="});
            moment.tenant.administer("PATCH", &moment.request.path, Some(body));
        }
        Twist::Nothing
    });
    let tenant = stage.tenant.clone();
    let id = tenant.hire(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    assert_eq!(tenant.stand(&id).1.as_deref(), Some(NEW));
    let reads = ran
        .asked
        .iter()
        .filter(|request| request.method == Method::Get && request.path.starts_with(&format!("/users/{id}")));
    assert_eq!(reads.count(), 2, "one that shows the other's value, one that verifies");
}

/// Queries through the index are staler than any replica: none is sent about a person who was written to.
#[tokio::test(start_paused = true)]
async fn nothing_is_verified_through_the_index() {
    let stage = Stage::new(7, Duration::from_secs(60));
    stage.tenant.deleted(ANN, Some(OLD));
    tokio::time::sleep(Duration::from_secs(61)).await;
    let ran = stage.run(&one(ANN)).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    let first_write = ran.asked.iter().position(|request| request.method != Method::Get);
    let mut later = ran.asked[first_write.unwrap()..].iter();
    assert!(later.all(|request| request.headers.is_empty() && !request.path.contains("$filter")));
    let before = &ran.asked[..first_write.unwrap()];
    assert!(before.iter().any(|request| !request.headers.is_empty()), "or it proves nothing");
}

/// The first try was done and shows late, so a second one left, which is slow: what a read shows by then is the first one's
/// work, and the second must not come between the steps that follow.
#[tokio::test(start_paused = true)]
async fn a_second_try_that_arrives_late_moves_nobody_away_again() {
    let moves = json!({"userPrincipalName": "ann@contoso.onmicrosoft.com"});
    let mut first_at = None;
    let stage = Stage::fresh().through(move |moment| {
        let is_move = moment.request.body.as_ref() == Some(&moves);
        match (first_at, is_move) {
            (None, true) => {
                first_at = Some(moment.elapsed);
                Twist::Silence
            }
            (Some(_), true) => Twist::Late(Duration::from_secs(5)),
            (Some(at), false) if moment.elapsed - at < Duration::from_secs(11) => {
                let id = moment.request.path.trim_start_matches("/users/");
                let id = id.split('?').next().unwrap();
                let stale = json!({"id": id, "userPrincipalName": ANN, "onPremisesImmutableId": OLD});
                Twist::Instead(200, stale)
            }
            (Some(_) | None, false) => Twist::Nothing,
        }
    });
    let tenant = stage.tenant.clone();
    let id = tenant.hire(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    assert_eq!(tenant.stand(&id), (ANN.to_owned(), Some(NEW.to_owned()), false), "{:?}", ran.writes());
}

/// The state that a stale read shows after the restore was never ours: somebody else deleted the person on the way.
#[tokio::test(start_paused = true)]
async fn a_stale_read_of_what_somebody_else_did_is_waited_out_too() {
    let mut deleted_at = None;
    let mut restored_at = None;
    let stage = Stage::fresh().through(move |moment| {
        let id = moment.request.path.trim_start_matches("/users/").to_owned();
        if deleted_at.is_none() && moment.request.body == Some(json!({"onPremisesImmutableId": null})) {
            moment.tenant.delete(&id);
            deleted_at = Some(moment.elapsed);
        }
        if moment.is(Method::Post, "/restore") {
            restored_at.get_or_insert(moment.elapsed);
        }
        let early = restored_at.is_some_and(|at| moment.elapsed - at < Duration::from_secs(3));
        match early && moment.request.method == Method::Get {
            true if moment.is(Method::Get, "/users/") => gone(),
            true => {
                let id = moment.request.path.split('/').nth(3).unwrap();
                let upn = format!("{}ann@contoso.onmicrosoft.com", id.replace('-', ""));
                let stale = json!({"id": id, "userPrincipalName": upn, "onPremisesImmutableId": OLD});
                Twist::Instead(200, stale)
            }
            false => Twist::Nothing,
        }
    });
    let tenant = stage.tenant.clone();
    let id = tenant.hire(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    assert!(!tenant.stand(&id).2);
    let writes = ran.writes();
    let restores = writes.iter().filter(|write| write.starts_with("POST restore"));
    assert_eq!(restores.count(), 1, "{writes:?}");
}
