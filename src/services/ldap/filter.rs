//! Filters (RFC 4515). Values come from a file that anybody may have written, so each is escaped; the filter around them is
//! the job's.

use super::Question;
use ldap3::ldap_escape;

/// Every entry among those of the question that has one of its values.
pub(super) fn any_of(question: &Question) -> String {
    let attribute = &question.attribute;
    let values = question.values.iter();
    let alternatives: String = values.map(|value| format!("({attribute}={})", ldap_escape(value.as_str()))).collect();
    format!("(&{}(|{alternatives}))", question.among)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ldap3::{ldap_unescape, parse_filter};
    use proptest::prelude::*;

    fn question(values: &[&str]) -> Question {
        Question {
            among: "(&(objectCategory=person)(objectClass=user))".into(),
            attribute: "userPrincipalName".into(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            wanted: Vec::new(),
        }
    }

    #[test]
    fn what_a_filter_is_made_of_is_escaped_and_the_rest_is_not() {
        assert_eq!(
            any_of(&question(&["o'neil#x@contoso.com", "a*(b)\\c\0@x"])),
            "(&(&(objectCategory=person)(objectClass=user))(|(userPrincipalName=o'neil#x@contoso.com)\
             (userPrincipalName=a\\2a\\28b\\29\\5cc\\00@x)))"
        );
    }

    proptest! {
        /// Whatever stands in a cell: the filter has one alternative a value, and each is the value.
        #[test]
        fn no_value_can_change_the_filter(values in prop::collection::vec("[ -~äß\\x00*()\\\\]{1,20}", 1..5)) {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let filter = any_of(&question(&values));
            prop_assert!(parse_filter(&filter).is_ok(), "{filter}");
            let inner = filter.split_once("(|").unwrap().1;
            let inner = inner.strip_suffix("))").unwrap();
            let found: Vec<String> = inner
                .split_inclusive(')')
                .map(|part| {
                    let part = part.strip_prefix("(userPrincipalName=").unwrap();
                    ldap_unescape(part.strip_suffix(')').unwrap()).unwrap().into_owned()
                })
                .collect();
            prop_assert_eq!(found, values);
        }
    }
}
