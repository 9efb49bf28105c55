#!/usr/bin/env bash
# Builds the documentation site into target/docs-site/site, executes its tutorials and checks its links: tools/docs_site.sh [look]
# With `look`, every page is also opened in headless Chromium (Node; Chromium is installed where there is none), wide, narrow and dark; pictures
# of the pages go to target/docs-site/pictures. Needs the development build (cargo build --workspace --all-targets) and Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
place=target/docs-site
begun=$(date +%s)
"$python" -m venv --clear "$place/venv"
bin=$(cd "$place/venv/bin" && pwd)
pip() { "$bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
pip install -r tools/requirements-docs.txt &
installing=$!
cargo build --workspace --all-targets --locked
wait "$installing"
wheel=$("$python" tools/python_wheel.py target/debug/lib_lehr.so "$place")
pip install "$wheel"
"$bin/python" -m ipykernel install --prefix "$place/venv" --name python3 >/dev/null
"$python" tools/docs_site.py gather "$place/gathered" target/debug/examples/gallery
# Tutorials find the runs that come with the repository here.
export LEHR_FIXTURES=$PWD/fixtures LEHR_PROGRESS=0 PATH="$bin:$PATH" NO_MKDOCS_2_WARNING=1
# Their arrays are small: threads of the linear algebra make them ten times slower where cores are few.
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
"$bin/mkdocs" build --quiet --strict --config-file "$place/gathered/mkdocs.yml" --site-dir "$PWD/$place/site"
"$python" tools/docs_site.py check "$place/site"
if [ "${1:-}" = look ]; then
    chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
    if [ -z "$chromium" ]; then
        root=$([ "$(id -u)" = 0 ] || echo sudo)
        $root apt-get update -qq >/dev/null
        DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq --no-install-recommends chromium >/dev/null
        chromium=$(command -v chromium)
    fi
    mkdir -p "$place/browser"
    cp tools/browser/package.json tools/browser/package-lock.json tools/browser/site.mjs "$place/browser"
    (cd "$place/browser" && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --silent --no-audit --no-fund)
    node "$place/browser/site.mjs" "$chromium" "$place/site" "$place/pictures"
fi
echo "documentation site: $(($(date +%s) - begun)) s, $place/site/index.html"
