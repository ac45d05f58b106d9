#!/usr/bin/env bash
# Runs the stack of deploy/docker-compose.yml in containers and uses it: images, secrets, start, selections of real
# candidates, outcomes, a training run, promotion to the verifier, the selection after it, and the end. What is
# checked is in tests/compose.py.
#
#   tests/compose.sh                  around programs that were built here: those of ENTROPO_BIN_DIR, else by cargo
#   tests/compose.sh --from-source    builds the programs in Docker, as users do
#   tests/compose.sh --keep           leaves the stack running and says how to end it
#
# Works on a fresh clone. Without a Docker engine it installs Debian's docker.io and docker-compose and starts dockerd,
# as root. Images that no registry gives are made here under their official names: Debian's by debootstrap, PostgreSQL's
# by tests/compose/postgres, Rust's of the toolchain of this machine. Images that are there are used.
#
# ENTROPO_COMPOSE=optional    without an engine say so and end with 0 instead of 1
# COMPOSE                     the program, such as "docker compose"; otherwise v2 where it is installed, else 1.29
# ENTROPO_DOCKER_BUILD        more arguments of `docker build`
set -euo pipefail
cd "$(dirname "$0")/.."

source_build=false keep=false
for argument; do
    case "$argument" in
    --from-source) source_build=true ;;
    --keep) keep=true ;;
    *)
        sed -n '2,/^set -/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2
        exit 2
        ;;
    esac
done

scratch=$(mktemp -d "${TMPDIR:-/tmp}/entropo-compose.XXXXXX")
dockerd=
up=false
project=entropo-test-$$
timings=""

finish() {
    local status=$?
    trap - EXIT
    if $up && [ $status != 0 ]; then
        echo "-- the last lines of each service:"
        compose logs --no-color --tail 15 || true
    fi
    if $up && ! $keep; then compose down --volumes --remove-orphans --timeout 30 >/dev/null 2>&1 || true; fi
    if [ -n "$dockerd" ] && ! $keep; then
        kill "$dockerd" 2>/dev/null || true
        wait "$dockerd" 2>/dev/null || true
    fi
    if $keep && $up; then
        echo "the stack stays; end it with: ${compose_command[*]} ${compose_files[*]} down -v; rm -rf $scratch"
    else
        rm -rf "$scratch"
    fi
    exit $status
}
trap finish EXIT

skipped() { # skipped WHY: there is no engine
    cat <<EOF
################################################################################
#  SKIPPED: the stack of deploy/docker-compose.yml was NOT run.
#  $1
################################################################################
EOF
    [ "${ENTROPO_COMPOSE:-}" = optional ] || exit 1
    exit 0
}

timed() { # timed NAME COMMAND…
    local name=$1 start=$SECONDS
    shift
    echo "-- $name"
    "$@"
    timings+="$(printf '%-34s %4d s' "$name" $((SECONDS - start)))"$'\n'
}

apt_updated=false
install_packages() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    $apt_updated || apt-get update -qq >/dev/null || return 1
    apt_updated=true
    DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends "$@" >/dev/null </dev/null
}

engine() {
    if ! command -v docker >/dev/null || { ! docker info >/dev/null 2>&1 && ! command -v dockerd >/dev/null; }; then
        install_packages docker.io || skipped "There is no Docker engine, and docker.io could not be installed with apt-get."
    fi
    # The package may have started it.
    docker info >/dev/null 2>&1 && return
    if [ "$(id -u)" != 0 ]; then skipped "The Docker engine does not answer, and only root can start one."; fi
    dockerd >"$scratch/dockerd.log" 2>&1 &
    dockerd=$!
    for _ in $(seq 120); do
        docker info >/dev/null 2>&1 && return
        kill -0 "$dockerd" 2>/dev/null || break
        sleep 0.5
    done
    tail -n 5 "$scratch/dockerd.log"
    skipped "dockerd does not start; its last lines are above."
}

find_compose() {
    if [ -n "${COMPOSE:-}" ]; then
        read -ra compose_command <<<"$COMPOSE"
    elif docker compose version >/dev/null 2>&1; then
        compose_command=(docker compose)
    else
        command -v docker-compose >/dev/null || install_packages docker-compose ||
            skipped "There is no docker compose, and docker-compose could not be installed with apt-get."
        compose_command=(docker-compose)
    fi
    echo "engine $(docker version --format '{{.Server.Version}}'), $("${compose_command[@]}" version | head -n 1)"
}

registry=unknown
present() { # present IMAGE: it is there, or a registry gives it
    docker image inspect "$1" >/dev/null 2>&1 && return
    [ $registry != none ] || return 1
    if timeout 300 docker pull -q "$1" >/dev/null 2>&1; then return; fi
    registry=none
    return 1
}

base_images() {
    if ! present debian:bookworm-slim; then
        command -v debootstrap >/dev/null || install_packages debootstrap
        debootstrap --variant=minbase bookworm "$scratch/debian" >"$scratch/debootstrap.log" 2>&1 ||
            { tail -n 5 "$scratch/debootstrap.log"; exit 1; }
        # What the official image leaves out, too.
        (cd "$scratch/debian" && rm -rf usr/share/{doc,man,locale,info}/* var/cache/apt/* var/lib/apt/lists/* var/log/*)
        tar -C "$scratch/debian" -c . | docker import -c 'CMD ["bash"]' - debian:bookworm-slim >/dev/null
        rm -rf "$scratch/debian"
        echo "made debian:bookworm-slim with debootstrap"
    fi
    if ! present postgres:16-bookworm; then
        build -t postgres:16-bookworm tests/compose/postgres
        echo "made postgres:16-bookworm of Debian's package"
    fi
    if $source_build && ! present "$rust_image"; then
        rust_stand_in
        echo "made $rust_image of this machine's toolchain"
    fi
}

rust_image=$(sed -n 's/^ARG RUST_BASE=//p' deploy/Dockerfile)
rust_stand_in() {
    local folder=$scratch/rust
    mkdir "$folder"
    cp -a "$(rustc --print sysroot)" "$folder/rust"
    rm -rf "$folder/rust/share/doc"
    # Where this machine goes out through a proxy with a certificate of its own, so do containers.
    cp /etc/ssl/certs/ca-certificates.crt "$folder/ca.crt"
    cat >"$folder/Dockerfile" <<'EOF'
FROM debian:bookworm-slim
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends \
    ca-certificates gcc g++ libc6-dev make pkg-config >/dev/null && rm -rf /var/lib/apt/lists/*
COPY rust /usr/local/rust
COPY ca.crt /usr/local/cargo/ca.crt
ENV CARGO_HTTP_CAINFO=/usr/local/cargo/ca.crt CARGO_HOME=/usr/local/cargo PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
EOF
    build -t "$rust_image" "$folder"
    rm -rf "$folder"
}

build() { # build ARGUMENTS…: silent unless it fails
    local extra
    read -ra extra <<<"${ENTROPO_DOCKER_BUILD:-}"
    # BuildKit needs a plugin that not every client has; the Dockerfile must build without it anyway.
    DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0} docker build --network host ${extra[@]+"${extra[@]}"} "$@" >"$scratch/build.log" 2>&1 ||
        { tail -n 40 "$scratch/build.log"; return 1; }
}

images() {
    local name context=. suffix=
    if ! $source_build; then
        local binaries=${ENTROPO_BIN_DIR:-}
        if [ -z "$binaries" ]; then
            cargo build --quiet --locked -p selector -p verifier -p trainer -p cli --bins
            binaries=${CARGO_TARGET_DIR:-target}/debug
        fi
        context=$scratch/bin suffix=-prebuilt
        mkdir "$context"
        for name in entropo-admin entropo-selector entropo-verifier entropo-trainer; do
            strip -o "$context/$name" "$binaries/$name"
        done
    fi
    for name in selector verifier trainer migrate; do
        build -f deploy/Dockerfile --target "$name$suffix" -t "entropo-$name:$project" "$context"
    done
    rm -rf "$scratch/bin"
}

timed "engine" engine
find_compose
timed "base images" base_images
timed "images of the services" images

compose_files=(--env-file "$scratch/.env" -f deploy/docker-compose.yml)
compose() { "${compose_command[@]}" "${compose_files[@]}" "$@"; }
# Nothing of the caller's own deployment may get in.
for name in $(compgen -e | grep -E '^(ENTROPO_(SECRETS|BIND|PORT|IMAGES|TAG|DATA|MODELS|RUNS|LOG_LEVEL|TELEMETRY_.*)|COMPOSE_.*|POSTGRES_.*|TRAINER_.*|VERIFIER_.*|SELECTOR_.*)$'); do
    unset "$name"
done

echo "-- without secrets it does not start"
: >"$scratch/empty.env"
if "${compose_command[@]}" --env-file "$scratch/empty.env" -f deploy/docker-compose.yml up -d >"$scratch/refused.log" 2>&1 ||
    ! grep -q 'run deploy/secrets.sh' "$scratch/refused.log"; then
    echo "compose did not refuse to start without secrets, or not with what to do:"
    cat "$scratch/refused.log"
    exit 1
fi
deploy/secrets.sh "$scratch" >/dev/null
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
sed -i "s/^COMPOSE_PROJECT_NAME=.*/COMPOSE_PROJECT_NAME=$project/; s/^ENTROPO_PORT=.*/ENTROPO_PORT=$(free_port)/" "$scratch/.env"
printf '%s\n' "ENTROPO_TAG=$project" "TRAINER_PORT=$(free_port)" "VERIFIER_PORT=$(free_port)" \
    "TRAINER_CPUS=$(nproc)" "VERIFIER_CPUS=$(nproc)" >>"$scratch/.env"

up=true
python3 tests/compose.py "$scratch" "$project" "${compose_command[@]}" "${compose_files[@]}"

if ! $keep; then
    timed "down" compose down --volumes --remove-orphans --timeout 30 >"$scratch/down.log" 2>&1 || { cat "$scratch/down.log"; exit 1; }
    left=$(docker ps -aq --filter "label=com.docker.compose.project=$project"
        docker volume ls -q --filter "label=com.docker.compose.project=$project"
        docker network ls -q --filter "label=com.docker.compose.project=$project")
    if [ -n "$left" ]; then echo "left behind: $left"; exit 1; fi
    up=false
fi

printf '\n%-34s %s\n' image size
for name in selector verifier trainer migrate; do
    printf '%-34s %4d MB\n' "entropo-$name" $(($(docker image inspect -f '{{.Size}}' "entropo-$name:$project") / 1000000))
done
if $source_build; then
    for name in selector verifier trainer migrate; do
        [ "$(docker image inspect -f '{{.Size}}' "entropo-$name:$project")" -lt 120000000 ] ||
            { echo "entropo-$name is not below 120 MB"; exit 1; }
    done
else
    echo "(around unoptimised programs; released ones are smaller: docs/deploy.md)"
fi
$keep || docker image rm -f entropo-{selector,verifier,trainer,migrate}:"$project" >/dev/null
printf '\n%s%-34s %4d s\n' "$timings" total "$SECONDS"
