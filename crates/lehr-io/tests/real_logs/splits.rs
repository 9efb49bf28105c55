//! Which losses a log holds: training and validation in one column, several evaluation sets, losses beside the likelihood.

use super::{assert_wsd, load, loss, one, rate, rows, sources, text};
use lehr::{LossKind, Split, Steps};
use lehr_io::{ReadOptions, Source, SplitChoice};

/// The validation loss of every 200th update.
fn validation(t: u64) -> f64 {
    loss(t) + 0.1
}

fn assert_validation(sources: &[Source], name: &str) {
    let run = one(sources, &ReadOptions::default());
    assert_eq!((run.curve.meta().split, run.curve.step().len()), (Split::Validation, 10), "{name}");
    assert!((run.curve.last().1 - validation(2000)).abs() < 1e-12, "{name}");
    assert_wsd(&run);
    let training = one(sources, &ReadOptions { split: SplitChoice::Train, ..ReadOptions::default() });
    assert_eq!(training.curve.step().len(), 200, "{name}");
    assert!((training.curve.last().1 - loss(2000)).abs() < 1e-12, "{name}");
}

#[test]
fn one_metric_a_line_tells_training_from_validation() {
    for label in ["split", "phase", "mode"] {
        let line = |t: u64, split: &str, name: &str, value: f64| {
            format!("{{\"step\": {t}, \"{label}\": \"{split}\", \"name\": \"{name}\", \"value\": {value}}}")
        };
        let json = rows(|t| {
            let mut lines = vec![line(t, "train", "loss", loss(t)), line(t, "train", "lr", rate(t))];
            lines.extend((t % 200 == 0).then(|| line(t, "val", "loss", validation(t))));
            lines.join("\n")
        });
        assert_validation(&text(&[("a.jsonl", json.join("\n") + "\n")]), label);
        let table = rows(|t| {
            let mut lines = vec![format!("{t},train,loss,{}", loss(t)), format!("{t},train,lr,{}", rate(t))];
            lines.extend((t % 200 == 0).then(|| format!("{t},val,loss,{}", validation(t))));
            lines.join("\n")
        });
        let table = format!("step,{label},metric,value\n{}\n", table.join("\n"));
        assert_validation(&text(&[("a.csv", table)]), label);
    }
}

/// A wide table in which validation rows stand between those of the training.
fn wide(label: &str, training: &str, evaluation: &str) -> Vec<Source> {
    let rows = rows(|t| {
        let own = format!("{t},{training},{},{}", loss(t), rate(t));
        if t % 200 == 0 { format!("{own}\n{t},{evaluation},{},", validation(t)) } else { own }
    });
    text(&[("a.csv", format!("step,{label},loss,lr\n{}\n", rows.join("\n")))])
}

#[test]
fn a_column_of_words_for_the_split_is_one_whatever_its_name() {
    assert_validation(&wide("split", "train", "val"), "split");
    assert_validation(&wide("mode", "training", "evaluation"), "mode");
    assert_validation(&wide("stage", "train", "test"), "stage");
    // Parts of a run that TensorBoard takes for runs.
    assert_validation(&wide("run", "train", "validation"), "run");
    // Words that say something else are left alone.
    let stages =
        rows(|t| format!("{t},{},{},{}", if t > 1600 { "decay" } else { "stable" }, loss(t), rate(t)));
    let table = format!("step,stage,loss,lr\n{}\n", stages.join("\n"));
    assert_wsd(&one(&text(&[("a.csv", table)]), &ReadOptions::default()));
}

#[test]
fn two_losses_of_one_update_that_nothing_tells_apart_are_refused() {
    let error = load(&wide("host", "a", "b"), &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("10 updates, one every 200"), "{error}");
    assert!(error.to_string().starts_with("a.csv:22:"), "{error}");
    assert!(error.hint().unwrap().contains("split=NAME"));
}

#[test]
fn one_metric_a_line_of_several_runs_and_in_bits() {
    let line = |run: &str, t: u64, name: &str, value: f64| {
        format!("{{\"step\": {t}, \"name\": \"{name}\", \"value\": {value}, \"run\": \"{run}\"}}")
    };
    let lines: Vec<String> = ["a", "b"]
        .into_iter()
        .flat_map(|run| {
            let off = if run == "a" { 0.0 } else { 0.1 };
            rows(move |t| {
                let loss = |t| loss(t) + off;
                let bits = loss(t) / std::f64::consts::LN_2;
                [line(run, t, "loss", bits), line(run, t, "lr", rate(t)), line(run, t, "ppl", loss(t).exp())]
                    .join("\n")
            })
        })
        .collect();
    let (runs, _) = load(&text(&[("a.jsonl", lines.join("\n") + "\n")]), &ReadOptions::default()).unwrap();
    assert_eq!(runs.iter().map(|run| run.curve.meta().id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    for (run, off) in runs.iter().zip([0.0, 0.1]) {
        assert_wsd(run);
        assert!((run.curve.last().1 - loss(2000) - off).abs() < 1e-12);
    }
    let broken = "{\"step\": 10, \"name\": \"loss\", \"value\": 5.0}\n{\"step\": 20, \"name\"\n";
    let error = load(&text(&[("a.jsonl", broken.to_owned())]), &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("a.jsonl:2:"), "{error}");
}

#[test]
fn evaluation_sets_are_chosen_by_a_rule_or_named() {
    let olmo = |names: &[&str]| {
        let body = rows(|t| {
            let cells: Vec<String> =
                (0..names.len())
                    .map(|i| {
                        if t % 200 == 0 {
                            (validation(t) + 0.2 * i as f64).to_string()
                        } else {
                            String::new()
                        }
                    })
                    .collect();
            format!("{t},{},{},{}", loss(t), rate(t), cells.join(","))
        });
        let header = format!("_step,train/CrossEntropyLoss,optim/learning_rate_group0,{}", names.join(","));
        text(&[("a.csv", format!("{header}\n{}\n", body.join("\n")))])
    };
    let noted = |sources: &[Source], options: &ReadOptions| {
        let run = one(sources, options);
        let note = run.notes.iter().find(|note| note.code == "validations-not-taken");
        (run.curve.last().1, note.map(|note| note.message.clone()).unwrap_or_default())
    };
    let c4 = "eval/v3-small-c4_en-validation/CrossEntropyLoss";
    let ice = "eval/v2-small-ice-validation/CrossEntropyLoss";
    let (last, note) = noted(&olmo(&[c4, ice]), &ReadOptions::default());
    assert!((last - validation(2000)).abs() < 1e-12, "{last}");
    assert!(note.contains(ice) && note.contains("[[map]] val_loss=NAME"), "{note}");
    // Neither is the first by any rule: the training losses are taken, and that is said.
    let pile = "eval/v3-small-pile-validation/CrossEntropyLoss";
    for names in [[ice, pile], ["val_loss_c4", "val_loss_pile"], ["eval/loss/wikitext", "eval/loss/c4"]] {
        let (last, note) = noted(&olmo(&names), &ReadOptions::default());
        assert!((last - loss(2000)).abs() < 1e-12, "{last}");
        assert!(names.iter().all(|name| note.contains(name)) && note.contains("none is taken"), "{note}");
        let mut mapped = ReadOptions::default();
        mapped.map.add(&format!("val_loss={}", names[1])).unwrap();
        let (last, note) = noted(&olmo(&names), &mapped);
        assert!((last - validation(2000) - 0.2).abs() < 1e-12, "{last}");
        assert_eq!(note, "");
    }
}

#[test]
fn the_log_likelihood_goes_before_a_loss_with_another_term() {
    let body = rows(|t| {
        let bits = loss(t) / std::f64::consts::LN_2;
        format!("{t},{},{bits},{:.4},{}", bits + 0.2, loss(t).exp(), rate(t))
    });
    let table = format!("step,loss,nll_loss,ppl,lr\n{}\n", body.join("\n"));
    let run = one(&text(&[("a.csv", table)]), &ReadOptions::default());
    assert!((run.curve.last().1 - loss(2000)).abs() < 1e-12, "{}", run.curve.last().1);
}

#[test]
fn fairseq_writes_the_epochs_done_as_update() {
    let lines = rows(|t| {
        format!(
            "  0: 2026-01-01 00:00:00 | INFO | train_inner | {{\"epoch\": 1, \"update\": {}, \"loss\": \"{:.3}\", \"ppl\": \"{:.2}\", \"num_updates\": \"{t}\", \"lr\": \"{}\"}}",
            t as f64 / 4000.0,
            loss(t) / std::f64::consts::LN_2,
            loss(t).exp(),
            rate(t)
        )
    });
    let run = one(&text(&[("slurm.out", lines.join("\n") + "\n")]), &ReadOptions::default());
    assert_wsd(&run);
    assert!((run.curve.last().1 - loss(2000)).abs() < 1e-3);
    let bare = rows(|t| {
        format!(
            "{{\"update\": {}, \"num_updates\": {t}, \"loss\": {}, \"lr\": {}}}",
            t as f64 / 4e3,
            loss(t),
            rate(t)
        )
    });
    assert_wsd(&one(&text(&[("a.jsonl", bare.join("\n") + "\n")]), &ReadOptions::default()));
}

#[test]
fn the_evaluations_of_older_megatrons_and_of_gpt_neox_are_read() {
    // The dialect with a closing evaluation, its wordings replaced by those of others.
    let log = sources("megatron-dialects").into_iter().find(|log| log.name().contains("final-eval")).unwrap();
    let content = String::from_utf8(log.head(1 << 20).unwrap()).unwrap();
    let end = content.lines().find(|line| line.contains("on validation set")).unwrap();
    let when = end.split("loss at ").nth(1).unwrap().split('|').next().unwrap();
    let old = content.replace(when, "the end of training for val data ");
    let neox = old.replace("validation loss at", "validation results at").replace("lm loss", "lm_loss");
    let neox = neox.replace("lm_loss PPL:", "lm_loss_ppl value:");
    for (name, content) in [("old.log", old), ("neox.log", neox)] {
        let test = "validation loss at the end of training for test data | lm loss value: 9.0E+00 |\n test results at the end of training for test data | lm_loss value: 9.0E+00 |\n";
        let run = one(&text(&[(name, content + test)]), &ReadOptions::default());
        assert_eq!((run.curve.meta().split, run.curve.step().len()), (Split::Validation, 7), "{name}");
        assert_eq!(run.curve.last().0, 2000, "{name}");
        assert!((run.curve.last().1 - 2.9571).abs() < 1e-4, "{name}: {:?}", run.curve.last());
    }
}

#[test]
fn hugging_face_tags_in_tensorboard_are_means_since_the_last_row() {
    let lines = |epoch: &str| {
        rows(|t| {
            [("train/loss", loss(t)), ("train/learning_rate", rate(t - 1)), (epoch, t as f64 / 500.0)]
                .map(|(name, value)| format!("{t},{name},{value}"))
                .join("\n")
        })
    };
    for (epoch, kind) in
        [("train/epoch", LossKind::IntervalMean(Steps(10))), ("train/mfu", LossKind::Instant)]
    {
        let table = format!("step,tag,value\n{}\n", lines(epoch).join("\n"));
        let run = one(&text(&[("a.csv", table)]), &ReadOptions::default());
        assert_eq!(run.curve.meta().loss_kind, kind, "{epoch}");
    }
}

#[test]
fn parts_of_a_run_downloaded_from_tensorboard_are_one_run() {
    let tag = |value: &dyn Fn(u64) -> f64, every: u64| {
        let rows: Vec<String> =
            (1..=2000 / every).map(|k| format!("1.0,{},{}", k * every, value(k * every))).collect();
        format!("Wall time,Step,Value\n{}\n", rows.join("\n"))
    };
    let of = |names: [&'static str; 3]| {
        text(&[(names[0], tag(&loss, 10)), (names[1], tag(&rate, 10)), (names[2], tag(&validation, 200))])
    };
    for (names, id) in [
        (
            [
                "x/run-exp_train-tag-loss.csv",
                "x/run-exp_train-tag-learning_rate.csv",
                "x/run-exp_validation-tag-loss.csv",
            ],
            "exp",
        ),
        (["x/run-train-tag-loss.csv", "x/run-train-tag-learning_rate.csv", "x/run-val-tag-loss.csv"], "x"),
        (
            ["x/run-exp_loss_train-tag-loss.csv", "x/run-exp-tag-lr.csv", "x/run-exp_loss_val-tag-loss.csv"],
            "exp",
        ),
    ] {
        let sources = of(names);
        assert_validation(&sources, names[0]);
        assert_eq!(one(&sources, &ReadOptions::default()).curve.meta().id, id);
    }
}
