//! JSON Schemas of forms that a Rust type alone does not name: pairs of numbers that are intervals.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// A lower and an upper end, `[lower, upper]`: the form of every interval that stands beside its number.
///
/// A field holds a pair; `#[schemars(with = "Interval")]` says what the pair is.
#[derive(Debug, Clone, Copy)]
pub struct Interval;

impl JsonSchema for Interval {
    fn schema_name() -> Cow<'static, str> {
        "Interval".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A lower and an upper end.",
            "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2
        })
    }
}

/// An interval of whole numbers (updates, tokens), `[lower, upper]`.
#[derive(Debug, Clone, Copy)]
pub struct WholeInterval;

impl JsonSchema for WholeInterval {
    fn schema_name() -> Cow<'static, str> {
        "WholeInterval".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A lower and an upper end, whole numbers.",
            "type": "array", "items": { "type": "integer", "minimum": 0 }, "minItems": 2, "maxItems": 2
        })
    }
}

/// Numbers that refuse what lies outside their range are plain numbers with that range where they are written.
macro_rules! number_within {
    ($name:ty, $text:literal, $($key:literal: $value:expr),+) => {
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $text.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "number", $($key: $value),+ })
            }
        }
    };
}
number_within!(crate::Level, "Level", "exclusiveMinimum": 0, "exclusiveMaximum": 1);
number_within!(crate::HuberDelta, "HuberDelta", "exclusiveMinimum": 0);
