//! The observed state of a row, as the job's expressions see it and the journal keeps it.

use minijinja::value::{Enumerator, Object, Serde, Value};
use serde_json::{Map, Value as JsonValue};
use std::sync::{Arc, OnceLock};

/// The observed state of a row: the job's properties, each present, null where the service has none. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct State {
    json: Arc<Map<String, JsonValue>>,
    /// The same for expressions, once one has read it.
    value: Arc<OnceLock<Value>>,
}

impl PartialEq for State {
    fn eq(&self, other: &State) -> bool {
        Arc::ptr_eq(&self.json, &other.json) || self.json == other.json
    }
}

impl State {
    /// A property; null where there is none.
    #[must_use]
    pub fn get(&self, key: &str) -> &JsonValue {
        self.find(key).unwrap_or(&JsonValue::Null)
    }

    pub(super) fn find(&self, key: &str) -> Option<&JsonValue> {
        self.json.get(key)
    }

    /// Puts another state's properties over this one's.
    pub fn merge(&mut self, changes: &State) {
        let changes = changes.json.iter();
        self.change(changes.map(|(key, value)| (key.clone(), value.clone())));
    }

    /// Gives a property another value.
    pub fn set(&mut self, key: &str, value: JsonValue) {
        self.change([(key.to_owned(), value)]);
    }

    fn change(&mut self, changes: impl IntoIterator<Item = (String, JsonValue)>) {
        Arc::make_mut(&mut self.json).extend(changes);
        self.value = Arc::default();
    }

    /// The properties, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &JsonValue)> {
        self.json.iter()
    }

    /// As JSON text, for the journal.
    #[must_use]
    pub fn to_text(&self) -> String {
        // A map with texts for keys always has JSON.
        serde_json::to_string(&*self.json).unwrap_or_default()
    }

    /// From the journal's JSON text; None when it is not an object.
    #[must_use]
    pub fn from_text(text: &str) -> Option<State> {
        let json: Map<String, JsonValue> = serde_json::from_str(text).ok()?;
        Some(json.into_iter().collect())
    }

    pub(super) fn value(&self) -> Value {
        let value = || Value::from(Serde(&*self.json));
        self.value.get_or_init(value).clone()
    }
}

impl FromIterator<(String, JsonValue)> for State {
    fn from_iter<I: IntoIterator<Item = (String, JsonValue)>>(fields: I) -> Self {
        State { json: Arc::new(fields.into_iter().collect()), ..State::default() }
    }
}

/// A state as expressions see it: what was not read is none.
#[derive(Debug)]
pub(super) struct SeenState {
    pub(super) state: Value,
    pub(super) unread: Arc<[String]>,
}

impl Object for SeenState {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let value = self.state.get_attr(key).unwrap_or_default();
        if !value.is_undefined() {
            return Some(value);
        }
        let is_unread = self.unread.iter().any(|name| name == key);
        is_unread.then(|| Value::from(()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let read = self.state.try_iter().into_iter().flatten();
        let mut names: Vec<Value> = read.collect();
        let unread = self.unread.iter().map(|name| Value::from(name.as_str()));
        for name in unread {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Enumerator::Values(names)
    }
}
