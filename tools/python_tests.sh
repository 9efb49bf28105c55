#!/usr/bin/env bash
# Tests the Python package in a fresh environment: tools/python_tests.sh [frameworks|composer]
# Without a word: API, garbage, parity with the command, types, documentation examples, Optax, manifests for Kubernetes.
# With `frameworks`: PyTorch, Transformers, Lightning, Ray, the PyTorch engine and the templates (gigabytes from the package registry).
# With `composer`: PyTorch and Composer, which keeps to an older PyTorch (gigabytes, too).
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
place=target/python-tests
begun=$(date +%s)
"$python" -m venv --clear "$place/venv"
bin=$(cd "$place/venv/bin" && pwd)
pip() { "$bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
# The registry is waited for while the compiler works.
pip install -r "tools/requirements-python${1:+-$1}.txt" &
installing=$!
cargo build --workspace --all-targets --locked
wait "$installing"
wheel=$("$python" tools/python_wheel.py target/debug/lib_lehr.so "$place")
pip install "$wheel"
export LEHR_PROGRESS=0
cd crates/lehr-py
case "${1:-}" in
frameworks)
    "$bin/python" -m pytest -q -p no:cacheprovider --durations=5 -rs tests/test_torch.py tests/test_ray.py \
        tests/test_train_engine.py tests/test_templates.py
    "$bin/python" -m pytest -q -p no:cacheprovider --doctest-modules --pyargs lehr.train
    ;;
composer)
    "$bin/python" -m pytest -q -p no:cacheprovider --durations=5 -rs tests/test_torch.py
    ;;
"")
    "$bin/python" -m pytest -q -p no:cacheprovider --durations=5 --ignore tests/test_torch.py --ignore tests/test_ray.py \
        --ignore tests/test_train_engine.py --ignore tests/test_templates.py tests
    "$bin/python" -m pytest -q -p no:cacheprovider --doctest-modules --pyargs lehr \
        --ignore "$("$bin/python" -c 'import lehr, os; print(os.path.dirname(lehr.__file__))')/torch.py" \
        --ignore "$("$bin/python" -c 'import lehr, os; print(os.path.dirname(lehr.__file__))')/train"
    "$bin/python" -m mypy --strict --python-version 3.11 python/lehr
    "$bin/python" -m pyright --pythonpath "$bin/python"
    pip install -r ../../tools/requirements-k8s.txt
    "$bin/python" ../../tools/k8s_manifests.py ../../target/debug/lehr
    ;;
*)
    echo "unknown: $1; expected nothing, frameworks or composer" >&2
    exit 2
    ;;
esac
echo "python tests ${1:-}: $(($(date +%s) - begun)) s"
