//! `cargo xtask law-pictures`: the three pictures of `docs/laws/noise-relaxation.md`, drawn from the law itself.

use lehr::law::{Law, NoiseRelaxation};
use lehr::{FeatureDefinition, RunFeatures, Schedule, Shape, Steps, WsdSpec};
use std::fmt::Write;
use std::io;
use std::path::Path;

const TOTAL: u64 = 20_000;
const WARMUP: u64 = 500;
const COLOURS: [&str; 4] = ["#1b6ca8", "#c8553d", "#4f9d69", "#777777"];

struct Line {
    name: String,
    points: Vec<(f64, f64)>,
    dashed: bool,
}

struct Panel {
    title: &'static str,
    x: &'static str,
    y: &'static str,
    lines: Vec<Line>,
}

/// Draws them into a folder.
pub fn draw_all(folder: &Path) -> io::Result<()> {
    let pictures = [
        ("noise-relaxation-progress.svg", progress()?),
        ("noise-relaxation-noise.svg", noise()?),
        ("noise-relaxation-loss.svg", loss()?),
    ];
    for (name, panels) in pictures {
        std::fs::write(folder.join(name), draw(&panels))?;
        println!("wrote {}", folder.join(name).display());
    }
    Ok(())
}

/// θ at the starts of the law, with some coefficients changed.
fn theta(changes: &[(&str, f64)]) -> Vec<f64> {
    let value = |name: &str, start: f64| changes.iter().find(|(n, _)| *n == name).map_or(start, |(_, v)| *v);
    // Without sizes the term in N is part of the floor.
    NoiseRelaxation
        .coefficients()
        .iter()
        .map(|c| value(c.name, if c.name == "e" { 0.0 } else { c.start }))
        .collect()
}

fn schedule(peak_lr: f64, ratio: f64) -> io::Result<Schedule> {
    WsdSpec {
        peak_lr,
        total: Steps(TOTAL),
        warmup: Steps(WARMUP),
        anneal: Steps((ratio * TOTAL as f64).round() as u64),
        shape: Shape::Linear,
        final_lr: 0.0,
        ..WsdSpec::default()
    }
    .checked()
    .map(Schedule::Wsd)
    .map_err(io::Error::other)
}

/// The law's loss along a schedule, against thousands of updates.
fn along(schedule: &Schedule, theta: &[f64]) -> Vec<(f64, f64)> {
    let points: Vec<u64> = (1..=400).map(|i| i * TOTAL / 400).filter(|t| *t > WARMUP).collect();
    let run = RunFeatures::new(schedule, &points, None, None, &FeatureDefinition::default());
    let mut loss = vec![0.0; points.len()];
    NoiseRelaxation.predict(theta, &run, &mut loss);
    points.iter().map(|t| *t as f64 * 1e-3).zip(loss).collect()
}

fn line(name: impl Into<String>, points: Vec<(f64, f64)>) -> Line {
    Line { name: name.into(), points, dashed: false }
}

/// What an update is worth against its rate, and the descent that follows.
fn progress() -> io::Result<Vec<Panel>> {
    let theta_of = theta(&[]);
    let at = |name: &str| NoiseRelaxation.coefficients().iter().position(|c| c.name == name);
    let saturation = at("e_c").map_or(f64::INFINITY, |i| theta_of[i]);
    let rates = || (0..=100).map(|i| 0.04 * f64::from(i));
    let worth = rates().map(|e| (e, e / (1.0 + e / saturation))).collect();
    let plain = rates().take_while(|e| *e <= 0.8).map(|e| (e, e)).collect();
    let descent = theta(&[("l0", 0.0), ("b", 0.0)]);
    let mut lines = Vec::new();
    for peak in [2.5e-4, 1e-3, 4e-3] {
        let name = format!("peak rate {peak:e}");
        lines.push(line(name, along(&schedule(peak, 0.0)?, &descent)));
    }
    Ok(vec![
        Panel {
            title: "What one update is worth",
            x: "rate, 10⁻³",
            y: "progress",
            lines: vec![
                line("with saturation", worth),
                Line { dashed: true, ..line("without: the rate itself", plain) },
            ],
        },
        Panel { title: "The descent it drives", x: "thousand updates", y: "A·(S + s₀)^-α, nats", lines },
    ])
}

/// The noise that a rate sustains, and the noise there is.
fn noise() -> io::Result<Vec<Panel>> {
    let alone = theta(&[("l0", 0.0), ("a", 0.0)]);
    // So fast that the noise is where the rate would have it at every update.
    let at_once = theta(&[("l0", 0.0), ("a", 0.0), ("kappa", 1e5)]);
    let panel = |title, ratio| -> io::Result<Panel> {
        let schedule = schedule(1e-3, ratio)?;
        let target = Line { dashed: true, ..line("what the rate sustains", along(&schedule, &at_once)) };
        Ok(Panel {
            title,
            x: "thousand updates",
            y: "B·pk^δ·Y, nats",
            lines: vec![line("noise", along(&schedule, &alone)), target],
        })
    };
    Ok(vec![panel("Annealed over the last 10 %", 0.1)?, panel("Annealed over the last 50 %", 0.5)?])
}

/// Whole losses, and the last loss against the ratio.
fn loss() -> io::Result<Vec<Panel>> {
    let all = theta(&[]);
    let mut lines = Vec::new();
    for ratio in [0.0, 0.2, 0.6] {
        let name = if ratio == 0.0 { "constant".to_owned() } else { format!("ratio {ratio}") };
        let late = along(&schedule(1e-3, ratio)?, &all).into_iter().filter(|(t, _)| *t >= 4.0).collect();
        lines.push(line(name, late));
    }
    let mut ends = Vec::new();
    for peak in [2.5e-4, 1e-3, 4e-3] {
        let most = 1.0 - WARMUP as f64 / TOTAL as f64;
        let mut points = Vec::new();
        for i in 1..=60 {
            let ratio = most * f64::from(i) / 60.0;
            let curve = along(&schedule(peak, ratio)?, &all);
            points.extend(curve.last().map(|(_, loss)| (ratio, *loss)));
        }
        let lowest = points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
        let near = points.into_iter().map(|(r, l)| (r, 1e3 * (l - lowest))).filter(|(_, l)| *l < 40.0);
        ends.push(line(format!("peak rate {peak:e}"), near.collect()));
    }
    Ok(vec![
        Panel { title: "The loss of three runs", x: "thousand updates", y: "nats per token", lines },
        Panel { title: "What a ratio costs", x: "annealing ratio", y: "mnat above the best", lines: ends },
    ])
}

/// About five round numbers within a range.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let raw = (high - low) / 5.0;
    let unit = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * unit).find(|s| *s >= raw).unwrap_or(raw);
    let first = (low / step).ceil() as i64;
    (first..).map(|i| i as f64 * step).take_while(|v| *v <= high + 1e-9 * step).collect()
}

fn draw(panels: &[Panel]) -> String {
    let (width, height, left, top) = (330.0, 220.0, 62.0, 34.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"350\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        panels.len() as f64 * (width + 90.0)
    );
    for (p, panel) in panels.iter().enumerate() {
        let x0 = p as f64 * (width + 90.0) + left;
        let points = || panel.lines.iter().flat_map(|line| &line.points);
        let ends = |of: &dyn Fn(&(f64, f64)) -> f64| {
            points().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
        };
        let ((lx, hx), (ly, hy)) = (ends(&|p| p.0), ends(&|p| p.1));
        let (ly, hy) = (ly - 0.05 * (hy - ly), hy + 0.05 * (hy - ly));
        let px = |x: f64| x0 + (x - lx) / (hx - lx) * width;
        let py = |y: f64| top + height - (y - ly) / (hy - ly) * height;
        let _ = writeln!(svg, "<text x=\"{x0}\" y=\"20\" font-size=\"13\">{}</text>", panel.title);
        let _ = writeln!(
            svg,
            "<rect x=\"{x0}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill=\"none\" stroke=\"#888\"/>"
        );
        for value in ticks(ly, hy) {
            let _ = writeln!(
                svg,
                "<line x1=\"{x0}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                x0 + width,
                x0 - 4.0,
                py(value) + 4.0,
                label(value),
                y = py(value)
            );
        }
        for value in ticks(lx, hx) {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                px(value),
                top + height + 15.0,
                label(value)
            );
        }
        let middle = top + height / 2.0;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n<text x=\"{y0}\" y=\"{middle}\" text-anchor=\"middle\" transform=\"rotate(-90 {y0} {middle})\">{}</text>",
            x0 + width / 2.0,
            top + height + 32.0,
            panel.x,
            panel.y,
            y0 = x0 - 46.0
        );
        for (k, line) in panel.lines.iter().enumerate() {
            let colour = COLOURS[k % COLOURS.len()];
            let dash = if line.dashed { " stroke-dasharray=\"5 4\"" } else { "" };
            let path: Vec<String> =
                line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", px(*x), py(*y))).collect();
            let y = top + height + 50.0 + 15.0 * k as f64;
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>\n<line x1=\"{x0}\" x2=\"{}\" y1=\"{}\" y2=\"{}\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/><text x=\"{}\" y=\"{y}\">{}</text>",
                path.join(" "),
                x0 + 22.0,
                y - 4.0,
                y - 4.0,
                x0 + 28.0,
                line.name
            );
        }
    }
    svg + "</svg>\n"
}

/// A number without zeros that say nothing.
fn label(value: f64) -> String {
    let text = format!("{value:.3}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short.is_empty() || short == "-0" { "0".to_owned() } else { short.to_owned() }
}
