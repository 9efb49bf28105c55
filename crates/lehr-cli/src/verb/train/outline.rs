//! What a run will be, as a table.

use super::show::duration;
use crate::output::table;
use lehr_app::train::Outline;
use lehr_train::preset::grouped;

/// The outline of a run as a table.
pub fn text(outline: &Outline) -> String {
    let mut rows = table([outline.run.as_str(), ""]);
    let counts = &outline.parameters;
    let parameters = match &outline.model.experts {
        None => {
            format!("{} ({} with embedding and head)", grouped(counts.non_embedding), grouped(counts.total))
        }
        Some(_) => format!(
            "{}, of which a token passes {} ({} with embedding and head)",
            grouped(counts.non_embedding),
            grouped(counts.active),
            grouped(counts.total)
        ),
    };
    let data = match (outline.dataset_tokens, &outline.language) {
        (Some(tokens), _) => {
            format!("{}, {} tokens, {:.2} passes", outline.dataset, grouped(tokens), outline.passes)
        }
        (None, Some(floor)) => format!(
            "{}, never repeated, entropy {:.4} ± {:.4} nats per token",
            outline.dataset, floor.entropy.nats_per_token, floor.entropy.standard_error
        ),
        (None, None) => format!("{}, never repeated", outline.dataset),
    };
    rows.add_row(["parameters".to_owned(), parameters]);
    rows.add_row(["schedule".to_owned(), outline.schedule.clone()]);
    rows.add_row([
        "updates".to_owned(),
        format!(
            "{} of {} tokens, {} in all",
            grouped(outline.updates),
            grouped(outline.tokens_per_update),
            grouped(outline.tokens)
        ),
    ]);
    rows.add_row(["data".to_owned(), data]);
    rows.add_row(["validation".to_owned(), format!("{} sequences", grouped(outline.validation_sequences))]);
    rows.add_row(["arithmetic".to_owned(), format!("{:.2e} FLOP", outline.flops)]);
    rows.add_row([
        "memory".to_owned(),
        format!(
            "{} for weights, gradients and moments; activations come on top",
            bytes(outline.memory_bytes)
        ),
    ]);
    if let Some(seconds) = outline.seconds {
        rows.add_row([
            "time".to_owned(),
            format!("about {} on {} threads, validation aside", duration(seconds), outline.threads),
        ]);
    }
    rows.to_string()
}

/// Bytes as a person says them.
fn bytes(bytes: u64) -> String {
    let bytes = bytes as f64;
    let (unit, name) = match bytes {
        ..1e6 => (1e3, "kB"),
        1e6..1e9 => (1e6, "MB"),
        _ => (1e9, "GB"),
    };
    format!("{:.1} {name}", bytes / unit)
}
