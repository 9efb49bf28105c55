//! Keyword arguments → requests. Names and defaults are those of the command's flags.

use crate::options::Options;
use lehr::budget::Length;
use lehr::features::{FeatureDefinition, Momentum};
use lehr::fit::{BeginSearch, Criterion, Fit, FitOptions, Residual};
use lehr::forecast::Setting;
use lehr::recommend::RecommendOptions;
use lehr::validate::LeaveOut;
use lehr::{ArchFamily, LossKind, Params, Schedule, Shape, Steps, Tokens};
use lehr_app::export::ExportRequest;
use lehr_app::recommend::RecommendRequest;
use lehr_app::recommend_jointly::{JointRequest, stated_rate};
use lehr_app::recommend_rows::RowsRequest;
use lehr_app::running::{Job, RunningForecastRequest, RunningRequest};
use lehr_app::target::{Plan, PlanSpec, updates};
use lehr_app::validate::Splitting;
use lehr_app::{Failure, Reading};
use lehr_io::{LossUnit, MapOverrides, ReadOptions, SplitChoice};
use std::path::PathBuf;
use std::sync::Arc;

const RATE: &str = "a rate above 0 such as 3e-4";
const FINAL_RATE: &str = "a rate of at least 0 such as 3e-5";

/// What one loss stands for: `instant`, `mean:50`, `ema:0.9`.
fn loss_kind(text: &str) -> Result<LossKind, Failure> {
    let expected = "instant, mean:UPDATES (at least 1) or ema:DECAY (between 0 and 1)";
    let wrong = || {
        Failure::usage(format_args!("[[loss_kind]] is '{text}'; expected {expected}")).finding(text, expected)
    };
    match text.split_once(':') {
        None if text == "instant" => Ok(LossKind::Instant),
        Some(("mean", updates)) => match lehr::units::parse_count(updates) {
            Ok(updates) if updates > 0 => Ok(LossKind::IntervalMean(Steps(updates))),
            _ => Err(wrong()),
        },
        Some(("ema", decay)) => {
            let decay = decay.parse().ok().filter(|decay| *decay > 0.0 && *decay < 1.0);
            Ok(LossKind::Ema(decay.ok_or_else(wrong)?))
        }
        _ => Err(wrong()),
    }
}

/// Which logs to read, and how.
pub fn reading(paths: Vec<PathBuf>, options: &mut Options) -> Result<Reading, Failure> {
    let mut map = MapOverrides::default();
    for (role, column) in options.texts_by_name("map")? {
        map.add(&format!("{role}={column}"))?;
    }
    let split = match options.word("split", &["train", "val", "validation"])?.as_deref() {
        None => SplitChoice::Auto,
        Some("train") => SplitChoice::Train,
        Some(_) => SplitChoice::Validation,
    };
    let stated = options.text("stated_schedule")?;
    let schedule = stated.map(|text| schedule("stated_schedule", &text)).transpose()?;
    let kind = options.text("loss_kind")?;
    let unit = options.word("unit", &LossUnit::ALL.map(LossUnit::name))?;
    Ok(Reading {
        paths,
        manifest: options.text("manifest")?.map(PathBuf::from),
        options: ReadOptions {
            map,
            runs: options.texts("run")?,
            split,
            warmup: options.count("warmup", 0)?,
            params: options.count("params", 1)?,
            params_column: options.text("params_column")?,
            tokens_per_step: options.count("tokens_per_step", 1)?,
            samples_per_step: options.count("samples_per_step", 1)?,
            schedule,
            lr_scale: options.number("lr_scale", RATE, |rate| rate > 0.0)?,
            loss_kind: kind.as_deref().map(loss_kind).transpose()?,
            unit: unit.and_then(|name| LossUnit::ALL.into_iter().find(|unit| unit.name() == name)),
            drop_nan: options.flag("drop_nan")?,
            stitch: options.flag("stitch")?,
            max_points: None,
            manifest: None,
        },
        held: None,
    })
}

/// A schedule from its text.
pub fn schedule(name: &str, text: &str) -> Result<Schedule, Failure> {
    text.parse().map_err(|error| {
        Failure::usage(format_args!("[[{name}]] '{text}': {error}"))
            .hint("for example 'wsd:peak=1e-3,total=50k,warmup=300,ratio=0.2'")
    })
}

/// How to fit.
pub fn fit_options(options: &mut Options) -> Result<FitOptions, Failure> {
    let published = options.flag("published")?;
    let mut fit = if published {
        FitOptions {
            definition: Some(FeatureDefinition { momentum: Momentum::LoggedRows, ..Default::default() }),
            ..FitOptions::published()
        }
    } else {
        FitOptions::default()
    };
    // The published objective brings its own residual, points and warm-up, as on the command line.
    let residual = options.word("residual", &["log", "raw"])?;
    let points = if options.has("points") { Some(points(options)?) } else { None };
    let skip = options.number("skip_warmup", "a number of at least 0", |factor| factor >= 0.0)?;
    if !published {
        if residual.as_deref() == Some("raw") {
            fit.residual = Residual::Raw;
        }
        fit.points_per_curve = points.unwrap_or(fit.points_per_curve);
        fit.warmup_factor = skip.unwrap_or(fit.warmup_factor);
    }
    if let Some(delta) = options.number("huber", "a number of at least 0", |delta| delta >= 0.0)? {
        fit.criterion =
            lehr::HuberDelta::new(delta).map_or(Criterion::Squares, |delta| Criterion::Huber { delta });
    }
    fit.fixed = options.numbers_by_name("fix")?;
    fit.freed = options.texts("free")?;
    fit.bounds = options.pairs_by_name("bound")?;
    if let Some((name, (lower, upper))) = fit.bounds.iter().find(|(_, (lower, upper))| lower >= upper) {
        return Err(Failure::usage(format_args!("[[bound]] {name}: {lower} is not below {upper}")));
    }
    fit.priors = options.pairs_by_name("prior")?;
    if let Some((name, (_, sd))) = fit.priors.iter().find(|(_, (_, sd))| *sd <= 0.0) {
        return Err(Failure::usage(format_args!(
            "[[prior]] {name}: the standard deviation {sd} is not above 0"
        )));
    }
    fit.keep = options.texts("keep")?;
    match options.clone().word("first_share", &["chosen"]) {
        Ok(Some(_)) => {
            options.word("first_share", &["chosen"])?;
            fit.choose_first_share = true;
        }
        _ => {
            let expected = "'chosen' or a share of at least 0 and below 1";
            fit.first_share = options
                .number("first_share", expected, |share| (0.0..1.0).contains(&share))?
                .unwrap_or(fit.first_share);
        }
    }
    match options.clone().word("first_update", &["found"]) {
        Ok(Some(_)) => {
            options.word("first_update", &["found"])?;
            fit.begin = BeginSearch::Always;
        }
        _ => match options.count("first_update", 0)? {
            Some(update) => fit.first_update = update,
            None if published => {}
            None => fit.begin = BeginSearch::WithoutWarmup,
        },
    }
    if let Some(starts) = options.count("starts", 1)? {
        fit.starts = usize::try_from(starts).map_err(Failure::usage)?;
    }
    fit.max_iterations = options.count("max_iterations", 0)?.unwrap_or(fit.max_iterations);
    fit.seed = options.count("seed", 0)?.unwrap_or(fit.seed);
    fit.level = level(options)?.unwrap_or(fit.level);
    if options.has("momentum") {
        let momentum = match options.clone().word("momentum", &["logged"]) {
            Ok(_) => options.word("momentum", &["logged"]).map(|_| Momentum::LoggedRows)?,
            Err(_) => Momentum::Dense { stride: options.count("momentum", 1)?.unwrap_or(1), warmup: false },
        };
        fit.definition = Some(FeatureDefinition { momentum, ..Default::default() });
    }
    Ok(fit)
}

/// Points a curve: `all`, or at least 2.
fn points(options: &mut Options) -> Result<Option<usize>, Failure> {
    match options.clone().word("points", &["all"]) {
        Ok(_) => options.word("points", &["all"]).map(|_| None),
        Err(_) => match options.count("points", 2)? {
            Some(points) => usize::try_from(points).map(Some).map_err(Failure::usage),
            None => Ok(None),
        },
    }
}

/// Level of intervals.
pub fn level(options: &mut Options) -> Result<Option<lehr::Level>, Failure> {
    options
        .number("level", "a number between 0 and 1", |level| lehr::Level::new(level).is_ok())
        .map(|level| level.and_then(|level| lehr::Level::new(level).ok()))
}

/// Threads of a computation.
pub fn threads(options: &mut Options) -> Result<Option<usize>, Failure> {
    options.count("threads", 1)?.map(|threads| usize::try_from(threads).map_err(Failure::usage)).transpose()
}

/// How runs are split; one left out at a time by default.
pub fn splitting(options: &mut Options) -> Result<Splitting, Failure> {
    let (train, test) = (options.texts("train")?, options.texts("test")?);
    let left = options.word("leave_out", &["run", "schedule", "peak-lr", "peak_lr", "horizon", "size"])?;
    match (&train[..], &test[..], left.as_deref()) {
        ([], [], left) => Ok(Splitting::LeaveOut(match left {
            Some("schedule") => LeaveOut::Schedule,
            Some("peak-lr" | "peak_lr") => LeaveOut::PeakRate,
            Some("horizon") => LeaveOut::Horizon,
            Some("size") => LeaveOut::Size,
            _ => LeaveOut::Run,
        })),
        ([], _, _) => {
            Err(Failure::usage("[[test]] is given without [[train]]").hint("name the runs to fit, too"))
        }
        (_, _, Some(_)) => {
            Err(Failure::usage("[[train]] and [[leave_out]] are both given").hint("give one of them"))
        }
        _ => Ok(Splitting::Named { train, test }),
    }
}

/// The family of architectures, if one is stated.
pub fn family(options: &mut Options) -> Result<Option<ArchFamily>, Failure> {
    let word = options.word("arch", &["dense", "moe"])?;
    word.map(|word| word.parse().map_err(Failure::usage)).transpose()
}

/// What the target run is besides its schedule.
pub fn setting(options: &mut Options) -> Result<Setting, Failure> {
    Ok(Setting {
        params: options.count("params", 1)?.map(Params),
        tokens_per_step: options.count("tokens_per_step", 1)?.map(Tokens),
        arch: family(options)?,
    })
}

/// A peak rate, if one is stated.
pub fn some_peak_lr(options: &mut Options) -> Result<Option<f64>, Failure> {
    options.number("peak_lr", RATE, |rate| rate > 0.0)
}

/// A peak rate that must be given.
pub fn peak_lr(options: &mut Options) -> Result<f64, Failure> {
    some_peak_lr(options)?.ok_or_else(|| {
        Failure::usage("[[peak_lr]] is needed").hint("state the peak learning rate, such as 3e-4")
    })
}

/// The length of a run, if one is stated.
pub fn length(options: &mut Options) -> Result<Option<Length>, Failure> {
    let given: Vec<&str> =
        ["steps", "tokens", "compute"].into_iter().filter(|name| options.has(name)).collect();
    if let [first, second, ..] = given[..] {
        return Err(Failure::usage(format_args!("[[{first}]] and [[{second}]] are both given"))
            .hint("give one of them: each says how long the run is"));
    }
    let operations = "a number of operations above 0 such as 1e21";
    Ok((options.count("steps", 1)?.map(Length::Updates))
        .or(options.count("tokens", 1)?.map(Length::Tokens))
        .or(options.number("compute", operations, |value| value > 0.0)?.map(Length::Compute)))
}

/// A length that must be stated.
pub fn some_length(options: &mut Options) -> Result<Length, Failure> {
    length(options)?.ok_or_else(|| {
        Failure::usage("the horizon is missing: [[steps]], [[tokens]] or [[compute]] states it")
            .hint("for example steps=50_000, or tokens='20B'")
    })
}

/// A horizon in updates that must be given.
pub fn steps(options: &mut Options) -> Result<u64, Failure> {
    options.count("steps", 1)?.ok_or_else(|| {
        Failure::usage("[[steps]] is needed").hint("state the horizon in updates, such as 50_000")
    })
}

/// How the rate falls; linear by default.
pub fn shape(options: &mut Options) -> Result<Shape, Failure> {
    match options.text("shape")? {
        None => Ok(Shape::Linear),
        Some(text) => text.parse().map_err(Failure::usage),
    }
}

/// Final rate; 0 by default.
pub fn final_lr(options: &mut Options) -> Result<f64, Failure> {
    Ok(options.number("final_lr", FINAL_RATE, |rate| rate >= 0.0)?.unwrap_or(0.0))
}

const RATIO: &str = "a share between 0 and 1";

fn ratio(options: &mut Options) -> Result<Option<f64>, Failure> {
    options.number("ratio", RATIO, |ratio| (0.0..=1.0).contains(&ratio))
}

/// The plan of a run that is to be forecast.
pub fn plan(options: &mut Options, fit: &Fit, setting: &Setting) -> Result<Plan, Failure> {
    if let Some(text) = options.text("schedule")? {
        for other in PLAN {
            if options.has(other) {
                return Err(Failure::usage(format_args!("a schedule and [[{other}]] are both given"))
                    .hint("the schedule says it all: give one of them"));
            }
        }
        return schedule("schedule", &text).map(Plan::Schedule);
    }
    let total = length(options)?.map(|length| updates(fit, length, setting)).transpose()?;
    PlanSpec {
        peak_lr: some_peak_lr(options)?,
        total,
        warmup: options.count("warmup", 0)?,
        ratio: ratio(options)?,
        anneal_steps: options.count("anneal_steps", 0)?,
        anneal_from: options.count("anneal_from", 0)?,
        cosine: options.flag("cosine")?,
        shape: shape(options)?,
        final_lr: final_lr(options)?,
    }
    .plan()
}

/// What a schedule says.
const PLAN: [&str; 11] = [
    "peak_lr",
    "steps",
    "tokens",
    "compute",
    "ratio",
    "anneal_steps",
    "anneal_from",
    "cosine",
    "warmup",
    "shape",
    "final_lr",
];

/// Refuses what says nothing about a running job, whose log tells it.
fn not_running(options: &Options, names: &[&str]) -> Result<(), Failure> {
    match names.iter().find(|name| options.has(name)) {
        Some(name) => Err(Failure::usage(format_args!("[[{name}]] and [[running]] are both given"))
            .hint("a running job is asked about as its log shows it")),
        None => Ok(()),
    }
}

/// A running job: its log, and what is left open.
pub fn job(options: &mut Options, fit: &Fit, paths: Vec<PathBuf>) -> Result<Job, Failure> {
    not_running(options, &["schedule", "peak_lr", "cosine"])?;
    let setting = setting(options)?;
    let total = length(options)?.map(|length| updates(fit, length, &setting)).transpose()?;
    let mut reading = Reading::of(paths);
    reading.options.warmup = options.count("warmup", 0)?;
    Ok(Job {
        fit: fit.clone(),
        reading,
        setting,
        total,
        shape: shape(options)?,
        final_lr: final_lr(options)?,
    })
}

/// The forecast of a running job.
pub fn forecast_running(
    options: &mut Options,
    fit: &Fit,
    paths: Vec<PathBuf>,
) -> Result<RunningForecastRequest, Failure> {
    Ok(RunningForecastRequest {
        job: job(options, fit, paths)?,
        anneal_from: options.count("anneal_from", 0)?,
        anneal_steps: options.count("anneal_steps", 0)?,
        ratio: ratio(options)?,
        at: options.counts("at", 0)?,
        level: level(options)?,
    })
}

/// When a running job should begin to anneal.
pub fn recommend_running(
    options: &mut Options,
    fit: &Fit,
    paths: Vec<PathBuf>,
) -> Result<RunningRequest, Failure> {
    not_running(options, &["ratio_range", "max_anneal_steps", "optimise_shape", "free_schedule"])?;
    Ok(RunningRequest {
        job: job(options, fit, paths)?,
        anneal_steps: options.counts("anneal_steps", 1)?,
        anneal_from: options.counts("anneal_from", 1)?,
        tolerance: tolerance(options)?,
        export: export(options)?,
    })
}

/// What a recommendation is for.
pub fn recommend(options: &mut Options, fit: &Arc<Fit>) -> Result<RecommendRequest, Failure> {
    for name in ["anneal_steps", "anneal_from"] {
        if options.has(name) {
            return Err(Failure::usage(format_args!(
                "[[{name}]] is about a job that is running: [[running]] names its log"
            ))
            .hint("fit.forecast() takes it for a run that has not begun"));
        }
    }
    let setting = setting(options)?;
    let total = updates(fit, some_length(options)?, &setting)?;
    let (peak_lr, shape) = (peak_lr(options)?, shape(options)?);
    shared(options, fit, setting, peak_lr, total, shape)
}

fn shared(
    options: &mut Options,
    fit: &Arc<Fit>,
    setting: Setting,
    peak_lr: f64,
    total: u64,
    shape: Shape,
) -> Result<RecommendRequest, Failure> {
    Ok(RecommendRequest {
        fit: Arc::clone(fit),
        peak_lr,
        total,
        warmup: options.count("warmup", 0)?,
        shape,
        final_lr: final_lr(options)?,
        setting,
        options: search(options)?,
        optimise_shape: options.flag("optimise_shape")?,
        free_schedule: options.flag("free_schedule")?,
        measured: None,
        export: export(options)?,
    })
}

/// What several recommendations are for: every combination of sizes, peak rates and shapes.
pub fn recommend_rows(options: &mut Options, fit: &Arc<Fit>) -> Result<RowsRequest, Failure> {
    let sizes = options.counts("params", 1)?;
    let peak_lrs = options.numbers("peak_lr", RATE, |rate| rate > 0.0)?;
    let shapes = options.texts("shape")?;
    let mut shapes = shapes
        .iter()
        .map(|text| text.parse().map_err(Failure::usage))
        .collect::<Result<Vec<Shape>, Failure>>()?;
    if shapes.is_empty() {
        shapes.push(Shape::Linear);
    }
    let (Some(&peak_lr), Some(&shape)) = (peak_lrs.first(), shapes.first()) else {
        return Err(Failure::usage("[[peak_lr]] is needed"));
    };
    let length = some_length(options)?;
    let setting = setting(options)?;
    let shared = shared(options, fit, setting, peak_lr, 0, shape)?;
    if shared.optimise_shape || shared.free_schedule || shared.export.is_some() {
        return Err(Failure::usage("exports and free shapes are of one target, and several were named")
            .hint("name one peak rate, one shape and one N"));
    }
    Ok(RowsRequest { shared, length, params: sizes.into_iter().map(Params).collect(), peak_lrs, shapes })
}

/// What is to be chosen together: peak rate, batch and ratio.
pub fn recommend_jointly(options: &mut Options, fit: &Arc<Fit>) -> Result<JointRequest, Failure> {
    let chosen = options.texts("optimise")?;
    let (mut rate, mut batch) = (false, false);
    for what in &chosen {
        match what.as_str() {
            "peak_lr" | "peak-lr" => rate = true,
            "batch" => batch = true,
            "ratio" => {}
            other => {
                return Err(Failure::usage(format_args!(
                    "[[optimise]] names '{other}'; expected peak_lr, batch or ratio"
                )));
            }
        }
    }
    let alone = ["optimise_shape", "free_schedule", "export", "from_step"];
    if let Some(name) = alone.into_iter().find(|name| options.has(name)) {
        return Err(Failure::usage(format_args!(
            "[[{name}]] is about one peak rate and batch, which [[optimise]] has yet to choose"
        ))
        .hint("ask again with the peak rate and batch that it recommends"));
    }
    let peak_lr = stated_rate(some_peak_lr(options)?, rate)?;
    let expected = "two rates above 0, the smaller first, such as (2e-4, 4e-3)";
    let peak_lr_range = options.pair("peak_lr_range", expected)?;
    if peak_lr_range.is_some_and(|(low, high)| !(low > 0.0 && low <= high)) {
        return Err(Failure::usage(format_args!("[[peak_lr_range]] is no range; expected {expected}")));
    }
    let expected = "two batches in tokens, the smaller first, such as ('128k', '2M')";
    let batch_range = match options.counts("batch_range", 1)?[..] {
        [] => None,
        [low, high] if low <= high => Some((low, high)),
        _ => return Err(Failure::usage(format_args!("[[batch_range]] is no range; expected {expected}"))),
    };
    Ok(JointRequest {
        fit: Fit::clone(fit),
        length: some_length(options)?,
        peak_lr,
        peak_lr_range,
        batch,
        batch_range,
        warmup: options.count("warmup", 0)?,
        shape: shape(options)?,
        final_lr: final_lr(options)?,
        setting: setting(options)?,
        options: search(options)?,
    })
}

fn tolerance(options: &mut Options) -> Result<f64, Failure> {
    Ok(options.number("tolerance", "a number of mnat", |_| true)?.unwrap_or(2.0) * 1e-3)
}

/// Limits of the search for a ratio.
pub fn search(options: &mut Options) -> Result<RecommendOptions, Failure> {
    let expected = "two ratios (lower, upper) within 0 … 1";
    let range = options.pair("ratio_range", expected)?.unwrap_or((0.0, 1.0));
    if !(range.0 >= 0.0 && range.0 <= range.1 && range.1 <= 1.0) {
        return Err(Failure::usage(format_args!("[[ratio_range]] is {range:?}; expected {expected}")));
    }
    // Taken here for the search and left for the export.
    let from_step = options.clone().count("from_step", 0)?;
    Ok(RecommendOptions {
        range,
        max_anneal_steps: options.count("max_anneal_steps", 0)?,
        from_step,
        tolerance: tolerance(options)?,
        ..RecommendOptions::default()
    })
}

/// Which trainer's configuration to write.
pub fn export(options: &mut Options) -> Result<Option<ExportRequest>, Failure> {
    let from_step = options.count("from_step", 0)?;
    match options.text("export")? {
        Some(target) => Ok(Some(ExportRequest { target, from_step })),
        None if from_step.is_some() => Err(Failure::usage("[[from_step]] is given without [[export]]")),
        None => Ok(None),
    }
}
