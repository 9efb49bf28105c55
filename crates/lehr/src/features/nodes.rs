//! Intervals of updates over which the rate is linear.

use super::course::{Course, Dense};

/// The run cut at nodes, between which the rate is taken as linear. K intervals, P points.
///
/// Nodes are placed by the schedule alone: at every jump and, where the rate moves, as densely as its relative change
/// asks for (denser toward a rate of 0). A point where the rate is held is one more node, which changes nothing. A point
/// within an interval where the rate moves is reached by a side step from the interval's start ([`Nodes::side`]), after
/// which a law goes on as if it had not been there. So the loss at an update does not depend on which others are asked
/// for. Rates are in units of 10⁻³, so that they are of order one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Nodes {
    /// Length in updates, \[K\].
    pub updates: Vec<f64>,
    /// Rate / 10⁻³ at the interval's start, \[K\].
    pub start: Vec<f64>,
    /// Rate / 10⁻³ at the interval's end, \[K\].
    pub end: Vec<f64>,
    /// Σ η over the interval's updates, exact (rate · updates), \[K\].
    pub forward_effect: Vec<f64>,
    /// Largest rate / 10⁻³ up to the interval's end, \[K\].
    pub peak: Vec<f64>,
    /// Natural logarithm of the mean of `start` and `end`, \[K\]; −∞ where both are 0.
    pub ln_mean: Vec<f64>,
    /// Natural logarithm of `start`, \[K\]; −∞ at a rate of 0.
    pub ln_start: Vec<f64>,
    /// Natural logarithm of `end`, \[K\]; −∞ at a rate of 0.
    pub ln_end: Vec<f64>,
    /// Natural logarithm of `peak`, \[K\].
    pub ln_peak: Vec<f64>,
    /// Natural logarithm of the mean of the largest rate / 10⁻³ at the interval's start and at its end, \[K\]: while
    /// the rate climbs to a new peak, its mean over that mean is 1, as it is at every update.
    pub ln_mean_peak: Vec<f64>,
    /// Whether the interval is a side step, \[K\]: it begins where the last interval that is none ended, ends at a point, and
    /// is forgotten after that point.
    pub side: Vec<bool>,
    /// How many intervals lie before each point, \[P\]: the point stands at the end of the last of them.
    pub before_point: Vec<usize>,
    /// How many intervals lie within the warm-up (up to where the rate first reaches its largest value).
    pub after_warmup: usize,
    /// Largest rate / 10⁻³ of the whole schedule.
    pub highest: f64,
    /// Σ η over the whole schedule (rate · updates).
    pub total_effect: f64,
}

/// Largest relative change of the rate within one interval.
const RELATIVE_CHANGE: f64 = 0.12;
/// Below this share of the peak the rate counts as 0 for placing nodes.
const NEGLIGIBLE: f64 = 1e-3;
/// Largest departure from a straight line within one interval, as a share of the peak.
const STRAIGHTNESS: f64 = 2e-4;

/// Pieces that a whole run with a moving rate is cut into at the least.
const PIECES: u64 = 48;
/// A rate held for less than one over this share of the run counts as moving.
const SHORTEST_HELD: u64 = 256;

impl Nodes {
    /// Places the nodes for `rates` (every update) and the points, ascending; `before` is the rate before update 1.
    #[must_use]
    pub fn new(rates: &[f64], before: f64, points: &[u64]) -> Self {
        let course = Dense::new(rates, before);
        let peak = course.largest(0, course.total(), 0.0);
        Self::of(&course, points, peak, course.first_at(peak))
    }

    /// The same for rates known in any way, with the largest rate and its first update at hand.
    pub(super) fn of(course: &impl Course, points: &[u64], peak: f64, reached: u64) -> Self {
        let last = points.last().copied().unwrap_or(0);
        let total = course.total();
        let before = course.at(0);
        let mut nodes =
            Self { highest: before.max(peak) * 1e3, total_effect: course.sum(total), ..Self::default() };
        let mut highest = before;
        let mut points = points.iter().copied().peekable();
        let mut pending = Vec::new();
        let mut from = 0;
        // Nothing is higher than the peak.
        let top_of = |highest: f64, a: u64, b: u64| {
            if highest < peak { course.largest(a, b, highest) } else { highest }
        };
        while from < last {
            let stretch = Stretch::from(course, from, reached);
            // Pieces of a stretch where the rate moves, last first; one where it is held is a single interval.
            pending.extend(stretch.pieces(total).rev());
            while let Some((a, b)) = pending.pop() {
                if a >= last {
                    break;
                }
                if !stretch.held && b - a > 1 && !is_straight(course, a, b, peak) {
                    let middle = split_at(course, a, b, peak);
                    pending.push((middle, b));
                    pending.push((a, middle));
                    continue;
                }
                let highest_before = highest;
                let mut start = a;
                while let Some(t) = points.next_if(|&t| t < b) {
                    let top = top_of(highest, start, t);
                    nodes.push(course, (start, t), (highest, top), !stretch.held);
                    nodes.before_point.push(nodes.updates.len());
                    if stretch.held {
                        (start, highest) = (t, top);
                    }
                }
                if points.peek().is_some() {
                    highest = top_of(highest, start, b);
                    nodes.push(course, (start, b), (highest_before, highest), false);
                }
                if points.next_if_eq(&b).is_some() {
                    nodes.before_point.push(nodes.updates.len());
                }
                if b <= reached {
                    nodes.after_warmup = nodes.updates.len();
                }
            }
            pending.clear();
            from = stretch.to;
        }
        nodes
    }

    /// Adds the interval (a, b\] with the largest rates up to its ends.
    fn push(
        &mut self,
        course: &impl Course,
        (a, b): (u64, u64),
        (highest_before, highest): (f64, f64),
        side: bool,
    ) {
        self.updates.push((b - a) as f64);
        let (start, end) = (course.at(a) * 1e3, course.at(b) * 1e3);
        self.start.push(start);
        self.end.push(end);
        self.ln_mean.push((0.5 * (start + end)).ln());
        self.ln_start.push(start.ln());
        self.ln_end.push(end.ln());
        self.ln_peak.push((highest * 1e3).ln());
        self.ln_mean_peak.push((0.5 * (highest_before + highest) * 1e3).ln());
        self.forward_effect.push(course.sum(b) - course.sum(a));
        self.peak.push(highest * 1e3);
        self.side.push(side);
    }

    /// Number of intervals K.
    #[must_use]
    pub fn len(&self) -> usize {
        self.updates.len()
    }

    /// Whether there is no interval.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }
}

/// Updates over which the rate is held, or over which it moves.
struct Stretch {
    from: u64,
    to: u64,
    held: bool,
}

impl Stretch {
    /// The stretch that begins at `from`. The end of the warm-up ends a stretch, because some laws count from there. A rate
    /// held for less than a share of the run counts as moving, so that a staircase has no more nodes than a slope.
    fn from(course: &impl Course, from: u64, reached: u64) -> Self {
        let total = course.total();
        let limit = if from < reached && reached < total { reached } else { total };
        let shortest = (total / SHORTEST_HELD).max(2);
        let own = course.held_until(from, limit);
        if own - from >= shortest || (own == limit && own > from) {
            return Self { from, to: own, held: true };
        }
        // A rate that moves does so until one is held for long enough.
        Self { from, to: course.moves_until(own.max(from + 1), limit, shortest), held: false }
    }

    /// The intervals that it is cut into before anything is known of their rates, ascending.
    fn pieces(&self, total: u64) -> impl DoubleEndedIterator<Item = (u64, u64)> + use<> {
        let (from, length) = (self.from, self.to - self.from);
        let count = if self.held { 1 } else { (length * PIECES).div_ceil(total).clamp(1, length) };
        (0..count).map(move |i| (from + i * length / count, from + (i + 1) * length / count))
    }
}

fn is_straight(course: &impl Course, a: u64, b: u64, peak: f64) -> bool {
    let at = |t: u64| course.at(t);
    let (start, end) = (at(a), at(b));
    let floor = NEGLIGIBLE * peak;
    if (end - start).abs() > RELATIVE_CHANGE * start.max(end) && start.max(end) > floor {
        return false;
    }
    let middle = a + (b - a) / 2;
    let line = |t: u64| start + (end - start) * (t - a) as f64 / (b - a) as f64;
    let n = (b - a) as f64;
    let straight_sum = n * 0.5 * (start + end) + 0.5 * (end - start);
    let sum = course.sum(b) - course.sum(a);
    (at(middle) - line(middle)).abs() <= STRAIGHTNESS * peak
        && (at(a + 1) - line(a + 1)).abs() <= STRAIGHTNESS * peak
        && (at(b - 1) - line(b - 1)).abs() <= STRAIGHTNESS * peak
        && (sum - straight_sum).abs() <= STRAIGHTNESS * peak * n
}

/// Where to cut: right before and after a jump if there is one at the ends or in the middle, else halfway in the
/// relative change (so that intervals shrink toward a rate of 0), else halfway.
fn split_at(course: &impl Course, a: u64, b: u64, peak: f64) -> u64 {
    let at = |t: u64| course.at(t);
    let (start, end) = (at(a), at(b));
    let jump = |t: u64| (at(t) - at(t - 1)).abs() > 0.5 * (end - start).abs().max(STRAIGHTNESS * peak);
    if (end - start).abs() > STRAIGHTNESS * peak {
        if jump(a + 1) {
            return a + 1;
        }
        if jump(b) {
            return b - 1;
        }
        // A jump somewhere inside a long interval: find it by bisection on the rate.
        let half = 0.5 * (start + end);
        let (mut low, mut high) = (a, b);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if (at(middle) - half) * (start - half) > 0.0 { low = middle } else { high = middle }
        }
        if (at(high) - at(low)).abs() > 0.5 * (end - start).abs() && low > a {
            return low;
        }
        // Toward a rate of 0: cut where the rate has gone most of the way in ratio.
        if end < start && end < 0.3 * start {
            let wanted = (end.max(NEGLIGIBLE * peak) * start).sqrt().max(0.25 * start);
            let (mut low, mut high) = (a, b);
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                if at(middle) > wanted { low = middle } else { high = middle }
            }
            return high.clamp(a + 1, b - 1);
        }
    }
    a + (b - a) / 2
}
