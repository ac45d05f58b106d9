#!/usr/bin/env bash
# Backup and restore as docs/operations.md has them, on PostgreSQL and on SQLite: selections, outcomes, a training run and
# a promotion; a copy while requests come in; everything is deleted; the copy is put back; and everything that was
# acknowledged before the copy must be there. What is checked is in tests/backup.py.
#
#   tests/backup.sh
#
# Works on a fresh clone; needs Python 3. As root it installs Debian's PostgreSQL when there is none.
# DATABASE_URL      a PostgreSQL whose user may create databases; without it a throwaway server is started
# ENTROPO_BIN_DIR   folder with `entropo-under-test`; without it that is built here
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${ENTROPO_BIN_DIR:-}" ] && [ -x "$ENTROPO_BIN_DIR/entropo-under-test" ]; then
  bin=$ENTROPO_BIN_DIR
else
  cargo build -p tests --bins --locked
  bin=${CARGO_TARGET_DIR:-target}/debug
fi

# Exports DATABASE_URL and stops the server when this script ends.
source .ci/postgres.sh
scratch=$(mktemp -d "${TMPDIR:-/tmp}/entropo-backup.XXXXXX")
stop=$(trap -p EXIT | sed "s/^trap -- '//; s/' EXIT$//")
trap 'rm -rf "$scratch"; '"$stop" EXIT

python3 tests/backup.py "$bin/entropo-under-test" "$scratch/sqlite" sqlite
python3 tests/backup.py "$bin/entropo-under-test" "$scratch/postgres" "$DATABASE_URL"
