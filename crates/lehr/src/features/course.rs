//! What placing nodes asks of a schedule's rates, answered from one number an update or from segments.

use crate::schedule::{Rates, running_sums};

/// The rates of updates 1 … T and the rate before them.
pub(super) trait Course {
    /// Horizon T.
    fn total(&self) -> u64;
    /// The rate of update t; that before update 1 for t = 0.
    fn at(&self, t: u64) -> f64;
    /// Σ η over updates 1 … t.
    fn sum(&self, t: u64) -> f64;
    /// The largest rate of updates a + 1 … b, and at least `floor`.
    fn largest(&self, a: u64, b: u64, floor: f64) -> f64;
    /// The first update whose rate is the largest, `peak`: where the warm-up ends.
    fn first_at(&self, peak: f64) -> u64;
    /// The last update up to `limit` to which the rate of update a is held.
    fn held_until(&self, a: u64, limit: u64) -> u64;
    /// Where a rate that moves from update a on begins to be held for at least `shortest` updates; `limit` where it does not.
    fn moves_until(&self, a: u64, limit: u64, shortest: u64) -> u64;
}

/// The largest rate is reached within this share of it.
const AT_PEAK: f64 = 1e-9;

/// A number for every update.
pub(super) struct Dense<'a> {
    rates: &'a [f64],
    before: f64,
    sums: Vec<f64>,
}

impl<'a> Dense<'a> {
    pub fn new(rates: &'a [f64], before: f64) -> Self {
        Self { rates, before, sums: running_sums(rates) }
    }
}

impl Course for Dense<'_> {
    fn total(&self) -> u64 {
        self.rates.len() as u64
    }

    fn at(&self, t: u64) -> f64 {
        if t == 0 { self.before } else { self.rates[t as usize - 1] }
    }

    fn sum(&self, t: u64) -> f64 {
        self.sums[t as usize]
    }

    /// Over eight lanes.
    fn largest(&self, a: u64, b: u64, floor: f64) -> f64 {
        let mut lanes = [floor; 8];
        let chunks = self.rates[a as usize..b as usize].chunks_exact(8);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, &rate) in lanes.iter_mut().zip(chunk) {
                *lane = if rate > *lane { rate } else { *lane };
            }
        }
        lanes.iter().chain(rest).fold(floor, |a, &b| if b > a { b } else { a })
    }

    fn first_at(&self, peak: f64) -> u64 {
        let reached = peak * (1.0 - AT_PEAK);
        self.rates.iter().position(|&rate| rate >= reached).unwrap_or(0) as u64 + 1
    }

    fn held_until(&self, a: u64, limit: u64) -> u64 {
        let rate = self.at(a);
        let until = self.rates[a as usize..limit as usize].iter().position(|&r| r != rate);
        until.map_or(limit, |i| a + i as u64)
    }

    fn moves_until(&self, a: u64, limit: u64, shortest: u64) -> u64 {
        let mut to = a;
        while to < limit {
            let until = self.held_until(to, limit);
            if until - to >= shortest {
                break;
            }
            to = until.max(to + 1);
        }
        to
    }
}

/// Segments: no number an update, whatever the horizon.
pub(super) struct Segmented<'a> {
    rates: Rates<'a>,
    before: f64,
}

impl<'a> Segmented<'a> {
    pub fn new(rates: Rates<'a>, before: f64) -> Self {
        Self { rates, before }
    }
}

impl Course for Segmented<'_> {
    fn total(&self) -> u64 {
        self.rates.total()
    }

    fn at(&self, t: u64) -> f64 {
        if t == 0 { self.before } else { self.rates.at(t) }
    }

    fn sum(&self, t: u64) -> f64 {
        self.rates.sum(t)
    }

    fn largest(&self, a: u64, b: u64, floor: f64) -> f64 {
        self.rates.largest(a + 1, b).max(floor)
    }

    fn first_at(&self, peak: f64) -> u64 {
        self.rates.first_at_least(peak * (1.0 - AT_PEAK)).unwrap_or(1)
    }

    fn held_until(&self, a: u64, limit: u64) -> u64 {
        let rate = self.at(a);
        let mut until = a;
        // A segment goes one way: where its last rate is this one, all between are.
        while until < limit && self.rates.at(until + 1) == rate {
            let end = self.rates.segment_end(until + 1).min(limit);
            if self.rates.at(end) == rate {
                until = end;
                continue;
            }
            let (mut held, mut moved) = (until + 1, end);
            while moved - held > 1 {
                let middle = held + (moved - held) / 2;
                if self.rates.at(middle) == rate { held = middle } else { moved = middle }
            }
            return held;
        }
        until
    }

    fn moves_until(&self, a: u64, limit: u64, shortest: u64) -> u64 {
        let mut to = a;
        while to < limit {
            let until = self.held_until(to, limit);
            if until - to >= shortest {
                break;
            }
            // Within a segment that moves a rate may be held at its end, where the fall is below what numbers can tell.
            let next = until.max(to + 1);
            let end = self.rates.segment_end(next).min(limit);
            let last = self.rates.at(end);
            to = if self.rates.at(next) == last { next } else { self.first_equal(next, end, last) };
        }
        to
    }
}

impl Segmented<'_> {
    /// The first update of a segment's part (from, end\] whose rate is that of its end; that at `from` is another.
    fn first_equal(&self, from: u64, end: u64, rate: f64) -> u64 {
        let (mut other, mut equal) = (from, end);
        while equal - other > 1 {
            let middle = other + (equal - other) / 2;
            if self.rates.at(middle) == rate { equal = middle } else { other = middle }
        }
        equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{FeatureDefinition, RunFeatures, rate_before};
    use crate::schedule::Schedule;

    fn close(a: &[f64], b: &[f64], scale: f64) -> bool {
        a.len() == b.len()
            && a.iter()
                .zip(b)
                .all(|(x, y)| x == y || (x - y).abs() <= 1e-11 * scale.max(x.abs()).max(y.abs()))
    }

    #[test]
    fn segments_give_the_features_that_a_rate_for_every_update_gives() {
        let mut texts: Vec<String> = Vec::new();
        let shapes =
            ["linear", "cosine", "1-sqrt", "exponential", "power:2", "power:0.3", "power:7.5", "power:900"];
        for shape in shapes {
            for (total, warmup, ratio, end) in
                [(9_000, 300, 0.2, 0.0), (900, 0, 1.0, 1e-4), (50_000, 2_000, 0.5, 1e-6), (37, 5, 0.1, 0.0)]
            {
                texts.push(format!(
                    "wsd:peak=2e-3,total={total},warmup={warmup},ratio={ratio},shape={shape},final={end}"
                ));
            }
        }
        for shape in ["geometric", "inverse"] {
            texts.push(format!("wsd:peak=1e-3,total=8000,warmup=100,ratio=0.4,shape={shape},final=1e-5"));
        }
        texts.push("constant:peak=1e-3,total=5000,warmup=10".to_owned());
        texts.push("cosine:peak=1e-3,total=5000,warmup=10,final=1e-4".to_owned());
        let mut schedules: Vec<Schedule> = texts.iter().map(|text| text.parse().unwrap()).collect();
        // Beginnings of schedules, and one whose rate rises again after a fall.
        let more: Vec<Schedule> = schedules
            .iter()
            .filter_map(|schedule| schedule.truncate(crate::Steps(schedule.total().0 * 9 / 10)).ok())
            .collect();
        schedules.extend(more);
        schedules
            .push("multi-stage:rates=1e-3/2e-4/8e-4/0,ends=3k/4k/4500,total=5k,warmup=100".parse().unwrap());
        let definition = FeatureDefinition::default();
        for schedule in &schedules {
            let total = schedule.total().0;
            let points: Vec<u64> = (1..=7).map(|i| (total * i / 7).max(i)).collect();
            let (rates, before) = (schedule.rates(), rate_before(schedule));
            let dense = RunFeatures::from_rates(&rates, before, &points, None, None, &definition);
            let lean = RunFeatures::new(schedule, &points, None, None, &definition);
            let (a, b) = (&dense.nodes, &lean.nodes);
            assert_eq!(
                (&a.updates, &a.side, &a.before_point),
                (&b.updates, &b.side, &b.before_point),
                "{schedule}"
            );
            assert_eq!((a.after_warmup, dense.warmup), (b.after_warmup, lean.warmup), "{schedule}");
            assert_eq!((&a.start, &a.end, &a.peak), (&b.start, &b.end, &b.peak), "{schedule}");
            assert!(close(&a.forward_effect, &b.forward_effect, a.total_effect), "{schedule}");
            assert!(close(&dense.forward_effect, &lean.forward_effect, 0.0), "{schedule}");
            assert_eq!(dense.lr, lean.lr, "{schedule}");
            for share in [3, 7, 10] {
                let last = (total * share / 10).max(1);
                let peak = rates[..last as usize].iter().copied().fold(0.0, f64::max);
                let left =
                    rates[..last as usize].iter().rposition(|&rate| rate >= peak * (1.0 - 1e-6)).unwrap();
                assert_eq!(
                    Rates::new(schedule).last_at_least(peak * (1.0 - 1e-6), last),
                    Some(left as u64 + 1)
                );
            }
        }
    }

    #[test]
    fn a_billion_updates_cost_no_more_than_a_thousand() {
        let schedule: Schedule = "wsd:peak=1e-3,total=1B,warmup=2k,ratio=0.3,shape=1-sqrt".parse().unwrap();
        let features =
            RunFeatures::new(&schedule, &[1_000_000_000], None, None, &FeatureDefinition::default());
        assert!(features.nodes.len() < 300, "{}", features.nodes.len());
        let exact = 1e-3 * (1_000.5 + 699_998_000.0) + 1e-3 * 1e8;
        assert!(
            (features.forward_effect[0] / exact - 1.0).abs() < 1e-7,
            "{} {exact}",
            features.forward_effect[0]
        );
    }
}
