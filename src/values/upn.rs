//! The rules of a user principal name, and how a broken one may be fixed.
//!
//! The rules bear IdFix's names, but where IdFix and Entra ID disagree Entra decides: an apostrophe is fine, `$` and
//! the grave accent are not, and the parts have limits of their own (Microsoft, "Self-service password reset
//! policies", table of user name policies). Each rule looks at the value as it stands in the file, never at one
//! that an earlier rule has fixed.
//!
//! Not done here: whether the domain is verified in the tenant, and whether someone else has the name; both need the
//! tenant.

use super::guid::ObjectGuid;
use super::rule::Rule;
use super::text::is_invisible;
use super::violation::{Severity, Violation};
use std::collections::HashSet;
use std::sync::LazyLock;

const TOP_LEVEL_DOMAINS: &str = include_str!("top_level_domains.txt");

/// Longest part before the @, in characters (Microsoft's user name policies; inclusive).
pub const LOCAL_CHARS_MAX: usize = 64;
/// Longest part after the @, in characters (same page; inclusive).
pub const DOMAIN_CHARS_MAX: usize = 48;
/// Longest name, in characters: both parts and the @.
pub const UPN_CHARS_MAX: usize = LOCAL_CHARS_MAX + 1 + DOMAIN_CHARS_MAX;
/// The object id before the UPN of a deleted account, in characters.
const DELETED_PREFIX_CHARS: usize = 32;
/// Longest label between two periods of a domain, in characters (RFC 1035, 2.3.4).
const LABEL_CHARS_MAX: usize = 63;

/// Endings that will never be delegated (RFC 2606, RFC 6761, RFC 6762, RFC 7686, and ICANN's
/// decisions on corp, home and internal), so Entra ID cannot verify them.
const RESERVED_TLDS: [&str; 10] =
    ["corp", "example", "home", "internal", "invalid", "lan", "local", "localhost", "onion", "test"];

/// The part before the last @, or the whole text if it has none.
pub fn local_part(upn: &str) -> &str {
    upn.rsplit_once('@').map_or(upn, |(local, _)| local)
}

/// The part after the last @, or nothing if there is no @.
pub fn domain(upn: &str) -> &str {
    upn.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// Whether two names are the same to Entra ID: without regard to case. A legal name is ASCII, so no locale matters.
pub fn same_upn(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Whether a text is one mail address and nothing else. Wider than a user principal name: `+` and the like may stand
/// before the @ (RFC 5322, dot-atom).
pub fn is_mail_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let is_atom_char = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    local.len() <= LOCAL_CHARS_MAX
        && local.chars().all(is_atom_char)
        && wrong_local_part(local).is_none()
        && domain.chars().all(is_domain_char)
        && wrong_domain(domain).is_none()
}

/// Reads a cell of a column of user principal names, with the case it has in the file.
pub fn read(cell: &str, violations: &mut Vec<Violation>) -> Option<String> {
    let found = faults(cell);
    let refused = found.iter().any(|fault| fault.severity == Severity::Error);
    violations.extend(found);
    (!refused).then(|| cell.to_owned())
}

/// What is compared where values must be unique: the name without case.
pub fn write_unique_key(upn: &str, key: &mut String) {
    let start = key.len();
    key.push_str(upn);
    if let Some(written) = key.get_mut(start..) {
        written.make_ascii_lowercase();
    }
}

/// Everything that is wrong with a user principal name, in the order in which a person would fix it. Empty if
/// nothing is. Every error carries the same suggestion: the fixed value, if that needs no guess.
pub fn faults(upn: &str) -> Vec<Violation> {
    if is_plain(upn) {
        return Vec::new();
    }
    if upn.trim().is_empty() {
        return vec![Violation::error(Rule::Blank, "there is no user principal name")];
    }
    if let Some(fault) = object_id_in_front(upn) {
        return vec![fault];
    }
    let mut faults = errors(upn);
    let repaired = if faults.is_empty() { None } else { repair(upn) };
    faults.iter_mut().for_each(|fault| fault.suggestion.clone_from(&repaired));
    faults.extend(unknown_tld(domain(upn).trim()));
    faults
}

/// Whether a name is like nearly all names, without any fault. Others may be without one, too.
fn is_plain(upn: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'\'');
    let Some((local, domain)) = upn.split_once('@') else {
        return false;
    };
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=LABEL_CHARS_MAX).contains(&label.len())
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let Some((_, tld)) = domain.rsplit_once('.') else {
        return false;
    };
    // A longer one may begin with an object id.
    local.len() < DELETED_PREFIX_CHARS
        && domain.len() <= DOMAIN_CHARS_MAX
        && local.bytes().all(is_word)
        && local.split('.').all(|word| !word.is_empty())
        && domain.split('.').all(is_label)
        && is_top_level_domain(tld)
}

/// The list of deleted users shows each UPN with the account's object id in front, without its dashes.
fn object_id_in_front(upn: &str) -> Option<Violation> {
    let (digits, rest) = upn.split_at_checked(DELETED_PREFIX_CHARS)?;
    let id = ObjectGuid::parse(digits)?;
    // Letters alone may be a name.
    let is_id = digits.contains(|c: char| c.is_ascii_digit()) && errors(rest).is_empty();
    is_id.then(|| {
        let message = format!(
            "has an object id in front, as the list of deleted users shows it; write {rest}, and where there are \
             several such accounts {id} into the column object_id"
        );
        Violation::error(Rule::Format, message).suggesting(Some(rest.to_owned()))
    })
}

/// A legal value that is meant by `upn` beyond doubt: outer and stray white space, invisible characters and
/// brackets removed, periods put right. `None` if the value is legal, if the domain is at fault (another domain may
/// be another company's), or if letters would have to go.
pub fn repair(upn: &str) -> Option<String> {
    let (local, domain) = upn.trim().rsplit_once('@')?;
    let local = local.trim_end_matches('@');
    if !local.chars().all(|c| is_upn_char(c) || is_droppable(c)) {
        return None;
    }
    let kept: String = local.chars().filter(|c| is_upn_char(*c)).collect();
    let words: Vec<&str> = kept.split('.').filter(|word| !word.is_empty()).collect();
    let repaired = format!("{}@{domain}", words.join("."));
    (repaired != upn && errors(&repaired).is_empty()).then_some(repaired)
}

/// Whether a character may be removed without changing who is meant. A colon or comma stands between two things
/// (`smtp:adele`), and a letter with an accent belongs to the name, so those stay for a person to decide.
fn is_droppable(c: char) -> bool {
    c.is_whitespace()
        || is_invisible(c)
        || matches!(c, '"' | '\u{201c}' | '\u{201d}' | '(' | ')' | '<' | '>' | '[' | ']' | '{' | '}')
}

/// Entra ID's list of characters in a user name, the separating @ left out.
fn is_upn_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '\'' | '.' | '-' | '_' | '!' | '#' | '^' | '~')
}

fn errors(upn: &str) -> Vec<Violation> {
    // Outer white space is told by itself and must not be blamed on a part again.
    let bare = upn.trim();
    let parts = bare.rsplit_once('@');
    let at_signs = match parts {
        None => Some(Violation::error(Rule::Format, "has no @; a user principal name is name@domain")),
        Some((local, _)) => local
            .contains('@')
            .then(|| Violation::error(Rule::LocalPart, "has more than one @; only one may stand, before the domain")),
    };
    let of_parts = parts.map(|(local, domain)| [wrong_local_part(local), wrong_domain(domain)]);
    let of_all = [at_signs, wrong_characters(upn), too_long(bare)];
    of_all.into_iter().chain(of_parts.into_iter().flatten()).flatten().collect()
}

fn wrong_characters(upn: &str) -> Option<Violation> {
    let fault = |message: String| Some(Violation::error(Rule::Character, message));
    if upn.starts_with("Example:") {
        return fault("is the example row of Entra's bulk template; remove the row".into());
    }
    if upn.trim() != upn {
        return fault("has white space before or after it; remove it".into());
    }
    let wrong = upn.chars().find(|c| *c != '@' && !is_upn_char(*c))?;
    fault(format!("has {}, which Entra ID does not allow in a user principal name", described(wrong)))
}

pub(super) fn described(c: char) -> String {
    let code = u32::from(c);
    if c == ' ' {
        "a blank".into()
    } else if c.is_whitespace() || is_invisible(c) {
        format!("the invisible character U+{code:04X}")
    } else if c.is_alphabetic() {
        format!("the letter {c} (U+{code:04X}; only A to Z are allowed)")
    } else {
        format!("the character {c} (U+{code:04X})")
    }
}

fn too_long(upn: &str) -> Option<Violation> {
    let limits = match upn.rsplit_once('@') {
        Some((local, domain)) => {
            vec![(local, LOCAL_CHARS_MAX, "the part before the @"), (domain, DOMAIN_CHARS_MAX, "the part after the @")]
        }
        None => vec![(upn, UPN_CHARS_MAX, "it")],
    };
    let mut lengths = limits.into_iter().map(|(text, chars_max, name)| (text.chars().count(), chars_max, name));
    let (length, chars_max, name) = lengths.find(|(length, chars_max, _)| length > chars_max)?;
    Some(Violation::error(Rule::Length, format!("{name} has {length} characters; Entra ID allows {chars_max}")))
}

fn wrong_local_part(local: &str) -> Option<Violation> {
    let message = if local.is_empty() {
        "has nothing before the @"
    } else if local.ends_with('.') {
        "has a period right before the @"
    } else if local.starts_with('.') {
        "begins with a period"
    } else if local.contains("..") {
        "has two periods in a row"
    } else {
        return None;
    };
    Some(Violation::error(Rule::LocalPart, message))
}

fn wrong_domain(domain: &str) -> Option<Violation> {
    // Characters outside the list of a whole UPN are told by themselves.
    let wrong = domain.chars().find(|c| is_upn_char(*c) && !is_domain_char(*c));
    let tld = domain.rsplit_once('.').map(|(_, tld)| tld);
    let has_label = |is_wrong: fn(&str) -> bool| domain.split('.').any(is_wrong);
    let message = match (wrong, tld) {
        _ if domain.is_empty() => "has nothing after the @".into(),
        (Some(wrong), _) => {
            format!("the domain has the character {wrong}; only letters, digits, hyphens and periods may stand there")
        }
        (None, None) => format!("the domain {domain} has no period; an entire domain name is needed"),
        (None, Some(_)) if has_label(|label| label.is_empty() || label.len() > LABEL_CHARS_MAX) => {
            "the domain has an empty or overlong part between its periods".into()
        }
        (None, Some(_)) if has_label(|label| label.starts_with('-') || label.ends_with('-')) => {
            "a part of the domain begins or ends with a hyphen".into()
        }
        (None, Some(tld)) if tld.chars().all(|c| c.is_ascii_digit()) || tld.len() < 2 => {
            format!("the domain cannot end in .{tld}")
        }
        (None, Some(_)) => return None,
    };
    Some(Violation::error(Rule::DomainPart, message))
}

fn is_domain_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.')
}

/// A warning, never an error: the list in this program grows old, and the tenant knows its domains better.
fn unknown_tld(domain: &str) -> Option<Violation> {
    let (_, tld) = domain.rsplit_once('.')?;
    if tld.is_empty() || !tld.chars().all(is_domain_char) {
        return None;
    }
    let tld = tld.to_ascii_lowercase();
    let message = if RESERVED_TLDS.contains(&tld.as_str()) {
        format!(".{tld} is reserved for private use, so Entra ID cannot verify the domain")
    } else if !is_top_level_domain(&tld) {
        format!(".{tld} is not a known top-level domain")
    } else {
        return None;
    };
    Some(Violation::warning(Rule::TopLevelDomain, message))
}

/// In lower case, as nearly all are written; [`unknown_tld`] asks again about others.
fn is_top_level_domain(tld: &str) -> bool {
    static ALL: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        let lines = TOP_LEVEL_DOMAINS.lines();
        lines.filter(|line| !line.starts_with('#')).collect()
    });
    ALL.contains(tld)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(upn: &str) -> Vec<Rule> {
        faults(upn).into_iter().map(|fault| fault.rule).collect()
    }

    #[test]
    fn legal_names_have_no_faults() {
        let longest = format!("{}@{}.com", "a".repeat(64), "b".repeat(44));
        for upn in [
            "adele@contoso.com",
            "Miles.O'Brien@contoso.onmicrosoft.com",
            "_a-b_!#^~@x-1.co.uk",
            "guest_fabrikam.com#EXT#@contoso.onmicrosoft.com",
            "jo@xn--mnchen-3ya.de",
            longest.as_str(),
        ] {
            assert_eq!(faults(upn), [], "{upn}");
        }
    }

    #[test]
    fn each_rule_has_the_name_that_idfix_gives_it() {
        let table: [(&str, &[Rule]); 24] = [
            ("", &[Rule::Blank]),
            (" \u{a0}", &[Rule::Blank]),
            ("adele", &[Rule::Format]),
            ("a@@b.com", &[Rule::LocalPart]),
            ("@contoso.com", &[Rule::LocalPart]),
            ("adele@", &[Rule::DomainPart]),
            (" adele@contoso.com", &[Rule::Character]),
            ("adele@contoso.com\u{a0}", &[Rule::Character]),
            ("adele vance@contoso.com", &[Rule::Character]),
            ("a+b@contoso.com", &[Rule::Character]),
            ("jürgen@contoso.com", &[Rule::Character]),
            ("a$b@contoso.com", &[Rule::Character]),
            ("a&&&@lab&&&.com", &[Rule::Character]),
            ("a@münchen.de", &[Rule::Character]),
            ("adele.@contoso.com", &[Rule::LocalPart]),
            (".adele@contoso.com", &[Rule::LocalPart]),
            ("a..b@contoso.com", &[Rule::LocalPart]),
            ("adele@contoso", &[Rule::DomainPart]),
            ("adele@con_toso.com", &[Rule::DomainPart]),
            ("adele@contoso..com", &[Rule::DomainPart]),
            ("adele@-contoso.com", &[Rule::DomainPart]),
            ("adele@10.0.0.1", &[Rule::DomainPart, Rule::TopLevelDomain]),
            ("adele@contoso.local", &[Rule::TopLevelDomain]),
            ("adele@contoso.notatld", &[Rule::TopLevelDomain]),
        ];
        for (upn, expected) in table {
            assert_eq!(rules(upn), expected, "{upn}");
        }
    }

    #[test]
    fn the_parts_may_have_64_and_48_characters() {
        let domain = format!("{}.com", "b".repeat(44));
        assert_eq!(rules(&format!("{}@{domain}", "a".repeat(65))), [Rule::Length]);
        assert_eq!(rules(&format!("a@b{domain}")), [Rule::Length]);
    }

    #[test]
    fn an_odd_top_level_domain_is_a_warning_only() {
        assert!(faults("adele@contoso.local").iter().all(|fault| fault.severity == Severity::Warning));
    }

    #[test]
    fn a_suggestion_needs_no_guess() {
        let table = [
            ("  adele@contoso.com ", Some("adele@contoso.com")),
            ("adele\u{200b}@contoso.com", Some("adele@contoso.com")),
            ("a@@contoso.com", Some("a@contoso.com")),
            (".a..b.@contoso.com", Some("a.b@contoso.com")),
            ("adele@contoso.com", None),
            ("jürgen@contoso.com", None),
            ("smtp:adele@contoso.com", None),
            ("a@b.com@contoso.com", None),
            ("adele@münchen.de", None),
            ("adele@contoso", None),
            ("Example: chris@contoso.com", None),
        ];
        for (upn, expected) in table {
            assert_eq!(repair(upn).as_deref(), expected, "{upn}");
        }
        assert_eq!(faults(" adele@contoso.com")[0].suggestion.as_deref(), Some("adele@contoso.com"));
    }

    #[test]
    fn a_upn_from_the_list_of_deleted_users_is_taken_apart() {
        let found = faults("9c5923e9de5243ea88de7ebc8633b94danna@contoso.com");
        assert_eq!(
            (found.len(), found[0].severity, found[0].suggestion.as_deref()),
            (1, Severity::Error, Some("anna@contoso.com"))
        );
        let message = &found[0].message;
        assert!(message.contains("object id in front"), "{message}");
        assert!(message.contains("9c5923e9-de52-43ea-88de-7ebc8633b94d"), "{message}");
        // The digits alone are a name like any other.
        assert_eq!(faults("9c5923e9de5243ea88de7ebc8633b94d@contoso.com"), []);
    }

    #[test]
    fn a_mail_address_is_one_and_no_more() {
        for text in ["anna@contoso.com", "anna+test@contoso.com", "Miles.O'Brien@sub.contoso.co.uk"] {
            assert!(is_mail_address(text), "{text}");
        }
        for text in [
            "anna",
            "@contoso.com",
            "anna@",
            "anna@contoso",
            "a@b@contoso.com",
            "anna@contoso.com;bob@contoso.com",
            "anna @contoso.com",
            "anna@contoso.c...",
            "anna\u{ff20}contoso.com",
            "<anna@contoso.com>",
            "smtp:anna@contoso.com",
        ] {
            assert!(!is_mail_address(text), "{text}");
        }
    }

    #[test]
    fn names_are_compared_without_case() {
        assert!(same_upn("Adele@Contoso.com", "adele@contoso.COM"));
        assert!(!same_upn("adele@contoso.com", "adele@contoso.org"));
        assert_eq!((local_part("a@b"), domain("a@b"), local_part("a"), domain("a")), ("a", "b", "a", ""));
    }

    proptest! {
        #[test]
        fn a_plain_name_has_no_faults(upn in "[a-c.'0-9_-]{0,34}@[a-c.-]{0,50}[.](com|de|local|[a-z]{2})") {
            let unhurried = [errors(&upn), object_id_in_front(&upn).into_iter().collect(), unknown_tld(domain(&upn)).into_iter().collect()];
            prop_assert!(!is_plain(&upn) || unhurried.concat().is_empty(), "{:?}", unhurried);
        }

        #[test]
        fn a_repair_passes_the_rules_and_keeps_the_domain(upn in "[ a.ü'\u{200b}<&:@]{0,8}@?[ b._-]{0,3}(com)?") {
            if let Some(repaired) = repair(&upn) {
                prop_assert_eq!(errors(&repaired), []);
                prop_assert_eq!(domain(&repaired), domain(upn.trim()));
                prop_assert_eq!(repair(&repaired), None);
            }
        }

        #[test]
        fn no_text_makes_the_rules_panic(upn in "\\PC{0,40}") {
            let blank = upn.trim().is_empty();
            prop_assert_eq!(rules(&upn).contains(&Rule::Blank), blank);
        }
    }
}
