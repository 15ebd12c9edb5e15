//! What an object arriving from on premises makes of the tenant, and whether the way to let it in works.

use super::*;

/// An ordinary live account of the managed domain that was linked before or not.
async fn somebody(session: &Session, linked: bool) -> (String, String) {
    let everybody = session.everybody().await;
    let is_one = |user: &&Value| {
        user["deleted"] == false
            && user["administrator"] == false
            && user["eligible"] == false
            && user["onPremisesSyncEnabled"] != true
            && user["onPremisesImmutableId"].is_string()
            && user["onPremisesObjectIdentifier"].is_string() == linked
    };
    let user = everybody.iter().find(is_one).unwrap();
    (text(&user["id"]), text(&user["onPremisesImmutableId"]))
}

async fn shown(session: &Session, id: &str) -> Value {
    let path = format!("/beta/users/{id}?$select=onPremisesSyncEnabled,onPremisesObjectIdentifier");
    session.get(&path).await.1
}

#[tokio::test]
async fn who_was_never_linked_is_taken_over_and_stays_so() {
    let directory = tempfile::tempdir().unwrap();
    let options = || Options { state: Some(directory.path().to_owned()), ..quiet() };
    let session = Session::start(options()).await;
    let (id, anchor) = somebody(&session, false).await;
    assert_eq!(session.simulator.hard_match(&anchor), Ok(id.clone()));
    let again = session.simulator.hard_match(&anchor);
    assert_eq!(again, Err(NoHardMatch::Synchronized));
    let nobody = session.simulator.hard_match("nobody's");
    assert_eq!(nobody, Err(NoHardMatch::Nobody));
    assert!(session.lines("/sim/writes").await.is_empty());
    session.simulator.stop().await;
    let session = Session::start(options()).await;
    let after = shown(&session, &id).await;
    assert_eq!(after["onPremisesSyncEnabled"], true);
    assert!(after["onPremisesObjectIdentifier"].is_string());
    let change = json!({"onPremisesImmutableId": null});
    let refused = session.patch(&format!("/v1.0/users/{id}"), &change).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "mastered elsewhere");
}

#[tokio::test]
async fn who_was_linked_before_is_taken_over_once_the_link_is_cleared() {
    let session = Session::start(Options { app_has_admin_role: true, ..quiet() }).await;
    let (id, anchor) = somebody(&session, true).await;
    let before = text(&shown(&session, &id).await["onPremisesObjectIdentifier"]);
    let refused = session.simulator.hard_match(&anchor);
    assert_eq!(refused, Err(NoHardMatch::IdentifierSet));
    let clear = json!({"onPremisesObjectIdentifier": null});
    let cleared = session.patch(&format!("/beta/users/{id}"), &clear).await;
    assert_eq!(cleared.status(), StatusCode::NO_CONTENT);
    assert_eq!(session.simulator.hard_match(&anchor), Ok(id.clone()));
    assert_eq!(text(&shown(&session, &id).await["onPremisesObjectIdentifier"]), before, "the same object on premises");
}

#[tokio::test]
async fn the_tenants_switch_blocks_everybody() {
    let session = Session::start(Options { blocks_takeover: true, ..quiet() }).await;
    let (_, anchor) = somebody(&session, false).await;
    let refused = session.simulator.hard_match(&anchor);
    assert_eq!(refused, Err(NoHardMatch::Blocked));
}
