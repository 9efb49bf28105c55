//! Verbs, their options, and values that nobody would give.

use super::dice::Dice;

/// Numbers at and beyond the ends of what is sensible.
pub const NUMBERS: [&str; 36] = [
    "0",
    "1",
    "-1",
    "2",
    "3",
    "-0",
    "0.5",
    "1e-300",
    "1e-30",
    "1e-9",
    "1e-4",
    "3e-4",
    "1e-3",
    "0.1",
    "1e300",
    "1e308",
    "1e999",
    "NaN",
    "nan",
    "inf",
    "-inf",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775807",
    "4294967296",
    "1000000000",
    "1B",
    "1T",
    "24k",
    "1e18",
    "100",
    "10000",
    ".33333333333333333",
    "101",
    "",
    "7.5",
];

/// Schedules, sound and not.
pub const SCHEDULES: [&str; 22] = [
    "wsd:peak=3e-4,total=24k,warmup=2160,ratio=0.2",
    "wsd:peak=1e-3,total=1000000000,ratio=0.3",
    "wsd:peak=1e-3,total=100,warmup=18446744073709551615,ratio=0.2",
    "wsd:peak=1e-3,total=3,warmup=1,anneal=2,shape=linear,final=0",
    "wsd:peak=1e-300,total=1000,ratio=1",
    "wsd:peak=1e300,total=1000,ratio=1,shape=power:1e300",
    "wsd:peak=1e-3,total=1000,ratio=0.5,shape=exponential,final=0",
    "wsd:peak=1e-3,total=1000,ratio=0.5,shape=inverse,final=1e-12",
    "wsd:peak=1e-3,total=1000,ratio=0.5,shape=geometric,final=200%",
    "wsd:peak=NaN,total=1000,ratio=0.5",
    "wsd:peak=1e-3,total=0,ratio=0.5",
    "constant:peak=1e-3,total=1000000000",
    "constant:peak=1e-3,total=1",
    "cosine:peak=1e-3,total=24k,warmup=24k",
    "linear:peak=1e-3,total=2,warmup=1",
    "two-stage:peak=3e-4,drop=0.9e-4,at=8000,total=16k,warmup=2160",
    "two-stage:peak=3e-4,drop=0.9e-4,at=18446744073709551615,total=16k",
    "multi-stage:rates=1e-3/1e-4/1e-5,ends=10/20,total=30",
    "multi-stage:rates=1e-3/1e-4,ends=20/10,total=30",
    "wsd-s:peak=1e-3,warmup=10,cycles=100+20/100+20",
    "piecewise:100@0..1e-3~linear,900@1e-3",
    "piecewise:18446744073709551615@1e-3,18446744073709551615@1e-3",
];

/// Options of verbs that read logs.
const READING: [&str; 14] = [
    "--map loss=lr",
    "--map step=loss",
    "--map run=step",
    "--map samples=step",
    "--split train",
    "--split val",
    "--stitch",
    "--drop-nan",
    "--warmup #",
    "--params #",
    "--tokens-per-step #",
    "--samples-per-step #",
    "--lr-scale #",
    "--stated-schedule @",
];
/// Options of verbs that fit.
const FITTING: [&str; 12] = [
    "--law memoryless",
    "--law multi-power",
    "--law cmmt",
    "--law fsl",
    "--law chinchilla",
    "--law exponential-memory",
    "--huber #",
    "--points #",
    "--bootstrap 2",
    "--fix alpha=#",
    "--bound a=#..#",
    "--prior q=#±#",
];
/// Options that say which run is meant.
const TARGET: [&str; 9] = [
    "--peak-lr #",
    "--steps #",
    "--warmup #",
    "--params #",
    "--tokens-per-step #",
    "--shape 1-sqrt",
    "--shape power:#",
    "--final-lr #",
    "--accept-caveats",
];
const RECOMMENDING: [&str; 6] = [
    "--ratio-range #..#",
    "--max-anneal-steps #",
    "--tolerance #",
    "--optimise-shape",
    "--free-schedule",
    "--ratio-range 0.2..0.9",
];
const TARGETS: [&str; 20] = [
    "torch",
    "hf",
    "megatron",
    "megatron-bridge",
    "torchtitan",
    "nanotron",
    "olmo-core",
    "levanter",
    "maxtext",
    "optax",
    "llm-foundry",
    "nemo",
    "lingua",
    "nanochat",
    "axolotl",
    "llama-factory",
    "deepspeed",
    "csv",
    "json",
    "npy",
];

/// What a verb is given first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// A log or a table.
    Log,
    /// A fit file.
    Fit,
    /// A plan of a sweep or a configuration of a training run.
    Plan,
    /// Nothing but text.
    Text,
}

/// A command line without its file: `{file}` stands for it.
pub fn line(dice: &mut Dice, takes: Takes) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut more: Vec<&str> = Vec::new();
    let mut say = |text: &str| words.extend(text.split(' ').map(str::to_owned));
    match takes {
        Takes::Log => {
            more.extend(READING);
            match dice.below(10) {
                0..=2 => say("inspect {file}"),
                3 => say("import {file} -o {folder}/store"),
                4 | 5 => {
                    say("fit {file} --starts 1");
                    more.extend(FITTING);
                    more.extend(FITTING);
                }
                6 => {
                    say("validate {file} --starts 1");
                    more.extend(["--leave-out run", "--train *", "--coverage"]);
                    more.extend(FITTING);
                }
                7 => {
                    say("compare {file} --starts 1 --laws nr,memoryless");
                    more.extend(["--leave-out run", "--train *"]);
                }
                8 => {
                    say("transfer {file}");
                    more.extend(TARGET);
                }
                _ => {
                    say("schedule --from-log {file}");
                    more = vec![
                        "--warmup #",
                        "--total #",
                        "--peak #",
                        "--offset #",
                        "--rates",
                        "--export torch",
                    ];
                }
            }
        }
        Takes::Fit => {
            say(if dice.one_in(2) { "forecast {file}" } else { "recommend {file}" });
            if words[0] == "recommend" {
                more.extend(RECOMMENDING);
            }
            let say = |words: &mut Vec<String>, text: &str| words.extend(text.split(' ').map(str::to_owned));
            say(
                &mut words,
                if dice.one_in(3) { "--peak-lr # --steps #" } else { "--peak-lr 1e-3 --steps 4000" },
            );
            more.extend(TARGET);
        }
        Takes::Plan => say(if dice.one_in(2) {
            "sweep {file} --dry-run --no-measure --dir {folder}/sweep"
        } else {
            "train {file} --dry-run"
        }),
        Takes::Text => {
            say("schedule --spec @");
            if dice.one_in(2) {
                words.push("--export".to_owned());
                words.push(dice.pick(&TARGETS).to_owned());
                more = vec!["--from-step #"];
            } else {
                more = vec!["--rates", "-o {folder}/rates.csv"];
            }
        }
    }
    if !more.is_empty() {
        for _ in 0..dice.below(4) {
            words.extend(dice.pick(&more).split(' ').map(str::to_owned));
        }
    }
    if dice.one_in(2) {
        words.push("--json".to_owned());
    }
    words.iter().map(|word| filled(dice, word)).collect()
}

/// Puts numbers in the place of `#` and a schedule in the place of `@`.
fn filled(dice: &mut Dice, word: &str) -> String {
    let mut text = String::new();
    for c in word.chars() {
        match c {
            '#' => text.push_str(dice.pick(&NUMBERS)),
            '@' => text.push_str(&schedule(dice)),
            c => text.push(c),
        }
    }
    text
}

/// A schedule as text, at times with a number changed.
pub fn schedule(dice: &mut Dice) -> String {
    let text = dice.pick(&SCHEDULES).to_owned();
    if dice.one_in(2) {
        super::mutate::number(dice, text.as_bytes())
            .map_or(text, |bytes| String::from_utf8_lossy(&bytes).into_owned())
    } else {
        text
    }
}
