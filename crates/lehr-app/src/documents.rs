//! Answers as JSON documents: a typed struct each, with the name and version of its schema.
//!
//! The struct is the only description: what is printed is its `Serialize`, the JSON Schema its `JsonSchema`, the meaning
//! of a field its doc comment. [`ALL`] lists them; `docs/formats` is written from that list.

use crate::failure::{Failure, flag, worded};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// An answer that is printed and written as a JSON document.
pub trait Document: Serialize + JsonSchema {
    /// Name and version: `lehr.forecast/2`. The version is raised when a field goes away or changes its meaning.
    const SCHEMA: &'static str;
}

/// One kind of document: its name, its version, its JSON Schema.
#[derive(Debug, Clone, Copy)]
pub struct DocumentKind {
    /// Name and version: `lehr.forecast/2`.
    pub name: &'static str,
    rust_type: fn() -> &'static str,
    schema: fn() -> Value,
}

impl DocumentKind {
    /// That of a type.
    #[must_use]
    pub const fn of<D: Document>() -> Self {
        Self { name: D::SCHEMA, rust_type: std::any::type_name::<D>, schema: schema::<D> }
    }

    /// The JSON Schema (draft 2020-12) of what is printed, `schema` included.
    #[must_use]
    pub fn schema(&self) -> Value {
        (self.schema)()
    }

    /// Name of the type, without the path of its module.
    #[must_use]
    pub fn rust_type(&self) -> &'static str {
        let path = (self.rust_type)();
        path.rsplit("::").next().unwrap_or(path)
    }

    /// The name that its schema has in `docs/formats/schemas`: `forecast-1.schema.json`.
    #[must_use]
    pub fn file_name(&self) -> String {
        let name = self.name.strip_prefix("lehr.").unwrap_or(self.name);
        format!("{}.schema.json", name.replace('/', "-"))
    }
}

/// Every document of this crate, in the order of `docs/formats/json.md`.
pub const ALL: &[DocumentKind] = &[
    DocumentKind::of::<crate::inspect::InspectAnswer>(),
    DocumentKind::of::<crate::import::ImportAnswer>(),
    DocumentKind::of::<crate::fit::FitAnswer>(),
    DocumentKind::of::<crate::validate::ValidateAnswer>(),
    DocumentKind::of::<crate::compare::CompareAnswer>(),
    DocumentKind::of::<crate::forecast::ForecastAnswer>(),
    DocumentKind::of::<crate::forecast_rows::ForecastRows>(),
    DocumentKind::of::<crate::recommend::RecommendAnswer>(),
    DocumentKind::of::<crate::recommend_rows::RecommendRows>(),
    DocumentKind::of::<crate::recommend_jointly::JointAnswer>(),
    DocumentKind::of::<crate::running::RunningAnswer>(),
    DocumentKind::of::<crate::running::RunningForecastAnswer>(),
    DocumentKind::of::<crate::watch::WatchAnswer>(),
    DocumentKind::of::<crate::watch_score::ScoreAnswer>(),
    DocumentKind::of::<crate::plan::PlanAnswer>(),
    DocumentKind::of::<crate::transfer::TransferAnswer>(),
    DocumentKind::of::<crate::report::ReportAnswer>(),
    DocumentKind::of::<crate::explore::ExploreAnswer>(),
    #[cfg(feature = "train")]
    DocumentKind::of::<crate::reproduce::ReproduceAnswer>(),
    DocumentKind::of::<crate::schedule::ScheduleAnswer>(),
    DocumentKind::of::<crate::export::ExportAnswer>(),
    DocumentKind::of::<crate::laws::LawList>(),
    DocumentKind::of::<crate::laws::LawPage>(),
    #[cfg(feature = "train")]
    DocumentKind::of::<crate::train::TrainPlanAnswer>(),
    #[cfg(feature = "train")]
    DocumentKind::of::<crate::train::TrainAnswer>(),
    #[cfg(feature = "train")]
    DocumentKind::of::<crate::sweep::SweepPlanAnswer>(),
    #[cfg(feature = "train")]
    DocumentKind::of::<crate::sweep::SweepStatusAnswer>(),
    #[cfg(feature = "train")]
    DocumentKind::of::<crate::sweep::SweepAdoptAnswer>(),
    #[cfg(feature = "train")]
    DocumentKind::of::<crate::sweep::SweepExportAnswer>(),
];

/// A document as a JSON value, its schema first: `{"schema": "lehr.forecast/2", …}`.
///
/// # Errors
/// [`Failure`] for a value that JSON cannot hold.
pub fn value<D: Document>(document: &D) -> Result<Value, Failure> {
    named(D::SCHEMA, serde_json::to_value(document)?)
}

/// The fields of a document behind the name of its schema.
fn named(schema: &str, fields: Value) -> Result<Value, Failure> {
    let Value::Object(fields) = fields else {
        return Err(Failure::new(format!("the document {schema} has no fields")));
    };
    let mut document = Map::new();
    document.insert("schema".to_owned(), schema.into());
    document.extend(fields);
    Ok(document.into())
}

/// A document as text, indented, with a line end.
///
/// # Errors
/// As [`value`].
pub fn text<D: Document>(document: &D) -> Result<String, Failure> {
    Ok(serde_json::to_string_pretty(&value(document)?)? + "\n")
}

/// The text of a fit file: the document of `fit`, and how the file was made.
///
/// # Errors
/// As [`value`].
pub fn fit_file(fit: &lehr::fit::Fit) -> Result<String, Failure> {
    let document = named(crate::fit::FitAnswer::SCHEMA, serde_json::to_value(fit)?)?;
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// The JSON Schema of what [`value`] makes of a document. Options that a meaning names are worded as flags.
fn schema<D: Document>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<D>().to_value();
    let types = schema["$defs"].clone();
    merge(&mut schema, &types);
    tighten(&mut schema);
    prune(&mut schema);
    let fields = schema.as_object_mut().expect("the schema of a struct is an object");
    fields.insert("title".to_owned(), D::SCHEMA.into());
    let mut properties = Map::new();
    properties.insert(
        "schema".to_owned(),
        json!({ "description": "Name and version of this document.", "const": D::SCHEMA }),
    );
    if let Some(Value::Object(more)) = fields.shift_remove("properties") {
        properties.extend(more);
    }
    fields.insert("properties".to_owned(), properties.into());
    let mut required = vec![Value::from("schema")];
    if let Some(Value::Array(more)) = fields.shift_remove("required") {
        required.extend(more);
    }
    fields.insert("required".to_owned(), required.into());
    for name in ["oneOf", "$defs"] {
        // They read best at the end.
        if let Some(value) = fields.shift_remove(name) {
            fields.insert(name.to_owned(), value);
        }
    }
    word(&mut schema);
    schema
}

/// Gives a form that adds fields to those of another type (a tagged variant) all of them, so that each form stands alone.
fn merge(schema: &mut Value, types: &Value) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("properties")
                && let Some(name) = type_name(fields)
            {
                let mut whole = types[&name].clone();
                merge(&mut whole, types);
                for key in ["properties", "required"] {
                    match (fields.get_mut(key), whole[key].take()) {
                        (Some(Value::Object(own)), Value::Object(more)) => own.extend(more),
                        (Some(Value::Array(own)), Value::Array(more)) => own.extend(more),
                        _ => {}
                    }
                }
                fields.shift_remove("$ref");
            }
            fields.values_mut().for_each(|value| merge(value, types));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| merge(value, types)),
        _ => {}
    }
}

/// A field that may be missing is missing where there is nothing to say, and never `null`.
fn tighten(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let required: Vec<Value> =
                fields.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            if let Some(Value::Object(properties)) = fields.get_mut("properties") {
                for (name, field) in properties.iter_mut() {
                    if !required.iter().any(|required| required == name) {
                        without_null(field);
                    }
                }
            }
            fields.values_mut().for_each(tighten);
        }
        Value::Array(values) => values.iter_mut().for_each(tighten),
        _ => {}
    }
}

/// A schema less the form `null`.
fn without_null(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(forms)) = fields.get_mut("anyOf") {
        forms.retain(|form| form["type"] != "null");
        if let [Value::Object(only)] = forms.as_slice() {
            let only = only.clone();
            fields.shift_remove("anyOf");
            let own = std::mem::take(fields);
            fields.extend(only);
            fields.extend(own);
        }
    }
}

/// The type that a schema refers to.
fn type_name(fields: &Map<String, Value>) -> Option<String> {
    Some(fields.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?.to_owned())
}

/// Leaves out types that nothing refers to.
fn prune(schema: &mut Value) {
    fn referred(part: &Value, types: &Value, found: &mut BTreeSet<String>) {
        match part {
            Value::Object(fields) => {
                if let Some(name) = type_name(fields)
                    && found.insert(name.clone())
                {
                    referred(&types[&name], types, found);
                }
                fields
                    .iter()
                    .filter(|(key, _)| *key != "$defs")
                    .for_each(|(_, value)| referred(value, types, found));
            }
            Value::Array(values) => values.iter().for_each(|value| referred(value, types, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    referred(schema, &schema["$defs"], &mut found);
    if let Some(types) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
        types.retain(|name, _| found.contains(name));
    }
}

/// Rewords what was written for readers of Rust, and takes out what says nothing of a printed document: defaults that a
/// reader fills in.
fn word(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = prose(text);
            }
            if fields.contains_key("type") || fields.contains_key("$ref") || fields.contains_key("anyOf") {
                fields.shift_remove("default");
            }
            fields.values_mut().for_each(word);
        }
        Value::Array(values) => values.iter_mut().for_each(word),
        _ => {}
    }
}

/// A doc comment as a sentence about JSON: its headed sections left out, lines joined, links turned into words, `None` into
/// `null`, `[[option]]` into the flag.
fn prose(comment: &str) -> String {
    let text = if comment.starts_with("# ") { "" } else { comment.split("\n# ").next().unwrap_or_default() };
    let joined = worded(&text.split_whitespace().collect::<Vec<_>>().join(" "), flag)
        .replace("`None` (`null` in JSON)", "`null`")
        .replace("`None`", "`null`");
    // [`name`](target) and [`name`] become `name`.
    let mut out = String::with_capacity(joined.len());
    let mut rest = joined.as_str();
    while let Some((before, after)) = rest.split_once("[`") {
        let Some((name, behind)) = after.split_once("`]") else { break };
        out.push_str(before);
        out.push_str(&format!("`{}`", name.rsplit("::").next().unwrap_or(name)));
        rest = behind;
        if let Some((_, behind)) = rest.strip_prefix('(').and_then(|link| link.split_once(')')) {
            rest = behind;
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doc_comments_become_sentences_about_json() {
        assert_eq!(
            prose("Loss,\nnats; `None`: none, as [`x::Y`](crate::x)."),
            "Loss, nats; `null`: none, as `Y`."
        );
        assert_eq!(
            prose("With `[[free_schedule]]`.\n\n# Formula\n```text\nx\n```"),
            "With `--free-schedule`."
        );
    }

    #[test]
    fn names_and_files_of_documents_are_unique() {
        let mut names: Vec<&str> = ALL.iter().map(|kind| kind.name).collect();
        let mut types: Vec<&str> = ALL.iter().map(DocumentKind::rust_type).collect();
        names.sort_unstable();
        types.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        assert!(types.windows(2).all(|pair| pair[0] != pair[1]), "{types:?}");
        assert_eq!(ALL[0].file_name(), "inspect-2.schema.json");
    }

    #[test]
    fn a_field_that_may_be_missing_is_never_null() {
        let mut schema = json!({
            "properties": {
                "a": { "type": ["number", "null"] },
                "b": { "anyOf": [{ "$ref": "#/$defs/B" }, { "type": "null" }], "description": "b" },
                "c": { "type": ["number", "null"] }
            },
            "required": ["c"]
        });
        tighten(&mut schema);
        assert_eq!(
            schema["properties"],
            json!({
                "a": { "type": "number" },
                "b": { "$ref": "#/$defs/B", "description": "b" },
                "c": { "type": ["number", "null"] }
            })
        );
    }

    #[test]
    fn a_schema_names_its_document_first() {
        let schema = DocumentKind::of::<crate::laws::LawList>().schema();
        assert_eq!(schema["properties"].as_object().unwrap().keys().next().unwrap(), "schema");
        assert_eq!(schema["properties"]["schema"]["const"], "lehr.laws/1");
        assert_eq!(schema["required"], json!(["schema", "laws"]));
        assert_eq!(
            schema["$defs"]["LawLine"]["properties"]["name"]["description"],
            "Name, as `--law` takes it."
        );
    }
}
