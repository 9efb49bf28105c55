//! Configuration of a model and of its optimiser.

use crate::error::TrainError;
use serde::{Deserialize, Serialize};

/// How initial scales and rates follow the width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Parametrisation {
    /// Every matrix starts with standard deviation 1/√fan_in (matrices that write into the residual stream: divided by
    /// √(2·layers)), embeddings with 1/√d; one rate for all.
    #[default]
    Standard,
    /// Maximal-update style: as standard, but the rate of hidden matrices is multiplied by `base_width`/d, the logits by
    /// `base_width`/d, and attention scores are divided by the head's width instead of its root (times the base's root).
    Mup {
        /// The width at which this equals the standard parametrisation.
        base_width: u32,
    },
}

/// The experts of a mixture-of-experts model. Routing drops no token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpertsConfig {
    /// Routed experts per layer, 2 … 1024.
    pub count: u32,
    /// Experts a token is routed to, 1 … count.
    pub top_k: u32,
    /// Inner width of one expert, a multiple of 8.
    pub hidden: u32,
    /// Shared experts that every token passes, as a multiple of `hidden`; 0: none.
    #[serde(default)]
    pub shared: u32,
    /// Coefficient of the load-balance loss (per sequence), ≥ 0.
    #[serde(default = "default_balance")]
    pub balance: f64,
    /// Coefficient of the router's z-loss, ≥ 0.
    #[serde(default = "default_z")]
    pub z: f64,
}

fn default_balance() -> f64 {
    0.01
}

fn default_z() -> f64 {
    0.001
}

/// A decoder-only transformer: RMSNorm, rotary positions, causal attention, SwiGLU, no biases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Vocabulary V, 2 … 1,048,576.
    pub vocabulary: u32,
    /// Tokens in a sequence T, 2 … 65,536.
    pub context: u32,
    /// Width d, a multiple of 8 and of `heads`.
    pub width: u32,
    /// Number of blocks, 1 … 256.
    pub layers: u32,
    /// Attention heads; the head's width d/heads is even.
    pub heads: u32,
    /// Inner width of the SwiGLU of a dense block, a multiple of 8. Not used where `experts` is set.
    pub hidden: u32,
    /// Whether the output head is the embedding.
    #[serde(default)]
    pub tied: bool,
    /// Base of the rotary frequencies, > 1.
    #[serde(default = "default_theta")]
    pub rope_theta: f64,
    /// ε of RMSNorm, > 0.
    #[serde(default = "default_epsilon")]
    pub norm_epsilon: f64,
    /// Initial scales and rates.
    #[serde(default)]
    pub parametrisation: Parametrisation,
    /// Mixture of experts in every block, instead of the dense SwiGLU.
    #[serde(default)]
    pub experts: Option<ExpertsConfig>,
}

fn default_theta() -> f64 {
    10_000.0
}

fn default_epsilon() -> f64 {
    1e-5
}

/// AdamW with global-norm clipping. Norm weights are not decayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OptimiserConfig {
    /// Decay of the first moment, 0 ≤ β₁ < 1.
    pub beta1: f64,
    /// Decay of the second moment, 0 ≤ β₂ < 1.
    pub beta2: f64,
    /// ε, > 0.
    pub epsilon: f64,
    /// Decoupled weight decay: a weight loses the share lr·decay per update.
    pub weight_decay: f64,
    /// Largest global norm of the gradient; larger ones are scaled down to it. 0: no clipping.
    pub clip: f64,
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1, clip: 1.0 }
    }
}

impl ModelConfig {
    /// Checks every key's range.
    ///
    /// # Errors
    /// [`TrainError::Config`] names the first key outside its range and the range.
    pub fn check(&self) -> Result<(), TrainError> {
        let range = |key: &str, value: u32, low: u32, high: u32| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(TrainError::config(format!("model.{key}"), value, format!("{low} … {high}")))
            }
        };
        let multiple = |key: &str, value: u32, of: u32| {
            if value != 0 && value.is_multiple_of(of) {
                Ok(())
            } else {
                Err(TrainError::config(format!("model.{key}"), value, format!("a multiple of {of}, above 0")))
            }
        };
        range("vocabulary", self.vocabulary, 2, 1 << 20)?;
        range("context", self.context, 2, 1 << 16)?;
        range("width", self.width, 8, 1 << 16)?;
        multiple("width", self.width, 8)?;
        range("layers", self.layers, 1, 256)?;
        range("heads", self.heads, 1, self.width / 2)?;
        if !self.width.is_multiple_of(2 * self.heads) {
            return Err(TrainError::config(
                "model.heads",
                self.heads,
                format!("a divisor of the width {} with an even head width", self.width),
            ));
        }
        if self.experts.is_none() {
            multiple("hidden", self.hidden, 8)?;
        }
        if !(self.rope_theta > 1.0 && self.rope_theta.is_finite()) {
            return Err(TrainError::config("model.rope_theta", self.rope_theta, "a number above 1"));
        }
        if !(self.norm_epsilon > 0.0 && self.norm_epsilon < 1.0) {
            return Err(TrainError::config(
                "model.norm_epsilon",
                self.norm_epsilon,
                "a number between 0 and 1",
            ));
        }
        if let Parametrisation::Mup { base_width } = self.parametrisation {
            range("parametrisation.mup.base_width", base_width, 8, 1 << 16)?;
        }
        if let Some(experts) = &self.experts {
            range("experts.count", experts.count, 2, 1024)?;
            range("experts.top_k", experts.top_k, 1, experts.count)?;
            multiple("experts.hidden", experts.hidden, 8)?;
            range("experts.shared", experts.shared, 0, 64)?;
            for (key, value) in [("balance", experts.balance), ("z", experts.z)] {
                if !(value >= 0.0 && value.is_finite()) {
                    return Err(TrainError::config(format!("model.experts.{key}"), value, "a number ≥ 0"));
                }
            }
        }
        Ok(())
    }

    /// Exact number of trainable parameters: (all, without embedding and head, the latter's share one token passes).
    ///
    /// # Formula
    /// ```text
    /// block = 2d + 4d² + SwiGLU          SwiGLU(f) = 3·d·f
    /// dense:   SwiGLU(hidden)
    /// experts: d·E + E·SwiGLU(f) + shared·SwiGLU(f);   one token passes top_k of the E
    /// body = layers·block + d            all = body + V·d·(1 if tied, else 2)
    /// ```
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        let d = u64::from(self.width);
        let swiglu = |hidden: u64| 3 * d * hidden;
        let (all, active) = match &self.experts {
            None => (swiglu(self.hidden.into()), swiglu(self.hidden.into())),
            Some(experts) => {
                let one = swiglu(experts.hidden.into());
                let fixed = d * u64::from(experts.count) + u64::from(experts.shared) * one;
                (fixed + u64::from(experts.count) * one, fixed + u64::from(experts.top_k) * one)
            }
        };
        let layers = u64::from(self.layers);
        let block = 2 * d + 4 * d * d;
        let embedding = u64::from(self.vocabulary) * d * if self.tied { 1 } else { 2 };
        let body = layers * (block + all) + d;
        Parameters { total: body + embedding, non_embedding: body, active: layers * (block + active) + d }
    }
}

/// Exact parameter counts of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Everything that is trained.
    pub total: u64,
    /// Without embedding and output head.
    pub non_embedding: u64,
    /// Of the latter, what one token passes through.
    pub active: u64,
}

impl OptimiserConfig {
    /// Checks every key's range.
    ///
    /// # Errors
    /// [`TrainError::Config`] names the first key outside its range and the range.
    pub fn check(&self) -> Result<(), TrainError> {
        let share = "a number ≥ 0 and below 1";
        let positive = "a finite number above 0";
        let not_negative = "a finite number ≥ 0";
        for (key, value, good, expected) in [
            ("beta1", self.beta1, (0.0..1.0).contains(&self.beta1), share),
            ("beta2", self.beta2, (0.0..1.0).contains(&self.beta2), share),
            ("epsilon", self.epsilon, self.epsilon > 0.0, positive),
            ("weight_decay", self.weight_decay, self.weight_decay >= 0.0, not_negative),
            ("clip", self.clip, self.clip >= 0.0, not_negative),
        ] {
            if !good || !value.is_finite() {
                return Err(TrainError::config(format!("optimiser.{key}"), value, expected));
            }
        }
        Ok(())
    }
}
