//! A fit in words: what it is good for first, the coefficients where they were asked for.

use super::{between, mape, percent, r2_text, short};
use crate::output::{Output, narrowed, table};
use lehr::fit::{Fit, RunFit, resample};
use lehr_app::fit::FitAnswer;
use lehr_app::report::lines;
use std::path::Path;

/// Runs that are shown where `-v` was not given.
const RUNS: usize = 5;

/// What a person repeats of a fit.
fn headline(fit: &Fit, written: Option<&Path>) -> String {
    let m = &fit.metrics;
    let runs = fit.runs.len();
    let mut out = format!(
        "The {} law describes {runs} run{} to {:.1} mnat (10⁻³ nats per token) on average; the worst point is off by {}.\n",
        fit.law,
        if runs == 1 { "" } else { "s" },
        m.mae * 1e3,
        percent(m.worst),
    );
    let u = &fit.uncertainty;
    if u.method == resample::Method::BlockBootstrap {
        out.push_str("How far it misses a run that it has not seen is not known: that takes three runs.\n");
    } else if !u.half_width(fit.options.level).is_finite() {
        out.push_str("How far it misses a run that it has not seen is not known: without some of its runs, the law gives them no loss.\n");
    } else {
        out.push_str(&format!(
            "A run that it has not seen is missed by up to {} over its later half ({:.0} %, from {} refits with runs left out).\n",
            percent(u.half_width(fit.options.level)),
            fit.options.level.get() * 100.0,
            u.refits.len(),
        ));
    }
    if let Some(path) = written {
        // The question that a fit is made for, with numbers that these runs can answer.
        if let Some(run) = fit.runs.iter().max_by_key(|run| run.last_update) {
            // A fit of several sizes is asked about one of them.
            let sizes = fit.runs.iter().any(|other| other.params != run.params);
            let size = run.params.filter(|_| sizes).map_or_else(String::new, |n| format!(" --params {n}"));
            out.push_str(&format!(
                "Next: lehr recommend {} --peak-lr {} --steps {}{size}\n",
                path.display(),
                run.peak_lr,
                run.total
            ));
        }
    }
    out
}

/// The text of an error, or a dash where the law gave no loss.
fn known(error: f64, text: impl Fn(f64) -> String) -> String {
    if error.is_finite() { text(error) } else { "–".to_owned() }
}

/// The runs, the worst first.
fn runs(fit: &Fit, all: bool) -> String {
    let u = &fit.uncertainty;
    let mut sorted: Vec<&RunFit> = fit.runs.iter().collect();
    if !all {
        sorted.sort_by(|a, b| b.metrics.mae.total_cmp(&a.metrics.mae));
    }
    let shown = if all { sorted.len() } else { sorted.len().min(RUNS) };
    let mut header = vec!["run", "updates", "annealed", "MAE mnat", "last", "last, left out"];
    if all {
        header.splice(1..1, ["N", "peak"]);
        header.splice(6..6, ["R²", "MAPE", "worst"]);
    }
    let signed = |error: f64| format!("{:+.3} %", error * 100.0);
    let mut rows = table(header);
    for run in &sorted[..shown] {
        let held = u.held_out.iter().find(|h| h.id == run.id && u.method != resample::Method::BlockBootstrap);
        let mut cells = vec![
            run.id.clone(),
            run.last_update.to_string(),
            format!("{:.0} % {}", run.annealing_share * 100.0, run.fall),
            known(run.metrics.mae, |mae| format!("{:.2}", mae * 1e3)),
            known(run.final_error, signed),
            held.map_or_else(String::new, |h| known(h.final_error, signed)),
        ];
        if all {
            let n = run.params.map_or_else(String::new, |n| format!("{:.3e}", n.0 as f64));
            cells.splice(1..1, [n, format!("{:e}", run.peak_lr)]);
            cells.splice(6..6, [r2_text(run.metrics.r2), mape(&run.metrics), percent(run.metrics.worst)]);
        }
        rows.add_row(cells);
    }
    // What a narrow terminal does without, the first first: R², N, peak, worst, updates, MAPE; or updates, last.
    let least: &[usize] = if all { &[6, 1, 2, 8, 3, 7] } else { &[1, 4] };
    let mut out = format!("{}\n", narrowed(rows, least));
    if shown < sorted.len() {
        out.push_str(&format!(
            "the {shown} runs furthest from the law, of {}; -v shows all, and the coefficients\n",
            sorted.len()
        ));
    }
    out
}

/// The coefficients and how the solver fared.
fn details(fit: &Fit, law: &dyn lehr::Law) -> String {
    let mut out = format!("{}   {}\n\n", law.name(), law.equation());
    let level = (fit.options.level.get() * 100.0).round();
    let mut rows = table(["coefficient", "symbol", "value", &format!("{level} % interval"), "unit", ""]);
    for c in lines::coefficients(fit, law) {
        let interval = c.interval.map_or_else(String::new, between);
        let remarks = c.remarks();
        rows.add_row([c.name, c.symbol, short(c.value), interval, c.unit, remarks]);
    }
    out.push_str(&rows.to_string());
    let m = &fit.metrics;
    let s = &fit.solution;
    out.push_str(&format!(
        "\n\n{} observations fitted, {} free coefficients; {} of {} starts agree; {} evaluations; condition {:.1e}\n",
        s.observations,
        fit.n_coefficients(),
        s.starts_agreeing,
        s.starts,
        s.evaluations,
        fit.identifiability.condition,
    ));
    out.push_str(&format!(
        "errors, means over runs: R² {}, MAE {:.2} mnat, RMSE {:.2} mnat, MAPE {}, worst {}, last {}\n",
        r2_text(m.r2),
        m.mae * 1e3,
        m.rmse * 1e3,
        mape(m),
        percent(m.worst),
        percent(m.r#final)
    ));
    let how = match fit.uncertainty.method {
        resample::Method::LeaveOneGroupOut => {
            "leaving out one group of runs at a time (a stable run goes with its branches)"
        }
        resample::Method::LeaveOneRunOut => "leaving out one run at a time",
        resample::Method::LeaveFoldOut => {
            "leaving out one fold of the runs at a time (a stable run goes with its branches)"
        }
        resample::Method::BlockBootstrap => {
            "block bootstrap of residuals: a lower bound, give three runs or more"
        }
    };
    out.push_str(&format!("uncertainty: {how}; {} refits\n", fit.uncertainty.refits.len()));
    out
}

/// Everything that is printed.
pub fn text(answer: &FitAnswer, law: &dyn lehr::Law, output: &Output, written: Option<&Path>) -> String {
    let fit = &answer.fit;
    let mut out = headline(fit, written);
    out.push('\n');
    out.push_str(&runs(fit, output.verbose));
    if output.verbose {
        out.push('\n');
        out.push_str(&details(fit, law));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_is_no_number_is_said_in_words() {
        let text = include_str!("../../../../../fixtures/fits/format-5.json");
        let mut fit = lehr_app::fit::parse_fit("format-5.json", text).expect("a fit");
        assert!(headline(&fit, None).contains("is missed by up to 0."), "{}", headline(&fit, None));
        // A refit whose law gives a run no loss.
        fit.uncertainty.held_out[0].final_error = f64::INFINITY;
        fit.metrics.worst = f64::INFINITY;
        let table = runs(&fit, true);
        assert!(table.contains('–') && !table.contains("inf"), "{table}");
        let said = headline(&fit, None);
        assert!(
            said.contains("is not known") && said.contains("off by –") && !said.contains("inf"),
            "{said}"
        );
    }
}
