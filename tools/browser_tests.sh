#!/usr/bin/env bash
# Lint and types of the scripts, then the report and the explorer in headless Chromium. Needs Node; installs Chromium (Debian's) where
# there is none, and the packages of package-lock.json. Screenshots and a PDF go to target/browser.
set -euo pipefail
cd "$(dirname "$0")/.."
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$chromium" ]; then
    root=$([ "$(id -u)" = 0 ] || echo sudo)
    $root apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq --no-install-recommends chromium >/dev/null
    chromium=$(command -v chromium)
fi
cargo build --quiet --workspace --all-targets --locked
lehr=$(pwd)/target/debug/lehr
work=target/browser
mkdir -p "$work"
cp tools/browser/package.json tools/browser/package-lock.json tools/browser/*.mjs "$work"
(cd "$work" && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --silent --no-audit --no-fund)
node "$work/lint.mjs" "$(pwd)"
"$work/node_modules/.bin/tsc" -p tools/browser/tsconfig.json
timeout 360 node "$work/tests.mjs" "$lehr" "$chromium" "$(pwd)/$work"
