//! Listings, and what a lagging replica shows.

use super::*;
use crate::sim::directory::Directory;
use crate::sim::domains::Domains;
use crate::sim::lag::Lag;
use crate::sim::route::Version;
use crate::sim::world::ActorRole;

fn id(n: u8) -> UserId {
    UserId::from_octets([n; 16])
}

/// Users 0 to 9 at contoso.com; the odd ones are deleted.
fn world(replication_ms: u64) -> World {
    let mut directory = Directory::default();
    for n in 0..10 {
        let user = User::new(
            id(n),
            &format!("user{n}@contoso.com"),
            Some(&format!("anchor{n}")),
        );
        let deleted_at = (n % 2 == 1).then_some(UnixMillis(0));
        directory.put(User { deleted_at, ..user });
    }
    let lag = Lag::new(replication_ms);
    World {
        seed: 7,
        app_role: ActorRole::Nothing,
        domains: Domains::new(),
        directory,
        lag,
    }
}

fn listed(
    world: &World,
    collection: Collection,
    query: &[(&str, &str)],
) -> (Vec<String>, Option<Slot>) {
    let identity = Identity::for_test(1);
    let pairs: Vec<_> = query
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let options = Options::parse(&pairs, true, Version::V1).unwrap();
    let page = Reader {
        world,
        now: UnixMillis(0),
        identity: &identity,
    }
    .page(collection, &options);
    (
        page.users.iter().map(|user| user.upn.to_string()).collect(),
        page.next,
    )
}

fn filtered(world: &World, collection: Collection, filter: &str) -> Vec<String> {
    listed(
        world,
        collection,
        &[("$filter", filter), ("$count", "true")],
    )
    .0
}

#[test]
fn every_filter_finds_its_user_in_its_collection_only() {
    let world = world(0);
    let odd = world.directory.by_id(id(3)).unwrap().shown_upn();
    let ids = format!("id in ('{}','{}')", id(2), id(3));
    for (live, filter) in [
        (true, "userPrincipalName eq 'USER2@contoso.com'".to_owned()),
        (true, "onPremisesImmutableId eq 'anchor2'".to_owned()),
        (true, "mail eq 'user2@contoso.com'".to_owned()),
        (
            true,
            "userPrincipalName in ('nobody@contoso.com','user2@contoso.com')".to_owned(),
        ),
        (
            true,
            "proxyAddresses/any(p:p eq 'smtp:USER2@contoso.com')".to_owned(),
        ),
        (true, "startsWith(userPrincipalName,'user2')".to_owned()),
        (true, "endsWith(mail,'2@contoso.com')".to_owned()),
        (true, ids.clone()),
        (false, format!("userPrincipalName eq '{odd}'")),
        (false, "onPremisesImmutableId eq 'anchor3'".to_owned()),
        (
            false,
            format!("userPrincipalName in ('nobody@contoso.com','{odd}')"),
        ),
        (
            false,
            "proxyAddresses/any(p:p eq 'smtp:user3@contoso.com')".to_owned(),
        ),
        (false, "mail eq 'User3@contoso.com'".to_owned()),
        (
            false,
            "endsWith(userPrincipalName,'user3@CONTOSO.com')".to_owned(),
        ),
        (false, format!("id eq '{}'", id(3))),
        (false, ids),
    ] {
        let (here, there) = if live {
            (Collection::Live, Collection::Deleted)
        } else {
            (Collection::Deleted, Collection::Live)
        };
        let expected = if live {
            "user2@contoso.com"
        } else {
            "user3@contoso.com"
        };
        assert_eq!(filtered(&world, here, &filter), [expected], "{filter}");
        assert!(
            !filtered(&world, there, &filter).contains(&expected.to_owned()),
            "{filter}"
        );
    }
    assert!(
        filtered(
            &world,
            Collection::Deleted,
            "userPrincipalName eq 'user3@contoso.com'"
        )
        .is_empty()
    );
}

#[test]
fn pages_together_are_the_whole_listing() {
    let world = world(0);
    let mut found = Vec::new();
    let mut from = 0;
    loop {
        let (page, next) = listed(
            &world,
            Collection::Live,
            &[("$top", "2"), ("$skiptoken", &from.to_string())],
        );
        assert!(page.len() <= 2);
        found.extend(page);
        match next {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(
        found,
        [0, 2, 4, 6, 8].map(|n| format!("user{n}@contoso.com"))
    );
}

#[test]
fn while_a_restore_replicates_a_read_sees_one_state_or_the_other() {
    let mut world = world(1_000);
    let before = world.directory.by_id(id(3)).unwrap().clone();
    let (slot, was) = world.directory.put(User {
        deleted_at: None,
        ..before
    });
    world.lag.record(slot, was, UnixMillis(0), 1_000);
    let mut fresh = 0;
    for n in 0..100 {
        let identity = Identity::for_test(n);
        let reader = Reader {
            world: &world,
            now: UnixMillis(500),
            identity: &identity,
        };
        let live = reader.live(&UserKey::Id(id(3))).is_some();
        assert_eq!(
            reader.deleted(id(3)).is_some(),
            !live,
            "one request sees one state"
        );
        assert_eq!(
            reader
                .live(&UserKey::Upn("user3@contoso.com".to_owned()))
                .is_some(),
            live
        );
        fresh += usize::from(live);
        let later = Reader {
            now: UnixMillis(1_000),
            ..reader
        };
        assert!(
            later.live(&UserKey::Id(id(3))).is_some(),
            "the delay is over"
        );
    }
    assert!((20..80).contains(&fresh), "{fresh} of 100 reads were fresh");
}

#[test]
fn a_moved_user_is_still_found_by_the_old_name_on_a_lagging_replica() {
    let mut world = world(1_000);
    let mut user = world.directory.by_id(id(2)).unwrap().clone();
    user.move_to("moved@contoso.com");
    let (slot, was) = world.directory.put(user);
    world.lag.record(slot, was, UnixMillis(0), 1_000);
    let old = Filter::Upn(vec!["user2@contoso.com".to_owned()]);
    let stale = (0..100).filter(|n| {
        let identity = Identity::for_test(*n);
        let reader = Reader {
            world: &world,
            now: UnixMillis(0),
            identity: &identity,
        };
        let by_key = reader
            .live(&UserKey::Upn("user2@contoso.com".to_owned()))
            .is_some();
        assert_eq!(reader.count(Collection::Live, Some(&old)) == 1, by_key);
        by_key
    });
    assert!((20..80).contains(&stale.count()));
}
