//! "The same run but for …": what runs that are compared share.

use crate::curve::{Arch, Curve, Split};
use crate::schedule::Schedule;
use crate::units::{Params, Tokens};

/// What may differ between runs of one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum But {
    /// The schedule as a whole.
    Schedule,
    /// Horizon and annealing: what runs that share a trunk differ in.
    Annealing,
    /// The annealing ratio at one horizon, shape and final rate.
    Ratio,
    /// Nothing: repetitions.
    Nothing,
}

/// The configuration of a run without what a comparison leaves free. Two runs are "the same but for …" where their cells
/// are equal.
///
/// # Symbols
/// Architecture, N (all and active parameters), batch in tokens, data set and split always count; of the schedule what [`But`] leaves.
///
/// # Examples
/// ```
/// use lehr::{But, Cell, Curve, RunMeta, Schedule};
///
/// let run = |id: &str, schedule: &str| -> Curve {
///     let schedule: Schedule = schedule.parse().unwrap();
///     Curve::new(RunMeta::named(id), schedule, vec![500, 1000], vec![3.0, 2.9]).unwrap()
/// };
/// let (a, b) = (run("a", "wsd:peak=1e-3,total=1000,ratio=0.2"), run("b", "wsd:peak=1e-3,total=1000,ratio=0.5"));
/// assert_eq!(Cell::of(&a, But::Ratio), Cell::of(&b, But::Ratio));
/// assert_ne!(Cell::of(&a, But::Nothing), Cell::of(&b, But::Nothing));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    arch: Arch,
    params: Option<Params>,
    active_params: Option<Params>,
    dataset: Option<String>,
    split: Split,
    tokens_per_step: Option<Tokens>,
    /// What counts of the schedule, as text.
    schedule: String,
}

impl Cell {
    /// The cell of a run.
    #[must_use]
    pub fn of(curve: &Curve, but: But) -> Self {
        let meta = curve.meta();
        Self {
            arch: meta.arch.clone(),
            params: meta.params,
            active_params: meta.active_params,
            dataset: meta.dataset.clone(),
            split: meta.split,
            tokens_per_step: meta.tokens_per_step,
            schedule: what_counts(curve.schedule(), but),
        }
    }
}

/// What counts of a schedule: peak rates within rounding are one.
fn what_counts(schedule: &Schedule, but: But) -> String {
    match (but, schedule) {
        (But::Schedule, _) => String::new(),
        (But::Nothing, _) => whole(schedule),
        (But::Annealing, Schedule::Wsd(wsd)) => format!("{:.5e} {}", wsd.peak_lr, wsd.warmup.0),
        (But::Ratio, Schedule::Wsd(wsd)) => format!(
            "{:.5e} {:08} {} {:.3e} {}",
            wsd.peak_lr, wsd.total.0, wsd.shape, wsd.final_lr, wsd.warmup.0
        ),
        // Of a schedule of another family nothing is left free.
        (But::Annealing | But::Ratio, other) => whole(other),
    }
}

/// A schedule as text; of sampled rates, which may be a hundred thousand, a digest.
fn whole(schedule: &Schedule) -> String {
    let Schedule::Sampled(_) = schedule else { return schedule.to_string() };
    // FNV-1a over the bits, from two starting values: 128 bits.
    let digest = |start: u64| {
        schedule
            .rates()
            .iter()
            .flat_map(|rate| rate.to_bits().to_le_bytes())
            .fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    };
    format!("sampled {:016x}{:016x}", digest(0xcbf2_9ce4_8422_2325), digest(0x9ae1_6a3b_2f90_404f))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::RunMeta;

    fn run(schedule: &str, change: impl Fn(&mut RunMeta)) -> Curve {
        let mut meta = RunMeta::named("run");
        change(&mut meta);
        Curve::new(meta, schedule.parse().unwrap(), vec![500, 1000], vec![3.0, 2.9]).unwrap()
    }

    #[test]
    fn a_cell_leaves_free_what_is_asked_and_nothing_else() {
        let plain = |_: &mut RunMeta| {};
        let a = run("wsd:peak=1e-3,total=1000,warmup=10,ratio=0.2", plain);
        for (other, alike) in [
            ("wsd:peak=1e-3,total=1000,warmup=10,ratio=0.2", [true, true, true, true]),
            ("wsd:peak=1e-3,total=1000,warmup=10,ratio=0.5", [true, true, true, false]),
            ("wsd:peak=1e-3,total=2000,warmup=10,ratio=0.5", [true, true, false, false]),
            ("wsd:peak=2e-3,total=1000,warmup=10,ratio=0.2", [true, false, false, false]),
            ("cosine:peak=1e-3,total=1000,warmup=10", [true, true, false, false]),
        ] {
            let b = run(other, plain);
            let found = [But::Schedule, But::Annealing, But::Ratio, But::Nothing]
                .map(|but| Cell::of(&a, but) == Cell::of(&b, but));
            assert_eq!(found, alike, "{other}");
        }
        // What no schedule says counts always.
        let changes: [fn(&mut RunMeta); 5] = [
            |meta| meta.arch = Arch::Moe { experts: 8, top_k: 2 },
            |meta| meta.params = Some(Params(1)),
            |meta| meta.dataset = Some("web".to_owned()),
            |meta| meta.split = Split::Train,
            |meta| meta.tokens_per_step = Some(Tokens(1)),
        ];
        for change in changes {
            let b = run("wsd:peak=1e-3,total=1000,warmup=10,ratio=0.2", change);
            assert_ne!(Cell::of(&a, But::Schedule), Cell::of(&b, But::Schedule));
        }
    }
}
