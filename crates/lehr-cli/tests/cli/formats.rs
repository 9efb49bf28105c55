//! The schemas in `docs/formats/schemas` and the tables of `docs/formats/json.md` and `fit.md` are what the documents' types say.

use crate::support::root;
use lehr_app::documents::DocumentKind;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const AGAIN: &str = "run LEHR_WRITE_REFERENCE=1 cargo test -p lehr-cli --test cli formats";

/// Writes the text where that is asked for, and compares.
fn kept(path: &str, text: &str) {
    let file = root().join(path);
    if std::env::var_os("LEHR_WRITE_REFERENCE").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = text.lines().zip(found.lines()).position(|(a, b)| a != b).map(|line| line + 1);
    assert!(found == text, "{path} is out of date (line {differs:?}); {AGAIN}");
}

#[test]
fn every_document_has_its_schema_in_a_file() {
    let folder = root().join("docs/formats/schemas");
    let write = std::env::var_os("LEHR_WRITE_REFERENCE").is_some();
    if write {
        std::fs::create_dir_all(&folder).unwrap();
    }
    let mut names = BTreeSet::new();
    for kind in lehr_cli::documents::all() {
        let text = serde_json::to_string_pretty(&kind.schema()).unwrap() + "\n";
        kept(&format!("docs/formats/schemas/{}", kind.file_name()), &text);
        names.insert(kind.file_name());
    }
    // A version that is raised leaves no file of the one before.
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if write && !names.contains(&name) {
            std::fs::remove_file(folder.join(&name)).unwrap();
        } else {
            assert!(names.contains(&name), "docs/formats/schemas/{name} belongs to no document; {AGAIN}");
        }
    }
}

/// The pages and what of them is written: each document is described where its marker stands, each type where the first
/// document needs it.
const PAGES: [&str; 2] = ["json.md", "fit.md"];
const END: &str = "<!-- end of fields -->";

fn marker(name: &str) -> String {
    format!("<!-- fields of {name}: written from its type -->")
}

#[test]
fn the_tables_of_the_formats_are_written_from_the_types() {
    let kinds: BTreeMap<&'static str, DocumentKind> =
        lehr_cli::documents::all().into_iter().map(|kind| (kind.name, kind)).collect();
    let pages: Vec<(&str, String)> = PAGES
        .iter()
        .map(|page| (*page, std::fs::read_to_string(root().join("docs/formats").join(page)).unwrap()))
        .collect();
    // First where every type is described, then the tables, which link there.
    let mut book = Book::new(&kinds);
    for (page, text) in &pages {
        for line in text.lines() {
            if let Some((_, kind)) = kinds.iter().find(|(name, _)| line == marker(name)) {
                book.place(page, kind);
            }
        }
    }
    let missing: Vec<&&str> = kinds.keys().filter(|name| !book.documents.contains(**name)).collect();
    assert!(missing.is_empty(), "no marker in docs/formats ({}) for {missing:?}", marker("NAME"));
    for (page, text) in &pages {
        let mut out = String::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            out += &format!("{line}\n");
            if let Some((name, kind)) = kinds.iter().find(|(name, _)| line == marker(name)) {
                out += &book.described(page, kind);
                assert!(lines.any(|line| line == END), "{page}: no '{END}' after the marker of {name}");
                out += &format!("{END}\n");
            }
        }
        kept(&format!("docs/formats/{page}"), &out);
    }
}

/// Where documents and types are described.
struct Book {
    /// Names of documents by their types, for documents inside others.
    by_type: BTreeMap<String, &'static str>,
    /// Documents with a marker.
    documents: BTreeSet<&'static str>,
    /// Of every type: page, document under whose heading it stands, schema.
    types: BTreeMap<String, (String, &'static str, Value)>,
}

impl Book {
    fn new(kinds: &BTreeMap<&'static str, DocumentKind>) -> Self {
        let by_type = kinds.values().map(|kind| (kind.rust_type().to_owned(), kind.name)).collect();
        Self { by_type, documents: BTreeSet::new(), types: BTreeMap::new() }
    }

    /// Puts a document on a page, and with it the types that no document before it needed.
    fn place(&mut self, page: &str, kind: &DocumentKind) {
        assert!(self.documents.insert(kind.name), "{} has two markers", kind.name);
        let schema = kind.schema();
        for name in self.types_of(&schema) {
            let found = schema["$defs"][&name].clone();
            let (_, first, known) =
                self.types.entry(name.clone()).or_insert_with(|| (page.to_owned(), kind.name, found.clone()));
            assert!(
                *known == found,
                "the type {name} of {} is not that of {first}: give one of them another name (schemars(rename))",
                kind.name
            );
        }
    }

    /// Names of the types that a schema needs, in the order in which it names them, without documents and theirs.
    fn types_of(&self, schema: &Value) -> Vec<String> {
        let mut names = Vec::new();
        let mut top = schema.clone();
        top.as_object_mut().unwrap().shift_remove("$defs");
        self.collect(&top, &schema["$defs"], &mut names);
        names
    }

    fn collect(&self, part: &Value, types: &Value, names: &mut Vec<String>) {
        match part {
            Value::Object(fields) => {
                if let Some(name) = reference(part)
                    && !self.by_type.contains_key(name)
                    && !names.iter().any(|known| known == name)
                {
                    names.push(name.to_owned());
                    self.collect(&types[name], types, names);
                }
                fields.values().for_each(|value| self.collect(value, types, names));
            }
            Value::Array(values) => values.iter().for_each(|value| self.collect(value, types, names)),
            _ => {}
        }
    }

    /// The tables of a document and of the types that are described with it.
    fn described(&self, page: &str, kind: &DocumentKind) -> String {
        let schema = kind.schema();
        let file = kind.file_name();
        let mut out = format!("\nSchema: [{file}](schemas/{file})\n\n{}", self.body(page, &schema));
        for name in self.types_of(&schema) {
            let (at, document, schema) = &self.types[&name];
            if at == page && *document == kind.name {
                out += &format!("\n### `{name}`\n\n");
                if let Some(text) = schema["description"].as_str() {
                    out += &format!("{text}\n\n");
                }
                out += &self.body(page, schema);
            }
        }
        out + "\n"
    }

    /// What a type consists of: the table of its fields, or of its values, or one table a form.
    fn body(&self, page: &str, schema: &Value) -> String {
        let mut rows = Vec::new();
        self.rows(page, schema, "", &mut rows);
        let forms = ["oneOf", "anyOf"].iter().find_map(|key| schema[*key].as_array());
        let Some(forms) = forms else {
            if let Some(values) = schema["enum"].as_array() {
                let values: Vec<String> = values.iter().map(code).collect();
                return format!("{}\n", values.join(", "));
            }
            return if rows.is_empty() {
                format!("Type: {}.\n", self.kind(page, schema))
            } else {
                table(&rows)
            };
        };
        if !rows.is_empty() {
            // Fields of which a form adds its own.
            for form in forms {
                let mut more = Vec::new();
                self.rows(page, form, "", &mut more);
                for row in &mut more {
                    row[1] += ", *optional*";
                }
                rows.extend(more);
            }
            return table(&rows);
        }
        let words: Vec<&Value> = forms.iter().filter(|form| self.is_word(form)).collect();
        let mut out = String::new();
        if !words.is_empty() {
            out += "| value | meaning |\n|---|---|\n";
            for word in words {
                let values = word["enum"].as_array().cloned().unwrap_or_else(|| vec![word["const"].clone()]);
                let values: Vec<String> = values.iter().map(code).collect();
                out += &format!("| {} | {} |\n", values.join(", "), cell(meaning(word)));
            }
        }
        for form in forms.iter().filter(|form| !self.is_word(form)) {
            let mut rows = Vec::new();
            self.rows(page, form, "", &mut rows);
            if !out.is_empty() {
                out.push('\n');
            }
            // A form of one field says what its field says.
            if rows.len() > 1 && rows[0][2] != meaning(form) || rows.len() > 2 {
                out += &format!("{}\n\n", meaning(form));
            }
            out += &table(&rows);
        }
        out
    }

    fn is_word(&self, form: &Value) -> bool {
        form.get("const").is_some() || form.get("enum").is_some()
    }

    /// One row a field; those of an object without a name stand below it, as `outer.inner`.
    fn rows(&self, page: &str, schema: &Value, before: &str, rows: &mut Vec<[String; 3]>) {
        let Some(fields) = schema["properties"].as_object() else { return };
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, field) in fields {
            let path = format!("{before}{name}");
            let mut kind = self.kind(page, field);
            if !required.contains(&name.as_str()) {
                kind += ", *optional*";
            }
            let mut text = meaning(field).to_owned();
            if text.is_empty() {
                // The field says nothing that its type, or the form that it makes out, does not.
                text = match reference(field) {
                    Some(name) => meaning(&self.types[name].2).to_owned(),
                    None if field.get("const").is_some() => "Which form this is.".to_owned(),
                    None => meaning(schema).to_owned(),
                };
            }
            rows.push([path.clone(), kind, text]);
            self.rows(page, field, &format!("{path}."), rows);
        }
    }

    /// A type in words.
    fn kind(&self, page: &str, schema: &Value) -> String {
        if let Some(name) = reference(schema) {
            return match (self.by_type.get(name), self.types.get(name)) {
                (Some(document), _) => format!("object: `{document}` without `schema`"),
                (None, Some((at, ..))) => {
                    let at = if at == page { "" } else { at.as_str() };
                    format!("[`{name}`]({at}#{})", name.to_lowercase())
                }
                (None, None) => panic!("{name} is described nowhere"),
            };
        }
        if let Some(value) = schema.get("const") {
            return code(value);
        }
        if let Some(values) = schema["enum"].as_array() {
            return values.iter().map(code).collect::<Vec<_>>().join(" or ");
        }
        if let Some(forms) = ["oneOf", "anyOf"].iter().find_map(|key| schema[*key].as_array()) {
            return forms.iter().map(|form| self.kind(page, form)).collect::<Vec<_>>().join(" or ");
        }
        let one = |name: &str| match name {
            "string" => "text".to_owned(),
            "boolean" => "true or false".to_owned(),
            "integer" => "whole number".to_owned(),
            "array" => self.list(page, schema),
            "object" => match schema.get("additionalProperties") {
                Some(values) if values.is_object() => {
                    format!("object of {}, by name", self.kind(page, values))
                }
                _ => "object".to_owned(),
            },
            other => other.to_owned(),
        };
        match &schema["type"] {
            Value::String(name) => one(name),
            Value::Array(names) => {
                names.iter().filter_map(Value::as_str).map(one).collect::<Vec<_>>().join(" or ")
            }
            _ => panic!("a type that the tables cannot say: {schema}"),
        }
    }

    fn list(&self, page: &str, schema: &Value) -> String {
        if let Some(items) = schema["prefixItems"].as_array() {
            return format!(
                "list ({})",
                items.iter().map(|item| self.kind(page, item)).collect::<Vec<_>>().join(", ")
            );
        }
        let Some(items) = schema.get("items") else { return "list".to_owned() };
        let of = self.kind(page, items);
        let of = match of.as_str() {
            "number" | "whole number" => of + "s",
            _ => of.replacen("list of", "lists of", 1),
        };
        match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
            (Some(least), Some(most)) if least == most => format!("list of {least} {of}"),
            _ => format!("list of {of}"),
        }
    }
}

/// The type that a schema refers to.
fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

fn meaning(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

fn code(value: &Value) -> String {
    format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn table(rows: &[[String; 3]]) -> String {
    let mut out = String::from("| field | type | meaning |\n|---|---|---|\n");
    for [path, kind, meaning] in rows {
        assert!(!meaning.is_empty(), "'{path}' has no meaning: give the field a doc comment");
        out += &format!("| `{path}` | {} | {} |\n", cell(kind), cell(meaning));
    }
    out
}
