//! Curves with known coefficients and known noise.

use lehr::law::{self, Law, Role};
use lehr::{Curve, Params, RunFeatures, RunMeta, Schedule, Shape, Steps, Tokens, WsdSpec};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const WARMUP: u64 = 100;

pub fn named(name: &str) -> &'static dyn Law {
    law::by_name(name).unwrap_or_else(|| panic!("no law '{name}'"))
}

pub fn wsd(peak_lr: f64, total: u64, ratio: f64) -> Schedule {
    let anneal = Steps(((ratio * total as f64).round() as u64).min(total - WARMUP));
    let wsd = WsdSpec {
        peak_lr,
        total: Steps(total),
        warmup: Steps(WARMUP),
        anneal,
        shape: Shape::Linear,
        ..WsdSpec::default()
    };
    Schedule::Wsd(wsd.checked().unwrap())
}

pub fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A standard normal number (Box and Muller).
pub fn gauss(rng: &mut ChaCha8Rng) -> f64 {
    let (a, b): (f64, f64) = (rng.random_range(1e-12..1.0), rng.random_range(0.0..1.0));
    (-2.0 * a.ln()).sqrt() * (2.0 * std::f64::consts::PI * b).cos()
}

/// Noise of simulated losses, relative.
#[derive(Clone, Copy, Default)]
pub struct Noise {
    /// Of one point, independent of its neighbours.
    pub point: f64,
    /// Shared by all points of a run.
    pub run: f64,
    /// Stationary deviation of an autoregressive process along the run (correlation 0.9 from point to point): what a law
    /// that is not quite right leaves behind.
    pub wander: f64,
}

/// A run that follows a law, with `points` points spread evenly and noise on top.
pub fn simulated(
    law: &dyn Law,
    theta: &[f64],
    id: &str,
    schedule: Schedule,
    points: u64,
    noise: Noise,
    rng: &mut ChaCha8Rng,
) -> Curve {
    let meta = RunMeta {
        params: Some(Params(100_000_000)),
        tokens_per_step: Some(Tokens(100_000)),
        ..RunMeta::named(id)
    };
    let total = schedule.total().0;
    let step: Vec<u64> = (1..=points).map(|i| i * total / points).collect();
    let features = RunFeatures::new(&schedule, &step, meta.params, meta.tokens_per_step, &law.features());
    let mut loss = vec![0.0; step.len()];
    law.predict(theta, &features, &mut loss);
    let shift = noise.run * gauss(rng);
    let mut wander = noise.wander * gauss(rng);
    for l in &mut loss {
        wander = 0.9 * wander + noise.wander * (1.0 - 0.81_f64).sqrt() * gauss(rng);
        *l *= (shift + wander + noise.point * gauss(rng)).exp();
    }
    Curve::new(meta, schedule, step, loss).unwrap()
}

/// The truth of the simulations of the noise-relaxation law: apart from the values that it assumes.
pub fn truth() -> Vec<f64> {
    let law = named("noise-relaxation");
    let set = [
        ("l0", 2.8),
        ("a", 0.55),
        ("alpha", 0.45),
        ("b", 0.16),
        ("kappa", 7.0),
        ("s0", 0.1),
        ("e_c", 0.7),
        ("q", 0.55),
        ("delta", -0.25),
        ("p", 1.0),
        ("e", 0.0),
    ];
    law.coefficients()
        .iter()
        .map(|c| set.iter().find(|(name, _)| *name == c.name).map_or(c.start, |(_, value)| *value))
        .collect()
}

/// [`truth`] without the transient of the start, which fits to runs of fewer than 5000 updates leave out.
pub fn truth_of_short_runs() -> Vec<f64> {
    let mut theta = truth();
    let names = named("noise-relaxation").coefficients();
    theta[names.iter().position(|c| c.name == "c").unwrap()] = 0.0;
    theta
}

/// Constant and annealed runs at two peak rates and two horizons under [`truth`].
pub fn runs(noise: Noise, seed: u64) -> Vec<Curve> {
    let law = named("noise-relaxation");
    let theta = truth();
    let mut rng = random(seed);
    let mut curves = Vec::new();
    for peak in [5e-4, 2e-3] {
        for (total, ratio) in [(4000, 0.0), (4000, 0.1), (4000, 0.3), (4000, 0.7), (8000, 0.2)] {
            let id = format!("{peak:e}-{total}-{ratio}");
            curves.push(simulated(law, &theta, &id, wsd(peak, total, ratio), 60, noise, &mut rng));
        }
    }
    curves
}

/// Values for a law on these curves: what it holds as held, the rest near its starts.
pub fn plausible(law: &dyn Law, curves: &[Curve]) -> Vec<f64> {
    let summary = lehr::fit::dataset::summarise(curves);
    law.coefficients()
        .iter()
        .zip(law.roles(&summary))
        .enumerate()
        .map(|(j, (c, role))| match role {
            Role::Fixed(value) => value,
            // A prior's mean, so that the prior pulls nowhere.
            Role::Prior { mean, .. } => mean,
            Role::Free { .. } => {
                let moved = c.start * if j % 2 == 0 { 1.08 } else { 0.93 };
                moved.clamp(c.lower, c.upper)
            }
        })
        .collect()
}
