"""Runs two replicas of each service on one PostgreSQL and checks that they share the work. Called by tests/replicas.sh:

    replicas.py FOLDER_OF_PROGRAMS DATABASE_URL

Standard library only.
"""

import concurrent.futures
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

PROGRAMS, DATABASE = pathlib.Path(sys.argv[1]), sys.argv[2]
RUNS, SELECTIONS, STEPS = 12, 60, 40
processes = []


def call(url, body=None, key=None):
    """Status and text of an answer."""
    request = urllib.request.Request(url)
    if key:
        request.add_header("idempotency-key", key)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("content-type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def good(url, body=None, key=None):
    status, text = call(url, body, key)
    assert 200 <= status < 300, f"{url}: {status} {text}"
    return json.loads(text)


def until(what, holds, patience=120):
    end = time.monotonic() + patience
    while True:
        value = holds()
        if value:
            return value
        assert time.monotonic() < end, f"{what} did not come about in {patience} s"
        time.sleep(0.1)


class Service:
    """A process of a service."""

    def __init__(self, name, number, folder, **settings):
        self.name = f"{name}-{number}"
        self.log = folder / f"{self.name}.log"
        arguments = [f"--set={key.replace('__', '.')}={value}" for key, value in settings.items()]
        command = [PROGRAMS / f"entropo-{name}", "--bind", "127.0.0.1:0", "--database", DATABASE, "--log-format", "json"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*map(str, command), *arguments], cwd=folder, stderr=log)
        processes.append(self)
        addr = until(f"the address of {self.name}", self.address)
        self.url = f"http://{addr}"
        until(f"readiness of {self.name}", lambda: call(f"{self.url}/readyz")[0] == 200)

    def address(self):
        assert self.process.poll() is None, f"{self.name} ended:\n{self.log.read_text()}"
        found = re.search(r'"addr":"([^"]+)"', self.log.read_text())
        return found and found.group(1)

    def metric(self, name, *labels):
        """Sum of a metric over its series that have these labels."""
        lines = call(f"{self.url}/metrics")[1].splitlines()
        found = (line for line in lines if re.match(rf"{name}[{{ ]", line) and all(label in line for label in labels))
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)


def events(trainer, run):
    """Number and name of every event that is kept."""
    text = call(f"{trainer.url}/v1/runs/{run}/events")[1]
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "id" in fields:
            found.append((int(fields["id"]), fields["event"]))
    return found


def place(folder):
    """A model and rows where the trainers look for them."""
    model, data = folder / "entropo-data/models/tiny", folder / "entropo-data/data"
    fixture = pathlib.Path("model/tests/fixtures/agent")
    shutil.copytree(fixture, model, ignore=shutil.ignore_patterns("expected.json"))
    data.mkdir(parents=True)
    say = lambda role, text: {"role": role, "content": text}
    sides = lambda n, word: [say("assistant", f"look {n}"), say("user", "found it"), say("assistant", f"{word} {n}")]
    row = lambda n: {"prompt": [say("user", f"fix {n}")], "chosen": sides(n, "good"), "rejected": sides(n, "bad")}
    (data / "pairs.jsonl").write_text("".join(json.dumps(row(n)) + "\n" for n in range(12)))


def config(steps, seed):
    return {
        "model": {"path": "tiny"},
        "data": {"train": "pairs.jsonl"},
        "objective": {"kind": "bradley-terry"},
        "training": {"steps": steps, "rows_per_step": 4, "learning_rate": 1e-3, "seed": seed},
        "checkpoint": {"every_steps": 5},
    }


def candidates(number):
    patch = lambda value: f"--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a = 1\n+a = {value}\n"
    one = lambda name, value: {
        "candidate_id": name,
        "exit": "submitted",
        "patch": patch(value),
        "turns": [{"role": "user", "content": f"issue {number}"}, {"role": "assistant", "content": f"set a to {value}"}],
    }
    return {
        "instance_id": f"acme__tool-{number}",
        "issue": f"a should be {number}",
        "candidates": [one("left", number), one("right", number + 1), one("same", number)],
    }


def many(function, items):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(function, items))


def selections(selectors):
    """Each request is sent to both selectors at once, under one key; some wait for the other to be done."""

    def both(number):
        key, body = str(uuid.uuid4()), candidates(number)

        def one(selector):
            while True:
                status, text = call(f"{selector.url}/v1/selections", body, key)
                if status != 409:
                    assert status == 201, (status, text)
                    return json.loads(text)
                time.sleep(0.05)

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            first, second = pool.map(one, selectors)
        assert first == second, (first, second)
        assert first["verifiers"], first
        return first["id"]

    ids = many(both, range(SELECTIONS))
    assert len(set(ids)) == SELECTIONS
    for selector in selectors:
        listed = good(f"{selector.url}/v1/selections?limit=1000")["selections"]
        assert sorted(item["id"] for item in listed) == sorted(ids), selector.name
    return ids


def runs(trainers):
    """Every run is asked for twice, of either trainer under one key."""

    def both(number):
        key, body = str(uuid.uuid4()), {"name": f"run {number}", "config": config(STEPS, number)}
        answers = [good(f"{trainer.url}/v1/runs", body, key)["id"] for trainer in trainers]
        assert answers[0] == answers[1], answers
        return answers[0]

    ids = many(both, range(RUNS))
    assert len(set(ids)) == RUNS
    open_states = ("queued", "running")
    views = lambda: [good(f"{trainers[0].url}/v1/runs/{run}") for run in ids]
    until("the end of every run", lambda: all(view["state"] not in open_states for view in views()), 300)
    for view in views():
        assert (view["state"], view["attempts"]) == ("done", 1), view
        kept = events(trainers[1], view["id"])
        names = [name for _, name in kept]
        assert [number for number, _ in kept] == list(range(1, len(kept) + 1)), kept
        assert (names.count("started"), names.count("ended"), names.count("step")) == (1, 1, STEPS), names
    return [view["worker"] for view in views()]


def taken_over(trainers, folder):
    """A trainer is killed at work; the other one ends what it had begun."""
    body = {"name": "killed", "config": config(400, 99)}
    run = good(f"{trainers[0].url}/v1/runs", body)["id"]
    url = lambda trainer: f"{trainer.url}/v1/runs/{run}"
    until("a first checkpoint", lambda: good(f"{url(trainers[0])}/checkpoints")["data"])
    worker = good(url(trainers[0]))["worker"]
    dead = next(trainer for trainer in trainers if worker.startswith(trainer.url.removeprefix("http://")))
    alive = next(trainer for trainer in trainers if trainer is not dead)
    dead.process.kill()
    dead.process.wait()
    view = until("the end of the run", lambda: (lambda view: view["state"] not in ("queued", "running") and view)(good(url(alive))), 300)
    assert (view["state"], view["attempts"]) == ("done", 2), view
    assert view["worker"].startswith(alive.url.removeprefix("http://")), view["worker"]
    names = [name for _, name in events(alive, run)]
    assert (names.count("resumed"), names.count("ended")) == (1, 1), names
    return run, dead, alive


def main():
    with tempfile.TemporaryDirectory(prefix="entropo-replicas.") as name:
        folder = pathlib.Path(name)
        place(folder)
        verifiers = [Service("verifier", n, folder, models__refresh="500ms") for n in (1, 2)]
        # Each trainer and each selector knows one verifier, as if a balancer had sent it there.
        trainers = [
            Service("trainer", n, folder, trainer__lease="3s", trainer__poll="200ms", trainer__verifier_url=verifiers[n - 1].url)
            for n in (1, 2)
        ]
        selectors = [Service("selector", n, folder, verifier__url=verifiers[n - 1].url) for n in (1, 2)]

        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            trained, selected = pool.submit(runs, trainers), pool.submit(selections, selectors)
            workers, ids = trained.result(), selected.result()
        took = time.monotonic() - started
        rows = []
        for selector in selectors:
            computed = selector.metric("selector_verifier_requests_total")
            answered = selector.metric("http_requests_total", 'route="/v1/selections"', 'method="POST"', 'status="201"')
            rows.append((selector.name, f"{answered:.0f} selections answered, {computed:.0f} of them computed"))
        assert sum(selector.metric("selector_verifier_requests_total") for selector in selectors) == SELECTIONS
        for verifier in verifiers:
            asked = verifier.metric("http_requests_total", 'route="/v1/score"', 'status="200"')
            rows.append((verifier.name, f"{asked:.0f} requests for scores answered"))
        shares = [sum(worker.startswith(trainer.url.removeprefix("http://")) for worker in workers) for trainer in trainers]
        assert sum(shares) == RUNS and min(shares) > 0, workers
        rows += [(trainer.name, f"{share} runs of {RUNS}, each at its first attempt") for trainer, share in zip(trainers, shares)]

        run, dead, alive = taken_over(trainers, folder)
        rows.append((dead.name, "killed at work"))
        rows.append((alive.name, "resumed that run at its checkpoint and ended it, at the second attempt"))

        model = good(f"{alive.url}/v1/runs/{run}/checkpoints/400/promote", {})["model"]
        for verifier in verifiers:
            until(f"the swap of {verifier.name}", lambda: good(f"{verifier.url}/v1/models/active")["id"] == model, 30)
        rows.append(("both verifiers", f"answer with {model}, which one of them was told"))
        for number, selector in enumerate(selectors):
            answer = good(f"{selector.url}/v1/selections", candidates(1000 + number))
            assert answer["verifiers"][0].startswith(f"{model}@"), answer["verifiers"]
            other = selectors[1 - number]
            assert good(f"{other.url}/v1/selections/{answer['id']}")["id"] == answer["id"]
        rows.append(("both selectors", "use it, and read each other's selections"))

        codes = {}
        for service in processes:
            if service is not dead:
                service.process.terminate()
                codes[service.name] = service.process.wait(timeout=30)
        assert all(code == 0 for code in codes.values()), codes
        for service in processes:
            assert "panic" not in service.log.read_text(), service.log.read_text()
        print(f"{'replica':<16} did\n" + "".join(f"{name:<16} {did}\n" for name, did in rows), end="")
        print(f"{SELECTIONS} selections asked for of both selectors and {RUNS} runs of both trainers took {took:.1f} s together")


try:
    main()
except BaseException:
    for service in processes:
        if service.log.exists():
            print(f"-- {service.name}:\n" + "\n".join(service.log.read_text().splitlines()[-10:]), file=sys.stderr)
    raise
finally:
    for service in processes:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait()
