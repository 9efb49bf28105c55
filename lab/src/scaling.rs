//! `cargo xtask bench-scaling`: cost against T, runs and starts, as a table and as a picture.

use crate::bench::seconds;
use lehr::features::Momentum;
use lehr::fit::{Dataset, FitOptions, Objective, Plan, Scratch, fit_point, resample, starts};
use lehr::law::{self, Law, NoiseRelaxation};
use lehr::{AnnealingRatio, Curve, FeatureDefinition, RunFeatures, RunMeta, Schedule, Shape, Steps, Wsd};
use std::fmt::Write;
use std::io;
use std::path::Path;

/// One line of a panel: a name and (x, seconds).
pub struct Line {
    /// What was measured.
    pub name: String,
    /// x and what it took.
    pub points: Vec<(f64, f64)>,
}

/// Measures, prints a table and writes `docs/results/speed.svg`.
pub fn scaling(picture: &Path) -> io::Result<()> {
    let panels = [
        ("features of one run", "updates T", by_updates()?),
        ("objective and gradient", "runs", by_runs()?),
        ("whole fit of 4 runs", "starts", by_starts()?),
    ];
    for (title, axis, lines) in &panels {
        println!("\n### {title}\n");
        let xs: Vec<String> = lines[0].points.iter().map(|(x, _)| x.to_string()).collect();
        println!("| {axis} | {} |\n|---|{}", xs.join(" | "), "---|".repeat(xs.len()));
        for line in lines {
            let cells: Vec<String> = line.points.iter().map(|(_, s)| duration(*s)).collect();
            println!("| {} | {} |", line.name, cells.join(" | "));
        }
    }
    let curves = curves(18)?;
    for name in ["noise-relaxation", "cmmt", "forward-momentum"] {
        let law = find(name)?;
        let options = FitOptions::default();
        let point = fit_point(law, &curves, &options).map_err(io::Error::other)?;
        let begun = std::time::Instant::now();
        std::hint::black_box(resample::bootstrap(law, &curves, &point, &options, 1000));
        println!("\n1,000 refits of 18 runs, {name}: {}", duration(begun.elapsed().as_secs_f64()));
    }
    std::fs::write(picture, draw(&panels))?;
    println!("\nwrote {}", picture.display());
    Ok(())
}

/// Seconds as people write them.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.3} µs", 1e6 * s).replace(".000", ""),
        s if s < 1.0 => format!("{:.2} ms", 1e3 * s),
        s => format!("{s:.2} s"),
    }
}

fn find(name: &str) -> io::Result<&'static dyn Law> {
    law::by_name(name).ok_or_else(|| io::Error::other(format!("no law '{name}'")))
}

fn schedule(total: u64, ratio: f64, shape: Shape) -> io::Result<Schedule> {
    let ratio = AnnealingRatio::new(ratio).map_err(io::Error::other)?;
    let wsd = Wsd::new(3e-4, Steps(total), Steps(total / 10), ratio, shape, 3e-5);
    Ok(Schedule::Wsd(wsd.map_err(io::Error::other)?))
}

/// Runs of 20,000 updates from the noise-relaxation law with a ripple of 3·10⁻⁴.
fn curves(count: usize) -> io::Result<Vec<Curve>> {
    let theta: Vec<f64> = NoiseRelaxation.coefficients().iter().map(|c| c.start).collect();
    (0..count)
        .map(|i| {
            let shape = [Shape::Linear, Shape::Cosine, Shape::OneMinusSqrt][i % 3];
            let schedule = schedule(20_000, 0.9 * (i % 7) as f64 / 7.0, shape)?;
            let points: Vec<u64> = (1..=156).map(|k| k * 128).collect();
            let run = RunFeatures::new(&schedule, &points, None, None, &FeatureDefinition::default());
            let mut loss = vec![0.0; points.len()];
            NoiseRelaxation.predict(&theta, &run, &mut loss);
            for (k, l) in loss.iter_mut().enumerate() {
                *l *= 1.0 + 3e-4 * (12.9898 * k as f64 + 78.233 * i as f64).sin();
            }
            Curve::new(RunMeta::named(format!("run-{i}")), schedule, points, loss).map_err(io::Error::other)
        })
        .collect()
}

fn by_updates() -> io::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (name, momentum) in
        [("S, nodes", Momentum::None), ("S, nodes, M", Momentum::Dense { stride: 1, warmup: true })]
    {
        let definition = FeatureDefinition { momentum, ..FeatureDefinition::default() };
        let mut points = Vec::new();
        for total in [1_000_u64, 3_000, 10_000, 30_000, 100_000, 300_000] {
            let rates = schedule(total, 0.3, Shape::Cosine)?.rates();
            let at: Vec<u64> = (1..=100).map(|k| k * total / 100).collect();
            let (least, _) = seconds(0.3, || {
                std::hint::black_box(RunFeatures::from_rates(&rates, 0.0, &at, None, None, &definition));
            });
            points.push((total as f64, least));
        }
        lines.push(Line { name: name.into(), points });
    }
    Ok(lines)
}

fn by_runs() -> io::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for name in ["noise-relaxation", "multi-power", "fsl", "cmmt", "forward-momentum"] {
        let law = find(name)?;
        let mut points = Vec::new();
        for count in [1, 3, 10, 30, 100, 300] {
            let options = FitOptions::default();
            let data = Dataset::new(law, &curves(count)?, &options);
            let plan = Plan::new(law, &data, &options).map_err(io::Error::other)?;
            let objective = Objective::new(law, &data, &plan, &options);
            let z = starts::starts(law, &data, &plan, 1, 0).remove(0);
            let (mut gradient, mut scratch) = (vec![0.0; z.len()], Scratch::default());
            let (least, _) = seconds(0.3, || {
                std::hint::black_box(objective.value(&z, Some(&mut gradient), &mut scratch));
            });
            points.push((count as f64, least));
        }
        lines.push(Line { name: name.into(), points });
    }
    Ok(lines)
}

fn by_starts() -> io::Result<Vec<Line>> {
    let curves = curves(4)?;
    let mut lines = Vec::new();
    for name in ["noise-relaxation", "multi-power", "cmmt", "forward-momentum"] {
        let law = find(name)?;
        let mut points = Vec::new();
        for count in [1, 2, 4, 8, 16, 32, 64] {
            let options = FitOptions { starts: count, ..FitOptions::default() };
            let (least, _) = seconds(0.3, || {
                std::hint::black_box(fit_point(law, &curves, &options).ok());
            });
            points.push((count as f64, least));
        }
        lines.push(Line { name: name.into(), points });
    }
    Ok(lines)
}

/// Three log-log panels side by side.
/// Panels of lines on two logarithmic axes; y is in seconds.
pub fn draw(panels: &[(&str, &str, Vec<Line>)]) -> String {
    const COLOURS: [&str; 5] = ["#1b6ca8", "#c8553d", "#4f9d69", "#8a5a9e", "#b08900"];
    let (width, height, left, top) = (300.0, 220.0, 62.0, 30.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"400\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        panels.len() as f64 * (width + 80.0)
    );
    for (p, (title, axis, lines)) in panels.iter().enumerate() {
        let x0 = p as f64 * (width + 80.0) + left;
        let all = lines.iter().flat_map(|line| &line.points);
        let (mut lx, mut hx, mut ly, mut hy) =
            (f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY);
        for (x, y) in all {
            (lx, hx) = (lx.min(x.log10()), hx.max(x.log10()));
            (ly, hy) = (ly.min(y.log10().floor()), hy.max(y.log10().ceil()));
        }
        let px = |x: f64| x0 + (x.log10() - lx) / (hx - lx) * width;
        let py = |y: f64| top + height - (y.log10() - ly) / (hy - ly) * height;
        let _ = writeln!(svg, "<text x=\"{x0}\" y=\"18\" font-size=\"13\">{title}</text>");
        let _ = writeln!(
            svg,
            "<rect x=\"{x0}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill=\"none\" stroke=\"#888\"/>"
        );
        for power in ly as i32..=hy as i32 {
            let y = py(10f64.powi(power));
            let label = duration(10f64.powi(power)).replace(".00", "");
            let _ = writeln!(
                svg,
                "<line x1=\"{x0}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>",
                x0 + width,
                x0 - 4.0,
                y + 4.0
            );
        }
        for (x, _) in &lines[0].points {
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" font-size=\"9\">{x}</text>",
                px(*x),
                top + height + 14.0
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{axis}</text>",
            x0 + width / 2.0,
            top + height + 30.0
        );
        for (k, line) in lines.iter().enumerate() {
            let colour = COLOURS[k % COLOURS.len()];
            let path: Vec<String> =
                line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", px(*x), py(*y))).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join(" ")
            );
            let y = top + height + 48.0 + 15.0 * k as f64;
            let _ = writeln!(
                svg,
                "<line x1=\"{x0}\" x2=\"{}\" y1=\"{}\" y2=\"{}\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{}\" y=\"{y}\">{}</text>",
                x0 + 20.0,
                y - 4.0,
                y - 4.0,
                x0 + 26.0,
                line.name
            );
        }
    }
    svg + "</svg>\n"
}
