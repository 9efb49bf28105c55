//! What the server answers, as an OpenAPI document.

use lehr_app::documents::{ALL, DocumentKind};
use lehr_app::explore::MOST_PINS;
use serde_json::{Map, Value, json};

fn parameter(name: &str, description: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema })
}

/// The words of a target.
fn target() -> Vec<Value> {
    vec![
        parameter(
            "data",
            "Which fit: `start`, or the name that a fit got",
            &json!({ "type": "string", "maxLength": 64 }),
        ),
        parameter(
            "peak_lr",
            "Peak rate; default: that of the longest run fitted",
            &json!({ "type": "number", "exclusiveMinimum": 0 }),
        ),
        parameter(
            "steps",
            "Horizon in updates; default: twice the longest run fitted",
            &json!({ "type": "integer", "minimum": 1 }),
        ),
        parameter(
            "ratio",
            "Annealing ratio; default: the best",
            &json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        ),
        parameter(
            "warmup",
            "Warm-up updates; default: as in the runs fitted",
            &json!({ "type": "integer", "minimum": 0 }),
        ),
        parameter(
            "shape",
            "How the rate falls: linear, cosine, 1-sqrt, exponential, geometric, inverse, power:BETA",
            &json!({ "type": "string", "pattern": "^(linear|cosine|1-sqrt|exponential|geometric|inverse|power:[1-4])$" }),
        ),
        parameter("final_lr", "Final rate", &json!({ "type": "number", "minimum": 0 })),
        parameter("params", "Parameters N", &json!({ "type": "integer", "minimum": 1 })),
        parameter("tokens_per_step", "Batch in tokens", &json!({ "type": "integer", "minimum": 1 })),
    ]
}

fn pins() -> Value {
    json!({
        "name": "pin", "in": "query", "required": false, "description": "A schedule to hold against the target, as text",
        "schema": { "type": "array", "maxItems": MOST_PINS, "items": { "type": "string" } }, "style": "form", "explode": true
    })
}

fn hidden() -> Value {
    json!({
        "name": "hide", "in": "query", "required": false, "description": "A run that is not drawn",
        "schema": { "type": "array", "items": { "type": "string" } }, "style": "form", "explode": true
    })
}

fn refused(description: &str) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } } })
}

fn responses(good: &Value) -> Value {
    json!({
        "200": good,
        "400": refused("The question does not fit together"),
        "401": refused("The token is missing or wrong"),
        "403": refused("The request comes from another page"),
        "404": refused("No such fit is held"),
        "421": refused("The Host is not this server"),
        "422": refused("There is no answer"),
        "503": refused("Too many questions at once"),
    })
}

/// A document of the schema, which stands among the components; documents of the page itself are named alone.
fn document(schema: &str) -> Value {
    let shape = match ALL.iter().find(|kind| kind.name == schema) {
        Some(kind) => json!({ "$ref": format!("#/components/schemas/{}", component(kind)) }),
        None => json!({
            "type": "object", "required": ["schema"], "properties": { "schema": { "const": schema } }
        }),
    };
    json!({ "description": format!("`{schema}`"), "content": { "application/json": { "schema": shape } } })
}

/// The name of a document among the components: `lehr.explore-2`.
fn component(kind: &DocumentKind) -> String {
    kind.name.replace('/', "-")
}

/// The schemas that the paths refer to, each type of theirs a component of its own.
fn components(paths: &Map<String, Value>) -> Map<String, Value> {
    let mut components = Map::new();
    components.insert(
        "Error".to_owned(),
        json!({
            "type": "object", "required": ["schema", "error"],
            "properties": { "schema": { "const": "lehr.api-error/1" }, "error": { "type": "string" }, "hint": { "type": ["string", "null"] } }
        }),
    );
    let said = Value::Object(paths.clone()).to_string();
    for kind in ALL {
        let name = component(kind);
        if !said.contains(&format!("\"#/components/schemas/{name}\"")) {
            continue;
        }
        let mut schema = kind.schema();
        refer(&mut schema);
        if let Value::Object(mut fields) = schema {
            fields.remove("$schema");
            if let Some(Value::Object(types)) = fields.remove("$defs") {
                components.extend(types);
            }
            components.insert(name, fields.into());
        }
    }
    components
}

/// Turns references to a schema's own types into references to components.
fn refer(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(to)) = fields.get_mut("$ref") {
                *to = to.replace("#/$defs/", "#/components/schemas/");
            }
            fields.values_mut().for_each(refer);
        }
        Value::Array(values) => values.iter_mut().for_each(refer),
        _ => {}
    }
}

fn get(summary: &str, parameters: &[Value], good: &Value) -> Value {
    json!({ "get": { "summary": summary, "parameters": parameters, "responses": responses(good) } })
}

/// The document.
#[must_use]
pub fn document_of_all() -> Value {
    let target = target();
    let data = target[..1].to_vec();
    let more = |extra: &[Value]| target.iter().chain(extra).cloned().collect::<Vec<Value>>();
    let choice =
        |name: &str, words: &[&str]| parameter(name, "", &json!({ "type": "string", "enum": words }));
    let mut paths = Map::new();
    paths.insert("/api/v1/openapi.json".into(), json!({ "get": { "summary": "This document", "responses": { "200": { "description": "OpenAPI", "content": { "application/json": { "schema": { "type": "object" } } } } } } }));
    paths.insert(
        "/api/v1/data".into(),
        get("Runs, law, usual target and choices", &data, &document("lehr.data/1")),
    );
    paths.insert(
        "/api/v1/view".into(),
        get(
            "Numbers and figures of a target",
            &more(&[pins(), hidden(), choice("width", &["wide", "narrow"])]),
            &document("lehr.view/2"),
        ),
    );
    paths.insert(
        "/api/v1/explore".into(),
        get("Forecast, recommendation and pins", &more(&[pins()]), &document("lehr.explore/2")),
    );
    paths.insert(
        "/api/v1/forecast".into(),
        get("What `lehr forecast --json` prints", &target, &document("lehr.forecast/2")),
    );
    paths.insert(
        "/api/v1/recommend".into(),
        get("What `lehr recommend --json` prints", &target, &document("lehr.recommend/2")),
    );
    paths.insert(
        "/api/v1/export".into(),
        get(
            "The schedule as a trainer's configuration",
            &more(&[json!({ "name": "to", "in": "query", "required": true, "description": "The trainer", "schema": { "type": "string", "enum": lehr_app::export::targets().map(|t| t.0).collect::<Vec<_>>() } })]),
            &document("lehr.export/1"),
        ),
    );
    let file = json!({ "description": "The file", "content": {
        "image/svg+xml": { "schema": { "type": "string" } }, "image/png": { "schema": { "type": "string", "format": "binary" } },
        "text/csv": { "schema": { "type": "string" } } } });
    paths.insert(
        "/api/v1/figure".into(),
        get(
            "A figure or its numbers as a file",
            &more(&[
                pins(),
                choice("figure", &["forecast", "ratio"]),
                choice("format", &["svg", "png", "csv"]),
            ]),
            &file,
        ),
    );
    let html = json!({ "description": "The report", "content": { "text/html": { "schema": { "type": "string" } } } });
    paths.insert("/api/v1/report".into(), get("The report as one HTML file", &target, &html));
    paths.insert("/api/v1/fit".into(), get("The fit as a file", &data, &document("lehr.fit/5")));
    let mut files = responses(&document("lehr.tray/1"));
    files["408"] = refused("The body took too long");
    files["413"] = refused("The body has too many bytes");
    paths.insert(
        "/api/v1/files".into(),
        json!({ "post": {
            "summary": "Puts a log into a tray",
            "parameters": [
                { "name": "name", "in": "query", "required": true, "description": "Its name", "schema": { "type": "string", "minLength": 1, "maxLength": 1024 } },
                parameter("tray", "The tray; none: a new one", &json!({ "type": "string", "maxLength": 64 })),
            ],
            "requestBody": { "required": true, "content": { "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } } },
            "responses": files,
        } }),
    );
    let mut laws: Vec<Value> = lehr::law::all().iter().map(|law| law.name().into()).collect();
    laws.push(Value::Null);
    let lines = json!({ "description": "One JSON object a line: waiting, reading, begun, working, then done or failed. Closing the connection stops the work.",
        "content": { "application/x-ndjson": { "schema": { "type": "string" } } } });
    let mut fits = responses(&lines);
    fits["408"] = refused("The body took too long");
    fits["413"] = refused("The body has too many bytes");
    paths.insert(
        "/api/v1/fits".into(),
        json!({ "post": {
            "summary": "Fits runs that are here, or those of a tray",
            "requestBody": { "required": true, "content": { "application/json": { "schema": {
                "type": "object", "additionalProperties": false,
                "properties": {
                    "data": { "type": ["string", "null"] }, "tray": { "type": ["string", "null"] }, "law": { "enum": laws },
                    "runs": { "type": ["array", "null"], "minItems": 1, "items": { "type": "string" } }
                }
            } } } },
            "responses": fits,
        } }),
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "lehr", "version": "1",
            "description": "What loss a run reaches under a schedule, and which share of it to spend annealing. The documents are those of the command's --json (docs/formats/json.md)."
        },
        "components": { "schemas": components(&paths) },
        "paths": paths,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` below a value.
    fn references(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                out.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, out));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, out)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_is_a_component() {
        let document = document_of_all();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50, "{found:?}");
        for reference in found {
            let path = reference.strip_prefix('#').expect("a reference within the document");
            assert!(document.pointer(path).is_some(), "{reference}");
        }
        let explored = &document["components"]["schemas"]["lehr.explore-2"];
        assert_eq!(explored["properties"]["schema"]["const"], "lehr.explore/2");
    }
}
