//! The rates as JSON.

use super::{Draft, Evidence, Exporter, Request, Write};

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "json",
    aliases: &[],
    title: "the rates as JSON",
    shapes: "any schedule",
    remark: "",
    evidence: Evidence::ReadBack,
    resume: "the row of that update and those after it are what is left to do",
    load: "",
    log: None,
    write: Write::Any(|request| Ok(write(request))),
};

fn write(request: &Request<'_>) -> Draft {
    let Request { schedule, wanted, .. } = *request;
    let value = serde_json::json!({
        "version": 1,
        "text": schedule.to_string(),
        "family": schedule.family(),
        "schedule": schedule,
        "lr": wanted,
    });
    let text = serde_json::to_string(&value).unwrap_or_default() + "\n";
    Draft::text("schedule.json", text, wanted.to_vec()).note("lr[i] is the rate that update i + 1 uses")
}
