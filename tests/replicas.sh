#!/usr/bin/env bash
# Two selectors, two verifiers and two trainers on one PostgreSQL: nothing is done twice, whichever replica is asked and
# whichever dies. What is checked is in tests/replicas.py; the table that it prints is its result.
#
#   tests/replicas.sh
#
# Takes the programs of ENTROPO_BIN_DIR, else builds them. Always starts a server of its own, because the database must
# be empty.
set -euo pipefail
cd "$(dirname "$0")/.."

unset DATABASE_URL
source .ci/postgres.sh
if [ -z "${ENTROPO_BIN_DIR:-}" ]; then
    cargo build --quiet --locked -p selector -p verifier -p trainer --bins
fi
python3 tests/replicas.py "$(realpath "${ENTROPO_BIN_DIR:-${CARGO_TARGET_DIR:-target}/debug}")" "$DATABASE_URL"
