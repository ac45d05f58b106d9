"""Checks manifests: validate.py FILE… Called by validate.sh.

Each document against its schema, then what schemas cannot say: that references between documents lead somewhere, that
every container is closed, bounded and probed, and that the settings exist.
"""

import copy
import json
import pathlib
import re
import sys

import jsonschema
import yaml

HERE = pathlib.Path(__file__).parent
SCHEMAS = json.loads((HERE / "schemas.json").read_text())
PAGE = (HERE / "../../docs/configuration.md").read_text()
VARIABLES = {"ENTROPO_" + key.replace(".", "_").upper() for key in re.findall(r"^\| `([a-z_]+\.[a-z_]+)`", PAGE, re.M)}
# Made by hand, before anything else.
OUTSIDE = {("Secret", "entropo")}


def schema_errors(document):
    kind = f"{document.get('apiVersion')}/{document.get('kind')}"
    reference = SCHEMAS["kinds"].get(kind)
    if reference is None:
        yield f"there is no schema for {kind}; add it to schemas.py"
        return
    validator = jsonschema.Draft202012Validator({**reference, "$defs": SCHEMAS["$defs"]})
    for error in validator.iter_errors(document):
        yield f"{error.json_path}: {error.message}"


def pods(document):
    """The pod template of a workload, as labels and spec."""
    template = document.get("spec", {}).get("template") if document["kind"] in ("Deployment", "StatefulSet", "Job") else None
    return [(template["metadata"]["labels"], template["spec"])] if template else []


def matches(selector, labels):
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions") or []:
        assert rule["operator"] == "In", rule
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


def container_errors(name, container, volumes, probed):
    context = container.get("securityContext", {})
    closed = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    for key, value in closed.items():
        if context.get(key) != value:
            yield f"container {name}: securityContext.{key} is not {value}"
    resources = container.get("resources", {})
    for group, key in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
        if key not in resources.get(group, {}):
            yield f"container {name}: no resources.{group}.{key}"
    if container["image"].endswith(":latest") or ":" not in container["image"].rsplit("/", 1)[-1]:
        yield f"container {name}: the image {container['image']} has no version"
    for mount in container.get("volumeMounts", []):
        if mount["name"] not in volumes:
            yield f"container {name}: there is no volume {mount['name']}"
    ports = {port["name"] for port in container.get("ports", [])}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe") if probed else ():
        found = container.get(probe)
        if not found:
            yield f"container {name}: no {probe}"
        else:
            port = (found.get("httpGet") or found.get("tcpSocket") or {}).get("port")
            if port is not None and port not in ports:
                yield f"container {name}: {probe} asks the port {port}, which is not there"


def variables_errors(names):
    for name in names:
        if name.startswith("ENTROPO_") and name not in VARIABLES and name.removesuffix("_FILE") not in VARIABLES:
            yield f"{name} is no setting of docs/configuration.md"


def pod_errors(document, spec, names):
    if not spec.get("securityContext", {}).get("runAsNonRoot"):
        yield "pods may run as root"
    if spec["securityContext"].get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "pods have no seccompProfile"
    if spec.get("automountServiceAccountToken") is not False:
        yield "pods get a token for the API server"
    claims = {claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", [])}
    volumes = {volume["name"] for volume in spec.get("volumes", [])} | claims
    for volume in spec.get("volumes", []):
        for key, kind, field in (
            ("persistentVolumeClaim", "PersistentVolumeClaim", "claimName"),
            ("secret", "Secret", "secretName"),
            ("configMap", "ConfigMap", "name"),
        ):
            if key in volume and (kind, volume[key][field]) not in names:
                yield f"volume {volume['name']}: there is no {kind} {volume[key][field]}"
    for container in spec["containers"]:
        yield from container_errors(container["name"], container, volumes, document["kind"] != "Job")
        yield from variables_errors(variable["name"] for variable in container.get("env", []))
        for source in container.get("envFrom", []):
            if ("ConfigMap", source["configMapRef"]["name"]) not in names:
                yield f"there is no ConfigMap {source['configMapRef']['name']}"


def selected_errors(document, labels):
    """Whether what selects pods finds some."""
    spec = document.get("spec", {})
    kind = document["kind"]
    if kind == "Service":
        selectors = [{"matchLabels": spec["selector"]}]
    elif kind in ("PodDisruptionBudget", "Deployment", "StatefulSet"):
        selectors = [spec["selector"]]
    elif kind == "NetworkPolicy":
        selectors = [spec["podSelector"]]
        for direction, end in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(direction) or []:
                selectors += [peer["podSelector"] for peer in rule.get(end) or [] if "namespaceSelector" not in peer]
    else:
        return
    for selector in selectors:
        if not any(matches(selector, found) for found in labels):
            yield f"nothing is selected by {selector}"


def check(documents):
    """Every error, with the document's kind and name."""
    names = {(document["kind"], document["metadata"]["name"]) for document in documents} | OUTSIDE
    labels = [found for document in documents for found, _ in pods(document)]
    errors = []
    for document in documents:
        where = f"{document['kind']} {document['metadata']['name']}"
        found = list(schema_errors(document))
        if not found:
            for _, spec in pods(document):
                found += pod_errors(document, spec, names)
            found += selected_errors(document, labels)
            if document["kind"] == "HorizontalPodAutoscaler":
                target = document["spec"]["scaleTargetRef"]
                if (target["kind"], target["name"]) not in names:
                    found.append(f"there is no {target['kind']} {target['name']}")
            if document["kind"] == "ConfigMap":
                found += variables_errors(document["data"])
            if document["kind"] != "Namespace" and document["metadata"].get("namespace") != "entropo":
                found.append("is not in the namespace entropo")
        errors += [f"{where}: {error}" for error in found]
    return errors


def breaks():
    """Ways to break manifests, each with words of the error that must follow."""

    def of(kind, name):
        return lambda documents: next(
            document for document in documents if (document["kind"], document["metadata"]["name"]) == (kind, name)
        )

    verifier = of("Deployment", "verifier")
    container = lambda documents: verifier(documents)["spec"]["template"]["spec"]["containers"][0]
    pod = lambda documents: verifier(documents)["spec"]["template"]["spec"]
    yield "'replica' was unexpected", lambda d: verifier(d)["spec"].update(replica=1)
    yield "is not of type", lambda d: container(d)["readinessProbe"].update(periodSeconds="often")
    yield "'maxReplicas' is a required", lambda d: of("HorizontalPodAutoscaler", "verifier")(d)["spec"].pop("maxReplicas")
    yield "nothing is selected", lambda d: of("Service", "verifier")(d)["spec"]["selector"].update(x="y")
    yield "there is no Deployment", lambda d: of("HorizontalPodAutoscaler", "selector")(d)["spec"]["scaleTargetRef"].update(name="x")
    yield "readOnlyRootFilesystem", lambda d: container(d)["securityContext"].pop("readOnlyRootFilesystem")
    yield "may run as root", lambda d: pod(d)["securityContext"].pop("runAsNonRoot")
    yield "no startupProbe", lambda d: container(d).pop("startupProbe")
    yield "there is no volume", lambda d: container(d)["volumeMounts"][0].update(name="x")
    yield "there is no PersistentVolumeClaim", lambda d: pod(d)["volumes"][-1]["persistentVolumeClaim"].update(claimName="x")
    yield "is no setting", lambda d: of("ConfigMap", "entropo")(d)["data"].update(ENTROPO_LOG_LEVL="x")


def main():
    failed = False
    for path in map(pathlib.Path, sys.argv[1:]):
        documents = [document for document in yaml.safe_load_all(path.read_text()) if document]
        errors = check(documents)
        failed |= bool(errors)
        kinds = sorted(document["kind"] for document in documents)
        counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        print(f"{path.stem}: {len(documents)} documents, {len(errors)} errors ({counted})")
        print("".join(f"  {error}\n" for error in errors), end="")
        if path.stem == "cpu" and not errors:
            # A check that cannot fail is none.
            for words, harm in breaks():
                broken = copy.deepcopy(documents)
                harm(broken)
                if not any(words in error for error in check(broken)):
                    failed = True
                    print(f"  a manifest was broken, and no error says `{words}`")
    sys.exit(failed)


main()
