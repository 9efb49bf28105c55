//! `lehr serve`: the explorer in a browser.

use crate::failure::Failure;
use crate::fit_args::FitArgs;
use crate::load::positive;
use crate::output::Output;
use crate::verb::quickstart::ATLAS;
use crate::verb::report::split;
use lehr_app::fit::FitRequest;
use lehr_app::{Desk, Files, Reading, laws};
use lehr_page::serve::{ServeOptions, Start, serve};
use std::net::IpAddr;
use std::path::PathBuf;

/// The runs of the atlas that are explored: one size, every peak rate, horizon and ratio.
const ATLAS_RUNS: &str = "dense-0.1m-*-b8-s0-*";

/// Serves a page on which schedules are explored: forecast, loss against ratio and exports follow the sliders.
///
/// Without runs or a fit it explores the bundled runs. It listens on this machine alone unless --listen says otherwise;
/// then a token, part of the printed address, is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr serve
  lehr serve fit.json runs/
  lehr serve runs/ --run 'dense*' --port 8000
  lehr serve fit.json --listen 0.0.0.0 --host-name box.example")]
pub struct Args {
    /// A fit from `lehr fit -o` (a name that ends in .json), runs, or both; none: the bundled runs.
    #[arg(value_name = "FIT|PATH")]
    paths: Vec<PathBuf>,
    /// Port; 0 takes any that is free.
    #[arg(long, value_name = "PORT", default_value_t = 7474, help_heading = "Server")]
    port: u16,
    /// Address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", help_heading = "Server")]
    listen: IpAddr,
    /// A name of this machine that browsers may use besides its addresses (may be repeated).
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    host_name: Vec<String>,
    /// Most updates of a target that is answered (k M B are understood).
    #[arg(long, value_name = "UPDATES", value_parser = positive, default_value = "1M", help_heading = "Server")]
    most_steps: u64,
    /// Takes only runs whose name fits a pattern with `*`, `?` and `[abc]` (repeat, or separate with commas).
    #[arg(long, value_name = "GLOB", value_delimiter = ',', help_heading = "Reading")]
    run: Vec<String>,
    /// The law, where runs are fitted; `lehr laws` describes them.
    #[arg(long, default_value = "noise-relaxation", help_heading = "Fitting")]
    law: String,
    #[command(flatten)]
    fit: FitArgs,
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let options = args.fit.options()?;
    let (fit_path, runs) = split(&args.paths)?;
    let bundled = args.paths.is_empty();
    let (files, mut reading) = if bundled {
        let files = Files::memory(ATLAS.map(|(name, bytes)| (name, bytes.to_vec())));
        (files, Some(Reading::of(["atlas"])))
    } else {
        (Files::Disk, (!runs.is_empty()).then(|| Reading::of(runs)))
    };
    if let Some(reading) = &mut reading {
        reading.options.runs.clone_from(&args.run);
        if bundled && args.run.is_empty() {
            reading.options.runs = vec![ATLAS_RUNS.to_owned()];
        }
    }
    let name = if bundled {
        "bundled runs".to_owned()
    } else {
        args.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    let desk = if bundled { Desk::new(files.clone()) } else { args.fit.desk(output)? };
    let (fit, curves) = match (&fit_path, &reading) {
        (Some(path), None) => (desk.read_fit(path)?, Vec::new()),
        (Some(path), Some(reading)) => {
            let fit = desk.read_fit(path)?;
            let held = reading.clone().held(lehr_app::fit::held_points(&options));
            (fit, desk.runs(&held)?.curves)
        }
        (None, Some(reading)) => {
            output.say("fitting …");
            let law = laws::named(&args.law)?;
            let reading = reading.clone();
            let request =
                FitRequest { reading, law, options: options.clone(), profile: false, bootstrap: None };
            let answer = desk.fit(&request)?;
            output.notes(&answer.notes);
            (answer.value.fit, answer.value.curves)
        }
        (None, None) => return Err(Failure::usage("nothing to serve").hint("name a fit or runs")),
    };
    let start = Start { name, fit, curves, reading, files, options };
    let mut server = ServeOptions {
        address: args.listen,
        port: args.port,
        hosts: args.host_name,
        horizon: args.most_steps,
        ..ServeOptions::default()
    };
    if let Some(threads) = args.fit.threads {
        server.threads = threads;
    }
    let mut told = Ok(());
    serve(start, &server, |url| told = output.data(&format!("open {url}  (Ctrl-C ends it)\n")))?;
    told
}
