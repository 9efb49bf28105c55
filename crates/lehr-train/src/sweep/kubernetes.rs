//! Writes what is left of a sweep as Jobs of Kubernetes, a manifest each; it submits nothing.
//!
//! ```text
//! DIR/k8s/0001-lehr-….json   batch/v1 Job: one Pod, `lehr sweep worker --detached --exit-codes DIR JOB`
//! ```
//! Kubernetes knows no order among Jobs, so all are created at once. The Pod of a branch whose trunk has not left its
//! checkpoint ends at once with [`AGAIN`], which counts as no failure, and is made anew after a growing pause. An init container
//! that waits would hold the branch's GPUs meanwhile: enough waiting branches would keep their own trunk from being placed.

use crate::sweep::cluster::{forgive, left, one_node, prepare, whole_path};
use crate::sweep::error::{SweepError, at};
use crate::sweep::folder::{Folder, remove, write_whole};
use crate::sweep::graph::{Job, Kind};
use crate::sweep::local::{Event, Executor};
use crate::sweep::outside::AGAIN;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Longest name of a Job: its Pods add a dash and five letters, and a label holds 63.
const LONGEST_NAME: usize = 57;
/// Longest value of a label.
const LONGEST_LABEL: usize = 63;
/// Digits of the hash that every name ends with.
const DIGITS: usize = 10;
/// Workers that may die without a word (out of memory, say) before a job is given up.
const DEATHS: u32 = 3;
/// Seconds that a trainer of the user's own has to leave a checkpoint when its Pod is to end.
const GRACE: u32 = 180;
/// Seconds that lehr's engine has for its snapshot.
const OWN_GRACE: u32 = 60;
/// What marks a manifest as one that may be replaced.
const MANAGED: &str = "app.kubernetes.io/managed-by";

/// Writes Jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesExecutor {
    /// The image, with `lehr` on its path.
    pub image: String,
    /// The claim of a volume that all nodes can mount.
    pub claim: String,
    /// Where it is mounted; `None`: at the sweep's folder.
    pub mount: Option<PathBuf>,
}

/// A manifest and the file it belongs into.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Name of the file.
    pub file: String,
    /// The Job.
    pub job: Value,
}

/// Any text as the inside of a DNS-1123 label: lower-case letters, digits and single dashes, at most so many.
fn slug(text: &str, most: usize) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter.to_ascii_lowercase() {
            letter @ ('a'..='z' | '0'..='9') => out.push(letter),
            _ if out.is_empty() || out.ends_with('-') => {}
            _ => out.push('-'),
        }
    }
    out.truncate(most);
    out.trim_end_matches('-').to_owned()
}

/// The first hexadecimal digits of a checksum.
fn digits(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.truncate(DIGITS);
    text
}

/// A name for a job of the sweep at `path`, that no other has: `lehr-`, what of its own name a DNS-1123 label may hold, and a hash.
fn name(path: &str, job: &str, taken: &mut BTreeSet<String>) -> String {
    let inside = slug(job, LONGEST_NAME - "lehr--".len() - DIGITS);
    let dash = if inside.is_empty() { "" } else { "-" };
    let mut round = 0_u32;
    loop {
        let name = format!("lehr{dash}{inside}-{}", digits(&[path, job, &round.to_string()]));
        if taken.insert(name.clone()) {
            return name;
        }
        round += 1;
    }
}

/// An argument that Kubernetes hands on as it is: it puts variables in for `$(NAME)`.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// Whether a text is a DNS-1123 subdomain, as names of claims are.
fn is_subdomain(text: &str) -> bool {
    let label = |part: &str| {
        let inside = part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        inside && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

impl KubernetesExecutor {
    /// Checks the options against a sweep; the path at which the claim is mounted.
    fn check(&self, folder: &Folder) -> Result<String, SweepError> {
        let wrong = |option, found: &str, expected: &str| {
            Err(SweepError::Option { option, found: found.to_owned(), expected: expected.to_owned() })
        };
        let image = &self.image;
        if image.is_empty() || image.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
            return wrong("k8s_image", image, "the name of an image with lehr, such as registry/name:tag");
        }
        if !is_subdomain(&self.claim) {
            let expected =
                "the name of a PersistentVolumeClaim: lower-case letters, digits, '-' and '.', at most 253";
            return wrong("k8s_claim", &self.claim, expected);
        }
        let place = whole_path(folder.path())?;
        let mount = match &self.mount {
            Some(mount) if !mount.is_absolute() || !Path::new(&place).starts_with(mount) => {
                let expected = format!("a path from the root that leads to the sweep's folder {place}");
                return wrong("k8s_mount", &mount.to_string_lossy(), &expected);
            }
            Some(mount) => whole_path(mount)?,
            None => place,
        };
        if mount == "/" || mount.contains(':') {
            return wrong("k8s_mount", &mount, "a folder below the root, without ':' in its path");
        }
        one_node(folder, "a Pod")?;
        Ok(mount)
    }

    /// Paths that jobs read and that do not lie below the mounted claim: the image must hold them.
    ///
    /// # Errors
    /// [`SweepError::Option`] for options that do not fit the sweep.
    pub fn outside_of_claim(&self, folder: &Folder) -> Result<Vec<PathBuf>, SweepError> {
        let mount = PathBuf::from(self.check(folder)?);
        let mut needed: BTreeSet<PathBuf> = BTreeSet::new();
        match &folder.settings.trainer {
            Some(trainer) => drop(needed.insert(trainer.beside.clone())),
            None => {
                for job in &folder.graph().jobs {
                    needed.extend(job.config.data.paths.iter().map(PathBuf::from));
                    needed.extend(job.config.data.tokenizer.iter().map(PathBuf::from));
                }
            }
        }
        Ok(needed.into_iter().filter(|path| !path.starts_with(&mount)).collect())
    }

    /// The Jobs of what is left of a sweep, trunks first. Names depend on the sweep's path and the job alone.
    ///
    /// # Errors
    /// [`SweepError::Option`] for options that do not fit the sweep; [`SweepError`] when a state cannot be read.
    pub fn manifests(&self, folder: &Folder) -> Result<Vec<Manifest>, SweepError> {
        let mount = self.check(folder)?;
        let place = whole_path(folder.path())?;
        let mut taken = BTreeSet::new();
        let names: Vec<(&str, String)> = folder
            .graph()
            .jobs
            .iter()
            .map(|job| (job.id.as_str(), name(&place, &job.id, &mut taken)))
            .collect();
        let manifest = |(at, job): (usize, &Job)| {
            let name =
                names.iter().find(|(id, _)| *id == job.id).map_or_else(String::new, |(_, name)| name.clone());
            Manifest {
                file: format!("{:04}-{name}.json", at + 1),
                job: self.manifest(folder, job, &name, &place, &mount),
            }
        };
        Ok(left(folder)?.into_iter().enumerate().map(manifest).collect())
    }

    /// The Job of one job.
    fn manifest(&self, folder: &Folder, job: &Job, name: &str, place: &str, mount: &str) -> Value {
        let trainer = folder.settings.trainer.as_ref().map(|trainer| &trainer.plan);
        let sweep =
            Path::new(place).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let sweep =
            format!("lehr-{}-{}", slug(&sweep, LONGEST_LABEL - "lehr--".len() - DIGITS), digits(&[place]));
        let kind = match job.kind {
            Kind::Trunk { .. } => "trunk",
            Kind::Branch { .. } => "branch",
            Kind::Alone => "alone",
        };
        let labels = json!({
            "app.kubernetes.io/name": "lehr",
            MANAGED: "lehr",
            "lehr-sweep": sweep,
            "lehr-kind": kind,
        });
        let annotations = json!({ "lehr-job": job.id });
        let lanes = folder.settings.lanes.to_string();
        let mut resources = json!({ "requests": { "cpu": lanes } });
        if let Some(gpus) = trainer.and_then(|trainer| trainer.gpus) {
            // Of what cannot be shared, the request is the limit.
            resources["limits"] = json!({ "nvidia.com/gpu": gpus.to_string() });
        }
        let mut mounts = vec![json!({ "name": "sweep", "mountPath": mount })];
        let mut volumes =
            vec![json!({ "name": "sweep", "persistentVolumeClaim": { "claimName": self.claim } })];
        if trainer.is_some() {
            // Data loaders and collectives of several processes share memory; 64 MB, the default, ends them.
            mounts.push(json!({ "name": "memory", "mountPath": "/dev/shm" }));
            volumes.push(json!({ "name": "memory", "emptyDir": { "medium": "Memory" } }));
        }
        let grace = if trainer.is_some() { GRACE } else { OWN_GRACE };
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": { "name": name, "labels": labels, "annotations": annotations },
            "spec": {
                "completions": 1,
                "parallelism": 1,
                "backoffLimit": DEATHS,
                "podFailurePolicy": { "rules": [
                    { "action": "Ignore", "onExitCodes": { "containerName": "worker", "operator": "In", "values": [AGAIN] } },
                    { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
                    { "action": "FailJob", "onExitCodes": { "containerName": "worker", "operator": "In", "values": [1, 2] } },
                ] },
                "template": {
                    "metadata": { "labels": labels, "annotations": annotations },
                    "spec": {
                        "restartPolicy": "Never",
                        "terminationGracePeriodSeconds": grace,
                        "automountServiceAccountToken": false,
                        "containers": [{
                            "name": "worker",
                            "image": self.image,
                            "command": ["lehr"],
                            "args": ["sweep", "worker", "--detached", "--exit-codes", "--", literal(place), literal(&job.id)],
                            "env": [{ "name": "RAYON_NUM_THREADS", "value": lanes }],
                            "resources": resources,
                            "volumeMounts": mounts,
                        }],
                        "volumes": volumes,
                    },
                },
            },
        })
    }
}

/// Removes the manifests that were written before: what is done meanwhile must not be created again.
fn clear(place: &Path) -> Result<(), SweepError> {
    for entry in std::fs::read_dir(place).map_err(at(place, "read"))? {
        let file = entry.map_err(at(place, "read"))?.path();
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let bytes = std::fs::read(&file).map_err(at(&file, "read"))?;
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if value["metadata"]["labels"][MANAGED] == "lehr" {
            remove(&file)?;
        }
    }
    Ok(())
}

impl Executor for KubernetesExecutor {
    /// Writes the manifests; it creates no Job.
    fn run(&self, folder: &Folder, observe: &mut dyn FnMut(Event<'_>)) -> Result<(), SweepError> {
        self.check(folder)?;
        let _held = folder.lock()?;
        prepare(folder, observe)?;
        forgive(folder)?;
        let place = folder.path().join("k8s");
        std::fs::create_dir_all(&place).map_err(at(&place, "make"))?;
        clear(&place)?;
        let manifests = self.manifests(folder)?;
        for manifest in &manifests {
            // A JSON value can be written.
            write_whole(&place.join(&manifest.file), format!("{:#}\n", manifest.job).as_bytes())?;
        }
        observe(Event::Submitted { script: &place, tasks: manifests.len(), number: None });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels_whatever_a_job_is_called() {
        let long = "x".repeat(300);
        let jobs = [
            "Small_Model-lr5e-2",
            "small.model-lr5e-2",
            "",
            "---",
            "ärger/🦀",
            "$(HOME)",
            &long,
            "small-model-lr5e-2",
        ];
        let mut taken = BTreeSet::new();
        for job in jobs {
            let name = name("/sweeps/a", job, &mut taken);
            assert!(
                is_subdomain(&name) && !name.contains('.') && name.len() <= LONGEST_NAME,
                "{job}: {name}"
            );
        }
        assert_eq!(taken.len(), jobs.len());
        // Jobs of two sweeps have two names, and a job has the same one each time.
        let once = |path| name(path, "a", &mut BTreeSet::new());
        assert_ne!(once("/sweeps/a"), once("/sweeps/b"));
        assert_eq!(once("/sweeps/a"), once("/sweeps/a"));
        // Should two hashes be one, the second job gets another.
        let mut held = BTreeSet::from([once("/sweeps/a")]);
        assert!(is_subdomain(&name("/sweeps/a", "a", &mut held)));
        assert_eq!(held.len(), 2);
    }

    #[test]
    fn slugs_keep_what_a_label_may_hold() {
        assert_eq!(slug("Tiny_B--lr5e-2.", 40), "tiny-b-lr5e-2");
        assert_eq!(slug("abc-def", 4), "abc");
        assert_eq!(slug("_é_", 9), "");
    }

    #[test]
    fn claims_are_subdomains() {
        for wrong in ["", "-a", "a-", "A", "a..b", "a_b", "a b", &"a".repeat(254)] {
            assert!(!is_subdomain(wrong), "{wrong}");
        }
        assert!(["sweeps", "a.b-c.9"].iter().all(|right| is_subdomain(right)));
    }

    #[test]
    fn arguments_reach_the_worker_as_they_are() {
        assert_eq!(literal("$(HOME) $$"), "$$(HOME) $$$$");
    }
}
