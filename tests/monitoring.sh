#!/usr/bin/env bash
# The monitoring of deploy/ against real services: promtool reads the configuration and the alerts and runs the alerts'
# own tests, then the three services run under traffic while Prometheus scrapes them, and every panel of the dashboard
# and every alert is asked for. What is checked is in tests/monitoring.py.
#
#   tests/monitoring.sh               about two minutes
#   tests/monitoring.sh --seconds 300 more traffic
#   tests/monitoring.sh --keep        leaves the services and Prometheus running until Ctrl-C
#
# Needs Prometheus (promtool and prometheus); as root it installs Debian's. Works on a fresh clone.
# ENTROPO_BIN_DIR   folder with `entropo-under-test`; without it that is built here
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v promtool >/dev/null || ! command -v prometheus >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    # Only the programs: no server that starts by itself.
    (apt-get update -qq && RUNLEVEL=1 apt-get install -y -qq --no-install-recommends prometheus) >/dev/null
  else
    echo "tests/monitoring.sh: prometheus and promtool are not installed (Debian: apt-get install prometheus)" >&2
    exit 1
  fi
fi

if [ -n "${ENTROPO_BIN_DIR:-}" ] && [ -x "$ENTROPO_BIN_DIR/entropo-under-test" ]; then
  bin=$ENTROPO_BIN_DIR
else
  cargo build -p tests --bins --locked
  bin=${CARGO_TARGET_DIR:-target}/debug
fi

scratch=$(mktemp -d "${TMPDIR:-/tmp}/entropo-monitoring.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

promtool check rules deploy/prometheus/alerts.yml
promtool test rules tests/monitoring/alerts.yml
# The token is only in the container.
mkdir "$scratch/prometheus"
cp deploy/prometheus/*.yml "$scratch/prometheus/"
echo nothing >"$scratch/token"
sed -i "s#/run/secrets/admin_token#$scratch/token#" "$scratch/prometheus/prometheus.yml"
promtool check config "$scratch/prometheus/prometheus.yml"

python3 tests/monitoring.py "$bin/entropo-under-test" "$scratch" "$@"
