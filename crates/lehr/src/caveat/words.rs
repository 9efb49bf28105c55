//! The sentence of each caveat, with its numbers.

use super::CaveatKind;
use std::fmt;

impl fmt::Display for CaveatKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MixedDatasets { found } => mixed(f, "losses on different data sets", found),
            Self::MixedSplits { found } => mixed(f, "losses of different splits", found),
            Self::MixedArchitectures { found } => mixed(f, "architectures", found),
            Self::MixedCounts { found } => mixed(f, "conventions of counting parameters", found),
            Self::RoundedLosses { run } => write!(
                f,
                "run '{run}': every loss has at most two digits behind the point; schedules differ by less than that"
            ),
            Self::ScheduleContradictsLog { run, share } | Self::ScheduleDiffersFromLog { run, share } => {
                write!(
                    f,
                    "run '{run}': the stated schedule and the logged rates differ by up to {:.1} % of the peak rate",
                    100.0 * share
                )
            }
            Self::NotConverged { iterations } => {
                write!(
                    f,
                    "the solver stopped at its limit of {iterations} iterations before it had converged"
                )
            }
            Self::TrainingDiverged { update, of, quantity, points } => write!(
                f,
                "the run diverged at update {update} of {of}: its {quantity} is not finite or more than thrice that of guessing; the {points} points before are in the store"
            ),
            Self::BeginFound { update } => write!(
                f,
                "fitting begins at update {update}: from there on the law's errors have no trend, before it they do"
            ),
            Self::NoAnnealing => f.write_str("no run anneals: nothing is known about what annealing brings"),
            Self::FewRuns { runs, ratio } => write!(
                f,
                "the law was fitted on {runs} run{}: how annealing trades against descent is not known from fewer than three, and the ratio {ratio:.3} may be far off",
                plural(*runs)
            ),
            Self::OtherArchitecture { found, target } => write!(
                f,
                "the runs fitted are {found}, the target is {target}: laws and ratios carry over within one architecture, not across"
            ),
            Self::UnstablePeakRate { run, peak_lr } => write!(
                f,
                "run '{run}' diverged at the peak rate {peak_lr} and no run fitted was stable at that rate or above: a law says nothing about divergence"
            ),
            Self::UnseenPeakRate { factor, peak_lr, fitted } => write!(
                f,
                "the peak rate {peak_lr} is {factor:.2} × away from that of the runs fitted ({fitted}), which have no other"
            ),
            Self::UnseenSize { factor: Some(factor), fitted: Some(fitted) } => write!(
                f,
                "N is {factor:.1} × away from that of the runs fitted ({fitted:.3e}), which have no other; the forecast is for their size"
            ),
            Self::UnseenSize { .. } => f.write_str(
                "the runs fitted have no stated N: the forecast is for their size, not for the N given",
            ),
            Self::UnseenBatch { factor, smallest, largest, blind_law } => {
                let one = largest <= &(smallest * crate::forecast::limits::SAME);
                write!(f, "the batch is {factor:.1} × away from the runs fitted (")?;
                if one {
                    write!(f, "{largest}")?
                } else {
                    write!(f, "{smallest} … {largest}")?
                }
                f.write_str(" tokens an update)")?;
                match blind_law {
                    Some(law) => write!(
                        f,
                        "; the {law} law counts updates, and the noise level changes with the batch"
                    ),
                    None if one => f.write_str(", one batch only: how the loss depends on it is assumed"),
                    None => Ok(()),
                }
            }
            Self::ExtrapolatesHorizon { factor, longest } => {
                write!(
                    f,
                    "extrapolates ×{factor:.1} in updates: the longest annealed run fitted has {longest}"
                )?;
                self.beyond(f, crate::forecast::limits::HORIZON)
            }
            Self::ExtrapolatesPeakRate { factor, peak_lr, lowest, highest } => {
                write!(
                    f,
                    "extrapolates ×{factor:.2} in peak rate: {peak_lr} lies outside the runs fitted ({lowest} … {highest})"
                )?;
                self.beyond(f, crate::forecast::limits::PEAK_LR)
            }
            Self::ExtrapolatesSize { factor, smallest, largest } => {
                write!(
                    f,
                    "extrapolates ×{factor:.1} in N: the runs fitted have {smallest:.3e} … {largest:.3e}"
                )?;
                self.beyond(f, crate::forecast::limits::SIZE)
            }
            Self::NoStableRun => f.write_str(
                "every run anneals all along, which leaves descent and annealing hard to tell apart",
            ),
            Self::NotIdentifiable { coefficients } => write!(
                f,
                "these runs do not determine the coefficient{} {}: near these runs the forecast does not depend on {}, far from them it does",
                plural(coefficients.len() as u64),
                coefficients.join(", "),
                if coefficients.len() == 1 { "it" } else { "them" }
            ),
            Self::Diverged { run, update } => write!(
                f,
                "run '{run}' diverged: after update {update} the loss rose by more than 10 % and stayed up"
            ),
            Self::LevelBreak { run, before, after } => write!(
                f,
                "run '{run}': the level of the loss changes between updates {before} and {after} as no schedule does (another evaluation set, tokenizer, or scale of the loss)"
            ),
            Self::LossLeftOut { run, rows, first, tail } => {
                write!(
                    f,
                    "run '{run}': {rows} row{} without a usable loss left out, the first at update {first}",
                    plural(*rows)
                )?;
                match tail {
                    0 => Ok(()),
                    1 => f.write_str("; the last row is among them: the run diverged"),
                    _ => write!(f, "; the last {tail} rows are among them: the run diverged"),
                }
            }
            Self::LeftOut { run, diverged: true, loss, against } => write!(
                f,
                "run '{run}' is left out because it diverged: it ends at {loss:.3}, far above the {against:.3} it had reached"
            ),
            Self::LeftOut { run, loss, against, .. } => write!(
                f,
                "run '{run}' is left out because it never learned: it ends at {loss:.3} where the other runs are at {against:.3}"
            ),
            Self::LeftOutBreak { run, before, after } => write!(
                f,
                "run '{run}' is left out because the level of its loss changes from {before:.3} to {after:.3} between two rows, as no schedule does"
            ),
            Self::LeftOutShort { runs, first } => write!(
                f,
                "{runs} run{} of which the final loss alone is known {} left out because {} before fitting begins, after the warm-up ('{first}'{})",
                plural(*runs),
                if *runs == 1 { "is" } else { "are" },
                if *runs == 1 { "it ends" } else { "they end" },
                if *runs == 1 { "" } else { " …" }
            ),
            Self::SmoothedLoss { run, lag, effect } => {
                write!(f, "the losses of '{run}' are a moving average: it lags behind the loss")?;
                match (lag, effect) {
                    (Some(lag), Some(effect)) => write!(
                        f,
                        " by about {lag:.0} updates, which makes the end of the run {:.1} mnat too {}",
                        1e3 * effect.abs(),
                        if *effect < 0.0 { "low" } else { "high" }
                    ),
                    _ => f.write_str(", most of all during annealing"),
                }
            }
            Self::UnknownUnit { run, loss, perplexity, ratio } => write!(
                f,
                "run '{run}': ln('{perplexity}') is {ratio:.3} times '{loss}', which is neither nats (1) nor bits (0.693); the losses are taken as nats"
            ),
            Self::LossPerByte { run } => {
                write!(f, "the losses of '{run}' are counted a byte of text, not a token; forecasts are, too")
            }
            Self::MixedUnits { per_byte, per_token } => write!(
                f,
                "the losses of '{per_byte}' are counted a byte of text and those of '{per_token}' a token: one law cannot describe both"
            ),
            Self::StatedFinalApart { run, stated, logged, usual } => write!(
                f,
                "run '{run}': its manifest states a final loss of {stated:.4} where its own curve ends at {logged:.4} ({:+.1} mnat; among the other runs {:+.1} mnat are usual)",
                1e3 * (stated - logged),
                1e3 * usual
            ),
            Self::LrMultiplier { run, scale: None } => write!(
                f,
                "run '{run}': the log holds the rate as a multiple of its peak, not the rate itself; its peak is taken as 1, so it cannot be fitted together with runs whose rates are known"
            ),
            Self::LrMultiplier { run, scale: Some((from, scale)) } => write!(
                f,
                "run '{run}': the log holds multiples of the rate; {from} = {scale} of its configuration is taken for 1, and other groups of parameters may have other rates"
            ),
            Self::MixedBatches { found, law } => write!(
                f,
                "the runs differ in batch size ({} tokens): the {law} law knows updates, not tokens",
                found.join(", ")
            ),
            Self::BatchRamp { run, least, most, tokens } => write!(
                f,
                "run '{run}': an update takes between {least} and {most} {}; laws take the batch as constant",
                if *tokens { "tokens" } else { "samples" }
            ),
            Self::GuessedBatch { samples } => write!(
                f,
                "the log counts samples; {samples} a row, their greatest common divisor, is taken as the batch, so update = samples / {samples}"
            ),
            Self::DownSampled { run } => {
                write!(f, "run '{run}': the chart's export holds averages over ranges of steps")
            }
            Self::Spikes { run, updates } => {
                let shown: Vec<String> = updates.iter().take(5).map(u64::to_string).collect();
                write!(
                    f,
                    "run '{run}': {} loss spike{} (update {}{}); the points are kept",
                    updates.len(),
                    plural(updates.len() as u64),
                    shown.join(", "),
                    if updates.len() > 5 { ", …" } else { "" }
                )
            }
            Self::StrayRates { run, rows } => {
                let named: Vec<String> =
                    rows.iter().map(|(step, lr)| format!("{lr} at update {step}")).collect();
                let named = match named.as_slice() {
                    [first, _, .., last] if named.len() > 3 => format!("{first} … {last}"),
                    few => few.join(", "),
                };
                write!(
                    f,
                    "run '{run}': {} logged rate{} that no schedule fits ({named}) left out",
                    rows.len(),
                    plural(rows.len() as u64)
                )
            }
            Self::TwinsDiffer { .. }
            | Self::PoorFit { .. }
            | Self::LastPointJumps { .. }
            | Self::RatioOpen { .. }
            | Self::ShortHorizon { .. }
            | Self::OneRatio { .. }
            | Self::UnseenFinalRate { .. }
            | Self::JobUnknown { .. }
            | Self::JobInFit { .. }
            | Self::InputsChanged { .. }
            | Self::JobAnneals { .. }
            | Self::OptimumMisfit { .. } => self.words_of_evidence(f),
            _ => self.words_of_answers(f),
        }
    }
}

/// A share in percent, with as many digits as it has.
fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

impl CaveatKind {
    /// The sentences of what a fit or a forecast takes for granted, of training and of reports.
    fn words_of_answers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnePeakRate { peak_lr } => write!(
                f,
                "all runs have the peak rate {peak_lr}: how the loss depends on it is assumed, not measured"
            ),
            Self::IntervalIsLowerBound => f.write_str(
                "fewer than three runs: the interval comes from residuals alone and is too narrow (such intervals covered about a fifth of what they claim)",
            ),
            Self::AcrossArchitectures { found, target } => write!(
                f,
                "optima of {found} models are used for a {target} target: no transfer between architectures has been shown"
            ),
            Self::UnseenShape { shape, fitted } => write!(
                f,
                "no run fitted anneals in the shape {shape} (there are: {})",
                fitted.join(", ")
            ),
            Self::RatioAtLimit { ratio, lowest, highest } => write!(
                f,
                "the best ratio {ratio:.3} is at the limit of what was allowed ({lowest:.3} … {highest:.3})"
            ),
            Self::RangeLimit { what, value, lowest, highest } => write!(
                f,
                "the best {what} {value} is at the limit of what was allowed ({lowest} … {highest})"
            ),
            Self::FewSizes { sizes } => write!(
                f,
                "{sizes} sizes do not determine the floor L₀ and the exponent of N together: the exponent is assumed"
            ),
            Self::IntervalWidened { half_width, reasons } => write!(
                f,
                "the interval is ±{:.2} %, of which {}",
                100.0 * half_width,
                reasons.join(" and ")
            ),
            Self::AssumedBatch { tokens } => write!(
                f,
                "the runs fitted differ in batch and none was given: the forecast is for the most frequent, {tokens} tokens an update"
            ),
            Self::FreeShape => f.write_str(
                "the best shape and the free schedule are where the law is trusted furthest from its data",
            ),
            Self::AtBound { coefficient, value, lower } => write!(
                f,
                "coefficient {coefficient} = {value:.4} is at the {} bound given: the data would move it further",
                if *lower { "lower" } else { "upper" }
            ),
            Self::StartsDisagree { starts } => write!(
                f,
                "the best solution was found from one of {starts} starts only; there may be a better one"
            ),
            Self::DataRepeat { run, updates, rows, passes, sequences } => {
                if let Some(run) = run {
                    write!(f, "{run}: ")?;
                }
                write!(
                    f,
                    "{updates} updates of {rows} sequences are {passes:.2} passes over the {sequences} training sequences: from the second pass on the training loss falls below that on fresh text; single-pass laws do not describe it"
                )
            }
            Self::FewValidations { runs, first, validations, enough } => write!(
                f,
                "{runs} run{} validate{} fewer than {enough} times ('{first}' {validations} times): other verbs will take their training losses",
                plural(*runs),
                if *runs == 1 { "s" } else { "" }
            ),
            Self::Tiny => f.write_str(
                "size tiny shows what comes out: models of a few thousand parameters, trained for a few updates, say nothing about language models",
            ),
            Self::RunLeftOut { run, why } => write!(f, "{run} is left out: {why}"),
            Self::LawLeftOut { group, reasons } => write!(f, "{group}: not fitted: {}", reasons.join("; ")),
            Self::SplitLeftOut { group } => write!(f, "{group}: no law could be fitted"),
            Self::GroupLeftOut { group, why }
            | Self::NoCollapse { group, why }
            | Self::NoCriticalBatch { group, why } => write!(f, "{group}: {why}"),
            Self::OptimumAtEdge { at_edge, of } => write!(
                f,
                "{at_edge} of {of} optima lie at the smallest or largest ratio measured: only that they lie there or beyond enters the laws"
            ),
            Self::NoTwins => f.write_str(
                "no two runs differ in the seed alone: intervals of the optima come from the misfit of each cell's quadratic, and say nothing of other seeds",
            ),
            // What has no numbers says its meaning.
            _ => {
                let meaning = self.entry().meaning.trim().trim_end_matches('.');
                let mut letters = meaning.chars();
                let first: String = letters.next().into_iter().flat_map(char::to_lowercase).collect();
                write!(f, "{first}{}", letters.as_str())
            }
        }
    }

    /// The sentences of what the runs do and do not show.
    fn words_of_evidence(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwinsDiffer { first, second, losses: (low, high) } => write!(
                f,
                "'{first}' and '{second}' share everything that is stated and end at {low:.3} and {high:.3}: something that no law sees differs"
            ),
            Self::PoorFit { share, misfit, noise } => {
                write!(
                    f,
                    "the law misses its own runs by {:.2} % on average ({:.1} mnat",
                    100.0 * share,
                    1e3 * misfit
                )?;
                match noise.filter(|noise| *noise > 0.0) {
                    Some(noise) => write!(f, ", {:.1} times their noise)", misfit / noise),
                    None => f.write_str(")"),
                }
            }
            Self::LastPointJumps { run, update, jump, noise } => write!(
                f,
                "run '{run}': the last point (update {update}) lies {:+.1} mnat off the line of those before it, whose noise is {:.1} mnat: it looks like another evaluation",
                1e3 * jump,
                1e3 * noise
            ),
            // So far outside the runs a bound on the cost is a number about nothing.
            Self::RatioOpen { lower, upper, cost, .. } if *cost > Self::MOST_OPEN_COST => write!(
                f,
                "these runs do not tell which ratio between {lower:.2} and {upper:.2} is the best for this target"
            ),
            Self::RatioOpen { lower, upper, cost, .. } => write!(
                f,
                "these runs leave the ratio open between {lower:.2} and {upper:.2}: another might end up to {:.0} mnat lower",
                1e3 * cost
            ),
            Self::ShortHorizon { horizon, first } => write!(
                f,
                "a horizon of {horizon} updates is hardly longer than what fits leave out (the first {first}): the law does not describe the loss there"
            ),
            Self::OneRatio { fitted } => write!(
                f,
                "all annealed runs anneal over {} of their updates: what another ratio brings comes from the law, not from these runs",
                percent(*fitted)
            ),
            Self::UnseenFinalRate { share, lowest, highest } => {
                write!(
                    f,
                    "no run fitted anneals to {} of its peak rate (there are: {}",
                    percent(*share),
                    percent(*lowest)
                )?;
                if highest - lowest > 0.005 {
                    write!(f, " … {})", percent(*highest))
                } else {
                    f.write_str(")")
                }
            }
            Self::JobUnknown { off, times } => write!(
                f,
                "the job is {:+.1} mnat off the law, {times:.1} times the half-width of its interval: it differs from the runs fitted in something the law does not know (data, batch, model, evaluation set)",
                1e3 * off
            ),
            Self::InputsChanged { files, of, since } => {
                let shown: Vec<&str> = files.iter().take(3).map(String::as_str).collect();
                write!(
                    f,
                    "{} of the {of} files of which the fit was made have changed since {since}: {}{}",
                    files.len(),
                    shown.join(", "),
                    if files.len() > shown.len() { ", …" } else { "" }
                )
            }
            Self::JobInFit { run } => write!(
                f,
                "the fit was made with '{run}' among its runs: that it agrees with the law is no evidence"
            ),
            Self::JobAnneals { lr, peak_lr } => write!(
                f,
                "the job's rate has already left its peak ({lr:.3e} of {peak_lr:.3e}): what follows holds its present rate before it anneals further"
            ),
            Self::OptimumMisfit { peak_lr, total, misfit, noise } => {
                write!(
                    f,
                    "the losses measured at the peak rate {peak_lr} and {total} updates miss one curve of the ratio by {:.1} mnat",
                    1e3 * misfit
                )?;
                match noise {
                    Some(noise) => write!(f, ", where repetitions differ by {:.1}", 1e3 * noise),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Why a distance blocks.
    fn beyond(&self, f: &mut fmt::Formatter<'_>, limit: f64) -> fmt::Result {
        if self.blocking() {
            write!(f, "; beyond ×{limit} no measurement supports a forecast")
        } else {
            Ok(())
        }
    }
}

fn mixed(f: &mut fmt::Formatter<'_>, what: &str, found: &[String]) -> fmt::Result {
    write!(f, "the runs mix {what} ({}): one law cannot describe both", found.join(", "))
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}
