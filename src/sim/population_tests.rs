//! The mixture of situations, and that it does not depend on the order of people.

use super::*;
use crate::sim::document::text;
use crate::sim::user::Collection;

fn people(count: usize) -> Vec<Person> {
    let domains = ["contoso.com", "fabrikam.com"];
    let person = |n: usize| Person {
        upn: format!("Person{n}@{}", domains[n % 2]),
        temp_upn: None,
        wanted_immutable_id: Some(format!("wanted{n}==")),
    };
    (0..count).map(person).collect()
}

fn settled(people: &[Person]) -> DocumentStore {
    let population = Population::People(people.to_vec());
    population.settle(7, SimTime(0), &population.domains())
}

fn is_live(user: &Document) -> bool {
    Collection::of(user) == Collection::Live
}

#[test]
fn every_situation_occurs_in_about_its_share() {
    let directory = settled(&people(10_000));
    let count = |test: &dyn Fn(&Document) -> bool| directory.all().filter(|user| test(user)).count();
    let right = |user: &Document| {
        is_live(user)
            && !user::upn(user).starts_with("holder")
            && user::anchor(user).is_some_and(|a| a.starts_with("wanted"))
    };
    assert!((1_300..1_700).contains(&count(&right)));
    assert!((850..1_150).contains(&count(&|user| !is_live(user))));
    assert!((140..270).contains(&count(&|user| user::synced(user) == Some(true))));
    assert!((60..150).contains(&count(&|user| user::role(user) == DirectoryRole::Holder)));
    assert!((60..150).contains(&count(&|user| user::upn(user).starts_with("holder"))));
    // Half the people live in the managed domain, where nobody is stuck.
    assert!((60..150).contains(&count(&|user| user::anchor(user).is_none())));
    assert!((10_000 - 150..10_000 - 60).contains(&count(&|user| !user::upn(user).starts_with("holder"))));
}

#[test]
fn traits_have_their_shares_and_leave_situations_alone() {
    let directory = settled(&people(10_000));
    let count = |test: &dyn Fn(&Document) -> bool| directory.all().filter(|user| test(user)).count();
    let linked = |user: &Document| user::identifier(user).is_some();
    assert!((60..150).contains(&count(&|user| user::role(user) == DirectoryRole::Eligible)));
    let at_goal = |user: &Document| {
        let anchor = user::anchor(user);
        anchor.is_some_and(|anchor| anchor.starts_with("wanted"))
    };
    let elsewhere = |user: &Document| user::role(user) == DirectoryRole::Eligible && !at_goal(user);
    assert!(count(&elsewhere) > 40, "a trait of its own, and no situation's");
    assert!((2_700..3_300).contains(&count(&|user| user::synced(user) == Some(false))));
    assert!(directory.all().all(|user| linked(user) == user::synced(user).is_some()));
    assert!((200..400).contains(&count(&|user| !is_live(user) && linked(user))));
    assert_eq!(count(&|user| !is_live(user) && user::role(user) != DirectoryRole::Ordinary), 0);
    let federated = |user: &Document| text(user, "mail").is_some_and(|mail| mail.ends_with("@contoso.com"));
    assert!(directory.all().all(|user| federated(user) == user.contains_key("lastPasswordChangeDateTime")));
}

/// The name that the digest below was made with.
#[derive(Debug)]
#[allow(dead_code)]
struct UnixMillis(i64);

/// Samples, documents and files of state hang on who is in which situation, so new traits come from new draws.
#[test]
fn the_people_of_a_seed_stay_who_they_are() {
    let mut hash = Sha256::new();
    for user in settled(&people(5_000)).all() {
        let situation = (
            user::id(user).to_string(),
            user::home_upn(user),
            user::anchor(user),
            user::synced(user) == Some(true),
            user::role(user) == DirectoryRole::Holder,
            text(user, "deletedDateTime").map(|at| {
                let at: jiff::Timestamp = at.parse().unwrap();
                UnixMillis(at.as_millisecond())
            }),
        );
        hash.update(format!("{situation:?}\n"));
    }
    let digest: [u8; 32] = hash.finalize().into();
    let digest = Uuid::from_bytes(chance::first_half(&digest));
    assert_eq!(digest.simple().to_string(), "514acec7163a9e9737e401bdc2ea6966");
}

#[test]
fn the_order_of_people_does_not_matter() {
    let forwards = people(500);
    let backwards: Vec<_> = forwards.iter().rev().cloned().collect();
    let (one, other) = (settled(&forwards), settled(&backwards));
    for user in one.all() {
        assert_eq!(other.by_id(user::id(user)), Some(user));
    }
    assert_eq!(one.slots(), other.slots());
}

#[test]
fn stuck_people_stand_at_the_temporary_upn_and_keep_their_mail() {
    let directory = settled(&people(2_000));
    let stuck = directory.all().find(|user| user::anchor(user).is_none()).unwrap();
    assert!(user::upn(stuck).ends_with(INITIAL_DOMAIN));
    assert!(text(stuck, "mail").unwrap().ends_with("@contoso.com"));
}

#[test]
fn malformed_and_repeated_people_do_not_exist() {
    let mut list = people(30);
    list.extend(people(30));
    list.push(Person { upn: "not a upn".to_owned(), temp_upn: None, wanted_immutable_id: None });
    assert_eq!(settled(&list).slots(), settled(&people(30)).slots());
}

#[test]
fn the_csv_belongs_to_the_generated_people() {
    let mut text = Vec::new();
    write_csv(7, 300, &mut text).unwrap();
    let population = Population::Generated { users: 300 };
    let directory = population.settle(7, SimTime(0), &population.domains());
    let mut found = 0;
    let mut right = 0;
    for row in csv::Reader::from_reader(text.as_slice()).records() {
        let row = row.unwrap();
        let Some(slot) = directory.live_by_upn(&row[0]) else {
            continue;
        };
        found += 1;
        let wanted = anchor::of_guid(Uuid::try_parse(&row[1]).unwrap());
        right += usize::from(user::anchor(directory.get(slot).unwrap()) == Some(wanted.as_str()));
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
    let people = vec![person("a@fabrikam.com", "a@contoso.com"), person("b@contoso.com", "b@waiting.example")];
    let domains = Population::People(people).domains();
    assert_eq!(domains.find("contoso.com"), Some(DomainKind::Federated));
    assert_eq!(domains.find("waiting.example"), Some(DomainKind::Managed));
}
