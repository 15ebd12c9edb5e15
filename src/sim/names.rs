//! Names for made-up people, with the oddities that real directories have: apostrophes, hyphens, capitals.

use super::chance;

const GIVEN: &str = "anna amir beatriz bela carla chen dana dmitri elif emil farah filip greta gustav hana \
    henrik ines ivan jana joao kaito karin lara liam mei milan nadia noah olga omar petra \
    priya rosa ruben sanna sven tara tomas yara zoe";

const FAMILY: &str = "adams andersen bauer brown costa d'angelo dubois evans fischer garcia haddad hansen ito \
    jansen jones kaya keller kim larsen lopez meyer moreau nagy novak o'brien okafor patel \
    petrov rossi sato schmidt silva smith-jones svensson tanaka virtanen walker wang weber \
    zhang";

/// How many there are of each.
const NAMES: u64 = 40;

/// One in this many names is written with capitals, since people type names as they please.
const CAPITALS_ONE_IN: u64 = 16;

/// The local part of person number `n`; no two numbers have the same one.
pub(super) fn local_part(seed: u64, n: u64) -> String {
    let pair = n % (NAMES * NAMES);
    // Neighbours differ in both names, so that a short list does not look like one family.
    let given = nth(GIVEN, pair);
    let family = nth(FAMILY, pair / NAMES + pair);
    let number = match n / (NAMES * NAMES) {
        0 => String::new(),
        round => round.to_string(),
    };
    let name = format!("{given}.{family}{number}");
    if chance::number(&chance::digest(seed, "capitals", &name)).is_multiple_of(CAPITALS_ONE_IN) {
        name.split('.').map(capitalised).collect::<Vec<_>>().join(".")
    } else {
        name
    }
}

fn nth(names: &'static str, n: u64) -> &'static str {
    let at = usize::try_from(n % NAMES).unwrap_or_default();
    names.split(' ').nth(at).unwrap_or_default()
}

/// With a capital at its beginning.
pub(super) fn capitalised(name: &str) -> String {
    let mut rest = name.chars();
    rest.next().into_iter().flat_map(char::to_uppercase).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::upn;
    use std::collections::HashSet;

    #[test]
    fn names_are_legal_and_all_different() {
        let names: HashSet<_> = (0..10_000).map(|n| local_part(7, n).to_ascii_lowercase()).collect();
        assert_eq!(names.len(), 10_000);
        assert!(names.iter().all(|name| upn::parse(&format!("{name}@contoso.com")).is_ok()));
    }

    #[test]
    fn some_names_have_capitals_and_some_signs() {
        let names: Vec<_> = (0..500).map(|n| local_part(7, n)).collect();
        assert!(names.iter().any(|name| name.starts_with(|c: char| c.is_ascii_uppercase())));
        assert!(names.iter().any(|name| name.contains('\'')) && names.iter().any(|name| name.contains('-')));
    }
}
