//! What is the same for all rows of a run: parameters, lookups, and what is known of the app that signs in.

use super::scope::{PARAMS, Scope};
use minijinja::value::{Serde, Value};
use serde::Serialize;
use serde_json::Value as JsonValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the sign-in says of the app, as expressions see it under `app`. Each is none where it cannot be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AppFacts {
    /// The permissions it was given.
    pub permissions: Option<Vec<String>>,
    /// The template ids of the directory roles it holds.
    pub roles: Option<Vec<String>>,
    /// The id of the tenant it is signed in to.
    pub tenant: Option<String>,
}

/// What is the same for all rows of a run.
#[derive(Debug, Clone)]
pub struct Settings(pub(super) Arc<Scope>);

impl Default for Settings {
    fn default() -> Settings {
        Settings::new(&BTreeMap::new(), &serde_json::Map::new())
    }
}

impl Settings {
    /// From the parameters and what the lookups gave; nothing is known of the app.
    #[must_use]
    pub fn new(params: &BTreeMap<String, String>, lookups: &serde_json::Map<String, JsonValue>) -> Settings {
        Settings::of_values(Value::from(Serde(params)), Value::from(Serde(lookups)), &AppFacts::default())
    }

    /// The same, for that app.
    #[must_use]
    pub fn of_app(self, app: &AppFacts) -> Settings {
        let value = |name| self.0.find(name).unwrap_or_default();
        Settings::of_values(value("params"), value("lookups"), app)
    }

    fn of_values(params: Value, lookups: Value, app: &AppFacts) -> Settings {
        let app = Value::from(Serde(app));
        let scope = Scope::default().with(PARAMS, params).with("lookups", lookups).with("app", app);
        Settings(Arc::new(scope))
    }
}
