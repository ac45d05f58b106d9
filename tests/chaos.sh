#!/usr/bin/env bash
# Faults, put into real processes of the services over loopback: kills, a database that stops, a verifier that fails, a
# full disk, overload, slow connections, SIGTERM. Prints a table; exit code 1 when something did not hold. docs/chaos.md
# says more.
#
#   tests/chaos.sh                         everything but the soak: some 20 minutes
#   tests/chaos.sh --quick                 fewer faults: some 4 minutes; nothing fails for being slow
#   tests/chaos.sh kills --kills 500       one scenario; `--help` lists them
#   tests/chaos.sh soak --minutes 30       a long run at 70 % load
#
# DATABASE_URL      a PostgreSQL to use; without it a throwaway server is started, which can also be stopped
# ENTROPO_BIN_DIR   folder with `chaos` and `entropo-under-test` built before; without it they are built here
# CHAOS_PROFILE     `release` builds them with optimisation: figures of speed mean something there only
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${ENTROPO_BIN_DIR:-}" ] && [ -x "$ENTROPO_BIN_DIR/chaos" ]; then
  bin=$ENTROPO_BIN_DIR
else
  profile=${CHAOS_PROFILE:-dev}
  cargo build -p tests --bins --locked --profile "$profile"
  bin=${CARGO_TARGET_DIR:-target}/${profile/#dev/debug}
fi
# Exports DATABASE_URL and stops the server when this script ends; the rest lets the harness stop and start it too.
source .ci/postgres.sh
if [ -n "${ENTROPO_PG_DIR:-}" ]; then
  export ENTROPO_PG_BIN ENTROPO_PG_DIR ENTROPO_PG_USER
fi
# Slow connections take one open file each, here and there.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
"$bin/chaos" "$@"
