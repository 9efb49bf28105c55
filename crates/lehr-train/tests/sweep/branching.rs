//! A branch equals the run trained under its whole schedule from the start.

use crate::support::{PLAN, finish, folder, make, results};
use lehr::Split;
use lehr_train::sweep::curves::expert_tokens;
use lehr_train::sweep::folder::Lock;
use lehr_train::sweep::{Kind, Outcome, Progress, State, SweepError, Thinning, curve, work};
use std::time::Duration;

#[test]
fn every_run_has_the_bits_of_the_run_trained_from_the_start() {
    let place = tempfile::tempdir().unwrap();
    let folder = folder(&place.path().join("sweep"), PLAN);
    finish(&folder);
    let mut branches = 0;
    for job in &folder.graph().jobs {
        branches += usize::from(matches!(job.kind, Kind::Branch { .. }));
        let mut trainer = make(&job.config, 1).unwrap();
        let (mut training, mut validation, mut counted) = (Vec::new(), Vec::new(), 0);
        for update in 1..=job.last() {
            let report = trainer.update(job.schedule.lr(update)).unwrap();
            training.push((update, report.loss.to_bits()));
            counted += trainer.expert_counts().iter().flatten().sum::<u64>();
            if update % 10 == 0 || update == job.last() {
                validation.push((update, trainer.evaluate().unwrap().to_bits()));
            }
        }
        for (split, expected) in [(Split::Train, training), (Split::Validation, validation)] {
            let curve = curve(&folder, job, split, Thinning::All).unwrap().unwrap();
            let found: Vec<(u64, u64)> =
                curve.step().iter().copied().zip(curve.loss().iter().map(|loss| loss.to_bits())).collect();
            assert_eq!(found, expected, "{} {split:?}", job.id);
            assert_eq!(*curve.schedule(), job.schedule);
        }
        let tokens = expert_tokens(&folder, job).unwrap();
        assert_eq!(tokens.iter().map(|row| row.tokens).sum::<u64>(), counted, "{}", job.id);
        assert_eq!(tokens.is_empty(), job.config.model.experts.is_none());
    }
    assert_eq!(branches, 10);
}

#[test]
fn the_curves_say_what_the_fit_needs_to_know() {
    let place = tempfile::tempdir().unwrap();
    let folder = folder(&place.path().join("sweep"), PLAN);
    finish(&folder);
    let meta = |id: &str| {
        curve(&folder, folder.job(id).unwrap(), Split::Validation, Thinning::All)
            .unwrap()
            .unwrap()
            .meta()
            .clone()
    };
    let trunk = meta("sparse-lr1e-2-b2-s1-w5-constant");
    let branch = meta("sparse-lr1e-2-b2-s1-w5-T60-r0.1-linear");
    assert_eq!(branch.noise_group(), trunk.id);
    assert_eq!(trunk.noise_group(), trunk.id);
    assert_eq!(branch.branch.unwrap().at.0, 54);
    assert_eq!(branch.arch, lehr::Arch::Moe { experts: 4, top_k: 2 });
    let parameters = folder.job(&branch.id).unwrap().config.model.parameters();
    assert_eq!(branch.params.unwrap().0, parameters.non_embedding);
    assert_eq!(branch.active_params.unwrap().0, parameters.active);
    assert!(parameters.active < parameters.non_embedding);
    assert_eq!(branch.tokens_per_step.unwrap().0, 2 * 8);
    assert_eq!((branch.seed, branch.dataset.as_deref()), (Some(1), Some("hashed")));
    assert_eq!(meta("dense-lr1e-2-b2-s1-w5-T60-cosine").branch, None);
    assert_eq!(meta("dense-lr1e-2-b2-s1-w5-T60-cosine").active_params, None);
}

#[test]
fn means_of_training_losses_end_with_the_last_update() {
    let place = tempfile::tempdir().unwrap();
    let folder = folder(&place.path().join("sweep"), PLAN);
    finish(&folder);
    let job = folder.job("dense-lr1e-2-b2-s1-w5-T60-r0.35-linear").unwrap();
    let all = curve(&folder, job, Split::Train, Thinning::All).unwrap().unwrap();
    let means = curve(&folder, job, Split::Train, Thinning::Means(25)).unwrap().unwrap();
    assert_eq!(means.step(), [25, 50, 60]);
    assert_eq!(means.meta().loss_kind, lehr::LossKind::IntervalMean(lehr::Steps(25)));
    let mean = all.loss()[35..60].iter().sum::<f64>() / 25.0;
    assert!((means.loss()[2] - mean).abs() < 1e-12);
}

#[test]
fn snapshots_go_when_nobody_needs_them() {
    let place = tempfile::tempdir().unwrap();
    let folder = folder(&place.path().join("sweep"), PLAN);
    let trunk = folder.graph().jobs[0].clone();
    work(&folder, &trunk.id, &make, &|_| {}).unwrap();
    assert_eq!(folder.snapshots_there(&trunk), [39, 54, 65, 90]);
    for (branch, left) in [
        ("T60-r0.35-linear", vec![39, 54, 65, 90]),
        ("T60-r0.35-1-sqrt", vec![39, 54, 65, 90]),
        ("T60-r0.35-power2", vec![54, 65, 90]),
        ("T100-r0.1-linear", vec![54, 65]),
    ] {
        work(&folder, &format!("dense-lr1e-2-b2-s1-w5-{branch}"), &make, &|_| {}).unwrap();
        assert_eq!(folder.snapshots_there(&trunk), left, "after {branch}");
    }
    finish(&folder);
    assert_eq!(folder.snapshot_bytes(), 0);
}

#[test]
fn divergence_is_a_result_and_the_branches_before_it_go_on() {
    let place = tempfile::tempdir().unwrap();
    let plan = PLAN.replace("seed = [1]", "seed = [666]");
    let folder = folder(&place.path().join("sweep"), &plan);
    // Of the dense trunk, the snapshot after update 39 is there; update 40 diverges.
    for job in &folder.graph().jobs {
        let outcome = work(&folder, &job.id, &make, &|_| {}).unwrap();
        assert_eq!(outcome, Outcome::Diverged, "{}", job.id);
    }
    let state = |name: &str| folder.state(&format!("dense-lr1e-2-b2-s666-w5-{name}")).unwrap();
    let State::Diverged { update, trunk, .. } = state("T60-r0.35-linear") else { panic!() };
    assert_eq!((update, trunk), (40, None), "a branch from before the divergence diverges by itself");
    let State::Diverged { update, trunk, .. } = state("T60-r0.1-linear") else { panic!() };
    assert_eq!((update, trunk.as_deref()), (40, Some("dense-lr1e-2-b2-s666-w5-constant")));
    assert_eq!(folder.snapshot_bytes(), 0);
    let progress = Progress::of(&folder, 1).unwrap();
    assert_eq!((progress.count("diverged"), progress.seconds_left), (13, Some(0.0)));
    let job = folder.job("dense-lr1e-2-b2-s666-w5-T60-cosine").unwrap();
    assert_eq!(curve(&folder, job, Split::Train, Thinning::All).unwrap().unwrap().last().0, 39);
}

#[test]
fn a_job_is_done_by_one_process_at_a_time_and_never_twice() {
    let place = tempfile::tempdir().unwrap();
    let folder = folder(&place.path().join("sweep"), PLAN);
    let id = &folder.graph().jobs[0].id;
    let held = Lock::take(&folder.job_lock(id), place.path(), Duration::ZERO).unwrap();
    assert!(matches!(work(&folder, id, &make, &|_| {}), Err(SweepError::Busy { .. })));
    drop(held);
    work(&folder, id, &make, &|_| {}).unwrap();
    let refuse = |_: &lehr_train::RunConfig, _: usize| -> Result<Box<dyn lehr_train::Trainer>, _> {
        panic!("finished work is not done again")
    };
    work(&folder, id, &refuse, &|_| {}).unwrap();
}

#[test]
fn a_branch_whose_snapshot_is_not_there_says_so() {
    let place = tempfile::tempdir().unwrap();
    let folder = folder(&place.path().join("sweep"), PLAN);
    let error = work(&folder, &folder.graph().jobs[1].id, &make, &|_| {}).unwrap_err().to_string();
    assert!(error.contains("at-39.safetensors: the snapshot to branch from is not there"), "{error}");
}

#[test]
fn a_folder_holds_one_sweep() {
    let place = tempfile::tempdir().unwrap();
    let first = folder(&place.path().join("sweep"), PLAN);
    let other = crate::support::graph(&PLAN.replace("total = [60, 100]", "total = [60, 120]"));
    let mut settings = first.settings.clone();
    settings.graph = other;
    let error = lehr_train::sweep::Folder::create(first.path(), settings, "").unwrap_err().to_string();
    assert!(error.contains("they differ in job"), "{error}");
    let mut settings = first.settings.clone();
    settings.lanes = 2;
    let error = lehr_train::sweep::Folder::create(first.path(), settings, "").unwrap_err().to_string();
    assert!(error.contains("with --lanes 1, not 2"), "{error}");
    // The same plan again is the same sweep.
    let again = folder(first.path(), PLAN);
    finish(&again);
    assert_eq!(results(&again), results(&first));
}

#[test]
fn a_broken_snapshot_costs_time_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let reference = folder(&place.path().join("reference"), PLAN);
    finish(&reference);
    let folder = folder(&place.path().join("sweep"), PLAN);
    let id = folder.graph().jobs[0].id.clone();
    std::fs::create_dir_all(folder.snapshots(&id)).unwrap();
    std::fs::write(folder.last_snapshot(&id), b"not a snapshot").unwrap();
    std::fs::write(folder.points(&id), [7; 1000]).unwrap();
    let said = std::cell::RefCell::new(Vec::new());
    work(&folder, &id, &make, &|line| said.borrow_mut().push(line.to_owned())).unwrap();
    assert!(said.borrow()[0].contains("resumes from an older state"), "{said:?}");
    finish(&folder);
    assert_eq!(results(&folder), results(&reference));
}
