//! Reads JSON within a bound on the memory that its values take. A bound on bytes is none: eight megabytes of small objects
//! become gigabytes.

use serde_json::Value;

/// A text beyond its letters, and what the allocator adds.
const TEXT_BYTES: usize = 48;
/// An element of a list, which grows by doubling.
const ELEMENT_BYTES: usize = 2 * size_of::<Value>();
/// An object: a node of its tree has room for eleven members, however few there are.
const OBJECT_BYTES: usize = 12 * (size_of::<String>() + size_of::<Value>());
/// A further member beyond what the comma before it counts for: nodes may be half empty.
const MEMBER_BYTES: usize = 2 * (size_of::<String>() + size_of::<Value>()) - ELEMENT_BYTES;

/// Why there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is no JSON.
    NoJson,
    /// Its values would take more memory than they may.
    TooLarge,
}

/// The value of a whole text, where it takes at most so many bytes of memory.
pub(super) fn read(text: &[u8], memory_max: usize) -> Result<Value, Unreadable> {
    if memory_of(text) > memory_max {
        return Err(Unreadable::TooLarge);
    }
    serde_json::from_slice(text).map_err(|_| Unreadable::NoJson)
}

/// About what the values of a text will take: each of its letters, and what the marks between its values stand for.
fn memory_of(text: &[u8]) -> usize {
    let mut bytes = text.len();
    let mut letters = text.iter();
    while let Some(letter) = letters.next() {
        bytes += match letter {
            b'"' => {
                // To the end of the text; what a backslash escapes does not end it.
                while let Some(letter) = letters.next().filter(|letter| **letter != b'"') {
                    if *letter == b'\\' {
                        letters.next();
                    }
                }
                TEXT_BYTES
            }
            b'[' | b',' => ELEMENT_BYTES,
            b'{' => OBJECT_BYTES,
            b':' => MEMBER_BYTES,
            _ => 0,
        };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLENTY: usize = 1 << 20;

    #[test]
    fn small_values_in_great_number_are_too_large() {
        for one in ["{\"a\":1}", "[]", "\"\"", "0", "{\"a\":{\"a\":{}}}"] {
            let list = |count: usize| format!("[{}]", vec![one; count].join(","));
            assert!(read(list(100).as_bytes(), PLENTY).is_ok(), "{one}");
            let many = list(100_000);
            assert_eq!(read(many.as_bytes(), PLENTY), Err(Unreadable::TooLarge), "{one}");
        }
        let long = format!("\"{}\"", "x".repeat(PLENTY));
        assert_eq!(read(long.as_bytes(), PLENTY), Err(Unreadable::TooLarge));
    }

    #[test]
    fn what_is_cut_short_or_goes_on_is_no_json() {
        for text in ["", "{", "{\"a\":1", "[1,", "{} {}", "<html>", "nul", "\"a"] {
            assert_eq!(read(text.as_bytes(), PLENTY), Err(Unreadable::NoJson), "{text}");
        }
    }

    /// Values that JSON can hold.
    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e9..1e9).prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            let list = proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from);
            let members = proptest::collection::btree_map(".{0,4}", inner, 0..6);
            prop_oneof![list, members.prop_map(|members| Value::Object(members.into_iter().collect()))]
        })
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_reads(value in any_value()) {
            let text = value.to_string();
            prop_assert_eq!(read(text.as_bytes(), PLENTY), Ok(value));
        }

        #[test]
        fn any_bytes_are_answered(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read = read(&text, PLENTY);
            let theirs = serde_json::from_slice::<Value>(&text);
            prop_assert_eq!(read.ok(), theirs.ok());
        }
    }
}
