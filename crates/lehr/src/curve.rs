//! A loss curve: the measured points of one run, its schedule and its metadata.

use crate::schedule::Schedule;
use crate::units::{Params, Steps, Tokens};
use serde::{Deserialize, Serialize};

/// The architecture family. Laws transfer within one family, not across.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Arch {
    /// Every token passes through every parameter.
    #[default]
    Dense,
    /// Mixture of experts: `top_k` of `experts` see a token.
    Moe {
        /// Routed experts per layer.
        experts: u32,
        /// Experts that one token is routed to.
        top_k: u32,
    },
}

impl Arch {
    /// The family, for tables and for asking whether two runs are of one.
    #[must_use]
    pub fn family(&self) -> ArchFamily {
        match self {
            Self::Dense => ArchFamily::Dense,
            Self::Moe { .. } => ArchFamily::Moe,
        }
    }
}

/// Dense models or mixtures of experts: laws and ratios transfer within one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ArchFamily {
    /// Every token passes through every parameter.
    Dense,
    /// Mixture of experts.
    Moe,
}

impl ArchFamily {
    /// `dense` or `moe`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Moe => "moe",
        }
    }
}

impl std::fmt::Display for ArchFamily {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no family of architectures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no family of architectures; expected dense or moe")]
pub struct ArchFamilyError(pub String);

impl std::str::FromStr for ArchFamily {
    type Err = ArchFamilyError;

    fn from_str(text: &str) -> Result<Self, ArchFamilyError> {
        match text {
            "dense" => Ok(Self::Dense),
            "moe" => Ok(Self::Moe),
            other => Err(ArchFamilyError(other.to_owned())),
        }
    }
}

/// Which parameters a count includes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ParamCount {
    /// Without the embedding and the output head: what the size terms of the laws want.
    NonEmbedding,
    /// Everything that is trained.
    Total,
    /// The source did not say.
    #[default]
    Unstated,
}

/// Which data the loss was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// The training batches themselves.
    Train,
    /// Held-out data.
    Validation,
    /// The source did not say.
    #[default]
    Unstated,
}

/// What one loss value stands for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// The loss at that update alone.
    #[default]
    Instant,
    /// The mean over the last so many updates, the point's own included.
    IntervalMean(Steps),
    /// An exponential moving average with this decay per update.
    Ema(f64),
}

/// Where a branch left its trunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BranchPoint {
    /// `id` of the trunk run.
    pub trunk: String,
    /// The last update that the two share.
    pub at: Steps,
}

/// What is known about a run besides its points and its schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunMeta {
    /// Unique name within a set of runs.
    pub id: String,
    /// Architecture family.
    #[serde(default)]
    pub arch: Arch,
    /// N, under the convention `counted`. `None`: unknown, so no term in N can be fitted.
    #[serde(default)]
    pub params: Option<Params>,
    /// Parameters that one token passes through, when that differs (mixture of experts).
    #[serde(default)]
    pub active_params: Option<Params>,
    /// What `params` and `active_params` count.
    #[serde(default)]
    pub counted: ParamCount,
    /// Batch size in tokens.
    #[serde(default)]
    pub tokens_per_step: Option<Tokens>,
    /// Name of the data set.
    #[serde(default)]
    pub dataset: Option<String>,
    /// Data the loss was measured on.
    #[serde(default)]
    pub split: Split,
    /// What one loss value stands for.
    #[serde(default)]
    pub loss_kind: LossKind,
    /// The trunk, if this run was resumed from one.
    #[serde(default)]
    pub branch: Option<BranchPoint>,
    /// Random seed, when stated.
    #[serde(default)]
    pub seed: Option<u64>,
    /// The loss at update T that the source states apart from its points (`final_val_loss` in a manifest). It is never
    /// appended to the points: it often comes from a larger evaluation set (35 mnat apart in one public data set).
    /// Measured optima of the annealing ratio use it where every run of a cell has one.
    #[serde(default)]
    pub final_loss: Option<f64>,
}

impl RunMeta {
    /// Metadata of which only the name is known.
    #[must_use]
    pub fn named(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            arch: Arch::default(),
            params: None,
            active_params: None,
            counted: ParamCount::default(),
            tokens_per_step: None,
            dataset: None,
            split: Split::default(),
            loss_kind: LossKind::default(),
            branch: None,
            seed: None,
            final_loss: None,
        }
    }

    /// N as the laws use it: active parameters where they are known, else all.
    #[must_use]
    pub fn law_params(&self) -> Option<Params> {
        self.active_params.or(self.params)
    }

    /// The name of the group of runs that share noise: a trunk together with its branches.
    #[must_use]
    pub fn noise_group(&self) -> &str {
        self.branch.as_ref().map_or(&self.id, |branch| &branch.trunk)
    }
}

/// The points of one run, checked once: updates strictly increasing and within the schedule, losses finite and positive.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    meta: RunMeta,
    schedule: Schedule,
    step: Vec<u64>,
    loss: Vec<f64>,
}

/// Why points do not make a curve.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CurveError {
    /// No point at all.
    #[error("run '{id}' has no point")]
    Empty {
        /// The run.
        id: String,
    },
    /// The two vectors differ in length.
    #[error("run '{id}' has {steps} steps but {losses} losses")]
    Lengths {
        /// The run.
        id: String,
        /// Number of steps.
        steps: usize,
        /// Number of losses.
        losses: usize,
    },
    /// A loss is NaN, infinite, zero or negative.
    #[error("run '{id}': the loss at update {step} is {}; expected a finite number above 0", crate::schedule::number(*loss))]
    Loss {
        /// The run.
        id: String,
        /// The update.
        step: u64,
        /// The loss found.
        loss: f64,
    },
    /// Updates do not strictly increase.
    #[error("run '{id}': update {next} follows update {step}; expected strictly increasing updates")]
    Order {
        /// The run.
        id: String,
        /// The earlier row's update.
        step: u64,
        /// The later row's update.
        next: u64,
    },
    /// A point lies outside 1 … T.
    #[error("run '{id}': update {step} lies outside the schedule's updates 1 … {total}")]
    Outside {
        /// The run.
        id: String,
        /// The update.
        step: u64,
        /// The schedule's horizon.
        total: u64,
    },
}

impl Curve {
    /// Checks the points and makes the curve.
    ///
    /// `step[i]` is the number of updates done when `loss[i]` (nats per token) was measured.
    ///
    /// # Errors
    /// One [`CurveError`] variant a broken rule; nothing is sorted, dropped or clamped.
    pub fn new(
        meta: RunMeta,
        schedule: Schedule,
        step: Vec<u64>,
        loss: Vec<f64>,
    ) -> Result<Self, CurveError> {
        let id = || meta.id.clone();
        if step.len() != loss.len() {
            return Err(CurveError::Lengths { id: id(), steps: step.len(), losses: loss.len() });
        }
        if step.is_empty() {
            return Err(CurveError::Empty { id: id() });
        }
        for (&t, &value) in step.iter().zip(&loss) {
            if !(value.is_finite() && value > 0.0) {
                return Err(CurveError::Loss { id: id(), step: t, loss: value });
            }
            if t == 0 || t > schedule.total().0 {
                return Err(CurveError::Outside { id: id(), step: t, total: schedule.total().0 });
            }
        }
        if let Some(pair) = step.windows(2).find(|pair| pair[1] <= pair[0]) {
            return Err(CurveError::Order { id: id(), step: pair[0], next: pair[1] });
        }
        Ok(Self { meta, schedule, step, loss })
    }

    /// Metadata.
    #[must_use]
    pub fn meta(&self) -> &RunMeta {
        &self.meta
    }

    /// The schedule of the whole run, from update 1, also where the points begin later.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Updates of the points.
    #[must_use]
    pub fn step(&self) -> &[u64] {
        &self.step
    }

    /// Losses of the points, nats per token.
    #[must_use]
    pub fn loss(&self) -> &[f64] {
        &self.loss
    }

    /// The last measured update and its loss.
    #[must_use]
    pub fn last(&self) -> (u64, f64) {
        let i = self.step.len() - 1;
        (self.step[i], self.loss[i])
    }

    /// The same run with other metadata.
    #[must_use]
    pub fn with_meta(mut self, meta: RunMeta) -> Self {
        self.meta = meta;
        self
    }

    /// The same run restricted to the points whose index `keep` accepts; `None` if none is left.
    #[must_use]
    pub fn retain(&self, mut keep: impl FnMut(usize, u64, f64) -> bool) -> Option<Self> {
        let mut step = Vec::new();
        let mut loss = Vec::new();
        for (i, (&t, &value)) in self.step.iter().zip(&self.loss).enumerate() {
            if keep(i, t, value) {
                step.push(t);
                loss.push(value);
            }
        }
        (!step.is_empty()).then(|| Self {
            meta: self.meta.clone(),
            schedule: self.schedule.clone(),
            step,
            loss,
        })
    }
}
