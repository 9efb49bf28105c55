//! Simulated loss curves with known coefficients: the quick start's data, and the test that a fit finds the coefficients.
//!
//! The simulation integrates the noise-relaxation law at every update. It shares no code with the law of the library,
//! which integrates over nodes between which the rate is linear: a fit that recovers the coefficients below has not been
//! fed by its own arithmetic.
//!
//! One update, with e = rate / 10⁻³, pk the largest e so far and dt = 10⁻³ (time counts thousands of updates):
//!
//! ```text
//! S ← S + e/(1 + e/e_c)·dt
//! Y ← e^q + (Y − e^q)·exp(−κ·(e/pk)^p·dt)
//! L = L₀ + A·(S + s₀)^-α + B·pk^δ·Y + C·(t + 0.1)^-2,  t in 1000 updates
//! ```

use std::fmt::Write;
use std::path::PathBuf;
use std::{fs, io};

/// Coefficients of the simulated law.
struct Truth {
    l0: f64,
    a: f64,
    alpha: f64,
    b: f64,
    kappa: f64,
    s0: f64,
    e_c: f64,
    q: f64,
    delta: f64,
    p: f64,
    c: f64,
}

/// Chosen apart from the values that the law assumes where data do not determine them (e_c .54, q .6, δ −.3, C .1).
const TRUTH: Truth = Truth {
    l0: 2.9,
    a: 0.6,
    alpha: 0.45,
    b: 0.15,
    kappa: 7.0,
    s0: 0.1,
    e_c: 0.8,
    q: 0.5,
    delta: -0.2,
    p: 1.0,
    c: 0.06,
};

/// Relative noise of one logged loss.
const POINT_NOISE: f64 = 2e-4;
/// Noise that all points of a run share (nats).
const RUN_NOISE: f64 = 1e-3;
const SEED: u64 = 20_260_101;
const PEAKS: [f64; 2] = [5e-4, 2e-3];
const HORIZONS: [u64; 2] = [10_000, 20_000];
const RATIOS: [f64; 4] = [0.1, 0.2, 0.5, 0.8];
const WARMUP: u64 = 300;
const LOG_EVERY: u64 = 100;

/// The schedule of a simulated run after its warm-up.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Constant,
    /// Constant, then linear to zero over this share of the horizon.
    Anneal(f64),
    /// Cosine to a tenth of the peak.
    Cosine,
}

#[derive(Clone)]
struct Run {
    id: String,
    peak: f64,
    total: u64,
    kind: Kind,
    seed: u64,
}

impl Run {
    fn final_lr(&self) -> f64 {
        match self.kind {
            Kind::Constant => self.peak,
            Kind::Anneal(_) => 0.0,
            Kind::Cosine => 0.1 * self.peak,
        }
    }

    /// Rate of update t, 1 ≤ t ≤ T.
    fn rate(&self, t: u64) -> f64 {
        if t <= WARMUP {
            return self.peak * t as f64 / WARMUP as f64;
        }
        let fall = |updates: u64| (t + updates).saturating_sub(self.total) as f64 / updates as f64;
        match self.kind {
            Kind::Constant => self.peak,
            Kind::Anneal(ratio) => self.peak * (1.0 - fall((ratio * self.total as f64).round() as u64)),
            Kind::Cosine => {
                let share = fall(self.total - WARMUP);
                let last = self.final_lr();
                last + (self.peak - last) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
        }
    }

    /// Calls `at(update, rate, loss)` after every update, without noise.
    fn integrate(&self, mut at: impl FnMut(u64, f64, f64)) {
        let (mut s, mut y, mut peak) = (0.0f64, 0.0f64, 0.0f64);
        for t in 1..=self.total {
            let rate = self.rate(t);
            let e = rate / 1e-3;
            peak = peak.max(e);
            let dt = 1e-3;
            s += e / (1.0 + e / TRUTH.e_c) * dt;
            let sustained = e.powf(TRUTH.q);
            y = sustained + (y - sustained) * (-TRUTH.kappa * (e / peak).powf(TRUTH.p) * dt).exp();
            let descent = TRUTH.a * (s + TRUTH.s0).powf(-TRUTH.alpha);
            let transient = TRUTH.c / (t as f64 * 1e-3 + 0.1).powi(2);
            at(t, rate, TRUTH.l0 + descent + TRUTH.b * peak.powf(TRUTH.delta) * y + transient);
        }
    }

    /// (update, rate, loss) at the logged updates, with noise.
    fn points(&self) -> Vec<(u64, f64, f64)> {
        let mut random = Random(SEED.wrapping_add(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let shared = RUN_NOISE * random.gaussian();
        let mut points = Vec::new();
        self.integrate(|t, rate, loss| {
            if t % LOG_EVERY == 0 {
                points.push((t, rate, loss * (1.0 + POINT_NOISE * random.gaussian()) + shared));
            }
        });
        points
    }
}

/// SplitMix64 with Box and Muller's transform: short, and the same everywhere.
struct Random(u64);

impl Random {
    /// In (0, 1).
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 + 2f64.powi(-54)
    }

    fn gaussian(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

fn runs() -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for peak in PEAKS {
        for total in HORIZONS {
            let mut push = |name: String, kind| {
                let id = format!("sim-peak{peak:e}-T{total}-{name}");
                runs.push(Run { id, peak, total, kind, seed: runs.len() as u64 });
            };
            push("constant".to_owned(), Kind::Constant);
            for ratio in RATIOS {
                push(format!("r{ratio}"), Kind::Anneal(ratio));
            }
            push("cosine".to_owned(), Kind::Cosine);
        }
    }
    // A twin: the same configuration run again shows how much two runs differ by chance.
    if let Some(run) = runs.iter().find(|run| run.kind == Kind::Anneal(0.2)).cloned() {
        runs.push(Run { id: format!("{}-2", run.id), seed: runs.len() as u64, ..run });
    }
    runs
}

/// The files' names and contents.
fn files() -> [(&'static str, String); 2] {
    let mut curves = "run_id,split,step,lr,loss\n".to_owned();
    let mut manifest = "run_id,arch,params_total,params_non_embedding,tokens_per_step,seq_len,peak_lr,final_lr,\
                        warmup_lr,warmup_steps,total_steps,schedule,shape,annealing_ratio,dataset,final_val_loss,seed\n"
        .to_owned();
    for run in runs() {
        let points = run.points();
        let (schedule, shape, ratio) = match run.kind {
            Kind::Constant => ("constant", "none", 0.0),
            Kind::Anneal(ratio) => ("wsd", "linear", ratio),
            Kind::Cosine => ("cosine", "cosine", 1.0),
        };
        let last = points.last().map_or(f64::NAN, |point| point.2);
        let _ = writeln!(
            manifest,
            "{},dense,25165824,18874368,131072,1024,{:e},{},0,{WARMUP},{},{schedule},{shape},{ratio},simulated,{last:.6},{}",
            run.id,
            run.peak,
            rate_text(run.final_lr()),
            run.total,
            run.seed,
        );
        for (step, rate, loss) in points {
            // Nine digits of the rate, without needless zeros.
            let rate: f64 = format!("{rate:.8e}").parse().unwrap_or(rate);
            let _ = writeln!(curves, "{},val,{step},{},{loss:.6}", run.id, rate_text(rate));
        }
    }
    [("manifest.csv", manifest), ("curves.csv", curves)]
}

fn rate_text(rate: f64) -> String {
    if rate == 0.0 { "0".to_owned() } else { format!("{rate:e}") }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/runs")
}

/// Writes the files.
pub fn write() -> io::Result<()> {
    fs::create_dir_all(folder())?;
    for (name, content) in files() {
        fs::write(folder().join(name), &content)?;
        println!("fixtures/runs/{name}: {} lines, {} bytes", content.lines().count(), content.len());
    }
    Ok(())
}

/// Prints the best annealing ratio of each cell, without noise: what a recommendation should find.
pub fn optima() {
    println!("peak_lr,total_steps,best_ratio,loss");
    for peak in PEAKS {
        for total in HORIZONS {
            let loss = |percent: u64| {
                let kind = Kind::Anneal(percent as f64 / 100.0);
                let mut last = f64::NAN;
                Run { id: String::new(), peak, total, kind, seed: 0 }.integrate(|_, _, loss| last = loss);
                (percent, last)
            };
            // Above 97 % the annealing would begin within the warm-up.
            let best = (1..=97).map(loss).min_by(|a, b| a.1.total_cmp(&b.1));
            if let Some((percent, loss)) = best {
                println!("{peak:e},{total},{:.2},{loss:.5}", percent as f64 / 100.0);
            }
        }
    }
}

/// Compares the files with what the simulation gives; numbers may differ by the last digit written, since `exp` and
/// `ln` differ between platforms.
pub fn check() -> io::Result<()> {
    for (name, wanted) in files() {
        let found = fs::read_to_string(folder().join(name))?;
        let stale = |line: usize, found: &str, wanted: &str| {
            io::Error::other(format!(
                "fixtures/runs/{name}:{line}: found `{found}`, the simulation gives `{wanted}`; run `cargo xtask simulate-fixture`"
            ))
        };
        if found.lines().count() != wanted.lines().count() {
            let (found, wanted) = (found.lines().count(), wanted.lines().count());
            return Err(stale(1, &format!("{found} lines"), &format!("{wanted} lines")));
        }
        for (i, (found, wanted)) in found.lines().zip(wanted.lines()).enumerate() {
            let same = |a: &str, b: &str| {
                a == b
                    || matches!((a.parse::<f64>(), b.parse::<f64>()), (Ok(a), Ok(b)) if (a - b).abs() <= 2e-6 * b.abs())
            };
            let (a, b): (Vec<&str>, Vec<&str>) = (found.split(',').collect(), wanted.split(',').collect());
            if a.len() != b.len() || !a.iter().zip(&b).all(|(a, b)| same(a, b)) {
                return Err(stale(i + 1, found, wanted));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_fixture_is_what_the_simulation_gives() {
        check().unwrap();
    }

    #[test]
    fn schedules_end_where_they_say() {
        for run in runs() {
            let (first, last) = (run.rate(1), run.rate(run.total));
            assert!((first - run.peak / WARMUP as f64).abs() < 1e-12, "{}", run.id);
            assert!((last - run.final_lr()).abs() < 1e-12, "{} ends at {last}", run.id);
        }
    }

    #[test]
    fn the_noise_has_the_stated_size() {
        let mut random = Random(SEED);
        let draws: Vec<f64> = (0..20_000).map(|_| random.gaussian()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        // Three standard errors of 20 000 draws.
        assert!(mean.abs() < 0.0213 && (variance - 1.0).abs() < 0.03, "mean {mean}, variance {variance}");
    }
}
