#!/usr/bin/env bash
# Starts the services one after the other and checks each against its own OpenAPI document with schemathesis (PyPI),
# all checks.
# SCHEMATHESIS_SERVICES: which (default "selector verifier trainer").
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

for service in selector verifier trainer; do
    if [ -z "${ENTROPO_BIN_DIR:-}" ]; then
        cargo build --quiet --locked -p "$service" --bin "entropo-$service"
    fi
done
scratch=$(mktemp -d)
service=
trap 'if [ -n "$service" ]; then kill $service 2>/dev/null || true; wait $service 2>/dev/null || true; fi; rm -rf "$scratch"' EXIT

check() { # check NAME: starts the service and runs schemathesis against it
    local name=$1 log=$scratch/$1.log addr=
    local binary
    binary=$(realpath "${ENTROPO_BIN_DIR:-${CARGO_TARGET_DIR:-$root/target}/debug}/entropo-$name")
    # In the scratch folder, because the trainer writes its runs to the current one.
    (
        cd "$scratch"
        exec "$binary" --bind 127.0.0.1:0 --database "sqlite://$scratch/$name.db" --log-format json \
            --log-level "warn,$name=info"
    ) 2>"$log" &
    service=$!
    for _ in $(seq 100); do
        addr=$(sed -n 's/.*"addr":"\([^"]*\)".*/\1/p' "$log" | head -n 1)
        if [ -n "$addr" ]; then break; fi
        if ! kill -0 $service 2>/dev/null; then cat "$log"; exit 1; fi
        sleep 0.1
    done
    if [ -z "$addr" ]; then echo "the $name did not start within 10 s"; cat "$log"; exit 1; fi

    # In the scratch folder, because schemathesis keeps notes in the current one.
    (
        cd "$scratch"
        "$venv/bin/schemathesis" --no-color --config-file "$root/.ci/schemathesis.toml" run "http://$addr/openapi.json" \
            --checks all --max-examples "${SCHEMATHESIS_EXAMPLES:-40}" --seed 1
    )

    # A panic is answered as 500, which schemathesis reports; this also finds one outside of a request.
    if grep -q 'panic' "$log"; then
        echo "the $name panicked:"
        grep 'panic' "$log"
        exit 1
    fi
    kill $service 2>/dev/null || true
    wait $service 2>/dev/null || true
    service=
}

for name in ${SCHEMATHESIS_SERVICES:-selector verifier trainer}; do check "$name"; done
