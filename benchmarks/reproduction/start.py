"""Train the tiny VLM that policies start from: it reads the keys of a page, but can't point.

    python benchmarks/reproduction/start.py        # minutes on an idle core

The paper's policy starts from SmolVLM, which has learnt to read before it learns to crop. This is
that, small: a stock `Idefics3ForConditionalGeneration` with random weights whose states of a page's
image tokens learn, through a linear read-out that is thrown away, which key stands in each quarter
of their piece of the page, if any; and the last token's, through another, which key a question
names. It is not taught to bring the two together. Pages come squashed to 96x96 px; it sees no value
that can be read, and no box.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from pages import KEYS, PAGE, Page, draw_page
from PIL import Image
from reader import Size, build_model, learning_rate, save_halved
from torch import Tensor, nn
from transformers import Idefics3ForConditionalGeneration
from views import TOKEN, build_processor, prompt

START = Path(__file__).with_name("start")
# What a policy sees of a page, px: the keys, but not the values.
SIDE = 96
SIZE = Size(vision=64, vision_layers=3, text=64, text_layers=2, heads=2, seed=0)
SUBCELLS = 2
GRID = SIDE // TOKEN * SUBCELLS
BATCH = 32


def squashed(page: Page) -> Image.Image:
    """A page as the policy sees it."""
    return page.image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def key_map(page: Page) -> np.ndarray:
    """Which key has its middle in each cell: (GRID, GRID) int64, `len(KEYS)` for none."""
    cells = np.full((GRID, GRID), len(KEYS))
    for entry in page.entries:
        left, top, right, bottom = entry.key_box
        x, y = ((low + high) / 2 * GRID / PAGE for low, high in ((left, right), (top, bottom)))
        cells[int(y), int(x)] = KEYS.index(entry.key)
    return cells


def draw_batch(step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels (BATCH, 1, 3, SIDE, SIDE) in [-1, 1], keys (BATCH, GRID, GRID), and the numbers
    (BATCH,) of keys to ask for, which may be on the page or not."""
    pages = [draw_page("start", step * BATCH + row) for row in range(BATCH)]
    pixels = np.stack([np.array(squashed(page)) for page in pages]).transpose(0, 3, 1, 2)
    keys = np.stack([key_map(page) for page in pages])
    asked = np.random.default_rng(step).integers(0, len(KEYS), BATCH)
    shown = torch.from_numpy(pixels).float()[:, None] / 127.5 - 1
    return shown, torch.from_numpy(keys), torch.from_numpy(asked)


class KeyReader(nn.Module):
    """A VLM with read-outs at its image tokens and at its last.

    Args:
        vlm: with `SIDE` px of a page in one tile.
        tokens: (K, L) int64, its prompts for a page and a question about each key.
    """

    def __init__(self, vlm: Idefics3ForConditionalGeneration, tokens: Tensor) -> None:
        super().__init__()
        self.vlm, self.tokens = vlm, tokens
        self.seen = nn.Linear(SIZE.text, SUBCELLS**2 * (len(KEYS) + 1))
        self.asked = nn.Linear(SIZE.text, len(KEYS))

    def forward(self, pixels: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, GRID, GRID, len(KEYS) + 1) of what is where, and (B, len(KEYS)) of the
        question's key."""
        ids = self.tokens[asked]
        states = self.vlm.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels
        ).last_hidden_state
        image = states[:, self.tokens[0] == self.vlm.config.image_token_id]
        side = SIDE // TOKEN
        cells = self.seen(image).view(-1, side, side, SUBCELLS, SUBCELLS, len(KEYS) + 1)
        return cells.transpose(2, 3).reshape(-1, GRID, GRID, len(KEYS) + 1), self.asked(
            states[:, -1]
        )


def train(steps: int) -> tuple[Idefics3ForConditionalGeneration, list[dict[str, float]]]:
    """Train one; also its curve: loss, and the shares of keys read and of questions understood."""
    processor = build_processor(SIDE)
    vlm = build_model(SIZE, processor, SIDE)
    prompts = [prompt(processor, f"{key}=", 1) for key in KEYS]
    tokens = processor.tokenizer(prompts, return_tensors="pt")["input_ids"]
    model = KeyReader(vlm, tokens)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.97), weight_decay=0.03)
    curve: list[dict[str, float]] = []
    losses, right, understood, began = [], [], [], time.perf_counter()
    for step in range(steps):
        pixels, keys, asked = draw_batch(step)
        logits, named = model(pixels, asked)
        each = nn.functional.cross_entropy(logits.flatten(0, 2), keys.flatten(), reduction="none")
        # Most cells are empty: as a mean over all, they would drown the others.
        there = keys.flatten() < len(KEYS)
        loss = each[there].mean() + each[~there].mean()
        loss = loss + nn.functional.cross_entropy(named, asked)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = learning_rate(step, steps)
        optimizer.step()
        losses.append(float(loss.detach()))
        right.append(float((logits.argmax(-1) == keys)[keys < len(KEYS)].float().mean()))
        understood.append(float((named.argmax(-1) == asked).float().mean()))
        if (step + 1) % 100 == 0 or step + 1 == steps:
            curve.append(
                {
                    "step": step + 1,
                    "loss": round(sum(losses) / len(losses), 3),
                    "read": round(sum(right) / len(right), 3),
                    "understood": round(sum(understood) / len(understood), 3),
                    "seconds": round(time.perf_counter() - began),
                }
            )
            losses, right, understood = [], [], []
            print(json.dumps(curve[-1]), flush=True)
    return vlm, curve


def main(
    steps: Annotated[int, typer.Option(help="Of training.")] = 2200,
    save: Annotated[Path, typer.Option(help="Folder to write.")] = START,
) -> None:
    """Train and save."""
    torch.set_num_threads(1)
    vlm, curve = train(steps)
    save_halved(vlm, build_processor(SIDE), save)
    (save / "curve.json").write_text(json.dumps(curve) + "\n")


if __name__ == "__main__":
    typer.run(main)
