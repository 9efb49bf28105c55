//! A recommendation in words: the answer first, the alternatives, and everything else where it was asked for.

use crate::output::{Output, percent, signed, table, updates};
use lehr::recommend::Rule;
use lehr_app::measured_runs;
use lehr_app::recommend::RecommendAnswer;

/// What a rule is called in the table: what would be done instead.
fn instead(name: &str, rule: &Rule) -> String {
    match name {
        "cosine" => "cosine, whole run".to_owned(),
        "cosine-to-10%" => "cosine to 10 % of the peak".to_owned(),
        "linear-to-zero" => "linear to 0, whole run".to_owned(),
        _ => rule.schedule.clone(),
    }
}

/// How much longer a rule would have to train, or what it saves.
fn worth(rule: &Rule) -> String {
    match rule.equal_updates {
        Some(more) if more > 0 => format!("{} updates", updates(more)),
        Some(_) => "–".to_owned(),
        None => "more than the run again".to_owned(),
    }
}

/// The answer in one to three lines, then what other choices cost.
pub fn short(found: &RecommendAnswer) -> String {
    let target = &found.target;
    let level = percent(found.level);
    let mut out = format!(
        "Anneal (decay) over the last {:.1} % of the run: from update (step) {} to {}, {}.\n",
        100.0 * found.ratio,
        updates(found.start_step),
        updates(target.total.0),
        target.shape,
    );
    out.push_str(&format!(
        "It ends at a loss of {:.4} nats per token ({:.4} … {:.4}, {level}){}.\n",
        found.loss.value,
        found.loss.lower,
        found.loss.upper,
        found.tokens.map_or_else(String::new, |tokens| format!(" after {:.3e} tokens", tokens as f64)),
    ));
    out.push_str(&format!(
        "Any ratio from {:.3} to {:.3} ends within {:.1} mnat (10⁻³ nats per token) of that; the best lies in {:.3} … {:.3} ({level}).\n\n",
        found.plateau.0, found.plateau.1, found.tolerance * 1e3, found.interval.0, found.interval.1,
    ));
    let mut rows = table(["instead", "costs mnat", &format!("{level} interval"), "as much as"]);
    let mut rules: Vec<_> = found.rules.iter().collect();
    rules.sort_by(|a, b| a.1.regret.total_cmp(&b.1.regret));
    for (name, rule) in rules {
        rows.add_row([
            format!("{}{}", instead(name, rule), if rule.caveats.is_empty() { "" } else { " *" }),
            signed(rule.regret * 1e3),
            format!("{} … {}", signed(rule.regret_interval.0 * 1e3), signed(rule.regret_interval.1 * 1e3)),
            worth(rule),
        ]);
    }
    out.push_str(&format!("{rows}\n"));
    let mut unseen: Vec<String> =
        found.rules.values().flat_map(|rule| rule.caveats.iter().map(ToString::to_string)).collect();
    unseen.sort_unstable();
    unseen.dedup();
    if found.rules.values().any(|rule| rule.regret < 0.0) {
        out.push_str("A cost below 0: the two are tied, as far as these runs can tell.\n");
    }
    if !unseen.is_empty() {
        out.push_str(&format!("* a guess: {}\n", unseen.join("; ")));
    }
    if let Some(best) = &found.shape {
        out.push_str(&format!(
            "\nbest power of the shape: β = {:.2} at r = {:.3}, loss {:.4}: gains {:.2} ± {:.2} mnat over {}\n",
            best.beta, best.ratio, best.loss, best.gain * 1e3, best.gain_sd * 1e3, target.shape
        ));
    }
    if let Some(free) = &found.free_schedule {
        out.push_str(&format!(
            "\nbest non-increasing schedule: loss {:.4}, gains {:.2} ± {:.2} mnat over the best {} WSD\n  {}\n",
            free.loss, free.gain * 1e3, free.gain_sd * 1e3, target.shape, free.schedule
        ));
    }
    out
}

/// Measured runs that are shown without `-v`.
const MEASURED: usize = 12;

/// What was measured beside the forecast.
pub fn measured(found: &RecommendAnswer, verbose: bool) -> String {
    let mut out = String::new();
    if !found.measured_runs.is_empty() {
        let mut rows = table(["measured run", "ratio", "loss", "forecast", "off by mnat"]);
        let shown = if verbose { found.measured_runs.len() } else { MEASURED };
        for run in found.measured_runs.iter().take(shown) {
            let ratio = run.ratio.map_or_else(
                || measured_runs::name(&run.schedule).to_owned(),
                |ratio| format!("{ratio:.3}{}", if run.on_curve { "" } else { ", another shape" }),
            );
            let at = if run.update == found.steps {
                String::new()
            } else {
                format!(" at {}", updates(run.update))
            };
            rows.add_row([
                run.run.clone(),
                ratio,
                format!("{:.4}{at}", run.loss),
                format!("{:.4}", run.forecast),
                signed(run.difference * 1e3),
            ]);
        }
        out.push_str(&format!("\n{rows}\n"));
        if found.measured_runs.len() > shown {
            out.push_str(&format!("… and {} more (-v shows all)\n", found.measured_runs.len() - shown));
        }
    }
    for m in &found.measured {
        out.push_str(&format!(
            "measured in these runs, which differ in the ratio alone: the best is {:.3} ({:.3} … {:.3}); the recommended one costs {:.2} mnat more\n",
            m.measured.ratio, m.measured.interval.0, m.measured.interval.1, m.regret * 1e3
        ));
    }
    out
}

/// The picture and the numbers behind the answer, for `-v`.
pub fn details(found: &RecommendAnswer, drawing: Option<String>) -> String {
    let target = &found.target;
    let level = percent(found.level);
    let mut out = String::from("\n");
    if let Some(drawing) = drawing {
        out.push_str(&drawing);
        out.push('\n');
    }
    let mut rows = table(["recommended", "", ""]);
    rows.add_row([
        "annealing ratio".to_owned(),
        format!("{:.3}", found.ratio),
        format!("{:.3} … {:.3} ({level})", found.interval.0, found.interval.1),
    ]);
    rows.add_row([
        "plateau".to_owned(),
        format!("{:.3} … {:.3}", found.plateau.0, found.plateau.1),
        format!("within {:.1} mnat of the best", found.tolerance * 1e3),
    ]);
    rows.add_row([
        "annealing starts after update".to_owned(),
        found.start_step.to_string(),
        format!("{} of {} updates, {}", found.anneal_steps, target.total, target.shape),
    ]);
    rows.add_row([
        "loss at the end".to_owned(),
        format!("{:.4}", found.loss.value),
        format!("{:.4} … {:.4} nats per token", found.loss.lower, found.loss.upper),
    ]);
    out.push_str(&format!("{rows}\n\n"));
    let mut rows = table(["ratio", "loss", "costs mnat", "± mnat"]);
    let best = found.loss.value;
    for point in found.curve.iter().step_by((found.curve.len() / 10).max(1)) {
        rows.add_row([
            format!("{:.3}", point.ratio),
            format!("{:.4}", point.loss),
            signed((point.loss - best) * 1e3),
            format!("{:.2}", point.half_width * 1e3),
        ]);
    }
    out.push_str(&format!("{rows}\n"));
    out
}

/// Everything that is printed.
pub fn text(found: &RecommendAnswer, output: &Output, drawing: Option<String>) -> String {
    let mut out = short(found);
    out.push_str(&measured(found, output.verbose));
    if output.verbose {
        out.push_str(&details(found, drawing));
    }
    out
}
