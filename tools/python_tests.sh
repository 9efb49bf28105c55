#!/usr/bin/env bash
# Tests the Python package in an environment of its own: tools/python_tests.sh [frameworks|composer] [prepare]
# Without a word: API, garbage, parity with the command, types, documentation examples, Optax, manifests for Kubernetes.
# With `frameworks`: PyTorch, Transformers, Lightning, Ray, the PyTorch engine and the templates (gigabytes from the package registry).
# With `composer`: PyTorch and Composer, which keeps to an older PyTorch (gigabytes, too).
# With `prepare`, the environment is made and nothing is tested: a download that goes on while a compiler works. An environment whose
# requirements are those of today is used again; pip keeps what it downloads.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
what=plain
case "${1:-}" in
frameworks | composer)
    what=$1
    shift
    ;;
esac
if [ $# -gt 1 ] || [ "${1:-prepare}" != prepare ]; then
    echo "unknown: $*; expected nothing, frameworks or composer, and prepare behind it" >&2
    exit 2
fi
case $what in
plain) requirements=(tools/requirements-python.txt tools/requirements-k8s.txt) ;;
*) requirements=("tools/requirements-python-$what.txt") ;;
esac
place=target/python-tests/$what
begun=$(date +%s)
mkdir -p "$place"
stamp=$("$python" -c 'import sys, hashlib; print(sys.version, hashlib.sha256(b"".join(open(name, "rb").read() for name in sys.argv[1:])).hexdigest())' "${requirements[@]}")
if [ "$(cat "$place/stamp" 2>/dev/null || true)" != "$stamp" ]; then
    rm -f "$place/stamp"
    "$python" -m venv --clear "$place/venv"
    for file in "${requirements[@]}"; do
        "$place/venv/bin/python" -m pip --disable-pip-version-check --quiet install -r "$file"
    done
    echo "$stamp" >"$place/stamp"
    echo "python tests, environment $what: $(($(date +%s) - begun)) s"
fi
bin=$(cd "$place/venv/bin" && pwd)
[ "${1:-}" != prepare ] || exit 0
cargo build --workspace --all-targets --locked
wheel=$("$python" tools/python_wheel.py target/debug/lib_lehr.so "$place")
"$bin/python" -m pip --disable-pip-version-check --quiet install --force-reinstall --no-deps "$wheel"
export LEHR_PROGRESS=0
cd crates/lehr-py
case $what in
frameworks)
    "$bin/python" -m pytest -q -p no:cacheprovider --durations=5 -rs tests/test_torch.py tests/test_ray.py \
        tests/test_train_engine.py tests/test_templates.py
    "$bin/python" -m pytest -q -p no:cacheprovider --doctest-modules --pyargs lehr.train
    ;;
composer)
    "$bin/python" -m pytest -q -p no:cacheprovider --durations=5 -rs tests/test_torch.py
    ;;
plain)
    "$bin/python" -m pytest -q -p no:cacheprovider --durations=5 --ignore tests/test_torch.py --ignore tests/test_ray.py \
        --ignore tests/test_train_engine.py --ignore tests/test_templates.py tests
    "$bin/python" -m pytest -q -p no:cacheprovider --doctest-modules --pyargs lehr \
        --ignore "$("$bin/python" -c 'import lehr, os; print(os.path.dirname(lehr.__file__))')/torch.py" \
        --ignore "$("$bin/python" -c 'import lehr, os; print(os.path.dirname(lehr.__file__))')/train"
    "$bin/python" -m mypy --strict --python-version 3.11 python/lehr
    "$bin/python" -m pyright --pythonpath "$bin/python"
    "$bin/python" ../../tools/k8s_manifests.py ../../target/debug/lehr
    ;;
esac
echo "python tests, $what: $(($(date +%s) - begun)) s"
