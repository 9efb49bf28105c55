//! A value against a JSON Schema, as far as the schemas of documents go: the validators of the registry bring a licence that is not
//! among those allowed. A keyword that is not known here is an error, so that nothing is passed over.

use serde_json::Value;
use std::collections::BTreeSet;

/// What of a value is not as its schema says: place and fault.
pub fn faults(value: &Value, schema: &Value) -> Vec<String> {
    let mut check = Check { types: &schema["$defs"], faults: Vec::new() };
    check.at(value, schema, "");
    check.faults
}

struct Check<'a> {
    types: &'a Value,
    faults: Vec<String>,
}

impl Check<'_> {
    fn fault(&mut self, place: &str, what: impl std::fmt::Display) {
        self.faults.push(format!("{place}: {what}"));
    }

    /// Whether a value fits a schema, and the names of its fields that the schema describes.
    fn fits(&self, value: &Value, schema: &Value) -> Option<BTreeSet<String>> {
        let mut inner = Check { types: self.types, faults: Vec::new() };
        let described = inner.at(value, schema, "");
        inner.faults.is_empty().then_some(described)
    }

    /// Checks a value; the names of its fields that the schema describes.
    fn at(&mut self, value: &Value, schema: &Value, place: &str) -> BTreeSet<String> {
        let mut described = BTreeSet::new();
        let Value::Object(keywords) = schema else {
            if schema == &Value::Bool(false) {
                self.fault(place, "nothing is allowed here");
            }
            return described;
        };
        for (keyword, wanted) in keywords {
            match keyword.as_str() {
                "$schema"
                | "$id"
                | "$defs"
                | "title"
                | "description"
                | "format"
                | "default"
                | "examples"
                | "unevaluatedProperties" => {}
                "$ref" => {
                    let name = wanted.as_str().and_then(|to| to.strip_prefix("#/$defs/")).unwrap();
                    described.extend(self.at(value, &self.types[name].clone(), place));
                }
                "type" => {
                    let names: Vec<&str> = match wanted {
                        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
                        one => one.as_str().into_iter().collect(),
                    };
                    if !names.iter().any(|name| is_of(value, name)) {
                        self.fault(place, format_args!("{value} is not of type {wanted}"));
                    }
                }
                "const" if value != wanted => self.fault(place, format_args!("{value} is not {wanted}")),
                "enum" if !wanted.as_array().unwrap().contains(value) => {
                    self.fault(place, format_args!("{value} is none of {wanted}"));
                }
                "minimum" if value.is_number() && value.as_f64() < wanted.as_f64() => {
                    self.fault(place, format_args!("{value} is below {wanted}"));
                }
                "maximum" if value.is_number() && value.as_f64() > wanted.as_f64() => {
                    self.fault(place, format_args!("{value} is above {wanted}"));
                }
                "exclusiveMinimum" if value.is_number() && value.as_f64() <= wanted.as_f64() => {
                    self.fault(place, format_args!("{value} is not above {wanted}"));
                }
                "exclusiveMaximum" if value.is_number() && value.as_f64() >= wanted.as_f64() => {
                    self.fault(place, format_args!("{value} is not below {wanted}"));
                }
                "const" | "enum" | "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {}
                "minItems" | "maxItems" => {
                    let (n, limit) = (value.as_array().map(Vec::len), wanted.as_u64().unwrap() as usize);
                    if n.is_some_and(|n| if keyword == "minItems" { n < limit } else { n > limit }) {
                        self.fault(place, format_args!("{value} breaks {keyword} {limit}"));
                    }
                }
                "required" => {
                    for name in wanted.as_array().unwrap().iter().filter_map(Value::as_str) {
                        if value.is_object() && value.get(name).is_none() {
                            self.fault(place, format_args!("no field {name}"));
                        }
                    }
                }
                "properties" => {
                    for (name, schema) in wanted.as_object().unwrap() {
                        if let Some(field) = value.get(name) {
                            self.at(field, schema, &format!("{place}/{name}"));
                            described.insert(name.clone());
                        }
                    }
                }
                "additionalProperties" => {
                    let own = keywords.get("properties").and_then(Value::as_object);
                    for (name, field) in value.as_object().into_iter().flatten() {
                        if own.is_none_or(|own| !own.contains_key(name)) {
                            self.at(field, wanted, &format!("{place}/{name}"));
                            described.insert(name.clone());
                        }
                    }
                }
                "prefixItems" => {
                    for (i, (item, schema)) in
                        value.as_array().into_iter().flatten().zip(wanted.as_array().unwrap()).enumerate()
                    {
                        self.at(item, schema, &format!("{place}/{i}"));
                    }
                }
                "items" => {
                    let first = keywords.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
                    for (i, item) in value.as_array().into_iter().flatten().enumerate().skip(first) {
                        self.at(item, wanted, &format!("{place}/{i}"));
                    }
                }
                "anyOf" | "oneOf" | "allOf" => {
                    let forms = wanted.as_array().unwrap();
                    let fitting: Vec<BTreeSet<String>> =
                        forms.iter().filter_map(|form| self.fits(value, form)).collect();
                    let right = match keyword.as_str() {
                        "anyOf" => !fitting.is_empty(),
                        "oneOf" => fitting.len() == 1,
                        _ => fitting.len() == forms.len(),
                    };
                    if !right {
                        let n = fitting.len();
                        self.fault(
                            place,
                            format_args!("{value} fits {n} of {} forms ({keyword})", forms.len()),
                        );
                    }
                    described.extend(fitting.into_iter().flatten());
                }
                other => self.fault(place, format_args!("the keyword {other} is not checked")),
            }
        }
        if keywords.get("unevaluatedProperties") == Some(&Value::Bool(false)) {
            for name in value.as_object().into_iter().flatten().map(|(name, _)| name) {
                if !described.contains(name) {
                    self.fault(place, format_args!("the field {name} is not described"));
                }
            }
        }
        described
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => false,
    }
}

#[test]
fn a_value_that_breaks_its_schema_is_found_at_its_place() {
    let schema = serde_json::json!({
        "type": "object",
        "required": ["n"],
        "properties": {
            "n": {"type": "integer", "minimum": 0},
            "pair": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}], "minItems": 2, "maxItems": 2},
            "kind": {"oneOf": [{"const": "a"}, {"$ref": "#/$defs/other"}]},
        },
        "unevaluatedProperties": false,
        "$defs": {"other": {"type": "object", "properties": {"x": {"type": ["string", "null"]}}, "required": ["x"]}},
    });
    let faults_of = |text: &str| faults(&serde_json::from_str(text).unwrap(), &schema);
    assert!(faults_of(r#"{"n": 1, "pair": [1, 2.5], "kind": "a"}"#).is_empty());
    assert!(faults_of(r#"{"n": 1, "kind": {"x": null}}"#).is_empty());
    for (text, place) in [
        (r#"{}"#, "no field n"),
        (r#"{"n": 1.5}"#, "/n: 1.5"),
        (r#"{"n": -1}"#, "/n: -1"),
        (r#"{"n": 1, "pair": [1]}"#, "/pair"),
        (r#"{"n": 1, "pair": [1, "2"]}"#, "/pair/1"),
        (r#"{"n": 1, "kind": "b"}"#, "/kind"),
        (r#"{"n": 1, "kind": {"x": 1}}"#, "/kind"),
        (r#"{"n": 1, "more": 1}"#, "the field more"),
    ] {
        let found = faults_of(text);
        assert!(found.iter().any(|fault| fault.contains(place)), "{text}: {found:?}");
    }
}
