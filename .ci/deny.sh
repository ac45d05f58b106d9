#!/usr/bin/env bash
# What may come in from outside, by deny.toml: licences, bans and sources always, known weaknesses where the RustSec
# database can be fetched.
#
#   .ci/deny.sh
#
# Takes cargo-deny from PATH, or builds it once (unoptimised, a few minutes) into the cache.
# ENTROPO_CI_CACHE     folder for it, outside the clone (default ~/.cache/entropo-ci)
# ENTROPO_ADVISORIES   `required` makes the step fail where the database cannot be fetched
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
if command -v cargo-deny >/dev/null; then
  deny=cargo-deny
else
  root="${ENTROPO_CI_CACHE:-${HOME:-/tmp}/.cache/entropo-ci}/cargo-deny-$version"
  deny="$root/bin/cargo-deny"
  if [ ! -x "$deny" ]; then
    target="$(mktemp -d)"
    trap 'rm -rf "$target"' EXIT
    echo "building cargo-deny $version into $root"
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR="$target" nice -n 10 \
      cargo install cargo-deny --version "$version" --locked --debug -j1 --quiet --root "$root"
  fi
fi

"$deny" --locked --all-features check licenses bans sources

# The database is a repository on GitHub, which not every machine that builds can reach. A check with an old copy, or
# with none, must not look like a check.
out="$(mktemp)"
trap 'rm -rf "$out" ${target:+"$target"}' EXIT
if timeout 120 "$deny" --locked --all-features fetch db >"$out" 2>&1; then
  "$deny" --locked --all-features check --disable-fetch advisories
elif [ "${ENTROPO_ADVISORIES:-optional}" = required ]; then
  cat "$out"
  echo "the database of advisories cannot be fetched" >&2
  exit 1
else
  echo "NOT CHECKED: advisories. The RustSec database (github.com/RustSec/advisory-db) cannot be fetched from here."
fi
