//! `lehr compare`: every law on the same split.

use crate::failure::Failure;
use crate::fit_args::FitArgs;
use crate::load::LoadArgs;
use crate::output::{Output, check_picture, check_target, narrowed, table};
use crate::verb::fit::{mape, percent};
use crate::verb::validate::SplitArgs;
use lehr::{Law, law};
use lehr_app::compare::CompareRequest;
use lehr_app::{laws, pictures, tables};

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
    /// Writes the answer in the form of the name's ending: .json, or the laws as .csv, .md, .tex.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<std::path::PathBuf>,
}

/// Columns that a narrow terminal does without, the first first: free coefficients, worst, MAE, final, fitted MAPE.
const LEAST: [usize; 5] = [1, 4, 6, 5, 2];

/// A law behind the best by less than so many standard errors of the difference ties with it.
const TIE: f64 = 2.0;

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let laws: Vec<&'static dyn Law> = if args.laws.is_empty() {
        law::all()
    } else {
        args.laws.iter().map(|name| laws::named(name)).collect::<Result<_, _>>()?
    };
    let request = CompareRequest {
        reading: args.load.reading()?,
        laws,
        options: args.fit.options()?,
        splitting: args.split.splitting(),
    };
    check_picture(args.plot.as_deref())?;
    check_target(args.output.as_deref())?;
    tables::check_format(args.output.as_deref())?;
    let answer = args.fit.desk(output)?.compare(&request)?;
    output.begin(&answer, args.output.as_deref())?;
    if let Some(path) = &args.plot {
        output.draw(path, pictures::comparison(&answer.value.contenders))?;
    }
    if output.json {
        output.answer(&answer.value)?;
        return output.close(&answer);
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
    for (name, contender) in &answer.value.contenders {
        match &contender.validation {
            Ok(v) => {
                let behind = if contender.margin == 0.0 {
                    "best".to_owned()
                } else if contender.margin.is_finite() && contender.margin_se > 0.0 {
                    let errors = contender.margin / contender.margin_se;
                    let tie = if errors < TIE { "ties: " } else { "" };
                    format!("{tie}{} ({errors:.1} standard errors)", percent(contender.margin))
                } else {
                    String::new()
                };
                rows.add_row([
                    name.clone(),
                    v.n_coefficients.to_string(),
                    mape(&v.train),
                    mape(&v.test),
                    percent(v.test.worst),
                    percent(v.test.r#final),
                    format!("{:.2}", v.test.mae * 1e3),
                    behind,
                ]);
            }
            Err(error) => output.say(format_args!("note: {name} left out: {error}")),
        }
    }
    output.data(&format!(
        "{}\n\nmeans over runs held out; standard errors of the difference are paired over those runs\n",
        narrowed(rows, &LEAST)
    ))?;
    output.close(&answer)
}
