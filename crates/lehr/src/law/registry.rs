//! Which laws are known by name, those from outside the crate included.

use super::{Law, Scale, all};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A law that a fit holds because the crate does not have it. Two are equal where their names are.
#[derive(Debug, Clone)]
pub struct OwnLaw(pub Arc<dyn Law>);

impl PartialEq for OwnLaw {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

/// Why a law cannot be registered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// A law of the registry has that name or alias.
    #[error("the name '{name}' of the law '{law}' is taken by the law '{by}'; choose another")]
    Taken {
        /// Name of the law.
        law: &'static str,
        /// The name or alias that both have.
        name: &'static str,
        /// The law that had it first.
        by: &'static str,
    },
    /// Names are looked up in lower case with hyphens, so another one would never be found.
    #[error(
        "'{name}' cannot be looked up as a law's name; expected lower-case letters, digits and hyphens, such as 'my-law'"
    )]
    Name {
        /// The name.
        name: &'static str,
    },
    /// The table of coefficients contradicts itself.
    #[error("the coefficient '{coefficient}' of the law '{law}' {what}")]
    Coefficient {
        /// Name of the law.
        law: &'static str,
        /// Name of the coefficient.
        coefficient: &'static str,
        /// What is wrong, and what was expected.
        what: &'static str,
    },
    /// A law without coefficients.
    #[error("the law '{law}' has no coefficients; expected at least 1")]
    NoCoefficients {
        /// Name of the law.
        law: &'static str,
    },
}

/// The laws that are known by name: those of the crate and those added.
///
/// A law from outside needs nothing but the trait [`Law`]. Register it where fits are loaded: a fit file holds the name,
/// and [`Fit::resolve`](crate::fit::Fit::resolve) looks it up.
#[derive(Debug, Clone, Default)]
pub struct LawRegistry {
    own: Vec<Arc<dyn Law>>,
}

impl LawRegistry {
    /// The laws of the crate.
    #[must_use]
    pub fn built_in() -> Self {
        Self::default()
    }

    /// The same with one law more.
    ///
    /// # Errors
    /// [`RegisterError`]: a name that is taken or cannot be looked up, a table of coefficients that contradicts itself.
    pub fn with(mut self, law: Arc<dyn Law>) -> Result<Self, RegisterError> {
        check_names(law.as_ref(), &self)?;
        check_coefficients(law.as_ref())?;
        self.own.push(law);
        Ok(self)
    }

    /// The law of that name or alias, case-insensitively; `_` stands for `-`.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&dyn Law> {
        super::by_name(name)
            .map_or_else(|| self.own_by_name(name).map(AsRef::as_ref), |law| Some(law as &dyn Law))
    }

    /// The added law of that name or alias; `None` for those of the crate.
    #[must_use]
    pub fn own_by_name(&self, name: &str) -> Option<&Arc<dyn Law>> {
        let wanted = super::plain(name);
        self.own.iter().find(|law| super::answers_to(law.as_ref(), &wanted))
    }

    /// Every law: those of the crate in the order of the documentation, then those added in the order of adding.
    #[must_use]
    pub fn laws(&self) -> Vec<&dyn Law> {
        let built_in = all().into_iter().map(|law| law as &dyn Law);
        built_in.chain(self.own.iter().map(AsRef::as_ref)).collect()
    }
}

fn check_names(law: &dyn Law, registry: &LawRegistry) -> Result<(), RegisterError> {
    for &name in std::iter::once(&law.name()).chain(law.aliases()) {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || !name.chars().all(allowed) {
            return Err(RegisterError::Name { name });
        }
        if let Some(other) = registry.by_name(name) {
            return Err(RegisterError::Taken { law: law.name(), name, by: other.name() });
        }
    }
    Ok(())
}

fn check_coefficients(law: &dyn Law) -> Result<(), RegisterError> {
    let coefficients = law.coefficients();
    if coefficients.is_empty() {
        return Err(RegisterError::NoCoefficients { law: law.name() });
    }
    let mut seen = BTreeSet::new();
    for c in coefficients {
        let what = if !seen.insert(c.name) {
            "appears twice; names must differ"
        } else if !(c.lower.is_finite() && c.upper.is_finite() && c.lower < c.upper) {
            "has no range; expected finite bounds, the lower below the upper"
        } else if c.scale == Scale::Log && c.lower <= 0.0 {
            "is moved on a log scale and its lower bound is not positive"
        } else if !(c.lower..=c.upper).contains(&c.start) {
            "starts outside its bounds"
        } else {
            continue;
        };
        return Err(RegisterError::Coefficient { law: law.name(), coefficient: c.name, what });
    }
    if law.linear().iter().any(|&j| j >= coefficients.len()) {
        return Err(RegisterError::Coefficient {
            law: law.name(),
            coefficient: coefficients[coefficients.len() - 1].name,
            what: "is the last, and `linear` names one behind it",
        });
    }
    Ok(())
}
