//! `kill -9` of drivers and workers at any moment leaves a sweep that ends with the same bits.

use crate::support::{PLAN, actor, drive, finish, folder, results};
use lehr_train::sweep::local::Event;
use lehr_train::sweep::{Folder, SweepError};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Slow enough that a kill finds a process at work.
const PAUSE: &str = "8000";

/// Process numbers of the workers of a sweep, from their locks.
fn workers(folder: &Folder) -> Vec<u32> {
    let jobs = folder.graph().jobs.iter();
    let locks = jobs.map(|job| folder.job_lock(&job.id));
    let held = locks.filter(|lock| lehr_train::sweep::folder::Lock::is_held(lock));
    held.filter_map(|lock| std::fs::read_to_string(lock).ok()?.parse().ok()).collect()
}

fn kill(process: u32) {
    let killed =
        std::process::Command::new("kill").args(["-9", &process.to_string()]).stderr(Stdio::null()).status();
    // It may have ended by itself a moment before.
    assert!(killed.is_ok());
}

/// Numbers that look random, from a seed: which process to kill, and when.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

#[test]
fn killing_drivers_and_workers_changes_no_bit() {
    let (drivers, workers) = killed_sweep(20_261_121);
    assert!(drivers >= 2 && workers >= 5, "{drivers} {workers}");
}

/// `cargo test --workspace --test sweep -- --ignored --nocapture two_hundred`.
#[test]
#[ignore = "minutes: what `docs/results/robustness.md` counts"]
fn two_hundred_kills_change_no_bit() {
    let (mut sweeps, mut drivers, mut workers) = (0, 0, 0);
    while drivers + workers < 200 {
        sweeps += 1;
        let found = killed_sweep(sweeps);
        (drivers, workers) = (drivers + found.0, workers + found.1);
    }
    println!(
        "{sweeps} sweeps: {drivers} parents and {workers} workers killed, every curve the same to the bit"
    );
}

/// A sweep whose parent and workers are killed at random moments until it ends: how many of each. Its curves must be those
/// of an undisturbed one.
fn killed_sweep(seed: u64) -> (usize, usize) {
    let place = tempfile::tempdir().unwrap();
    let reference = folder(&place.path().join("reference"), PLAN);
    finish(&reference);
    let sweep = folder(&place.path().join("sweep"), PLAN);
    let mut dice = Dice(seed);
    let (mut drivers_killed, mut workers_killed) = (0, 0);
    let since = Instant::now();
    loop {
        let mut driver = actor("driver", sweep.path(), "")
            .env("LEHR_TEST_PAUSE", PAUSE)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let status = loop {
            std::thread::sleep(Duration::from_millis(15 + dice.roll(60)));
            if let Some(status) = driver.try_wait().unwrap() {
                break status;
            }
            assert!(since.elapsed() < Duration::from_secs(240), "the sweep does not end");
            match dice.roll(8) {
                0 if drivers_killed < 8 => {
                    driver.kill().unwrap();
                    drivers_killed += 1;
                    break driver.wait().unwrap();
                }
                1..=4 => {
                    let running = workers(&sweep);
                    if !running.is_empty() && workers_killed < 40 {
                        kill(running[dice.roll(running.len() as u64) as usize]);
                        workers_killed += 1;
                    }
                }
                _ => {}
            }
        };
        let left = results(&sweep).iter().filter(|(_, _, state)| state != "done").count();
        if status.success() && left == 0 {
            break;
        }
    }
    assert_eq!(results(&sweep), results(&reference));
    assert_eq!(sweep.snapshot_bytes(), 0);
    (drivers_killed, workers_killed)
}

#[test]
fn the_executor_runs_branches_as_soon_as_their_snapshot_is_there() {
    let place = tempfile::tempdir().unwrap();
    let reference = folder(&place.path().join("reference"), PLAN);
    finish(&reference);
    let sweep = folder(&place.path().join("sweep"), PLAN);
    let (mut order, mut last) = (Vec::new(), None);
    drive(&sweep, &mut |event| match event {
        Event::Started(job) => order.push(job.id.clone()),
        Event::Progress(progress) => last = Some(progress.clone()),
        _ => {}
    })
    .unwrap();
    let place_of = |id: &str| order.iter().position(|name| name == id).unwrap();
    for job in &sweep.graph().jobs {
        if let Some(trunk) = job.trunk() {
            assert!(place_of(trunk) < place_of(&job.id), "{order:?}");
        }
    }
    assert_eq!(order.len(), sweep.graph().jobs.len(), "every job is started once: {order:?}");
    let last = last.unwrap();
    assert_eq!((last.count("done"), last.updates_done), (13, last.updates));
    assert_eq!(results(&sweep), results(&reference));
}

#[test]
fn a_second_driver_is_refused_and_a_dead_one_is_not_in_the_way() {
    let place = tempfile::tempdir().unwrap();
    let sweep = folder(&place.path().join("sweep"), PLAN);
    let held = sweep.lock().unwrap();
    let error = drive(&sweep, &mut |_| {}).unwrap_err();
    assert!(matches!(&error, SweepError::Busy { holder, .. } if holder.contains("process")), "{error}");
    drop(held);
    // The file of a lock whose process died is still there, with its number in it.
    assert!(sweep.path().join("lock").exists());
    drive(&sweep, &mut |_| {}).unwrap();
}

#[test]
fn a_job_that_cannot_be_trained_fails_and_the_others_go_on() {
    let place = tempfile::tempdir().unwrap();
    // Two threads cannot share one sequence: the engine refuses every job of batch 1.
    let plan = PLAN.replacen("batch = [2]", "batch = [1, 2]", 1);
    let settings =
        lehr_train::sweep::folder::Settings::new(crate::support::graph(&plan), 2, 60.0, "hashed".to_owned());
    let sweep = Folder::create(&place.path().join("sweep"), settings, &plan).unwrap();
    drive(&sweep, &mut |_| {}).unwrap();
    let progress = lehr_train::sweep::Progress::of(&sweep, 2).unwrap();
    assert_eq!((progress.count("done"), progress.count("failed"), progress.count("waiting")), (13, 2, 8));
    let failed = progress.jobs.iter().find(|job| job.state == "failed").unwrap();
    assert!(failed.problem.as_ref().unwrap().contains("lanes is 2"), "{failed:?}");
}
