//! `lehr compare`: every law on the same split.

use crate::failure::Failure;
use crate::fit_args::{FitArgs, held_points, law_named};
use crate::load::{LoadArgs, load_condensed};
use crate::output::{Output, data, say, table};
use crate::verb::fit::percent;
use crate::verb::validate::SplitArgs;
use lehr::Law;
use lehr::law;
use lehr::validate::{Contender, compare};
use serde::Serialize;

/// Compares laws by their error on runs that their fits did not see.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr compare runs/ --train 'cosine_24000,constant_24000,wsdcon_9'
  lehr compare runs/ --leave-out schedule --laws noise-relaxation,multi-power,cmmt")]
pub struct Args {
    #[command(flatten)]
    load: LoadArgs,
    /// The laws, separated by commas; default: all.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    laws: Vec<String>,
    #[command(flatten)]
    split: SplitArgs,
    #[command(flatten)]
    fit: FitArgs,
    /// Draws the comparison into a file (svg, png, pdf or txt).
    #[arg(long, value_name = "FILE")]
    pub plot: Option<std::path::PathBuf>,
}

/// A law's line of a comparison, for JSON.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    law: &'a str,
    error: Option<&'a str>,
    n_coefficients: Option<usize>,
    train: Option<lehr::fit::Metrics>,
    test: Option<lehr::fit::Metrics>,
    margin: Option<f64>,
    margin_se: Option<f64>,
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let laws: Vec<&'static dyn Law> = if args.laws.is_empty() {
        law::all()
    } else {
        args.laws.iter().map(|name| law_named(name)).collect::<Result<_, _>>()?
    };
    let options = args.fit.options()?;
    crate::plot::check_target(args.plot.as_deref())?;
    let loaded = load_condensed(&args.load, held_points(&options), output)?;
    let splits = args.split.splits(&loaded.curves)?;
    let bar = output.wait("comparing laws");
    let entries = compare(&laws, &loaded.curves, &splits, &options);
    bar.finish_and_clear();
    if entries.iter().all(|(_, c)| c.validation.is_err()) {
        let reason = entries[0].1.validation.as_ref().err().cloned().unwrap_or_default();
        return Err(Failure::new(format_args!("no law could be fitted: {reason}")));
    }
    if let Some(path) = &args.plot {
        crate::plot::comparison(path, &entries)?;
    }
    if output.json {
        let list: Vec<Entry> = entries.iter().map(|(name, c)| entry(name, c)).collect();
        output.document(
            "lehr.compare/1",
            &serde_json::json!({ "winner": entries[0].0, "laws": list, "caveats": loaded.caveats }),
        )?;
        return output.caveats(&loaded.caveats);
    }
    let mut rows = table([
        "law",
        "free",
        "fitted MAPE",
        "held-out MAPE",
        "worst",
        "final",
        "MAE mnat",
        "behind the best",
    ]);
    for (name, contender) in &entries {
        match &contender.validation {
            Ok(v) => {
                let behind = if contender.margin == 0.0 {
                    "best".to_owned()
                } else if contender.margin.is_finite() && contender.margin_se > 0.0 {
                    format!(
                        "{} ({:.1} standard errors)",
                        percent(contender.margin),
                        contender.margin / contender.margin_se
                    )
                } else {
                    String::new()
                };
                rows.add_row([
                    name.clone(),
                    v.n_coefficients.to_string(),
                    percent(v.train.mape),
                    percent(v.test.mape),
                    percent(v.test.worst),
                    percent(v.test.r#final),
                    format!("{:.2}", v.test.mae * 1e3),
                    behind,
                ]);
            }
            Err(error) => say(format_args!("note: {name} left out: {error}")),
        }
    }
    data(&format!(
        "{rows}\n\nmeans over runs held out; standard errors of the difference are paired over those runs\n"
    ))?;
    output.caveats(&loaded.caveats)
}

/// A law's line of a comparison.
pub fn entry<'a>(name: &'a str, contender: &'a Contender) -> Entry<'a> {
    let validation = contender.validation.as_ref();
    Entry {
        law: name,
        error: validation.err().map(String::as_str),
        n_coefficients: validation.ok().map(|v| v.n_coefficients),
        train: validation.ok().map(|v| v.train),
        test: validation.ok().map(|v| v.test),
        margin: contender.margin.is_finite().then_some(contender.margin),
        margin_se: contender.margin_se.is_finite().then_some(contender.margin_se),
    }
}
