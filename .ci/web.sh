#!/usr/bin/env bash
# Starts the service with the example set and uses its page in headless Chromium: .ci/web.py says what is checked.
#
# CHROMIUM          the browser; otherwise Debian's `chromium`, which is installed with apt-get when it is missing
# WEB_SCREENSHOTS   folder to put screenshots into
set -euo pipefail
cd "$(dirname "$0")/.."

browser=${CHROMIUM:-$(command -v chromium || true)}
if [ -z "$browser" ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    as_root=()
    if [ "$(id -u)" != 0 ]; then as_root=(sudo -n); fi
    echo "installing chromium"
    { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -y -qq chromium; } >/dev/null || true
    browser=$(command -v chromium || true)
fi
if [ -z "$browser" ]; then
    echo "the page was NOT tested: there is no chromium and it could not be installed with apt-get" >&2
    exit 1
fi

if [ -z "${ENTROPO_BIN_DIR:-}" ]; then cargo build --quiet --locked -p cli --bin entropo; fi
binary=${ENTROPO_BIN_DIR:-${CARGO_TARGET_DIR:-target}/debug}/entropo
scratch=$(mktemp -d)
log=$scratch/log
"$binary" demo --bind 127.0.0.1:0 --database "sqlite://$scratch/entropo.db" >"$log" 2>&1 &
service=$!
trap 'kill $service 2>/dev/null || true; wait $service 2>/dev/null || true; rm -rf "$scratch"' EXIT

url=""
for _ in $(seq 600); do
    url=$(sed -n 's/.*goes on at \(http:[^ ]*\).*/\1/p' "$log")
    if [ -n "$url" ]; then break; fi
    if ! kill -0 $service 2>/dev/null; then break; fi
    sleep 0.1
done
if [ -z "$url" ]; then echo "the service did not start:"; cat "$log"; exit 1; fi

python3 .ci/web.py "$url" "$browser" "$scratch/profile" ${WEB_SCREENSHOTS:+"$WEB_SCREENSHOTS"}

if grep -q 'panic' "$log"; then
    echo "the service panicked:"
    grep 'panic' "$log"
    exit 1
fi
