//! Reads JSON within a bound on the memory that its values take. A bound on bytes is none: eight megabytes of small objects
//! become gigabytes.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A text beyond its letters, and what the allocator adds.
const TEXT_BYTES: usize = 48;
/// An element of a list, which grows by doubling.
const ELEMENT_BYTES: usize = 2 * size_of::<Value>();
/// An object: a node of its tree has room for eleven members, however few there are.
const OBJECT_BYTES: usize = 12 * (size_of::<String>() + size_of::<Value>());
/// A further member: nodes may be half empty.
const MEMBER_BYTES: usize = 2 * (size_of::<String>() + size_of::<Value>());

/// Why there is no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is no JSON.
    NoJson,
    /// Its values would take more memory than they may.
    TooLarge,
}

/// The value of a whole text, where it takes at most so many bytes of memory.
pub(super) fn read(text: &[u8], memory_max: usize) -> Result<Value, Unreadable> {
    let left = Cell::new(Some(memory_max));
    let mut source = serde_json::Deserializer::from_slice(text);
    let value = Bounded { left: &left }.deserialize(&mut source);
    match value.and_then(|value| source.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(_) if left.get().is_none() => Err(Unreadable::TooLarge),
        Err(_) => Err(Unreadable::NoJson),
    }
}

/// Makes a value out of what is left of the memory; none once it was used up.
#[derive(Clone, Copy)]
struct Bounded<'a> {
    left: &'a Cell<Option<usize>>,
}

impl Bounded<'_> {
    fn spend<E: Error>(self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().and_then(|left| left.checked_sub(bytes));
        self.left.set(left);
        left.map(drop).ok_or_else(|| E::custom("more than can be taken in"))
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.spend(TEXT_BYTES + text.len())?;
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = source.next_element_seed(self)? {
            self.spend(ELEMENT_BYTES)?;
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        self.spend(OBJECT_BYTES)?;
        let mut members = Map::new();
        while let Some(name) = source.next_key::<String>()? {
            self.spend(MEMBER_BYTES + TEXT_BYTES + name.len())?;
            members.insert(name, source.next_value_seed(self)?);
        }
        Ok(Value::Object(members))
    }
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
