//! The tenant's rules, one by one, without any server.

use super::*;
use crate::sim::clock::UnixMillis;
use crate::sim::route::Version;
use crate::sim::user::Written;

const NOW: UnixMillis = UnixMillis(1_000);
const APP: Actor = Actor {
    role: ActorRole::Nothing,
    at: NOW,
};
const ADMIN: Actor = Actor {
    role: ActorRole::Administrator,
    at: NOW,
};

fn id(n: u8) -> UserId {
    UserId::from_octets([n; 16])
}

fn key(n: u8) -> UserKey {
    UserKey::Id(id(n))
}

/// contoso.com is federated, fabrikam.com and the initial domain are managed.
/// 1 anna (federated), 2 ben (managed), 3 carl (synced), 4 dora (administrator), 5 emil (deleted, federated).
fn world() -> World {
    let mut domains = Domains::new();
    domains.verify("contoso.com");
    domains.verify("fabrikam.com");
    let mut directory = Directory::default();
    directory.put(User::new(id(1), "anna@contoso.com", Some("AAA")));
    directory.put(User::new(id(2), "ben@fabrikam.com", Some("BBB")));
    directory.put(User {
        sync: Sync::Active,
        ..User::new(id(3), "carl@contoso.com", Some("CCC"))
    });
    directory.put(User {
        role: Role::Administrator,
        ..User::new(id(4), "dora@fabrikam.com", Some("DDD"))
    });
    let emil = User::new(id(5), "emil@contoso.com", Some("EEE"));
    directory.put(User {
        deleted_at: Some(NOW),
        sync: Sync::Active,
        ..emil
    });
    World {
        seed: 7,
        app_role: ActorRole::Nothing,
        domains,
        directory,
        lag: Lag::new(0),
    }
}

fn change(body: &str) -> Change {
    Change::parse(body.as_bytes(), Version::Beta).unwrap()
}

fn upn_to(upn: &str) -> Change {
    change(&format!(r#"{{"userPrincipalName":"{upn}"}}"#))
}

fn anchor_to(json: &str) -> Change {
    change(&format!(r#"{{"onPremisesImmutableId":{json}}}"#))
}

fn apply(world: &mut World, planned: Result<Planned, Refusal>) {
    world.commit(planned.unwrap(), NOW, &Identity::for_test(1));
}

fn patch(world: &mut World, n: u8, change: &Change) {
    let planned = world.plan_patch(APP, &key(n), change);
    apply(world, planned);
}

fn conflict(planned: Result<Planned, Refusal>) -> Property {
    match planned {
        Err(Refusal::Conflict { property, .. }) => property,
        other => panic!("no conflict: {other:?}"),
    }
}

#[test]
fn the_long_way_through_a_managed_domain_changes_a_federated_users_anchor() {
    let mut world = world();
    assert_eq!(
        world.plan_patch(APP, &key(1), &anchor_to("\"ZZZ\"")),
        Err(Refusal::AnchorFixed)
    );
    assert_eq!(
        world.plan_patch(APP, &key(1), &anchor_to("null")),
        Err(Refusal::AnchorFixed)
    );
    patch(&mut world, 1, &upn_to("anna@contoso.onmicrosoft.com"));
    patch(&mut world, 1, &anchor_to("null"));
    assert_eq!(
        world.plan_patch(APP, &key(1), &upn_to("anna@contoso.com")),
        Err(Refusal::AnchorRequired)
    );
    patch(&mut world, 1, &anchor_to("\"ZZZ\""));
    patch(&mut world, 1, &upn_to("anna@contoso.com"));
    let anna = world.directory.by_id(id(1)).unwrap();
    assert_eq!(
        (&*anna.upn, anna.immutable_id.as_deref()),
        ("anna@contoso.com", Some("ZZZ"))
    );
}

#[test]
fn a_managed_users_anchor_changes_where_it_stands() {
    let mut world = world();
    patch(&mut world, 2, &anchor_to("\"ZZZ\""));
    patch(&mut world, 2, &anchor_to("null"));
    assert_eq!(world.directory.by_id(id(2)).unwrap().immutable_id, None);
}

#[test]
fn one_patch_cannot_move_into_federation_and_change_the_anchor() {
    let world = world();
    let both = change(r#"{"userPrincipalName":"ben@contoso.com","onPremisesImmutableId":"ZZZ"}"#);
    assert_eq!(
        world.plan_patch(APP, &key(2), &both),
        Err(Refusal::AnchorFixed)
    );
    let out = change(r#"{"userPrincipalName":"anna@fabrikam.com","onPremisesImmutableId":null}"#);
    assert_eq!(
        world.plan_patch(APP, &key(1), &out),
        Err(Refusal::AnchorFixed)
    );
}

#[test]
fn writing_the_same_value_again_is_allowed() {
    let world = world();
    assert!(
        world
            .plan_patch(APP, &key(1), &anchor_to("\"AAA\""))
            .is_ok()
    );
    assert!(
        world
            .plan_patch(APP, &key(1), &upn_to("anna@contoso.com"))
            .is_ok()
    );
    assert!(world.plan_patch(APP, &key(1), &change("{}")).is_ok());
}

#[test]
fn anchors_are_unique_among_live_users_to_the_letter() {
    let world = world();
    assert_eq!(
        conflict(world.plan_patch(APP, &key(2), &anchor_to("\"AAA\""))),
        Property::OnPremisesImmutableId
    );
    assert!(
        world
            .plan_patch(APP, &key(2), &anchor_to("\"aaa\""))
            .is_ok()
    );
    assert!(
        world
            .plan_patch(APP, &key(2), &anchor_to("\"EEE\""))
            .is_ok(),
        "only a deleted user has it"
    );
}

#[test]
fn upns_are_unique_in_any_case_and_against_mail_addresses() {
    let mut world = world();
    assert_eq!(
        conflict(world.plan_patch(APP, &key(2), &upn_to("ANNA@contoso.com"))),
        Property::UserPrincipalName
    );
    patch(&mut world, 1, &upn_to("anna@contoso.onmicrosoft.com"));
    assert_eq!(
        conflict(world.plan_patch(APP, &key(2), &upn_to("anna@contoso.com"))),
        Property::ProxyAddresses
    );
    let mail = change(r#"{"mail":"dora@fabrikam.com"}"#);
    assert_eq!(
        conflict(world.plan_patch(APP, &key(2), &mail)),
        Property::ProxyAddresses
    );
    patch(&mut world, 1, &upn_to("anna@contoso.com"));
    patch(&mut world, 1, &upn_to("Anna@contoso.com"));
}

#[test]
fn only_verified_domains_take_users() {
    let refusal = world().plan_patch(APP, &key(2), &upn_to("ben@elsewhere.example"));
    assert_eq!(
        refusal,
        Err(Refusal::UnverifiedDomain("elsewhere.example".to_owned()))
    );
}

#[test]
fn synced_users_are_mastered_on_premises() {
    let world = world();
    let refused = |change: &Change| world.plan_patch(APP, &key(3), change);
    assert_eq!(
        refused(&anchor_to("\"ZZZ\"")),
        Err(Refusal::Mastered(Property::OnPremisesImmutableId))
    );
    assert_eq!(
        refused(&upn_to("carl@fabrikam.com")),
        Err(Refusal::Mastered(Property::UserPrincipalName))
    );
    assert!(refused(&change(r#"{"usageLocation":"SE"}"#)).is_ok());
}

#[test]
fn administrators_are_out_of_reach_without_a_role() {
    let mut world = world();
    assert_eq!(
        world.plan_patch(APP, &key(4), &anchor_to("null")),
        Err(Refusal::RoleMissing)
    );
    assert_eq!(world.plan_delete(APP, &key(4)), Err(Refusal::RoleMissing));
    assert!(
        world
            .plan_patch(APP, &key(4), &change(r#"{"jobTitle":"Baker"}"#))
            .is_ok()
    );
    let planned = world.plan_delete(ADMIN, &key(4));
    apply(&mut world, planned);
    assert_eq!(
        world.plan_restore(APP, id(4), &RestoreOptions::default()),
        Err(Refusal::RoleMissing)
    );
    assert_eq!(world.plan_purge(APP, id(4)), Err(Refusal::RoleMissing));
}

#[test]
fn who_may_only_activate_a_role_is_within_reach() {
    let mut world = world();
    let ben = world.directory.by_id(id(2)).unwrap().clone();
    world.directory.put(User {
        role: Role::Eligible,
        ..ben
    });
    assert!(world.plan_patch(APP, &key(2), &anchor_to("null")).is_ok());
    let planned = world.plan_delete(APP, &key(2));
    apply(&mut world, planned);
    assert!(
        world
            .plan_restore(APP, id(2), &RestoreOptions::default())
            .is_ok()
    );
}

#[test]
fn clearing_the_identifier_takes_a_role_and_an_account_of_the_cloud() {
    let mut world = world();
    let linked = Property::OnPremisesObjectIdentifier;
    for n in [2, 3] {
        let mut user = world.directory.by_id(id(n)).unwrap().clone();
        user.write(linked, Written::Text("some guid".into()));
        world.directory.put(user);
    }
    let clear = change(r#"{"onPremisesObjectIdentifier":null}"#);
    assert_eq!(
        world.plan_patch(APP, &key(2), &clear),
        Err(Refusal::RoleMissing)
    );
    assert_eq!(
        world.plan_patch(ADMIN, &key(3), &clear),
        Err(Refusal::Mastered(linked))
    );
    let planned = world.plan_patch(ADMIN, &key(2), &clear);
    apply(&mut world, planned);
    assert_eq!(world.directory.by_id(id(2)).unwrap().written(linked), None);
}

#[test]
fn a_new_password_has_the_date_of_its_writing() {
    let mut world = world();
    patch(
        &mut world,
        2,
        &change(r#"{"passwordProfile":{"password":"x"}}"#),
    );
    let ben = world.directory.by_id(id(2)).unwrap();
    assert_eq!(
        ben.written(Property::LastPasswordChangeDateTime),
        Some(&Written::Text("1970-01-01T00:00:01Z".into()))
    );
}

#[test]
fn deletion_and_restoring_keep_the_user_but_end_its_sync() {
    let mut world = world();
    assert!(matches!(
        world.plan_patch(APP, &key(5), &change("{}")),
        Err(Refusal::NotFound(_))
    ));
    let planned = world.plan_restore(APP, id(5), &RestoreOptions::default());
    apply(&mut world, planned);
    let emil = world.directory.by_id(id(5)).unwrap();
    assert_eq!(
        (emil.sync, emil.immutable_id.as_deref()),
        (Sync::Ended, Some("EEE"))
    );
    assert_eq!(emil.shown_upn(), "emil@contoso.com");
    assert!(matches!(
        world.plan_restore(APP, id(5), &RestoreOptions::default()),
        Err(Refusal::NotFound(_))
    ));
    let planned = world.plan_delete(APP, &key(5));
    apply(&mut world, planned);
    let planned = world.plan_purge(APP, id(5));
    apply(&mut world, planned);
    assert!(world.directory.by_id(id(5)).is_none());
}

#[test]
fn a_restore_meets_conflicts_and_has_ways_around_them() {
    let mut world = world();
    patch(&mut world, 2, &upn_to("emil@contoso.com"));
    let restore = |world: &World, new_upn: Option<&str>, drop_taken_mail| {
        world.plan_restore(
            APP,
            id(5),
            &RestoreOptions {
                new_upn: new_upn.map(str::to_owned),
                drop_taken_mail,
            },
        )
    };
    assert_eq!(
        conflict(restore(&world, None, true)),
        Property::UserPrincipalName
    );
    let elsewhere = Some("emil@contoso.onmicrosoft.com");
    assert_eq!(
        conflict(restore(&world, elsewhere, false)),
        Property::ProxyAddresses
    );
    let emil = restore(&world, elsewhere, true).unwrap().after.unwrap();
    assert_eq!(
        (&*emil.upn, emil.mail_address()),
        ("emil@contoso.onmicrosoft.com", None)
    );
    assert!(matches!(
        restore(&world, Some("emil@nowhere.example"), true),
        Err(Refusal::UnverifiedDomain(_))
    ));
    patch(&mut world, 2, &upn_to("ben@fabrikam.com"));
    patch(&mut world, 2, &change(r#"{"mail":null}"#));
    patch(&mut world, 2, &anchor_to("\"EEE\""));
    assert_eq!(
        conflict(restore(&world, None, false)),
        Property::OnPremisesImmutableId
    );
}

#[test]
fn creation_needs_its_properties_and_an_anchor_in_a_federated_domain() {
    let mut world = world();
    let body = |upn: &str, more: &str| {
        change(&format!(
            r#"{{"accountEnabled":true,"displayName":"F","mailNickname":"f","passwordProfile":{{"password":"x"}},"userPrincipalName":"{upn}"{more}}}"#
        ))
    };
    assert!(matches!(
        world.plan_create(APP, &upn_to("fia@fabrikam.com"), 1),
        Err(Refusal::InvalidValue { .. })
    ));
    assert_eq!(
        world.plan_create(APP, &body("fia@contoso.com", ""), 1),
        Err(Refusal::AnchorRequired)
    );
    assert!(
        world
            .plan_create(
                APP,
                &body("fia@contoso.com", r#","onPremisesImmutableId":"FFF""#),
                1
            )
            .is_ok()
    );
    assert_eq!(
        conflict(world.plan_create(
            APP,
            &body("Anna@contoso.com", r#","onPremisesImmutableId":"F""#),
            1
        )),
        Property::UserPrincipalName
    );
    let planned = world.plan_create(APP, &body("fia@fabrikam.com", ""), 1);
    apply(&mut world, planned);
    assert!(world.directory.live_by_upn("fia@fabrikam.com").is_some());
    let again = world
        .plan_create(APP, &body("other@fabrikam.com", ""), 2)
        .unwrap()
        .id;
    assert!(world.directory.by_id(again).is_none());
}
