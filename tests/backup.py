"""Fills a service, copies it while it is used, deletes everything, puts the copy back and looks for what is missing.
Called by tests/backup.sh:

    backup.py PROGRAM FOLDER sqlite|postgres://…

With PostgreSQL, databases of its own are made beside the one that the address names. Standard library only.
"""

import json
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM, FOLDER, DATABASE = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]), sys.argv[3]
ON_SQLITE = DATABASE == "sqlite"
NAME = f"entropo_backup_{os.getpid()}"
DATA = FOLDER / "entropo-data"


def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def address(name):
    """The same server with another database."""
    head, _, query = DATABASE.partition("?")
    return head.rsplit("/", 1)[0] + f"/{name}" + (f"?{query}" if query else "")


def run(*command):
    subprocess.run(command, check=True, cwd=FOLDER, stdout=subprocess.DEVNULL)


class Services:
    """`entropo up`, killed at the end as a crash would."""

    def __init__(self, database):
        ports = {name: port() for name in ("selector", "trainer", "verifier")}
        self.url = {name: f"http://127.0.0.1:{number}" for name, number in ports.items()}
        bind = [f"--bind=127.0.0.1:{ports['selector']}"]
        for name in ("trainer", "verifier"):
            bind += ["--set", f"up.{name}=127.0.0.1:{ports[name]}"]
        self.log = open(FOLDER / "log", "a")
        command = [PROGRAM, "up", "--database", database, "--set", "trainer.poll=200ms", *bind]
        env = {key: value for key, value in os.environ.items() if not key.startswith("ENTROPO_")}
        self.process = subprocess.Popen(command, cwd=FOLDER, stderr=self.log, stdout=self.log, env=env)
        for name in ports:
            self.until(name, "/readyz")

    def until(self, name, path, holds=lambda answer: True):
        for _ in range(1200):
            try:
                status, answer = self.call(name, path)
                if status == 200 and holds(answer):
                    return answer
            except OSError:
                pass
            assert self.process.poll() is None, (FOLDER / "log").read_text()[-2000:]
            time.sleep(0.1)
        sys.exit(f"{name}{path} never answers")

    def call(self, name, path, body=None, key=None):
        headers = {"content-type": "application/json", **({"idempotency-key": key} if key else {})}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url[name] + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text, kind = answer.read(), answer.headers.get_content_type()
                return answer.status, json.loads(text) if kind == "application/json" else text
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def kill(self):
        self.process.kill()
        self.process.wait()


def pool(number):
    def candidate(at):
        patch = f"diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a = 1\n+b = {number * 3 + at % 2}\n"
        said = f"I am {number} {at} " + "and I looked at the code " * 20
        turns = [{"role": "user", "content": "b is wrong"}, {"role": "assistant", "content": said}]
        return {"candidate_id": f"c{at}", "patch": patch, "turns": turns, "exit": "submitted"}

    candidates = [candidate(at) for at in range(4)]
    return {"instance_id": f"a__b-{number}", "issue": f"issue {number}", "candidates": candidates}


def select(services, number):
    status, made = services.call("selector", "/v1/selections", pool(number), key=f"key-{number}")
    assert status == 201, (status, made)
    outcomes = {"outcomes": [{"candidate_id": f"c{at}", "resolved": at == 0} for at in range(2)]}
    status, _ = services.call("selector", f"/v1/selections/{made['id']}/outcomes", outcomes)
    assert status == 200, status
    return made["id"]


def rows():
    def side(word, number):
        say = [("assistant", f"look {number}"), ("user", "found it"), ("assistant", f"{word} {number}")]
        return [{"role": role, "content": text} for role, text in say]

    for number in range(12):
        prompt = [{"role": "user", "content": f"fix issue {number}"}]
        yield {"prompt": prompt, "chosen": side("good", number), "rejected": side("bad", number)}


def train(services):
    config = {
        "model": {"path": "tiny"},
        "data": {"train": "pairs.jsonl"},
        "objective": {"kind": "bradley-terry"},
        "training": {"steps": 4, "rows_per_step": 4, "learning_rate": 1e-4},
    }
    status, made = services.call("trainer", "/v1/runs", {"config": config})
    assert status == 201, made
    run = f"/v1/runs/{made['id']}"
    services.until("trainer", run, lambda run: run["state"] == "done")
    status, promoted = services.call("trainer", f"{run}/checkpoints/4/promote", {})
    assert status == 200, promoted
    return run, promoted["model"]


def seen(services, ids, run):
    """Everything that callers can see of what was acknowledged."""
    of = {path: services.call("selector", path) for path in (f"/v1/selections/{one}" for one in ids)}
    of["run"] = services.call("trainer", run)
    of["checkpoint"] = services.call("trainer", f"{run}/artifacts/checkpoint-4/model.safetensors")
    of["active"] = services.call("verifier", "/v1/models/active")[1]["id"]
    wrong = [path for path, answer in of.items() if path != "active" and answer[0] != 200]
    assert not wrong, [(path, of[path]) for path in wrong]
    return of


def backup():
    if ON_SQLITE:
        # The statement of docs/operations.md; the program sqlite3 may not be there.
        with sqlite3.connect(DATA / "entropo.db") as database:
            database.execute("VACUUM INTO ?", (str(FOLDER / "entropo-backup.db"),))
    else:
        run("pg_dump", "--format=custom", f"--file={FOLDER}/entropo.dump", address(NAME))
    run("tar", "-C", DATA, "-cf", FOLDER / "folders.tar", "runs", "models")


def restore():
    shutil.rmtree(DATA / "runs")
    shutil.rmtree(DATA / "models")
    if ON_SQLITE:
        for end in ("", "-wal", "-shm"):
            (DATA / f"entropo.db{end}").unlink(missing_ok=True)
        shutil.copy(FOLDER / "entropo-backup.db", DATA / "entropo.db")
    else:
        run("psql", "--quiet", DATABASE, "-c", f"DROP DATABASE {NAME} WITH (FORCE)")
        run("psql", "--quiet", DATABASE, "-c", f"CREATE DATABASE {NAME}")
        run("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={address(NAME)}", FOLDER / "entropo.dump")
    run("tar", "-C", DATA, "-xf", FOLDER / "folders.tar")


def main():
    (DATA / "data").mkdir(parents=True)
    ignored = shutil.ignore_patterns("expected.json")
    shutil.copytree(ROOT / "model/tests/fixtures/agent", DATA / "models/tiny", ignore=ignored)
    (DATA / "data/pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    if not ON_SQLITE:
        run("psql", "--quiet", DATABASE, "-c", f"CREATE DATABASE {NAME}")
    database = "sqlite://entropo-data/entropo.db" if ON_SQLITE else address(NAME)

    services = Services(database)
    ids = [select(services, number) for number in range(20)]
    trained, model = train(services)
    before = seen(services, ids, trained)
    preferences = services.call("selector", "/v1/preferences?kind=pairs")[1]
    assert before["active"] == model

    # Copied while requests come in; what comes in meanwhile is whole or not there.
    during, stop = [], threading.Event()

    def keep_on():
        number = 1000
        while not stop.is_set():
            during.append(select(services, number))
            number += 1

    thread = threading.Thread(target=keep_on)
    thread.start()
    time.sleep(1)
    started = time.monotonic()
    backup()
    took = time.monotonic() - started
    stop.set()
    thread.join()
    services.kill()
    size = sum(file.stat().st_size for file in FOLDER.iterdir() if file.suffix in (".dump", ".db"))

    started = time.monotonic()
    restore()
    back = time.monotonic() - started
    services = Services(database)
    after = seen(services, ids, trained)
    for path, answer in before.items():
        assert after[path] == answer, f"{path} is not what it was: {answer} {after[path]}"
    again = services.call("selector", "/v1/selections", pool(3), key="key-3")
    assert again[1]["id"] == ids[3], "an idempotency key answers as before"
    found = [services.call("selector", f"/v1/selections/{one}") for one in during]
    whole = [answer for status, answer in found if status == 200]
    assert all(status in (200, 404) for status, _ in found), "there or not there"
    assert all(len(answer["candidates"]) == 4 for answer in whole), "nothing is half there"
    now = services.call("selector", "/v1/preferences?kind=pairs")[1]
    assert set(preferences.splitlines()) <= set(now.splitlines()), "preference data is there"
    select(services, 5000)
    train(services)
    services.kill()
    if not ON_SQLITE:
        run("psql", "--quiet", DATABASE, "-c", f"DROP DATABASE {NAME} WITH (FORCE)")
    kind = "SQLite" if ON_SQLITE else "PostgreSQL"
    print(
        f"{kind}: {len(ids)} selections, a run and a promotion are what they were; of {len(during)} selections made "
        f"during the copy {len(whole)} are in it, whole; {size / 1e6:.1f} MB, copied in {took:.1f} s, "
        f"put back in {back:.1f} s"
    )


main()
