#!/bin/sh
# Makes the secrets of deploy/docker-compose.yml, once: what is there already stays.
#
#   deploy/secrets.sh [FOLDER]    writes FOLDER/secrets/* and FOLDER/.env and makes FOLDER/data; FOLDER is that of this
#                                 script when left out
#
# Values are drawn at random unless POSTGRES_PASSWORD, ENTROPO_ADMIN_TOKEN or GRAFANA_PASSWORD give them.
set -eu

folder=${1:-$(dirname "$0")}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
secrets=$folder/secrets

random() { head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \n'; }

keep() { # keep NAME VALUE: writes a secret unless it is there
    if [ -s "$secrets/$1" ]; then
        echo "$secrets/$1 is there already and stays"
        return
    fi
    printf '%s\n' "${2:-$(random)}" >"$secrets/$1"
    # A file is mounted into its container with the mode it has here, and programs there are not its owner. The folder
    # around it keeps others on this machine out.
    chmod 644 "$secrets/$1"
    echo "wrote $secrets/$1"
}

mkdir -p "$secrets" "$folder/data"
chmod 700 "$secrets"
keep postgres_password "${POSTGRES_PASSWORD:-}"
keep admin_token "${ENTROPO_ADMIN_TOKEN:-}"
keep grafana_password "${GRAFANA_PASSWORD:-}"

if [ -e "$folder/.env" ]; then
    echo "$folder/.env is there already and stays"
    exit 0
fi
cat >"$folder/.env" <<EOF
# Settings of docker-compose.yml; docs/deploy.md has the others.
COMPOSE_PROJECT_NAME=entropo
ENTROPO_SECRETS=$secrets
# Where the selector is reached: on this machine only, unless the address of another interface stands here.
ENTROPO_BIND=127.0.0.1
ENTROPO_PORT=8080
# Folder with the rows that training runs may read.
ENTROPO_DATA=$folder/data
# Prometheus, Grafana and an OpenTelemetry collector:
#COMPOSE_PROFILES=observability
#ENTROPO_TELEMETRY_OTLP_ENDPOINT=http://otel-collector:4318
EOF
echo "wrote $folder/.env"
