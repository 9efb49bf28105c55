//! The best annealing ratio measured: against peak rate, horizon and N, dense and mixture of experts.

use super::Results;
use super::findings::{Block, Findings, Table, interval, mnat};
use super::validation::Validated;
use crate::failure::Failure;
use crate::pictures;
use crate::transfer::VARIABLES;
use lehr::measured::{MeasuredOptimum, branch_noise, measured_optima, twin_noise};
use lehr::transfer::{
    ALL_VARIABLES, ArchitectureGap, Carried, Larger, Optimum, PowerLaw, Stability, Variable,
    architecture_gap, carry_over, power_law, stability,
};
use lehr::{ArchFamily, CaveatKind, Curve, Params};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

const LEVEL: lehr::Level = lehr::Level::USUAL;

/// Optima of one architecture, data set and shape.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct RatioGroup {
    /// Family of the architecture.
    pub arch: ArchFamily,
    /// Data set.
    pub dataset: String,
    /// How the rate falls.
    pub shape: String,
    /// One a cell.
    pub cells: Vec<MeasuredOptimum>,
    /// Power laws that the optima determine.
    pub laws: Vec<PowerLaw>,
    /// Why the others are not determined.
    pub undetermined: Vec<String>,
    /// Whether the ratio stays put across N.
    pub across_size: Option<Stability>,
    /// The ratio carried to the longest horizon.
    pub to_longer: Option<Vec<Carried>>,
    /// The ratio carried to the largest N by a law without N.
    pub to_larger: Option<Vec<Carried>>,
    /// The same by a law with N, where the smaller cells vary it.
    pub to_larger_with_n: Option<Vec<Carried>>,
}

/// What the experiment `ratios` found.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct RatiosFound {
    /// Standard deviation of a final loss, from twins, nats.
    pub twin_noise: Option<f64>,
    /// The same without what all runs of a seed share, nats.
    pub branch_noise: Option<f64>,
    /// Optima by architecture, data set and shape.
    pub groups: Vec<RatioGroup>,
    /// Whether the ratio stays put across data sets and splits.
    pub stability: Vec<Stability>,
    /// Mixture of experts against dense.
    pub gap: Option<ArchitectureGap>,
    /// Runs trained at ratios predicted from smaller cells; not with `[[store]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<Vec<Validated>>,
}

/// Cells of one architecture, data set and shape.
struct Group {
    arch: ArchFamily,
    dataset: String,
    shape: String,
    cells: Vec<MeasuredOptimum>,
    /// Optima inside what was measured.
    inside: Vec<Optimum>,
    laws: Vec<Result<PowerLaw, String>>,
    horizon: Result<Vec<Carried>, String>,
    size: Result<Vec<Carried>, String>,
    /// The same with N as a variable of the law, where the smaller cells vary it.
    size_with_n: Result<Vec<Carried>, String>,
    /// Whether the ratio moves with N within the group.
    across_size: Option<Stability>,
}

impl Group {
    fn new((arch, dataset, shape): (ArchFamily, String, String), cells: Vec<MeasuredOptimum>) -> Self {
        let inside: Vec<Optimum> = cells.iter().filter(|cell| !cell.at_edge).map(Optimum::from).collect();
        let all: Vec<Optimum> = cells.iter().map(Optimum::from).collect();
        let laws = VARIABLES.iter().map(|v| power_law(&all, v, LEVEL).map_err(|e| e.to_string())).collect();
        let horizon = carried(&cells, Larger::Horizon, &ALL_VARIABLES);
        let size = carried(&cells, Larger::Size, &ALL_VARIABLES[..2]);
        let sizes: BTreeSet<Params> = cells.iter().filter_map(|cell| cell.params).collect();
        let size_with_n = if sizes.len() < 3 {
            Err("the smaller cells have one N".to_owned())
        } else {
            carried(&cells, Larger::Size, &ALL_VARIABLES)
        };
        let across_size = stability(&all).into_iter().find(|question| question.across == "N");
        Self { arch, dataset, shape, inside, laws, horizon, size, size_with_n, across_size, cells }
    }

    fn name(&self) -> String {
        format!("{}, {}, {} annealing", self.arch, self.dataset, self.shape)
    }
}

/// The cell that a ratio was carried to.
fn cell_of<'a>(cells: &'a [MeasuredOptimum], c: &Carried) -> Option<&'a MeasuredOptimum> {
    cells.iter().find(|cell| cell.peak_lr == c.peak_lr && cell.total == c.total && cell.params == c.params)
}

/// Ratios carried to the larger cells, where the ratios measured there reach the prediction: beyond them no cost is known.
fn carried(
    cells: &[MeasuredOptimum],
    larger: Larger,
    variables: &[Variable],
) -> Result<Vec<Carried>, String> {
    if cells.iter().all(|cell| cell.at_edge) {
        return Err("every optimum lies at an edge".to_owned());
    }
    let mut carried = carry_over(cells, larger, variables, LEVEL).map_err(|error| error.to_string())?;
    carried.retain(|c| {
        cell_of(cells, c).is_some_and(|cell| {
            let reached = cell.points[0].0..=cell.points[cell.points.len() - 1].0;
            reached.contains(&c.predicted)
        })
    });
    if carried.is_empty() {
        return Err("the ratios measured there do not reach the prediction".to_owned());
    }
    Ok(carried)
}

/// One term of a law in words.
fn terms(law: &PowerLaw) -> String {
    let term = |(v, e): (&Variable, &lehr::transfer::Exponent)| {
        format!("{}^{:+.3} ({})", v.symbol(), e.value, interval(e.interval, 3))
    };
    law.variables.iter().zip(&law.exponents).map(term).collect::<Vec<_>>().join(" · ")
}

fn carried_table(blocks: &mut Vec<Block>, carried: &[Carried]) {
    let mut table =
        Table::new(["peak rate", "updates", "active N", "predicted", "90 %", "measured", "costs mnat"]);
    for c in carried {
        table.row([
            format!("{:e}", c.peak_lr),
            c.total.to_string(),
            n(c.params),
            format!("{:.3}", c.predicted),
            interval(c.interval, 3),
            format!("{:.3}", c.measured),
            mnat(c.regret),
        ]);
    }
    blocks.push(Block::Table(table));
}

fn n(params: Option<Params>) -> String {
    params.map_or_else(|| "unknown".to_owned(), |n| n.0.to_string())
}

/// Mean and largest cost, in words.
fn costs(carried: &[Carried]) -> String {
    let all: Vec<f64> = carried.iter().map(|c| c.regret).collect();
    format!(
        "{} mnat on average and {} at most",
        mnat(all.iter().sum::<f64>() / all.len().max(1) as f64),
        mnat(all.iter().copied().fold(0.0, f64::max))
    )
}

/// The cells by architecture, data set and shape.
fn groups(measured: &[MeasuredOptimum]) -> Vec<Group> {
    let mut groups: BTreeMap<(ArchFamily, String, String), Vec<MeasuredOptimum>> = BTreeMap::new();
    for cell in measured {
        let dataset = cell.dataset.clone().unwrap_or_else(|| "unstated data".to_owned());
        groups.entry((cell.arch, dataset, cell.shape.clone())).or_default().push(cell.clone());
    }
    groups.into_iter().map(|(key, cells)| Group::new(key, cells)).collect()
}

/// A cell and the ratio that the smaller cells of its group predict for it.
pub struct Target {
    /// The larger cell.
    pub cell: MeasuredOptimum,
    /// The ratio predicted.
    pub predicted: f64,
    /// `size` or `horizon`.
    pub across: &'static str,
}

/// Of every group of linear annealing the larger cell with the lowest loss: across sizes where the group has several,
/// else across horizons.
pub fn targets(curves: &[Curve]) -> Vec<Target> {
    let target = |group: Group| {
        let across = [("size", group.size_with_n), ("size", group.size), ("horizon", group.horizon)];
        let (across, carried) = across.into_iter().find_map(|(name, carried)| Some((name, carried.ok()?)))?;
        carried
            .iter()
            .filter_map(|c| {
                Some(Target { cell: cell_of(&group.cells, c)?.clone(), predicted: c.predicted, across })
            })
            .min_by(|a, b| a.cell.loss.total_cmp(&b.cell.loss))
    };
    groups(&measured_optima(curves))
        .into_iter()
        .filter(|group| group.shape == "linear")
        .filter_map(target)
        .collect()
}

/// Measures the optima and fits their laws.
pub fn analyse(curves: &[Curve], store: &str) -> Result<Findings, Failure> {
    let measured = measured_optima(curves);
    if measured.is_empty() {
        return Err(Failure::new("no cell has four or more annealing ratios: no optimum can be measured")
            .hint("give runs that share peak rate, horizon, shape, size and data and differ in the ratio"));
    }
    let groups = groups(&measured);
    let optima: Vec<Optimum> = measured.iter().map(Optimum::from).collect();
    // N differs between the groups: it is asked within each, and architectures are compared in pairs of equal N.
    let mut questions = stability(&optima);
    questions.retain(|question| question.across != "N" && question.across != "architecture");
    let gap = architecture_gap(&measured, LEVEL);
    let noise = twin_noise(curves);
    let (mut summary, mut blocks, mut caveats) = (Vec::new(), Vec::new(), Vec::new());
    let edges = measured.iter().filter(|cell| cell.at_edge).count();
    if edges > 0 {
        caveats.push(CaveatKind::OptimumAtEdge { at_edge: edges as u64, of: measured.len() as u64 }.into());
    }
    if noise.is_none() {
        caveats.push(CaveatKind::NoTwins.into());
    }
    for group in &groups {
        group.write(&mut summary, &mut blocks);
    }
    blocks.push(Block::Heading("Does the ratio stay put elsewhere?".to_owned()));
    blocks.push(Block::Text(
        "Effects on ln R of the second level against the first, peak rate and horizon accounted for."
            .to_owned(),
    ));
    let mut table = Table::new(["across", "levels", "answer"]);
    for q in &questions {
        table.row([q.across.clone(), q.levels.join(", "), q.verdict.clone()]);
    }
    blocks.push(Block::Table(table));
    if let Some(gap) = &gap {
        let range = gap.interval.map_or_else(|| "–".to_owned(), |range| interval(range, 2));
        let text = format!(
            "mixture of experts against dense at equal peak rate, horizon and active N: R_moe/R_dense = {:.3} (90 %: {range}; {} pairs of cells); using the dense ratio costs the mixture of experts {} mnat on average and {} at most",
            gap.factor,
            gap.pairs,
            mnat(gap.mean_regret),
            mnat(gap.largest_regret)
        );
        blocks.push(Block::Text(format!("{}.", text.replacen('m', "M", 1))));
        summary.push(text);
    }
    for q in questions.iter().filter(|q| q.effect.is_some()) {
        summary.push(format!("across {}: {}", q.across, q.verdict));
    }
    let names: Vec<String> = groups.iter().map(Group::name).collect();
    let all: Vec<Vec<Optimum>> =
        groups.iter().map(|group| group.cells.iter().map(Optimum::from).collect()).collect();
    let sources: Vec<(&str, &[Optimum], &[Result<PowerLaw, String>])> = names
        .iter()
        .zip(&groups)
        .zip(&all)
        .map(|((name, group), all)| (name.as_str(), &all[..], &group.laws[..]))
        .collect();
    let file = "ratios.svg".to_owned();
    blocks.push(Block::Picture(file.clone(), "measured optima against peak rate and horizon".to_owned()));
    let results = RatiosFound {
        twin_noise: noise,
        branch_noise: branch_noise(curves),
        groups: groups.iter().map(RatioGroup::from).collect(),
        stability: questions,
        gap,
        validation: None,
    };
    Ok(Findings {
        title: "The best annealing ratio, measured".to_owned(),
        question: "Runs that share everything but the annealing ratio measure the best ratio of their cell: the lowest point of a quadratic in √r through their final losses. Power laws R = λ·η^α and R = λ·T^α (η in units of 10⁻³, T in units of 10⁴ updates, N in units of 10⁸) are fitted to the optima by weighted least squares of ln R, in which optima at the smallest or largest ratio measured count as limits (censored regression); intervals are of 90 %.".to_owned(),
        summary,
        blocks,
        pictures: vec![(file, pictures::transfer(&sources))],
        caveats,
        commands: vec![format!("lehr transfer {store}")],
        results: Results::Ratios(results),
    })
}

impl Group {
    /// Where the optima lie, in words.
    fn range(&self) -> String {
        let (name, all) = (self.name(), self.cells.len());
        let ratios = self.inside.iter().map(|optimum| optimum.ratio);
        let (low, high) = ratios.fold((f64::INFINITY, 0.0_f64), |(low, high), r| (low.min(r), high.max(r)));
        match self.inside.len() {
            0 => format!("{name}: all {all} optima lie at the smallest or largest ratio measured"),
            inside => format!(
                "{name}: R between {low:.3} and {high:.3} in the {inside} of {all} cells whose optimum lies inside what was measured"
            ),
        }
    }

    fn write(&self, summary: &mut Vec<String>, blocks: &mut Vec<Block>) {
        let name = self.name();
        blocks.push(Block::Heading(format!("Optima: {name}")));
        summary.push(self.range());
        let mut table = Table::new([
            "peak rate",
            "updates",
            "active N",
            "ratios",
            "R",
            "90 %",
            "lowest loss",
            "misfit mnat",
        ]);
        for cell in &self.cells {
            table.row([
                format!("{:e}", cell.peak_lr),
                cell.total.to_string(),
                n(cell.params),
                cell.points.iter().map(|p| format!("{:.2}", p.0)).collect::<Vec<_>>().join(" "),
                format!("{:.3}{}", cell.ratio, if cell.at_edge { " (edge)" } else { "" }),
                interval(cell.interval, 3),
                format!("{:.4}", cell.loss),
                mnat(cell.misfit),
            ]);
        }
        blocks.push(Block::Table(table));
        let mut table = Table::new(["law", "λ", "90 %", "exponents (90 %)", "misfit of ln R", "optima"]);
        for (law, variables) in self.laws.iter().zip(VARIABLES) {
            let of = variables.iter().map(|v| v.symbol()).collect::<Vec<_>>().join(", ");
            match law {
                Ok(law) => {
                    table.row([
                        format!("R({of})"),
                        format!("{:.3}", law.lambda),
                        interval(law.lambda_interval, 3),
                        terms(law),
                        format!("{:.3}", law.rms),
                        law.n.to_string(),
                    ]);
                    summary.push(format!(
                        "{name}: R({of}) = {:.3} · {}, {} optima",
                        law.lambda,
                        terms(law),
                        law.n
                    ));
                }
                Err(error) => {
                    table.row([
                        format!("R({of})"),
                        "–".into(),
                        "–".into(),
                        error.clone(),
                        "–".into(),
                        self.inside.len().to_string(),
                    ]);
                }
            }
        }
        blocks.push(Block::Table(table));
        if let Some(question) = &self.across_size {
            let text = format!(
                "across N, peak rate and horizon accounted for (effect of a factor e in N): {}",
                question.verdict
            );
            if question.effect.is_some() {
                summary.push(format!("{name}: {text}"));
            }
            blocks.push(Block::Text(format!("{}.", text.replacen('a', "A", 1))));
        }
        for (what, carried) in [
            ("the longest horizon", &self.horizon),
            ("the largest model, N left out,", &self.size),
            ("the largest model, N in the law,", &self.size_with_n),
        ] {
            match carried {
                Ok(carried) => {
                    let text = format!(
                        "carried to {what} from the smaller cells alone, the ratio costs {}",
                        costs(carried)
                    );
                    blocks.push(Block::Text(format!("{}:", text.replacen('c', "C", 1))));
                    carried_table(blocks, carried);
                    summary.push(format!("{name}: {text}"));
                }
                Err(error) => blocks.push(Block::Text(format!("Not carried to {what}: {error}."))),
            }
        }
    }
}

impl From<&Group> for RatioGroup {
    fn from(group: &Group) -> Self {
        Self {
            arch: group.arch,
            dataset: group.dataset.clone(),
            shape: group.shape.clone(),
            cells: group.cells.clone(),
            laws: group.laws.iter().flatten().cloned().collect(),
            undetermined: group.laws.iter().filter_map(|law| law.as_ref().err()).cloned().collect(),
            across_size: group.across_size.clone(),
            to_longer: group.horizon.as_ref().ok().cloned(),
            to_larger: group.size.as_ref().ok().cloned(),
            to_larger_with_n: group.size_with_n.as_ref().ok().cloned(),
        }
    }
}
