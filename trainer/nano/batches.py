"""Rendered pages as tensors. Batch i is a pure function of (seed, i), so a run can resume."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from cropzoom.cropper.nano.meanings import Meanings
from cropzoom.cropper.nano.phoc import (
    CLASSES,
    WORD_DIM,
    character_class,
    encode_question,
    fold,
    phoc,
    split_words,
)

from .network import CELL, COLUMN, EDGE_BINS, ROW
from .pages import Page, PageOptions, render_page
from .pages.browser.pool import Pool, pooled_page
from .pages.canvas import Rect
from .pages.documents import render_document
from .pages.fonts import Split
from .pages.phrases import concepts
from .real_pages import RealPages, plain_page
from .real_split import read_pictures

WORDS_A_PAGE = 40
CHARACTERS_A_WORD = 3
CELLS_A_QUESTION = 6
CELLS_A_VALUE = 3


@dataclass
class Batch:
    """B pages of one size, W words to read off them, Q questions to point for.

    Attributes:
        image: (B, 1, H, W) uint8.
        text: (B, H/8, W/16) bool, where words stand.
        vocabulary: (V, WORD_DIM) the distinct words of the batch.
        word: (N, 4) int64: page, grid row, grid column, index into `vocabulary`.
        thing: (K, 4) int64: page, grid row and column of a value, index of its concept.
        character: (M, 4) int64: page, row and column at stride 8, class.
        words, mask: (Q, T, WORD_DIM), (Q, T) the questions.
        page: (Q,) int64.
        target: (Q, H/16 * W/16 + 1) soft target over cells; the last is "absent".
        edge: (E, 3 + 4) int64: question, cell row, cell column, then four bins.
        region: (Q, 4) px of key and value together, and `value` (Q, 4); NaN when absent.
    """

    image: Tensor
    text: Tensor
    vocabulary: Tensor
    word: Tensor
    thing: Tensor
    character: Tensor
    words: Tensor
    mask: Tensor
    page: Tensor
    target: Tensor
    edge: Tensor
    region: Tensor
    value: Tensor


def cell_cover(box: Rect, rows: int, columns: int) -> np.ndarray:
    """Share of a box that lies in each cell, (rows, columns) float32, summing to 1."""
    x = np.clip(
        np.minimum(box[2], (np.arange(columns) + 1) * CELL)
        - np.maximum(box[0], np.arange(columns) * CELL),
        0,
        None,
    )
    y = np.clip(
        np.minimum(box[3], (np.arange(rows) + 1) * CELL)
        - np.maximum(box[1], np.arange(rows) * CELL),
        0,
        None,
    )
    cover = (y[:, None] * x[None, :]).astype(np.float32)
    total = float(cover.sum())
    if total <= 0.0:  # rotated off the page
        row = min(rows - 1, max(0, int((box[1] + box[3]) / 2 / CELL)))
        column = min(columns - 1, max(0, int((box[0] + box[2]) / 2 / CELL)))
        cover[row, column] = total = 1.0
    return cover / total


def edge_bins(row: int, column: int, region: Rect) -> list[int]:
    """The smallest bins that reach the region's left, top, right and bottom edge from a cell."""
    x, y = (column + 0.5) * CELL, (row + 0.5) * CELL
    distances = (x - region[0], y - region[1], region[2] - x, region[3] - y)
    return [min(len(EDGE_BINS) - 1, int(np.searchsorted(EDGE_BINS, d))) for d in distances]


def make_batch(
    pages: list[Page], rng: random.Random, meanings: Meanings | None = None, things: bool = False
) -> Batch:
    """Targets for pages of one size.

    Args:
        pages: what is shown and asked.
        rng: for what is drawn of them.
        meanings: for a net that is told what words mean.
        things: whether a field's `value_kind` is a concept (see `phrases`), where it has that name.
    """
    width, height = pages[0].image.size
    rows, columns = height // CELL, width // CELL
    draw = np.random.default_rng(rng.getrandbits(32))
    image = np.stack([np.asarray(p.image) for p in pages])[:, None]
    text = np.zeros((len(pages), height // ROW, width // COLUMN), bool)
    vocabulary: dict[str, int] = {}
    words, characters = [], []
    for index, page in enumerate(pages):
        for word in page.words:
            x0, y0, x1, y1 = word.box
            top = max(0, round(y0 / ROW))
            text[
                index,
                top : max(top + 1, round(y1 / ROW)),
                max(0, round(x0 / COLUMN)) : max(round(x0 / COLUMN) + 1, round(x1 / COLUMN)),
            ] = True
        for word in rng.sample(page.words, min(len(page.words), WORDS_A_PAGE)):
            x0, y0, x1, y1 = word.box
            folded = split_words(word.text)
            y, x = (y0 + y1) / 2, x0 + (x1 - x0) * rng.uniform(0.25, 0.75)
            if len(folded) != 1 or not (0 <= x < width and 0 <= y < height):
                continue
            if folded[0].isalpha() and all(character_class(c) == CLASSES - 1 for c in folded[0]):
                continue  # letters that are one class: nothing to read off
            entry = vocabulary.setdefault(folded[0], len(vocabulary))
            words.append((index, int(y / ROW), int(x / COLUMN), entry))
            for i in rng.sample(range(len(word.text)), min(len(word.text), CHARACTERS_A_WORD)):
                cx = x0 + (x1 - x0) * word.centres[i]
                if 0 <= cx < width:
                    kind = character_class(fold(word.text[i]))
                    characters.append((index, int(y / 8), int(cx / 8), kind))
    kinds = {concept: i for i, concept in enumerate(concepts() if things else ())}
    shown = [
        (
            i,
            int(draw.uniform(y0, y1) / ROW),
            int(draw.uniform(x0, x1) / COLUMN),
            kinds[f.value_kind],
        )
        for i, page in enumerate(pages)
        for f in page.fields
        if f.value_kind in kinds
        for x0, y0, x1, y1 in [f.value_box] * CELLS_A_VALUE
    ]
    shown = [t for t in shown if 0 <= t[1] < height // ROW and 0 <= t[2] < width // COLUMN]
    asked = [(i, q) for i, page in enumerate(pages) for q in page.questions]
    encoded = [encode_question(q.text, meanings=meanings) for _, q in asked]
    longest = max([8, *(int(mask.sum()) for _, mask in encoded)])
    encoded = [(words[:longest], mask[:longest]) for words, mask in encoded]
    target = np.zeros((len(asked), rows * columns + 1), np.float32)
    region = np.full((len(asked), 4), np.nan, np.float32)
    value = np.full((len(asked), 4), np.nan, np.float32)
    edges = []
    for row, (_, q) in enumerate(asked):
        if q.region is None or q.key_box is None or q.value_box is None:
            target[row, -1] = 1.0
            continue
        region[row], value[row] = q.region, q.value_box
        cover = 0.7 * cell_cover(q.value_box, rows, columns) + 0.3 * cell_cover(
            q.key_box, rows, columns
        )
        target[row, :-1] = cover.reshape(-1)
        flat = cover.reshape(-1).astype(np.float64)
        for cell in draw.choice(flat.size, CELLS_A_QUESTION, p=flat / flat.sum()):
            at = divmod(int(cell), columns)
            edges.append((row, *at, *edge_bins(*at, q.region)))
    blank = encode_question("", meanings=meanings)
    return Batch(
        image=torch.from_numpy(image.copy()),
        text=torch.from_numpy(text),
        vocabulary=torch.from_numpy(
            np.stack([phoc(w) for w in vocabulary] or [np.zeros(WORD_DIM, np.float32)])
        ),
        word=torch.tensor(words, dtype=torch.long).view(-1, 4),
        thing=torch.tensor(shown, dtype=torch.long).view(-1, 4),
        character=torch.tensor(characters, dtype=torch.long).view(-1, 4),
        words=torch.from_numpy(np.stack([e[0] for e in encoded] or [blank[0]])[: len(asked)]),
        mask=torch.from_numpy(np.stack([e[1] for e in encoded] or [blank[1]])[: len(asked)]),
        page=torch.tensor([i for i, _ in asked], dtype=torch.long),
        target=torch.from_numpy(target),
        edge=torch.tensor(edges, dtype=torch.long).view(-1, 7),
        region=torch.from_numpy(region),
        value=torch.from_numpy(value),
    )


# Width, height, pages a batch: about equal work. Small pages teach most a second.
_SIZES = [
    (320, 320, 10),
    (384, 288, 9),
    (256, 448, 9),
    (512, 384, 5),
    (416, 576, 4),
    (768, 576, 2),
    (576, 800, 2),
    (736, 1024, 1),
    (1024, 736, 1),
    (1024, 1024, 1),
]
_EARLY = (6, 4, 4, 2, 2, 0.3, 0.3, 0, 0, 0)
_LATE = (2, 2, 2, 3, 3, 3, 3, 2.5, 1.5, 1)


def plan(
    index: int, reading: int | None, total: int, rng: random.Random
) -> tuple[PageOptions, int]:
    """What batch `index` of `total` shows: options of its pages, and how many.

    The first `reading` batches are dense small pages of words, to learn reading; then a quarter
    stays dense, and pages with questions grow from small to full size. With `reading` None the net
    can read and point already, and all is as at the end.
    """
    progress = 1.0
    # The first to be learnt is English: nearly all that is read in the beginning.
    languages = 0.25 if reading is None or index > reading else 0.0
    if reading is None:
        reading = 0
    else:
        progress = min(1.0, (index - reading) / max(1, 0.5 * (total - reading)))
    if index < reading or rng.random() < 0.22:
        width, height = rng.choice([(256, 256), (224, 288), (320, 224), (288, 256)])
        low = 9.0 if index < reading // 2 else 7.5
        options = PageOptions(width, height, min_text=low, max_text=24.0, layout="dense")
        return replace(options, languages=languages), 12
    if rng.random() < 0.05:
        width, height, count = rng.choice(_SIZES)
        return PageOptions(width, height, layout="picture", questions=4, natural=0.5), count
    weights = [a + (b - a) * progress for a, b in zip(_EARLY, _LATE, strict=True)]
    width, height, count = rng.choices(_SIZES, weights)[0]
    # Small print is what crops are for, and the last to be learnt.
    low, high = (8.0, 24.0) if max(width, height) < 700 else (8.5, 32.0)
    high -= 8.0 * progress if max(width, height) < 700 else 13.0 * progress
    # Pages side by side hold a few questions each; one alone is read for as many as two would be.
    asked = 6 if count > 2 else 10
    options = PageOptions(width, height, min_text=low, max_text=high, questions=asked, absent=0.17)
    return replace(options, languages=languages, natural=0.25), count


class Batches(IterableDataset[Batch]):
    """Batches `start` to `total`, shared out among the loader's workers in order.

    Args:
        seed: of all batches.
        start, total: which.
        reading: as in `plan`.
        pool: a folder of pages that a browser laid out, or None.
        share: of the batches of pages with questions, those that come from the pool.
        real: a folder of real pages (see `real_split.py`), of which the training part is drawn.
        real_share: of the batches of pages with questions, those of real pages.
        papers: of the batches of pages with questions, those of drawn receipts, forms and so on.
        meanings: of the words of questions.
    """

    def __init__(
        self,
        seed: int,
        start: int,
        reading: int | None,
        total: int,
        pool: Path | None = None,
        share: float = 0.4,
        real: Path | None = None,
        real_share: float = 0.5,
        papers: float = 0.25,
        meanings: Meanings | None = None,
    ) -> None:
        self.seed, self.start, self.reading, self.total = seed, start, reading, total
        self.pool, self.share = (Pool(pool) if pool else None), share
        self.real = RealPages(read_pictures(real, "train")) if real else None
        self.real_share, self.papers, self.meanings = real_share, papers, meanings

    def __iter__(self) -> Iterator[Batch]:
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        for index in range(self.start + worker, self.total, workers):
            rng = random.Random(f"{self.seed}/{index}")
            options, count = plan(index, self.reading, self.total, rng)
            # By a number of its own, so that the other batches are as they are without a pool.
            pooled = random.Random(f"{self.seed}/{index}/pool").random() < self.share
            kind = random.Random(f"{self.seed}/{index}/real").random()
            paged = options.layout == "page"
            things = paged
            if self.real and paged and kind < self.real_share:
                pages = self.real.draw(rng, 12)
            elif paged and kind > 1.0 - self.papers:
                pages = [render_document(rng, options) for _ in range(count)]
            else:
                things = False
                if self.pool and pooled and paged:
                    pages = pooled_pages(self.pool, rng, options, count)
                else:
                    pages = [render_page(rng, options) for _ in range(count)]
            yield make_batch(pages, rng, self.meanings, things)


def pooled_pages(pool: Pool, rng: random.Random, options: PageOptions, count: int) -> list[Page]:
    """Windows of a pool's pages, up to three of one page, for loading costs more than cutting."""
    pages: list[Page] = []
    while len(pages) < count:
        index = rng.randrange(len(pool))
        for _ in range(min(3, count - len(pages))):
            pages.append(pooled_page(pool, index, rng, options))
    return pages


def heldout_batches(
    seed: int, count: int, pages: int, options: PageOptions, meanings: Meanings | None = None
) -> list[Batch]:
    """Fixed batches to measure on; `options.split` decides which fonts and words."""
    rng = random.Random(f"measure/{seed}")
    return [
        make_batch([render_page(rng, options) for _ in range(pages)], rng, meanings)
        for _ in range(count)
    ]


def pooled_batches(
    folder: Path, seed: int, count: int, meanings: Meanings | None = None
) -> list[Batch]:
    """Fixed batches of full-size pages of a pool, one page each, to measure on."""
    pool, rng = Pool(folder), random.Random(f"measure/{seed}")
    options = replace(measure_options(736, 1024), min_text=8.0, max_text=14.0)
    return [
        make_batch([pooled_page(pool, rng.randrange(len(pool)), rng, options)], rng, meanings)
        for _ in range(count)
    ]


def real_batches(folder: Path, count: int, meanings: Meanings | None = None) -> list[Batch]:
    """Fixed batches of whole validation pictures with their own questions, as the cropper sees."""
    pictures = [p for p in read_pictures(folder, "validation") if p.rows]
    rng = random.Random("measure/real")
    receipts = [p for p in pictures if p.source in ("sroie", "softmatic")]
    chosen = rng.sample(receipts, min(len(receipts), count))
    return [make_batch([plain_page(p, 1120)], rng, meanings) for p in chosen]


def measure_options(width: int, height: int, split: Split = "heldout") -> PageOptions:
    """Options of the pages that training measures itself on."""
    return PageOptions(width, height, split=split, max_text=24.0, questions=6, absent=0.0)
