//! The trainer on the CPU.

use super::adamw::{AdamW, reduce};
use super::network::{Network, Sums, Workspace};
use super::snapshot::{self, Snapshot};
use crate::batches::Batches;
use crate::error::TrainError;
use crate::run_config::RunConfig;
use crate::trainer::{Trainer, UpdateReport};
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;

/// One thread's share of every batch.
#[derive(Debug, Clone)]
struct Lane {
    workspace: Workspace<f32>,
    gradient: Vec<f32>,
    sums: Sums,
    /// Tokens per expert, layer after layer.
    counts: Vec<u64>,
}

/// Trains on the CPU in `f32`.
///
/// A batch is cut into as many *lanes* as asked for; each lane goes forward and backward over its sequences on one thread,
/// then the gradients are added lane after lane. Losses are the same, bit for bit, for one number of lanes on one kind
/// of machine, whatever the number of threads; with another number of lanes they differ by rounding.
pub struct CpuTrainer {
    network: Arc<Network<f32>>,
    batches: Arc<dyn Batches>,
    pool: Arc<rayon::ThreadPool>,
    identity: String,
    parameters: Vec<f32>,
    optimiser: AdamW,
    lanes: Vec<Lane>,
    tokens: Vec<u32>,
    completed: u64,
    experts: usize,
}

impl CpuTrainer {
    /// A freshly initialised model.
    ///
    /// # Errors
    /// [`TrainError::Config`] for a key outside its range, `lanes` of 0 or more lanes than sequences;
    /// [`TrainError::Data`] when the data's shape or vocabulary does not fit the model.
    pub fn new(config: &RunConfig, batches: Arc<dyn Batches>, lanes: usize) -> Result<Self, TrainError> {
        config.model.check()?;
        config.optimiser.check()?;
        let rows = config.batch as usize;
        if lanes == 0 || lanes > rows {
            return Err(TrainError::config("lanes", lanes, format!("1 … {rows}, the batch's sequences")));
        }
        let fits = |what: &str, found: u64, wanted: u64| {
            if found == wanted {
                return Ok(());
            }
            Err(TrainError::Data {
                place: "the data".to_owned(),
                problem: format!("{found} {what}"),
                expected: format!("{wanted}, as the configuration says"),
            })
        };
        fits("sequences per batch", batches.rows() as u64, rows as u64)?;
        fits("tokens per sequence", batches.context() as u64, config.model.context.into())?;
        if batches.vocabulary() > config.model.vocabulary {
            return Err(TrainError::Data {
                place: "the data".to_owned(),
                problem: format!("tokens up to {}", batches.vocabulary() - 1),
                expected: format!("tokens below model.vocabulary = {}; raise it", config.model.vocabulary),
            });
        }
        let network = Network::new(&config.model);
        let parameters = network.layout().initial(config.seed);
        let experts = config.model.experts.as_ref().map_or(0, |moe| moe.count as usize);
        let layers = config.model.layers as usize;
        let lane = |lane: usize| {
            let share = share(rows, lanes, lane).len();
            Lane {
                workspace: network.workspace(share),
                gradient: vec![0.0; parameters.len()],
                sums: Sums::default(),
                counts: vec![0; experts * layers],
            }
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(lanes).build();
        let pool = pool.map_err(|error| {
            TrainError::config("lanes", lanes, format!("a number of threads that can be started: {error}"))
        })?;
        Ok(Self {
            optimiser: AdamW::new(&config.optimiser, parameters.len()),
            lanes: (0..lanes).map(lane).collect(),
            tokens: vec![0; rows * (config.model.context as usize + 1)],
            network: Arc::new(network),
            identity: identity(config, lanes),
            parameters,
            batches,
            pool: Arc::new(pool),
            completed: 0,
            experts,
        })
    }

    /// All weights, in the order of [`super::layout::Layout`].
    #[must_use]
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// Where each tensor lies in [`CpuTrainer::parameters`].
    #[must_use]
    pub fn layout(&self) -> &super::layout::Layout {
        self.network.layout()
    }

    /// Runs every lane over its share of `self.tokens`.
    fn pass(&mut self, train: bool) -> Sums {
        let rows = self.batches.rows();
        let row = self.batches.context() + 1;
        let share_of_token = 1.0 / (rows * self.batches.context()) as f64;
        let lanes = self.lanes.len();
        let (network, parameters, tokens) = (&self.network, &self.parameters, &self.tokens);
        let experts = self.experts;
        let work = |(i, lane): (usize, &mut Lane)| {
            let mine = share(rows, lanes, i);
            let Lane { workspace, gradient, sums, counts } = lane;
            if train {
                gradient.fill(0.0);
                counts.fill(0);
            }
            let mut count = |layer: usize, expert: usize, n: u64| {
                // Those of the last update stay while the model is evaluated.
                if train {
                    counts[layer * experts + expert] += n;
                }
            };
            let gradient = train.then_some((share_of_token, gradient.as_mut_slice()));
            let mine = &tokens[mine.start * row..mine.end * row];
            *sums = network.pass(parameters, mine, workspace, gradient, &mut count);
        };
        self.pool.install(|| self.lanes.par_iter_mut().enumerate().for_each(work));
        let mut sums = Sums::default();
        for lane in &self.lanes {
            sums.loss += lane.sums.loss;
            sums.auxiliary.balance += lane.sums.auxiliary.balance;
            sums.auxiliary.z += lane.sums.auxiliary.z;
        }
        sums
    }

    fn finite(&self, quantity: &'static str, value: f64) -> Result<f64, TrainError> {
        if value.is_finite() {
            Ok(value)
        } else {
            Err(TrainError::Diverged { update: self.completed + 1, quantity, value })
        }
    }
}

/// What a snapshot says of the run that it belongs to: everything that decides the losses, as JSON.
#[must_use]
pub fn identity(config: &RunConfig, lanes: usize) -> String {
    let identity = serde_json::json!({
        "model": config.model, "optimiser": config.optimiser, "data": config.data,
        "batch": config.batch, "seed": config.seed, "lanes": lanes,
    });
    identity.to_string()
}

/// The rows of one lane: as even as possible, the first lanes take one more.
fn share(rows: usize, lanes: usize, lane: usize) -> std::ops::Range<usize> {
    rows * lane / lanes..rows * (lane + 1) / lanes
}

impl Trainer for CpuTrainer {
    fn update(&mut self, lr: f64) -> Result<UpdateReport, TrainError> {
        if !(lr >= 0.0 && lr.is_finite()) {
            return Err(TrainError::config("lr", lr, "a finite rate ≥ 0"));
        }
        let batches = self.batches.clone();
        batches.training(self.completed + 1, &mut self.tokens)?;
        let sums = self.pass(true);
        let tokens = (batches.rows() * batches.context()) as f64;
        let loss = self.finite("loss", sums.loss / tokens)?;
        if loss > 3.0 * (self.network.vocabulary() as f64).ln() {
            return Err(TrainError::Diverged { update: self.completed + 1, quantity: "loss", value: loss });
        }
        let pool = self.pool.clone();
        let mut gradients: Vec<&mut [f32]> =
            self.lanes.iter_mut().map(|lane| lane.gradient.as_mut_slice()).collect();
        let norm = pool.install(|| reduce(&mut gradients));
        let norm = self.finite("gradient norm", norm)?;
        self.completed += 1;
        let (optimiser, gradient) = (&mut self.optimiser, &self.lanes[0].gradient);
        let (tensors, parameters, t) = (&self.network.layout().tensors, &mut self.parameters, self.completed);
        pool.install(|| optimiser.step(tensors, parameters, gradient, t, lr, norm));
        let layers = self.network.layout().blocks.len() as f64;
        let moe = self.experts > 0;
        Ok(UpdateReport {
            loss,
            gradient_norm: norm,
            balance_loss: moe.then(|| sums.auxiliary.balance / (batches.rows() as f64 * layers)),
            z_loss: moe.then(|| sums.auxiliary.z / (tokens * layers)),
        })
    }

    fn sequence_gradient_norm(&mut self) -> Result<f64, TrainError> {
        let batches = self.batches.clone();
        batches.training(self.completed + 1, &mut self.tokens)?;
        let (rows, row) = (batches.rows(), batches.context() + 1);
        let share_of_token = 1.0 / batches.context() as f64;
        let lanes = self.lanes.len();
        let (network, parameters, tokens) = (&self.network, &self.parameters, &self.tokens);
        let work = |(i, lane): (usize, &mut Lane)| {
            let mut squares = 0.0;
            for sequence in share(rows, lanes, i) {
                let Lane { workspace, gradient, .. } = &mut *lane;
                gradient.fill(0.0);
                let tokens = &tokens[sequence * row..][..row];
                let gradient = Some((share_of_token, gradient.as_mut_slice()));
                network.pass(parameters, tokens, workspace, gradient, &mut |_, _, _| {});
                squares += super::real::square_sum(&lane.gradient);
            }
            squares
        };
        let squares: Vec<f64> =
            self.pool.install(|| self.lanes.par_iter_mut().enumerate().map(work).collect());
        self.finite("gradient norm", (squares.iter().sum::<f64>() / rows as f64).sqrt())
    }

    fn evaluate(&mut self) -> Result<f64, TrainError> {
        let batches = self.batches.clone();
        let count = batches.validation_len();
        if count == 0 {
            return Err(TrainError::Data {
                place: "the data".to_owned(),
                problem: "no validation batch".to_owned(),
                expected: "at least one; raise data.validation_sequences to the batch's sequences".to_owned(),
            });
        }
        let mut total = 0.0;
        for index in 0..count {
            batches.validation(index, &mut self.tokens)?;
            total += self.pass(false).loss;
        }
        let tokens = count as f64 * (batches.rows() * batches.context()) as f64;
        self.finite("validation loss", total / tokens)
    }

    fn completed(&self) -> u64 {
        self.completed
    }

    fn tokens_per_update(&self) -> u64 {
        (self.batches.rows() * self.batches.context()) as u64
    }

    fn expert_counts(&self) -> Vec<Vec<u64>> {
        if self.experts == 0 {
            return Vec::new();
        }
        let mut total = vec![0; self.lanes[0].counts.len()];
        for lane in &self.lanes {
            for (total, &count) in total.iter_mut().zip(&lane.counts) {
                *total += count;
            }
        }
        total.chunks(self.experts).map(<[u64]>::to_vec).collect()
    }

    fn fork(&self) -> Box<dyn Trainer> {
        Box::new(Self {
            network: self.network.clone(),
            batches: self.batches.clone(),
            pool: self.pool.clone(),
            identity: self.identity.clone(),
            parameters: self.parameters.clone(),
            optimiser: self.optimiser.clone(),
            lanes: self.lanes.clone(),
            tokens: self.tokens.clone(),
            completed: self.completed,
            experts: self.experts,
        })
    }

    fn save(&self, file: &Path) -> Result<(), TrainError> {
        let snapshot = Snapshot {
            identity: self.identity.clone(),
            completed: self.completed,
            parameters: &self.parameters,
            first: &self.optimiser.first,
            second: &self.optimiser.second,
        };
        snapshot::save(file, &self.network.layout().tensors, &snapshot)
    }

    fn load(&mut self, file: &Path) -> Result<(), TrainError> {
        let loaded = snapshot::load(file, &self.network.layout().tensors, &self.identity)?;
        self.completed = loaded.completed;
        self.parameters = loaded.parameters;
        self.optimiser.first = loaded.first;
        self.optimiser.second = loaded.second;
        Ok(())
    }
}
