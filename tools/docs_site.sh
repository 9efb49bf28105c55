#!/usr/bin/env bash
# Builds the documentation site into target/docs-site/site, executes its tutorials and checks its links: tools/docs_site.sh
# Needs the development build (cargo build --workspace --all-targets) and Python 3.11.
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
"$bin/mkdocs" build --quiet --strict --config-file "$place/gathered/mkdocs.yml" --site-dir "$PWD/$place/site"
"$python" tools/docs_site.py check "$place/site"
echo "documentation site: $(($(date +%s) - begun)) s, $place/site/index.html"
