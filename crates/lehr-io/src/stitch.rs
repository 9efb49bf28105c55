//! Restarts: rows that jump back are put together to one course of the run.

/// What was done to the rows of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stitched {
    /// The rows kept, in order of their updates.
    pub keep: Vec<usize>,
    /// Jumps back that were resolved as restarts.
    pub restarts: usize,
    /// Rows of attempts that were given up.
    pub rolled_back: usize,
    /// Rows of an update that a later row repeats.
    pub repeated: usize,
    /// Whether rows were only out of order.
    pub sorted: bool,
}

impl Stitched {
    /// Whether anything was done.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.restarts + self.rolled_back + self.repeated > 0 || self.sorted
    }
}

impl std::fmt::Display for Stitched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        if self.sorted {
            parts.push("rows were out of order and have been sorted by update".to_owned());
        }
        if self.restarts > 0 {
            parts.push(format!(
                "{} restart{} stitched, {} rows of given-up attempts left out",
                self.restarts,
                if self.restarts == 1 { "" } else { "s" },
                self.rolled_back
            ));
        }
        if self.repeated > 0 {
            parts.push(format!("{} repeated rows left out (the last of each update counts)", self.repeated));
        }
        f.write_str(&parts.join("; "))
    }
}

/// Rows that look like several runs: index of the row that says so, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mixed {
    /// The row.
    pub row: usize,
    /// What was found.
    pub problem: String,
}

/// Puts rows together to one course of the run.
///
/// Rows are cut into attempts, stretches of rising updates. An attempt that begins inside what is there resumed from a
/// checkpoint: what it overtakes was rolled back and goes. An attempt that begins at or before the first update is the
/// run begun anew, or an earlier attempt written after a later one: where the two overlap, the one that reaches
/// further counts (the later one if they end together). A single row back, or an update repeated in the next row,
/// replaces that row. Stretches without a common update were not done twice: they are sorted, whatever their order.
///
/// `force`: whatever looks like several runs is put together by "the last row of each update counts".
///
/// # Errors
/// [`Mixed`]: rows alternate between two losses, every so many updates have two, two attempts cover the same updates with other losses or other rates,
/// or there are more than two beginnings.
pub fn stitch(step: &[u64], loss: &[f64], lr: &[f64], force: bool) -> Result<Stitched, Mixed> {
    let n = step.len();
    let mut result = Stitched::default();
    // Next rows with the same update: the last counts.
    let mut rows: Vec<usize> = Vec::with_capacity(n);
    let mut contradictions = 0;
    // Rows of updates that have two losses.
    let mut twice = Vec::new();
    for i in 0..n {
        if let Some(&last) = rows.last()
            && step[last] == step[i]
        {
            if loss[last].to_bits() != loss[i].to_bits() {
                contradictions += 1;
                if twice.last().is_none_or(|&row: &usize| step[row] != step[i]) {
                    twice.push(i);
                }
            }
            result.repeated += 1;
            rows.pop();
        }
        rows.push(i);
    }
    if let Some(every) = even_stride(step, &twice).filter(|_| !force && contradictions * 3 <= rows.len()) {
        return Err(Mixed {
            row: twice[0],
            problem: format!(
                "{} updates, one every {every}, have two losses in one column: those of an evaluation or of another run stand between them; expected one run",
                twice.len()
            ),
        });
    }
    let jumps: Vec<usize> = (1..rows.len()).filter(|&k| step[rows[k]] <= step[rows[k - 1]]).collect();
    if jumps.is_empty() && (contradictions * 3 <= rows.len() || contradictions < 3 || force) {
        result.keep = rows;
        return Ok(result);
    }
    if force {
        return Ok(last_of_each(step, n, jumps.len()));
    }
    if contradictions * 3 > rows.len() && contradictions >= 3 {
        return Err(Mixed {
            row: rows[0],
            problem: format!(
                "{contradictions} of {n} rows repeat the update before them with another loss; expected one run"
            ),
        });
    }
    if jumps.len() > (rows.len() / 8).max(16).min(rows.len() / 2) {
        return unordered(step, loss, rows, result);
    }
    let mut attempts = Vec::new();
    let mut from = 0;
    for &to in jumps.iter().chain([&rows.len()]) {
        attempts.push(&rows[from..to]);
        from = to;
    }
    merge(step, loss, lr, &attempts, result)
}

/// The distance of these rows, where all are as far apart: no restart repeats an update so regularly.
fn even_stride(step: &[u64], rows: &[usize]) -> Option<u64> {
    const ENOUGH: usize = 5;
    let mut gaps = rows.windows(2).map(|pair| step[pair[1]].checked_sub(step[pair[0]]));
    let first = gaps.next()??;
    (rows.len() >= ENOUGH && first > 0 && gaps.all(|gap| gap == Some(first))).then_some(first)
}

fn merge(
    step: &[u64],
    loss: &[f64],
    lr: &[f64],
    attempts: &[&[usize]],
    mut result: Stitched,
) -> Result<Stitched, Mixed> {
    let mut course: Vec<usize> = attempts[0].to_vec();
    let mut beginnings = 1;
    for (k, &attempt) in attempts.iter().enumerate().skip(1) {
        let (first, last) = (step[attempt[0]], step[attempt[attempt.len() - 1]]);
        let (course_first, course_last) = (step[course[0]], step[course[course.len() - 1]]);
        if attempts[..k].iter().any(|earlier| is_copy(step, loss, lr, earlier, attempt)) {
            result.repeated += attempt.len();
            continue;
        }
        if first > course_last {
            course.extend(attempt);
            continue;
        }
        if !shares_updates(step, &course, attempt) {
            // Nothing was done twice, so nothing was given up: rows in turns, of several files for instance.
            course.extend(attempt);
            course.sort_by_key(|&row| step[row]);
            result.sorted = true;
            continue;
        }
        if other_rates(step, lr, &course, attempt) {
            return Err(Mixed {
                row: attempt[0],
                problem: format!(
                    "updates {first} … {last} appear a second time with other learning rates; expected one run"
                ),
            });
        }
        if attempt.len() == 1 && last < course_last {
            let at = course.partition_point(|&row| step[row] < first);
            if step[course[at]] == first {
                course[at] = attempt[0];
                result.repeated += 1;
            } else {
                course.insert(at, attempt[0]);
                result.sorted = true;
            }
            continue;
        }
        if first > course_first {
            let kept = course.partition_point(|&row| step[row] < first);
            result.rolled_back += course.len() - kept;
            result.restarts += 1;
            course.truncate(kept);
            course.extend(attempt);
        } else if last < course_first {
            result.sorted = true;
            course.splice(0..0, attempt.iter().copied());
        } else {
            beginnings += 1;
            if (first, last) == (course_first, course_last) && attempt.len() >= 3 || beginnings > 2 {
                return Err(Mixed {
                    row: attempt[0],
                    problem: format!(
                        "updates {first} … {last} appear again with other losses; expected one run"
                    ),
                });
            }
            result.restarts += 1;
            if last >= course_last {
                result.rolled_back += course.len();
                course = attempt.to_vec();
            } else {
                let used = attempt.partition_point(|&row| step[row] < course_first);
                result.rolled_back += attempt.len() - used;
                course.splice(0..0, attempt[..used].iter().copied());
            }
        }
    }
    result.keep = course;
    Ok(result)
}

/// Whether `attempt` repeats rows of `earlier` exactly.
fn is_copy(step: &[u64], loss: &[f64], lr: &[f64], earlier: &[usize], attempt: &[usize]) -> bool {
    let at = earlier.partition_point(|&row| step[row] < step[attempt[0]]);
    attempt.len() > 1
        && earlier.len() - at >= attempt.len()
        && earlier[at..].iter().zip(attempt).all(|(&a, &b)| {
            let same = |values: &[f64]| values[a].to_bits() == values[b].to_bits();
            step[a] == step[b] && same(loss) && same(lr)
        })
}

/// Whether an update of the attempt is in the course.
fn shares_updates(step: &[u64], course: &[usize], attempt: &[usize]) -> bool {
    attempt.iter().any(|&row| course.binary_search_by_key(&step[row], |&other| step[other]).is_ok())
}

/// Whether two attempts used clearly other rates at most of the updates that they share.
fn other_rates(step: &[u64], lr: &[f64], course: &[usize], attempt: &[usize]) -> bool {
    let (mut shared, mut differ) = (0, 0);
    for &row in attempt {
        let at = course.partition_point(|&other| step[other] < step[row]);
        let Some(&other) = course.get(at).filter(|&&other| step[other] == step[row]) else { continue };
        let (a, b) = (lr[other], lr[row]);
        if a.is_finite() && b.is_finite() {
            shared += 1;
            differ += usize::from((a - b).abs() > 0.01 * a.abs().max(b.abs()));
        }
    }
    shared >= 3 && 2 * differ > shared
}

/// Rows that jump back so often that there are no attempts: sorted if no update has two losses.
fn unordered(
    step: &[u64],
    loss: &[f64],
    mut rows: Vec<usize>,
    mut result: Stitched,
) -> Result<Stitched, Mixed> {
    rows.sort_by_key(|&row| step[row]);
    let clash = rows
        .windows(2)
        .find(|pair| step[pair[0]] == step[pair[1]] && loss[pair[0]].to_bits() != loss[pair[1]].to_bits());
    if let Some(pair) = clash {
        return Err(Mixed {
            row: pair[1],
            problem: format!(
                "rows are in no order and update {} appears with two losses ({} and {}); expected one run",
                step[pair[0]], loss[pair[0]], loss[pair[1]]
            ),
        });
    }
    let before = rows.len();
    rows.dedup_by_key(|row| step[*row]);
    result.repeated += before - rows.len();
    result.sorted = true;
    result.keep = rows;
    Ok(result)
}

fn last_of_each(step: &[u64], n: usize, jumps: usize) -> Stitched {
    let mut rows: Vec<usize> = (0..n).collect();
    rows.sort_by_key(|&row| step[row]);
    let mut keep: Vec<usize> = Vec::with_capacity(n);
    for row in rows {
        if keep.last().is_some_and(|&last| step[last] == step[row]) {
            keep.pop();
        }
        keep.push(row);
    }
    let repeated = n - keep.len();
    Stitched { keep, restarts: 0, rolled_back: 0, repeated, sorted: jumps > 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of (from, to, offset): a row every 10 updates, loss = update + offset.
    fn rows(parts: &[(u64, u64, f64)]) -> (Vec<u64>, Vec<f64>, Vec<f64>) {
        let (mut step, mut loss) = (Vec::new(), Vec::new());
        for &(from, to, offset) in parts {
            for t in (from..=to).step_by(10) {
                step.push(t);
                loss.push(t as f64 + offset);
            }
        }
        let lr = vec![f64::NAN; step.len()];
        (step, loss, lr)
    }

    fn course(parts: &[(u64, u64, f64)]) -> Result<(Vec<(u64, f64)>, Stitched), Mixed> {
        let (step, loss, lr) = rows(parts);
        let result = stitch(&step, &loss, &lr, false)?;
        Ok((result.keep.iter().map(|&i| (step[i], loss[i])).collect(), result))
    }

    #[test]
    fn a_resumed_run_keeps_the_later_rows_and_drops_what_was_rolled_back() {
        let (course, report) = course(&[(10, 100, 0.0), (60, 90, 0.5)]).unwrap();
        assert_eq!(course.len(), 9);
        assert_eq!(course[4], (50, 50.0));
        assert_eq!(course[8], (90, 90.5));
        assert_eq!((report.restarts, report.rolled_back), (1, 5));
    }

    #[test]
    fn an_earlier_attempt_written_later_only_fills_the_past() {
        let (course, report) = course(&[(60, 100, 0.0), (10, 80, 0.5)]).unwrap();
        assert_eq!(course[4], (50, 50.5));
        assert_eq!(course[5], (60, 60.0));
        assert_eq!(course.len(), 10);
        assert_eq!(report.rolled_back, 3);
    }

    #[test]
    fn a_run_begun_anew_counts_once_it_reaches_further() {
        let (course, _) = course(&[(10, 50, 0.0), (10, 100, 0.5)]).unwrap();
        assert!(course.iter().all(|&(t, value)| value == t as f64 + 0.5));
    }

    #[test]
    fn a_copy_of_rows_is_left_out() {
        let (course, report) = course(&[(10, 100, 0.0), (10, 50, 0.0)]).unwrap();
        assert_eq!(course.len(), 10);
        assert_eq!((report.repeated, report.restarts), (5, 0));
    }

    #[test]
    fn two_runs_in_one_table_are_refused() {
        assert!(course(&[(10, 100, 0.0), (10, 100, 0.5)]).is_err());
        assert!(course(&[(10, 100, 0.0), (10, 50, 0.5), (10, 70, 0.7)]).is_err());
    }

    #[test]
    fn alternating_rows_of_two_runs_are_refused() {
        let step = [1, 1, 2, 2, 3, 3, 4, 4];
        let loss = [5.0, 6.0, 4.0, 5.0, 3.0, 4.0, 2.0, 3.0];
        assert!(stitch(&step, &loss, &[f64::NAN; 8], false).is_err());
        assert_eq!(stitch(&step, &loss, &[f64::NAN; 8], true).unwrap().keep, [1, 3, 5, 7]);
    }

    #[test]
    fn evaluations_between_the_rows_are_refused_and_repeats_here_and_there_are_not() {
        let rows = |twice: &dyn Fn(u64) -> bool| -> (Vec<u64>, Vec<f64>) {
            (1..=200_u64)
                .map(|k| 10 * k)
                .flat_map(|t| {
                    let again = twice(t).then_some((t, t as f64 + 0.5));
                    std::iter::once((t, t as f64)).chain(again)
                })
                .unzip()
        };
        let (step, loss) = rows(&|t| t % 200 == 0);
        let lr = vec![f64::NAN; step.len()];
        let mixed = stitch(&step, &loss, &lr, false).unwrap_err();
        assert_eq!(step[mixed.row], 200);
        assert!(mixed.problem.contains("10 updates, one every 200"), "{}", mixed.problem);
        assert_eq!(stitch(&step, &loss, &lr, true).unwrap().keep.len(), 200);
        let (step, loss) = rows(&|t| [310, 640, 900, 1200, 1910].contains(&t));
        assert_eq!(stitch(&step, &loss, &vec![f64::NAN; step.len()], false).unwrap().keep.len(), 200);
    }

    #[test]
    fn other_rates_at_the_same_updates_are_another_run() {
        let (step, loss, mut lr) = rows(&[(10, 100, 0.0), (10, 80, 0.5)]);
        lr[..10].fill(1e-3);
        lr[10..].fill(2e-3);
        assert!(stitch(&step, &loss, &lr, false).is_err());
    }

    #[test]
    fn rows_in_falling_order_are_sorted() {
        let step: Vec<u64> = (1..=40).rev().collect();
        let loss: Vec<f64> = step.iter().map(|&t| t as f64).collect();
        let result = stitch(&step, &loss, &[f64::NAN; 40], false).unwrap();
        assert!(result.sorted);
        assert_eq!(result.keep, (0..40).rev().collect::<Vec<_>>());
    }

    #[test]
    fn stretches_in_turns_without_a_common_update_keep_every_row() {
        let steps: Vec<u64> = (61..=120).chain(1..=60).chain(121..=200).map(|k| 10 * k).collect();
        let loss: Vec<f64> = steps.iter().map(|&t| t as f64).collect();
        let result = stitch(&steps, &loss, &[f64::NAN; 200], false).unwrap();
        assert_eq!((result.keep.len(), result.rolled_back, result.sorted), (200, 0, true));
        assert!(result.keep.windows(2).all(|pair| steps[pair[0]] < steps[pair[1]]));
        // Two files that took turns.
        let (one, two): (Vec<u64>, Vec<u64>) = (1..=200).map(|k| 10 * k).partition(|t| t / 250 % 2 == 0);
        let steps: Vec<u64> = one.into_iter().chain(two).collect();
        let loss: Vec<f64> = steps.iter().map(|&t| t as f64).collect();
        assert_eq!(stitch(&steps, &loss, &[f64::NAN; 200], false).unwrap().keep.len(), 200);
    }

    #[test]
    fn one_row_back_replaces_its_update_only() {
        let (course, report) = course(&[(10, 100, 0.0), (50, 50, 0.5)]).unwrap();
        assert_eq!(course.len(), 10);
        assert_eq!(course[4], (50, 50.5));
        assert_eq!(report.repeated, 1);
    }
}
