#!/usr/bin/env bash
# Builds the release wheel and the source distribution, and checks both: tools/wheel_check.sh [WHEEL]
# With a wheel, that one is checked and none is built. Needs Rust and Python; takes the time of an optimised build (ten minutes on two
# cores). Interpreters: those named in $PYTHONS, else python3.10 … python3.13 as far as they are there (also pyenv's).
set -euo pipefail
cd "$(dirname "$0")/.."
place=$PWD/target/wheel-check
export CARGO_TERM_COLOR=never CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
rm -rf "$place"
mkdir -p "$place/dist"
python3 -m venv "$place/tools"
"$place/tools/bin/pip" --disable-pip-version-check --quiet install -r tools/requirements-wheel.txt
maturin=$place/tools/bin/maturin

cargo fetch --locked --quiet
if [ -n "${1:-}" ]; then
    cp "$1" "$place/dist"
else
    CARGO_NET_OFFLINE=true "$maturin" build --profile wheel --strip --compression-level 9 --locked --out "$place/dist" --manifest-path crates/lehr-py/Cargo.toml
fi
"$maturin" sdist --out "$place/dist" --manifest-path crates/lehr-py/Cargo.toml
wheel=$(find "$place/dist" -name '*.whl')
sdist=$(find "$place/dist" -name '*.tar.gz')
"$place/tools/bin/twine" check --strict "$wheel" "$sdist"

size=$(stat -c %s "$wheel")
echo "wheel: $size bytes"
[ "$size" -lt 10000000 ] || { echo "error: the wheel is $size bytes; expected below 10,000,000" >&2; exit 1; }
! unzip -l "$wheel" | grep __pycache__ || { echo "error: the wheel carries compiled Python" >&2; exit 1; }
needs=$(unzip -p "$wheel" '*/METADATA' | grep '^Requires-Dist' || true)
[ "$needs" = "Requires-Dist: numpy>=1.24" ] || { echo "error: the wheel needs '$needs'; expected NumPy alone" >&2; exit 1; }

# On every interpreter, away from the sources: the library, the command, and one recommendation that is the same everywhere.
answers() {
    local bin=$1 work
    work=$(mktemp -d)
    (
        cd "$work"
        "$bin/lehr" --version
        "$bin/python" - "$OLDPWD/fixtures/runs" <<'PY'
import sys, warnings
import lehr
warnings.simplefilter("ignore", lehr.CaveatWarning)
runs = lehr.read(sys.argv[1], run="sim-peak2e-3-*")
rec = lehr.fit(runs, starts=3).recommend(peak_lr=2e-3, steps=20_000)
print(f"python {sys.version.split()[0]}: recommended ratio {rec.ratio:.6f}, loss {rec.loss:.6f}")
PY
        "$bin/lehr" fit "$OLDPWD/fixtures/runs" --run 'sim-peak2e-3-*' --starts 3 -o fit.json >/dev/null
        "$bin/lehr" recommend fit.json --peak-lr 2e-3 --steps 20k --json |
            "$bin/python" -c 'import json, sys; rec = json.load(sys.stdin); print("command: recommended ratio %.6f, loss %.6f" % (rec["ratio"], rec["loss"]["value"]))'
    )
    rm -rf "$work"
}
found=()
if [ -n "${PYTHONS:-}" ]; then
    read -ra found <<<"$PYTHONS"
else
    for version in 3.10 3.11 3.12 3.13; do
        for python in "$(command -v "python$version" || true)" "$HOME/.pyenv/versions/$version".*/bin/python; do
            if [ -x "$python" ] && "$python" -c 'import venv' 2>/dev/null; then
                found+=("$python")
                break
            fi
        done
    done
fi
[ ${#found[@]} -gt 0 ] || { echo "error: no Python 3.10 … 3.13 is there" >&2; exit 1; }
for python in "${found[@]}"; do
    name=$place/venv-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$python" -m venv "$name"
    "$name/bin/pip" --disable-pip-version-check --quiet install "$wheel"
    answers "$name/bin" | tee "$name.txt"
done
ratios=$(grep -ho 'ratio .*' "$place"/venv-*.txt | sort -u | wc -l)
[ "$ratios" = 1 ] || { echo "error: the answers above differ" >&2; exit 1; }

# The source distribution stands alone: unpacked elsewhere, it builds without a network. The check of its build is `cargo check` unless
# $BUILD_SDIST is set, because a second release build takes as long as the first.
mkdir "$place/unpacked"
tar -xzf "$sdist" -C "$place/unpacked"
cd "$place"/unpacked/*/
if [ -n "${BUILD_SDIST:-}" ]; then
    CARGO_NET_OFFLINE=true "$place/tools/bin/pip" --disable-pip-version-check install --no-build-isolation --no-index --no-deps \
        --target "$place/from-source" .
    PYTHONPATH=$place/from-source "${found[0]}" -c 'import lehr._lehr as it; print("built from source:", it.__version__)'
else
    cargo check --offline --locked --manifest-path "$(find . -path '*lehr-py/Cargo.toml')"
fi
echo "wheel check: passed, $((SECONDS)) s"
