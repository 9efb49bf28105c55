//! Batch statistics on planted data.

use crate::support::{gauss, random, wsd};
use lehr::batch::{BatchError, GradientSample, collapse, critical_batch, noise_scale};
use lehr::{Curve, RunMeta, Tokens};

const BATCHES: [u64; 4] = [50_000, 100_000, 200_000, 400_000];

fn curve(batch: u64, points: Vec<(u64, f64)>) -> Curve {
    let meta = RunMeta { tokens_per_step: Some(Tokens(batch)), ..RunMeta::named(format!("b{batch}")) };
    let total = points.last().unwrap().0;
    let (step, loss) = points.into_iter().unzip();
    Curve::new(meta, wsd(1e-3, total, 0.0), step, loss).unwrap()
}

fn falling(x: f64) -> f64 {
    2.5 + 3.0 * x.powf(-0.3)
}

#[test]
fn curves_that_agree_by_updates_collapse_by_updates() {
    let runs: Vec<Curve> = BATCHES
        .iter()
        .map(|&b| curve(b, (1..=200).map(|i| (i * 40, falling(i as f64 * 40.0))).collect()))
        .collect();
    let found = collapse(&runs).unwrap();
    assert!(found.by_updates < 1e-12 && found.by_tokens > 0.01, "{found:?}");
    assert!(found.statistic < 1e-6);
}

#[test]
fn curves_that_agree_by_tokens_collapse_by_tokens() {
    let runs: Vec<Curve> = BATCHES
        .iter()
        .map(|&b| {
            let scale = b as f64 / 1e5;
            curve(b, (1..=400).map(|i| (i * 40, falling(i as f64 * 40.0 * scale))).collect())
        })
        .collect();
    let found = collapse(&runs).unwrap();
    // Linear interpolation between the points of curves with other spacings is all that is left.
    assert!(found.by_tokens < 1e-3 && found.by_updates > 0.02, "{found:?}");
    assert!(found.statistic > 0.95);
    assert_eq!(found.batches, BATCHES);
}

#[test]
fn a_planted_critical_batch_is_recovered() {
    // S = S_min(L)·(1 + B_c(L)/B) with B_c = λ/L^α: the updates at which a batch reaches each loss.
    let (lambda, alpha) = (4e7, 5.0);
    let runs: Vec<Curve> = BATCHES
        .iter()
        .map(|&b| {
            let mut points: Vec<(u64, f64)> = (0..400)
                .map(|i| 4.2 - 1.3 * f64::from(i) / 399.0)
                .map(|loss| {
                    let fewest = (3.0 / (loss - 2.5)).powf(1.0 / 0.3);
                    let critical = lambda / f64::powf(loss, alpha);
                    ((fewest * (1.0 + critical / b as f64) * 100.0).round() as u64, loss)
                })
                .collect();
            points.dedup_by_key(|p| p.0);
            curve(b, points)
        })
        .collect();
    let found = critical_batch(&runs).unwrap();
    assert!((found.alpha - alpha).abs() < 0.1, "{found:?}");
    assert!((found.lambda / lambda).ln().abs() < 0.15, "{found:?}");
    assert!(found.rms < 0.02);
}

#[test]
fn one_batch_size_compares_nothing() {
    let runs: Vec<Curve> = (0..2)
        .map(|_| curve(100_000, (1..=50).map(|i| (i * 100, falling(i as f64 * 100.0))).collect()))
        .collect();
    assert_eq!(collapse(&runs), Err(BatchError::OneBatch(1)));
    assert_eq!(critical_batch(&runs), Err(BatchError::OneBatch(1)));
}

#[test]
fn a_planted_gradient_noise_scale_is_found_and_noise_that_hides_the_signal_is_said() {
    // Gradients of d components: g of norm 1, and independent noise of variance 0.05 a component and sequence.
    let (d, sequences, context) = (400, 8, 64);
    let mut rng = random(11);
    let mut sample = |signal: f64| {
        let mut mean = vec![0.0; d];
        let mut each = 0.0;
        for _ in 0..sequences {
            for (i, mean) in mean.iter_mut().enumerate() {
                let g = if i == 0 { signal } else { 0.0 } + 0.05_f64.sqrt() * gauss(&mut rng);
                *mean += g / sequences as f64;
                each += g * g / sequences as f64;
            }
        }
        GradientSample { loss: 3.0, batch: mean.iter().map(|g| g * g).sum(), sequence: each }
    };
    let samples: Vec<GradientSample> = (0..200).map(|_| sample(1.0)).collect();
    let found = noise_scale(&samples, sequences, context, 4).unwrap();
    assert_eq!(found.len(), 4);
    for stretch in &found {
        // tr Σ = 20, |G|² = 1: 20 sequences.
        assert_eq!(stretch.samples, 50);
        assert!((stretch.variance / 20.0 - 1.0).abs() < 0.05, "{stretch:?}");
        assert!((stretch.tokens.unwrap() / (20.0 * context as f64) - 1.0).abs() < 0.4, "{stretch:?}");
    }
    let hidden: Vec<GradientSample> = (0..40).map(|_| sample(0.0)).collect();
    let found = noise_scale(&hidden, sequences, context, 40).unwrap();
    assert!(found.iter().any(|stretch| stretch.tokens.is_none() && stretch.signal < 0.0));
    assert_eq!(
        noise_scale(&samples, 1, context, 4),
        Err(BatchError::NoNoise { samples: 200, sequences: 1 }),
        "one sequence cannot be told from its batch"
    );
}
