//! Pictures with invented, deterministic numbers: usual ones and awkward ones.

use lehr_report::*;

/// A reproducible number in −1 … 1.
pub fn wiggle(i: usize, seed: usize) -> f64 {
    let mut z = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (seed as u64 + 7).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

fn steps(n: usize, last: f64) -> Vec<f64> {
    (1..=n).map(|i| i as f64 * last / n as f64).collect()
}

fn wsd(t: f64, total: f64, ratio: f64, peak: f64) -> f64 {
    let start = total * (1.0 - ratio);
    let warm = (t / 2000.0).min(1.0);
    if t <= start { peak * warm } else { peak * ((total - t) / (total * ratio)) }
}

/// An invented loss: a power law of t, lower while the rate falls.
fn loss(t: f64, total: f64, ratio: f64, offset: f64) -> f64 {
    let start = total * (1.0 - ratio);
    let drop =
        if t > start { 0.13 * (1.0 - (-(t - start) / (0.3 * total * ratio + 1.0)).exp()) } else { 0.0 };
    2.35 + 28.0 * (t + 300.0).powf(-0.39) - drop + offset
}

fn run(name: &str, total: f64, ratio: f64, offset: f64, seed: usize) -> Rival {
    let x = steps(240, total);
    let curve =
        x.iter().enumerate().map(|(i, &t)| loss(t, total, ratio, offset) + 0.004 * wiggle(i, seed)).collect();
    Rival { name: name.to_owned(), loss: curve, rate: Vec::new(), x }
}

pub fn forecast() -> ForecastPicture {
    let total = 100_000.0;
    let x = steps(800, total);
    let curve: Vec<f64> = x.iter().map(|&t| loss(t, total, 0.2, 0.0)).collect();
    let half = |t: f64| 0.004 + 0.009 * (t / total - 0.25).max(0.0);
    let rival = |name: &str, ratio: f64, offset: f64| Rival {
        name: name.to_owned(),
        loss: x.iter().map(|&t| loss(t, total, ratio, offset)).collect(),
        rate: x.iter().map(|&t| wsd(t, total, ratio, 1e-3)).collect(),
        x: x.clone(),
    };
    ForecastPicture {
        title: "Annealing the last 20 % brings the 100k run to 2.53".into(),
        subtitle: Some("124M dense, peak LR 10⁻³, 1−√p annealing; noise-relaxation law, fitted on 2 runs".into()),
        caption: Some(
            "Points: logged validation loss, thinned. Band: 90 % interval from leaving one run out. The forecast \
             extrapolates ×4 in the horizon."
                .into(),
        ),
        horizontal: Horizontal::Updates,
        log_x: false,
        loss_range: None,
        lower: x.iter().zip(&curve).map(|(&t, l)| l - half(t)).collect(),
        upper: x.iter().zip(&curve).map(|(&t, l)| l + half(t)).collect(),
        coverage: 0.9,
        loss: curve,
        rate_x: x.clone(),
        rate: x.iter().map(|&t| wsd(t, total, 0.2, 1e-3)).collect(),
        phases: vec![
            Phase { name: "warm-up".into(), from: 0.0, to: 2000.0, marked: false },
            Phase { name: "stable".into(), from: 2000.0, to: 80_000.0, marked: false },
            Phase { name: "annealing".into(), from: 80_000.0, to: total, marked: true },
        ],
        measured: vec![run("constant, 50k", 50_000.0, 0.0, 0.0, 1), run("r = 0.2, 25k", 25_000.0, 0.2, 0.0, 2)],
        rivals: vec![rival("r = 0.5", 0.5, 0.006), rival("cosine to 10 %", 0.9, 0.021)],
        x,
    }
}

/// Seventy measured runs under one forecast.
pub fn forecast_of_seventy_runs() -> ForecastPicture {
    let measured = (0..70)
        .map(|i| {
            run(
                &format!("run-{i}"),
                if i % 2 == 0 { 15e3 } else { 25e3 },
                0.1 + 0.01 * i as f64,
                0.0015 * i as f64,
                i,
            )
        })
        .collect();
    ForecastPicture {
        measured,
        rivals: Vec::new(),
        log_x: true,
        title: "Seventy runs, one forecast".into(),
        ..forecast()
    }
}

/// Long names, tokens, a tiny range, no interval.
pub fn awkward_forecast() -> ForecastPicture {
    let long = "slimpajama-llama-norm-nlayers12-nhead12-lr0.001-wsd-linear-decay0.2-iter25000-bs50x2-seed0";
    let base = forecast();
    ForecastPicture {
        title: format!(
            "A very long title about {long}, which has to be broken into more than one line to be read at all"
        ),
        subtitle: Some(format!("<{long}> & \"quoted\" \u{1b}[31mred?")),
        horizontal: Horizontal::Tokens { per_update: 524_288.0 },
        loss: base.x.iter().map(|t| 2.5 + 1e-6 * (1.0 - t / 1e5)).collect(),
        lower: Vec::new(),
        upper: Vec::new(),
        measured: vec![Rival { name: long.into(), x: vec![1e5], loss: vec![2.500_000_4], rate: Vec::new() }],
        rivals: vec![Rival { name: long.into(), ..base.rivals[0].clone() }],
        loss_range: Some((2.5 - 1e-6, 2.5 + 2e-6)),
        phases: Vec::new(),
        ..base
    }
}

/// One measured run of one point, a forecast of one point, nothing else.
pub fn barest_forecast() -> ForecastPicture {
    ForecastPicture {
        x: vec![1000.0],
        loss: vec![3.0],
        lower: Vec::new(),
        upper: Vec::new(),
        rate_x: Vec::new(),
        rate: Vec::new(),
        measured: Vec::new(),
        rivals: Vec::new(),
        phases: Vec::new(),
        subtitle: None,
        caption: None,
        ..forecast()
    }
}

pub fn recommendation() -> RecommendationPicture {
    let ratio: Vec<f64> = (1..=100).map(|i| i as f64 / 100.0).collect();
    let at = |r: f64| 2.6120 + 0.060 * (r.sqrt() - 0.67).powi(2);
    let rule = |name: &str, ratio: Option<f64>, loss: f64| Rule {
        name: name.into(),
        ratio,
        loss,
        regret_mnat: (loss - at(0.45)) * 1e3,
    };
    RecommendationPicture {
        chosen: None,
        title: "Anneal over the last 45 %; anything from 31 % to 61 % costs under 2 mnat".into(),
        subtitle: Some("124M dense, peak LR 10⁻³, 25k updates, linear annealing; noise-relaxation law".into()),
        caption: Some("Band: 90 % interval of the final loss; it is shared by all ratios, differences are more certain than it.".into()),
        loss: ratio.iter().map(|&r| at(r)).collect(),
        lower: ratio.iter().map(|&r| at(r) - 0.0025 - 0.002 * (r - 0.4).abs()).collect(),
        upper: ratio.iter().map(|&r| at(r) + 0.0025 + 0.002 * (r - 0.4).abs()).collect(),
        coverage: 0.9,
        best_ratio: 0.45,
        best_loss: at(0.45),
        ratio_interval: Some((0.40, 0.52)),
        plateau: Some((0.31, 0.61)),
        tolerance_mnat: 2.0,
        rules: vec![
            rule("10 %", Some(0.1), at(0.1)),
            rule("20 %", Some(0.2), at(0.2)),
            rule("cosine", None, at(0.45) + 0.0031),
            rule("linear to zero", Some(1.0), at(1.0)),
        ],
        measured: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8]
            .iter()
            .enumerate()
            .map(|(i, &r)| MeasuredLoss { name: format!("r = {r}"), ratio: r, loss: at(r) + 0.0011 * wiggle(i, 5) })
            .collect(),
        ratio,
    }
}

/// A flat basin, no intervals, rules that tie or lie far above.
pub fn flat_recommendation() -> RecommendationPicture {
    let base = recommendation();
    let flat = base.ratio.iter().map(|r| 2.5 + 1e-5 * (r - 0.5).abs()).collect();
    let mut rules = base.rules.clone();
    for rule in &mut rules {
        rule.loss = 2.500_004;
        rule.regret_mnat = 0.004;
    }
    rules[0].loss = 2.9;
    rules[0].regret_mnat = 400.0;
    RecommendationPicture {
        chosen: None,
        loss: flat,
        lower: Vec::new(),
        upper: Vec::new(),
        best_ratio: 0.5,
        best_loss: 2.5,
        ratio_interval: None,
        plateau: Some((0.0, 1.0)),
        rules,
        measured: Vec::new(),
        ..base
    }
}

pub fn comparison() -> ComparisonPicture {
    let entry = |name: &str, value: f64, lo: f64, hi: f64, n: usize| ComparisonEntry {
        name: name.into(),
        value,
        interval: Some((lo, hi)),
        note: Some(format!("{n} coefficients")),
    };
    ComparisonPicture {
        title: "The noise-relaxation law forecasts unseen schedules best".into(),
        subtitle: Some("Mean held-out error, six schedules, 100M".into()),
        caption: Some("Bars: 90 % interval over schedules.".into()),
        metric: "mean held-out error (10⁻⁴ of the loss)".into(),
        coverage: 0.9,
        entries: vec![
            entry("noise-relaxation", 9.1, 7.2, 11.4, 5),
            entry("multi-power", 14.2, 11.0, 18.1, 7),
            entry("exponential memory, fitted λ", 16.8, 12.2, 22.9, 5),
            entry("memoryless", 20.3, 15.0, 27.0, 3),
            entry("forward–momentum (ASMT, logged rows)", 158.0, 90.0, 240.0, 6),
        ],
    }
}

pub fn fit(runs: usize, view: FitView) -> FitPicture {
    let runs = (0..runs)
        .map(|i| {
            let x = steps(60 + i, if i % 3 == 0 { 15e3 } else { 25e3 });
            let fitted: Vec<f64> = x.iter().map(|&t| loss(t, 25e3, 0.2, 0.0)).collect();
            let measured = fitted
                .iter()
                .enumerate()
                .map(|(k, l)| l + 0.003 * wiggle(k, i) + 0.002 * (k as f64 / 9.0 + i as f64).sin())
                .collect();
            RunFit { name: format!("wsd-lr{}e-4-r0.{}", 1 + i % 9, 1 + i % 8), x, measured, fitted }
        })
        .collect();
    FitPicture {
        title: "Residuals of the noise-relaxation law".into(),
        subtitle: Some("Measured minus law, in mnat; the worst run first".into()),
        caption: None,
        view,
        runs,
    }
}

pub fn transfer() -> TransferPicture {
    let line = |from: f64, to: f64| -> Vec<f64> {
        (0..=40).map(|i| from * (to / from).powf(i as f64 / 40.0)).collect()
    };
    let rate = |x: f64| 0.49 * (x / 1e-3).powf(0.42);
    let horizon = |x: f64| 0.49 * (x / 25e3).powf(0.16);
    let mut optima = Vec::new();
    for (i, x) in [1e-4, 5e-4, 1e-3, 2e-3].into_iter().enumerate() {
        for (group, shift) in [("15k updates", 0.93), ("25k updates", 1.02)] {
            let r = rate(x) * shift * (1.0 + 0.05 * wiggle(i, 3));
            optima.push(Optimum {
                group: group.into(),
                x,
                ratio: r,
                interval: Some((r * 0.86, r * 1.15)),
                limit: false,
            });
        }
    }
    let xs = line(1e-4, 3e-3);
    let ts = line(15e3, 2e5);
    TransferPicture {
        title: "The best ratio grows with the peak rate".into(),
        subtitle: Some("Measured optima of 15 cells, quadratic in √r; power laws with 90 % interval".into()),
        caption: Some("A ratio above 1 does not exist: the power law is capped there.".into()),
        coverage: 0.9,
        panels: vec![
            TransferPanel {
                axis: "peak learning rate".into(),
                format: TickFormat::Power,
                optima,
                ratio: xs.iter().map(|&x| rate(x)).collect(),
                lower: xs.iter().map(|&x| rate(x) * 0.9).collect(),
                upper: xs.iter().map(|&x| rate(x) * 1.11).collect(),
                x: xs,
                law: "r ∝ η^0.42".into(),
                target: Some((3e-3, rate(3e-3))),
            },
            TransferPanel {
                axis: "horizon (updates)".into(),
                format: TickFormat::Si,
                optima: [15e3, 25e3]
                    .iter()
                    .map(|&x| Optimum {
                        group: String::new(),
                        x,
                        ratio: horizon(x),
                        interval: Some((horizon(x) * 0.85, horizon(x) * 1.2)),
                        limit: false,
                    })
                    .collect(),
                ratio: ts.iter().map(|&x| horizon(x)).collect(),
                lower: ts.iter().map(|&x| horizon(x) * 0.85).collect(),
                upper: ts.iter().map(|&x| horizon(x) * 1.18).collect(),
                x: ts,
                law: "r ∝ T^0.16".into(),
                target: Some((100e3, horizon(100e3))),
            },
        ],
    }
}

pub fn training(done: usize) -> TrainingPicture {
    let total = 1000.0;
    let every = |n: usize| (1..=done / n).map(|i| (i * n) as f64).collect::<Vec<f64>>();
    let rate_x: Vec<f64> = (1..=1000).map(f64::from).collect();
    TrainingPicture {
        title: "dense-0.1m-b16-wsd-p0.003-T1000-r0.2-s0".into(),
        subtitle: Some(format!(
            "update {done}/1000  loss 2.7123  rate 3.000e-3  21.3k tokens/s  42.1 s left"
        )),
        caption: None,
        total,
        x: every(1),
        training: (0..done).map(|i| loss(i as f64 * 40.0, total, 0.2, 0.05 * wiggle(i, 5))).collect(),
        validation_x: every(50),
        validation: every(50).iter().map(|t| loss(t * 40.0, total, 0.2, 0.0)).collect(),
        floor: Some(("ideal predictor".into(), 2.4)),
        rate: rate_x.iter().map(|&t| wsd(t, total, 0.2, 3e-3)).collect(),
        rate_x,
    }
}

pub fn plan() -> PlanPicture {
    let outlook = |cost, regret, half_width| Outlook { cost, regret, half_width };
    PlanPicture {
        title: "Three more runs lower the expected regret from 4.1 to 0.6 mnat".into(),
        subtitle: Some("peak rate 0.001, 50000 updates, 1.3 B parameters".into()),
        caption: Some("noise-relaxation law fitted on 2 runs; 16 draws".into()),
        cost: "FLOPs (10^18)".into(),
        steps: vec![
            outlook(0.0, 4.1, 21.0),
            outlook(1.2, 1.9, 14.0),
            outlook(1.6, 0.9, 12.5),
            outlook(3.0, 0.6, 9.0),
            outlook(5.5, 0.55, 8.0),
        ],
        stop: 3,
        grid: outlook(40.0, 0.3, 6.0),
        coverage: 0.9,
    }
}

/// Every sample with a name and the size it is drawn at.
pub fn all() -> Vec<(&'static str, Box<dyn Picture>, PictureStyle)> {
    let usual = PictureStyle::default();
    let wide = PictureStyle { height: 360.0, ..usual };
    let seventy = fit(70, FitView::Residuals);
    let eight = fit(8, FitView::Curves);
    let tall = |picture: &FitPicture| PictureStyle { height: picture.natural_height(), ..usual };
    let (tall_seventy, tall_eight) = (tall(&seventy), tall(&eight));
    vec![
        ("forecast", Box::new(forecast()), usual),
        ("forecast-dark", Box::new(forecast()), PictureStyle { theme: Theme::Dark, ..usual }),
        ("forecast-seventy", Box::new(forecast_of_seventy_runs()), usual),
        ("forecast-awkward", Box::new(awkward_forecast()), usual),
        ("forecast-barest", Box::new(barest_forecast()), usual),
        ("forecast-small", Box::new(forecast()), PictureStyle { width: 420.0, height: 320.0, ..usual }),
        ("recommendation", Box::new(recommendation()), PictureStyle { height: 440.0, ..usual }),
        ("recommendation-flat", Box::new(flat_recommendation()), PictureStyle { height: 440.0, ..usual }),
        (
            "comparison",
            Box::new(comparison()),
            PictureStyle { height: comparison().natural_height(), ..usual },
        ),
        ("fit-one", Box::new(fit(1, FitView::Residuals)), wide),
        ("fit-eight", Box::new(eight), tall_eight),
        ("fit-seventy", Box::new(seventy), tall_seventy),
        ("plan", Box::new(plan()), usual),
        ("transfer", Box::new(transfer()), wide),
        ("training", Box::new(training(640)), usual),
        ("training-begun", Box::new(training(1)), usual),
    ]
}
