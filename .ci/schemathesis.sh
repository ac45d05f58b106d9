#!/usr/bin/env bash
# Starts the selector and checks it against its own OpenAPI document with schemathesis (PyPI), all checks.
# SCHEMATHESIS_EXAMPLES: test cases per operation and phase (default 40).
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

version=4.32.5
cache=${ENTROPO_CI_CACHE:-$HOME/.cache/entropo-ci}
venv=$cache/schemathesis-$version
if [ ! -x "$venv/bin/schemathesis" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" --quiet install "schemathesis==$version"
fi

if [ -z "${ENTROPO_BIN_DIR:-}" ]; then cargo build --quiet --locked -p selector --bin entropo-selector; fi
binary=${ENTROPO_BIN_DIR:-${CARGO_TARGET_DIR:-$root/target}/debug}/entropo-selector
scratch=$(mktemp -d)
log=$scratch/log
"$binary" --bind 127.0.0.1:0 --database "sqlite://$scratch/entropo.db" --log-format json --log-level warn,selector=info \
    2>"$log" &
service=$!
trap 'kill $service 2>/dev/null || true; wait $service 2>/dev/null || true; rm -rf "$scratch"' EXIT

for _ in $(seq 100); do
    addr=$(sed -n 's/.*"addr":"\([^"]*\)".*/\1/p' "$log" | head -n 1)
    if [ -n "$addr" ]; then break; fi
    if ! kill -0 $service 2>/dev/null; then cat "$log"; exit 1; fi
    sleep 0.1
done
if [ -z "$addr" ]; then echo "the selector did not start within 10 s"; cat "$log"; exit 1; fi

# In the scratch folder, because schemathesis keeps notes in the current one.
(
    cd "$scratch"
    "$venv/bin/schemathesis" --no-color --config-file "$root/.ci/schemathesis.toml" run "http://$addr/openapi.json" \
        --checks all --max-examples "${SCHEMATHESIS_EXAMPLES:-40}" --seed 1
)

# A panic is answered as 500, which schemathesis reports; this also finds one outside of a request.
if grep -q 'panic' "$log"; then
    echo "the service panicked:"
    grep 'panic' "$log"
    exit 1
fi
