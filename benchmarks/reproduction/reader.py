"""Train a frozen tiny VLM that reads a crop and can't read a page: the reproduction's reward model.

    python benchmarks/reproduction/reader.py r2              # 16 minutes on an idle core; r1: 32
    python benchmarks/reproduction/reader.py r2 --measure    # only measure the committed reader

A reader is a stock `Idefics3ForConditionalGeneration` of less than a million parameters, trained
from random weights on `pages.py`. It sees every picture squashed to 64x64 px in one tile. First it
learns from one crop alone, at the start a well-centred one, then ever looser, tighter and more
stretched ones; afterwards from the page and a crop, as it is asked later, where the crop may be
missing, show another entry, or nothing. A killed training goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from measure import clipped, measure, random_crop
from pages import MARGIN, Entry, Page, Pixels, draw_page
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    GenerationConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
)
from views import VIEW, build_processor, prompt, view

READERS = Path(__file__).with_name("readers")
BATCH = 32
RATE = 1.5e-3
WARMUP = 150
# Of all steps: those with one crop alone.
ALONE = 0.5
# Of the pairs of page and crop: those whose crop shows the entry that is asked for.
RIGHT = 0.6
# Share of answers that must be right before crops get harder, and steps until they are hardest.
GATE, WIDENING = 0.5, 1500


@dataclass(frozen=True)
class Size:
    """Widths, layers and heads of a reader, and the seed of its weights and pages."""

    vision: int
    vision_layers: int
    text: int
    text_layers: int
    heads: int
    seed: int


SIZES = {"r1": Size(96, 3, 96, 3, 3, seed=1), "r2": Size(64, 3, 64, 4, 2, seed=2)}


def build_model(
    size: Size, processor: Idefics3Processor, side: int = VIEW
) -> Idefics3ForConditionalGeneration:
    """Make a tiny VLM with random weights, which sees pictures of `side` px."""
    tokenizer = processor.tokenizer
    special = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config = Idefics3Config(
        image_token_id=processor.image_token_id,
        scale_factor=2,
        tie_word_embeddings=False,
        vision_config={
            "hidden_size": size.vision,
            "intermediate_size": 3 * size.vision,
            "num_hidden_layers": size.vision_layers,
            "num_attention_heads": size.heads,
            "image_size": side,
            "patch_size": 8,
            "hidden_act": "relu",
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": size.text,
            "intermediate_size": 3 * size.text,
            "num_hidden_layers": size.text_layers,
            "num_attention_heads": size.heads,
            "num_key_value_heads": size.heads,
            "max_position_embeddings": 1024,
            **special,
        },
        **special,
    )
    torch.manual_seed(size.seed)
    model = Idefics3ForConditionalGeneration(config)
    with torch.no_grad():
        for module in model.modules():
            # The default, .02, is made for wide models: these would hardly start to learn.
            if isinstance(module, nn.Embedding):
                module.weight.normal_(std=0.3)
            elif isinstance(module, (nn.Linear, nn.Conv2d)):
                module.weight.normal_(std=0.8 / math.sqrt(module.weight[0].numel()))
    model.generation_config = GenerationConfig(do_sample=False, max_new_tokens=4, **special)
    return model


def training_crop(rng: random.Random, entry: Entry, spread: float) -> Pixels:
    """Draw a crop that shows an entry's value; at `spread` 0 the right crop, at 1 almost any.

    Width and height vary apart, from the bare value (or key and value) to over twice the right
    crop: so strongly stretched views occur, too.
    """
    base = entry.value_box if rng.random() < 0.25 * spread else entry.box
    margins = [MARGIN + spread * rng.uniform(-MARGIN, 1) for _ in range(4)]
    left, top = base[0] - margins[0], base[1] - margins[1]
    width, height = base[2] + margins[2] - left, base[3] + margins[3] - top
    wider = width * (math.exp(spread * rng.uniform(-0.3, 1.1)) - 1)
    higher = height * (math.exp(spread * rng.uniform(-0.3, 1.3)) - 1)
    # What is added lies on either side in any proportion; what is taken off never bares the value.
    left -= max(0.0, wider) * rng.random()
    top -= max(0.0, higher) * rng.random()
    jitter = 3 * spread
    left, top = left + rng.gauss(0, jitter / 2), top + rng.gauss(0, jitter / 2)
    value = entry.value_box
    return clipped(
        (
            min(left, value[0]),
            min(top, value[1]),
            max(left + width + max(0.0, wider), value[2]),
            max(top + height + max(0.0, higher), value[3]),
        )
    )


def training_example(
    rng: random.Random, page: Page, spread: float, alone: bool
) -> tuple[list[Image.Image], str, str]:
    """Return the pictures, the question and the answer."""
    entry = rng.choice(page.entries)
    question = f"{entry.key}="
    if alone:
        return [view(page.image, training_crop(rng, entry, spread))], question, entry.value
    pictures = [view(page.image)]
    kind = rng.random()
    if kind < RIGHT:
        pictures.append(view(page.image, training_crop(rng, entry, spread)))
    elif kind < 0.78:
        other = rng.choice([other for other in page.entries if other is not entry])
        pictures.append(view(page.image, training_crop(rng, other, spread)))
    elif kind < 0.9:
        pictures.append(view(page.image, random_crop(rng)))
    elif kind < 0.95:
        # A crop that is no smaller than the page.
        pictures.append(pictures[0])
    return pictures, question, entry.value


def training_batch(
    processor: Idefics3Processor, seed: int, step: int, spread: float, alone: bool
) -> dict[str, Tensor]:
    """Draw a batch: `input_ids` (B, L), `attention_mask`, `labels` (-100 but for the answers) and
    `pixel_values` (B, 1 or 2, 3, 64, 64), zero where a row has no crop. Depends on its arguments
    alone.
    """
    rng = random.Random(f"{seed}/{step}")
    texts, answers, pixels = [], [], torch.zeros(BATCH, 1 if alone else 2, 3, VIEW, VIEW)
    for row in range(BATCH):
        page = draw_page(f"reader-{seed}", step * BATCH + row)
        pictures, question, answer = training_example(rng, page, spread, alone)
        for number, picture in enumerate(pictures):
            grey = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()
            pixels[row, number] = grey / 127.5 - 1
        answers.append(answer + processor.tokenizer.eos_token)
        texts.append(prompt(processor, question, len(pictures)) + answers[-1])
    tokens = processor.tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
    labels = torch.full_like(tokens["input_ids"], -100)
    for row, answer in enumerate(answers):
        end = int(tokens["attention_mask"][row].sum())
        start = end - len(processor.tokenizer(answer)["input_ids"])
        labels[row, start:end] = tokens["input_ids"][row, start:end]
    return {**tokens, "labels": labels, "pixel_values": pixels}


def learning_rate(step: int, steps: int) -> float:
    """Warm-up, constant to the half, then a cosine down to 3 %."""
    if step < WARMUP:
        return RATE * (step + 1) / WARMUP
    done = max(0.0, (step / steps - 0.5) / 0.5)
    return RATE * (0.03 + 0.97 * (1 + math.cos(math.pi * done)) / 2)


class Training:
    """A reader in training, which can be saved and go on.

    Args:
        name: of the reader: "r1" or "r2".
        steps: in all.
        folder: for the log and the checkpoint.
    """

    def __init__(self, name: str, steps: int, folder: Path) -> None:
        self.size, self.steps, self.folder = SIZES[name], steps, folder
        self.processor = build_processor()
        self.model = build_model(self.size, self.processor)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=RATE, betas=(0.9, 0.97), weight_decay=0.03
        )
        self.step, self.spread, self.right, self.seconds = 0, 0.0, 0.0, 0.0

    def take_step(self) -> float:
        """Learn from one batch; return its loss, nats a token."""
        alone = self.step < ALONE * self.steps
        batch = training_batch(self.processor, self.size.seed, self.step, self.spread, alone)
        labels = batch.pop("labels")[:, 1:]
        logits = self.model(**batch).logits[:, :-1]
        asked = labels != -100
        loss = nn.functional.cross_entropy(logits[asked], labels[asked])
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.param_groups[0]["lr"] = learning_rate(self.step, self.steps)
        self.optimizer.step()
        right = ((logits.argmax(-1) == labels) | ~asked).all(1).float().mean()
        self.right += 0.02 * (float(right) - self.right)
        if self.right > (GATE if alone else GATE * RIGHT):
            self.spread = min(1.0, self.spread + 1 / WIDENING)
        self.step += 1
        return float(loss.detach())

    def run(self) -> None:
        """Train to the end, with a line in the log and a checkpoint every 100 steps."""
        losses: list[float] = []
        before = time.perf_counter()
        while self.step < self.steps:
            losses.append(self.take_step())
            if self.step % 100 == 0 or self.step == self.steps:
                self.seconds += time.perf_counter() - before
                before = time.perf_counter()
                line = {
                    "step": self.step,
                    "loss": round(sum(losses) / len(losses), 4),
                    "right": round(self.right, 3),
                    "spread": round(self.spread, 3),
                    "seconds": round(self.seconds),
                }
                losses = []
                print(json.dumps(line), flush=True)
                with (self.folder / "log.jsonl").open("a") as log:
                    log.write(json.dumps(line) + "\n")
                self.save_checkpoint()

    def save_checkpoint(self) -> None:
        """Write everything that changes, all or nothing."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": [self.step, self.spread, self.right, self.seconds],
        }
        beside = self.folder / "checkpoint.new"
        torch.save(state, beside)
        beside.replace(self.folder / "checkpoint.pt")

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        path = self.folder / "checkpoint.pt"
        if path.exists():
            state = torch.load(path, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.spread, self.right, self.seconds = state["progress"]


def save_halved(
    model: Idefics3ForConditionalGeneration, processor: Idefics3Processor, folder: Path
) -> None:
    """Write the usual folder of transformers: configuration, weights, processor.

    Weights are stored in half precision, to be small in a repository, and load as float32.
    """
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    weights = folder / "model.safetensors"
    halves = {name: tensor.half() for name, tensor in load_file(weights).items()}
    save_file(halves, weights, metadata={"format": "pt"})


def main(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(sorted(SIZES))}.")],
    steps: Annotated[int, typer.Option(help="Of training.")] = 8000,
    folder: Annotated[Path | None, typer.Option(help="Log; runs/reader-NAME.")] = None,
    save: Annotated[Path | None, typer.Option(help="Default: the committed folder.")] = None,
    only_measure: Annotated[bool, typer.Option("--measure", help="Don't train.")] = False,
    pages: Annotated[int, typer.Option(help="Fresh pages to measure on.")] = 1000,
) -> None:
    """Train and measure, or only measure."""
    if name not in SIZES:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(sorted(SIZES))}")
    reader = save or READERS / name
    torch.set_num_threads(1)
    if not only_measure:
        folder = folder or Path("runs") / f"reader-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        training = Training(name, steps, folder)
        training.resume()
        training.run()
        save_halved(training.model, training.processor, reader)
    results = measure(reader, pages)
    (reader / "measured.json").write_text(json.dumps(results, indent=2) + "\n")
    typer.echo(json.dumps(results, indent=2))


if __name__ == "__main__":
    typer.run(main)
