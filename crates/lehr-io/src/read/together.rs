//! What only shows when runs are held against each other.

use super::LoadedRun;
use lehr::{Caveat, CaveatKind, Split};

/// A difference must be this many times the usual spread …
const TIMES: f64 = 6.0;
/// … and this share of the loss.
const SHARE: f64 = 0.005;
/// Fewer runs with a stated final loss have no usual difference.
const ENOUGH: usize = 4;

/// What is kept of the runs.
#[derive(Debug, Default)]
pub(super) struct Together {
    /// Name, stated final loss, last logged loss.
    finals: Vec<(String, f64, f64)>,
    per_byte: Option<String>,
    per_token: Option<String>,
}

impl Together {
    pub(super) fn add(&mut self, run: &LoadedRun) {
        let meta = run.curve.meta();
        let (last, loss) = run.curve.last();
        // A log that ends early says nothing about the end.
        // A final loss is stated of a validation; losses of single batches say little about it.
        if let Some(stated) = meta.final_loss
            && meta.split != Split::Train
            && last >= run.curve.schedule().total().0.saturating_mul(95) / 100
        {
            self.finals.push((meta.id.clone(), stated, loss));
        }
        let is_per_byte =
            run.caveats.iter().any(|caveat| matches!(caveat.kind(), CaveatKind::LossPerByte { .. }));
        let first = if is_per_byte { &mut self.per_byte } else { &mut self.per_token };
        first.get_or_insert_with(|| meta.id.clone());
    }

    /// The caveats of all runs together.
    pub(super) fn caveats(&self) -> Vec<Caveat> {
        let mut caveats = Vec::new();
        if let (Some(per_byte), Some(per_token)) = (&self.per_byte, &self.per_token) {
            let kind = CaveatKind::MixedUnits { per_byte: per_byte.clone(), per_token: per_token.clone() };
            caveats.push(kind.into());
        }
        caveats.extend(self.apart());
        caveats
    }

    /// Stated final losses that stand apart from their own curves.
    ///
    /// # Formula
    /// d = stated − logged; |d − median d| > max(6·1.4826·median |d − median d|, 0.005·logged), of four runs and more.
    fn apart(&self) -> impl Iterator<Item = Caveat> {
        let mut differences: Vec<f64> = self.finals.iter().map(|(_, stated, loss)| stated - loss).collect();
        let enough = differences.len() >= ENOUGH;
        let usual = median(&mut differences);
        let mut off: Vec<f64> = differences.iter().map(|d| (d - usual).abs()).collect();
        let spread = 1.4826 * median(&mut off);
        self.finals.iter().filter_map(move |(run, stated, logged)| {
            let own = (stated - logged - usual).abs();
            (enough && own > (TIMES * spread).max(SHARE * logged)).then(|| {
                Caveat::from(CaveatKind::StatedFinalApart {
                    run: run.clone(),
                    stated: *stated,
                    logged: *logged,
                    usual,
                })
            })
        })
    }
}

fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stated_final_far_off_its_curve_is_named() {
        let run = |i: u32, off: f64| {
            let logged = 2.9 + 0.01 * f64::from(i);
            (format!("r{i}"), logged + 0.002 + 1e-4 * f64::from(i % 3) + off, logged)
        };
        let mut together = Together { finals: (0..8).map(|i| run(i, 0.0)).collect(), ..Together::default() };
        assert_eq!(together.caveats(), []);
        together.finals[5] = run(5, 0.1);
        let caveats = together.caveats();
        assert_eq!(caveats.len(), 1);
        assert!(matches!(caveats[0].kind(), CaveatKind::StatedFinalApart { run, .. } if run == "r5"));
    }
}
