#!/usr/bin/env python3
"""Holds the manifests of `lehr sweep --executor k8s-job-files` against the schemas of Kubernetes, in every version from 1.31 on.

    pip install -r tools/requirements-k8s.txt
    cargo build && python3 tools/k8s_manifests.py target/debug/lehr

It needs no cluster and starts no Job. What the schemas do not say (names, labels, the order of exit codes) the tests of the command check.
"""

import copy
import json
import pathlib
import subprocess
import sys
import tempfile

import kubernetes_validate

# Since then a policy for failures of Pods is stable.
OLDEST = (1, 31)
PLAN = """
validate_every = 5
warmup = 4

[models.Small_Model]
vocabulary = 256
context = 16
width = 16
layers = 1
heads = 2
hidden = 32
{trainer}
[[grid]]
models = ["Small_Model"]
peak_lr = [5e-2]
total = [60]
ratio = [0.1, 0.5]
family = ["wsd", "cosine"]
batch = [4]
"""
TRAINER = '[trainer]\ncommand = "train {job}"\nlogs = "logs/{name}.jsonl"\ngpus = 8\n'


def refusal(manifest: dict, version: str) -> str | None:
    """What a version of Kubernetes has against a manifest; unknown keys are refused, too."""
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error)
    return None


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    lehr = str(pathlib.Path(sys.argv[1]).resolve())
    numbers = {tuple(int(part) for part in version.split(".")[:2]) for version in kubernetes_validate.utils.all_versions()}
    versions = [".".join(str(part) for part in number) for number in sorted(numbers) if number >= OLDEST]
    assert versions, "no version to check against"
    checked = 0
    for trainer in ["", TRAINER]:
        with tempfile.TemporaryDirectory() as place:
            pathlib.Path(place, "plan.toml").write_text(PLAN.replace("{trainer}", trainer))
            words = ["sweep", "plan.toml", "--dir", "sweep", "--no-measure", "--executor", "k8s-job-files"]
            words += ["--k8s-image", "registry/lehr:1", "--k8s-claim", "sweeps", "--k8s-mount", str(pathlib.Path(place).resolve())]
            done = subprocess.run([lehr, *words], cwd=place, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            manifests = [json.loads(path.read_text()) for path in sorted(pathlib.Path(place, "sweep/k8s").glob("*.json"))]
        assert len(manifests) == 4, f"{len(manifests)} manifests; expected a trunk, two branches and a run that stands alone"
        for version in versions:
            for manifest in manifests:
                found = refusal(manifest, version)
                assert found is None, f"Kubernetes {version}: {manifest['metadata']['name']}: {found}"
                checked += 1
            # The check itself can fail.
            for spoil in [
                lambda job: job["spec"].update(backofLimit=3),
                lambda job: job["spec"]["template"]["spec"]["containers"][0].pop("name"),
                lambda job: job["spec"]["podFailurePolicy"]["rules"][0].pop("action"),
            ]:
                wrong = copy.deepcopy(manifests[0])
                spoil(wrong)
                assert refusal(wrong, version), f"Kubernetes {version}: a wrong manifest passes"
    print(f"{checked} manifests keep to the schemas of Kubernetes {', '.join(versions)}")


if __name__ == "__main__":
    main()
