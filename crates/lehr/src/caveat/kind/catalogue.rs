//! The catalogue: every kind with its values, code, importance, severity, meaning and remedy. `docs/caveats.md` is written from it.
//!
//! One table, because an enumeration is one; its parts, each behind a comment: what makes a number wrong whatever is asked; what runs and
//! answer leave open; what the data hide; what is taken for granted; training and sweeps; the report of `reproduce`. A new kind is an entry
//! in its part: variant with its values = code, rank (0 is the most important), when it blocks, meaning, remedy.

use super::{Blocks, Entry};
use crate::curve::ArchFamily;
use serde::{Deserialize, Serialize};

kinds! {
    // What makes a fit or a number wrong, whatever is asked.
    MixedDatasets {
        /// Names of the data sets.
        found: Vec<String>
    } = "mixed-datasets", 0, Blocks::Always,
        "The losses were measured on different data sets; one law cannot describe both.",
        "choose runs of one data set with [[run]]";
    MixedSplits {
        /// The splits.
        found: Vec<String>
    } = "mixed-splits", 0, Blocks::Always,
        "Training and validation losses are mixed; they differ by more than schedules do.",
        "choose one with [[split]]";
    MixedArchitectures {
        /// The architectures.
        found: Vec<String>
    } = "mixed-architectures", 0, Blocks::Always,
        "Dense models and mixtures of experts are mixed; one law cannot describe both.",
        "choose runs of one architecture with [[run]]";
    MixedCounts {
        /// The conventions.
        found: Vec<String>
    } = "mixed-counts", 0, Blocks::Always,
        "Parameters are counted by different conventions, so sizes cannot be compared.",
        "state N by one convention in a manifest, or choose runs with [[run]]";
    RoundedLosses {
        /// The run.
        run: String
    } = "rounded-losses", 1, Blocks::Always,
        "Every loss has two digits behind the point or fewer; schedules differ by less than that.",
        "read a log that holds more digits";
    ScheduleContradictsLog {
        /// The run.
        run: String,
        /// Largest difference, as a share of the peak rate.
        share: f64
    } = "schedule-contradicts-log", 1, Blocks::Always,
        "The stated schedule and the logged rates differ by more than 10 % of the peak rate.",
        "correct the stated schedule, or leave it out where the log holds the rates";
    NotConverged {
        /// Iterations taken.
        iterations: u64
    } = "not-converged", 1, Blocks::Always,
        "The solver stopped before it had found the best coefficients.",
        "raise [[max_iterations]]";
    TrainingDiverged {
        /// The update at which it did.
        update: u64,
        /// Updates planned.
        of: u64,
        /// What was not finite or too large.
        quantity: String,
        /// Points before.
        points: u64
    } = "training-diverged", 1, Blocks::Always,
        "The run that was trained here diverged; its points before that are kept.",
        "train again with a lower peak rate or a longer warm-up";

    // What the runs and the answer leave open.
    BeginFound {
        /// The first update fitted.
        update: u64
    } = "begin-found", 0, Blocks::Never,
        "Fitting begins where the law can hold: before that update its errors have a trend, because the rates do not show the warm-up or the first updates follow no law.",
        "state another update with [[first_update]] (0: every point), or the warm-up with [[warmup]]";
    TwinsDiffer {
        /// One run.
        first: String,
        /// The other.
        second: String,
        /// Their last losses.
        losses: (f64, f64)
    } = "same-configuration-differs", 0, Blocks::Never,
        "Runs that share everything the logs state end at different losses: something that is not stated (N, batch, data) differs, and no law sees it.",
        "state what differs in a manifest ([[params]] for one N of all runs), or leave runs out with [[run]]";
    PoorFit {
        /// Mean relative error.
        share: f64,
        /// Mean error, nats.
        misfit: f64,
        /// Standard deviation of one point, or of a bin of single batches, nats, where it is known.
        noise: Option<f64>
    } = "poor-fit", 1, Blocks::When("beyond a mean error of 1.5 %"),
        "The law misses its runs by more than their points scatter: what it says of others is worth no more.",
        "look for runs of another kind with `lehr inspect`, or try another [[law]]";
    LastPointJumps {
        /// The run.
        run: String,
        /// The last update.
        update: u64,
        /// How far it lies above the points before it, nats.
        jump: f64,
        /// Standard deviation of one point, nats.
        noise: f64
    } = "last-point-jumps", 1, Blocks::Never,
        "The last point lies far off the line of those before it: an evaluation of another kind (test set, other number of batches) was appended.",
        "delete that row, or leave the run out with [[run]]";
    RatioOpen {
        /// The ratio recommended.
        ratio: f64,
        /// Lower end of its interval.
        lower: f64,
        /// Upper end of its interval.
        upper: f64,
        /// How much lower another ratio might end, nats.
        cost: f64
    } = "ratio-open", 2, Blocks::When("where another ratio might end more than 20 mnat lower"),
        "These runs leave open which ratio is best, and another might end lower by more than the tolerance.",
        "add branches from one checkpoint with ratios on both sides of this one, at this peak rate and near this horizon; each costs its share of a run";
    WholeRunAnnealing = "whole-run-annealing", 2, Blocks::Always,
        "Runs anneal all along or not at all: what a shorter annealing brings was never seen, and the ratio may be far off.",
        "add one branch that anneals over the last 10–50 % of a stable run; it costs that share of one run";
    ShortHorizon {
        /// The target's horizon.
        horizon: u64,
        /// The first update that was fitted.
        first: u64
    } = "short-horizon", 2, Blocks::Always,
        "The target is hardly longer than the warm-up that fits leave out; the law does not describe the loss there.",
        "ask for a longer run, or state a shorter [[warmup]] for runs that have one";
    OneRatio {
        /// The annealing share of the runs that anneal.
        fitted: f64
    } = "one-ratio", 9, Blocks::Never,
        "All annealed runs have one ratio, and the recommendation is another: how the loss depends on the ratio comes from the law, not from these runs.",
        "add a branch from a checkpoint with a ratio near the recommended one";
    SizeWithPeakRate {
        /// Sizes.
        sizes: u64
    } = "size-with-peak-rate", 9, Blocks::Never,
        "Size and peak rate were only changed together: what one of them does cannot be told from what the other does.",
        "add one short run of a size that you have at the peak rate of another";
    UnseenFinalRate {
        /// Final rate over peak rate.
        share: f64,
        /// Lowest among the annealed runs fitted.
        lowest: f64,
        /// Highest among them.
        highest: f64
    } = "unseen-final-rate", 10, Blocks::Never,
        "No run fitted anneals to such a share of the peak rate.",
        "add one run that anneals to that rate";
    JobUnknown {
        /// Loss of the job less that of the law, nats.
        off: f64,
        /// The same in half-widths of its interval.
        times: f64
    } = "job-unknown-to-law", 2, Blocks::When("beyond twice the half-width of its interval"),
        "The running job is off the law: it differs from the runs fitted in something the law does not know (data, batch, model, evaluation set).",
        "see what differs with `lehr inspect`, and fit runs that share it";
    InputsChanged {
        /// Files that have changed.
        files: Vec<String>,
        /// Of how many.
        of: u64,
        /// When the fit was made.
        since: String
    } = "inputs-changed", 7, Blocks::Never,
        "Files of which the fit was made have changed since.",
        "fit again to use what is new";
    JobInFit {
        /// The job.
        run: String
    } = "job-in-fit", 9, Blocks::Never,
        "The fit was made with the job among its runs; that it agrees with the law is no evidence.",
        "fit without it";
    JobAnneals {
        /// Its present rate.
        lr: f64,
        /// Its peak rate.
        peak_lr: f64
    } = "job-anneals", 9, Blocks::Never,
        "The job's rate has already left its peak: what follows holds its present rate before it anneals further.",
        "";
    OptimumMisfit {
        /// Peak rate of the cell.
        peak_lr: f64,
        /// Its horizon.
        total: u64,
        /// Misfit of the quadratic, nats.
        misfit: f64,
        /// Noise of a final loss, nats, where there are twins.
        noise: Option<f64>
    } = "optimum-misfit", 4, Blocks::Never,
        "The measured losses of a cell do not lie on one curve of the ratio: a run among them may be of another kind, and its optimum is worth little.",
        "look at the runs of that cell with `lehr inspect`, and leave the odd one out with [[run]]";
    NoAnnealing = "no-annealing", 2, Blocks::Always,
        "No run anneals: nothing is known about what annealing brings.",
        "add one run that anneals; a branch from a checkpoint of a run you have is the cheapest";
    FewRuns {
        /// Runs fitted.
        runs: u64,
        /// The ratio found.
        ratio: f64
    } = "few-runs", 2, Blocks::Always,
        "Fewer than three runs: how annealing trades against descent is not known, and the ratio may be far off.",
        "add a run with another annealing ratio or horizon; a branch from a checkpoint is the cheapest";
    OtherArchitecture {
        /// Of the runs fitted.
        found: ArchFamily,
        /// Of the target.
        target: ArchFamily
    } = "other-architecture", 2, Blocks::Always,
        "The target has another architecture than the runs fitted; laws and ratios were never shown to carry over.",
        "fit runs of the target's architecture";
    UnstablePeakRate {
        /// The run that diverged.
        run: String,
        /// Its peak rate.
        peak_lr: f64
    } = "unstable-peak-rate", 2, Blocks::Always,
        "A run diverged at this peak rate or below, and none was stable there; a law says nothing about divergence.",
        "choose a peak rate at which a run was stable, or add one stable run at this rate";
    UnseenPeakRate {
        /// The target's rate over the nearest fitted, or its inverse.
        factor: f64,
        /// The target's.
        peak_lr: f64,
        /// That of the runs fitted.
        fitted: f64
    } = "unseen-peak-rate", 3, Blocks::Always,
        "The target has another peak rate than the runs fitted, which have one rate only.",
        "add one short run at another rate and fit again";
    UnseenSize {
        /// The target's N over that fitted, or its inverse; `None` where the runs do not state theirs.
        factor: Option<f64>,
        /// N of the runs fitted.
        fitted: Option<f64>
    } = "unseen-size", 3, Blocks::Always,
        "The target has another size than the runs fitted, which have one size or state none; the forecast is for their size.",
        "leave [[params]] out to forecast for the size of the runs, or add runs of two more sizes (with N stated)";
    UnseenBatch {
        /// The target's batch over the nearest fitted, or its inverse.
        factor: f64,
        /// Smallest batch fitted, tokens.
        smallest: f64,
        /// Largest batch fitted, tokens.
        largest: f64,
        /// The law, where it counts updates and knows no batch.
        blind_law: Option<String>
    } = "unseen-batch", 4, Blocks::When("beyond ×4 from runs of one batch"),
        "The target has another batch than the runs fitted; how the loss depends on it is assumed.",
        "add one run at a batch a factor of 2 to 8 away";
    ExtrapolatesHorizon {
        /// The target's horizon over the longest annealed run fitted.
        factor: f64,
        /// That run's updates.
        longest: f64
    } = "extrapolates-horizon", 4, Blocks::When("beyond ×10"),
        "The target is longer than any annealed run fitted; beyond ×10 no measurement supports a forecast.",
        "add one longer annealed run, or wait until a run that you have has gone on";
    ExtrapolatesPeakRate {
        /// The target's rate over the nearest fitted, or its inverse.
        factor: f64,
        /// The target's.
        peak_lr: f64,
        /// Lowest rate fitted.
        lowest: f64,
        /// Highest rate fitted.
        highest: f64
    } = "extrapolates-peak-rate", 4, Blocks::When("beyond ×4"),
        "The target's peak rate lies outside the runs fitted; beyond ×4 no measurement supports a forecast.",
        "add one short run at the target's peak rate";
    ExtrapolatesSize {
        /// The target's N over the nearest fitted, or its inverse.
        factor: f64,
        /// Smallest N fitted.
        smallest: f64,
        /// Largest N fitted.
        largest: f64
    } = "extrapolates-size", 4, Blocks::When("beyond ×30"),
        "The target's N lies outside the runs fitted; beyond ×30 no measurement supports a forecast.",
        "add one run of a size nearer to the target's";
    NoStableRun = "no-stable-run", 8, Blocks::Never,
        "Every run anneals all along, which leaves descent and annealing hard to tell apart.",
        "add one run with a constant rate; it may be short";
    NotIdentifiable {
        /// The coefficients.
        coefficients: Vec<String>
    } = "not-identifiable", 20, Blocks::Never,
        "Several sets of coefficients describe these runs equally well. Between runs like these the forecast does not depend on which; far from them it does.",
        "add a run that differs from the others in schedule, horizon, peak rate or size";

    // What the data hide.
    Diverged {
        /// The run.
        run: String,
        /// The update after which the loss rose for good.
        update: u64
    } = "diverged", 5, Blocks::Never,
        "The loss rose by more than 10 % and stayed up; a fit leaves such a run out.",
        "leave the run out with [[run]], or cut its log before that update";
    LevelBreak {
        /// The run.
        run: String,
        /// The row before.
        before: u64,
        /// The row after.
        after: u64
    } = "level-break", 5, Blocks::Never,
        "The level of the loss changes between two rows as no schedule does: another evaluation set, tokenizer, or scale of the loss.",
        "cut the log there, or leave the run out with [[run]]";
    LossLeftOut {
        /// The run.
        run: String,
        /// Rows left out.
        rows: u64,
        /// The update of the first.
        first: u64,
        /// How many of them are the last rows.
        tail: u64
    } = "loss-left-out", 6, Blocks::Never,
        "Rows without a usable loss were left out, as asked; where they are the last rows, the run diverged.",
        "";
    LeftOut {
        /// The run.
        run: String,
        /// Whether it diverged; else it never learned.
        diverged: bool,
        /// The loss at its end.
        loss: f64,
        /// What that is compared with.
        against: f64
    } = "left-out", 6, Blocks::Never,
        "A run was left out of the fit because it diverged or never learned.",
        "[[keep]] NAME takes it in";
    LeftOutBreak {
        /// The run.
        run: String,
        /// The loss before the break.
        before: f64,
        /// The loss after it.
        after: f64
    } = "left-out-break", 6, Blocks::Never,
        "A run was left out of the fit because the level of its loss changes as no schedule does.",
        "cut its log at the break, or take it in with [[keep]] NAME";
    LeftOutShort {
        /// How many.
        runs: u64,
        /// The first of them.
        first: String
    } = "left-out-short", 7, Blocks::Never,
        "Runs of which the final loss alone is known were left out because they end before fitting begins (1.3 × the warm-up).",
        "";
    SmoothedLoss {
        /// The run.
        run: String,
        /// How far the average lags behind, updates, where it is known.
        #[serde(default)]
        lag: Option<f64>,
        /// How much higher it therefore is at the end of the run, nats.
        #[serde(default)]
        effect: Option<f64>
    } = "smoothed-loss", 6, Blocks::Never,
        "The losses are a moving average, which lags behind the loss, most of all during annealing.",
        "log the losses themselves, or state the decay with [[loss_kind]] ema:DECAY: it is undone where rows are dense enough";
    UnknownUnit {
        /// The run.
        run: String,
        /// Column of the losses.
        loss: String,
        /// Column of the perplexities.
        perplexity: String,
        /// Median of ln(perplexity)/loss: 1 for nats, 0.693 for bits.
        ratio: f64
    } = "unknown-unit", 5, Blocks::Never,
        "The perplexity beside the loss is neither e^loss nor 2^loss: one of them is not what its name says. The losses are taken as nats.",
        "state the unit with [[unit]], or map the right column with [[map]]";
    LossPerByte {
        /// The run.
        run: String
    } = "loss-per-byte", 9, Blocks::Never,
        "The losses are counted a byte of text, not a token; forecasts are, too.",
        "";
    MixedUnits {
        /// A run whose losses are counted a byte.
        per_byte: String,
        /// One whose losses are counted a token.
        per_token: String
    } = "mixed-units", 0, Blocks::Always,
        "Some losses are counted a byte of text and others a token; one law cannot describe both.",
        "choose runs of one unit with [[run]]";
    StatedFinalApart {
        /// The run.
        run: String,
        /// The loss that its manifest states for the end.
        stated: f64,
        /// The last loss of its own log.
        logged: f64,
        /// The usual difference of the two among the other runs.
        usual: f64
    } = "stated-final-apart", 5, Blocks::Never,
        "The final loss that the manifest states for a run stands apart from its own curve by far more than those of the other runs do.",
        "correct the manifest, or leave the run out with [[run]]";
    LrMultiplier {
        /// The run.
        run: String,
        /// What 1 is taken for, and where that stands, if the log says it.
        scale: Option<(String, f64)>
    } = "lr-multiplier", 6, Blocks::Never,
        "The log holds the rate as a multiple of its peak. Where nothing says what 1 stands for, the run cannot be fitted together with runs whose rates are known.",
        "state the rate that 1 stands for with [[lr_scale]]";
    ScheduleDiffersFromLog {
        /// The run.
        run: String,
        /// Largest difference, as a share of the peak rate.
        share: f64
    } = "schedule-differs-from-log", 7, Blocks::Never,
        "The stated schedule and the logged rates differ by 1–10 % of the peak rate.",
        "correct the stated schedule, or leave it out where the log holds the rates";
    MixedBatches {
        /// Batches in tokens.
        found: Vec<String>,
        /// The law, which counts updates.
        law: String
    } = "mixed-batches", 7, Blocks::Never,
        "The runs differ in batch size, and the law knows updates, not tokens.",
        "fit runs of one batch size ([[run]]), or a law that knows the batch ([[law]] noise-relaxation)";
    BatchRamp {
        /// The run.
        run: String,
        /// Least in an update.
        least: f64,
        /// Most in an update.
        most: f64,
        /// Whether tokens are counted; else samples.
        tokens: bool
    } = "batch-ramp", 7, Blocks::Never,
        "The batch grows during the run; laws take it as constant.",
        "";
    GuessedBatch {
        /// Samples an update.
        samples: u64
    } = "guessed-batch", 8, Blocks::Never,
        "The log counts samples and does not state the batch, which is guessed from the distance of its rows.",
        "state it with [[samples_per_step]]";
    DownSampled {
        /// The run.
        run: String
    } = "down-sampled", 8, Blocks::Never,
        "The chart's export holds averages over ranges of steps.",
        "read the run's .wandb file, which holds every step";
    Spikes {
        /// The run.
        run: String,
        /// Updates at which the loss jumps up and comes back.
        updates: Vec<u64>
    } = "spikes", 30, Blocks::Never,
        "The loss jumps up and comes back; the points are kept, and the fit gives them little weight.",
        "";
    StrayRates {
        /// The run.
        run: String,
        /// Update and rate of each.
        rows: Vec<(u64, f64)>
    } = "stray-rates", 30, Blocks::Never,
        "One or two logged rates fit no schedule and are left out.",
        "";

    // What a fit or a forecast takes for granted.
    OnePeakRate {
        /// The rate.
        peak_lr: f64
    } = "one-peak-rate", 10, Blocks::Never,
        "All runs have one peak rate: how the loss depends on it is assumed, not measured.",
        "to compare peak rates, add one short run at twice or half of it";
    IntervalIsLowerBound = "interval-is-lower-bound", 9, Blocks::Never,
        "Fewer than three runs: the interval comes from residuals alone and is too narrow (such intervals covered about a fifth of what they claim).",
        "three runs that differ in schedule give an honest interval";
    AcrossArchitectures {
        /// Of the optima.
        found: ArchFamily,
        /// Of the target.
        target: ArchFamily
    } = "across-architectures", 9, Blocks::Never,
        "Optima of one architecture are used for a target of another, as asked; no transfer between architectures has been shown.",
        "";
    UnseenShape {
        /// The target's.
        shape: String,
        /// Those of the runs fitted.
        fitted: Vec<String>
    } = "unseen-shape", 10, Blocks::Never,
        "No run fitted anneals in the target's shape.",
        "add one run that anneals in that shape";
    RatioAtLimit {
        /// The ratio.
        ratio: f64,
        /// Lowest allowed.
        lowest: f64,
        /// Highest allowed.
        highest: f64
    } = "ratio-at-limit", 11, Blocks::Never,
        "The best ratio is at the limit of what was allowed; beyond it the loss may be lower still.",
        "widen [[ratio_range]] or [[max_anneal_steps]], where they were given";
    RangeLimit {
        /// What was varied.
        what: String,
        /// The best value.
        value: f64,
        /// Lowest allowed.
        lowest: f64,
        /// Highest allowed.
        highest: f64
    } = "at-range-limit", 11, Blocks::Never,
        "The best peak rate or batch is at the limit of what was allowed.",
        "widen the range";
    FewSizes {
        /// How many.
        sizes: u64
    } = "few-sizes", 12, Blocks::Never,
        "Two or three sizes do not determine the floor and the exponent of N together; the exponent is assumed.",
        "four sizes would determine both";
    IntervalWidened {
        /// Relative half-width.
        half_width: f64,
        /// What adds to it, in words.
        reasons: Vec<String>
    } = "interval-widened", 12, Blocks::Never,
        "The target lies outside the runs fitted, and the interval is wider for that.",
        "";
    AssumedBatch {
        /// Tokens an update.
        tokens: u64
    } = "assumed-batch", 13, Blocks::Never,
        "The runs fitted differ in batch and none was given: the forecast is for the most frequent.",
        "state it with [[tokens_per_step]]";
    FreeShape = "free-shape", 13, Blocks::Never,
        "The best shape and the free schedule are where the law is trusted furthest from its data.",
        "try them on a small run before a large one";
    AtBound {
        /// The coefficient.
        coefficient: String,
        /// Its value.
        value: f64,
        /// Whether it is the lower bound; else the upper.
        lower: bool
    } = "at-bound", 20, Blocks::Never,
        "A coefficient is at a bound that was given; the data would move it further.",
        "widen the range given with [[bound]]";
    StartsDisagree {
        /// Starts.
        starts: u64
    } = "starts-disagree", 20, Blocks::Never,
        "The best solution was found from one start only; there may be a better one.",
        "raise [[starts]]";

    // Training and sweeps.
    DataRepeat {
        /// The run, where there are several.
        run: Option<String>,
        /// Updates.
        updates: u64,
        /// Sequences an update.
        rows: u64,
        /// Passes.
        passes: f64,
        /// Training sequences.
        sequences: u64
    } = "data-repeat", 10, Blocks::Never,
        "The run passes over its data more than once; laws of a single pass do not describe the losses of later ones.",
        "give more data, or fewer updates";
    FewValidations {
        /// Runs concerned.
        runs: u64,
        /// One of them.
        first: String,
        /// Its validations.
        validations: u64,
        /// The fewest that are enough.
        enough: u64
    } = "few-validations", 10, Blocks::Never,
        "Runs validate so rarely that other verbs will take their training losses.",
        "lower validate_every";

    // The report of `reproduce`.
    Tiny = "tiny", 3, Blocks::Never,
        "Size tiny shows what comes out; models of a few thousand parameters, trained for a few updates, say nothing about language models.",
        "";
    RunLeftOut {
        /// The run.
        run: String,
        /// Why.
        why: String
    } = "run-left-out", 10, Blocks::Never,
        "A run of the sweep is not in the report.",
        "";
    LawLeftOut {
        /// The group of runs.
        group: String,
        /// Laws with the reasons.
        reasons: Vec<String>
    } = "law-left-out", 12, Blocks::Never,
        "A law could not be fitted to a group of runs.",
        "";
    SplitLeftOut {
        /// The group of runs.
        group: String
    } = "split-left-out", 12, Blocks::Never,
        "No law could be fitted to a group of runs.",
        "";
    GroupLeftOut {
        /// The group of runs.
        group: String,
        /// Why.
        why: String
    } = "group-left-out", 12, Blocks::Never,
        "A group of runs does not hold what the comparison needs.",
        "";
    OptimumAtEdge {
        /// How many.
        at_edge: u64,
        /// Of how many.
        of: u64
    } = "optimum-at-edge", 10, Blocks::Never,
        "Optima lie at the smallest or largest ratio measured: only that they lie there or beyond is known.",
        "add runs with ratios beyond";
    NoTwins = "no-twins", 14, Blocks::Never,
        "No two runs differ in the seed alone: intervals of the optima say nothing of other seeds.",
        "repeat one run with another seed";
    RatesNotTuned = "rates-not-tuned", 10, Blocks::Never,
        "All batch sizes of a group have the same peak rate; where the best rate grows with the batch, large batches are put at a disadvantage.",
        "";
    NoCollapse {
        /// The group of runs.
        group: String,
        /// Why.
        why: String
    } = "no-collapse", 12, Blocks::Never,
        "Whether updates or tokens decide cannot be said.",
        "";
    NoCriticalBatch {
        /// The group of runs.
        group: String,
        /// Why.
        why: String
    } = "no-critical-batch", 12, Blocks::Never,
        "No critical batch size could be fitted.",
        "";
    NoGradientNoise = "no-gradient-noise", 14, Blocks::Never,
        "The gradient-noise scale needs the gradient norms that a sweep's journals hold; a run store has losses alone.",
        "";
}
