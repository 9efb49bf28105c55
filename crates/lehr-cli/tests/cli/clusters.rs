//! Sweeps on clusters that are not there: manifests held against the rules of Kubernetes and carried out by this test, and Ray
//! behind an interpreter that is a shell script.

use crate::outside::{own_engine, python, status, store, toy};
use crate::support::{Answer, command, lehr_in};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const WRITE: [&str; 9] = [
    "sweep",
    "plan.toml",
    "--dir",
    "s",
    "--no-measure",
    "--executor",
    "k8s-job-files",
    "--k8s-image=registry/lehr:1",
    "--k8s-claim=sweeps",
];
const TRUNK: &str = "tiny-lr5e-2-b4-s0-w4-constant";

/// The manifests of a sweep, by the names of their files.
fn manifests(at: &Path) -> BTreeMap<String, Value> {
    let entries = std::fs::read_dir(at.join("s/k8s")).unwrap().map(|entry| entry.unwrap().path());
    let json = entries.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    json.map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    })
    .collect()
}

/// Names and values of labels: at most 63 letters, digits, `-`, `_`, `.`, with a letter or digit at both ends.
fn is_label(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inside = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    text.len() <= 63 && inside && ends(text.chars().next()) && ends(text.chars().last())
}

/// Holds a Job against what Kubernetes' own validation asks of the fields that it has.
fn check_job(job: &Value) {
    assert_eq!((job["apiVersion"].as_str(), job["kind"].as_str()), (Some("batch/v1"), Some("Job")));
    let name = job["metadata"]["name"].as_str().unwrap();
    // Its Pods are called so, with a dash and five letters more, in one label.
    assert!(name.len() <= 57 && is_label(name) && !name.contains(['.', '_']), "{name}");
    assert_eq!(name, name.to_lowercase());
    let spec = &job["spec"];
    let pod = &spec["template"];
    for labels in [&job["metadata"]["labels"], &pod["metadata"]["labels"]] {
        for (key, value) in labels.as_object().unwrap() {
            let key = key.strip_prefix("app.kubernetes.io/").unwrap_or(key);
            assert!(is_label(key) && is_label(value.as_str().unwrap()), "{key}: {value}");
        }
    }
    // A policy for failures asks for Pods that are not restarted in place; its rules are one requirement each, exit codes rise and hold no 0.
    assert_eq!(pod["spec"]["restartPolicy"], "Never");
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let rules = spec["podFailurePolicy"]["rules"].as_array().unwrap();
    assert!((1..=20).contains(&rules.len()));
    for rule in rules {
        assert!(["Ignore", "FailJob", "Count"].contains(&rule["action"].as_str().unwrap()));
        assert!(rule["onExitCodes"].is_object() != rule["onPodConditions"].is_array(), "{rule}");
        if let Some(codes) = rule["onExitCodes"]["values"].as_array() {
            let codes: Vec<i64> = codes.iter().map(|code| code.as_i64().unwrap()).collect();
            assert!(codes.windows(2).all(|pair| pair[0] < pair[1]) && codes[0] > 0, "{rule}");
            assert!(containers.iter().any(|one| one["name"] == rule["onExitCodes"]["containerName"]));
        }
    }
    assert!(spec["backoffLimit"].as_u64().unwrap() > 0);
    assert!(pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap() >= 30);
    // Every mount has its volume, a path from the root and no colon in it.
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let mut places = std::collections::BTreeSet::new();
    for mount in containers[0]["volumeMounts"].as_array().unwrap() {
        assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount}");
        let path = mount["mountPath"].as_str().unwrap();
        assert!(path.starts_with('/') && !path.contains(':') && places.insert(path), "{path}");
    }
}

/// The worker of a Job, as its Pod would start it.
fn pod(job: &Value) -> Command {
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["command"], serde_json::json!(["lehr"]));
    let mut command = command();
    command.args(
        container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap().replace("$$", "$")),
    );
    command
}

/// What the Job's policy makes of an exit code.
fn action(job: &Value, code: i64) -> String {
    if code == 0 {
        return "Complete".to_owned();
    }
    let rules = job["spec"]["podFailurePolicy"]["rules"].as_array().unwrap();
    let fits = |rule: &&Value| {
        rule["onExitCodes"]["values"].as_array().is_some_and(|codes| codes.contains(&code.into()))
    };
    rules.iter().find(fits).map_or("Count".to_owned(), |rule| rule["action"].as_str().unwrap().to_owned())
}

/// Creates every Job and lets its Pods run one after another, the last file first, until no Job is left; what became of each.
fn carry_out(jobs: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let mut ended = BTreeMap::new();
    for round in 0.. {
        assert!(round < 10, "Jobs are left: {ended:?}");
        for (file, job) in jobs.iter().rev() {
            if ended.contains_key(file) {
                continue;
            }
            let code = pod(job).output().unwrap().status.code().unwrap();
            match action(job, code.into()).as_str() {
                "Ignore" => {}
                other => drop(ended.insert(file.clone(), other.to_owned())),
            }
        }
        if ended.len() == jobs.len() {
            break;
        }
    }
    ended
}

#[test]
fn manifests_keep_the_rules_of_kubernetes_and_jobs_the_order_of_the_sweep() {
    if !python() {
        return;
    }
    let folder = toy("");
    let at = folder.path();
    let plan = std::fs::read_to_string(at.join("plan.toml")).unwrap();
    std::fs::write(at.join("plan.toml"), plan.replace("[trainer]\n", "[trainer]\ngpus = 8\n")).unwrap();
    let mount = format!("--k8s-mount={}/", at.display());
    let answer = lehr_in(at, &[&WRITE[..], &[&mount]].concat()).expect(0);
    assert!(answer.out.contains("next: kubectl replace --force -f s/k8s"), "{}", answer.out);
    assert!(!answer.err.contains("note:"), "{}", answer.err);
    let jobs = manifests(at);
    assert_eq!(jobs.len(), 4);
    jobs.values().for_each(check_job);
    let names: std::collections::BTreeSet<&str> =
        jobs.values().map(|job| job["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 4);
    let kinds: Vec<&str> =
        jobs.values().map(|job| job["metadata"]["labels"]["lehr-kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["trunk", "branch", "branch", "branch"], "trunks are to be created first");
    let (_, first) = jobs.first_key_value().unwrap();
    let container = &first["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["resources"]["limits"]["nvidia.com/gpu"], "8");
    assert_eq!(container["image"], "registry/lehr:1");
    assert_eq!(container["volumeMounts"][0]["mountPath"], at.to_str().unwrap());
    assert_eq!(
        first["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"],
        "sweeps"
    );
    assert_eq!(first["metadata"]["annotations"]["lehr-job"], TRUNK);
    // Branches come before their trunk, and wait.
    let ended = carry_out(&jobs);
    assert!(ended.values().all(|how| how == "Complete"), "{ended:?}");
    assert_eq!(status(at, "s")["done"], 4);
    let local = toy("");
    lehr_in(local.path(), &["sweep", "plan.toml", "--dir", "s"]).expect(0);
    assert!(store(local.path(), "s") == store(at, "s"), "losses differ");
}

#[test]
fn what_failed_ends_its_jobs_and_is_written_anew() {
    if !python() {
        return;
    }
    let folder = toy("at = \"constant\"\nalways = 40");
    let at = folder.path();
    // Without a mount above both, the image must hold the trainer.
    let answer = lehr_in(at, &WRITE).expect(0);
    assert!(
        answer.err.contains("is not on the claim; the image must hold it, or --k8s-mount"),
        "{}",
        answer.err
    );
    std::fs::write(at.join("s/k8s/mine.json"), "{\"kind\": \"ConfigMap\"}").unwrap();
    let mut jobs = manifests(at);
    jobs.remove("mine.json");
    let ended = carry_out(&jobs);
    // The trunk left its checkpoint after update 30 and is given up at 40: one branch is trained, two cannot be.
    let of = |what: &str| ended.values().filter(|how| how.as_str() == what).count();
    assert_eq!((of("Complete"), of("FailJob")), (1, 3), "{ended:?}");
    let found = status(at, "s");
    assert_eq!(
        (found["done"].as_u64(), found["failed"].as_u64(), found["waiting"].as_u64()),
        (Some(1), Some(1), Some(2))
    );
    // What is left is written anew, under the same names; other files stay.
    let resume = [&["sweep", "resume", "s"], &WRITE[5..]].concat();
    lehr_in(at, &resume).expect(0);
    let mut again = manifests(at);
    assert_eq!(again.remove("mine.json").unwrap()["kind"], "ConfigMap");
    assert_eq!(again.len(), 3);
    for job in again.values() {
        assert!(jobs.values().any(|old| old["metadata"] == job["metadata"]), "{job}");
    }
    // Nothing counts as failed any more, so that branches wait for the trunk's next attempt.
    assert_eq!(status(at, "s")["failed"], 0);
}

/// The store of the same plan, trained by processes of this machine.
fn here(plan: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plan.toml"), plan).unwrap();
    lehr_in(folder.path(), &["sweep", "plan.toml", "--dir", "s", "--no-measure"]).expect(0);
    store(folder.path(), "s")
}

/// Waits until a file has so many lines.
fn wait_for(file: &Path, lines: usize) {
    let since = Instant::now();
    while std::fs::read_to_string(file).unwrap_or_default().lines().count() < lines {
        assert!(since.elapsed() < Duration::from_secs(60), "nothing was trained: {}", file.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn tell(process: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

#[test]
fn a_pod_that_is_told_to_end_leaves_a_checkpoint_and_asks_for_another() {
    if !python() {
        return;
    }
    let folder = toy("seconds = 0.08\ncheckpoint_every = 1000");
    let at = folder.path();
    lehr_in(at, &WRITE).expect(0);
    let jobs = manifests(at);
    let (_, trunk) = jobs.first_key_value().unwrap();
    let log = at.join(format!("logs/{TRUNK}.jsonl"));
    let rows = || std::fs::read_to_string(&log).unwrap().lines().count();
    let mut first = pod(trunk).spawn().unwrap();
    wait_for(&log, 10);
    // Another Pod of the same job, while the first one is not gone, comes later.
    assert_eq!(pod(trunk).output().unwrap().status.code(), Some(75));
    tell(first.id(), "-TERM");
    assert_eq!(first.wait().unwrap().code(), Some(75));
    assert!(rows() < 54, "it was not interrupted");
    assert_eq!(pod(trunk).output().unwrap().status.code(), Some(0));
    assert_eq!((rows(), status(at, "s")["done"].as_u64()), (54, Some(1)), "an update was trained twice");
}

#[test]
fn a_trainer_that_only_asks_for_another_start_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let plan = own_engine();
    let (before, after) = plan.split_once("[trainer]\n").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    std::fs::write(
        at.join("plan.toml"),
        format!("{before}[trainer]\ncommand = 'exit 75 # {{job}}'\n{after}"),
    )
    .unwrap();
    lehr_in(at, &WRITE).expect(0);
    let jobs = manifests(at);
    let (_, trunk) = jobs.first_key_value().unwrap();
    let codes: Vec<i32> = (0..20).map(|_| pod(trunk).output().unwrap().status.code().unwrap()).collect();
    assert_eq!(codes[..19], [75; 19]);
    assert_eq!(codes[19], 1);
    let found = status(at, "s");
    let problem = found["jobs"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("asked 20 times to be started again without a further update"), "{problem}");
}

#[test]
fn lehrs_own_engine_leaves_a_snapshot_when_it_is_told_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // A second of updates, so that a signal finds it at work.
    let plan = "validate_every = 1000\nwarmup = 2\nsnapshot_seconds = 600\n[models.tiny]\nvocabulary = 256\ncontext = 16\nwidth = 16\nlayers = 1\nheads = 2\nhidden = 32\n[[grid]]\nmodels = ['tiny']\npeak_lr = [1e-2]\ntotal = [16000]\nratio = [0.5]\nbatch = [2]\n";
    std::fs::write(at.join("plan.toml"), plan).unwrap();
    lehr_in(at, &WRITE).expect(0);
    let jobs = manifests(at);
    let (_, trunk) = jobs.first_key_value().unwrap();
    check_job(trunk);
    let container = &trunk["spec"]["template"]["spec"]["containers"][0];
    assert!(container["resources"]["limits"].is_null(), "{container}");
    let mut first = pod(trunk).spawn().unwrap();
    let since = Instant::now();
    while status(at, "s")["updates_done"].as_u64() < Some(100) {
        assert!(since.elapsed() < Duration::from_secs(60), "nothing was trained");
        std::thread::sleep(Duration::from_millis(10));
    }
    tell(first.id(), "-TERM");
    assert_eq!(first.wait().unwrap().code(), Some(75));
    let second = pod(trunk).output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(second.status.success() && said.contains("resumes after update"), "{said}");
    assert!(carry_out(&jobs).values().all(|how| how == "Complete"));
    assert!(here(plan) == store(at, "s"), "losses differ");
}

/// An interpreter that has the packages of `versions` and does the jobs of the list one after another; `extra` is run before.
fn interpreter(at: &Path, name: &str, versions: &str, extra: &str) -> String {
    let file = at.join(name);
    let lehr = assert_cmd::cargo::cargo_bin("lehr");
    let script = format!(
        "#!/bin/sh\n\
         if [ \"$1\" = -c ]; then echo '{versions}'; exit 0; fi\n\
         echo \"$@\" > '{at}/asked'\n\
         for dir; do :; done\n\
         echo '{{\"event\": \"ready\", \"slots\": 3, \"note\": \"no node has a GPU\"}}'\n\
         echo 'something that Ray prints'\n\
         {extra}\n\
         sed -n 's/^ *\"job\": \"\\(.*\\)\",$/\\1/p' \"$dir/ray/jobs.json\" | while read -r job; do\n\
         \x20   '{lehr}' sweep worker --detached --exit-codes \"$dir\" \"$job\" < /dev/null\n\
         done\n\
         exit 0\n",
        at = at.display(),
        lehr = lehr.display()
    );
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    file.to_str().unwrap().to_owned()
}

const BOTH: &str = r#"{"lehr": "0.1.0", "ray": "2.60.0"}"#;

fn on_ray(at: &Path, python: &str, more: &[&str]) -> Answer {
    let words = ["sweep", "plan.toml", "--dir", "s", "--no-measure", "--executor", "ray", "--python", python];
    lehr_in(at, &[&words[..], more].concat())
}

#[test]
fn an_interpreter_is_handed_the_jobs_and_the_folder_says_how_they_ended() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("plan.toml"), own_engine()).unwrap();
    let python = interpreter(at, "python", BOTH, "");
    let answer = on_ray(at, &python, &["--ray-address", "10.0.0.1:6379"]).expect(0);
    let asked = std::fs::read_to_string(at.join("asked")).unwrap();
    let dir = at.join("s").to_str().unwrap().to_owned();
    assert_eq!(asked.trim(), format!("-m lehr.ray --events --address 10.0.0.1:6379 -- {dir}"));
    assert!(answer.err.contains("note: no node has a GPU"), "{}", answer.err);
    assert!(
        answer.out.contains("3 of 3 jobs: 3 done") && answer.out.contains("next: lehr sweep export s"),
        "{}",
        answer.out
    );
    let list: Value = serde_json::from_slice(&std::fs::read(at.join("s/ray/jobs.json")).unwrap()).unwrap();
    assert_eq!(list["format"], "lehr.ray-jobs/1");
    assert_eq!(list["jobs"][0]["trunk"], Value::Null);
    assert_eq!(list["jobs"][2]["trunk"], list["jobs"][0]["job"]);
    assert!(here(&own_engine()) == store(at, "s"), "losses differ");
    // Nothing is left: no interpreter is asked to train.
    std::fs::remove_file(at.join("asked")).unwrap();
    lehr_in(at, &["sweep", "resume", "s", "--executor", "ray", "--python", &python]).expect(0);
    assert!(!at.join("asked").exists());
}

#[test]
fn a_job_that_ray_gives_up_is_failed_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("plan.toml"), own_engine()).unwrap();
    // The trunk's worker was killed each time, which only the interpreter knows.
    let trunk = "tiny-lr1e-2-b2-s0-w2-constant";
    let give_up = format!(
        "echo '{{\"event\": \"failed\", \"job\": \"{trunk}\", \"problem\": \"killed by the system\"}}'\nexit 0"
    );
    let answer = on_ray(at, &interpreter(at, "gives-up", BOTH, &give_up), &[]).expect(1);
    assert!(answer.err.contains(&format!("failed {trunk}: killed by the system")), "{}", answer.err);
    assert!(answer.err.contains("1 jobs failed and 2 wait for them"), "{}", answer.err);
    // An interpreter that breaks says why, and the sweep goes on with one that does not, here without Ray.
    let broken = interpreter(at, "broken", BOTH, "echo 'no cluster at 10.0.0.1' >&2; exit 3");
    let answer = on_ray(at, &broken, &[]).expect(1);
    assert!(
        answer.err.contains("log/ray: lehr.ray ended early (exit status: 3): no cluster at 10.0.0.1"),
        "{}",
        answer.err
    );
    lehr_in(at, &["sweep", "resume", "s"]).expect(0);
    assert_eq!(status(at, "s")["done"], 3);
}

#[test]
fn an_interpreter_ends_with_its_command() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("plan.toml"), own_engine()).unwrap();
    let waits = format!("touch '{0}/begun'; cat > /dev/null; touch '{0}/ended'; exit 130", at.display());
    let python = interpreter(at, "python", BOTH, &waits);
    let words =
        ["sweep", "plan.toml", "--dir", "s", "--no-measure", "--executor", "ray", "--python", &python];
    let mut parent = command().current_dir(at).args(words).spawn().unwrap();
    let since = Instant::now();
    while !at.join("begun").exists() {
        assert!(since.elapsed() < Duration::from_secs(60), "it was not started");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Long enough for an event to have been heard, with which Ctrl-C is caught.
    std::thread::sleep(Duration::from_millis(300));
    tell(parent.id(), "-INT");
    assert_eq!(parent.wait().unwrap().code(), Some(130));
    assert!(at.join("ended").exists());
}

#[test]
fn executors_refuse_what_does_not_fit_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("plan.toml"), own_engine()).unwrap();
    std::fs::write(at.join("nodes.toml"), own_engine().replace("[trainer]\n", "[trainer]\nnodes = 2\n"))
        .unwrap();
    let interpreters = [
        interpreter(at, "bare", r#"{"lehr": null, "ray": null}"#, ""),
        interpreter(at, "old", r#"{"lehr": "0.0.9", "ray": "2.60.0"}"#, ""),
        interpreter(at, "rayless", r#"{"lehr": "0.1.0", "ray": null}"#, ""),
        interpreter(at, "mute", "", ""),
        at.join("nothing").to_str().unwrap().to_owned(),
    ];
    let k8s = ["--executor", "k8s-job-files"];
    let image = ["--k8s-image", "a/b"];
    let claim = ["--k8s-claim", "c"];
    let mut cases: Vec<Vec<&str>> = vec![
        k8s.to_vec(),
        [&k8s[..], &image].concat(),
        [&k8s[..], &claim, &["--k8s-image", "a b"]].concat(),
        [&k8s[..], &image, &["--k8s-claim", "My_Claim"]].concat(),
        [&k8s[..], &image, &claim, &["--k8s-mount", "/somewhere"]].concat(),
        [&k8s[..], &image, &claim, &["--k8s-mount", "/"]].concat(),
        [&k8s[..], &image, &claim, &["--write-only"]].concat(),
        image.to_vec(),
        vec!["--python", "python3"],
        vec!["--write-only"],
        ["--executor", "slurm", "--ray-address", "a"].to_vec(),
    ];
    cases.extend(interpreters.iter().map(|python| vec!["--executor", "ray", "--python", python.as_str()]));
    let place = at.canonicalize().unwrap().to_str().unwrap().to_owned();
    let mut text = String::new();
    let mut ask = |plan: &str, case: &[&str]| {
        let words = [&["sweep", plan, "--no-measure", "--json"], case].concat();
        let answer = lehr_in(at, &words);
        let line =
            format!("$ lehr sweep {plan} {}\n{}[exit {}]\n\n", case.join(" "), answer.err, answer.code);
        text.push_str(&line.replace(&place, "DIR"));
    };
    cases.iter().for_each(|case| ask("plan.toml", case));
    ask("nodes.toml", &[&k8s[..], &image, &claim].concat());
    ask("nodes.toml", &["--executor", "ray", "--write-only"]);
    insta::assert_snapshot!(text);
}
