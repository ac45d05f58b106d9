"""Writes schemas.json: of Kubernetes' JSON schemas the kinds that are used here and what those refer to.

    pip download --no-deps kubernetes-validate==1.37.0
    python3 schemas.py kubernetes_validate-1.37.0-py3-none-any.whl > schemas.json

The package (PyPI, Apache-2.0) carries the OpenAPI schemas of every version of Kubernetes, strict ones among them: fields
that they do not know are errors. Descriptions, and the status that only a cluster writes, are left out.
"""

import json
import sys
import zipfile

VERSION = "v1.32.0"
KINDS = {
    "apps/v1": ("io.k8s.api.apps.v1", ["Deployment", "StatefulSet"]),
    "autoscaling/v2": ("io.k8s.api.autoscaling.v2", ["HorizontalPodAutoscaler"]),
    "batch/v1": ("io.k8s.api.batch.v1", ["Job"]),
    "networking.k8s.io/v1": ("io.k8s.api.networking.v1", ["NetworkPolicy"]),
    "policy/v1": ("io.k8s.api.policy.v1", ["PodDisruptionBudget"]),
    "v1": (
        "io.k8s.api.core.v1",
        ["ConfigMap", "Namespace", "PersistentVolumeClaim", "Secret", "Service", "ServiceAccount"],
    ),
}


def trimmed(node):
    """Without descriptions and extensions; references point into one document."""
    if isinstance(node, list):
        return [trimmed(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {}
    for key, value in node.items():
        if key == "$ref":
            kept[key] = "#/$defs/" + value.rsplit("/", 1)[1]
        elif not (key == "description" and isinstance(value, str)) and not key.startswith("x-kubernetes"):
            kept[key] = trimmed(value)
    return kept


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rsplit("/", 1)[1]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from references(item)


def main():
    path = f"kubernetes_validate/kubernetes-json-schema/{VERSION}-local-strict/_definitions.json"
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        everything = json.loads(wheel.read(path))["$defs"]
    kinds = {f"{api}/{kind}": f"{group}.{kind}" for api, (group, names) in KINDS.items() for kind in names}
    found, todo = {}, list(kinds.values())
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found[name] = trimmed(everything[name])
        if name in kinds.values():
            found[name].get("properties", {}).pop("status", None)
        todo.extend(references(found[name]))
    document = {
        "$comment": f"Kubernetes {VERSION}; made by schemas.py, licence Apache-2.0",
        "kinds": {name: {"$ref": f"#/$defs/{kind}"} for name, kind in sorted(kinds.items())},
        "$defs": dict(sorted(found.items())),
    }
    # A line for each definition, so that a change of version can be read.
    print("{")
    print(f'"$comment": {json.dumps(document["$comment"])},')
    print(f'"kinds": {json.dumps(document["kinds"])},')
    print('"$defs": {')
    lines = [f"{json.dumps(name)}: {json.dumps(schema, separators=(',', ':'))}" for name, schema in document["$defs"].items()]
    print(",\n".join(lines))
    print("}}")


main()
