//! The manifest's shape. A field that is not known here is an error: nothing that a case demands is passed over.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[serde(rename = "about")]
    _about: String,
    pub cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(rename = "source")]
    _source: String,
    pub why: String,
    pub file: String,
    pub line: String,
    #[serde(default)]
    pub people: Vec<Person>,
    /// `name:federated` or `name:managed`, separated by commas.
    #[serde(default)]
    pub domains: String,
    /// Options of the simulated tenant.
    #[serde(default)]
    pub tenant: Vec<String>,
    #[serde(default)]
    pub replies: Vec<Twist>,
    #[serde(deserialize_with = "one_or_more")]
    pub expect: Vec<Expectation>,
}

impl Case {
    /// By when the program must have ended.
    pub fn seconds(&self) -> Option<u64> {
        self.expect.iter().filter_map(|one| one.seconds).max()
    }

    pub fn latency(&self) -> u64 {
        match self.tenant.as_slice() {
            [] => 0,
            [option, value] if option == "--latency" => value.strip_suffix("ms").unwrap().parse().unwrap(),
            other => panic!("unknown options of a tenant: {other:?}"),
        }
    }
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// How other fields speak of them.
    pub name: Option<String>,
    pub upn: String,
    pub immutable_id: Option<String>,
    pub mail: Option<String>,
    #[serde(default)]
    pub deleted: bool,
}

impl Person {
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.upn)
    }
}

/// What is returned instead of the service's own reply.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct Twist {
    pub method: Option<String>,
    /// A part of the path and query.
    pub path: Option<String>,
    /// A part of the request's body.
    pub body: Option<String>,
    /// So many matching requests pass first.
    #[serde(default)]
    pub after: u32,
    /// So many are met.
    pub times: Option<u32>,
    /// From the first that is met on, for so long.
    pub for_s: Option<f64>,
    pub reply: Reply,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    pub status: u16,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Text as it is, anything else as JSON.
    pub body: Value,
}

/// One expectation, or several of which one must hold.
fn one_or_more<'de, D: Deserializer<'de>>(given: D) -> Result<Vec<Expectation>, D::Error> {
    let several = match Value::deserialize(given)? {
        Value::Array(several) => several,
        one => vec![one],
    };
    let several = several.into_iter().map(serde_json::from_value);
    several.collect::<Result<_, _>>().map_err(D::Error::custom)
}

type Groups = Vec<Vec<String>>;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Expectation {
    pub exit: Vec<i32>,
    pub rows: Option<u64>,
    pub error_rows: Vec<u64>,
    pub no_error_rows: Vec<u64>,
    pub says: Groups,
    pub says_not: Vec<String>,
    /// Where the exit code is not 0.
    pub refused_says: Groups,
    pub row_says: BTreeMap<String, Groups>,
    pub row: BTreeMap<String, RowEnd>,
    pub outcomes: BTreeMap<String, [u64; 2]>,
    pub state: BTreeMap<String, BTreeMap<String, Value>>,
    pub max_writes: Option<u64>,
    pub seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowEnd {
    pub outcome: Vec<String>,
    #[serde(default)]
    pub says: Groups,
}
