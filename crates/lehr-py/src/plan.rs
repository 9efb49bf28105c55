//! The runs to train next.

use crate::answer::NativeAnswer;
use crate::ask::{Place, ask};
use crate::failure::raise;
use crate::fit::NativeFit;
use crate::options::Options;
use crate::requests;
use lehr::plan::Aim;
use lehr_app::Failure;
use lehr_app::plan::{CandidateLists, PlanRequest, SweepModel, parse_budget, parse_throughput};
use lehr_app::target::updates;
use pyo3::prelude::*;
use pyo3::types::PyDict;

const RATE: &str = "a rate above 0 such as 3e-4, or a list of them";
const SHARE: &str = "a share between 0 and 1, or a list of them";

fn whole(options: &mut Options, name: &str, usual: usize) -> Result<usize, Failure> {
    match options.count(name, 1)? {
        Some(count) => usize::try_from(count).map_err(Failure::usage),
        None => Ok(usual),
    }
}

fn request(options: &mut Options, fit: Option<&NativeFit>) -> Result<PlanRequest, Failure> {
    let setting = requests::setting(options)?;
    let length = requests::some_length(options)?;
    let total = match fit {
        Some(fit) => updates(fit.fit(), length, &setting)?,
        None => length
            .updates(setting.params, setting.tokens_per_step)
            .map(|updates| updates.0)
            .map_err(Failure::usage)?,
    };
    let wrong = |name: &'static str| move |error: String| Failure::usage(format_args!("[[{name}]] {error}"));
    let budget = options.text("budget")?;
    let budget = budget.map(|text| parse_budget(&text).map_err(wrong("budget"))).transpose()?;
    let throughput = options.text("throughput")?;
    let throughput =
        throughput.map(|text| parse_throughput(&text).map_err(wrong("throughput"))).transpose()?;
    let models = options.texts("model")?;
    let batch = options.count("batch", 1)?.map(u32::try_from).transpose().map_err(Failure::usage)?;
    Ok(PlanRequest {
        peak_lr: requests::peak_lr(options)?,
        total,
        warmup: options.count("warmup", 0)?,
        shape: requests::shape(options)?,
        final_lr: requests::final_lr(options)?,
        setting,
        candidates: CandidateLists {
            params: options.counts("candidate_params", 1)?,
            peak_lr: options.numbers("candidate_lrs", RATE, |rate| rate > 0.0)?,
            total: options.counts("horizons", 1)?,
            ratio: options.numbers("ratios", SHARE, |share| (0.0..=1.0).contains(&share))?,
        },
        checkpoints: options.texts("checkpoints")?,
        budget,
        throughput,
        most_runs: whole(options, "most_runs", 24)?,
        aim: match options.word("aim", &["ratio", "forecast"])?.as_deref() {
            Some("forecast") => Aim::Forecast,
            _ => Aim::Ratio,
        },
        draws: whole(options, "draws", 16)?,
        seed: options.count("seed", 0)?.unwrap_or(0),
        sweep: options.flag("sweep")?.then_some(SweepModel { models, batch }),
        fit: fit.map(|fit| (**fit.fit()).clone()),
    })
}

/// Chooses the runs to train next.
#[pyfunction]
#[pyo3(signature = (fit, options, progress=None))]
fn plan(
    py: Python<'_>,
    fit: Option<&NativeFit>,
    options: Option<&Bound<'_, PyDict>>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<NativeAnswer> {
    let mut options = Options::read(options)?;
    let request = request(&mut options, fit).and_then(|request| options.done().map(|()| request));
    let request = request.map_err(|failure| raise(py, &failure))?;
    let place = fit.map_or_else(Place::default, |fit| fit.place(None));
    ask(py, place, progress, move |desk| {
        let answer = desk.plan(&request)?;
        let picture = answer.value.picture();
        NativeAnswer::of(&answer, Some(picture.into()))
    })
}

/// Adds this file's part of the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(plan, module)?)
}
