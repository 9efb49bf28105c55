//! A forecast in words: the last loss first.

use crate::output::{Output, percent, table, updates};
use lehr_app::forecast::ForecastAnswer;

/// Rows of the table where `-v` was not given.
const ROWS: usize = 5;

/// What is printed; `every` where the updates were asked for.
pub fn text(forecast: &ForecastAnswer, every: bool, output: &Output, drawing: Option<String>) -> String {
    let f = forecast.last;
    let n = forecast.update.len();
    let level = percent(forecast.level);
    let mut out = format!(
        "At update (step) {} the loss is {:.4} nats per token ({:.4} … {:.4}, {level}).\nSchedule: {}\n\n",
        updates(forecast.update[n - 1]),
        f.value,
        f.lower,
        f.upper,
        forecast.plan,
    );
    if output.verbose
        && !every
        && let Some(drawing) = drawing
    {
        out.push_str(&drawing);
        out.push('\n');
    }
    let most = if output.verbose { 12 } else { ROWS };
    let shown: Vec<usize> =
        if every || n <= most { (0..n).collect() } else { (1..=most).map(|i| (n - 1) * i / most).collect() };
    let mut rows = table(["update", "rate", "loss", &format!("{level} interval")]);
    for i in shown {
        let t = forecast.update[i];
        rows.add_row([
            t.to_string(),
            format!("{:.3e}", forecast.plan.lr(t)),
            format!("{:.4}", forecast.loss[i]),
            format!("{:.4} … {:.4}", forecast.lower[i], forecast.upper[i]),
        ]);
    }
    out.push_str(&format!("{rows}\n"));
    out
}
