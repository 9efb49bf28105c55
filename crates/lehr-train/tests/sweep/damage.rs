//! Journals and snapshots that were cut, lost or changed: told, not exported, and trained again to the same bits.

use crate::support::{PLAN, drive, finish, folder, make, results};
use lehr_train::expert_tokens::file_beside;
use lehr_train::sweep::integrity::incomplete;
use lehr_train::sweep::{Folder, Kind, Progress, State, work};
use std::path::Path;

/// Cuts a file to a share of its length.
fn cut(file: &Path, share: f64) {
    let len = std::fs::metadata(file).unwrap().len();
    std::fs::File::options().write(true).open(file).unwrap().set_len((len as f64 * share) as u64).unwrap();
}

/// Changes one bit.
fn flip(file: &Path, at: usize, bit: u8) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1 << bit;
    std::fs::write(file, bytes).unwrap();
}

/// A finished sweep, a copy of its results, and what is done to its files; then which jobs are damaged.
fn told(harm: &dyn Fn(&Folder)) -> Vec<String> {
    let place = tempfile::tempdir().unwrap();
    let sweep = folder(&place.path().join("sweep"), PLAN);
    finish(&sweep);
    let before = results(&sweep);
    assert_eq!(Progress::verified(&sweep, 1).unwrap().count("damaged"), 0);
    harm(&sweep);
    let progress = Progress::verified(&sweep, 1).unwrap();
    let damaged: Vec<String> =
        progress.jobs.iter().filter(|job| job.state == "damaged").map(|job| job.id.clone()).collect();
    for job in &sweep.graph().jobs {
        let whole = incomplete(&sweep, job).unwrap();
        let harmed = |id: &str| damaged.iter().any(|name| name == id);
        assert_eq!(
            whole.is_some(),
            harmed(&job.id) || job.trunk().is_some_and(harmed),
            "{}: {whole:?}",
            job.id
        );
    }
    assert!(progress.updates_done < progress.updates);
    let mut again = Vec::new();
    drive(&sweep, &mut |event| {
        if let lehr_train::sweep::Event::Again(job, why) = event {
            again.push(format!("{}: {why}", job.id));
        }
    })
    .unwrap();
    assert_eq!(results(&sweep), before, "{again:?}");
    assert!(damaged.iter().all(|id| again.iter().any(|line| line.starts_with(id.as_str()))), "{again:?}");
    let after = Progress::verified(&sweep, 1).unwrap();
    assert_eq!((after.count("done"), sweep.snapshot_bytes()), (13, 0), "{again:?}");
    damaged
}

const TRUNK: &str = "dense-lr1e-2-b2-s1-w5-constant";
const BRANCH: &str = "sparse-lr1e-2-b2-s1-w5-T60-r0.1-linear";
const ALONE: &str = "dense-lr1e-2-b2-s1-w5-T60-cosine";

#[test]
fn a_journal_that_is_cut_is_trained_again() {
    // A whole record less, half a record less, and half of all.
    let record = |folder: &Folder, id: &str, less: u64| {
        let file = folder.points(id);
        let len = std::fs::metadata(&file).unwrap().len();
        std::fs::File::options().write(true).open(file).unwrap().set_len(len - less).unwrap();
    };
    let found = told(&|folder| {
        record(folder, ALONE, 56);
        record(folder, BRANCH, 28);
    });
    assert_eq!(found, [ALONE, BRANCH].map(str::to_owned).into_iter().collect::<Vec<_>>());
    assert_eq!(told(&|folder| cut(&folder.points(TRUNK), 0.5)), [TRUNK]);
}

#[test]
fn a_journal_that_is_lost_or_longer_is_trained_again() {
    assert_eq!(told(&|folder| std::fs::remove_file(folder.points(BRANCH)).unwrap()), [BRANCH]);
    assert_eq!(told(&|folder| std::fs::remove_file(file_beside(&folder.points(BRANCH))).unwrap()), [BRANCH]);
    let longer = |folder: &Folder| {
        let mut bytes = std::fs::read(folder.points(ALONE)).unwrap();
        bytes.extend([0; 56]);
        std::fs::write(folder.points(ALONE), bytes).unwrap();
    };
    assert_eq!(told(&longer), [ALONE]);
}

#[test]
fn one_bit_that_is_flipped_anywhere_is_told() {
    // The lowest bit of a loss, the highest of an update's number, one of a count of tokens.
    assert_eq!(told(&|folder| flip(&folder.points(ALONE), 20 * 56 + 8, 0)), [ALONE]);
    assert_eq!(told(&|folder| flip(&folder.points(TRUNK), 30 * 56 + 7, 7)), [TRUNK]);
    assert_eq!(told(&|folder| flip(&file_beside(&folder.points(BRANCH)), 9, 3)), [BRANCH]);
}

#[test]
fn a_job_that_was_interrupted_checks_what_it_goes_on_from() {
    let place = tempfile::tempdir().unwrap();
    let reference = folder(&place.path().join("reference"), PLAN);
    finish(&reference);
    let sweep = folder(&place.path().join("sweep"), PLAN);
    finish(&sweep);
    // As if the trunk had been killed after its last snapshot: not finished, sealed, one bit changed since.
    let state = sweep.state(TRUNK).unwrap();
    let State::Done { updates, seconds, seal } = state else { panic!("{state:?}") };
    sweep.set_state(TRUNK, &State::Begun { updates, seconds, seal }).unwrap();
    flip(&sweep.points(TRUNK), 10 * 56 + 9, 2);
    let said = std::cell::RefCell::new(String::new());
    work(&sweep, TRUNK, &make, &|line| said.borrow_mut().push_str(line)).unwrap();
    assert!(said.borrow().contains("the checksum of the first"), "{}", said.borrow());
    assert_eq!(results(&sweep), results(&reference));
}

/// A sweep whose first trunk is done, with all snapshots that its branches need.
fn with_trunk(place: &Path) -> (Folder, Vec<u64>) {
    let sweep = folder(place, PLAN);
    work(&sweep, TRUNK, &make, &|_| {}).unwrap();
    let there = sweep.snapshots_there(sweep.job(TRUNK).unwrap());
    assert_eq!(there, [39, 54, 65, 90]);
    (sweep, there)
}

#[test]
fn a_snapshot_that_is_cut_or_lost_is_made_again_from_the_one_before() {
    let place = tempfile::tempdir().unwrap();
    let reference = folder(&place.path().join("reference"), PLAN);
    finish(&reference);
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 4] = [
        ("cut", |file| cut(file, 0.7)),
        ("emptied", |file| cut(file, 0.0)),
        ("flipped", |file| flip(file, std::fs::metadata(file).unwrap().len() as usize - 9, 1)),
        ("lost", |file| std::fs::remove_file(file).unwrap()),
    ];
    for (name, harm) in harms {
        for of in [vec![65], vec![39, 90]] {
            let (sweep, _) = with_trunk(&place.path().join(format!("{name}-{}", of[0])));
            for at in of {
                harm(&sweep.snapshot_at(TRUNK, at));
            }
            let mut again = String::new();
            drive(&sweep, &mut |event| {
                if let lehr_train::sweep::Event::Again(job, why) = event {
                    again.push_str(&format!("{}: {why}\n", job.id));
                }
            })
            .unwrap();
            assert_eq!(results(&sweep), results(&reference), "{name}: {again}");
            assert!(again.contains(TRUNK), "{name}: {again}");
            assert_eq!(sweep.snapshot_bytes(), 0, "{name}");
        }
    }
}

#[test]
fn a_trunk_that_lost_a_snapshot_resumes_from_the_one_before() {
    let place = tempfile::tempdir().unwrap();
    let (sweep, _) = with_trunk(&place.path().join("sweep"));
    std::fs::remove_file(sweep.snapshot_at(TRUNK, 65)).unwrap();
    let state = sweep.state(TRUNK).unwrap().reopened();
    sweep.set_state(TRUNK, &state).unwrap();
    let said = std::cell::RefCell::new(String::new());
    work(&sweep, TRUNK, &make, &|line| said.borrow_mut().push_str(line)).unwrap();
    assert_eq!(*said.borrow(), "resumes after update 54");
    assert_eq!(sweep.snapshots_there(sweep.job(TRUNK).unwrap()), [39, 54, 65, 90]);
}

#[test]
fn of_two_that_begin_different_sweeps_in_one_folder_one_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let other = PLAN.replace("seed = [1]", "seed = [2]");
    for round in 0..8 {
        let path = place.path().join(format!("sweep-{round}"));
        let barrier = std::sync::Barrier::new(2);
        let begin = |plan: &str| {
            let graph = crate::support::graph(plan);
            let settings = lehr_train::sweep::folder::Settings::new(graph, 1, 1.0, "hashed".to_owned());
            barrier.wait();
            Folder::create(&path, settings, plan)
        };
        let (one, two) = std::thread::scope(|scope| {
            let one = scope.spawn(|| begin(PLAN));
            let two = scope.spawn(|| begin(&other));
            (one.join().unwrap(), two.join().unwrap())
        });
        let there = Folder::open(&path).unwrap();
        let (won, lost) = match (one, two) {
            (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
            other => panic!("round {round}: {other:?}"),
        };
        assert_eq!(won.settings, there.settings);
        assert!(lost.to_string().contains("another sweep"), "{lost}");
        let plan = std::fs::read_to_string(path.join("plan.toml")).unwrap();
        assert_eq!(plan == PLAN, there.graph().jobs.iter().all(|job| job.config.seed == 1));
        assert!(matches!(there.graph().jobs[0].kind, Kind::Trunk { .. }));
    }
}
