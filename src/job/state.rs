//! The observed state of a row, as the job's expressions see it and the journal keeps it.

use super::expr::to_json;
use super::filters::are_equal;
use minijinja::value::{Enumerator, Object, Serde, Value, ValueKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The observed state of a row: the job's properties, each present, none where the service has none. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct State(Arc<StateFields>);

/// By name, in the order of the names.
#[derive(Debug, Clone, Default)]
struct StateFields(Vec<StateField>);

type StateField = (Arc<str>, Value);

impl PartialEq for State {
    fn eq(&self, other: &State) -> bool {
        let is_same =
            |(property, other): (&StateField, &StateField)| property.0 == other.0 && are_equal(&property.1, &other.1);
        let (fields, others) = (&self.0.0, &other.0.0);
        Arc::ptr_eq(&self.0, &other.0) || (fields.len() == others.len() && fields.iter().zip(others).all(is_same))
    }
}

impl State {
    /// A property; none where it was not read.
    #[must_use]
    pub fn get(&self, name: &str) -> Value {
        self.find(name).cloned().unwrap_or(Value::from(()))
    }

    pub(super) fn find(&self, name: &str) -> Option<&Value> {
        let at = self.0.position(name).ok()?;
        Some(&self.0.0[at].1)
    }

    /// Puts another state's properties over this one's.
    pub fn merge(&mut self, changes: &State) {
        for (name, value) in &changes.0.0 {
            self.set(name, value.clone());
        }
    }

    /// Gives a property another value.
    pub fn set(&mut self, name: &str, value: Value) {
        let properties = Arc::make_mut(&mut self.0);
        match properties.position(name) {
            Ok(at) => properties.0[at].1 = value,
            Err(at) => properties.0.insert(at, (Arc::from(name), value)),
        }
    }

    /// The properties, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.0.iter().map(|(name, value)| (&**name, value))
    }

    /// As JSON text, for the journal.
    #[must_use]
    pub fn to_text(&self) -> String {
        // A map with texts for keys always has JSON.
        serde_json::to_string(&self.value()).unwrap_or_default()
    }

    /// From the journal's JSON text; None when it is not an object.
    #[must_use]
    pub fn from_text(text: &str) -> Option<State> {
        let properties: BTreeMap<String, Value> = serde_json::from_str(text).ok()?;
        Some(properties.into_iter().map(|(name, value)| (Arc::from(name), value)).collect())
    }

    /// As expressions see it: what was not read is none.
    pub(super) fn value(&self) -> Value {
        Value::from_dyn_object(Arc::clone(&self.0))
    }
}

impl FromIterator<StateField> for State {
    fn from_iter<I: IntoIterator<Item = StateField>>(properties: I) -> Self {
        let properties: BTreeMap<Arc<str>, Value> = properties.into_iter().collect();
        State(Arc::new(StateFields(properties.into_iter().collect())))
    }
}

impl StateFields {
    /// Where a property stands, or else where it would.
    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }
}

impl Object for StateFields {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        Some(State(Arc::clone(self)).get(key))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.iter().map(|(name, _)| Value::from(Arc::clone(name))).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }
}

/// A value that no longer depends on what it was made of, and is the same when it is read back from the journal.
pub(super) fn kept(value: Value) -> Value {
    match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::String => value,
        _ => Value::from(Serde(to_json(&value))),
    }
}
