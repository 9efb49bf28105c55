//! What goes into a run store comes out of it.

use lehr::schedule::{Piecewise, Sampled};
use lehr::{
    AnnealingRatio, Arch, BranchPoint, Curve, LossKind, ParamCount, Params, RunMeta, Schedule, Segment,
    Shape, Split, Steps, Tokens, Wsd,
};
use lehr_io::run_store::{MANIFEST, POINTS, StoreManifest, StoreWriter};
use lehr_io::{ReadError, ReadOptions, Source, SplitChoice, for_each_run};
use proptest::prelude::*;

fn write(curves: &[Curve], generation: u64) -> (Vec<u8>, String) {
    let mut writer = StoreWriter::new("store", Vec::new(), generation).unwrap();
    for curve in curves {
        writer.push(curve, "test").unwrap();
    }
    writer.finish().unwrap()
}

fn read(points: &[u8], manifest: &str) -> Vec<Curve> {
    let sources = [
        Source::bytes(format!("store/{POINTS}"), points.to_vec()),
        Source::bytes(format!("store/{MANIFEST}"), manifest.as_bytes().to_vec()),
    ];
    let mut curves = Vec::new();
    for_each_run::<ReadError>(&sources, &ReadOptions::default(), &mut |_| {}, &mut |run| {
        assert!(run.schedule.residual.unwrap() < 1e-12);
        curves.push(run.curve);
        Ok(())
    })
    .unwrap();
    curves
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Linear),
        Just(Shape::Cosine),
        Just(Shape::OneMinusSqrt),
        Just(Shape::Exponential),
        (0.1_f64..4.0).prop_map(Shape::Power),
    ]
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let wsd = (1e-6_f64..1e-1, 20_u64..3000, 0.0_f64..0.5, 0.0_f64..0.5, shape(), 0.0_f64..1.0).prop_map(
        |(peak, total, warmup, ratio, shape, last)| {
            let ratio = AnnealingRatio::new(ratio).unwrap();
            let warmup = Steps((warmup * total as f64) as u64);
            Schedule::Wsd(Wsd::new(peak, Steps(total), warmup, ratio, shape, last * peak).unwrap())
        },
    );
    let pieces =
        prop::collection::vec((1_u64..500, 0.0_f64..1e-2, 0.0_f64..1e-2, shape()), 1..6).prop_map(|pieces| {
            let segment = |(updates, from, to, shape)| Segment::new(Steps(updates), from, to, shape);
            Schedule::Piecewise(Piecewise::new(pieces.into_iter().map(segment).collect()).unwrap())
        });
    let sampled = prop::collection::vec(1e-9_f64..1e-2, 1..60)
        .prop_map(|rates| Schedule::Sampled(Sampled::new(rates).unwrap()));
    prop_oneof![wsd, pieces, sampled]
}

fn curve() -> impl Strategy<Value = Curve> {
    let meta = (
        "[a-zA-Z0-9 ._/\"'#=-]{1,20}",
        prop::option::of(1_u64..1_000_000_000_000),
        prop_oneof![
            Just(Arch::Dense),
            (1_u32..300, 1_u32..9).prop_map(|(experts, top_k)| Arch::Moe { experts, top_k })
        ],
        prop_oneof![Just(Split::Train), Just(Split::Validation), Just(Split::Unstated)],
        prop_oneof![
            Just(LossKind::Instant),
            (1_u64..100).prop_map(|k| LossKind::IntervalMean(Steps(k))),
            (0.5_f64..0.999).prop_map(LossKind::Ema)
        ],
        prop::option::of((1_u64..5000).prop_map(|at| BranchPoint { trunk: "trunk".into(), at: Steps(at) })),
        prop::option::of(0.5_f64..12.0),
    );
    (meta, schedule(), prop::collection::vec((1_u64..40, 1e-3_f64..12.0), 1..60)).prop_map(
        |((id, params, arch, split, loss_kind, branch, final_loss), schedule, points)| {
            let (mut step, mut loss, mut at) = (Vec::new(), Vec::new(), 0);
            for (gap, value) in points {
                at += gap;
                if at <= schedule.total().0 {
                    step.push(at);
                    loss.push(value);
                }
            }
            if step.is_empty() {
                (step, loss) = (vec![1], vec![2.0]);
            }
            let meta = RunMeta {
                params: params.map(Params),
                active_params: params.map(|n| Params(n / 2)),
                counted: ParamCount::NonEmbedding,
                tokens_per_step: params.map(Tokens),
                dataset: params.map(|_| "web \"text\"\nmix".to_owned()),
                seed: params,
                arch,
                split,
                loss_kind,
                branch,
                final_loss,
                ..RunMeta::named(id)
            };
            Curve::new(meta, schedule, step, loss).unwrap()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn curves_come_back_as_they_went_in(mut curves in prop::collection::vec(curve(), 1..5)) {
        let mut seen = std::collections::BTreeSet::new();
        curves.retain(|curve| seen.insert(curve.meta().id.clone()));
        let (points, manifest) = write(&curves, 1);
        prop_assert_eq!(read(&points, &manifest), curves);
    }
}

fn simple(id: &str, value: f64) -> Curve {
    let schedule: Schedule =
        "wsd:peak=1e-3,total=100,warmup=10,anneal=20,shape=linear,final=0".parse().unwrap();
    Curve::new(RunMeta::named(id), schedule, vec![10, 50, 100], vec![value, 0.9 * value, 0.8 * value])
        .unwrap()
}

#[test]
fn a_manifest_left_behind_by_an_interrupted_write_gives_way_to_the_copy() {
    let (_, old) = write(&[simple("a", 3.0)], 1);
    let (points, new) = write(&[simple("a", 3.0), simple("b", 4.0)], 2);
    assert_eq!(read(&points, &old).len(), 2);
    assert_eq!(read(&points, &new).len(), 2);
}

#[test]
fn runs_are_carried_over_and_replaced() {
    let (points, text) = write(&[simple("a", 3.0), simple("b", 4.0)], 1);
    let manifest = StoreManifest::parse("store", &text).unwrap().unwrap();
    let mut writer = StoreWriter::new("store", Vec::new(), 2).unwrap();
    writer.copy(&Source::bytes("store/points.parquet", points), &manifest, &|id| id != "a").unwrap();
    writer.push(&simple("a", 5.0), "test").unwrap();
    assert!(writer.push(&simple("b", 5.0), "test").is_err());
    let (points, text) = writer.finish().unwrap();
    let mut curves = read(&points, &text);
    curves.sort_by(|a, b| a.meta().id.cmp(&b.meta().id));
    assert_eq!(curves, [simple("a", 5.0), simple("b", 4.0)]);
}

#[test]
fn a_store_of_a_later_version_is_refused() {
    let (_, text) = write(&[simple("a", 3.0)], 1);
    let error = StoreManifest::parse("store", &text.replace("version = 1", "version = 99")).unwrap_err();
    assert_eq!(error.to_string(), "store: the store's version is 99; expected 1");
}

#[test]
fn an_edited_manifest_wins_over_the_copy() {
    let (points, text) = write(&[simple("a", 3.0)], 1);
    let edited = text.replace("arch = \"dense\"", "dataset = \"mine\"\narch = \"dense\"");
    assert_ne!(edited, text);
    assert_eq!(read(&points, &edited)[0].meta().dataset.as_deref(), Some("mine"));
}

#[test]
fn a_run_keeps_validation_and_training_losses_side_by_side() {
    let schedule = Schedule::constant(1e-3, Steps(60), Steps(6)).unwrap();
    let curve = |split, loss_kind, step: Vec<u64>, first: f64| {
        let meta = RunMeta { split, loss_kind, ..RunMeta::named("run") };
        let loss = step.iter().map(|&t| first - t as f64 / 100.0).collect();
        Curve::new(meta, schedule.clone(), step, loss).unwrap()
    };
    let validation = curve(Split::Validation, LossKind::Instant, (1..=6).map(|k| 10 * k).collect(), 3.0);
    let kind = LossKind::IntervalMean(Steps(4));
    let training = curve(Split::Train, kind, (1..=15).map(|k| 4 * k).collect(), 2.0);
    let mut writer = StoreWriter::new("store", Vec::new(), 1).unwrap();
    writer.push_both(&validation, Some(&training), "test").unwrap();
    assert!(writer.push_both(&training, Some(&validation), "test").is_err(), "splits the wrong way round");
    let (points, manifest) = writer.finish().unwrap();
    // Copying a store keeps both.
    let source = Source::bytes(format!("store/{POINTS}"), points);
    let parsed = StoreManifest::parse("store", &manifest).unwrap().unwrap();
    let mut copy = StoreWriter::new("copy", Vec::new(), 2).unwrap();
    copy.copy(&source, &parsed, &|_| true).unwrap();
    let (points, manifest) = copy.finish().unwrap();
    for (split, expected) in [
        (SplitChoice::Auto, &validation),
        (SplitChoice::Validation, &validation),
        (SplitChoice::Train, &training),
    ] {
        let sources = [
            Source::bytes(format!("copy/{POINTS}"), points.clone()),
            Source::bytes(format!("copy/{MANIFEST}"), manifest.as_bytes().to_vec()),
        ];
        let options = ReadOptions { split, ..ReadOptions::default() };
        let mut read = Vec::new();
        for_each_run::<ReadError>(&sources, &options, &mut |_| {}, &mut |run| {
            read.push(run.curve);
            Ok(())
        })
        .unwrap();
        assert_eq!(read, std::slice::from_ref(expected));
    }
}

/// The points of a store as another program writes them back: one row group, large strings, columns of its own.
fn rewritten(points: &[u8], order: &dyn Fn(usize) -> usize, keep_metadata: bool) -> Vec<u8> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int64Type};
    use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, LargeStringArray, RecordBatch};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::file::properties::WriterProperties;
    use std::sync::Arc;

    let builder = ParquetRecordBatchReaderBuilder::try_new(Source::bytes("p", points.to_vec())).unwrap();
    let pairs = builder.metadata().file_metadata().key_value_metadata().cloned();
    let mut rows = Vec::new();
    for batch in builder.build().unwrap() {
        let batch = batch.unwrap();
        let (run, split) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
        let step = batch.column(2).as_primitive::<Int64Type>();
        let number = |column: usize, i: usize| batch.column(column).as_primitive::<Float64Type>().value(i);
        for i in 0..batch.num_rows() {
            let split = (!split.is_null(i)).then(|| split.value(i).to_owned());
            rows.push((run.value(i).to_owned(), split, step.value(i), number(3, i), number(4, i)));
        }
    }
    let rows: Vec<_> = (0..rows.len()).map(|i| rows[order(i)].clone()).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("__index_level_0__", Arc::new((0..rows.len() as i64).collect::<Int64Array>())),
        ("loss", Arc::new(rows.iter().map(|row| Some(row.4)).collect::<Float64Array>())),
        ("run_id", Arc::new(rows.iter().map(|row| Some(row.0.as_str())).collect::<LargeStringArray>())),
        ("split", Arc::new(rows.iter().map(|row| row.1.as_deref()).collect::<LargeStringArray>())),
        ("lr", Arc::new(rows.iter().map(|row| Some(row.3)).collect::<Float64Array>())),
        ("step", Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int64Array>())),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let pairs = pairs.filter(|_| keep_metadata);
    let properties = WriterProperties::builder().set_key_value_metadata(pairs).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn replacing_a_run_in_a_store_that_another_program_wrote_keeps_every_other_row() {
    let curves: Vec<Curve> =
        ["a", "b", "c", "d"].iter().zip(3..).map(|(id, k)| simple(id, f64::from(k))).collect();
    let (points, text) = write(&curves, 1);
    let manifest = StoreManifest::parse("store", &text).unwrap().unwrap();
    // As they were; from behind; run after run in turns.
    let orders: [&dyn Fn(usize) -> usize; 3] = [&|i| i, &|i| 11 - i, &|i| i * 3 % 12 + i / 4];
    for (k, order) in orders.into_iter().enumerate() {
        for keep_metadata in [false, true] {
            let points = rewritten(&points, order, keep_metadata);
            let mut writer = StoreWriter::new("store", Vec::new(), 2).unwrap();
            writer.push(&simple("b", 9.0), "new").unwrap();
            writer.copy(&Source::bytes("store/points.parquet", points), &manifest, &|id| id != "b").unwrap();
            let (points, text) = writer.finish().unwrap();
            let mut found = read(&points, &text);
            found.sort_by(|a, b| a.meta().id.cmp(&b.meta().id));
            let wanted = [simple("a", 3.0), simple("b", 9.0), simple("c", 5.0), simple("d", 6.0)];
            assert_eq!(found, wanted, "order {k}, metadata {keep_metadata}");
        }
    }
}

#[test]
fn rows_that_are_missing_or_there_twice_are_refused() {
    let (points, text) = write(&[simple("a", 3.0), simple("b", 4.0)], 1);
    let manifest = StoreManifest::parse("store", &text).unwrap().unwrap();
    let points = Source::bytes("store/points.parquet", points);
    let mut writer = StoreWriter::new("store", Vec::new(), 2).unwrap();
    let mut more = manifest.clone();
    more.runs.insert("gone".to_owned(), manifest.runs["a"].clone());
    let error = writer.copy(&points, &more, &|_| true).unwrap_err().to_string();
    assert_eq!(error, "store: manifest.toml names the run 'gone', of which points.parquet has no row");
    // Rows of a run that the manifest does not name, and a new run of that name.
    let mut writer = StoreWriter::new("store", Vec::new(), 2).unwrap();
    writer.push(&simple("b", 5.0), "new").unwrap();
    let mut less = manifest;
    less.runs.remove("b");
    let error = writer.copy(&points, &less, &|_| true).unwrap_err().to_string();
    assert_eq!(error, "store: it has a run 'b' already");
}

#[test]
fn a_store_without_its_manifest_is_read_by_the_copy() {
    let curve = |id: &str| {
        let meta =
            RunMeta { params: Some(Params(7)), tokens_per_step: Some(Tokens(5)), ..RunMeta::named(id) };
        let plain = simple(id, 3.0);
        Curve::new(meta, plain.schedule().clone(), plain.step().to_vec(), plain.loss().to_vec()).unwrap()
    };
    let (points, _) = write(&[curve("a")], 1);
    let sources = [Source::bytes(format!("store/{POINTS}"), points)];
    let mut found = Vec::new();
    let summary = for_each_run::<ReadError>(&sources, &ReadOptions::default(), &mut |_| {}, &mut |run| {
        found.push(run.curve);
        Ok(())
    })
    .unwrap();
    assert_eq!(found, [curve("a")]);
    assert!(summary.notes.iter().any(|note| note.code == "manifest-behind"), "{:?}", summary.notes);
}

#[test]
fn what_a_writer_has_begun_is_passed_over() {
    let (points, manifest) = write(&[simple("a", 3.0)], 1);
    let (more, _) = write(&[simple("a", 3.0), simple("b", 3.0)], 2);
    for name in ["points.parquet.new", ".points.parquet.new"] {
        for begun in [more.clone(), more[..more.len() / 2].to_vec(), Vec::new()] {
            let sources = [
                Source::bytes(format!("store/{POINTS}"), points.clone()),
                Source::bytes(format!("store/{MANIFEST}"), manifest.as_bytes().to_vec()),
                Source::bytes(format!("store/{name}"), begun),
                Source::bytes("store/manifest.toml.new", b"format = \"lehr-run".to_vec()),
            ];
            let mut ids = Vec::new();
            for_each_run::<ReadError>(&sources, &ReadOptions::default(), &mut |_| {}, &mut |run| {
                ids.push(run.curve.meta().id.clone());
                Ok(())
            })
            .unwrap();
            assert_eq!(ids, ["a"], "{name}");
        }
    }
}

#[test]
fn a_reader_beside_a_writer_sees_one_generation() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    // Every opening of a file is a moment at which the writer may have gone one step further:
    // it replaces the points of a generation, then the manifest.
    let generations: Vec<(Vec<u8>, String)> = (1..=4)
        .map(|generation| {
            let curves: Vec<Curve> = (0..generation).map(|k| simple(&format!("run-{k}"), 3.0)).collect();
            write(&curves, generation)
        })
        .collect();
    let generations = Arc::new(generations);
    for start in 0..6_usize {
        for step in 0..64_usize {
            // Bit k of `step`: whether the writer goes on before opening k.
            let state = Arc::new(Mutex::new(start));
            let opened = Arc::new(AtomicUsize::new(0));
            let source = |name: &str, is_points: bool| {
                let (state, generations, opened) = (state.clone(), generations.clone(), opened.clone());
                let open = move || {
                    let mut state = state.lock().unwrap();
                    let k = opened.fetch_add(1, Ordering::Relaxed);
                    if k < 6 && step >> k & 1 == 1 {
                        *state = (*state + 1).min(6);
                    }
                    // Of two steps a generation, the first replaces the points.
                    let (points, manifest) = (state.div_ceil(2), *state / 2);
                    let bytes = if is_points {
                        generations[points].0.clone()
                    } else {
                        generations[manifest].1.clone().into_bytes()
                    };
                    Ok(Box::new(std::io::Cursor::new(bytes)) as Box<dyn lehr_io::ReadSeek>)
                };
                // The length was looked up before anything was opened.
                Source::new(format!("store/{name}"), 10, 1, true, open)
            };
            let sources = [source(POINTS, true), source(MANIFEST, false)];
            let mut runs = 0;
            let summary =
                for_each_run::<ReadError>(&sources, &ReadOptions::default(), &mut |_| {}, &mut |run| {
                    assert!(run.schedule.residual.unwrap() < 1e-12);
                    runs += 1;
                    Ok(())
                })
                .unwrap_or_else(|error| panic!("start {start}, steps {step:b}: {error}"));
            assert!((1..=4).contains(&runs));
            let without = summary.notes.iter().find(|note| note.code == "manifest-without-rows");
            assert!(without.is_none(), "start {start}, steps {step:b}: {without:?}");
        }
    }
}
