//! What a user principal name may look like. The rules are those of Microsoft's page on password and UPN policy
//! (entra-docs, concept-sspr-policy): allowed characters, lengths, no dot before the `@`. Whether the domain is
//! verified is a question for the tenant, not for the text, and is asked elsewhere.

/// Longest local part, in characters.
const LOCAL_CHARS_MAX: usize = 64;
/// Longest domain, in characters.
const DOMAIN_CHARS_MAX: usize = 48;
/// The signs allowed before the `@`, beside ASCII letters and digits.
const LOCAL_SIGNS: &str = "'.-_!#^~";

/// The two sides of a well-formed UPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) local: &'a str,
    pub(super) domain: &'a str,
}

/// Takes a UPN apart, or says which rule it breaks.
pub(super) fn parse(upn: &str) -> Result<Parts<'_>, &'static str> {
    let Some((local, domain)) = upn.split_once('@') else {
        return Err("it has no '@'");
    };
    if local.is_empty() || domain.is_empty() {
        return Err("a side of the '@' is empty");
    }
    if !local.chars().all(|c| c.is_ascii_alphanumeric() || LOCAL_SIGNS.contains(c)) {
        return Err("it contains a character that is not allowed");
    }
    if !domain.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-') {
        return Err("its domain contains a character that is not allowed");
    }
    // Both sides are ASCII from here on, so bytes are characters.
    if local.len() > LOCAL_CHARS_MAX || domain.len() > DOMAIN_CHARS_MAX {
        return Err("it is too long");
    }
    if local.ends_with('.') {
        return Err("a '.' stands right before the '@'");
    }
    Ok(Parts { local, domain })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_rule_refuses_its_own_offence() {
        let long_local = format!("{}@contoso.com", "a".repeat(65));
        let long_domain = format!("a@{}.com", "b".repeat(45));
        for bad in [
            "plain",
            "@contoso.com",
            "a@",
            "a@b@c",
            "a b@c.com",
            "é@c.com",
            "a.@c.com",
            "$a@c.com",
            &long_local,
            &long_domain,
        ] {
            assert!(parse(bad).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn the_longest_and_strangest_legal_names_are_taken() {
        let longest = format!("{}@{}.com", "a".repeat(64), "b".repeat(44));
        assert_eq!(longest.len(), 113);
        for good in ["o'brien@contoso.com", "a.b-c_d!e#f^g~h@contoso.com", &longest] {
            assert!(parse(good).is_ok(), "{good} was refused");
        }
    }

    proptest! {
        #[test]
        fn parts_put_together_again_are_the_input(upn in "[a-z.@']{0,20}") {
            if let Ok(parts) = parse(&upn) {
                prop_assert_eq!(format!("{}@{}", parts.local, parts.domain), upn);
            }
        }
    }
}
