//! The lists of directory roles, and the members of the groups on them.

use super::*;
use crate::sim::clock::UnixMillis;
use crate::sim::directory::Directory;
use crate::sim::domains::Domains;
use crate::sim::lag::Lag;
use crate::sim::user::UserId;

/// Sixty people: ordinary ones, holders and eligible ones in turn; the first holder is deleted.
fn world(app_role: ActorRole) -> World {
    let mut directory = Directory::default();
    let roles = [Role::Ordinary, Role::Administrator, Role::Eligible];
    for (n, role) in (0..60).zip(roles.into_iter().cycle()) {
        let octets = chance::digest(0, "test", &n.to_string());
        let id = UserId::from_octets(chance::first_half(&octets));
        let user = User::new(id, &format!("user{n}@contoso.com"), None);
        let deleted_at = (n == 1).then_some(UnixMillis(0));
        directory.put(User {
            role,
            deleted_at,
            ..user
        });
    }
    World {
        seed: 7,
        app_role,
        domains: Domains::new(),
        directory,
        lag: Lag::new(0),
    }
}

fn people(world: &World, role: Role) -> Vec<String> {
    let with_role = world.directory.privileged();
    let mut ids: Vec<_> = with_role
        .filter(|user| user.role == role)
        .map(|user| user.id.to_string())
        .collect();
    ids.sort();
    ids
}

fn members_of(world: &World, list: RoleList) -> Vec<String> {
    let people = world.directory.privileged();
    let members = people.filter(|user| user.role == list.role() && way(user) == Way::Group);
    members.map(|user| user.id.to_string()).collect()
}

#[test]
fn a_list_and_its_group_have_everybody_with_the_role_once() {
    let world = world(ActorRole::Nothing);
    for list in [RoleList::Assignments, RoleList::Eligibilities] {
        let listed = grants(&world, list);
        let users = listed.filter(|grant| matches!(grant.principal, Principal::User(_)));
        let direct: Vec<_> = users.map(|grant| grant.principal_id.to_string()).collect();
        let members = members_of(&world, list);
        assert!(!direct.is_empty() && !members.is_empty());
        let mut all = [direct, members].concat();
        all.sort();
        assert_eq!(all, people(&world, list.role()), "{list:?}");
    }
    assert_eq!(people(&world, Role::Administrator).len(), 19);
}

#[test]
fn services_hold_roles_and_the_app_only_when_it_does() {
    let services = |role| {
        let world = world(role);
        let of_app = grants(&world, RoleList::Assignments)
            .filter(|grant| grant.principal_id.to_string() == SERVICE_PRINCIPAL_ID)
            .count();
        let all = grants(&world, RoleList::Assignments)
            .filter(|grant| matches!(grant.principal, Principal::Service { .. }))
            .count();
        (of_app, all)
    };
    assert_eq!(services(ActorRole::Nothing), (0, 1));
    assert_eq!(services(ActorRole::Administrator), (2, 3));
}

#[test]
fn a_holder_shows_its_kind_and_what_was_selected() {
    let world = world(ActorRole::Nothing);
    let expand = Expand {
        select: Some(vec!["id".to_owned(), "userPrincipalName".to_owned()]),
        version: crate::sim::route::Version::V1,
    };
    let shown: Vec<_> = grants(&world, RoleList::Assignments)
        .map(|grant| grant.principal.to_json(&expand))
        .collect();
    assert_eq!(
        shown[0],
        json!({"@odata.type": "#microsoft.graph.servicePrincipal", "id": SYNCHRONIZATION_PRINCIPAL_ID})
    );
    assert_eq!(shown[1]["@odata.type"], "#microsoft.graph.group");
    assert_eq!(shown[2]["@odata.type"], "#microsoft.graph.user");
    assert_eq!(shown[2].as_object().unwrap().len(), 3);
}

#[test]
fn every_id_in_this_file_is_one() {
    let ids = [
        SERVICE_PRINCIPAL_ID,
        SYNCHRONIZATION_PRINCIPAL_ID,
        SYNCHRONIZATION_ACCOUNTS,
        claims::HYBRID_IDENTITY_ADMINISTRATOR,
    ];
    for id in ROLES.into_iter().chain(ids) {
        assert!(Uuid::try_parse(id).is_ok(), "{id}");
    }
}
