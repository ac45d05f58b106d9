"""Compares `entropo train` with runs exported for TRL; see export_trl.sh. Bounds are those of trainer/tests/parity.rs."""
import contextlib, importlib.util, io, json, os, pathlib, subprocess, sys, tempfile, warnings

import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

torch.set_num_threads(2)
warnings.simplefilter("ignore")
ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "trainer/tests/fixtures/parity"
PAIRS, LABELLED = FIXTURES / "dpo-tools-accumulated", FIXTURES / "kto"
USUAL = "[training]\nsteps = 3\nrows_per_step = 4\nmicro_batch_rows = 2\nlearning_rate = 1e-3\n"
SGD = USUAL.replace("1e-3", "1e-2") + 'optimizer = "sgd"\n'

CASES = {
    "entropo-dpo": (PAIRS, 'kind = "entropo-dpo"\nalpha = 0.13\nalpha_warmup_steps = 2\ncap = 3.0', USUAL + 'schedule = "cosine"\nwarmup_steps = 1\nmin_lr_ratio = 0.1\n'),
    "entropo-dpo-paper": (PAIRS, 'kind = "entropo-dpo"\nalpha = 0.11', SGD + "momentum = 0.9\n"),
    "entropo-dpo-epochs": (PAIRS, 'kind = "entropo-dpo"', '[training]\nepochs = 2\nrows_per_step = 8\nmicro_batch_rows = 8\nlearning_rate = 1e-3\nschedule = "wsd"\n[reference]\nmode = "second-model"\n'),
    "entropo-dpo-uneven": (PAIRS, 'kind = "entropo-dpo"\nsft_weight = 0.3', '[training]\nepochs = 2\nrows_per_step = 10\nmicro_batch_rows = 5\nlearning_rate = 1e-2\noptimizer = "sgd"\n'),
    "dpo-sft": (PAIRS, 'kind = "dpo"\nsft_weight = 0.5', SGD),
    "ipo": (PAIRS, 'kind = "ipo"', SGD),
    "robust": (PAIRS, 'kind = "robust"\nlabel_smoothing = 0.1', SGD),
    "simpo": (PAIRS, 'kind = "simpo"', SGD),
    "entropo-kto": (LABELLED, 'kind = "entropo-kto"\nalpha = 0.12\nalpha_warmup_steps = 2', USUAL),
    "entropo-kto-released": (LABELLED, 'kind = "entropo-kto"\nalpha = 0.11\nform = "released"\nundesirable_weight = 1.5', SGD),
    "kto": (LABELLED, 'kind = "kto"\nbeta = 0.5\nsft_weight = 0.2', '[training]\nepochs = 2\nrows_per_step = 12\nmicro_batch_rows = 3\nlearning_rate = 1e-2\noptimizer = "sgd"\n'),
    "kto-micro-batch": (LABELLED, 'kind = "kto"\nreference_scope = "micro-batch"\nreference_point = "free"', SGD),
    "sft": (PAIRS, 'kind = "sft"', SGD + "weight_decay = 0.0\n"),
    "lora": (PAIRS, 'kind = "entropo-dpo"', SGD + '[lora]\nrank = 2\n'),
}


def native(toml, folder):
    out = folder / "native"
    subprocess.run([os.environ["ENTROPO"], "train", str(toml), "--out", str(out), "--quiet", "--json"], check=True, stdout=subprocess.DEVNULL)
    losses = [line for line in map(json.loads, (out / "metrics.jsonl").open()) if "grad_norm" in line]
    return out, losses


def exported(toml, folder, adapters):
    out = folder / "export"
    subprocess.run([os.environ["ENTROPO"], "export", "--engine", "trl", str(toml), "--out", str(out)], check=True, stderr=subprocess.DEVNULL)
    spec = importlib.util.spec_from_file_location("exported", out / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.RUN["trl"]["disable_tqdm"] = True
    trainer = module.build(folder / "trl", cpu=True)
    if adapters is not None:  # adapters are drawn by another generator there
        own = dict(trainer.model.named_parameters())
        for name, value in adapters.items():
            own[name.replace(".weight", ".default.weight")].data.copy_(value)
    weights, losses, step = [], [], []
    inner = trainer.training_step

    def spy(*args, **kwargs):
        loss = inner(*args, **kwargs)
        step.append(float(loss))
        return loss

    trainer.training_step = spy

    class Keep(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **kwargs):
            weights.append({name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad})
            losses.append(sum(step))
            step.clear()

    trainer.add_callback(Keep())
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.train()
    return losses, weights, [line for line in trainer.state.log_history if "grad_norm" in line]


def case(name, run, objective, training):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        toml = folder / "run.toml"
        toml.write_text(
            f'[model]\npath = "{run / "model"}"\n[data]\ntrain = "{run / "rows.jsonl"}"\n[objective]\n{objective}\n{training}'
            "[checkpoint]\nevery_steps = 1\nkeep_last = 0\n"
        )
        out, ours = native(toml, folder)
        initial = None
        if "[lora]" in training:
            # A step at a rate of almost 0 shows the adapters that training begins with.
            still = folder / "still.toml"
            still.write_text(toml.read_text().replace("1e-2", "1e-30").replace("steps = 3", "steps = 1"))
            first = folder / "still"
            subprocess.run([os.environ["ENTROPO"], "train", str(still), "--out", str(first), "--quiet"], check=True, stdout=subprocess.DEVNULL)
            initial = load_file(first / "checkpoint-1/adapter_model.safetensors")
        losses, weights, log = exported(toml, folder, initial)
        assert len(losses) == len(ours), f"{len(losses)} steps, but {len(ours)} here"
        adam = 'optimizer = "sgd"' not in training
        worst_loss = worst = 0.0
        for index, (theirs, line) in enumerate(zip(losses, ours)):
            drift = 1 + index * (5 if adam else 1)
            off = abs(theirs - line["loss"])
            worst_loss = max(worst_loss, off)
            assert off <= max(2e-6 * drift, 4e-7 * abs(theirs)), f"{name}, step {index + 1}: loss {line['loss']}, but TRL has {theirs}"
            norm = log[index]["grad_norm"]
            assert abs(norm - line["grad_norm"]) <= 1e-5 * norm * drift, f"{name}, step {index + 1}: norm {line['grad_norm']}, but TRL has {norm}"
            assert abs(log[index]["learning_rate"] - line["learning_rate"]) < 1e-12
            for figure in ("rewards/chosen", "rewards/margins", "entropy", "kl"):
                if figure in log[index] and figure in line and name.startswith("entropo-dpo") and "uneven" not in name and "epochs" not in name:
                    assert abs(log[index][figure] - line[figure]) <= 2e-5 * drift, f"{name}, step {index + 1}: {figure} {line[figure]}, but TRL has {log[index][figure]}"
            file = "adapter_model" if initial is not None else "model"
            found = load_file(out / f"checkpoint-{index + 1}" / f"{file}.safetensors")
            clean = lambda key: key.replace(".default.weight", ".weight")
            differences = torch.cat([(found[clean(key)] - value).abs().flatten() for key, value in weights[index].items() if clean(key) in found])
            assert len(differences) and (initial is None or len(weights[index]) == len(found)), name
            median, largest = float(differences.median()), float(differences.max())
            rate = 1e-3
            # AdamW amplifies gradients that are all but zero; one in a thousand may be off by more.
            if adam:
                largest = float(differences.quantile(0.999))
            bounds = (rate / 1000, 0.02 * rate * (index + 1)) if adam else (1e-6 * drift, 1e-6 * drift)
            worst = max(worst, largest)
            assert median <= bounds[0] and largest <= bounds[1], f"{name}, step {index + 1}: weights differ by {median:.1e} (median), {largest:.1e}; {bounds} allowed"
        print(f"{name:24} {len(ours)} steps  loss ±{worst_loss:.1e}  weights ±{worst:.1e}", flush=True)


if __name__ == "__main__":
    wanted = sys.argv[1:] or list(CASES)
    failed = []
    for name in wanted:
        try:
            case(name, *CASES[name])
        except AssertionError as error:
            failed.append(name)
            print(error, flush=True)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
