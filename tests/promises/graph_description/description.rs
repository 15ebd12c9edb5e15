//! Microsoft's description of Graph as a judge: what is wrong with a request, and what is wrong with a reply to it.

use super::schema;
use jsonschema::{Draft, Validator};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

const GENERATED: &str = include_str!("openapi.yaml");
const DOCUMENTED: &str = include_str!("documented.yaml");

/// Characters of a path segment (RFC 3986, pchar) beside letters, digits and what is percent-encoded.
const SEGMENT_CHARACTERS: &str = "-._~!$&'()*+,;=:@%";
/// What a service puts into its own links to next pages.
const OF_NEXT_PAGES: [&str; 2] = ["$skiptoken", "$skip"];

/// A request as it leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    pub method: &'static str,
    /// Under the version's root, with its query.
    pub path: String,
    /// The job's own headers.
    pub headers: Vec<(String, String)>,
    pub body: Option<Value>,
    /// The address is one that the service gave for a next page.
    pub is_next_page: bool,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Came {
    pub status: u16,
    pub body: Vec<u8>,
}

pub struct Description {
    document: Value,
    definitions: Value,
    /// By the text of the schema: there are a few, and making a validator takes longer than using it.
    validators: RefCell<HashMap<String, Rc<Validator>>>,
}

impl Description {
    pub fn read() -> Description {
        let mut document: Value = serde_yaml_ng::from_str(GENERATED).unwrap();
        let documented: Value = serde_yaml_ng::from_str(DOCUMENTED).unwrap();
        lay_over(&mut document, &documented);
        let definitions = schema::definitions(schemas(&document));
        Description { document, definitions, validators: RefCell::default() }
    }

    /// Everything that is wrong with a request.
    pub fn faults_of_request(&self, sent: &Sent) -> Vec<String> {
        let (path, query) = sent.path.split_once('?').unwrap_or((&sent.path, ""));
        let (template, operation) = match self.operation(sent.method, path) {
            Ok(found) => found,
            Err(fault) => return vec![fault],
        };
        let mut faults = illegal_characters(path, query);
        faults.extend(self.faults_of_segments(template, path, operation));
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let is_of_service = OF_NEXT_PAGES.iter().any(|name| pair.starts_with(name));
            if !(sent.is_next_page && is_of_service) {
                faults.extend(self.faults_of_pair(pair, operation));
            }
        }
        for (name, value) in &sent.headers {
            match self.parameter(operation, "header", name) {
                Some(parameter) => faults.extend(self.faults_of_value(&parameter, value, name)),
                None => faults.push(format!("the header {name} is not described")),
            }
        }
        faults.extend(self.faults_of_body(operation, sent.body.as_ref()));
        faults
    }

    /// Everything that is wrong with the reply to a request.
    pub fn faults_of_reply(&self, sent: &Sent, came: &Came) -> Vec<String> {
        let path = sent.path.split('?').next().unwrap_or_default();
        let operation = match self.operation(sent.method, path) {
            Ok((_, operation)) => operation,
            Err(fault) => return vec![fault],
        };
        let responses = &operation["responses"];
        let is_good = (200..300).contains(&came.status);
        let exact = responses.get(came.status.to_string());
        let general = responses.get(if is_good { "2XX" } else { "default" });
        let Some(response) = exact.or(general).map(|response| self.resolved(response)) else {
            return vec![format!("status {} is not described", came.status)];
        };
        let schema = &response["content"]["application/json"]["schema"];
        match (schema.is_null(), came.body.is_empty()) {
            (true, true) => Vec::new(),
            (true, false) => vec![format!("status {} has a body", came.status)],
            (false, true) => vec![format!("status {} has no body", came.status)],
            (false, false) => match serde_json::from_slice(&came.body) {
                Ok(body) => self.faults_of_json(schema, &body, "the reply's body"),
                Err(error) => vec![format!("the reply's body is no JSON: {error}")],
            },
        }
    }

    /// The error schema alone, for bodies that are written down.
    pub fn faults_of_error(&self, body: &Value) -> Vec<String> {
        let schema = json!({"$ref": "#/components/schemas/microsoft.graph.ODataErrors.ODataError"});
        self.faults_of_json(&schema, body, "the error")
    }

    /// The operations that the documentation, and not the description, speaks for.
    pub fn documented() -> Vec<(String, Value)> {
        let documented: Value = serde_yaml_ng::from_str(DOCUMENTED).unwrap();
        let paths = documented["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap();
            methods.iter().map(move |(method, operation)| (format!("{method} {path}"), operation.clone()))
        });
        operations.collect()
    }

    fn operation(&self, method: &str, path: &str) -> Result<(&str, &Value), String> {
        let paths = self.document["paths"].as_object().unwrap();
        let fitting = paths.iter().filter(|(template, _)| fits(template, path));
        // A word is meant rather than any value: /deletedItems/microsoft.graph.user is no object of that id.
        let (template, methods) = fitting
            .min_by_key(|(template, _)| template.matches('{').count())
            .ok_or_else(|| format!("the path {path} is not described"))?;
        let operation =
            methods.get(method.to_ascii_lowercase()).ok_or_else(|| format!("{method} {template} is not described"))?;
        Ok((template, operation))
    }

    fn faults_of_segments(&self, template: &str, path: &str, operation: &Value) -> Vec<String> {
        let pairs = template.split('/').zip(path.split('/'));
        let values = pairs.filter_map(|(name, value)| Some((name.strip_prefix('{')?.strip_suffix('}')?, value)));
        values
            .flat_map(|(name, value)| {
                match (decoded(value), self.parameter(operation, "path", name)) {
                    (Err(fault), _) => vec![fault],
                    (Ok(value), Some(parameter)) => self.faults_of_value(&parameter, &value, name),
                    // Those of the overlay are names of keys, which are text.
                    (Ok(_), None) => Vec::new(),
                }
            })
            .collect()
    }

    fn faults_of_pair(&self, pair: &str, operation: &Value) -> Vec<String> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = match (decoded(name), decoded(value)) {
            (Ok(name), Ok(value)) => (name, value),
            (Err(fault), _) | (_, Err(fault)) => return vec![fault],
        };
        match self.parameter(operation, "query", &name) {
            Some(parameter) => self.faults_of_value(&parameter, &value, &name),
            None => vec![format!("the query parameter {name} is not described")],
        }
    }

    fn parameter(&self, operation: &Value, place: &str, name: &str) -> Option<Value> {
        let parameters = operation["parameters"].as_array()?.iter();
        let mut parameters = parameters.map(|parameter| self.resolved(parameter));
        let found = parameters.find(|parameter| {
            let same_name = parameter["name"].as_str().is_some_and(|known| match place {
                "header" => known.eq_ignore_ascii_case(name),
                _ => known == name,
            });
            same_name && parameter["in"] == place
        })?;
        let mut found = found.clone();
        if let Some(path) = found["schema"]["x-as-in"].as_str() {
            let other = &self.document["paths"][path]["get"];
            found = self.parameter(other, place, name).unwrap();
        }
        Some(found)
    }

    /// A value as it stands in a path, a query or a header: text, whatever its schema says it stands for.
    fn faults_of_value(&self, parameter: &Value, value: &str, name: &str) -> Vec<String> {
        let schema = &parameter["schema"];
        let typed = match schema["type"].as_str() {
            Some("array") => value.split(',').collect(),
            Some("boolean" | "integer" | "number") => match serde_json::from_str(value) {
                Ok(typed) => typed,
                Err(_) => json!(value),
            },
            _ => json!(value),
        };
        self.faults_of_json(schema, &typed, name)
    }

    fn faults_of_body(&self, operation: &Value, body: Option<&Value>) -> Vec<String> {
        let described = &operation["requestBody"];
        match (described.is_null(), body) {
            (true, None) => Vec::new(),
            (true, Some(_)) => vec!["a body is sent, and none is described".into()],
            (false, None) if described["required"] == true => vec!["a body is missing".into()],
            (false, None) => Vec::new(),
            (false, Some(body)) => {
                let schema = &described["content"]["application/json"]["schema"];
                self.faults_of_json(schema, body, "the body")
            }
        }
    }

    fn faults_of_json(&self, schema: &Value, value: &Value, what: &str) -> Vec<String> {
        let validator = self.validator(schema);
        let errors = validator.iter_errors(value);
        errors.map(|error| format!("{what}: {error}")).collect()
    }

    fn validator(&self, schema: &Value) -> Rc<Validator> {
        let key = schema.to_string();
        if let Some(validator) = self.validators.borrow().get(&key) {
            return Rc::clone(validator);
        }
        let mut whole = schema::whole(schema, schemas(&self.document));
        whole["$defs"] = self.definitions.clone();
        let options = jsonschema::options();
        let options = options.with_draft(Draft::Draft202012).should_validate_formats(true);
        let validator = Rc::new(options.build(&whole).unwrap());
        self.validators.borrow_mut().insert(key, Rc::clone(&validator));
        validator
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str().and_then(|name| name.strip_prefix('#')) {
            Some(pointer) => self.document.pointer(pointer).unwrap(),
            None => value,
        }
    }
}

fn schemas(document: &Value) -> &Map<String, Value> {
    document["components"]["schemas"].as_object().unwrap()
}

/// Parameters are lists there, and go by place and name.
fn lay_over(below: &mut Value, above: &Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (name, value) in above {
                match below.get_mut(name) {
                    Some(known) => lay_over(known, value),
                    None => drop(below.insert(name.clone(), value.clone())),
                }
            }
        }
        (Value::Array(below), Value::Array(above)) => {
            let same = |a: &Value, b: &Value| a["name"] == b["name"] && a["in"] == b["in"];
            below.retain(|known| !above.iter().any(|value| same(known, value)));
            below.extend(above.iter().cloned());
        }
        (below, above) => *below = above.clone(),
    }
}

fn fits(template: &str, path: &str) -> bool {
    let template: Vec<&str> = template.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    let fits = |(wanted, found): (&&str, &&str)| wanted == found || (wanted.starts_with('{') && !found.is_empty());
    template.len() == path.len() && template.iter().zip(&path).all(fits)
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|error| format!("`{text}`: {error}"))
}

fn illegal_characters(path: &str, query: &str) -> Vec<String> {
    let is_legal = |letter: &char, more: &str| {
        letter.is_ascii_alphanumeric() || SEGMENT_CHARACTERS.contains(*letter) || more.contains(*letter)
    };
    let in_path = path.chars().find(|letter| !is_legal(letter, "/"));
    let in_query = query.chars().find(|letter| !is_legal(letter, "/?"));
    let told = |letter| format!("`{letter}` stands in the address as it is");
    in_path.into_iter().chain(in_query).map(told).collect()
}
