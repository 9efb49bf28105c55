//! Reading the public curves, fitting on some and judging on others.

use lehr::Curve;
use lehr::fit::{FitOptions, PointFit, evaluate, fit_point, left_out};
use lehr::law::{self, Law};
use lehr_io::{ReadError, ReadOptions, Source, SplitChoice, for_each_run};
use std::fs::File;
use std::path::{Path, PathBuf};

pub fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/curves")).join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there", path.display());
    None
}

/// The runs of a folder of public curves.
pub fn load(name: &str) -> Option<Vec<Curve>> {
    shared(name).map(|directory| load_from(&directory, &ReadOptions::default()))
}

/// The runs of a folder of public curves, with the losses of one split.
pub fn load_split(name: &str, split: SplitChoice) -> Option<Vec<Curve>> {
    let options = ReadOptions { split, ..ReadOptions::default() };
    shared(name).map(|directory| load_from(&directory, &options))
}

/// The runs of the atlas on one text.
pub fn atlas(text: &str) -> Vec<Curve> {
    load_from(
        &Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/atlas")).join(text),
        &ReadOptions::default(),
    )
}

/// The runs of a folder, as every command reads them.
fn load_from(directory: &Path, options: &ReadOptions) -> Vec<Curve> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let sources: Vec<Source> = paths
        .into_iter()
        .map(|path| {
            let length = path.metadata().unwrap().len();
            let name = path.to_string_lossy().into_owned();
            Source::new(name, length, 1, true, move || Ok(Box::new(File::open(&path)?)))
        })
        .collect();
    let mut runs = Vec::new();
    for_each_run::<ReadError>(&sources, options, &mut |_| {}, &mut |run| {
        runs.push(run.curve);
        Ok(())
    })
    .unwrap();
    runs
}

/// The final losses of steplaw-dense, one curve of one point each, without those that a fit leaves out.
pub fn steplaw() -> Option<Vec<Curve>> {
    let all = load("steplaw-dense")?;
    let out = left_out(&all, &FitOptions::default());
    Some(those(&all, |curve| out.iter().all(|run| run.id != curve.meta().id)))
}

pub fn named(name: &str) -> &'static dyn Law {
    law::by_name(name).unwrap()
}

pub fn params(curve: &Curve) -> u64 {
    curve.meta().law_params().unwrap().0
}

pub fn batch(curve: &Curve) -> u64 {
    curve.meta().tokens_per_step.unwrap().0
}

/// The curves for which `keep` holds.
pub fn those(curves: &[Curve], keep: impl Fn(&Curve) -> bool) -> Vec<Curve> {
    curves.iter().filter(|curve| keep(curve)).cloned().collect()
}

/// Held-out errors: mean along the curves (MAPE) and at their ends, %, and the signed mean of the latter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Errors {
    pub mape: f64,
    pub finals: f64,
    pub bias: f64,
    pub bias_mnat: f64,
    pub rms_mnat: f64,
    pub runs: usize,
}

/// The errors over all points after the warm-up, whichever points were fitted.
pub fn judge(law: &dyn Law, point: &PointFit, options: &FitOptions, test: &[Curve]) -> Errors {
    let options = &FitOptions { first_share: 0.0, first_update: 0, ..options.clone() };
    let mut out = Errors { runs: test.len(), ..Errors::default() };
    let n = test.len() as f64;
    for curve in test {
        let (metrics, end, _) = evaluate(law, &point.theta, curve, &point.data.definition, options);
        let mnat = 1e3 * end * curve.last().1;
        out.mape += 100.0 * metrics.mape / n;
        out.finals += 100.0 * end.abs() / n;
        out.bias += 100.0 * end / n;
        out.bias_mnat += mnat / n;
        out.rms_mnat += mnat * mnat / n;
    }
    out.rms_mnat = out.rms_mnat.sqrt();
    out
}

/// Fits on some curves and judges on others; prints one row.
pub fn held_out(name: &str, law: &dyn Law, train: &[Curve], test: &[Curve], options: &FitOptions) -> Errors {
    let point = fit_point(law, train, options).unwrap();
    let e = judge(law, &point, options, test);
    println!(
        "| {name} | {} | {} → {} | {:.3} % | {:.3} % | {:+.3} % | {:+.1}/{:.1} mnat | {} of {} |",
        law.name(),
        train.len(),
        e.runs,
        e.mape,
        e.finals,
        e.bias,
        e.bias_mnat,
        e.rms_mnat,
        point.solution.starts_agreeing,
        point.solution.starts
    );
    e
}

pub fn heading(title: &str) {
    println!(
        "\n{title}\n| test | law | runs | MAPE | finals | bias | bias/rms | starts agree |\n|---|---|---|---|---|---|---|---|"
    );
}

pub fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
    sum / n
}

/// Distinct values, ascending.
pub fn levels(curves: &[Curve], of: impl Fn(&Curve) -> u64) -> Vec<u64> {
    let mut out: Vec<u64> = curves.iter().map(of).collect();
    out.sort_unstable();
    out.dedup();
    out
}
