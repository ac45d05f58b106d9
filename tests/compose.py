"""Uses a stack of deploy/docker-compose.yml as its users do, and checks what it says. Called by tests/compose.sh:

    compose.py FOLDER PROJECT COMPOSE…

FOLDER has what deploy/secrets.sh made; COMPOSE is the command with its files. Standard library only.
"""

import json
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

FOLDER, PROJECT, COMPOSE = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
SETTINGS = dict(
    line.split("=", 1)
    for line in (FOLDER / ".env").read_text().splitlines()
    if "=" in line and not line.startswith("#")
)
TOKEN = (FOLDER / "secrets/admin_token").read_text().strip()
SELECTOR = f"http://127.0.0.1:{SETTINGS['ENTROPO_PORT']}"
TRAINER = f"http://127.0.0.1:{SETTINGS['TRAINER_PORT']}"
VERIFIER = f"http://127.0.0.1:{SETTINGS['VERIFIER_PORT']}"
SERVICES = ("postgres", "trainer", "verifier", "selector")
OWN = ("trainer", "verifier", "selector")
ISSUE = "inkwell__inkwell-112"
rows = []


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def compose(*arguments, **options):
    return run(*COMPOSE, *arguments, **options)


def container(service):
    return compose("ps", "-a", "-q", service).split()[0]


def inspect(service):
    return json.loads(run("docker", "inspect", container(service)))[0]


def call(url, body=None, token=TOKEN, method=None):
    """Status and JSON of an answer."""
    request = urllib.request.Request(url, method=method)
    if token:
        request.add_header("authorization", f"Bearer {token}")
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("content-type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            text = answer.read()
            status = answer.status
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode()


def good(url, body=None, **options):
    status, answer = call(url, body, **options)
    assert 200 <= status < 300, f"{url}: {status} {answer}"
    return answer


def until(what, holds, patience=120):
    end = time.monotonic() + patience
    while True:
        value = holds()
        if value:
            return value
        if time.monotonic() > end:
            sys.exit(f"{what} did not come about in {patience} s")
        time.sleep(0.3)


def step(name):
    """Runs a step at once, and notes what it returns and how long it took."""

    def of(function):
        print(f"-- {name}", flush=True)
        started = time.monotonic()
        said = function()
        rows.append((name, said, time.monotonic() - started))

    return of


def wait_until_healthy():
    until(
        "the health of every service",
        lambda: all(inspect(service)["State"].get("Health", {}).get("Status") == "healthy" for service in SERVICES),
    )


def candidates():
    """The trajectories that SWE-agent left for the first example issue, with its text and test results."""
    files = [
        {"name": str(path.relative_to("examples")), "content": json.loads(path.read_text())}
        for path in sorted(pathlib.Path("examples/sweagent").rglob("*.traj"))
    ]
    lines = lambda name: map(json.loads, pathlib.Path("examples", name).read_text().split("\n")[:-1])
    issue = next(issue for issue in lines("issues.jsonl") if issue["instance_id"] == ISSUE)
    tests = [
        test
        for test in lines("tests.jsonl")
        if test.pop("instance_id") == ISSUE and str(test["candidate_id"] or "sweagent").startswith("sweagent")
    ]
    return {"instance_id": ISSUE, "issue": issue["problem_statement"], "files": files, "tests": tests}


def select(token):
    answer = good(f"{SELECTOR}/v1/selections", candidates(), token=token)
    scored = [candidate for candidate in answer["candidates"] if candidate.get("verifier") is not None]
    assert answer["degraded"] == [], answer["degraded"]
    assert len(scored) == len(answer["candidates"]) == 6, answer["candidates"]
    return answer


@step("up")
def _():
    compose("up", "-d", "--no-build")
    wait_until_healthy()
    assert inspect("migrate")["State"]["ExitCode"] == 0
    return "5 containers, all healthy"


@step("hardening")
def _():
    published = {}
    for service in SERVICES:
        found = inspect(service)
        host, config = found["HostConfig"], found["Config"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"] and host["SecurityOpt"] == ["no-new-privileges:true"], service
        assert host["Memory"] > 0 and host["NanoCpus"] > 0 and host["PidsLimit"] > 0, service
        assert config["User"] not in ("", "0", "root"), service
        assert not any(TOKEN in variable for variable in config["Env"]), f"{service}: a secret is in its environment"
        published.update({service: ports for ports in [host["PortBindings"]] if ports})
    assert list(published) == ["selector"], published
    assert published["selector"]["8080/tcp"][0]["HostIp"] == "127.0.0.1", published
    state = json.loads(compose("exec", "-T", "selector", "entropo-selector", "--health"))
    assert state == {"ready": True, "checks": {"database": "ok"}}, state
    return "read-only, no capabilities, not root, limits, one port on loopback"


@step("tokens")
def _():
    global writer
    assert call(f"{SELECTOR}/v1/selections", token=None)[0] == 401
    assert call(f"{SELECTOR}/v1/selections", token="entropo")[0] == 401
    made = compose("run", "--rm", "-T", "migrate", "token", "create", "--name", "test", "--scope", "write")
    writer = made.split()[-1]
    good(f"{SELECTOR}/v1/selections", token=writer)
    listed = compose("run", "--rm", "-T", "migrate", "migrate", "--status")
    assert "applied" in listed and "pending" not in listed, listed
    return "401 without one; `entropo token create` makes one"


@step("selection")
def _():
    global first
    first = select(writer)
    assert first["chosen"] in ("sweagent/run-1", "sweagent/run-2", "sweagent/run-4"), first["chosen"]
    assert [name.split("@")[0] for name in first["verifiers"]] == ["linear"], first["verifiers"]
    return f"{first['chosen']} of 6, scored by {first['verifiers'][0]}"


@step("outcomes")
def _():
    outcomes = [
        {"candidate_id": "sweagent/run-2", "resolved": True},
        {"candidate_id": "sweagent/run-3", "resolved": False},
    ]
    good(f"{SELECTOR}/v1/selections/{first['id']}/outcomes", {"outcomes": outcomes, "source": "compose"}, token=writer)
    status, pairs = call(f"{SELECTOR}/v1/preferences?kind=pairs", token=writer)
    pairs = [pairs] if isinstance(pairs, dict) else [json.loads(line) for line in pairs.splitlines()]
    assert status == 200 and len(pairs) == 1, pairs
    (FOLDER / "data/outcomes.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return "2 reported, 1 preference pair drawn of them"


@step("ports for training")
def _():
    # Recreates two of the containers; what was stored stays.
    COMPOSE.extend(["-f", "deploy/docker-compose.ports.yml"])
    compose("up", "-d", "--no-build")
    wait_until_healthy()
    stored = good(f"{SELECTOR}/v1/selections/{first['id']}", token=writer)
    assert len(stored["outcomes"]) == 2, stored["outcomes"]
    return "trainer and verifier on loopback; the records are still there"


@step("training")
def _():
    global run_id
    model = FOLDER / "tiny"
    model.mkdir()
    for path in pathlib.Path("model/tests/fixtures/agent").iterdir():
        if path.name != "expected.json":
            (model / path.name).write_bytes(path.read_bytes())
    run("docker", "cp", str(model), f"{container('trainer')}:/var/lib/entropo/models/tiny")
    say = lambda role, text: {"role": role, "content": text}
    row = lambda n: {
        "prompt": [say("user", f"fix issue {n}")],
        "chosen": [say("assistant", f"look {n}"), say("user", "found it"), say("assistant", f"good {n}")],
        "rejected": [say("assistant", f"look {n}"), say("user", "found it"), say("assistant", f"bad {n}")],
    }
    (FOLDER / "data/pairs.jsonl").write_text("".join(json.dumps(row(n)) + "\n" for n in range(12)))
    config = {
        "model": {"path": "tiny"},
        "data": {"train": "pairs.jsonl"},
        "objective": {"kind": "bradley-terry"},
        "training": {"steps": 10, "rows_per_step": 4, "learning_rate": 1e-3},
        "checkpoint": {"every_steps": 5},
    }
    assert call(f"{TRAINER}/v1/runs", {"name": "x", "config": config}, token=None)[0] == 401
    run_id = good(f"{TRAINER}/v1/runs", {"name": "compose", "config": config})["id"]
    ended = until("the end of the run", lambda: (lambda view: view["state"] not in ("queued", "running") and view)(
        good(f"{TRAINER}/v1/runs/{run_id}")))
    assert ended["state"] == "done", ended
    steps = [found["step"] for found in good(f"{TRAINER}/v1/runs/{run_id}/checkpoints")["data"]]
    assert 10 in steps, steps
    return "10 steps of bradley-terry on a tiny model"


@step("promotion")
def _():
    global promoted
    path = f"{TRAINER}/v1/runs/{run_id}/checkpoints/10/promote"
    assert call(path, {}, token=writer)[0] == 403
    model = good(path, {})["model"]
    active = good(f"{VERIFIER}/v1/models/active")
    assert active["id"] == model, active
    promoted = f"{model}@{active['revision']}"
    return f"the verifier answers with {model}"


@step("selection after it")
def _():
    after = select(writer)
    names = after["verifiers"]
    assert len(names) == 1 and promoted.startswith(names[0]), (names, promoted)
    scores = {name: {c["candidate_id"]: c["verifier"] for c in of["candidates"]} for name, of in (("first", first), ("after", after))}
    assert scores["first"] != scores["after"], scores
    return f"{after['chosen']} of 6, scored by {names[0]}"


@step("restart of the verifier")
def _():
    compose("restart", "verifier")
    wait_until_healthy()
    assert good(f"{VERIFIER}/v1/models/active")["id"] == promoted.split("@")[0]
    assert select(writer)["verifiers"]
    return "it still answers with the promoted model"


@step("stop")
def _():
    logs = compose("logs", "--no-color")
    assert TOKEN not in logs and writer not in logs, "a token is in the logs"
    assert "panic" not in logs, logs
    compose("stop")
    codes = {service: inspect(service)["State"]["ExitCode"] for service in SERVICES}
    assert all(code == 0 for code in codes.values()), codes
    return "every service ended with 0"


print(f"\n{'step':<24} {'result':<78} seconds")
for name, said, took in rows:
    print(f"{name:<24} {said:<78} {took:7.1f}")
