//! Documents of the explorer, each made of a query.

use super::State;
use super::query::Query;
use super::respond::{Made, Refused, said};
use super::shelf::Item;
use crate::report::{ReportFormat, figure_json, object, render};
use axum::http::StatusCode;
use lehr::Curve;
use lehr::fit::Fit;
use lehr_app::documents::{Document, value};
use lehr_app::explore::{ExploreAnswer, ExploreRequest};
use lehr_app::export::ExportAnswer;
use lehr_app::recommend::RecommendAnswer;
use lehr_app::report::{ReportRequest, usual_target};
use lehr_app::{Answer, Failure, laws};
use lehr_report::{PageFigure, PictureStyle};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;

pub(super) fn item(state: &State, query: &Query) -> Result<Arc<Item>, Refused> {
    state
        .shelf
        .item(query.text("data"))
        .map_err(|failure| Refused { status: StatusCode::NOT_FOUND, ..Refused::from(failure) })
}

fn document<D: Document>(answer: &D) -> Result<Made, Refused> {
    Ok(Made::json(&value(answer)?))
}

/// What there is to explore: runs, target, choices.
pub(super) fn data(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    let fit = &item.fit;
    let span = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)))
    };
    let (slowest, fastest) = span(&mut fit.runs.iter().map(|run| run.peak_lr));
    let (shortest, longest) = span(&mut fit.runs.iter().map(|run| run.last_update as f64));
    let usual = usual_target(fit);
    let runs = fit.runs.iter().map(|run| {
        json!({ "id": run.id, "peak_lr": run.peak_lr, "last_update": run.last_update, "params": run.params,
                "annealing_share": run.annealing_share, "fall": run.fall, "mape": run.metrics.mape })
    });
    let document = json!({
        "schema": "lehr.data/1",
        "data": item.id,
        "name": item.name,
        "law": fit.law,
        "runs": runs.collect::<Vec<_>>(),
        "left_out": fit.left_out,
        "target": { "peak_lr": usual.map(|u| u.0), "steps": usual.map(|u| u.1.min(state.limits.horizon)), "warmup": fit.usual_warmup().0 },
        "fitted": { "peak_lr": [slowest, fastest], "last_update": [shortest, longest] },
        "limits": { "steps": state.limits.horizon, "pins": lehr_app::explore::MOST_PINS },
        "laws": lehr::law::all().iter().map(|law| json!({ "name": law.name(), "equation": law.equation() })).collect::<Vec<_>>(),
        "exports": lehr_app::export::targets().map(|(name, title)| json!({ "name": name, "title": title })).collect::<Vec<_>>(),
        "refit": item.reading.is_some(),
        "caveats": fit.caveats,
    });
    Ok(Made::json(&document))
}

/// The recommendation of a target, from the cache where it is there.
fn recommendation(
    state: &State,
    item: &Item,
    query: &Query,
) -> Result<Arc<Answer<RecommendAnswer>>, Refused> {
    let target = query.target(&item.fit, state.limits.horizon)?;
    let key = format!(
        "{}|{:?}|{}|{:?}|{}|{:?}|{:?}",
        item.id, target.peak_lr, target.total, target.warmup, target.shape, target.final_lr, target.setting
    );
    if let Some(kept) = state.cache.recommended(&key) {
        return Ok(kept);
    }
    let answer = Arc::new(state.desk(item).recommend(&target)?);
    state.cache.keep(key, &answer);
    Ok(answer)
}

fn explore(state: &State, item: &Item, query: &Query) -> Result<ExploreAnswer, Refused> {
    let recommended = recommendation(state, item, query)?;
    let request = ExploreRequest {
        target: query.target(&item.fit, state.limits.horizon)?,
        ratio: query.ratio()?,
        pins: query.pins()?,
    };
    Ok(state.desk(item).explore_from(&request, Answer::clone(&recommended))?.value)
}

pub(super) fn explored(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    document(&explore(state, &item, query)?)
}

pub(super) fn forecast(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    document(&explore(state, &item, query)?.forecast)
}

pub(super) fn recommended(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    document(&recommendation(state, &item, query)?.value)
}

fn page_figure(figure: &PageFigure) -> Value {
    object([
        ("svg", Value::from(figure.svg.as_str())),
        ("title", Value::from(figure.title.as_str())),
        ("subtitle", Value::from(figure.subtitle.clone())),
        ("caption", Value::from(figure.caption.clone())),
        ("data", figure_json(figure, figure)),
    ])
}

/// Numbers and figures of one target, as the page shows them.
pub(super) fn view(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    let answer = explore(state, &item, query)?;
    let narrow = match query.text("width") {
        None | Some("wide") => false,
        Some("narrow") => true,
        Some(other) => {
            return Err(Failure::usage(format_args!("width={other}: expected wide or narrow")).into());
        }
    };
    let hidden: Vec<&str> = query.all("hide").collect();
    let curves: Cow<'_, [Curve]> = if hidden.is_empty() {
        Cow::Borrowed(&item.curves)
    } else {
        let shown = |curve: &&Curve| !hidden.contains(&curve.meta().id.as_str());
        item.curves.iter().filter(shown).cloned().collect()
    };
    let (width, heights) = if narrow { (360.0, (420.0, 380.0)) } else { (760.0, (440.0, 380.0)) };
    let figure = answer.forecast_picture(&item.fit, &curves).page(width, heights.0);
    let ratio = answer.ratio_picture(&item.fit).page(width, heights.1);
    let found = &answer.recommend;
    let mut document = json!({
        "schema": "lehr.view/2",
        "data": item.id,
        "target": {
            "peak_lr": found.target.peak_lr, "steps": found.steps, "warmup": found.target.warmup, "shape": found.target.shape,
            "final_lr": found.target.final_lr, "params": found.target.setting.params, "tokens_per_step": found.target.setting.tokens_per_step,
        },
        "ratio": answer.ratio,
        "schedule": answer.forecast.schedule,
        "start_step": answer.start_step,
        "anneal_steps": answer.anneal_steps,
        "final": answer.forecast.last,
        "cost": answer.cost,
        "level": answer.forecast.level,
        "recommended": { "ratio": found.ratio, "interval": found.interval, "plateau": found.plateau, "loss": found.loss.value, "tolerance": found.tolerance },
        "pins": answer.pins,
        "caveats": answer.caveats.iter().map(|c| json!({ "code": c.code(), "blocking": c.blocking(), "message": said(&c.message()) })).collect::<Vec<_>>(),
    });
    document["figures"] = object([("forecast", page_figure(&figure)), ("ratio", page_figure(&ratio))]);
    Ok(Made::json(&document))
}

pub(super) fn export(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    let answer = explore(state, &item, query)?;
    let target = query.text("to").ok_or_else(|| Failure::usage("'to' names the trainer"))?;
    let request = lehr_app::export::ExportRequest { target: target.to_owned(), from_step: None };
    let made = request.make(&answer.forecast.plan)?;
    let setting = &answer.recommend.target.setting;
    let cost = lehr_app::export::cost(&made, &item.fit, setting, &answer.forecast.plan)?;
    let mut whole = ExportAnswer { loss_cost: Some(cost), ..ExportAnswer::from(&made) };
    whole.notes = whole.notes.iter().map(|note| said(note)).collect();
    // A rate for every update is what `text` holds where it is wanted.
    whole.promised_rates.clear();
    document(&whole)
}

pub(super) fn figure(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    let answer = explore(state, &item, query)?;
    let name = query.text("figure").unwrap_or("forecast");
    let picture = match name {
        "forecast" => answer.forecast_picture(&item.fit, &item.curves),
        "ratio" => answer.ratio_picture(&item.fit),
        other => {
            return Err(Failure::usage(format_args!("figure={other}: expected forecast or ratio")).into());
        }
    };
    let style = PictureStyle::default();
    match query.text("format").unwrap_or("svg") {
        "svg" => Ok(Made::file("image/svg+xml", format!("{name}.svg"), picture.svg(&style).into_bytes())),
        "png" => {
            let png = picture.png(&style, 2.0).map_err(Failure::new)?;
            Ok(Made::file("image/png", format!("{name}.png"), png))
        }
        "csv" => {
            let csv = if name == "forecast" { answer.forecast.csv() } else { answer.recommend.csv() };
            Ok(Made::file("text/csv; charset=utf-8", format!("{name}.csv"), csv.into_bytes()))
        }
        other => Err(Failure::usage(format_args!("format={other}: expected svg, png or csv")).into()),
    }
}

pub(super) fn report(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    query.ratio()?;
    let target = query.target(&item.fit, state.limits.horizon)?;
    let law = fit_law(&item.fit)?;
    let answer = state.desk(&item).report(&ReportRequest {
        fit: Some(Fit::clone(&item.fit)),
        reading: item.reading.clone(),
        law,
        options: item.options.clone(),
        peak_lr: Some(target.peak_lr),
        total: Some(target.total),
        warmup: target.warmup,
        shape: target.shape,
        final_lr: target.final_lr,
        setting: target.setting,
        compare: false,
        command: format!("lehr serve ({})", item.name),
        inputs: Vec::new(),
    })?;
    let files = render(&answer.value, ReportFormat::Html, "report.html")?;
    let bytes = files.into_iter().next().map(|(_, bytes)| bytes).unwrap_or_default();
    Ok(Made::file("text/html; charset=utf-8", "report.html", bytes))
}

pub(super) fn fit_law(fit: &Fit) -> Result<&'static dyn lehr::Law, Refused> {
    Ok(laws::named(&fit.law)?)
}

pub(super) fn fit_file(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    let text = lehr_app::fit::to_file(&item.fit)?;
    Ok(Made::file("application/json", "fit.json", text.into_bytes()))
}
