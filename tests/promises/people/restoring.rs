//! Deleted people on their way back, and what stands in it.

use super::stage::{GUID, NEW, OLD, Stage, Twist, error, one};
use cutover::core::Method;
use serde_json::json;

const ANN: &str = "ann@contoso.com";
const AWAY: &str = "ann@contoso.onmicrosoft.com";

fn upn(upn: &str) -> String {
    format!("PATCH user {{\"userPrincipalName\":\"{upn}\"}}")
}

fn anchor(id: Option<&str>) -> String {
    format!("PATCH user {}", json!({"onPremisesImmutableId": id}))
}

/// The restore straight to the temporary UPN.
fn straight() -> String {
    format!("POST restore {{\"newUserPrincipalName\":\"{AWAY}\"}}")
}

fn at_goal() -> (String, Option<String>, bool) {
    (ANN.to_owned(), Some(NEW.to_owned()), false)
}

fn as_before() -> (String, Option<String>, bool) {
    (ANN.to_owned(), Some(OLD.to_owned()), true)
}

#[tokio::test(start_paused = true)]
async fn restoring_straight_to_the_temporary_upn_saves_a_write() {
    let stage = Stage::fresh();
    let tenant = stage.tenant.clone();
    let id = tenant.deleted(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    let expected = [straight(), anchor(None), anchor(Some(NEW)), upn(ANN)];
    assert_eq!(ran.writes(), expected);
    assert_eq!(tenant.stand(&id), at_goal());
}

#[tokio::test(start_paused = true)]
async fn the_plain_way_can_be_asked_for() {
    let stage = Stage::fresh().with("restore", "plain");
    let tenant = stage.tenant.clone();
    let id = tenant.deleted(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    let restore = "POST restore".to_owned();
    let expected = [restore, upn(AWAY), anchor(None), anchor(Some(NEW)), upn(ANN)];
    assert_eq!(ran.writes(), expected);
    assert_eq!(tenant.stand(&id), at_goal());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_refuses_the_body_is_asked_plainly() {
    let stage =
        Stage::fresh().through(|moment| match moment.is(Method::Post, "/restore") && moment.request.body.is_some() {
            true => Twist::Instead(400, error("Request_BadRequest")),
            false => Twist::Nothing,
        });
    let tenant = stage.tenant.clone();
    let id = tenant.deleted(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    assert_eq!(ran.writes()[..3], [straight(), "POST restore".to_owned(), upn(AWAY)]);
    assert_eq!(tenant.stand(&id), at_goal());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_passes_the_body_over_makes_nobody_wait() {
    let stage = Stage::fresh().through(|moment| match moment.is(Method::Post, "/restore") {
        true => Twist::WithoutBody,
        false => Twist::Nothing,
    });
    let tenant = stage.tenant.clone();
    let id = tenant.deleted(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    assert_eq!(ran.writes()[..2], [straight(), upn(AWAY)]);
    assert_eq!(tenant.stand(&id), at_goal());
    let reads = ran
        .asked
        .iter()
        .filter(|request| request.method == Method::Get && request.path.starts_with(&format!("/users/{id}")));
    assert_eq!(reads.count(), 2, "one after the restore, one at the end");
}

#[tokio::test(start_paused = true)]
async fn a_restore_whose_answer_was_lost_is_not_made_again() {
    let mut silent = true;
    let stage = Stage::fresh().through(move |moment| {
        match moment.is(Method::Post, "/restore") && std::mem::take(&mut silent) {
            true => Twist::Silence,
            false => Twist::Nothing,
        }
    });
    let tenant = stage.tenant.clone();
    let id = tenant.deleted(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    assert_eq!(ran.writes().len(), 4, "{:?}", ran.writes());
    assert_eq!(tenant.stand(&id), at_goal());
}

/// Graph answers 404 to the second restore: nothing is wrong, and the row goes on from what is seen.
#[tokio::test(start_paused = true)]
async fn whoever_somebody_else_restores_meanwhile_is_not_missing() {
    let mut first = true;
    let stage = Stage::fresh().through(move |moment| {
        if moment.is(Method::Post, "/restore") && std::mem::take(&mut first) {
            moment.tenant.administer("POST", &moment.request.path, None);
        }
        Twist::Nothing
    });
    let tenant = stage.tenant.clone();
    let id = tenant.deleted(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    assert_eq!(tenant.stand(&id), at_goal());
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_the_straight_way_is_undone_to_the_mangled_upn() {
    for given in ["direct", "plain"] {
        let stage = Stage::fresh().with("restore", given).through(|moment| {
            let sets = moment.request.body == Some(json!({"onPremisesImmutableId": NEW}));
            match sets {
                true => Twist::Instead(400, error("Request_BadRequest")),
                false => Twist::Nothing,
            }
        });
        let tenant = stage.tenant.clone();
        let id = tenant.deleted(ANN, Some(OLD));
        let before = tenant.account(&id)["userPrincipalName"].clone();
        let ran = stage.run(&one(ANN)).await;
        assert_eq!(ran.end().outcome, "reverted", "{:?}", ran.end());
        assert_eq!(tenant.stand(&id), as_before());
        assert_eq!(tenant.account(&id)["userPrincipalName"], before);
        let back = [anchor(Some(OLD)), upn(ANN), "DELETE user".to_owned()];
        assert_eq!(ran.writes()[ran.writes().len() - 3..], back);
    }
}

/// Nobody had the UPN when the row was looked at, and somebody has it when the person is to come back.
#[tokio::test(start_paused = true)]
async fn a_upn_that_is_taken_fails_the_restore_with_what_helps() {
    for (given, taken) in [("direct", AWAY), ("plain", ANN)] {
        let mut first = true;
        let stage = Stage::fresh().with("restore", given).through(move |moment| {
            if moment.is(Method::Post, "/restore") && std::mem::take(&mut first) {
                moment.tenant.hire(taken, Some("dGFrZW4="));
            }
            Twist::Nothing
        });
        let tenant = stage.tenant.clone();
        let id = tenant.deleted(ANN, Some(OLD));
        let ran = stage.run(&one(ANN)).await;
        let end = ran.end();
        assert_eq!(end.outcome, "failed", "{end:?}");
        assert_eq!(end.code, "Duplicate", "{end:?}");
        assert!(end.message.contains("ObjectConflict"), "{end:?}");
        assert!(end.advice.starts_with("a live account has the"), "{end:?}");
        assert_eq!(ran.writes().len(), 1);
        assert_eq!(tenant.stand(&id), as_before());
    }
}

#[tokio::test(start_paused = true)]
async fn a_mail_address_that_somebody_else_has_is_refused_or_dropped_as_told() {
    for given in ["direct", "plain"] {
        for drop in [false, true] {
            let choice = if drop { "drop" } else { "refuse" };
            let stage = Stage::fresh().with("restore", given).with("proxy_conflict", choice);
            let tenant = stage.tenant.clone();
            let id = tenant.hire(ANN, Some(OLD));
            let address = json!({"mail": "office@fabrikam.com"});
            tenant.administer("PATCH", &format!("/users/{id}"), Some(address.clone()));
            tenant.delete(&id);
            let bob = tenant.hire("bob@fabrikam.com", None);
            tenant.administer("PATCH", &format!("/users/{bob}"), Some(address));
            let ran = stage.run(&format!("upn,object_guid\n{ANN},{GUID}\n")).await;
            let end = ran.end();
            if drop {
                assert_eq!(end.outcome, "done", "{end:?}");
                assert_eq!(tenant.stand(&id), at_goal());
                continue;
            }
            assert_eq!(end.outcome, "failed", "{end:?}");
            assert!(end.advice.contains("--set proxy_conflict=drop"), "{end:?}");
            assert_eq!(ran.writes().len(), 1);
            assert_eq!(tenant.stand(&id), as_before());
        }
    }
}

/// Somebody deletes a person who stands at the temporary UPN: they come back there, and go on.
#[tokio::test(start_paused = true)]
async fn whoever_is_deleted_on_the_way_is_restored_and_goes_on() {
    let mut first = true;
    let stage = Stage::fresh().through(move |moment| {
        let clears =
            moment.is(Method::Patch, "/users/") && moment.request.body == Some(json!({"onPremisesImmutableId": null}));
        if clears && std::mem::take(&mut first) {
            moment.tenant.delete(moment.request.path.trim_start_matches("/users/"));
        }
        Twist::Nothing
    });
    let tenant = stage.tenant.clone();
    let id = tenant.hire(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    assert_eq!(tenant.stand(&id), at_goal());
    assert!(ran.writes().contains(&"POST restore".to_owned()));
}
