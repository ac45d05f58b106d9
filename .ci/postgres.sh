#!/usr/bin/env bash
# A throwaway PostgreSQL for the tests.
#
#   source .ci/postgres.sh        starts it, exports DATABASE_URL, stops and deletes it when this shell ends
#   .ci/postgres.sh COMMAND...    runs COMMAND with DATABASE_URL set
#
# Does nothing when DATABASE_URL is set already. The server listens on a free port of the loopback address only, runs
# as an unprivileged user, and keeps its files in a temporary folder. Its programs are installed with apt-get when
# there are none and we may.

entropo_postgres_bin() {
    local dir
    for dir in $(ls -d /usr/lib/postgresql/*/bin /usr/local/pgsql/bin /opt/homebrew/opt/postgresql*/bin 2>/dev/null | sort -rV) \
        "$(dirname "$(readlink -f "$(command -v postgres 2>/dev/null || echo /nonexistent/x)")")"; do
        if [ -x "$dir/postgres" ] && [ -x "$dir/initdb" ] && [ -x "$dir/pg_ctl" ]; then
            echo "$dir"
            return 0
        fi
    done
    return 1
}

# Runs a command as the server's user: PostgreSQL refuses to run as root.
entropo_postgres_as() {
    if [ "$(id -u)" = 0 ]; then
        (cd / && setpriv --reuid="$ENTROPO_PG_USER" --regid="$(id -g "$ENTROPO_PG_USER")" --clear-groups -- \
            env HOME="$ENTROPO_PG_DIR" "$@")
    else
        "$@"
    fi
}

entropo_postgres_stop() {
    [ -n "${ENTROPO_PG_DIR:-}" ] || return 0
    entropo_postgres_as "$ENTROPO_PG_BIN/pg_ctl" -D "$ENTROPO_PG_DIR/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$ENTROPO_PG_DIR"
    unset ENTROPO_PG_DIR DATABASE_URL
}

entropo_postgres_start() {
    if [ -n "${DATABASE_URL:-}" ]; then
        echo "postgres: using DATABASE_URL as it is" >&2
        return 0
    fi
    local log try port
    if ! ENTROPO_PG_BIN=$(entropo_postgres_bin); then
        if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
            echo "postgres: no server programs found; install PostgreSQL 14 or later, or set DATABASE_URL" >&2
            return 1
        fi
        echo "postgres: installing the server" >&2
        # The package would start a server of its own.
        mkdir -p /etc/postgresql-common
        [ -e /etc/postgresql-common/createcluster.conf ] ||
            echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends postgresql; } \
            >/dev/null </dev/null || { echo "postgres: installing it failed" >&2; return 1; }
        ENTROPO_PG_BIN=$(entropo_postgres_bin) || { echo "postgres: installed, but not found" >&2; return 1; }
    fi
    ENTROPO_PG_USER=$(id -un)
    if [ "$(id -u)" = 0 ]; then
        ENTROPO_PG_USER=postgres
        id postgres >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin postgres ||
            { echo "postgres: cannot make an unprivileged user for it" >&2; return 1; }
    fi
    ENTROPO_PG_DIR=$(mktemp -d "${TMPDIR:-/tmp}/entropo-postgres.XXXXXX") || return 1
    trap entropo_postgres_stop EXIT
    [ "$(id -u)" != 0 ] || chown "$ENTROPO_PG_USER" "$ENTROPO_PG_DIR"
    log=$ENTROPO_PG_DIR/log
    if ! entropo_postgres_as "$ENTROPO_PG_BIN/initdb" -D "$ENTROPO_PG_DIR/data" -U entropo -A trust -E UTF8 \
        --locale=C.UTF-8 >"$ENTROPO_PG_DIR/initdb.log" 2>&1; then
        cat "$ENTROPO_PG_DIR/initdb.log" >&2
        return 1
    fi
    # Another program may take a port between the look and the start: then the next try finds another one.
    for try in 1 2 3 4 5; do
        port=$((20000 + (RANDOM % 20000)))
        if entropo_postgres_as "$ENTROPO_PG_BIN/pg_ctl" -D "$ENTROPO_PG_DIR/data" -l "$log" -w -t 60 \
            -o "-p $port -h 127.0.0.1 -k $ENTROPO_PG_DIR -c max_connections=200 -c shared_buffers=128MB" \
            start >/dev/null 2>&1; then
            export DATABASE_URL="postgres://entropo@127.0.0.1:$port/postgres"
            echo "postgres: $DATABASE_URL" >&2
            return 0
        fi
    done
    echo "postgres: the server did not start" >&2
    cat "$log" >&2
    return 1
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    entropo_postgres_start
    "$@"
else
    entropo_postgres_start
fi
