//! The trainer as a sweep uses it: determinism, snapshots, forks, divergence, refusals.

use lehr_train::config::{ExpertsConfig, ModelConfig, OptimiserConfig, Parametrisation};
use lehr_train::{Batches, CpuTrainer, DataConfig, RunConfig, TrainError, Trainer};
use std::sync::Arc;

/// Sequences that count upwards with a stride drawn from the seed: learnable at once.
struct Counting {
    rows: usize,
    context: usize,
    seed: u64,
}

impl Counting {
    fn fill(&self, batch: u64, tokens: &mut [u32]) {
        for (i, row) in tokens.chunks_exact_mut(self.context + 1).enumerate() {
            let mut state = (self.seed ^ batch << 20 ^ i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            state ^= state >> 29;
            let (start, stride) = (state % 32, 1 + (state >> 8) % 3);
            for (t, token) in row.iter_mut().enumerate() {
                *token = ((start + stride * t as u64) % 32) as u32;
            }
        }
    }
}

impl Batches for Counting {
    fn rows(&self) -> usize {
        self.rows
    }
    fn context(&self) -> usize {
        self.context
    }
    fn vocabulary(&self) -> u32 {
        32
    }
    fn training(&self, update: u64, tokens: &mut [u32]) -> Result<(), TrainError> {
        self.fill(update, tokens);
        Ok(())
    }
    fn validation_len(&self) -> u64 {
        2
    }
    fn validation(&self, index: u64, tokens: &mut [u32]) -> Result<(), TrainError> {
        self.fill(1 << 40 | index, tokens);
        Ok(())
    }
}

fn config(experts: bool) -> RunConfig {
    let moe = ExpertsConfig { count: 4, top_k: 2, hidden: 32, shared: 0, balance: 0.01, z: 0.001 };
    RunConfig {
        model: ModelConfig {
            vocabulary: 32,
            context: 32,
            width: 32,
            layers: 2,
            heads: 2,
            hidden: 64,
            tied: false,
            rope_theta: 10_000.0,
            norm_epsilon: 1e-5,
            parametrisation: Parametrisation::Standard,
            experts: experts.then_some(moe),
        },
        optimiser: OptimiserConfig::default(),
        data: DataConfig::default(),
        batch: 6,
        seed: 7,
        validate_every: 0,
        noise_every: 0,
    }
}

fn trainer(config: &RunConfig, lanes: usize) -> CpuTrainer {
    let rows = config.batch as usize;
    let batches = Counting { rows, context: config.model.context as usize, seed: config.seed };
    CpuTrainer::new(config, Arc::new(batches), lanes).unwrap()
}

fn losses(trainer: &mut dyn Trainer, updates: usize) -> Vec<u64> {
    (0..updates).map(|_| trainer.update(3e-3).unwrap().loss.to_bits()).collect()
}

#[test]
fn the_loss_begins_near_ln_of_the_vocabulary_and_falls() {
    for experts in [false, true] {
        let mut trainer = trainer(&config(experts), 1);
        let first = trainer.update(3e-3).unwrap();
        assert!((first.loss - 32f64.ln()).abs() < 1.0, "{first:?}");
        for _ in 0..150 {
            trainer.update(3e-3).unwrap();
        }
        let validation = trainer.evaluate().unwrap();
        // Start and stride are seen after two tokens: about 2 of 32 positions cost something.
        assert!(validation < 0.5, "validation loss {validation}");
        assert_eq!(trainer.completed(), 151);
    }
}

#[test]
fn one_seed_and_number_of_lanes_give_one_sequence_of_losses_and_more_lanes_differ_by_rounding() {
    for experts in [false, true] {
        let config = config(experts);
        let one = losses(&mut trainer(&config, 1), 30);
        assert_eq!(one, losses(&mut trainer(&config, 1), 30));
        let two = losses(&mut trainer(&config, 2), 30);
        assert_eq!(two, losses(&mut trainer(&config, 2), 30));
        for (one, two) in one.iter().zip(&two) {
            let (one, two) = (f64::from_bits(*one), f64::from_bits(*two));
            // f32 sums in another order, amplified over 30 updates.
            assert!((one - two).abs() < 1e-3, "{one} and {two}");
        }
    }
}

#[test]
fn a_snapshot_goes_on_as_if_nothing_had_happened() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("at-10.safetensors");
    for experts in [false, true] {
        let config = config(experts);
        let mut whole = trainer(&config, 2);
        losses(&mut whole, 10);
        whole.save(&file).unwrap();
        let rest = losses(&mut whole, 10);
        let mut resumed = trainer(&config, 2);
        losses(&mut resumed, 3);
        resumed.load(&file).unwrap();
        assert_eq!(resumed.completed(), 10);
        let mut forked = resumed.fork();
        assert_eq!(losses(&mut resumed, 10), rest);
        assert_eq!(losses(&mut *forked, 10), rest);
        assert_eq!(resumed.evaluate().unwrap().to_bits(), whole.evaluate().unwrap().to_bits());
    }
}

#[test]
fn evaluation_leaves_training_alone() {
    let config = config(true);
    let (mut quiet, mut watched) = (trainer(&config, 1), trainer(&config, 1));
    for _ in 0..5 {
        watched.evaluate().unwrap();
        assert_eq!(losses(&mut quiet, 2), losses(&mut watched, 2));
    }
}

#[test]
fn every_token_reaches_its_top_experts() {
    let config = config(true);
    let mut trainer = trainer(&config, 2);
    assert!(trainer.expert_counts().iter().flatten().all(|&count| count == 0));
    let report = trainer.update(1e-3).unwrap();
    let counts = trainer.expert_counts();
    trainer.evaluate().unwrap();
    assert_eq!(trainer.expert_counts(), counts, "an evaluation is no update");
    assert_eq!(counts.len(), 2);
    for layer in counts {
        assert_eq!(layer.iter().sum::<u64>(), 2 * trainer.tokens_per_update());
    }
    assert!(report.balance_loss.unwrap() >= 0.9 && report.z_loss.unwrap() > 0.0, "{report:?}");
}

#[test]
fn divergence_is_an_error_that_leaves_the_weights_alone() {
    let mut config = config(false);
    config.optimiser.clip = 0.0;
    let mut trainer = trainer(&config, 1);
    let error = loop {
        let before = trainer.parameters().to_vec();
        match trainer.update(1e30) {
            Ok(_) => assert!(trainer.completed() < 50, "a rate of 1e30 did not diverge"),
            Err(error) => {
                let same = before.iter().zip(trainer.parameters()).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "the weights changed");
                break error;
            }
        }
    };
    assert!(matches!(error, TrainError::Diverged { .. }), "{error}");
}

#[test]
fn snapshots_of_another_configuration_and_broken_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshot.safetensors");
    let mut dense = trainer(&config(false), 1);
    losses(&mut dense, 2);
    dense.save(&file).unwrap();
    let refused = |trainer: &mut CpuTrainer| trainer.load(&file).unwrap_err().to_string();

    let message = refused(&mut trainer(&RunConfig { seed: 8, ..config(false) }, 1));
    assert!(message.contains("another configuration"), "{message}");

    let whole = std::fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    let last = flipped.len() - 5;
    flipped[last] ^= 1;
    std::fs::write(&file, &flipped).unwrap();
    assert!(refused(&mut dense).contains("checksum"), "{}", refused(&mut dense));
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(refused(&mut dense).contains("not readable"), "{}", refused(&mut dense));
    std::fs::write(&file, b"no snapshot").unwrap();
    assert!(refused(&mut dense).contains("not readable"), "{}", refused(&mut dense));
    std::fs::remove_file(&file).unwrap();
    assert!(refused(&mut dense).contains("cannot read"), "{}", refused(&mut dense));
    assert_eq!(dense.completed(), 2, "a refused snapshot changes nothing");
}

#[test]
fn configurations_outside_their_range_name_the_key_and_the_range() {
    let refused = |change: &dyn Fn(&mut RunConfig), lanes: usize| {
        let mut config = config(true);
        change(&mut config);
        let batches = Counting { rows: config.batch as usize, context: 32, seed: 0 };
        CpuTrainer::new(&config, Arc::new(batches), lanes)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    assert_eq!(refused(&|_| (), 7), "lanes is 7; expected 1 … 6, the batch's sequences");
    assert_eq!(refused(&|c| c.model.width = 33, 1), "model.width is 33; expected a multiple of 8, above 0");
    let heads = refused(&|c| c.model.heads = 5, 1);
    assert_eq!(heads, "model.heads is 5; expected a divisor of the width 32 with an even head width");
    let beta = refused(&|c| c.optimiser.beta2 = 1.0, 1);
    assert_eq!(beta, "optimiser.beta2 is 1; expected a number ≥ 0 and below 1");
    let top_k = |c: &mut RunConfig| c.model.experts.iter_mut().for_each(|moe| moe.top_k = 9);
    assert_eq!(refused(&top_k, 1), "model.experts.top_k is 9; expected 1 … 4");
    let vocabulary = refused(&|c| c.model.vocabulary = 16, 1);
    assert!(vocabulary.contains("model.vocabulary = 16"), "{vocabulary}");
}

#[test]
fn parameter_counts_are_the_tensors_sizes() {
    for (experts, tied, shared) in [(false, false, 0), (false, true, 0), (true, false, 0), (true, true, 2)] {
        let mut config = config(experts);
        config.model.tied = tied;
        config.model.experts.iter_mut().for_each(|moe| moe.shared = shared);
        let counts = config.model.parameters();
        let trainer = trainer(&config, 1);
        assert_eq!(trainer.parameters().len() as u64, counts.total);
        let sizes = trainer.layout().tensors.iter();
        let body: usize =
            sizes.filter(|t| t.name != "embedding" && t.name != "head").map(|t| t.range.len()).sum();
        assert_eq!(body as u64, counts.non_embedding);
        // Two of four experts are at rest.
        let resting = if experts { 2 * 2 * 3 * 32 * 32 } else { 0 };
        assert_eq!(counts.non_embedding - counts.active, resting);
    }
}

/// One sequence of another trainer's batches, given as the whole batch.
struct Single {
    whole: Counting,
    row: usize,
}

impl Batches for Single {
    fn rows(&self) -> usize {
        1
    }
    fn context(&self) -> usize {
        self.whole.context()
    }
    fn vocabulary(&self) -> u32 {
        self.whole.vocabulary()
    }
    fn training(&self, update: u64, tokens: &mut [u32]) -> Result<(), TrainError> {
        let row = self.whole.context() + 1;
        let mut all = vec![0; self.whole.rows() * row];
        self.whole.training(update, &mut all)?;
        tokens.copy_from_slice(&all[self.row * row..][..row]);
        Ok(())
    }
    fn validation_len(&self) -> u64 {
        0
    }
    fn validation(&self, _: u64, _: &mut [u32]) -> Result<(), TrainError> {
        unreachable!("there is no validation batch")
    }
}

#[test]
fn the_norm_of_single_gradients_is_that_of_batches_of_one_and_leaves_training_alone() {
    for experts in [false, true] {
        let config = config(experts);
        let (mut one, mut two) = (trainer(&config, 1), trainer(&config, 2));
        let mut squares = 0.0;
        for row in 0..config.batch as usize {
            let whole = Counting {
                rows: config.batch as usize,
                context: config.model.context as usize,
                seed: config.seed,
            };
            let single = RunConfig { batch: 1, ..config.clone() };
            let mut alone = CpuTrainer::new(&single, Arc::new(Single { whole, row }), 1).unwrap();
            squares += alone.update(0.0).unwrap().gradient_norm.powi(2);
        }
        let wanted = (squares / f64::from(config.batch)).sqrt();
        for trainer in [&mut one, &mut two] {
            let found = trainer.sequence_gradient_norm().unwrap();
            assert!((found / wanted - 1.0).abs() < 1e-5, "{found} {wanted}");
        }
        // The mean of the gradients is never longer than their root mean square.
        assert!(two.update(1e-3).unwrap().gradient_norm < wanted);
        assert_eq!(losses(&mut one, 5), losses(&mut trainer(&config, 1), 5));
    }
}

#[test]
fn a_loss_far_above_guessing_is_divergence_even_where_it_is_a_number() {
    let mut config = config(false);
    config.optimiser.clip = 0.0;
    let mut trainer = trainer(&config, 1);
    let error = (0..200).find_map(|_| trainer.update(3.0).err()).expect("a rate of 3 does not train");
    let TrainError::Diverged { quantity, value, .. } = error else { panic!("{error}") };
    assert!(quantity == "loss" && value.is_finite() && value > 3.0 * 32f64.ln(), "{quantity} {value}");
}
