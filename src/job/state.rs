//! The observed state of a row, as the job's expressions see it and the journal keeps it.

use minijinja::value::{Serde, Value};
use serde_json::Value as JsonValue;

/// The observed state of a row: the job's properties, each present, null where the service has none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State(pub(super) serde_json::Map<String, JsonValue>);

impl State {
    /// A property; null where there is none.
    #[must_use]
    pub fn get(&self, key: &str) -> &JsonValue {
        self.0.get(key).unwrap_or(&JsonValue::Null)
    }

    /// Puts another state's properties over this one's.
    pub fn merge(&mut self, changes: &State) {
        for (key, value) in &changes.0 {
            self.0.insert(key.clone(), value.clone());
        }
    }

    /// Gives a property another value.
    pub fn set(&mut self, key: &str, value: JsonValue) {
        self.0.insert(key.to_owned(), value);
    }

    /// The properties, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &JsonValue)> {
        self.0.iter()
    }

    /// As JSON text, for the journal.
    #[must_use]
    pub fn to_text(&self) -> String {
        JsonValue::Object(self.0.clone()).to_string()
    }

    /// From the journal's JSON text; None when it is not an object.
    #[must_use]
    pub fn from_text(text: &str) -> Option<State> {
        serde_json::from_str(text).ok().map(State)
    }

    pub(super) fn value(&self) -> Value {
        Value::from(Serde(&self.0))
    }
}

impl FromIterator<(String, JsonValue)> for State {
    fn from_iter<I: IntoIterator<Item = (String, JsonValue)>>(fields: I) -> Self {
        State(fields.into_iter().collect())
    }
}
