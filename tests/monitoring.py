"""Runs the services under traffic with Prometheus beside them, and asks for every panel of the dashboard and every alert.
Called by tests/monitoring.sh:

    monitoring.py PROGRAM FOLDER [--seconds N] [--keep]

Exits with 1 when a panel's query fails or has no data although it must have, or an alert cannot be evaluated. Standard
library only.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM, FOLDER = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
SECONDS = int(sys.argv[sys.argv.index("--seconds") + 1]) if "--seconds" in sys.argv else 60
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/entropo.json").read_text())
# What does not happen in a minute of good health: the query must be right, but may have nothing to show.
QUIET = re.compile(r"http_requests_shed_total|trainer_alarms_total|trainer_promotions_total|outgoing_retries_total")

processes = []


def start(name, *command):
    log = open(FOLDER / f"{name}.log", "w")
    env = {key: value for key, value in os.environ.items() if not key.startswith("ENTROPO_")}
    process = subprocess.Popen(command, cwd=FOLDER, stdout=log, stderr=log, env=env)
    processes.append(process)
    return process


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def call(url, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, None


def wait(url, what):
    for _ in range(600):
        try:
            if call(url)[0] == 200:
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.1)
    sys.exit(f"{what} does not answer; see {FOLDER}")


def services():
    ports = {name: free_port() for name in ("selector", "verifier", "trainer")}
    url = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    more = {
        "selector": [f"verifier.url={url['verifier']}"],
        "verifier": [],
        "trainer": [f"trainer.verifier_url={url['verifier']}", "trainer.poll=200ms"],
    }
    for name in ("verifier", "selector", "trainer"):
        settings = [argument for pair in more[name] for argument in ("--set", pair)]
        start(name, PROGRAM, "serve", name, "--bind", f"127.0.0.1:{ports[name]}", *settings)
        wait(f"{url[name]}/readyz", name)
    return ports, url


def prometheus(ports):
    port = free_port()
    config = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
    config = config.replace("15s", "1s").replace("127.0.0.1:9090", f"127.0.0.1:{port}")
    config = re.sub(r"\n *authorization: .*", "", config)
    for name, own in ports.items():
        names = rf"dns_sd_configs: \[\{{names: \[{name}\].*"
        config = re.sub(names, f'static_configs: [{{targets: ["127.0.0.1:{own}"]}}]', config)
    (FOLDER / "prometheus.yml").write_text(config)
    shutil.copy(ROOT / "deploy/prometheus/alerts.yml", FOLDER)
    arguments = [f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={FOLDER}/tsdb"]
    start("prometheus", "prometheus", f"--config.file={FOLDER}/prometheus.yml", *arguments)
    url = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{url}/-/ready", timeout=5)
            return url
        except OSError:
            time.sleep(0.1)
    sys.exit("Prometheus does not answer")


def pool(number, count):
    def candidate(at):
        line = f"b = {number * 7 + at % 3}"
        patch = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a = 1\n+" + line + "\n"
        turns = [
            {"role": "user", "content": f"issue {number}: b is wrong " + "word " * (50 + 40 * at)},
            {"role": "assistant", "content": f"I look at x.py {number} {at} " + "token " * (30 * at)},
        ]
        return {"candidate_id": f"c{at}", "patch": patch, "turns": turns, "exit": "submitted"}

    candidates = [candidate(at) for at in range(count)]
    return {"instance_id": f"a__b-{number}", "issue": f"issue {number}", "candidates": candidates}


def traffic(url, until):
    number = 0
    while time.time() < until:
        number += 1
        status, made = call(f"{url['selector']}/v1/selections", pool(number % 40, 2 + number % 7))
        assert status == 201, status
        outcomes = {"outcomes": [{"candidate_id": "c0", "resolved": number % 3 == 0}]}
        call(f"{url['selector']}/v1/selections/{made['id']}/outcomes", outcomes)
        if number % 10 == 0:
            call(f"{url['selector']}/v1/selections", {**pool(number, 2), "policy": "majority"})
            call(f"{url['selector']}/v1/selections/none")
            call(f"{url['verifier']}/v1/score", {"issue": "i", "candidates": []})
        time.sleep(0.05)


def rows():
    def side(word, number):
        say = [("assistant", f"look {number}"), ("user", "found it"), ("assistant", f"{word} {number}")]
        return [{"role": role, "content": text} for role, text in say]

    for number in range(12):
        prompt = [{"role": "user", "content": f"fix issue {number}"}]
        yield {"prompt": prompt, "chosen": side("good", number), "rejected": side("bad", number)}


def training(url, until):
    def run(kind, steps):
        config = {
            "model": {"path": "tiny"},
            "data": {"train": "pairs.jsonl"},
            "objective": {"kind": kind},
            "training": {"steps": steps, "rows_per_step": 4, "learning_rate": 1e-5},
            "checkpoint": {"every_steps": 25},
        }
        status, made = call(f"{url['trainer']}/v1/runs", {"config": config})
        assert status == 201, status
        return f"{url['trainer']}/v1/runs/{made['id']}"

    def ended(run):
        while time.time() < until + 60:
            state = call(run)[1]["state"]
            if state not in ("queued", "running"):
                return state
            time.sleep(0.2)
        return "late"

    first = run("bradley-terry", 50)
    assert ended(first) == "done"
    status, _ = call(f"{first}/checkpoints/50/promote", {})
    assert status == 200, status
    while time.time() < until:
        state = ended(run("entropo-dpo", 250))
        assert state == "done", state


def ask(prometheus, path, **query):
    url = f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.loads(answer.read())["data"]


def panels():
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"].replace("$__rate_interval", "15s").replace("$service", ".*")
            yield panel, target, query


def check(prometheus, begun):
    failed = []
    count = 0
    for panel, target, query in panels():
        count += 1
        now = time.time()
        try:
            found = ask(prometheus, "query_range", query=query, start=begun, end=now, step=2)["result"]
        except urllib.error.HTTPError as error:
            failed.append(f"{panel['title']}: {error.read().decode()}: {query}")
            continue
        finite = [value for series in found for _, value in series["values"] if value not in ("NaN", "+Inf")]
        if not finite and not QUIET.search(query):
            failed.append(f"{panel['title']}: no data: {query}")
        labels = [series["metric"] for series in found]
        for name in re.findall(r"{{(\w+)}}", target["legendFormat"]):
            if any(name not in metric for metric in labels):
                failed.append(f"{panel['title']}: the legend names {name}, which {query} does not keep")
    rules = [rule for group in ask(prometheus, "rules")["groups"] for rule in group["rules"]]
    for rule in rules:
        if rule["health"] != "ok":
            failed.append(f"alert {rule['name']}: {rule['health']} {rule.get('lastError', '')}")
        if rule["state"] == "firing":
            failed.append(f"alert {rule['name']} fires in good health: {rule['alerts']}")
    print(f"{count} queries of {sum('targets' in panel for panel in DASHBOARD['panels'])} panels, {len(rules)} alerts")
    return failed


def main():
    models, data = FOLDER / "entropo-data/models/tiny", FOLDER / "entropo-data/data"
    data.mkdir(parents=True)
    ignored = shutil.ignore_patterns("expected.json")
    shutil.copytree(ROOT / "model/tests/fixtures/agent", models, ignore=ignored)
    (data / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    ports, url = services()
    watch = prometheus(ports)
    begun, until = time.time(), time.time() + SECONDS
    errors = []

    def guarded(work):
        try:
            work(url, until)
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            errors.append(f"{work.__name__}: {error!r}")

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (traffic, traffic, training)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = errors + check(watch, begun)
    for text in failed:
        print("FAILED", text)
    if "--keep" in sys.argv:
        print(f"Prometheus at {watch}, services at {url}; Ctrl-C ends them", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass
    return 1 if failed else 0


try:
    status = main()
finally:
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(timeout=60)
sys.exit(status)
