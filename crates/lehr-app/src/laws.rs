//! Which laws there are, and everything that is known about one.

use crate::documents::Document;
use crate::failure::Failure;
use lehr::Law;
use lehr::law::{self, Coefficient};
use lehr::testing;
use serde::Serialize;

/// A law in one line.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct LawLine {
    /// Name, as `[[law]]` takes it.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// Equation in plain text.
    pub equation: &'static str,
    /// How many coefficients it has, fitted or held.
    pub n_coefficients: usize,
}

/// All laws.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct LawList {
    /// The laws, the default first.
    pub laws: Vec<LawLine>,
}

impl Document for LawList {
    const SCHEMA: &'static str = "lehr.laws/1";
}

/// Everything that is known about a law.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct LawPage {
    /// Name, as `[[law]]` takes it.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// Equation in plain text.
    pub equation: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// What it cannot do.
    pub limits: &'static [&'static str],
    /// Coefficients with their bounds.
    pub coefficients: &'static [Coefficient],
    /// Coefficients in which the law is linear.
    pub linear: Vec<&'static str>,
    /// Whether it describes final losses only.
    pub final_only: bool,
    /// Whether every run must state its tokens per update.
    pub needs_tokens: bool,
    /// Whether updates at rate 0 after the end move its loss.
    pub zero_rate_padding_changes_the_loss: bool,
    /// What it needs to know of a schedule.
    pub features: lehr::features::FeatureDefinition,
}

impl Document for LawPage {
    const SCHEMA: &'static str = "lehr.law/1";
}

/// The law of that name.
///
/// # Errors
/// [`Failure`] that lists the laws.
pub fn named(name: &str) -> Result<&'static dyn Law, Failure> {
    law::by_name(name).ok_or_else(|| {
        let known: Vec<&str> = law::all().iter().map(|law| law.name()).collect();
        Failure::usage(format_args!("there is no law '{name}'"))
            .hint(format_args!("the laws are {}; `lehr laws` describes them", known.join(", ")))
    })
}

/// Lists the laws.
#[must_use]
pub fn list() -> LawList {
    let brief = |law: &'static dyn Law| LawLine {
        name: law.name(),
        aliases: law.aliases(),
        equation: law.equation(),
        n_coefficients: law.coefficients().len(),
    };
    LawList { laws: law::all().into_iter().map(brief).collect() }
}

/// Describes one law.
#[must_use]
pub fn page(law: &'static dyn Law) -> LawPage {
    LawPage {
        name: law.name(),
        aliases: law.aliases(),
        equation: law.equation(),
        source: law.source(),
        limits: law.limits(),
        coefficients: law.coefficients(),
        linear: law.linear().iter().map(|&j| law.coefficients()[j].name).collect(),
        final_only: law.final_only(),
        needs_tokens: law.needs_tokens(),
        zero_rate_padding_changes_the_loss: !testing::survives_padding(law),
        features: law.features(),
    }
}
