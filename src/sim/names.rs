//! Names for made-up people, with the oddities that real directories have: apostrophes, hyphens, capitals.

use super::chance;

const GIVEN: [&str; 40] = [
    "anna", "amir", "beatriz", "bela", "carla", "chen", "dana", "dmitri", "elif", "emil", "farah",
    "filip", "greta", "gustav", "hana", "henrik", "ines", "ivan", "jana", "joao", "kaito", "karin",
    "lara", "liam", "mei", "milan", "nadia", "noah", "olga", "omar", "petra", "priya", "rosa",
    "ruben", "sanna", "sven", "tara", "tomas", "yara", "zoe",
];

const FAMILY: [&str; 40] = [
    "adams",
    "andersen",
    "bauer",
    "brown",
    "costa",
    "d'angelo",
    "dubois",
    "evans",
    "fischer",
    "garcia",
    "haddad",
    "hansen",
    "ito",
    "jansen",
    "jones",
    "kaya",
    "keller",
    "kim",
    "larsen",
    "lopez",
    "meyer",
    "moreau",
    "nagy",
    "novak",
    "o'brien",
    "okafor",
    "patel",
    "petrov",
    "rossi",
    "sato",
    "schmidt",
    "silva",
    "smith-jones",
    "svensson",
    "tanaka",
    "virtanen",
    "walker",
    "wang",
    "weber",
    "zhang",
];

/// One in this many names is written with capitals, since people type names as they please.
const CAPITALS_ONE_IN: u64 = 16;

/// The local part of person number `n`; no two numbers have the same one.
pub(super) fn local_part(seed: u64, n: u64) -> String {
    let pairs = (GIVEN.len() * FAMILY.len()) as u64;
    let pair = usize::try_from(n % pairs).unwrap_or(0);
    // Neighbours differ in both names, so that a short list does not look like one family.
    let given = GIVEN[pair % GIVEN.len()];
    let family = FAMILY[(pair / GIVEN.len() + pair) % FAMILY.len()];
    let number = match n / pairs {
        0 => String::new(),
        round => round.to_string(),
    };
    let name = format!("{given}.{family}{number}");
    if chance::number(&chance::digest(seed, "capitals", &name)).is_multiple_of(CAPITALS_ONE_IN) {
        capitalised(&name)
    } else {
        name
    }
}

fn capitalised(name: &str) -> String {
    let parts = name.split('.').map(|part| {
        let (first, rest) = part.split_at(1);
        format!("{}{rest}", first.to_ascii_uppercase())
    });
    parts.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::upn;
    use std::collections::HashSet;

    #[test]
    fn names_are_legal_and_all_different() {
        let names: HashSet<_> = (0..10_000)
            .map(|n| local_part(7, n).to_ascii_lowercase())
            .collect();
        assert_eq!(names.len(), 10_000);
        assert!(
            names
                .iter()
                .all(|name| upn::parse(&format!("{name}@contoso.com")).is_ok())
        );
    }

    #[test]
    fn some_names_have_capitals_and_some_signs() {
        let names: Vec<_> = (0..500).map(|n| local_part(7, n)).collect();
        assert!(
            names
                .iter()
                .any(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))
        );
        assert!(
            names.iter().any(|name| name.contains('\''))
                && names.iter().any(|name| name.contains('-'))
        );
    }
}
