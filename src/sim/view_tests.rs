//! Listings, and what a lagging replica shows.

use super::*;
use crate::sim::chance;
use crate::sim::odata::ODataQuery;
use crate::sim::schema::USERS;
use crate::sim::tenant::tests::tenant;

fn id(n: u8) -> uuid::Uuid {
    chance::uuid([n; 16])
}

/// Users 0 to 9 at contoso.com; the odd ones are deleted.
fn world(replication_ms: u64) -> Tenant {
    let people = (0..10).map(|n| {
        let anchor = format!("anchor{n}");
        let user = user::document(id(n), &format!("user{n}@contoso.com"), Some(&anchor));
        if n % 2 == 1 { user::deleted(&user, SimTime(0)) } else { user }
    });
    tenant(people, &[], replication_ms)
}

fn commit(tenant: &mut Tenant, user: Document, delay_ms: u64) {
    let (slot, was) = tenant.users.put(user);
    tenant.replica.record(slot, was, SimTime(0), delay_ms);
}

fn query(pairs: &[(&str, &str)]) -> ODataQuery {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    ODataQuery::parse(&pairs, &USERS, true, ApiVersion::V1).unwrap()
}

fn eyes<'a>(tenant: &'a Tenant, now: SimTime, identity: &'a Identity, key: &'a str) -> ReplicaView<'a> {
    ReplicaView { tenant, now, identity, version: ApiVersion::V1, key }
}

fn listed(world: &Tenant, collection: Collection, pairs: &[(&str, &str)]) -> (Vec<String>, Option<Slot>) {
    let identity = Identity::for_test(1);
    let query = query(pairs);
    let view = eyes(world, SimTime(0), &identity, "");
    let mut rows = view.rows(collection, query.filter.as_ref(), query.from);
    let page = rows.by_ref().take(query.page_size);
    let names = page.map(|(_, user)| user::home_upn(&user).to_owned()).collect();
    (names, rows.next().map(|(slot, _)| slot))
}

fn filtered(world: &Tenant, collection: Collection, filter: &str) -> Vec<String> {
    listed(world, collection, &[("$filter", filter), ("$count", "true")]).0
}

#[test]
fn every_filter_finds_its_user_in_its_collection_only() {
    let world = world(0);
    let odd = user::upn(world.users.by_id(id(3)).unwrap()).to_owned();
    let ids = format!("id in ('{}','{}')", id(2), id(3));
    for (live, filter) in [
        (true, "userPrincipalName eq 'USER2@contoso.com'".to_owned()),
        (true, "onPremisesImmutableId eq 'anchor2'".to_owned()),
        (true, "mail eq 'user2@contoso.com'".to_owned()),
        (true, "userPrincipalName in ('nobody@contoso.com','user2@contoso.com')".to_owned()),
        (true, "proxyAddresses/any(p:p eq 'smtp:USER2@contoso.com')".to_owned()),
        (true, "startsWith(userPrincipalName,'user2')".to_owned()),
        (true, "endsWith(mail,'2@contoso.com')".to_owned()),
        (true, ids.clone()),
        (false, format!("userPrincipalName eq '{odd}'")),
        (false, "onPremisesImmutableId eq 'anchor3'".to_owned()),
        (false, format!("userPrincipalName in ('nobody@contoso.com','{odd}')")),
        (false, "proxyAddresses/any(p:p eq 'smtp:user3@contoso.com')".to_owned()),
        (false, "mail eq 'User3@contoso.com'".to_owned()),
        (false, "endsWith(userPrincipalName,'user3@CONTOSO.com')".to_owned()),
        (false, format!("id eq '{}'", id(3))),
        (false, ids),
    ] {
        let (here, there) =
            if live { (Collection::Live, Collection::Deleted) } else { (Collection::Deleted, Collection::Live) };
        let expected = if live { "user2@contoso.com" } else { "user3@contoso.com" };
        assert_eq!(filtered(&world, here, &filter), [expected], "{filter}");
        assert!(!filtered(&world, there, &filter).contains(&expected.to_owned()), "{filter}");
    }
    assert!(filtered(&world, Collection::Deleted, "userPrincipalName eq 'user3@contoso.com'").is_empty());
}

#[test]
fn pages_together_are_the_whole_listing() {
    let world = world(0);
    let mut found = Vec::new();
    let mut from = 0;
    loop {
        let (page, next) = listed(&world, Collection::Live, &[("$top", "2"), ("$skiptoken", &from.to_string())]);
        assert!(page.len() <= 2);
        found.extend(page);
        match next {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(found, [0, 2, 4, 6, 8].map(|n| format!("user{n}@contoso.com")));
}

#[test]
fn while_a_restore_replicates_a_read_sees_one_state_or_the_other() {
    let mut world = world(1_000);
    let live = user::document(id(3), "user3@contoso.com", Some("anchor3"));
    commit(&mut world, live, 1_000);
    let key = id(3).to_string();
    let mut fresh = 0;
    for n in 0..100 {
        let identity = Identity::for_test(n);
        let reader = eyes(&world, SimTime(500), &identity, &key);
        let live = reader.live().is_some();
        assert_eq!(reader.deleted().is_some(), !live, "one request sees one state");
        let by_name = ReplicaView { key: "user3@contoso.com", ..reader };
        assert_eq!(by_name.live().is_some(), live);
        fresh += usize::from(live);
        let later = ReplicaView { now: SimTime(1_000), ..reader };
        assert!(later.live().is_some(), "the delay is over");
    }
    assert!((20..80).contains(&fresh), "{fresh} of 100 reads were fresh");
}

#[test]
fn a_moved_user_is_still_found_by_the_old_name_on_a_lagging_replica() {
    let mut world = world(1_000);
    let mut user = world.users.by_id(id(2)).unwrap().clone();
    user.insert("userPrincipalName".into(), "moved@contoso.com".into());
    commit(&mut world, user, 1_000);
    let old = query(&[("$filter", "userPrincipalName eq 'user2@contoso.com'")]);
    let stale = (0..100).filter(|n| {
        let identity = Identity::for_test(*n);
        let reader = eyes(&world, SimTime(0), &identity, "user2@contoso.com");
        let by_key = reader.live().is_some();
        assert_eq!(reader.rows(Collection::Live, old.filter.as_ref(), 0).count() == 1, by_key);
        by_key
    });
    assert!((20..80).contains(&stale.count()));
}
