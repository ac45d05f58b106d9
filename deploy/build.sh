#!/bin/sh
# The steps of deploy/Dockerfile that compile; run at the root of the workspace.
#
#   build.sh skeleton        empties every source, so that only what decides about dependencies is left
#   build.sh dependencies    compiles what the programs depend on, around those empty sources
#   build.sh programs DIR    compiles the programs and puts them into DIR
#
# FEATURES: cargo features of the programs, such as `cuda`.
set -eu

# No debug information: it would be stripped anyway, and makes linking slow.
export CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never

compile() {
    features=
    for feature in ${FEATURES:-}; do
        features="$features trainer/$feature verifier/$feature cli/$feature"
    done
    cargo build --release --locked -p selector -p verifier -p trainer -p cli --bin entropo-admin \
        --bin entropo-selector --bin entropo-verifier --bin entropo-trainer --features "$features"
}

case "${1:-}" in
skeleton)
    # What manifests name must be there, or cargo refuses them: all of that is called lib.rs, main.rs or admin.rs.
    find . -name '*.rs' -not -path './model/cubecl-llvm/*' | while read -r file; do
        case "$file" in
        */src/lib.rs) : >"$file" ;;
        */main.rs | */admin.rs | */build.rs) echo 'fn main() {}' >"$file" ;;
        *) rm "$file" ;;
        esac
    done
    find . -type f -not -name '*.rs' -not -name Cargo.toml -not -name Cargo.lock -not -path './deploy/build.sh' \
        -not -path './model/cubecl-llvm/*' -delete
    find . -type d -empty -delete
    ;;
dependencies) compile ;;
programs)
    # What was copied is older than what was built of the empty sources, and cargo goes by the time.
    find . -name '*.rs' -not -path './target/*' -exec touch {} +
    compile
    install -D -t "${2:?build.sh programs DIR}" target/release/entropo-admin target/release/entropo-selector \
        target/release/entropo-verifier target/release/entropo-trainer
    # Only the programs go on; without the rest this layer is small.
    rm -rf target
    ;;
*)
    echo "usage: build.sh skeleton|dependencies|programs DIR" >&2
    exit 2
    ;;
esac
