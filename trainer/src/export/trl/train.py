"""Trains the run of this folder with TRL: the rows, masks, order, objective and schedule that `entropo train` has.

    accelerate launch [--config_file fsdp.yaml | zero3.yaml] train.py --out FOLDER

README.md says what the files are. Versions: trl 1.16, transformers 5.23, accelerate 1.15, peft 0.21.
"""
import argparse
import json
import math
import os
import pathlib

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
import torch
import torch.nn.functional as F
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, EarlyStoppingCallback
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

HERE = pathlib.Path(__file__).resolve().parent
RUN = json.loads((HERE / "run.json").read_text())
OBJECTIVE = RUN["objective"]


def rows(name):
    """Rows, kept on disk in this folder; every process finds what one of them adds to them."""
    path = HERE / name
    return Dataset.from_json(str(path), cache_dir=str(HERE / "cache")) if path.exists() else None


def rate(step):
    """The learning rate before `step` (from 0), as a share of the peak."""
    schedule, steps, warmup = RUN["schedule"], RUN["steps"], RUN["schedule"]["warmup_steps"]
    if step < warmup:
        return step / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    share = {
        "constant": lambda: 1.0,
        "linear": lambda: 1.0 - progress,
        "cosine": lambda: 0.5 * (1.0 + math.cos(math.pi * progress)),
        "wsd": lambda: min(1.0, max(0, steps - step) / max(schedule["decay_ratio"] * steps, 1e-300)),
    }[schedule["kind"]]()
    low = 1.0 if schedule["kind"] == "constant" else schedule["min_lr_ratio"]
    return low + (1.0 - low) * share


class Order(torch.utils.data.Sampler):
    """The rows of each epoch, in the order of the exported steps."""

    def __init__(self, steps):
        self.steps, self.epoch = steps, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return RUN["rows"]

    def __iter__(self):
        count = RUN["steps_of_epoch"]
        for step in self.steps[self.epoch * count : (self.epoch + 1) * count]:
            yield from step["rows"]


class Collator:
    """Pads sequences with their masks; which tokens are trained was decided when the run was exported."""

    def __init__(self, kind, pad):
        self.kind, self.pad = kind, pad

    def padded(self, sequences):
        width = max(len(ids) for ids, _ in sequences)
        grid = lambda rows, fill: torch.tensor([row + [fill] * (width - len(row)) for row in rows])
        return {
            "input_ids": grid([ids for ids, _ in sequences], self.pad),
            "attention_mask": grid([[1] * len(ids) for ids, _ in sequences], 0),
            "completion_mask": grid([mask for _, mask in sequences], 0),
        }

    def __call__(self, rows):
        if self.kind == "pairs":
            batch = self.padded([(row[f"{side}_ids"], row[f"{side}_mask"]) for side in ("chosen", "rejected") for row in rows])
            for name in ("ref_chosen_logps", "ref_rejected_logps"):
                if name in rows[0]:
                    batch[name] = torch.tensor([row[name] for row in rows])
            return batch
        batch = self.padded([(row["ids"], row["mask"]) for row in rows])
        if self.kind == "labelled":
            batch["label"] = torch.tensor([row["label"] for row in rows])
            batch["row"] = torch.tensor([row["row"] for row in rows])
            return batch
        labels = batch["input_ids"].masked_fill(batch.pop("completion_mask") == 0, -100)
        return {**batch, "labels": labels}

    def mismatched(self, row, other):
        """The trajectory of another row behind the prompt of this one."""
        limit, prompt, begin = RUN["max_tokens"], row["ids"][: row["prompt"]], other["prompt"]
        ids = prompt + other["ids"][begin:] + other["cut_ids"]
        mask = [0] * len(prompt) + other["mask"][begin:] + other["cut_mask"]
        return ids[:limit], [0, *mask[1:limit]]


class Exported:
    """The rows, their order and the schedule, for any of TRL's trainers."""

    def _prepare_dataset(self, dataset, *args, **kwargs):
        return dataset

    def _get_train_sampler(self, *args):
        self.plan = [json.loads(line) for line in (HERE / "steps.jsonl").open()]
        return Order(self.plan)

    def create_scheduler(self, num_training_steps, optimizer=None):
        if self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, rate)
            self._created_lr_scheduler = True
        return self.lr_scheduler


class SFT(Exported, SFTTrainer):
    """Imitation."""


class Preference(Exported):
    """Means over the rows of a whole optimiser step, however it is split into micro-batches and processes."""

    loss_is_scaled_for_ga = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # The loss takes the reference's log-probabilities from the batch, where `_compute_loss` below puts them.
        self.known, self.precompute_ref_logps, self.whole = self.precompute_ref_logps, True, None

    def summed(self, *numbers):
        return self.accelerator.gather(torch.tensor([numbers], dtype=torch.float64, device=self.args.device).float()).sum(0)

    def get_batch_samples(self, *args):
        batches, items = super().get_batch_samples(*args)
        counts = [self.counts(batch) for batch in batches]
        rows, imitated = (sum(count) for count in zip(*counts)) if counts else (0, 0)
        self.whole = self.summed(rows, imitated).tolist()
        self.prepare_step(batches)
        return batches, items

    def prepare_step(self, batches):
        pass

    def alpha(self):
        steps, alpha, beta = OBJECTIVE["alpha_warmup_steps"], OBJECTIVE["alpha"], OBJECTIVE["beta"]
        return alpha if self.state.global_step >= steps else beta + (alpha - beta) * self.state.global_step / steps

    def note(self, name, values):
        """Replaces a metric that TRL computed for its own loss."""
        self._metrics["train" if self.model.training else "eval"][name][-1:] = [self.accelerator.gather(values).mean().item()]

    def _compute_loss(self, model, inputs, return_outputs=False):
        training, outputs = self.model.training, []
        row = inputs.pop("row", None)
        rows, imitated = self.counts(inputs)
        self.add_reference(inputs)

        def tap(**arguments):
            outputs.append(model(**arguments))
            return outputs[-1]

        loss = super()._compute_loss(tap, inputs, False)  # TRL's own loss, and its metrics
        width = inputs["input_ids"].size(1) - 1
        logps = outputs[0].log_probs[:, -width:].sum(1)
        own = self.objective(logps, inputs, row)
        if own is not None:
            loss = own + (self.router_aux_loss_coef * outputs[0].aux_loss if self.aux_loss_enabled else 0.0)
        all_rows, all_imitated = self.whole if training else (rows, imitated)
        loss = loss * rows / all_rows
        if OBJECTIVE["sft_weight"] and all_imitated:
            loss = loss - OBJECTIVE["sft_weight"] * self.imitated(logps, inputs).sum() / all_imitated
        # Gradients are averaged over processes.
        loss = loss * (self.accelerator.num_processes if training else 1)
        return (loss, outputs[0]) if return_outputs else loss


class DPO(Preference, DPOTrainer):
    """EntroPO-DPO and SimPO; the other losses over pairs are TRL's."""

    def counts(self, batch):
        rows = len(batch["input_ids"]) // 2
        return rows, int(batch["completion_mask"][:rows].sum())

    def imitated(self, logps, inputs):
        return logps.chunk(2)[0]

    def add_reference(self, inputs):
        if "ref_chosen_logps" in inputs:
            return
        if OBJECTIVE["kind"] == "simpo":
            pair = [torch.zeros(self.counts(inputs)[0], device=self.args.device)] * 2
        else:
            pair = self.compute_ref_log_probs(self.ref_model or self.model, inputs)
        inputs["ref_chosen_logps"], inputs["ref_rejected_logps"] = pair

    def _precompute_ref_logps(self, dataset, *args):
        return dataset if OBJECTIVE["kind"] == "simpo" else super()._precompute_ref_logps(dataset, *args)

    def objective(self, logps, inputs, row):
        kind, beta = OBJECTIVE["kind"], OBJECTIVE["beta"]
        chosen, rejected = logps.chunk(2)
        if kind == "entropo-dpo":
            # -log σ(α·(π_w − π_l) − β·(ref_w − ref_l)), with the part that grows with the length under the cap.
            bonus, cap = self.alpha() - beta, OBJECTIVE["cap"]
            ratios = chosen - inputs["ref_chosen_logps"], rejected - inputs["ref_rejected_logps"]
            driven = bonus * (chosen - rejected)
            driven = driven if cap is None else cap * torch.tanh(driven / cap)
            loss = -F.logsigmoid(beta * (ratios[0] - ratios[1]) + driven)
            rewards = beta * ratios[0] + bonus * chosen, beta * ratios[1] + bonus * rejected
        elif kind == "simpo":
            lengths = inputs["completion_mask"].sum(1).clamp(min=1).chunk(2)
            rewards = beta * chosen / lengths[0], beta * rejected / lengths[1]
            loss = -F.logsigmoid(rewards[0] - rewards[1] - OBJECTIVE["gamma"])
        else:
            return None
        rewards = [reward.detach() for reward in rewards]
        self.note("rewards/chosen", rewards[0])
        self.note("rewards/rejected", rewards[1])
        self.note("rewards/margins", rewards[0] - rewards[1])
        self.note("rewards/accuracies", (rewards[0] > rewards[1]).float())
        return loss.mean()


class KTO(Preference, KTOTrainer):
    """KTO and EntroPO-KTO with a reference point over the whole optimiser step, of trajectories of other rows."""

    def counts(self, batch):
        return len(batch["input_ids"]), int(batch["completion_mask"][batch["label"]].sum())

    def imitated(self, logps, inputs):
        return logps[inputs["label"]]

    def add_reference(self, inputs):
        inputs["ref_logps"], _ = self.compute_ref_log_probs(self.ref_model or self.model, inputs)

    def prepare_step(self, batches):
        """z₀ of each micro-batch. Carries no gradient."""
        step = self.plan[self.state.global_step]
        partner = dict(zip(step["rows"], step["mismatched"]))
        model, sums, points = self.model_wrapped, [], []
        model.eval()
        for batch in batches:
            rows = [self.train_dataset[row] for row in batch["row"].tolist()]
            others = [self.train_dataset[partner.get(row["row"], row["row"])] for row in rows]
            found = self._prepare_inputs(self.data_collator.padded([*map(self.data_collator.mismatched, rows, others)]))
            labels = found["input_ids"].masked_fill(found["completion_mask"] == 0, -100)
            with torch.no_grad(), self.compute_loss_context_manager():
                output = model(input_ids=found["input_ids"], attention_mask=found["attention_mask"], labels=labels, fused_lm_head=True)
                reference, _ = self.compute_ref_log_probs(self.ref_model or self.model, found)
            policy, some = output.log_probs.sum(1), (found["completion_mask"].sum(1) > 0).float()
            sums.append(torch.stack([((policy - reference) * some).sum(), (policy * some).sum(), some.sum()]))
        if OBJECTIVE["reference_scope"] == "step":
            sums = [self.accelerator.gather(sum(sums)[None]).sum(0)] * len(sums)
        for ratio, policy, count in sums:
            ratio, policy = OBJECTIVE["beta"] * ratio / count.clamp(min=1), (self.alpha() - OBJECTIVE["beta"]) * policy / count.clamp(min=1)
            if OBJECTIVE["form"] == "released" or OBJECTIVE["reference_point"] == "clamp":
                points.append((ratio + policy).clamp(min=0))
            else:
                points.append((ratio.clamp(min=0) if OBJECTIVE["reference_point"] == "clamp-divergence" else ratio) + policy)
        self.points = {int(row): point for batch, point in zip(batches, points) for row in batch["row"]}

    def objective(self, logps, inputs, row):
        beta, label = OBJECTIVE["beta"], inputs["label"]
        point = self.points[int(row[0])]
        ratio = logps - inputs["ref_logps"]
        reward = beta * ratio + (self.alpha() - beta) * logps
        seen = reward - point if OBJECTIVE["form"] == "paper" else beta * (ratio - point)
        seen = torch.where(label, seen, -seen)
        for name, side in (("rewards/chosen", label), ("rewards/rejected", ~label)):
            if side.any() and self.accelerator.num_processes == 1:
                self.note(name, reward.detach()[side])
        self.note("kl", point[None] / beta)
        weight = torch.where(label, OBJECTIVE["desirable_weight"], OBJECTIVE["undesirable_weight"])
        return (weight * torch.sigmoid(-seen)).mean()


def build(out, model=None, reference=None, cpu=False, processes=None):
    """The trainer of this run."""
    processes = processes or int(os.environ.get("WORLD_SIZE", "1"))
    path = model or RUN["model"]
    tokenizer = AutoTokenizer.from_pretrained(RUN["tokenizer"] or path)
    if (HERE / "chat_template.jinja").exists():
        tokenizer.chat_template = (HERE / "chat_template.jinja").read_text()
    micro = RUN["micro_batch_rows"]
    if RUN["rows_per_step"] % (micro * processes):
        raise SystemExit(f"{RUN['rows_per_step']} rows a step cannot be dealt to {processes} processes by {micro}: choose another number of processes")
    arguments = {**RUN["trl"], "output_dir": str(out), "use_cpu": cpu, "per_device_train_batch_size": micro}
    arguments["gradient_accumulation_steps"] = RUN["rows_per_step"] // (micro * processes)
    config, trainer, kind = {"pairs": (DPOConfig, DPO, "pairs"), "labelled": (KTOConfig, KTO, "labelled"), "imitated": (SFTConfig, SFT, "imitated")}[RUN["rows_are"]]
    more = {"data_collator": Collator(kind, tokenizer.pad_token_id or tokenizer.eos_token_id or 0)}
    if RUN["lora"]:
        from peft import LoraConfig

        more["peft_config"] = LoraConfig(**RUN["lora"])
    reference = reference or RUN["reference"]
    if reference:
        more["ref_model"] = AutoModelForCausalLM.from_pretrained(reference, dtype=torch.float32)
    more["eval_dataset"] = rows("eval.jsonl")
    if RUN["patience"]:
        more["callbacks"] = [EarlyStoppingCallback(RUN["patience"], RUN["min_delta"])]
    return trainer(model=path, args=config(**arguments), train_dataset=rows("train.jsonl"), processing_class=tokenizer, **more)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder for checkpoints and the trained model")
    parser.add_argument("--model", help=f"the model's folder, where it is not {RUN['model']}")
    parser.add_argument("--reference", help="the reference's folder, where it is another model")
    parser.add_argument("--cpu", action="store_true", help="train on the processor")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in the folder")
    given = parser.parse_args()
    trainer = build(given.out, given.model, given.reference, given.cpu)
    trainer.train(resume_from_checkpoint=given.resume or None)
    if trainer.eval_dataset is not None:
        trainer.evaluate()
    trainer.save_model(given.out)


if __name__ == "__main__":
    main()
