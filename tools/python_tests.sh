#!/usr/bin/env bash
# Tests the Python package in a fresh environment: tools/python_tests.sh [frameworks]
# Without a word: API, garbage, parity with the command, types, documentation examples, Optax.
# With `frameworks`: PyTorch, Transformers, Lightning (gigabytes from the package registry).
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
place=target/python-tests
begun=$(date +%s)
cargo build --workspace --all-targets --locked
wheel=$("$python" tools/python_wheel.py target/debug/lib_lehr.so "$place")
"$python" -m venv --clear "$place/venv"
pip() { "$place/venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
pip install -r "tools/requirements-python${1:+-$1}.txt"
pip install "$wheel"
bin=$(cd "$place/venv/bin" && pwd)
export LEHR_PROGRESS=0
cd crates/lehr-py
if [ "${1:-}" = frameworks ]; then
    "$bin/python" -m pytest -q -p no:cacheprovider tests/test_torch.py
else
    "$bin/python" -m pytest -q -p no:cacheprovider --ignore tests/test_torch.py tests
    "$bin/python" -m pytest -q -p no:cacheprovider --doctest-modules --pyargs lehr \
        --ignore "$("$bin/python" -c 'import lehr, os; print(os.path.dirname(lehr.__file__))')/torch.py"
    "$bin/python" -m mypy --strict --python-version 3.11 python/lehr
    "$bin/python" -m pyright --pythonpath "$bin/python"
fi
echo "python tests ${1:-}: $(($(date +%s) - begun)) s"
