#!/usr/bin/env python3
"""Scores the same rows of tokens with transformers + PyTorch and with this project's model crate, side by side.

    cargo build --release -p model --example score_speed
    cargo build --release -p verifier                                   (for the scenario service alone)
    python benches/verifier_speed.py [--rounds 3] [--threads 2] [--scenario single stream shared service] [--small]

The model is a Qwen2 reward model of about 100 M parameters with random weights from a seed, single precision, written
once to a temporary folder that both sides load. Each measurement is a process of its own that loads the model, warms
up on two rows and then scores; loading and warming up are not timed. Rounds alternate between the two sides, and the
table gives medians of the ratios of each round, so that a machine that is busy at times is busy for both.

* single: one row at a time, 12 rows.
* stream: 16 rows in the order they came; transformers takes them 8 at a time, padded to the longest of the eight.
* shared: 16 candidates after one prefix of 1,024 tokens; transformers takes the whole rows 8 at a time.
* service: what the verifier service adds to the model: the time of a POST of one short trajectory over HTTP, which is
  prepared, queued, computed and answered, less the time that the answer gives for the model. No two are the same.

Lengths are 256 to 4,096 tokens, log-normal: most are short, a few are long.
"""
import argparse
import http.client
import json
import math
import os
import pathlib
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORDS = 32_000


def lengths(count, seed, low, high, median):
    draw = random.Random(seed)
    sample = lambda: min(high, max(low, round(math.exp(draw.gauss(math.log(median), 0.8)))))
    return [sample() for _ in range(count)]


def rows(scenario, small):
    """The prefix that all rows share (perhaps empty), and what follows it in each."""
    draw = random.Random(scenario)
    tokens = lambda count: [draw.randrange(10, WORDS) for _ in range(count)]
    cut = 8 if small else 1
    if scenario == "shared":
        return tokens(1024 // cut), [tokens(n // cut) for n in lengths(16, 5, 64, 1024, 256)]
    count = 12 if scenario == "single" else 16
    return [], [tokens(n // cut) for n in lengths(count, 7, 256, 4096, 640)]


def make_model(folder):
    import torch
    from transformers import Qwen2Config, Qwen2ForSequenceClassification

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=WORDS, hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12,
        num_key_value_heads=2, max_position_embeddings=8192, num_labels=1, pad_token_id=0, tie_word_embeddings=True,
    )
    model = Qwen2ForSequenceClassification(config)
    # Random scores of a size that can be compared.
    torch.nn.init.normal_(model.score.weight, std=0.5)
    model.save_pretrained(folder)
    return sum(p.numel() for p in model.parameters())


def worker(job):
    """The transformers side: prints what it measured as one line of JSON."""
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.set_num_threads(job["threads"])
    model = AutoModelForSequenceClassification.from_pretrained(job["model"], dtype=torch.float32).eval()
    sequences = [job["prefix"] + row for row in job["rows"]]
    size = 1 if job["scenario"] == "single" else 8

    def score(batch):
        longest = max(map(len, batch))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in batch])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in batch])
        with torch.inference_mode():
            return model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, 0].tolist()

    for row in sequences[:2]:
        score([row])
    start, processor = time.perf_counter(), time.process_time()
    scores = [value for at in range(0, len(sequences), size) for value in score(sequences[at:at + size])]
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "processor": processor, "peak": peak, "scores": scores}))


def add_tokenizer(folder):
    """One token for every byte: all that the service needs to prepare text for a model of random weights."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: at + 10 for at, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.save(os.path.join(folder, "tokenizer.json"))


def service(folder, options):
    """Milliseconds that the service adds, of every request."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = [f"http.bind=127.0.0.1:{port}", "database.url=sqlite::memory:", f"models.available=bench=burn:{folder}",
                "models.active=bench", "log.level=error"]
    command = [str(options.service)] + [part for setting in settings for part in ("--set", setting)]
    environment = dict(os.environ, RAYON_NUM_THREADS=str(options.threads))
    process = subprocess.Popen(command, env=environment)
    added = []
    try:
        for _ in range(600):
            time.sleep(0.5)
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
                connection.request("GET", "/readyz")
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    break
            except OSError:
                pass
        for number in range(40):
            candidate = {
                "candidate_id": f"run-{number}", "exit": "submitted",
                "turns": [{"role": "assistant", "content": f"I look at file {number}."}],
                "patch": f"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 1\n+x = {number}\n",
            }
            body = json.dumps({"issue": "`tool --count 0` prints nothing", "candidates": [candidate]})
            start = time.perf_counter()
            connection.request("POST", "/v1/score", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            seconds = time.perf_counter() - start
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {text.decode()}")
            added.append(seconds * 1e3 - json.loads(text)["timings"]["model_ms"])
    finally:
        process.terminate()
        process.wait()
    return added


def measure(command, job):
    environment = dict(os.environ, RAYON_NUM_THREADS=str(job["threads"]), OMP_NUM_THREADS=str(job["threads"]))
    # The job goes through a file: reading it must not cost either side memory that the other does not need.
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(job, file)
        file.flush()
        result = subprocess.run([*command, file.name], stdout=subprocess.PIPE, check=True, env=environment)
    return json.loads(result.stdout)


def main():
    if sys.argv[1:2] == ["--worker"]:
        return worker(json.loads(pathlib.Path(sys.argv[2]).read_text()))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scenario", nargs="+", default=["single", "stream", "shared", "service"])
    parser.add_argument("--rows", type=int, help="take so many rows only")
    parser.add_argument("--small", action="store_true", help="rows an eighth as long, to try the script out")
    parser.add_argument("--program", default=ROOT / "target/release/examples/score_speed")
    parser.add_argument("--service", default=ROOT / "target/release/entropo-verifier")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parameters = make_model(folder)
        print(f"{parameters / 1e6:.0f} M parameters, {options.threads} threads")
        print("scenario  side          tokens/s  tokens/processor-s  peak MB   (medians)")
        for scenario in options.scenario:
            if scenario == "service":
                add_tokenizer(folder)
                added = sorted(service(folder, options))
                print(f"service   adds {statistics.median(added):.2f} ms at the median, {added[-2]:.2f} ms at most but one")
                continue
            prefix, candidates = rows(scenario, options.small)
            candidates = candidates[: options.rows]
            job = {"model": folder, "scenario": scenario, "threads": options.threads, "prefix": prefix, "rows": candidates}
            tokens = sum(len(prefix) + len(row) for row in candidates)
            theirs, ours = [], []
            for _ in range(options.rounds):
                theirs.append(measure([sys.executable, __file__, "--worker"], job))
                ours.append(measure([str(options.program)], job))
            apart = max(abs(a - b) for a, b in zip(theirs[0]["scores"], ours[0]["scores"]))
            median = lambda side, key: statistics.median(run[key] for run in side)
            for name, side in (("transformers", theirs), ("this project", ours)):
                print(
                    f"{scenario:9} {name:12} {tokens / median(side, 'seconds'):9.0f} {tokens / median(side, 'processor'):19.0f}"
                    f" {median(side, 'peak') / 1e6:8.0f}"
                )
            ratio = lambda key: statistics.median(a[key] / b[key] for a, b in zip(theirs, ours))
            each = " ".join(f"{a['seconds'] / b['seconds']:.2f}" for a, b in zip(theirs, ours))
            print(
                f"{scenario:9} ratio: {ratio('seconds'):.2f} x the tokens/s (rounds {each}), {ratio('processor'):.2f} x"
                f" per processor second, {1 / ratio('peak'):.2f} x the peak memory; scores at most {apart:.1e} apart",
                flush=True,
            )


if __name__ == "__main__":
    main()
