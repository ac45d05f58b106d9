#!/usr/bin/env bash
# Builds every overlay with `kubectl kustomize`, without a cluster, and checks what results: against the JSON schemas in
# schemas.json (Kubernetes 1.32, strict: unknown fields are errors), and by the rules in validate.py.
#
#   deploy/kubernetes/validate.sh
#
# Needs kubectl 1.27 or later (or kustomize 5), and Python, into whose own folder it installs jsonschema and PyYAML.
# ENTROPO_KUBECTL=optional    without kubectl say so and end with 0 instead of 1
# ENTROPO_CI_CACHE            folder for what is installed (default ~/.cache/entropo-ci)
set -euo pipefail
cd "$(dirname "$0")"

if command -v kubectl >/dev/null; then
    build=(kubectl kustomize)
elif command -v kustomize >/dev/null; then
    build=(kustomize build)
else
    cat <<'EOF'
################################################################################
#  SKIPPED: the manifests of deploy/kubernetes were NOT checked.
#  There is neither kubectl nor kustomize.
################################################################################
EOF
    [ "${ENTROPO_KUBECTL:-}" = optional ] || exit 1
    exit 0
fi

cache=${ENTROPO_CI_CACHE:-$HOME/.cache/entropo-ci}
venv=$cache/kubernetes-jsonschema-4.26.0
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import jsonschema, yaml' 2>/dev/null; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" --quiet install jsonschema==4.26.0 PyYAML==6.0.3
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for overlay in overlays/*/; do
    name=$(basename "$overlay")
    "${build[@]}" "$overlay" >"$scratch/$name.yaml"
done
"$venv/bin/python" validate.py "$scratch"/*.yaml
