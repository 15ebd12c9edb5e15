//! OpenAPI 3.0's schemas as JSON Schema (2020-12), which a validator can read.
//!
//! The generator lets every object have further properties, as long as they are objects, and so lets a misspelt name pass. Here
//! a schema that names properties allows these alone, and OData's annotations. A schema is kept twice: open, for those
//! that build upon it (`allOf`), and closed, for everything that has it.

use serde_json::{Map, Value, json};

/// Annotations that OData puts beside properties.
const ANNOTATIONS: &str = "^[^@]*@odata\\.";
/// Keywords that mean the same in both languages.
const SHARED: [&str; 9] =
    ["type", "enum", "pattern", "format", "minimum", "maximum", "required", "uniqueItems", "additionalItems"];

/// The `$defs` of all schemas of a description.
pub fn definitions(schemas: &Map<String, Value>) -> Value {
    let names = |name: &str| schemas.contains_key(name);
    let mut definitions = Map::new();
    for (name, schema) in schemas {
        definitions.insert(format!("open.{name}"), converted(schema, Part::Base, &names));
        let mut closed = json!({"$ref": format!("#/$defs/open.{name}")});
        if names_properties(schema, schemas) {
            close(&mut closed);
        }
        definitions.insert(name.clone(), closed);
    }
    Value::Object(definitions)
}

/// A schema that stands by itself.
pub fn whole(schema: &Value, schemas: &Map<String, Value>) -> Value {
    converted(schema, Part::Whole, &|name| schemas.contains_key(name))
}

/// What a schema is used as.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// Of a value.
    Whole,
    /// Of another schema that adds to it.
    Base,
}

fn close(schema: &mut Value) {
    schema["patternProperties"] = json!({ANNOTATIONS: true});
    schema["unevaluatedProperties"] = json!(false);
}

fn names_properties(schema: &Value, schemas: &Map<String, Value>) -> bool {
    let of_name = |name: &str| schemas.get(name).is_some_and(|schema| names_properties(schema, schemas));
    let bases = schema["allOf"].as_array().into_iter().flatten();
    schema.get("properties").is_some()
        || referred(schema).is_some_and(of_name)
        || bases.into_iter().any(|base| names_properties(base, schemas))
}

fn referred(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/components/schemas/")
}

fn converted(schema: &Value, part: Part, is_known: &dyn Fn(&str) -> bool) -> Value {
    let mut plain = not_nullable(schema, part, is_known);
    if schema["nullable"] == true {
        plain = json!({"anyOf": [plain, {"type": "null"}]});
    }
    plain
}

fn not_nullable(schema: &Value, part: Part, is_known: &dyn Fn(&str) -> bool) -> Value {
    if let Some(name) = referred(schema) {
        let open = if part == Part::Base { "open." } else { "" };
        return json!({"$ref": format!("#/$defs/{open}{name}")});
    }
    // The cut replaced types by plain objects and wrote down their names; those that are here are put back.
    let cut = schema["x-cut-ref"].as_str().filter(|name| is_known(name));
    let reference = cut.map(|name| json!({"$ref": format!("#/$defs/{name}")}));
    let mut plain = Map::new();
    for keyword in SHARED {
        if let Some(value) = schema.get(keyword) {
            plain.insert(keyword.to_owned(), value.clone());
        }
    }
    match (schema.get("items"), reference) {
        (Some(_), Some(reference)) => drop(plain.insert("items".into(), reference)),
        (Some(items), None) => {
            plain.insert("items".into(), converted(items, Part::Whole, is_known));
        }
        (None, Some(reference)) => return reference,
        (None, None) => {}
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        if let Some(parts) = schema[keyword].as_array() {
            let parts = parts.iter().map(|base| converted(base, Part::Base, is_known));
            plain.insert(keyword.into(), parts.collect());
        }
    }
    if let Some(properties) = schema["properties"].as_object() {
        let properties =
            properties.iter().map(|(name, schema)| (name.clone(), converted(schema, Part::Whole, is_known)));
        plain.insert("properties".into(), Value::Object(properties.collect()));
    }
    let mut plain = Value::Object(plain);
    if schema.get("properties").is_some() && part == Part::Whole {
        close(&mut plain);
    }
    plain
}
