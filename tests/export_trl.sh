#!/usr/bin/env bash
# Runs of `entropo train` against the same runs exported for TRL: losses of every step and weights after it, in one
# process on the processor. Opt-in, because it needs a Python with trl 1.16, transformers, accelerate and datasets.
#
#   PYTHON=venv/bin/python tests/export_trl.sh [CASE…]
#
# ENTROPO names the program; without it the debug build is made and used.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
"$python" -c 'import trl, datasets, accelerate' || { echo "PYTHON has no trl: pip install trl==1.16.* peft" >&2; exit 1; }
if [ -z "${ENTROPO:-}" ]; then
  cargo build -q -p cli
  ENTROPO="${CARGO_TARGET_DIR:-target}/debug/entropo"
fi
export ENTROPO HF_HUB_OFFLINE=1 OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
exec "$python" tests/export_trl.py "$@"
