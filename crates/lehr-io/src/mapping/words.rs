//! Roles by the words of a name, for columns whose names no list holds.

use super::Role;

/// Words that say: not of the data trained on.
pub(crate) const VALIDATION: &[&str] =
    &["val", "valid", "validation", "eval", "evaluation", "test", "dev", "heldout", "evalloss", "valloss"];

/// Words for a loss, by how plainly they say it: the best first.
const LOSSES: [&[&str]; 3] = [
    &["loss", "losses", "crossentropyloss", "trainloss", "valloss", "evalloss"],
    &["ce", "crossentropy", "nll", "xent"],
    &["bpb", "bpt", "bits"],
];

/// Words of losses that are not the loss of the language model, and of numbers about losses.
const OTHER: &[&str] = &[
    "aux",
    "auxiliary",
    "z",
    "zloss",
    "balance",
    "balancing",
    "load",
    "router",
    "routing",
    "moe",
    "mtp",
    "kl",
    "reg",
    "regularization",
    "regularisation",
    "penalty",
    "policy",
    "value",
    "critic",
    "actor",
    "entropyloss",
    "grad",
    "scale",
    "scaler",
    "scaling",
    "ratio",
    "delta",
    "diff",
    "std",
    "var",
    "variance",
    "min",
    "max",
    "best",
    "lowest",
    "ppl",
    "perplexity",
    "acc",
    "accuracy",
    "count",
    "num",
    "weight",
    "epoch",
    "vs",
    "spike",
    "spikes",
    "skip",
    "skipped",
    "mask",
    "downstream",
    "task",
    "mc",
    "rc",
    "hellaswag",
    "target",
    "distill",
    "kd",
    "reward",
];

/// Words that say: a moving average.
const SMOOTHED: &[&str] =
    &["ema", "ewma", "smoothed", "smooth", "smoothened", "running", "moving", "lossema", "emaloss"];

/// Words that may stand beside the one for a rate.
const RATES: &[&str] = &[
    "lr",
    "learning",
    "rate",
    "optim",
    "optimizer",
    "optimiser",
    "opt",
    "train",
    "training",
    "trainer",
    "group",
    "groups",
    "pg",
    "param",
    "params",
    "adam",
    "adamw",
    "muon",
    "sgd",
    "current",
    "schedule",
    "scheduler",
    "learningrate",
    "hyperparams",
    "metrics",
    "epoch",
];

/// Words that may stand beside the one for an update.
const STEPS: &[&str] = &[
    "step",
    "steps",
    "iteration",
    "iterations",
    "iter",
    "iters",
    "update",
    "updates",
    "train",
    "training",
    "trainer",
    "global",
    "optimizer",
    "optimiser",
    "optim",
    "opt",
    "num",
    "current",
    "metrics",
    "globalstep",
];

/// The words of a name in small letters: cut at signs, digits and changes from small to capital letters (`val_loss`,
/// `evalLoss`; `Value` and `interval` are one word).
fn words(name: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut word = String::new();
    let mut small = false;
    for c in name.chars().chain([' ']) {
        let ends = !c.is_alphabetic() || (small && c.is_uppercase());
        if ends && !word.is_empty() {
            all.push(std::mem::take(&mut word));
        }
        small = c.is_lowercase();
        if c.is_alphabetic() {
            word.extend(c.to_lowercase());
        }
    }
    all
}

/// Whether one of the words stands in a name (`val_loss`, `evalLoss`; not `value`, `interval_loss`).
pub(crate) fn has_word(name: &str, wanted: &[&str]) -> bool {
    words(name).iter().any(|word| wanted.contains(&word.as_str()))
}

fn holds(words: &[String], wanted: &[&str]) -> bool {
    words.iter().any(|word| wanted.contains(&word.as_str()))
}

/// Whether two words follow each other.
fn follow(words: &[String], first: &str, second: &str) -> bool {
    words.windows(2).any(|pair| pair[0] == first && pair[1] == second)
}

/// How plainly a name says that it is a loss: 0 the plainest; `None`: it does not.
fn loss_tier(words: &[String]) -> Option<usize> {
    if holds(words, OTHER) {
        return None;
    }
    let named = LOSSES.iter().position(|tier| holds(words, tier));
    named.or_else(|| follow(words, "cross", "entropy").then_some(1))
}

/// Whether a name speaks of a moving average.
pub(crate) fn is_smoothed(name: &str) -> bool {
    has_word(name, SMOOTHED)
}

/// The decay that the name of a moving average states: `loss_ema_0.99`, `ema0.9/loss`.
pub(crate) fn smoothing_decay(name: &str) -> Option<f64> {
    if !is_smoothed(name) {
        return None;
    }
    let number = |c: char| c.is_ascii_digit() || c == '.';
    let mut found = name.split(|c| !number(c)).filter_map(|part| part.trim_matches('.').parse::<f64>().ok());
    found.find(|&decay| (0.5..1.0).contains(&decay))
}

fn is_rate(words: &[String]) -> bool {
    let named = holds(words, &["lr", "learningrate"]) || follow(words, "learning", "rate");
    named && words.iter().all(|word| RATES.contains(&word.as_str()))
}

fn is_step(words: &[String]) -> bool {
    let named = holds(
        words,
        &["step", "steps", "iteration", "iterations", "iter", "iters", "update", "updates", "globalstep"],
    );
    named && words.iter().all(|word| STEPS.contains(&word.as_str()))
}

/// Whether a column of this name could play a role by its words.
pub(super) fn could_play(name: &str) -> bool {
    let words = words(name);
    loss_tier(&words).is_some() || is_rate(&words) || is_step(&words) || holds(&words, &["ppl", "perplexity"])
}

/// The one column whose words say that it plays a role; `None` where there is none, or where several say so alike.
pub(super) fn guess(role: Role, columns: &[String]) -> Option<String> {
    match role {
        Role::Loss => loss(columns, false),
        Role::ValidationLoss => loss(columns, true),
        // Groups of parameters share the course of their rates; the first speaks for them.
        Role::Lr => columns.iter().find(|name| is_rate(&words(name))).cloned(),
        Role::Step => columns.iter().find(|name| is_step(&words(name))).cloned(),
        _ => None,
    }
}

/// A loss of the training or of the validation, as the names say.
fn loss(columns: &[String], of_validation: bool) -> Option<String> {
    let mut found: Vec<(usize, bool, bool, usize, &String)> = columns
        .iter()
        .filter_map(|name| {
            let words = words(name);
            let tier = loss_tier(&words)?;
            if holds(&words, VALIDATION) != of_validation {
                return None;
            }
            let train = holds(&words, &["train", "training", "trainloss"]);
            Some((tier, holds(&words, SMOOTHED), !train, words.len(), name))
        })
        .collect();
    found.sort();
    let first = found.first()?;
    let rank = |found: &(usize, bool, bool, usize, &String)| (found.0, found.1, found.2);
    // Of several as plain, the one whose words all the others have, too (`eval/loss`, `eval/c4/loss`): what the others add
    // names a part. Nothing else tells two sets apart (`eval/c4/loss`, `eval/pile/loss`): neither is taken.
    let plain = words(first.4);
    let is_whole = found.iter().skip(1).filter(|other| rank(other) == rank(first)).all(|other| {
        let words = words(other.4);
        words.len() > plain.len() && plain.iter().all(|word| words.contains(word))
    });
    is_whole.then(|| first.4.clone())
}

/// Every column that holds a validation loss by its name, plain names and those of single sets alike.
pub(crate) fn validation_losses(columns: &[String]) -> Vec<&String> {
    let is_one = |name: &&String| {
        let words = words(name);
        loss_tier(&words).is_some()
            && holds(&words, VALIDATION)
            && !holds(&words, SMOOTHED)
            && !holds(&words, &["bpb", "bpt", "bpc", "bits", "byte", "bytes"])
    };
    columns.iter().filter(is_one).collect()
}

/// The column of the negative log-likelihood beside a loss of the same other words: `valid_nll_loss` of `valid_loss`.
pub(crate) fn likelihood_of(loss: &str, columns: &[String]) -> Option<String> {
    let wanted = words(loss);
    let is_one = |name: &&String| {
        let mut words = words(name);
        let nll = words.iter().position(|word| word == "nll");
        nll.is_some_and(|at| {
            words.remove(at);
            words == wanted
        })
    };
    columns.iter().find(is_one).cloned()
}

/// Whether the values of a column of this name may tell the rows of the training from those of the validation.
pub(crate) fn could_tell_splits(name: &str) -> bool {
    const WORDS: &[&str] = &[
        "split",
        "phase",
        "subset",
        "mode",
        "stage",
        "set",
        "partition",
        "kind",
        "type",
        "loop",
        "dataset",
        "data",
    ];
    let words = words(name);
    !words.is_empty() && words.iter().all(|word| WORDS.contains(&word.as_str()))
}

/// The column of perplexities that belongs to a loss: the same words but for those of losses and perplexities.
pub(crate) fn perplexity_of(loss: &str, columns: &[String]) -> Option<String> {
    const NAMES: &[&str] = &[
        "ppl",
        "perplexity",
        "loss",
        "losses",
        "ce",
        "cross",
        "entropy",
        "crossentropy",
        "crossentropyloss",
        "nll",
        "xent",
        "bits",
    ];
    let rest = |name: &str| -> Vec<String> {
        words(name).into_iter().filter(|word| !NAMES.contains(&word.as_str())).collect()
    };
    let (wanted, all) = (rest(loss), || columns.iter().filter(|name| has_word(name, &["ppl", "perplexity"])));
    let found = all().find(|name| rest(name) == wanted);
    // `train_loss` beside a bare `ppl`: the only one, and not that of another split.
    let plain = || {
        let of_validation = holds(&words(loss), VALIDATION);
        let mut plain = all().filter(|name| rest(name).is_empty());
        plain.next().filter(|_| !of_validation)
    };
    found.or_else(plain).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_loss_is_found_by_its_words() {
        let all = [
            "Metrics/loss",
            "Loss/train",
            "ce_loss",
            "cross_entropy",
            "CrossEntropyLoss",
            "nll",
            "trainLoss",
        ];
        for name in all {
            assert_eq!(guess(Role::Loss, &columns(&["step", name, "lr"])).as_deref(), Some(name));
        }
        for name in ["Loss/val", "dev_loss", "eval/ce", "heldout loss"] {
            assert_eq!(guess(Role::Loss, &columns(&[name])), None, "{name}");
            assert_eq!(guess(Role::ValidationLoss, &columns(&[name])).as_deref(), Some(name));
        }
        for name in
            ["Value", "loss_scale", "aux_loss", "z_loss", "load_balancing_loss", "best_val_loss", "ppl"]
        {
            let names = columns(&[name]);
            assert_eq!(
                (guess(Role::Loss, &names), guess(Role::ValidationLoss, &names)),
                (None, None),
                "{name}"
            );
        }
    }

    #[test]
    fn two_losses_that_names_do_not_tell_apart_are_neither() {
        assert_eq!(guess(Role::ValidationLoss, &columns(&["eval/c4/loss", "eval/pile/loss"])), None);
        // However long their names are.
        let olmo = ["eval/v3-small-pile-validation/loss", "eval/v2-small-ice-validation/loss"];
        assert_eq!(guess(Role::ValidationLoss, &columns(&olmo)), None);
        let whole = ["eval/c4/loss", "eval/loss", "eval/pile/loss"];
        assert_eq!(guess(Role::ValidationLoss, &columns(&whole)).as_deref(), Some("eval/loss"));
        // The loss itself goes before its moving average, and a loss before what is called otherwise.
        assert_eq!(guess(Role::Loss, &columns(&["m/loss_ema", "m/loss"])).as_deref(), Some("m/loss"));
        assert_eq!(guess(Role::Loss, &columns(&["x/ce", "x/loss"])).as_deref(), Some("x/loss"));
    }

    #[test]
    fn rates_and_steps_are_found_by_their_words() {
        assert_eq!(
            guess(Role::Lr, &columns(&["lr_scale", "opt/lr_group0"])).as_deref(),
            Some("opt/lr_group0")
        );
        assert_eq!(guess(Role::Lr, &columns(&["Learning Rate"])).as_deref(), Some("Learning Rate"));
        assert_eq!(guess(Role::Lr, &columns(&["lr_decay_ratio", "min_lr"])), None);
        assert_eq!(
            guess(Role::Step, &columns(&["steps_per_second", "Global Step"])).as_deref(),
            Some("Global Step")
        );
    }

    #[test]
    fn a_perplexity_belongs_to_the_loss_of_the_same_words() {
        let all = columns(&["ppl", "valid_ppl", "train/Perplexity"]);
        assert_eq!(perplexity_of("loss", &all).as_deref(), Some("ppl"));
        assert_eq!(perplexity_of("valid_loss", &all).as_deref(), Some("valid_ppl"));
        assert_eq!(perplexity_of("train/CrossEntropyLoss", &all).as_deref(), Some("train/Perplexity"));
        assert_eq!(perplexity_of("val_loss", &columns(&["ppl"])), None);
        assert_eq!(perplexity_of("train_loss", &columns(&["ppl"])).as_deref(), Some("ppl"));
    }

    #[test]
    fn the_likelihood_belongs_to_the_loss_of_the_same_words() {
        let all = columns(&["loss", "nll_loss", "valid_loss", "valid_nll_loss"]);
        assert_eq!(likelihood_of("loss", &all).as_deref(), Some("nll_loss"));
        assert_eq!(likelihood_of("valid_loss", &all).as_deref(), Some("valid_nll_loss"));
        assert_eq!(likelihood_of("nll_loss", &all), None);
    }

    #[test]
    fn a_name_may_state_the_decay_of_its_average() {
        assert_eq!(smoothing_decay("loss_ema_0.99"), Some(0.99));
        assert_eq!(smoothing_decay("ema0.9/loss"), Some(0.9));
        assert_eq!(smoothing_decay("smoothed_loss"), None);
        assert_eq!(smoothing_decay("loss_0.99"), None);
    }
}
