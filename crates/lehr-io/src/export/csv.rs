//! The rates as CSV.

use super::{Draft, Evidence, Exporter, Request, Write};

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "csv",
    aliases: &[],
    title: "the rates as CSV",
    shapes: "any schedule",
    remark: "",
    evidence: Evidence::ReadBack,
    resume: "the row of that update and those after it are what is left to do",
    load: "",
    log: None,
    write: Write::Any(|request| Ok(write(request))),
};

fn write(request: &Request<'_>) -> Draft {
    let wanted = request.wanted;
    let mut text = String::from("step,lr\n");
    for (i, rate) in wanted.iter().enumerate() {
        text += &format!("{},{rate:e}\n", i + 1);
    }
    Draft::text("schedule.csv", text, wanted.to_vec())
        .note("row `step` is the rate that update `step` uses, counted from 1")
}
