//! Who is meant by a row.

use super::stage::{GUID, NEW, OLD, Stage, Twist, error, one};
use cutover::core::Method;
use serde_json::json;
use std::time::Duration;

const ANN: &str = "ann@fabrikam.com";

/// The id that the first account of the tenant gets, from its seed and UPN.
const ID_OF_BOTH: &str = "618a43b7-e8c4-4a8f-8f2f-37be19534769";

fn with_id(upn: &str, id: &str) -> String {
    format!("upn,object_guid,object_id\n{upn},{GUID},{id}\n")
}

#[tokio::test(start_paused = true)]
async fn a_upn_with_any_legal_character_finds_its_account() {
    for upn in [
        "o'brien@contoso.com",
        "eve_home.example#EXT#@contoso.onmicrosoft.com",
        "a.b-c_d!e^f~g@contoso.com",
        "'#'@fabrikam.com",
    ] {
        for is_deleted in [false, true] {
            let stage = Stage::fresh();
            let tenant = stage.tenant.clone();
            let id = tenant.hire(upn, Some(OLD));
            if is_deleted {
                tenant.delete(&id);
            }
            let ran = stage.run(&one(upn)).await;
            assert_eq!(ran.end().outcome, "done", "{upn}: {:?}", ran.end());
            assert_eq!(tenant.stand(&id), (upn.to_owned(), Some(NEW.to_owned()), false));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn several_deleted_namesakes_are_refused_with_their_ids_and_when_each_was_deleted() {
    let stage = Stage::fresh();
    let tenant = stage.tenant.clone();
    let first = tenant.deleted(ANN, Some(OLD));
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    let second = tenant.deleted(ANN, None);
    let ran = stage.run(&one(ANN)).await;
    let end = ran.end();
    assert_eq!((end.outcome, &end.code[..]), ("refused", "Ambiguous"));
    for (id, day) in [(first, "2026-01-31"), (second, "2026-02-01")] {
        let told = format!("({id}, deleted {day}T12:00:0");
        assert!(end.message.contains(&told), "{told}: {}", end.message);
    }
    assert!(end.advice.contains("object_id"), "{}", end.advice);
    assert!(ran.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_of_several_namesakes_is_chosen_by_object_id() {
    for chosen in [0, 1] {
        let stage = Stage::fresh();
        let tenant = stage.tenant.clone();
        let ids = [tenant.deleted(ANN, Some(OLD)), tenant.deleted(ANN, None)];
        let ran = stage.run(&with_id(ANN, &ids[chosen].to_uppercase())).await;
        assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
        assert_eq!(tenant.stand(&ids[chosen]), (ANN.to_owned(), Some(NEW.to_owned()), false));
        assert!(tenant.stand(&ids[1 - chosen]).2, "the other one is still deleted");
    }
}

/// What the report of an earlier run left, with one more column.
#[tokio::test(start_paused = true)]
async fn the_object_id_may_be_added_to_the_file_of_the_unfinished() {
    let stage = Stage::fresh();
    let tenant = stage.tenant.clone();
    let chosen = tenant.deleted(ANN, Some(OLD));
    tenant.deleted(ANN, None);
    let header = "User principal name,object_guid,cutover_outcome,cutover_error,Object ID";
    let rows = format!("{header}\n{ANN},{GUID},refused,several were found,{chosen}\n");
    let ran = stage.run(&rows).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    assert!(!tenant.stand(&chosen).2);
}

/// Right after a restore by somebody else a replica may still show a live account among the deleted ones.
#[tokio::test(start_paused = true)]
async fn whoever_is_seen_at_two_places_is_one() {
    for row in [one, |upn: &str| with_id(upn, ID_OF_BOTH)] {
        let stage = Stage::fresh().through(|moment| {
            let among_deleted = moment.is(Method::Get, "/directory/deletedItems/");
            if !among_deleted || moment.is(Method::Get, "mail") {
                return Twist::Nothing;
            }
            let item = json!({
                "id": ID_OF_BOTH,
                "userPrincipalName": format!("{}bob@contoso.com", ID_OF_BOTH.replace('-', "")),
                "onPremisesImmutableId": null,
                "onPremisesSyncEnabled": null,
                "deletedDateTime": "2026-01-31T11:59:00Z",
            });
            match moment.is(Method::Get, "$filter") {
                true => Twist::Instead(200, json!({"value": [item]})),
                false => Twist::Instead(200, item),
            }
        });
        let tenant = stage.tenant.clone();
        assert_eq!(tenant.hire("bob@contoso.onmicrosoft.com", None), ID_OF_BOTH);
        let bob = json!({"mail": "bob@contoso.com"});
        tenant.administer("PATCH", &format!("/users/{ID_OF_BOTH}"), Some(bob));
        let ran = stage.run(&row("bob@contoso.com")).await;
        assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_id_finds_a_live_account_at_home_or_left_away() {
    for upn in ["ann@contoso.com", "ann@contoso.onmicrosoft.com"] {
        let stage = Stage::fresh();
        let tenant = stage.tenant.clone();
        let id = tenant.hire(upn, Some(OLD));
        let ran = stage.run(&with_id("ann@contoso.com", &id)).await;
        assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
        let home = "ann@contoso.com".to_owned();
        assert_eq!(tenant.stand(&id), (home, Some(NEW.to_owned()), false));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_else_has_the_upn_by_now_is_told_before_anything_is_written() {
    let stage = Stage::fresh();
    let tenant = stage.tenant.clone();
    let deleted = tenant.deleted(ANN, Some(OLD));
    let live = tenant.hire(ANN, None);
    let ran = stage.run(&with_id(ANN, &deleted)).await;
    let end = ran.end();
    assert_eq!((end.outcome, &end.code[..]), ("refused", "Ambiguous"));
    assert!(end.message.contains(&deleted) && end.message.contains(&live), "{}", end.message);
    assert!(ran.writes().is_empty());
}

/// No directory on premises can have given it, in whichever column it stands.
#[tokio::test(start_paused = true)]
async fn the_accounts_own_object_id_becomes_nobodys_anchor() {
    for column in ["object_guid", "immutable_id"] {
        let stage = Stage::fresh();
        let tenant = stage.tenant.clone();
        let id = tenant.hire(ANN, Some(OLD));
        let value = match column {
            "object_guid" => id.clone(),
            _ => cutover::values::ImmutableId::from(cutover::values::interpret(&id).unwrap().guid).to_string(),
        };
        let ran = stage.run(&format!("upn,{column}\n{ANN},{value}\n")).await;
        let end = ran.end();
        assert_eq!((end.outcome, &end.code[..]), ("refused", "EntraObjectId"));
        assert!(end.message.contains("object id"), "{}", end.message);
        assert!(ran.writes().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_id_of_somebody_else_changes_nobody() {
    let stage = Stage::fresh();
    let tenant = stage.tenant.clone();
    tenant.hire(ANN, Some(OLD));
    let bob = tenant.hire("bob@fabrikam.com", None);
    let ran = stage.run(&with_id(ANN, &bob)).await;
    let end = ran.end();
    assert_eq!(end.outcome, "refused", "{end:?}");
    assert!(ran.writes().is_empty());
}

/// Where the index is not to be had, all deleted accounts are listed, page by page.
#[tokio::test(start_paused = true)]
async fn a_deleted_person_is_found_on_the_last_of_several_pages() {
    let unsupported = || Twist::Instead(400, error("Request_UnsupportedQuery"));
    let stage = Stage::fresh().through(move |moment| match moment.is(Method::Get, "endsWith") {
        true => unsupported(),
        false => Twist::Nothing,
    });
    let tenant = stage.tenant.clone();
    for number in 0..1_100 {
        tenant.deleted(&format!("p{number}@fabrikam.com"), None);
    }
    let id = tenant.deleted(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    assert!(!tenant.stand(&id).2);
    let pages = ran.asked.iter().filter(|request| request.path.contains("$top=999"));
    assert_eq!(pages.count(), 2);
}

/// Graph does not carry the header from page to page.
#[tokio::test(start_paused = true)]
async fn every_page_of_a_query_through_the_index_is_asked_with_its_header() {
    let stage = Stage::fresh();
    let tenant = stage.tenant.clone();
    for number in 0..150 {
        tenant.deleted(&format!("x{number}{ANN}"), None);
    }
    let id = tenant.deleted(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    assert!(!tenant.stand(&id).2);
    let pages: Vec<_> = ran.asked.iter().filter(|request| request.path.contains("endsWith")).collect();
    assert_eq!(pages.len(), 2);
    let header = ("ConsistencyLevel".to_owned(), "eventual".to_owned());
    assert!(pages.iter().all(|request| request.headers.contains(&header)));
}

#[tokio::test(start_paused = true)]
async fn whoever_the_index_does_not_know_yet_is_found_by_mail() {
    let stage = Stage::fresh().through(|moment| match moment.is(Method::Get, "endsWith") {
        true => Twist::Instead(200, json!({"value": []})),
        false => Twist::Nothing,
    });
    let tenant = stage.tenant.clone();
    let id = tenant.deleted("o'hara@fabrikam.com", Some(OLD));
    let ran = stage.run(&one("o'hara@fabrikam.com")).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    assert!(!tenant.stand(&id).2);
}

/// Every other read says 404 for a while.
#[tokio::test(start_paused = true)]
async fn whoever_only_the_index_knows_is_not_concluded_missing() {
    let stage = Stage::fresh().through(|moment| {
        let by_id = moment.is(Method::Get, "/directory/deletedItems/") && !moment.is(Method::Get, "$filter");
        let of_them = by_id || moment.is(Method::Post, "/restore");
        match of_them && moment.elapsed < Duration::from_secs(40) {
            true => Twist::Instead(404, error("Request_ResourceNotFound")),
            false => Twist::Nothing,
        }
    });
    let tenant = stage.tenant.clone();
    let id = tenant.deleted(ANN, Some(OLD));
    let ran = stage.run(&one(ANN)).await;
    assert_eq!(ran.end().outcome, "done", "{:?}", ran.end());
    assert!(!tenant.stand(&id).2);
}
