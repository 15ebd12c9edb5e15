//! The mixture of situations, and that it does not depend on the order of people.

use super::*;
use crate::sim::property::Property;

fn people(count: usize) -> Vec<Person> {
    let domains = ["contoso.com", "fabrikam.com"];
    let person = |n: usize| Person {
        upn: format!("Person{n}@{}", domains[n % 2]),
        temp_upn: None,
        wanted_immutable_id: Some(format!("wanted{n}==")),
    };
    (0..count).map(person).collect()
}

fn settled(people: &[Person]) -> Directory {
    let population = Population::People(people.to_vec());
    population.settle(7, UnixMillis(0), &population.domains())
}

fn users(directory: &Directory) -> impl Iterator<Item = &User> {
    (0..directory.slots()).filter_map(|slot| directory.get(slot))
}

#[test]
fn every_situation_occurs_in_about_its_share() {
    let directory = settled(&people(10_000));
    let count = |test: &dyn Fn(&User) -> bool| users(&directory).filter(|user| test(user)).count();
    let right = |user: &User| {
        user.is_live()
            && !user.upn.starts_with("holder")
            && user
                .immutable_id
                .as_deref()
                .is_some_and(|a| a.starts_with("wanted"))
    };
    assert!((1_300..1_700).contains(&count(&right)));
    assert!((850..1_150).contains(&count(&|user| !user.is_live())));
    assert!((140..270).contains(&count(&|user| user.sync == Sync::Active)));
    assert!((60..150).contains(&count(&|user| user.role == Role::Administrator)));
    assert!((60..150).contains(&count(&|user| user.upn.starts_with("holder"))));
    // Half the people live in the managed domain, where nobody is stuck.
    assert!((60..150).contains(&count(&|user| user.immutable_id.is_none())));
    assert!((10_000 - 150..10_000 - 60).contains(&count(&|user| !user.upn.starts_with("holder"))));
}

#[test]
fn traits_have_their_shares_and_leave_situations_alone() {
    let directory = settled(&people(10_000));
    let count = |test: &dyn Fn(&User) -> bool| users(&directory).filter(|user| test(user)).count();
    let linked = |user: &User| user.written(Property::OnPremisesObjectIdentifier).is_some();
    assert!((60..150).contains(&count(&|user| user.role == Role::Eligible)));
    let at_goal = |user: &User| {
        let anchor = user.immutable_id.as_deref();
        anchor.is_some_and(|anchor| anchor.starts_with("wanted"))
    };
    let elsewhere = |user: &User| user.role == Role::Eligible && !at_goal(user);
    assert!(
        count(&elsewhere) > 40,
        "a trait of its own, and no situation's"
    );
    assert!((2_700..3_300).contains(&count(&|user| user.sync == Sync::Ended)));
    assert!(users(&directory).all(|user| linked(user) == (user.sync != Sync::Never)));
    assert!((200..400).contains(&count(&|user| !user.is_live() && linked(user))));
    assert_eq!(
        count(&|user| !user.is_live() && user.role != Role::Ordinary),
        0
    );
    let federated = |user: &User| {
        user.mail_address()
            .is_some_and(|mail| mail.ends_with("@contoso.com"))
    };
    assert!(users(&directory).all(|user| federated(user) == (user.password == Password::Never)));
}

/// Samples, documents and files of state hang on who is in which situation, so new traits come from new draws.
#[test]
fn the_people_of_a_seed_stay_who_they_are() {
    let mut hash = Sha256::new();
    for user in users(&settled(&people(5_000))) {
        let situation = (
            user.id.to_string(),
            &user.upn,
            &user.immutable_id,
            user.sync == Sync::Active,
            user.role == Role::Administrator,
            user.deleted_at,
        );
        hash.update(format!("{situation:?}\n"));
    }
    let digest: [u8; 32] = hash.finalize().into();
    let digest = Uuid::from_bytes(chance::first_half(&digest));
    assert_eq!(
        digest.simple().to_string(),
        "514acec7163a9e9737e401bdc2ea6966"
    );
}

#[test]
fn the_order_of_people_does_not_matter() {
    let forwards = people(500);
    let backwards: Vec<_> = forwards.iter().rev().cloned().collect();
    let (one, other) = (settled(&forwards), settled(&backwards));
    for user in users(&one) {
        assert_eq!(other.by_id(user.id), Some(user));
    }
    assert_eq!(one.slots(), other.slots());
}

#[test]
fn stuck_people_stand_at_the_temporary_upn_and_keep_their_mail() {
    let directory = settled(&people(2_000));
    let stuck = users(&directory)
        .find(|user| user.immutable_id.is_none())
        .unwrap();
    assert!(stuck.upn.ends_with(INITIAL_DOMAIN));
    assert!(stuck.mail_address().unwrap().ends_with("@contoso.com"));
}

#[test]
fn malformed_and_repeated_people_do_not_exist() {
    let mut list = people(30);
    list.extend(people(30));
    list.push(Person {
        upn: "not a upn".to_owned(),
        temp_upn: None,
        wanted_immutable_id: None,
    });
    assert_eq!(settled(&list).slots(), settled(&people(30)).slots());
}

#[test]
fn the_csv_belongs_to_the_generated_people() {
    let mut text = Vec::new();
    write_csv(7, 300, &mut text).unwrap();
    let population = Population::Generated { users: 300 };
    let directory = population.settle(7, UnixMillis(0), &population.domains());
    let mut found = 0;
    let mut right = 0;
    for row in csv::Reader::from_reader(text.as_slice()).records() {
        let row = row.unwrap();
        let Some(slot) = directory.live_by_upn(&row[0]) else {
            continue;
        };
        found += 1;
        let wanted = anchor::of_guid(Uuid::try_parse(&row[1]).unwrap());
        right += usize::from(
            directory.get(slot).unwrap().immutable_id.as_deref() == Some(wanted.as_str()),
        );
    }
    assert!(found > 240 && right > 20, "{found} found, {right} right");
}

#[test]
fn homes_decide_about_domains_before_temporary_upns_do() {
    let person = |upn: &str, temp: &str| Person {
        upn: upn.to_owned(),
        temp_upn: Some(temp.to_owned()),
        wanted_immutable_id: None,
    };
    let people = vec![
        person("a@fabrikam.com", "a@contoso.com"),
        person("b@contoso.com", "b@waiting.example"),
    ];
    let domains = Population::People(people).domains();
    assert_eq!(domains.find("contoso.com"), Some(Authentication::Federated));
    assert_eq!(
        domains.find("waiting.example"),
        Some(Authentication::Managed)
    );
}
