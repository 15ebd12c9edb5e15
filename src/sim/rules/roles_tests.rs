//! The lists of directory roles, and the members of the groups on them.

use super::*;
use crate::sim::SimTime;
use crate::sim::tenant::tests::tenant;

/// Sixty people: ordinary ones, holders and eligible ones in turn; the first holder is deleted.
fn world(app_is_administrator: bool) -> Tenant {
    let roles = [DirectoryRole::Ordinary, DirectoryRole::Holder, DirectoryRole::Eligible];
    let people = (0..60).zip(roles.into_iter().cycle()).map(|(n, role)| {
        let octets = chance::digest(0, "test", &n.to_string());
        let id = chance::uuid(chance::first_half(&octets));
        let mut user = user::document(id, &format!("user{n}@contoso.com"), None);
        user::set_role(&mut user, role);
        if n == 1 { user::deleted(&user, SimTime(0)) } else { user }
    });
    let mut tenant = tenant(people, &[], 0);
    tenant.app_is_administrator = app_is_administrator;
    tenant
}

fn ids<'a>(people: impl Iterator<Item = &'a Document>) -> Vec<Uuid> {
    people.map(user::id).collect()
}

fn people(world: &Tenant, role: DirectoryRole) -> Vec<Uuid> {
    let mut ids = ids(world.users.privileged().filter(|user| user::role(user) == role));
    ids.sort();
    ids
}

#[test]
fn a_list_and_its_group_have_everybody_with_the_role_once() {
    let world = world(false);
    for list in [&ASSIGNMENTS, &ELIGIBILITIES] {
        let listed = holders(&world, list).map(|(principal, _)| principal);
        let direct: Vec<_> = listed
            .filter(|principal| principal.kind == "user")
            .map(|principal| user::id(&principal.document))
            .collect();
        let members = ids(list.people(&world, true));
        assert!(!direct.is_empty() && !members.is_empty());
        let mut all = [direct, members].concat();
        all.sort();
        assert_eq!(all, people(&world, list.role), "{list:?}");
    }
    assert_eq!(people(&world, DirectoryRole::Holder).len(), 19);
}

#[test]
fn services_hold_roles_and_the_app_only_when_it_does() {
    let services = |role| {
        let world = world(role);
        let all = holders(&world, &ASSIGNMENTS).map(|(principal, _)| principal);
        let all: Vec<_> = all.filter(|principal| principal.kind == "servicePrincipal").collect();
        let of_app = all.iter().filter(|principal| user::id(&principal.document) == constant(SERVICE_PRINCIPAL_ID));
        (of_app.count(), all.len())
    };
    assert_eq!(services(false), (0, 1));
    assert_eq!(services(true), (2, 3));
}

#[test]
fn a_holder_shows_its_kind_and_what_was_selected() {
    let world = world(false);
    let selected = vec!["id".to_owned(), "userPrincipalName".to_owned()];
    let shown: Vec<_> =
        holders(&world, &ASSIGNMENTS).map(|(principal, _)| principal.shown(Some(&selected), ApiVersion::V1)).collect();
    assert_eq!(
        shown[0],
        json!({"@odata.type": "#microsoft.graph.servicePrincipal", "id": SYNCHRONIZATION_PRINCIPAL_ID})
    );
    assert_eq!(shown[1]["@odata.type"], "#microsoft.graph.group");
    assert_eq!(shown[2]["@odata.type"], "#microsoft.graph.user");
    assert_eq!(shown[2].as_object().unwrap().len(), 3);
}

#[test]
fn the_id_is_made_as_in_microsofts_example() {
    let principal = constant("ace08ec9-aa11-4ada-9145-addf0398233e");
    let id = grant_id("62e90394-69f5-4237-9190-012177145e10", principal, "");
    assert_eq!(id, "lAPpYvVpN0KRkAEhdxReEMmO4KwRqtpKkUWt3wOYIz4-1");
}

#[test]
fn every_id_in_this_file_is_one() {
    let ids = [
        SERVICE_PRINCIPAL_ID,
        SYNCHRONIZATION_PRINCIPAL_ID,
        SYNCHRONIZATION_ACCOUNTS,
        token::HYBRID_IDENTITY_ADMINISTRATOR,
    ];
    for id in ROLES.into_iter().chain(ids) {
        assert!(Uuid::try_parse(id).is_ok(), "{id}");
    }
}
