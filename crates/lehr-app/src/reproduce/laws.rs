//! Every law on runs that its fit did not see: across schedules and across annealing shapes.

use super::Results;
use super::findings::{Block, Findings, Table, mnat, percent};
use crate::compare::CompareLine;
use crate::failure::Failure;
use crate::pictures::Picture;
use lehr::fit::{FitOptions, Metrics};
use lehr::schedule::Family;
use lehr::validate::{Contender, SplitOf, Validation, compare};
use lehr::{ArchFamily, Caveat, CaveatKind, Curve, Schedule, Shape, law};
use lehr_report::{ComparisonEntry, ComparisonPicture};
use serde::Serialize;
use std::collections::BTreeMap;

/// Every law on one fold of one group of runs.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct LawFold {
    /// `dense` or `moe`.
    pub arch: ArchFamily,
    /// Data set.
    pub dataset: String,
    /// What was fitted → what was judged.
    pub fold: String,
    /// Runs fitted.
    pub fitted: usize,
    /// Runs judged.
    pub judged: usize,
    /// Laws, best first.
    pub laws: Vec<CompareLine>,
}

/// What the experiment `laws` found.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct LawsFound {
    /// One an architecture, data set and fold.
    pub folds: Vec<LawFold>,
}

/// A law on the runs of one shape.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct OnShape {
    /// The shape, or `cosine over the whole run`.
    pub shape: String,
    /// Runs of it.
    pub runs: usize,
    /// Means over them.
    pub errors: Metrics,
    /// Mean of (L̂ − L)/L at the last point, a fraction.
    pub final_signed: f64,
}

/// A law that was fitted on linear annealing.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct LawOnShapes {
    /// Name.
    pub law: String,
    /// Coefficients estimated.
    pub n_coefficients: usize,
    /// Means over the runs fitted.
    pub fitted: Metrics,
    /// One a shape.
    pub shapes: Vec<OnShape>,
}

/// Laws on the shapes of one group of runs.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct ShapeGroup {
    /// `dense` or `moe`.
    pub arch: ArchFamily,
    /// Data set.
    pub dataset: String,
    /// Runs of linear annealing fitted.
    pub linear: usize,
    /// Runs at constant rate fitted.
    pub constant: usize,
    /// Runs of other shapes judged.
    pub judged: usize,
    /// Laws, best first.
    pub laws: Vec<LawOnShapes>,
}

/// What the experiment `shapes` found.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct ShapesFound {
    /// One an architecture and data set.
    pub groups: Vec<ShapeGroup>,
}

/// The options of every fit here: fewer starts than `lehr fit`, because ten laws are fitted several times.
fn options() -> FitOptions {
    FitOptions { starts: 6, ..FitOptions::default() }
}

/// Runs of one architecture and data set.
fn groups(curves: &[Curve]) -> Vec<(ArchFamily, String, Vec<Curve>)> {
    let mut groups: BTreeMap<(ArchFamily, String), Vec<Curve>> = BTreeMap::new();
    for curve in curves {
        let meta = curve.meta();
        let dataset = meta.dataset.clone().unwrap_or_else(|| "unstated data".to_owned());
        groups.entry((meta.arch.family(), dataset)).or_default().push(curve.clone());
    }
    groups.into_iter().map(|((arch, dataset), curves)| (arch, dataset, curves)).collect()
}

fn of_family(curves: &[Curve], wanted: impl Fn(Family) -> bool) -> Vec<usize> {
    (0..curves.len()).filter(|&i| wanted(curves[i].schedule().family())).collect()
}

/// The splits that a group of runs allows.
fn schedule_splits(curves: &[Curve]) -> Vec<SplitOf> {
    let cosine = of_family(curves, |family| family == Family::Cosine);
    let wsd = of_family(curves, |family| family == Family::Wsd);
    let longest = curves.iter().map(|c| c.schedule().total().0).max().unwrap_or(0);
    let (long, short) = (0..curves.len()).partition(|&i| curves[i].schedule().total().0 == longest);
    [
        ("cosine → WSD", cosine.clone(), wsd.clone()),
        ("WSD → cosine", wsd, cosine),
        ("shorter horizons → longest", short, long),
    ]
    .into_iter()
    .filter(|(_, train, test)| !train.is_empty() && !test.is_empty())
    .map(|(name, train, test)| SplitOf { name: name.to_owned(), train, test })
    .collect()
}

/// A comparison as a picture, in thousandths of a nat.
fn picture(title: String, metric: &str, entries: Vec<ComparisonEntry>) -> Picture {
    Box::new(ComparisonPicture {
        title,
        subtitle: None,
        caption: None,
        metric: metric.to_owned(),
        coverage: 0.9,
        entries,
    })
}

/// The laws that could be fitted, best first.
fn fitted(entries: &[(String, Contender)]) -> Vec<(&str, &Validation, &Contender)> {
    entries.iter().filter_map(|(name, c)| c.validation.as_ref().ok().map(|v| (name.as_str(), v, c))).collect()
}

/// The laws that could not be fitted, as a caveat.
fn left_out(what: &str, entries: &[(String, Contender)], caveats: &mut Vec<Caveat>) {
    let reasons: Vec<String> = entries
        .iter()
        .filter_map(|(name, c)| c.validation.as_ref().err().map(|error| format!("{name} ({error})")))
        .collect();
    if !reasons.is_empty() {
        caveats.push(CaveatKind::LawLeftOut { group: what.to_owned(), reasons }.into());
    }
}

/// A name for a file.
fn file(words: &[&str]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = words.join("-").chars().filter(|c| *c != '→').map(plain).collect();
    let parts: Vec<&str> = text.split('-').filter(|part| !part.is_empty()).collect();
    format!("{}.svg", parts.join("-"))
}

/// Fits on one kind of schedule and judges on another.
pub fn transfer(curves: &[Curve], store: &str) -> Result<Findings, Failure> {
    let laws = law::all();
    let (mut summary, mut blocks, mut caveats) = (Vec::new(), Vec::new(), Vec::new());
    let (mut pictures, mut results) = (Vec::new(), Vec::new());
    for (arch, dataset, runs) in groups(curves) {
        for split in schedule_splits(&runs) {
            let what = format!("{arch}, {dataset}, {}", split.name);
            let entries = compare(&laws, &runs, std::slice::from_ref(&split), &options());
            left_out(&what, &entries, &mut caveats);
            let good = fitted(&entries);
            let Some((best, first, _)) = good.first() else {
                caveats.push(CaveatKind::SplitLeftOut { group: what.clone() }.into());
                continue;
            };
            let error = |name: &str| {
                let found = good.iter().find(|(law, ..)| *law == name);
                found
                    .map_or_else(|| "not fitted".to_owned(), |(_, v, _)| format!("{} mnat", mnat(v.test.mae)))
            };
            summary.push(format!(
                "{what}: {best} is closest to the {} runs held out, mean error {} mnat ({}); forward-momentum (ASMT) {}, CMMT {}",
                split.test.len(),
                mnat(first.test.mae),
                percent(first.test.mape),
                error("forward-momentum"),
                error("cmmt"),
            ));
            blocks.push(Block::Heading(what.clone()));
            blocks.push(Block::Text(format!(
                "Fitted on {} runs, judged on {}. Means over runs; errors after the warm-up.",
                split.train.len(),
                split.test.len()
            )));
            let mut table = Table::new([
                "law",
                "free",
                "fitted mnat",
                "held out mnat",
                "RMSE mnat",
                "MAPE",
                "last loss",
                "behind the best",
            ]);
            for (name, v, c) in &good {
                table.row([
                    (*name).to_owned(),
                    v.n_coefficients.to_string(),
                    mnat(v.train.mae),
                    mnat(v.test.mae),
                    mnat(v.test.rmse),
                    percent(v.test.mape),
                    percent(v.test.r#final),
                    if c.margin > 0.0 && c.margin_se > 0.0 {
                        format!("{} ± {}", percent(c.margin), percent(c.margin_se))
                    } else {
                        "–".to_owned()
                    },
                ]);
            }
            blocks.push(Block::Table(table));
            let name = file(&[arch.name(), &dataset, &split.name]);
            blocks.push(Block::Picture(name.clone(), format!("held-out error of every law: {what}")));
            let bars = good.iter().map(|(name, v, _)| ComparisonEntry {
                name: (*name).to_owned(),
                value: v.test.mae * 1e3,
                interval: None,
                note: Some(format!("{} coefficients", v.n_coefficients)),
            });
            pictures.push((name, picture(what, "held-out mean error (mnat)", bars.collect())));
            results.push(LawFold {
                arch,
                dataset: dataset.clone(),
                fold: split.name,
                fitted: split.train.len(),
                judged: split.test.len(),
                laws: entries.iter().map(|(name, c)| CompareLine::of(name, c)).collect(),
            });
        }
    }
    if results.is_empty() {
        return Err(Failure::new(
            "no law could be judged: the runs are neither of two kinds of schedule (cosine, WSD) nor of two horizons",
        )
        .hint("give runs that differ in schedule or horizon within one architecture and data set"));
    }
    Ok(Findings {
        title: "Laws of the loss curve on runs that they did not see".to_owned(),
        question: "Every law is fitted to runs under one kind of schedule (or shorter horizons) and judged on runs of another, separately for each architecture and data set. What counts is the error held out: the mean over runs of the mean |L̂ − L| after the warm-up.".to_owned(),
        summary,
        blocks,
        pictures,
        caveats,
        commands: vec![format!("lehr compare {store} --train 'GLOB,…' --test 'GLOB,…' --starts 6")],
        results: Results::Laws(LawsFound { folds: results }),
    })
}

/// The annealing of a run: its shape, where it has one after a stable phase; cosine over the whole run apart.
fn shape(curve: &Curve) -> Option<String> {
    match (curve.schedule(), curve.schedule().family()) {
        (Schedule::Wsd(wsd), Family::Wsd) => Some(wsd.shape.to_string()),
        (_, Family::Cosine) => Some("cosine over the whole run".to_owned()),
        _ => None,
    }
}

/// Errors of a law by the shape of the runs judged, the shapes in order of their names.
fn by_shape(validation: &Validation, shapes: &BTreeMap<String, String>) -> Vec<OnShape> {
    let mut found: BTreeMap<&str, Vec<(Metrics, f64)>> = BTreeMap::new();
    for run in validation.per_run.iter().filter(|run| run.part == "test") {
        if let Some(shape) = shapes.get(&run.id) {
            found.entry(shape).or_default().push((run.metrics, run.final_signed));
        }
    }
    found
        .into_iter()
        .filter_map(|(shape, runs)| {
            let all: Vec<Metrics> = runs.iter().map(|run| run.0).collect();
            let signed = runs.iter().map(|run| run.1).sum::<f64>() / runs.len() as f64;
            Metrics::mean(&all).map(|metrics| OnShape {
                shape: shape.to_owned(),
                runs: runs.len(),
                errors: metrics,
                final_signed: signed,
            })
        })
        .collect()
}

/// Fits on linear annealing (and constant rates) and judges on other shapes.
pub fn shapes(curves: &[Curve], store: &str) -> Result<Findings, Failure> {
    let laws = law::all();
    let linear = Shape::Linear.to_string();
    let (mut summary, mut blocks, mut caveats) = (Vec::new(), Vec::new(), Vec::new());
    let (mut pictures, mut results) = (Vec::new(), Vec::new());
    for (arch, dataset, runs) in groups(curves) {
        let what = format!("{arch}, {dataset}");
        let of: Vec<Option<String>> = runs.iter().map(shape).collect();
        let flat = of_family(&runs, |family| family == Family::Constant);
        let straight: Vec<usize> = (0..runs.len()).filter(|&i| of[i].as_ref() == Some(&linear)).collect();
        let test: Vec<usize> =
            (0..runs.len()).filter(|&i| of[i].as_ref().is_some_and(|shape| *shape != linear)).collect();
        if straight.is_empty() || test.is_empty() {
            let why = format!(
                "{} runs of linear annealing and {} of other shapes; both are needed",
                straight.len(),
                test.len()
            );
            caveats.push(CaveatKind::GroupLeftOut { group: what, why }.into());
            continue;
        }
        let named: BTreeMap<String, String> = runs
            .iter()
            .zip(&of)
            .filter_map(|(run, shape)| Some((run.meta().id.clone(), shape.clone()?)))
            .collect();
        let train: Vec<usize> = straight.iter().chain(&flat).copied().collect();
        let split = SplitOf { name: "linear → other shapes".to_owned(), train, test };
        let entries = compare(&laws, &runs, std::slice::from_ref(&split), &options());
        left_out(&what, &entries, &mut caveats);
        let good = fitted(&entries);
        let Some((best, first, _)) = good.first() else {
            caveats.push(
                CaveatKind::GroupLeftOut { group: what, why: "no law could be fitted".to_owned() }.into(),
            );
            continue;
        };
        let found: Vec<(&str, &Validation, Vec<OnShape>)> =
            good.iter().map(|(name, v, _)| (*name, *v, by_shape(v, &named))).collect();
        let of_best = &found[0].2;
        let words: Vec<String> = of_best
            .iter()
            .map(|s| {
                format!(
                    "{} {} mnat (last loss {:+.3} %)",
                    s.shape,
                    mnat(s.errors.mae),
                    s.final_signed * 100.0
                )
            })
            .collect();
        summary.push(format!(
            "{what}: of the laws fitted on linear annealing, {best} is closest on other shapes: {} mnat on average, {} on the runs fitted; {}",
            mnat(first.test.mae),
            mnat(first.train.mae),
            words.join(", ")
        ));
        blocks.push(Block::Heading(what.clone()));
        blocks.push(Block::Text(format!(
            "Fitted on {} runs of linear annealing and {} at constant rate; judged on {} runs of other shapes. Mean error in mnat; the error on the runs fitted is what to hold the others against.",
            straight.len(),
            flat.len(),
            split.test.len()
        )));
        let header = |first: &str| -> Vec<String> {
            [first.to_owned(), "free".to_owned(), "linear (fitted)".to_owned()]
                .into_iter()
                .chain(of_best.iter().map(|s| format!("{} ({} runs)", s.shape, s.runs)))
                .collect()
        };
        let mut errors = Table::new(header("law"));
        let mut signed =
            Table::new(header("law").into_iter().enumerate().filter(|(i, _)| *i != 2).map(|(_, h)| h));
        for (name, v, shapes) in &found {
            let start = [(*name).to_owned(), v.n_coefficients.to_string()];
            errors.row(
                start
                    .clone()
                    .into_iter()
                    .chain([mnat(v.train.mae)])
                    .chain(shapes.iter().map(|s| mnat(s.errors.mae))),
            );
            signed.row(
                start.into_iter().chain(shapes.iter().map(|s| format!("{:+.3} %", s.final_signed * 100.0))),
            );
        }
        blocks.push(Block::Table(errors));
        blocks.push(Block::Text(
            "Forecast minus measured last loss, relative, mean over runs: a law that has the shape wrong is wrong here with one sign.".to_owned(),
        ));
        blocks.push(Block::Table(signed));
        let name = file(&["shapes", arch.name(), &dataset]);
        blocks.push(Block::Picture(name.clone(), format!("errors by shape: {what}")));
        let bars = found.iter().take(3).flat_map(|(law, _, shapes)| {
            shapes.iter().map(move |s| ComparisonEntry {
                name: format!("{law}, {}", s.shape),
                value: s.errors.mae * 1e3,
                interval: None,
                note: Some(format!("{} runs", s.runs)),
            })
        });
        pictures.push((
            name,
            picture(format!("Fitted on linear annealing: {what}"), "mean error (mnat)", bars.collect()),
        ));
        results.push(ShapeGroup {
            arch,
            dataset: dataset.clone(),
            linear: straight.len(),
            constant: flat.len(),
            judged: split.test.len(),
            laws: found
                .into_iter()
                .map(|(name, v, shapes)| LawOnShapes {
                    law: name.to_owned(),
                    n_coefficients: v.n_coefficients,
                    fitted: v.train,
                    shapes,
                })
                .collect(),
        });
    }
    if results.is_empty() {
        return Err(Failure::new(
            "no group of runs of one architecture and data set has linear annealing and another shape",
        )
        .hint("give runs with a stable phase and linear annealing, and runs that anneal otherwise"));
    }
    Ok(Findings {
        title: "Laws fitted on linear annealing, judged on other shapes".to_owned(),
        question: "Does a law that has seen linear annealing and constant rates alone hold for other shapes? With p the share of the annealing that is over, `power:β` stands for a rate ∝ (1 − p)^β, `1-sqrt` for 1 − √p; a cosine over the whole run has no stable phase.".to_owned(),
        summary,
        blocks,
        pictures,
        caveats,
        commands: vec![format!("lehr compare {store} --train '*linear,*constant' --starts 6")],
        results: Results::Shapes(ShapesFound { groups: results }),
    })
}
