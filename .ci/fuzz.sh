#!/usr/bin/env bash
# Random input for everything that reads what comes from outside: fuzz/fuzz_targets with libFuzzer.
#
#   .ci/fuzz.sh [SECONDS [TARGET…]]    each target so long (default 30), or only these
#
# Builds all targets once, with the stable compiler's own coverage instrumentation (RUSTC_BOOTSTRAP: no nightly, no
# cargo-fuzz). Starts from fuzz/seeds and what earlier runs found worth keeping; stops at the first input that panics, takes
# longer than 10 s or more than 2 GiB, and leaves it in the artifacts: add it to fuzz/seeds/TARGET with its repair.
# ENTROPO_CI_CACHE      folder for builds, corpora and artifacts, outside the clone (default ~/.cache/entropo-ci)
# ENTROPO_FUZZ_MODEL=0  leaves out the targets of the crate model, whose build takes longest
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds="${1:-30}"
shift || true
cache="${ENTROPO_CI_CACHE:-${HOME:-/tmp}/.cache/entropo-ci}/fuzz"
mkdir -p "$cache"
features=(--features model)
[ "${ENTROPO_FUZZ_MODEL:-1}" = 1 ] || features=()
host="$(rustc -vV | sed -n 's/^host: //p')"

# What cargo-fuzz passes. With --target build scripts and macros are not instrumented.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$cache/target"
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions=on -Coverflow-checks=on"
unset RUSTC_WRAPPER
bins=()
for target in "$@"; do bins+=(--bin "$target"); done
nice -n 10 cargo build --release --locked --target "$host" "${features[@]}" "${bins[@]}"

if [ $# -gt 0 ]; then
  targets=("$@")
else
  mapfile -t targets < <(find "$CARGO_TARGET_DIR/$host/release" -maxdepth 1 -type f -executable -printf '%f\n' | sort)
fi
failed=()
for target in "${targets[@]}"; do
  corpus="$cache/corpus/$target" artifacts="$cache/artifacts/$target/"
  mkdir -p "$corpus" "$artifacts"
  seeds=()
  [ ! -d "seeds/$target" ] || seeds=("seeds/$target")
  log="$(mktemp)"
  if nice -n 10 "$CARGO_TARGET_DIR/$host/release/$target" "$corpus" "${seeds[@]}" -artifact_prefix="$artifacts" \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 >"$log" 2>&1; then
    runs="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    covered="$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)"
    printf '%-18s %10s runs, %6s edges\n' "$target" "$runs" "$covered"
  else
    failed+=("$target")
    printf '%-18s FAILED\n' "$target"
    tail -n 40 "$log"
  fi
  rm -f "$log"
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}; the inputs are in $cache/artifacts" >&2
  exit 1
fi
