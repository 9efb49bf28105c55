//! What a worse schedule costs in compute: how much longer it would have to train.

use super::{Table, Target, rules};
use crate::forecast::Ready;
use crate::units::Steps;

/// Halvings of the distance in which the horizon is sought: to 1/4096 of it.
const HALVINGS: usize = 12;

/// The updates that a rule needs beyond the target's horizon T to reach a loss of the law, 0 where it reaches it within T. What
/// the law is known to overstate of the rule's cost is in `loss` already.
///
/// `None`: not even twice the horizon does, or no schedule of the rule is that long.
///
/// # Formula
/// The smallest T′ in T … 2T with L̂(rule; T′) ≤ loss, less T; the rule keeps its share of the horizon.
pub(super) fn equal_updates(ready: &Ready, target: &Target, name: &str, loss: f64) -> Option<u64> {
    let total = target.total.0;
    let reaches = |horizon: u64| -> Option<bool> {
        let longer = Target { total: Steps(horizon), ..target.clone() };
        let (_, _, schedule) = rules(&longer).into_iter().find(|(rule, ..)| rule == name)?;
        let found = Table::new(ready, &longer, &[schedule]).losses(ready, &ready.theta)[0];
        found.is_finite().then_some(found <= loss)
    };
    if reaches(total)? {
        return Some(0);
    }
    let (mut below, mut above) = (total, total.checked_mul(2)?);
    if !reaches(above)? {
        return None;
    }
    for _ in 0..HALVINGS {
        let middle = below + (above - below) / 2;
        if middle == below {
            break;
        }
        if reaches(middle)? { above = middle } else { below = middle }
    }
    Some(above - total)
}
