//! Models by name, from 0.03M to 1B parameters.
//!
//! `dense-S` has about S parameters outside embedding and head. `moe-8xS` is the same model with eight experts in every
//! block instead of the SwiGLU, each half as wide, of which a token passes two: it computes what `dense-S` computes, but for
//! the router, and holds about three times as much.

use crate::config::{ExpertsConfig, ModelConfig, Parametrisation};
use crate::error::TrainError;
use std::fmt::Write as _;

/// The preset that is trained if nothing is said.
pub const DEFAULT: &str = "dense-0.1m";

/// Vocabulary of a preset until the data say otherwise: bytes.
const VOCABULARY: u32 = 256;

/// Largest dense preset that has a mixture-of-experts sibling, by its place in the list.
const EXPERTS_UP_TO: &str = "400m";

/// Size, width, layers, heads, hidden, context.
const DENSE: [(&str, u32, u32, u32, u32, u32); 16] = [
    ("0.03m", 32, 2, 2, 112, 128),
    ("0.1m", 64, 2, 4, 176, 128),
    ("0.2m", 64, 4, 4, 176, 128),
    ("0.4m", 96, 4, 4, 240, 128),
    ("0.8m", 128, 4, 4, 352, 128),
    ("1.5m", 160, 5, 5, 416, 256),
    ("3m", 192, 7, 6, 512, 256),
    ("6m", 256, 8, 8, 656, 256),
    ("12m", 320, 10, 10, 832, 512),
    ("25m", 512, 8, 8, 1360, 512),
    ("50m", 640, 10, 10, 1744, 512),
    ("100m", 768, 14, 12, 2064, 1024),
    ("200m", 1024, 16, 16, 2704, 1024),
    ("400m", 1280, 20, 20, 3456, 1024),
    ("700m", 1600, 23, 25, 4224, 2048),
    ("1b", 2048, 20, 16, 5408, 2048),
];

fn dense((_, width, layers, heads, hidden, context): (&str, u32, u32, u32, u32, u32)) -> ModelConfig {
    ModelConfig {
        vocabulary: VOCABULARY,
        context,
        width,
        layers,
        heads,
        hidden,
        tied: false,
        rope_theta: 10_000.0,
        norm_epsilon: 1e-5,
        parametrisation: Parametrisation::Standard,
        experts: None,
    }
}

fn with_experts(model: ModelConfig) -> ModelConfig {
    let experts =
        ExpertsConfig { count: 8, top_k: 2, hidden: model.hidden / 2, shared: 0, balance: 0.01, z: 0.001 };
    ModelConfig { experts: Some(experts), ..model }
}

/// Every preset with its model, dense ones first, in order of size. Their vocabulary is 256.
#[must_use]
pub fn presets() -> Vec<(String, ModelConfig)> {
    let dense_ones = DENSE.iter().map(|row| (format!("dense-{}", row.0), dense(*row)));
    let last = DENSE.iter().position(|row| row.0 == EXPERTS_UP_TO).map_or(DENSE.len(), |at| at + 1);
    let experts = DENSE[..last].iter().map(|row| (format!("moe-8x{}", row.0), with_experts(dense(*row))));
    dense_ones.chain(experts).collect()
}

/// The model of a preset. Its vocabulary is 256: set it to the data's.
///
/// # Errors
/// [`TrainError::Config`] for a name that is none, with the names there are.
///
/// # Examples
/// ```
/// use lehr_train::preset::preset;
/// # fn main() -> Result<(), lehr_train::TrainError> {
/// let (dense, experts) = (preset("dense-0.8m")?, preset("moe-8x0.8m")?);
/// assert_eq!(dense.parameters().non_embedding, 803_968);
/// // Two experts of half the width: only the router comes on top.
/// assert_eq!(experts.parameters().active - dense.parameters().active, 4 * 128 * 8);
/// # Ok(())
/// # }
/// ```
pub fn preset(name: &str) -> Result<ModelConfig, TrainError> {
    presets().into_iter().find(|(known, _)| known == name).map(|(_, model)| model).ok_or_else(|| {
        let names: Vec<String> = presets().into_iter().map(|(name, _)| name).collect();
        TrainError::config("model.preset", format!("'{name}'"), format!("one of {}", names.join(", ")))
    })
}

/// All presets with exact counts, as a table in Markdown.
#[must_use]
pub fn table() -> String {
    let mut text = String::from(
        "| preset | width | layers | heads | hidden | context | parameters | without embedding and head | of them active |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for (name, model) in presets() {
        let count = model.parameters();
        let hidden = model.experts.as_ref().map_or_else(
            || model.hidden.to_string(),
            |experts| format!("{} × {}", experts.count, experts.hidden),
        );
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| `{name}` | {} | {} | {} | {hidden} | {} | {} | {} | {} |",
            model.width,
            model.layers,
            model.heads,
            model.context,
            grouped(count.total),
            grouped(count.non_embedding),
            grouped(count.active),
        );
    }
    text
}

/// A number with commas between thousands.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_valid_model_of_about_the_size_in_its_name() {
        for (name, model) in presets() {
            model.check().unwrap();
            let size = name.trim_start_matches("dense-").trim_start_matches("moe-8x");
            let scale = if size.ends_with('b') { 1e9 } else { 1e6 };
            let nominal = scale * size[..size.len() - 1].parse::<f64>().unwrap();
            let active = model.parameters().active as f64;
            assert!((active / nominal - 1.0).abs() < 0.11, "{name}: {active}");
        }
    }

    #[test]
    fn the_table_in_the_documentation_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/presets.md");
        let text = format!(
            "# Presets\n\nMade by `LEHR_WRITE_REFERENCE=1 cargo test -p lehr-train table`. Counts are exact, for a vocabulary of 256 \
             and an untied head; a mixture of experts routes every token to 2 of 8.\n\n{}",
            table()
        );
        if std::env::var_os("LEHR_WRITE_REFERENCE").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), text, "run the command named in the file");
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = preset("dense-7b").unwrap_err().to_string();
        assert!(error.contains("'dense-7b'; expected one of dense-0.03m, "), "{error}");
    }
}
