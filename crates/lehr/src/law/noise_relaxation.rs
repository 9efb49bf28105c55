//! The noise-relaxation law: a noiseless curve in effective time, a noise level that relaxes, and a transient of the start.

use super::relaxation::{Relaxation, relax};
use super::{Coefficient, DataSummary, Law, Role, Scale, coefficient};
use crate::features::RunFeatures;

/// The noise-relaxation law.
///
/// Use it first: it is the most accurate of the laws on real curves, and the only one here that carries over between
/// peak rates. It needs one constant and one annealed run at the least; a second peak rate determines how the rate
/// enters.
///
/// # Formula
/// ```text
/// S(t)  = ∫ b^β_S·e/(1 + e/(e_c·N₈^g_ec)) dt
/// dY/dt = κ·N₈^g_κ·(e/pk)^p·pk^w·(e^q − Y),   Y(0) = 0
/// L(t)  = L₀ + E·N₈^-α_N + A·N₈^g_A·(S + s₀)^-α + B·N₈^g_B·b^β_Y·pk^δ·(1 + S)^y·Y(t) + C·(t + 0.1)^-2
/// ```
/// | symbol | name | unit |
/// |---|---|---|
/// | e, pk | rate and largest rate so far | 10⁻³ |
/// | t | time | 1000 updates |
/// | N₈ | parameters of the blocks, embeddings and output head apart | 10⁸ |
/// | b | tokens an update over B_ref, the most frequent batch of the fit | – |
/// | S | effective time | 10⁻³·1000 updates |
/// | Y | noise level | 10⁻³ to the q |
///
/// # Source
/// This project; `docs/laws/noise-relaxation.md` gives the reasoning and the measurements.
#[derive(Debug, Clone, Copy)]
pub struct NoiseRelaxation;

const L0: usize = 0;
const A: usize = 1;
const ALPHA: usize = 2;
const B: usize = 3;
const KAPPA: usize = 4;
const S0: usize = 5;
const EC: usize = 6;
const Q: usize = 7;
const DELTA: usize = 8;
const P: usize = 9;
const W: usize = 10;
const E: usize = 11;
const ALPHA_N: usize = 12;
const G_A: usize = 13;
const G_B: usize = 14;
const G_KAPPA: usize = 15;
const BETA_S: usize = 16;
const BETA_Y: usize = 17;
const G_EC: usize = 18;
const Y: usize = 19;
const C: usize = 20;

/// Value of log e_c, q and δ where the data do not determine them.
const LN_SATURATION: f64 = -0.62;
const LEVEL: f64 = 0.6;
const PEAK: f64 = -0.3;
/// Exponents of the batch in the progress and in the noise: what larger batches bring where they still help fully.
const PROGRESS_BY_BATCH: f64 = 0.5;
const NOISE_BY_BATCH: f64 = -0.5;
/// Standard deviation of the priors on both with two batches, which measured pairs of batches agree to.
const BATCH_SD: f64 = 0.1;
/// C where no early point determines it, which the C of runs that have such points is near, and the standard deviation of ln C.
const TRANSIENT: f64 = 0.1;
const TRANSIENT_SD: f64 = 1.0;
/// Updates of the longest run from which on the transient is a term of its own; at C = 0.1, 4 mnat of it are left there.
const TOLD_APART: f64 = 5000.0;
/// Thousands of updates that bound the transient of the first ones.
const TRANSIENT_BEGIN: f64 = 0.1;
/// With two or three sizes: what the size exponents usually are, and the share of the lowest loss that no size removes.
const SIZE_EXPONENT: f64 = 0.25;
const SIZE_SD: f64 = 0.1;
const NOISE_BY_SIZE: f64 = 0.1;
const FLOOR_SHARE: f64 = 0.5;
const FLOOR_SD: f64 = 0.15;

static COEFFICIENTS: [Coefficient; 21] = [
    coefficient("l0", "L₀", "nats", 1e-6, 6.0, Scale::Linear, 2.0),
    coefficient("a", "A", "nats", 2.5e-3, 54.6, Scale::Log, 0.6),
    coefficient("alpha", "α", "", 0.05, 2.0, Scale::Linear, 0.5),
    coefficient("b", "B", "nats", 1.2e-4, 148.0, Scale::Log, 0.22),
    coefficient("kappa", "κ", "1/1000 updates", 6.7e-3, 1.6e5, Scale::Log, 9.0),
    coefficient("s0", "s₀", "10⁻³·1000 updates", 3.3e-4, 20.0, Scale::Log, 0.082),
    coefficient("e_c", "e_c", "10⁻³", 0.018, 148.0, Scale::Log, 0.538),
    coefficient("q", "q", "", 0.15, 2.0, Scale::Linear, LEVEL),
    coefficient("delta", "δ", "", -1.0, 1.0, Scale::Linear, PEAK),
    coefficient("p", "p", "", -0.5, 2.5, Scale::Linear, 1.0),
    coefficient("w", "w", "", -2.0, 2.0, Scale::Linear, 0.0),
    coefficient("e", "E", "nats", 0.018, 54.6, Scale::Log, 0.5),
    coefficient("alpha_n", "α_N", "", 0.02, 1.5, Scale::Linear, 0.25),
    coefficient("g_a", "g_A", "", -0.6, 0.6, Scale::Linear, 0.0),
    coefficient("g_b", "g_B", "", -0.6, 0.6, Scale::Linear, 0.0),
    coefficient("g_kappa", "g_κ", "", -0.6, 0.6, Scale::Linear, 0.0),
    coefficient("beta_s", "β_S", "", -0.5, 1.5, Scale::Linear, PROGRESS_BY_BATCH),
    coefficient("beta_y", "β_Y", "", -1.5, 0.5, Scale::Linear, NOISE_BY_BATCH),
    coefficient("g_ec", "g_ec", "", -1.5, 1.5, Scale::Linear, 0.0),
    coefficient("y", "y", "", -0.3, 0.5, Scale::Linear, 0.0),
    coefficient("c", "C", "nats·(1000 updates)²", 1e-5, 20.0, Scale::Log, TRANSIENT),
];

impl Law for NoiseRelaxation {
    fn name(&self) -> &'static str {
        "noise-relaxation"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["nr", "relaxation"]
    }

    fn equation(&self) -> &'static str {
        "L = L₀ + E·N₈^-α_N + A·N₈^g_A·(S + s₀)^-α + B·N₈^g_B·b^β_Y·pk^δ·(1 + S)^y·Y + C·(t + 0.1)^-2;  S = ∫ b^β_S·e/(1 + e/(e_c·N₈^g_ec)) dt;  dY/dt = κ·N₈^g_κ·(e/pk)^p·pk^w·(e^q − Y)"
    }

    fn source(&self) -> &'static str {
        "lehr; reasoning and measurements in docs/laws/noise-relaxation.md"
    }

    fn limits(&self) -> &'static [&'static str] {
        &[
            "from one peak rate it cannot say how a larger or smaller rate would do: e_c and q are then set by priors and δ by its default",
            "L₀ and α_N need four sizes; with two or three they have priors, and a forecast at a much larger N is a guess about L₀",
            "from one batch the exponents of the batch are assumed (±0.5): another batch is a guess with a wide interval; two a factor of 2 apart settle it",
            "the transient of the start counts updates, those at a rate of 0 among them",
            "says nothing about divergence: a rate that is too large for the model still gets a loss",
        ]
    }

    fn coefficients(&self) -> &'static [Coefficient] {
        &COEFFICIENTS
    }

    fn linear(&self) -> &'static [usize] {
        &[L0, A, B]
    }

    fn knows_batch(&self) -> bool {
        true
    }

    fn roles(&self, data: &DataSummary) -> Vec<Role> {
        let mut roles: Vec<Role> = COEFFICIENTS.iter().map(|c| Role::Fixed(c.start)).collect();
        let start = |i: usize| Role::Free { start: COEFFICIENTS[i].start };
        roles[L0] = Role::Free { start: (data.min_loss - 0.12).max(0.1) };
        roles[A] = Role::Free { start: ((data.max_loss - data.min_loss) / 2.0).clamp(0.02, 20.0) };
        for i in [ALPHA, B, KAPPA] {
            roles[i] = start(i);
        }
        // In runs that end soon after it, the transient cannot be told from the descent; those that begin later do not show it.
        roles[C] = if data.first_update < TOLD_APART && data.max_update >= TOLD_APART {
            Role::Prior { mean: TRANSIENT, sd: TRANSIENT_SD }
        } else {
            Role::Fixed(0.0)
        };
        roles[S0] = Role::Fixed(0.0);
        // One rate: only the shape of the annealing speaks of e_c and q. Two or three: all exponents of the rate, held
        // near their usual values. Four: free.
        let rates = data.peak_lrs.len();
        roles[EC] = Role::Prior { mean: LN_SATURATION.exp(), sd: 0.4 };
        roles[Q] = Role::Prior { mean: LEVEL, sd: 0.12 };
        if rates >= 2 {
            roles[S0] = start(S0);
            roles[DELTA] = Role::Prior { mean: PEAK, sd: 0.2 };
            roles[P] = Role::Prior { mean: 1.0, sd: 0.3 };
        }
        if rates >= 4 {
            for i in [EC, Q, DELTA, P] {
                roles[i] = start(i);
            }
        }
        // Without several sizes the term in N is part of L₀.
        roles[E] = Role::Fixed(0.0);
        match data.sizes.len() {
            0 | 1 => {}
            2 | 3 => {
                roles[E] = start(E);
                roles[ALPHA_N] = Role::Prior { mean: SIZE_EXPONENT, sd: SIZE_SD };
                roles[L0] = Role::Prior {
                    mean: FLOOR_SHARE * data.min_loss,
                    sd: (FLOOR_SD * data.min_loss).max(1e-3),
                };
                roles[G_A] = Role::Prior { mean: 0.0, sd: SIZE_SD };
                roles[G_B] = Role::Prior { mean: NOISE_BY_SIZE, sd: SIZE_SD };
            }
            _ => {
                for i in [E, ALPHA_N, G_A, G_B] {
                    roles[i] = start(i);
                }
            }
        }
        match data.batches.len() {
            // The terms in the batch are 1 there.
            0 | 1 => {}
            2 => {
                roles[BETA_S] = Role::Prior { mean: PROGRESS_BY_BATCH, sd: BATCH_SD };
                roles[BETA_Y] = Role::Prior { mean: NOISE_BY_BATCH, sd: BATCH_SD };
            }
            _ => {
                for i in [BETA_S, BETA_Y] {
                    roles[i] = start(i);
                }
            }
        }
        roles
    }

    fn predict(&self, theta: &[f64], run: &RunFeatures, loss: &mut [f64]) {
        evaluate::<false>(theta, run, loss, &mut []);
    }

    fn predict_with_jacobian(
        &self,
        theta: &[f64],
        run: &RunFeatures,
        loss: &mut [f64],
        jacobian: &mut [f64],
    ) {
        evaluate::<true>(theta, run, loss, jacobian);
    }
}

fn evaluate<const JACOBIAN: bool>(theta: &[f64], run: &RunFeatures, loss: &mut [f64], jacobian: &mut [f64]) {
    let n = COEFFICIENTS.len();
    let ln_n = run.n8.ln();
    let power = |exponent: f64| if ln_n == 0.0 || exponent == 0.0 { 1.0 } else { (exponent * ln_n).exp() };
    let size_unit = power(-theta[ALPHA_N]);
    let size = theta[E] * size_unit;
    let (a_unit, b_unit) = (power(theta[G_A]), power(theta[G_B]));
    let a = theta[A] * a_unit;
    let ln_batch = run.ln_batch;
    // Exactly 1 for the reference batch, so that runs of one batch are untouched.
    let by_batch = |exponent: f64| if ln_batch == 0.0 { 1.0 } else { (exponent * ln_batch).exp() };
    let progress = by_batch(theta[BETA_S]);
    let b_unit = b_unit * by_batch(theta[BETA_Y]);
    let b = theta[B] * b_unit;
    let growth = theta[Y];
    let relaxation = Relaxation {
        kappa: theta[KAPPA] * power(theta[G_KAPPA]),
        clock: theta[P],
        clock_peak: theta[W] - theta[P],
        level: theta[Q],
        saturation: theta[EC] * power(theta[G_EC]),
    };
    let mut ln_peak = f64::NAN;
    let mut peak_unit = 1.0;
    relax(&run.nodes, &relaxation, |i, interval, state| {
        if run.nodes.ln_peak[interval] != ln_peak {
            ln_peak = run.nodes.ln_peak[interval];
            peak_unit = (theta[DELTA] * ln_peak).exp();
        }
        let forward = progress * state.forward;
        let time = forward + theta[S0];
        let ln_time = time.ln();
        let descent_unit = (-theta[ALPHA] * ln_time).exp();
        let descent = a * descent_unit;
        // y = 0 leaves the noise alone; its derivative is wanted all the same.
        let ln_grown = if JACOBIAN || growth != 0.0 { forward.ln_1p() } else { 0.0 };
        let grown = if growth == 0.0 { 1.0 } else { (growth * ln_grown).exp() };
        let noise_unit = b_unit * peak_unit * grown;
        let noise = theta[B] * noise_unit * state.noise;
        // Thousands of updates, not progress: it fades at the same update whatever the rate.
        let thousands = run.update[i] * 1e-3 + TRANSIENT_BEGIN;
        let transient_unit = 1.0 / (thousands * thousands);
        loss[i] = theta[L0] + size + descent + noise + theta[C] * transient_unit;
        if JACOBIAN {
            let row = &mut jacobian[i * n..(i + 1) * n];
            let by_noise = b * peak_unit * grown;
            let by_time = -theta[ALPHA] * descent / time;
            // Progress also raises the noise where y is not 0.
            let by_forward = if growth == 0.0 { by_time } else { by_time + growth * noise / (1.0 + forward) };
            let by_ln_saturation = by_forward * progress * state.forward_by_ln_saturation;
            row[L0] = 1.0;
            row[A] = a_unit * descent_unit;
            row[ALPHA] = -descent * ln_time;
            row[B] = noise_unit * state.noise;
            row[KAPPA] = by_noise * state.by_ln_kappa / theta[KAPPA];
            row[S0] = by_time;
            row[EC] = by_ln_saturation / theta[EC];
            row[Q] = by_noise * state.by_level;
            row[DELTA] = noise * ln_peak;
            row[P] = by_noise * (state.by_clock - state.by_clock_peak);
            row[W] = by_noise * state.by_clock_peak;
            row[E] = size_unit;
            row[ALPHA_N] = -size * ln_n;
            row[G_A] = descent * ln_n;
            row[G_B] = noise * ln_n;
            row[G_KAPPA] = by_noise * state.by_ln_kappa * ln_n;
            row[BETA_S] = by_forward * forward * ln_batch;
            row[BETA_Y] = noise * ln_batch;
            row[G_EC] = by_ln_saturation * ln_n;
            row[Y] = noise * ln_grown;
            row[C] = transient_unit;
        }
    });
}
