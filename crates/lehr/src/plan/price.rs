//! What runs cost, and in which unit.

use crate::units::{Params, Tokens};
use serde::{Deserialize, Serialize};

/// In what prices are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Floating-point operations: 6·N a token.
    Operations,
    /// Tokens: N is not known.
    Tokens,
    /// Updates: neither N nor the batch is known.
    Updates,
}

/// The price of so many updates.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Price {
    /// In the document's `unit` (that of [`Money`]).
    pub amount: f64,
    /// Floating-point operations, 6·N a token, where N and the batch are known.
    pub operations: Option<f64>,
    /// Hours at the throughput stated, where it is.
    pub hours: Option<f64>,
}

impl Price {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a + b);
        Self {
            amount: self.amount + other.amount,
            operations: sum(self.operations, other.operations),
            hours: sum(self.hours, other.hours),
        }
    }
}

/// Turns updates into prices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Money {
    /// Tokens an update, the same for all runs.
    pub batch: Option<Tokens>,
    /// Whether every size is known.
    pub sizes: bool,
    /// Operations a second that the hardware reaches on these models.
    pub operations_per_second: Option<f64>,
}

/// Floating-point operations of the training for each parameter and token.
const OPERATIONS: f64 = 6.0;

impl Money {
    /// The unit in which all runs can be priced.
    #[must_use]
    pub fn unit(&self) -> Unit {
        match (self.sizes, self.batch) {
            (true, Some(_)) => Unit::Operations,
            (false, Some(_)) => Unit::Tokens,
            (_, None) => Unit::Updates,
        }
    }

    /// The price of so many updates of a model.
    #[must_use]
    pub fn price(&self, updates: u64, params: Option<Params>) -> Price {
        let updates = updates as f64;
        let tokens = self.batch.map(|batch| updates * batch.0 as f64);
        let operations =
            tokens.zip(params.filter(|_| self.sizes)).map(|(tokens, n)| OPERATIONS * n.0 as f64 * tokens);
        Price {
            amount: operations.or(tokens).unwrap_or(updates),
            operations,
            hours: operations.zip(self.operations_per_second).map(|(done, pace)| done / pace / 3600.0),
        }
    }
}

/// An amount that may be spent, as people state it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// Updates of all runs together.
    Updates(f64),
    /// Tokens of all runs together.
    Tokens(f64),
    /// Floating-point operations.
    Operations(f64),
    /// Hours at the throughput stated.
    Hours(f64),
}

/// Why a budget is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// Hours without a throughput.
    #[error("a budget in hours needs the throughput: [[throughput]] states it")]
    NoThroughput,
    /// Operations or hours, and N or the batch is not known.
    #[error(
        "a budget in operations or hours needs N and the batch: [[params]] and [[tokens_per_step]] state them"
    )]
    NoOperations,
    /// Tokens without the batch.
    #[error("a budget in tokens needs the batch: [[tokens_per_step]] states it")]
    NoBatch,
    /// Updates or tokens of several sizes.
    #[error("{0} sizes cost differently an update: state the budget in operations or hours")]
    Sizes(usize),
}

impl Money {
    /// The amount of a budget, in the unit of prices, where runs of these sizes can be chosen.
    ///
    /// # Errors
    /// [`BudgetError`], one variant a reason.
    ///
    /// # Examples
    /// ```
    /// use lehr::plan::{Budget, Money};
    /// use lehr::{Params, Tokens};
    /// let money = Money { batch: Some(Tokens(100_000)), sizes: true, operations_per_second: Some(1e14) };
    /// let size = [Some(Params(100_000_000))];
    /// // 6·10⁸ operations a token, 10⁵ tokens an update.
    /// assert_eq!(money.amount(Budget::Updates(1e3), &size), Ok(6e16));
    /// assert_eq!(money.amount(Budget::Hours(1.0), &size), Ok(3.6e17));
    /// ```
    pub fn amount(&self, budget: Budget, sizes: &[Option<Params>]) -> Result<f64, BudgetError> {
        let operations = self.unit() == Unit::Operations;
        let one = |updates: f64| {
            if operations && sizes.len() > 1 {
                return Err(BudgetError::Sizes(sizes.len()));
            }
            Ok(updates * self.price(1, sizes.first().copied().flatten()).amount)
        };
        match budget {
            Budget::Operations(amount) if operations => Ok(amount),
            Budget::Hours(hours) if operations => {
                self.operations_per_second.map(|pace| hours * 3600.0 * pace).ok_or(BudgetError::NoThroughput)
            }
            Budget::Operations(_) | Budget::Hours(_) => Err(BudgetError::NoOperations),
            Budget::Tokens(tokens) => {
                let batch = self.batch.ok_or(BudgetError::NoBatch)?;
                one(tokens / batch.0 as f64)
            }
            Budget::Updates(updates) => one(updates),
        }
    }
}

/// What hardware does on the models that are trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Throughput {
    /// Tokens a second at one size; other sizes are slower in proportion to N.
    Tokens {
        /// Tokens a second.
        per_second: f64,
        /// N.
        params: Params,
    },
    /// Floating-point operations a second.
    Operations(f64),
}

impl Throughput {
    /// Operations a second: 6·N a token.
    #[must_use]
    pub fn operations_per_second(self) -> f64 {
        match self {
            Self::Tokens { per_second, params } => OPERATIONS * params.0 as f64 * per_second,
            Self::Operations(operations) => operations,
        }
    }
}
