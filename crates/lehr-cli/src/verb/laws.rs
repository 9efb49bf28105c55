//! `lehr laws`: which laws there are, and everything that is known about one.

use crate::failure::Failure;
use crate::output::{Output, table};
use lehr::law::{self, Coefficient, Law, Scale};
use lehr_app::laws;
use std::fmt::Write;

/// Lists the laws, or shows one with its coefficients, bounds, source and limits.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  lehr laws\n  lehr laws noise-relaxation\n  lehr laws cmmt --json")]
pub struct Args {
    /// The law to show in detail (name or alias); all laws are listed without it.
    name: Option<String>,
}

/// Prints the list or one law.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    match args.name {
        None if output.json => output.answer(&laws::list()),
        None => output.data(&list()),
        Some(name) => {
            let law = laws::named(&name)?;
            if output.json { output.answer(&laws::page(law)) } else { output.data(&page(law)) }
        }
    }
}

fn list() -> String {
    let mut text = String::new();
    for law in law::all() {
        let aliases = if law.aliases().is_empty() {
            String::new()
        } else {
            format!("  (also: {})", law.aliases().join(", "))
        };
        let _ = writeln!(text, "{}{aliases}\n    {}", law.name(), law.equation());
    }
    text + "\n`lehr laws NAME` shows a law's coefficients, bounds, source and limits.\n"
}

fn page(law: &dyn Law) -> String {
    let mut table = table(["coefficient", "symbol", "unit", "bounds", "moved as", "start"]);
    for c in law.coefficients() {
        table.add_row([
            c.name.to_owned(),
            c.symbol.to_owned(),
            c.unit.to_owned(),
            format!("{} … {}", c.lower, c.upper),
            moved(c).to_owned(),
            c.start.to_string(),
        ]);
    }
    let mut text = format!("{}\n\n    {}\n\nsource: {}\n", law.name(), law.equation(), law.source());
    if !law.aliases().is_empty() {
        let _ = writeln!(text, "also called: {}", law.aliases().join(", "));
    }
    let _ = writeln!(text, "fitted to: {}", fitted_to(law));
    let _ = writeln!(text, "\n{table}\n\nwhat it cannot do:");
    for limit in law.limits() {
        let _ = writeln!(text, "  - {limit}");
    }
    text
}

fn moved(c: &Coefficient) -> &'static str {
    match c.scale {
        Scale::Linear => "itself",
        Scale::Log => "logarithm",
    }
}

fn fitted_to(law: &dyn Law) -> &'static str {
    match (law.final_only(), law.needs_tokens()) {
        (true, true) => "final losses; every run must state its tokens per update",
        (true, false) => "final losses",
        (false, true) => "whole curves; every run must state its tokens per update",
        (false, false) => "whole curves",
    }
}
