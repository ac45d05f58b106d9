#!/bin/sh
# What the official image's entry point does with an empty folder: makes the cluster, its owner with a password that
# clients on the network need, and the database. POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE must be set.
set -eu
umask 077

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
mkdir -p "$PGDATA"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    password=${POSTGRES_PASSWORD:-}
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then password=$(cat "$POSTGRES_PASSWORD_FILE"); fi
    if [ -z "$password" ]; then
        echo "Error: Database is uninitialized and superuser password is not specified." >&2
        exit 1
    fi
    printf '%s\n' "$password" >/tmp/password
    initdb -U "$user" --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 -E UTF8 --locale=C.UTF-8 >/dev/null
    rm /tmp/password
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    # On its socket only, so that nobody takes the half-made database for ready.
    pg_ctl -w -o "-c listen_addresses=''" start >/dev/null
    if [ "$database" != postgres ]; then createdb -U "$user" "$database"; fi
    pg_ctl -w -m fast stop >/dev/null
fi
exec "$@"
