//! The tenant's rules, one by one, without any server.

use super::*;
use crate::sim::Identity;
use crate::sim::document::text;
use crate::sim::schema::ApiVersion;
use crate::sim::tenant::tests::tenant;
use crate::sim::user::{ANCHOR, identifier, set_role};

const NOW: SimTime = SimTime(1_000);
const APP: UserActor = UserActor { is_administrator: false, at: NOW };
const ADMIN: UserActor = UserActor { is_administrator: true, at: NOW };

type Assigned = Vec<(&'static Property, Value)>;

fn id(n: u8) -> Uuid {
    chance::uuid([n; 16])
}

fn key(n: u8) -> String {
    id(n).to_string()
}

/// contoso.com is federated, fabrikam.com and the initial domain are managed.
/// 1 anna (federated), 2 ben (managed), 3 carl (synced), 4 dora (administrator), 5 emil (deleted, federated).
fn world() -> Tenant {
    let mut carl = document(id(3), "carl@contoso.com", Some("CCC"));
    set_synced(&mut carl, true);
    let mut dora = document(id(4), "dora@fabrikam.com", Some("DDD"));
    set_role(&mut dora, DirectoryRole::Holder);
    let mut emil = document(id(5), "emil@contoso.com", Some("EEE"));
    set_synced(&mut emil, true);
    let people = [
        document(id(1), "anna@contoso.com", Some("AAA")),
        document(id(2), "ben@fabrikam.com", Some("BBB")),
        carl,
        dora,
        deleted(&emil, NOW),
    ];
    tenant(people, &["contoso.com", "fabrikam.com"], 0)
}

fn change(body: &str) -> Assigned {
    USERS.assignments(body.as_bytes(), ApiVersion::Beta).unwrap()
}

fn upn_to(upn: &str) -> Assigned {
    change(&format!(r#"{{"userPrincipalName":"{upn}"}}"#))
}

fn anchor_to(json: &str) -> Assigned {
    change(&format!(r#"{{"onPremisesImmutableId":{json}}}"#))
}

fn apply(world: &mut Tenant, planned: Result<PlannedWrite, GraphRefusal>) {
    let planned = planned.unwrap();
    world.write(planned, NOW, &Identity::for_test(1), None).unwrap();
}

fn patch(world: &mut Tenant, n: u8, change: &Assigned) {
    let planned = plan_patch(world, APP, &key(n), change);
    apply(world, planned);
}

fn conflict(planned: Result<PlannedWrite, GraphRefusal>) -> &'static str {
    planned.unwrap_err().conflicting().expect("a conflict")
}

#[test]
fn the_long_way_through_a_managed_domain_changes_a_federated_users_anchor() {
    let mut world = world();
    assert_eq!(plan_patch(&world, APP, &key(1), &anchor_to("\"ZZZ\"")), Err(anchor_fixed()));
    assert_eq!(plan_patch(&world, APP, &key(1), &anchor_to("null")), Err(anchor_fixed()));
    patch(&mut world, 1, &upn_to("anna@contoso.onmicrosoft.com"));
    patch(&mut world, 1, &anchor_to("null"));
    assert_eq!(plan_patch(&world, APP, &key(1), &upn_to("anna@contoso.com")), Err(anchor_required()));
    patch(&mut world, 1, &anchor_to("\"ZZZ\""));
    patch(&mut world, 1, &upn_to("anna@contoso.com"));
    let anna = world.users.by_id(id(1)).unwrap();
    assert_eq!((upn(anna), anchor(anna)), ("anna@contoso.com", Some("ZZZ")));
}

#[test]
fn a_managed_users_anchor_changes_where_it_stands() {
    let mut world = world();
    patch(&mut world, 2, &anchor_to("\"ZZZ\""));
    patch(&mut world, 2, &anchor_to("null"));
    assert_eq!(anchor(world.users.by_id(id(2)).unwrap()), None);
}

#[test]
fn one_patch_cannot_move_into_federation_and_change_the_anchor() {
    let world = world();
    let both = change(r#"{"userPrincipalName":"ben@contoso.com","onPremisesImmutableId":"ZZZ"}"#);
    assert_eq!(plan_patch(&world, APP, &key(2), &both), Err(anchor_fixed()));
    let out = change(r#"{"userPrincipalName":"anna@fabrikam.com","onPremisesImmutableId":null}"#);
    assert_eq!(plan_patch(&world, APP, &key(1), &out), Err(anchor_fixed()));
}

#[test]
fn writing_the_same_value_again_is_allowed() {
    let world = world();
    assert!(plan_patch(&world, APP, &key(1), &anchor_to("\"AAA\"")).is_ok());
    assert!(plan_patch(&world, APP, &key(1), &upn_to("anna@contoso.com")).is_ok());
    assert!(plan_patch(&world, APP, &key(1), &change("{}")).is_ok());
}

#[test]
fn anchors_are_unique_among_live_users_to_the_letter() {
    let world = world();
    assert_eq!(conflict(plan_patch(&world, APP, &key(2), &anchor_to("\"AAA\""))), ANCHOR);
    assert!(plan_patch(&world, APP, &key(2), &anchor_to("\"aaa\"")).is_ok());
    assert!(plan_patch(&world, APP, &key(2), &anchor_to("\"EEE\"")).is_ok(), "only a deleted user has it");
}

#[test]
fn upns_are_unique_in_any_case_and_against_mail_addresses() {
    let mut world = world();
    assert_eq!(conflict(plan_patch(&world, APP, &key(2), &upn_to("ANNA@contoso.com"))), UPN);
    patch(&mut world, 1, &upn_to("anna@contoso.onmicrosoft.com"));
    assert_eq!(conflict(plan_patch(&world, APP, &key(2), &upn_to("anna@contoso.com"))), "proxyAddresses");
    let mail = change(r#"{"mail":"dora@fabrikam.com"}"#);
    assert_eq!(conflict(plan_patch(&world, APP, &key(2), &mail)), "proxyAddresses");
    patch(&mut world, 1, &upn_to("anna@contoso.com"));
    patch(&mut world, 1, &upn_to("Anna@contoso.com"));
}

#[test]
fn only_verified_domains_take_users() {
    let refusal = plan_patch(&world(), APP, &key(2), &upn_to("ben@elsewhere.example"));
    assert_eq!(refusal, Err(unverified_domain("elsewhere.example")));
}

#[test]
fn synced_users_are_mastered_on_premises() {
    let world = world();
    let refused = |change: &Assigned| plan_patch(&world, APP, &key(3), change);
    assert_eq!(refused(&anchor_to("\"ZZZ\"")), Err(mastered_elsewhere(ANCHOR)));
    assert_eq!(refused(&upn_to("carl@fabrikam.com")), Err(mastered_elsewhere(UPN)));
    assert!(refused(&change(r#"{"usageLocation":"SE"}"#)).is_ok());
}

#[test]
fn administrators_are_out_of_reach_without_a_role() {
    let mut world = world();
    assert_eq!(plan_patch(&world, APP, &key(4), &anchor_to("null")), Err(GraphRefusal::DENIED));
    assert_eq!(plan_delete(&world, APP, &key(4)), Err(GraphRefusal::DENIED));
    assert!(plan_patch(&world, APP, &key(4), &change(r#"{"jobTitle":"Baker"}"#)).is_ok());
    let planned = plan_delete(&world, ADMIN, &key(4));
    apply(&mut world, planned);
    assert_eq!(plan_restore(&world, APP, id(4), &RestoreWishes::default()), Err(GraphRefusal::DENIED));
    assert_eq!(plan_purge(&world, APP, id(4)), Err(GraphRefusal::DENIED));
}

#[test]
fn who_may_only_activate_a_role_is_within_reach() {
    let mut world = world();
    let mut ben = world.users.by_id(id(2)).unwrap().clone();
    set_role(&mut ben, DirectoryRole::Eligible);
    world.users.put(ben);
    assert!(plan_patch(&world, APP, &key(2), &anchor_to("null")).is_ok());
    let planned = plan_delete(&world, APP, &key(2));
    apply(&mut world, planned);
    assert!(plan_restore(&world, APP, id(2), &RestoreWishes::default()).is_ok());
}

#[test]
fn clearing_the_identifier_takes_a_role_and_an_account_of_the_cloud() {
    let mut world = world();
    let linked = IDENTIFIER;
    for n in [2, 3] {
        let mut user = world.users.by_id(id(n)).unwrap().clone();
        user.insert(linked.into(), "some guid".into());
        world.users.put(user);
    }
    let clear = change(r#"{"onPremisesObjectIdentifier":null}"#);
    assert_eq!(plan_patch(&world, APP, &key(2), &clear), Err(GraphRefusal::DENIED));
    assert_eq!(plan_patch(&world, ADMIN, &key(3), &clear), Err(mastered_elsewhere(linked)));
    let planned = plan_patch(&world, ADMIN, &key(2), &clear);
    apply(&mut world, planned);
    assert_eq!(identifier(world.users.by_id(id(2)).unwrap()), None);
}

#[test]
fn a_new_password_has_the_date_of_its_writing() {
    let mut world = world();
    patch(&mut world, 2, &change(r#"{"passwordProfile":{"password":"x"}}"#));
    let ben = world.users.by_id(id(2)).unwrap();
    assert_eq!(ben["lastPasswordChangeDateTime"], "1970-01-01T00:00:01Z");
}

#[test]
fn deletion_and_restoring_keep_the_user_but_end_its_sync() {
    let mut world = world();
    let not_found = GraphRefusal::not_found(id(5));
    let refused = plan_patch(&world, APP, &key(5), &change("{}"));
    assert_eq!(refused, Err(not_found.clone()));
    let planned = plan_restore(&world, APP, id(5), &RestoreWishes::default());
    apply(&mut world, planned);
    let emil = world.users.by_id(id(5)).unwrap();
    assert_eq!((synced(emil), anchor(emil)), (Some(false), Some("EEE")));
    assert_eq!(upn(emil), "emil@contoso.com");
    let again = plan_restore(&world, APP, id(5), &RestoreWishes::default());
    assert_eq!(again, Err(not_found));
    let planned = plan_delete(&world, APP, &key(5));
    apply(&mut world, planned);
    let planned = plan_purge(&world, APP, id(5));
    apply(&mut world, planned);
    assert!(world.users.by_id(id(5)).is_none());
}

#[test]
fn a_restore_meets_conflicts_and_has_ways_around_them() {
    let mut world = world();
    patch(&mut world, 2, &upn_to("emil@contoso.com"));
    let restore = |world: &Tenant, new_upn: Option<&str>, drops_taken_mail| {
        plan_restore(
            world,
            APP,
            id(5),
            &RestoreWishes { new_upn: new_upn.map(str::to_owned), drops_taken_mail: Some(drops_taken_mail) },
        )
    };
    assert_eq!(conflict(restore(&world, None, true)), UPN);
    let elsewhere = Some("emil@contoso.onmicrosoft.com");
    assert_eq!(conflict(restore(&world, elsewhere, false)), "proxyAddresses");
    let emil = restore(&world, elsewhere, true).unwrap().after.unwrap();
    assert_eq!((upn(&emil), text(&emil, "mail")), ("emil@contoso.onmicrosoft.com", None));
    let nowhere = restore(&world, Some("emil@nowhere.example"), true);
    assert_eq!(nowhere, Err(unverified_domain("nowhere.example")));
    patch(&mut world, 2, &upn_to("ben@fabrikam.com"));
    patch(&mut world, 2, &change(r#"{"mail":null}"#));
    patch(&mut world, 2, &anchor_to("\"EEE\""));
    assert_eq!(conflict(restore(&world, None, false)), ANCHOR);
}

#[test]
fn creation_needs_its_properties_and_an_anchor_in_a_federated_domain() {
    let mut world = world();
    let body = |upn: &str, more: &str| {
        change(&format!(
            r#"{{"accountEnabled":true,"displayName":"F","mailNickname":"f","passwordProfile":{{"password":"x"}},"userPrincipalName":"{upn}"{more}}}"#
        ))
    };
    let refused = plan_create(&world, APP, &upn_to("fia@fabrikam.com"), 1);
    let reason = "it is required to create a user";
    assert_eq!(refused, Err(GraphRefusal::invalid_value("accountEnabled", reason)));
    assert_eq!(plan_create(&world, APP, &body("fia@contoso.com", ""), 1), Err(anchor_required()));
    assert!(plan_create(&world, APP, &body("fia@contoso.com", r#","onPremisesImmutableId":"FFF""#), 1).is_ok());
    assert_eq!(
        conflict(plan_create(&world, APP, &body("Anna@contoso.com", r#","onPremisesImmutableId":"F""#), 1)),
        UPN
    );
    let planned = plan_create(&world, APP, &body("fia@fabrikam.com", ""), 1);
    apply(&mut world, planned);
    assert!(world.users.live_by_upn("fia@fabrikam.com").is_some());
    let again = plan_create(&world, APP, &body("other@fabrikam.com", ""), 2).unwrap().id;
    assert!(world.users.by_id(again).is_none());
}

#[test]
fn a_restore_may_say_nothing_or_two_things() {
    let parse = RestoreWishes::parse;
    assert_eq!(parse(b""), Ok(RestoreWishes::default()));
    assert_eq!(parse(b"{}"), Ok(RestoreWishes::default()));
    let both = br#"{"newUserPrincipalName":"a@b.c","autoReconcileProxyConflict":true}"#;
    let expected = RestoreWishes { new_upn: Some("a@b.c".to_owned()), drops_taken_mail: Some(true) };
    assert_eq!(parse(both), Ok(expected));
    assert!(parse(br#"{"newUserPrincipalName":"a b@c"}"#).is_err());
    assert!(parse(br#"{"other":1}"#).is_err());
}
