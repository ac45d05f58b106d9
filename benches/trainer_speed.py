#!/usr/bin/env python3
"""Trains the same model on the same rows with TRL and with this project's trainer, side by side.

    cargo build --release -p trainer --example train
    python benches/trainer_speed.py [--rounds 3] [--threads 2] [--model small large] [--scenario plain half tailed] [--steps 6]

DPO, single precision, AdamW, the reference's log-probabilities precomputed by both, batches of four pairs in the order of
the file, no gradient checkpointing. `small` is a Qwen3 model of 12 M parameters, `large` one of about 60 M, both with
random weights and a vocabulary of 32,768. Every byte is a token. Each measurement is a process of its own; timed are the
whole steps after the first one, optimiser included, and counted are the tokens of the continuations, which both train.
Rounds alternate, and the table gives medians of the ratios of each round; memory is the most that a process held.

* plain: prompts of 128 and continuations of 100 tokens, so that nobody pads; nothing shared. TRL computes the four pairs
  of a step in one batch, we two at a time.
* half: prompts of 384, continuations of 384: half of each sequence is prompt. Our defaults: shared and packed.
* tailed: prompts of 64, continuations log-normal from 32 to 1,024 tokens. Our defaults.
"""
import argparse
import json
import math
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOKENIZER = ROOT / "trainer" / "tests" / "fixtures" / "trl"
BATCH = 4
MODELS = {
    "small": dict(hidden_size=256, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=64, intermediate_size=1024),
    "large": dict(hidden_size=576, num_hidden_layers=9, num_attention_heads=9, num_key_value_heads=3, head_dim=64, intermediate_size=2304),
}


def rows(scenario, steps):
    draw = random.Random(scenario)
    text = lambda count: "".join(draw.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(count))
    tail = lambda: min(1024, max(32, round(math.exp(draw.gauss(math.log(128), 0.9)))))
    sizes = {"plain": lambda: (128, 100, 100), "half": lambda: (384, 384, 384), "tailed": lambda: (64, tail(), tail())}[scenario]
    made = []
    for _ in range(BATCH * steps):
        prompt, chosen, rejected = sizes()
        say = lambda role, count: [{"role": role, "content": text(count)}]
        made.append({"prompt": say("user", prompt), "chosen": say("assistant", chosen), "rejected": say("assistant", rejected)})
    return made


def make_model(folder, kind):
    import shutil

    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(vocab_size=32768, tie_word_embeddings=True, max_position_embeddings=4096, eos_token_id=258, pad_token_id=256,
                         bos_token_id=None, **MODELS[kind])
    model = Qwen3ForCausalLM(config)
    model.save_pretrained(folder)
    for file in TOKENIZER.iterdir():
        if file.is_file() and file.suffix in {".json", ".jinja"}:
            shutil.copy(file, folder)
    return sum(parameter.numel() for parameter in model.parameters())


def train_trl(folder, data, steps, threads, out):
    import torch

    torch.set_num_threads(threads)
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    loaded = [json.loads(line) for line in open(data)]
    ends = []

    class Clock(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            ends.append(time.monotonic())

    config = DPOConfig(output_dir=out, use_cpu=True, bf16=False, report_to="none", gradient_checkpointing=False, disable_tqdm=True,
                       save_strategy="no", per_device_train_batch_size=BATCH, max_steps=steps, logging_steps=1, max_length=4096,
                       learning_rate=1e-5, precompute_ref_log_probs=True, train_sampling_strategy="sequential")
    trainer = DPOTrainer(str(folder), args=config, train_dataset=Dataset.from_list(loaded),
                         processing_class=AutoTokenizer.from_pretrained(folder), callbacks=[Clock()])
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(json.dumps({"seconds": ends[-1] - ends[0], "losses": losses}))


def measure(command, env):
    """Runs a process; its output, and the most memory it held, in MiB."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.PIPE, text=True)
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        output.seek(0)
        text = output.read()
    if status:
        sys.exit(f"{command} failed:\n{errors[-3000:]}")
    return text, usage.ru_maxrss / 1024


def ours(binary, folder, data, steps, threads, scenario, out):
    plain = f"share_prefix = false\npacking = false\nmicro_batch_rows = 2\n" if scenario == "plain" else ""
    config = out / "run.toml"
    config.write_text(f'''
[model]
path = "{folder}"
[data]
train = "{data}"
mask = "completion"
order = "fixed"
max_tokens = 4096
[objective]
kind = "dpo"
[training]
steps = {steps}
rows_per_step = {BATCH}
learning_rate = 1e-5
{plain}
[checkpoint]
every_steps = 0
''')
    text, memory = measure([str(binary), str(config), str(out / "run")], {**os.environ, "RAYON_NUM_THREADS": str(threads)})
    events = [json.loads(line) for line in text.splitlines()]
    steps = [entry for entry in events if entry["event"]["event"] == "step"]
    ends = [entry["seconds"] for entry in steps]
    spent = {name: [after - before for before, after in zip(steps[0]["spent"][name], total)] for name, total in steps[-1]["spent"].items()}
    losses = [entry["event"]["metrics"]["loss"] for entry in events if entry["event"]["event"] == "step"]
    return {"seconds": ends[-1] - ends[0], "losses": losses, "memory": memory, "spent": spent}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--model", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--scenario", nargs="+", choices=["plain", "half", "tailed"], default=["plain", "half", "tailed"])
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target" / "release" / "examples" / "train")
    parser.add_argument("--trl", nargs=4, metavar=("MODEL", "ROWS", "STEPS", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.trl:
        folder, data, steps, out = arguments.trl
        return train_trl(pathlib.Path(folder), data, int(steps), arguments.threads, out)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    print(f"load before: {os.getloadavg()[0]:.1f}")
    environment = {**os.environ, "RAYON_NUM_THREADS": str(arguments.threads)}
    peak = lambda: float(measure([str(arguments.binary), "--peak"], environment)[0])
    shares = []
    print("| model | scenario | TRL, trained tokens/s | here | ratio | memory, MiB: TRL | here | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in arguments.model:
        with tempfile.TemporaryDirectory() as name:
            base = pathlib.Path(name)
            folder = base / "model"
            folder.mkdir()
            parameters = make_model(folder, kind)
            for scenario in arguments.scenario:
                data = base / f"{scenario}.jsonl"
                made = rows(scenario, arguments.steps)
                data.write_text("".join(json.dumps(row) + "\n" for row in made))
                # What the template adds to a continuation is trained too: its end and a line break.
                tokens = sum(len(row[side][0]["content"]) + 2 for row in made[BATCH:] for side in ("chosen", "rejected"))
                results = {"trl": [], "here": []}
                best = 0
                for index in range(arguments.rounds):
                    best = max(best, peak())
                    out = base / f"{scenario}-{index}"
                    out.mkdir()
                    command = [sys.executable, __file__, "--threads", str(arguments.threads), "--trl", str(folder), str(data),
                               str(arguments.steps), str(out / "trl")]
                    text, memory = measure(command, dict(os.environ))
                    results["trl"].append({**json.loads(text.splitlines()[-1]), "memory": memory})
                    results["here"].append(ours(arguments.binary, folder, data, arguments.steps, arguments.threads, scenario, out))
                    difference = max(abs(a - b) for a, b in zip(results["trl"][-1]["losses"], results["here"][-1]["losses"]))
                    if difference > 1e-3:
                        sys.exit(f"{scenario}: losses differ by {difference}: this is not the same training")
                median = lambda side, field: statistics.median(result[field] for result in results[side])
                pairs = list(zip(results["trl"], results["here"]))
                speed = statistics.median(a["seconds"] / b["seconds"] for a, b in pairs)
                memory = statistics.median(b["memory"] / a["memory"] for a, b in pairs)
                print(f"| {parameters / 1e6:.0f} M | {scenario} | {tokens / median('trl', 'seconds'):.0f} | "
                      f"{tokens / median('here', 'seconds'):.0f} | {speed:.2f} | {median('trl', 'memory'):.0f} | "
                      f"{median('here', 'memory'):.0f} | {memory:.2f} |", flush=True)
                fastest = min(results["here"], key=lambda result: result["seconds"])
                seconds, spent = fastest["seconds"], fastest["spent"]
                rate = sum(operations for _, operations in spent.values()) / seconds
                rest = seconds - sum(time for time, _ in spent.values())
                shares.append(f"| {parameters / 1e6:.0f} M | {scenario} | {best / 1e9:.0f} | {100 * rate / best:.0f} % | "
                              + " | ".join(f"{100 * time / seconds:.0f} %" for time, _ in spent.values()) + f" | {100 * rest / seconds:.0f} % |")
    print("\nOf our fastest round: arithmetic of matrix products against the fastest product of two large matrices in the same run,")
    print("and the time of each kind of kernel. The rest is tensors that are copied and added, memory, and waiting.\n")
    print("| model | scenario | peak, GFLOP/s | reached | products | attention | head | norms | RoPE, SwiGLU | optimiser | rest |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    print("\n".join(shares))
    print(f"load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
