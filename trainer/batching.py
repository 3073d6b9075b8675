"""From rows to batches: pictures decoded, broken ones replaced, an order that can be resumed."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from cropzoom.data.row import Row
from cropzoom.errors import ImageError, TrainingError

from .policies.policy import Batch

KEPT_PICTURES = 8
"""Decoded pictures that a dataset keeps, for rows that come one after the other."""
ROWS_TOGETHER = 8
"""Rows about one picture that follow each other at most, see `WindowSampler`."""


def picture_of(row: Row) -> tuple[str, ...] | None:
    """What the rows about one picture have in common, told without opening it; None: unknown."""
    if row.image_id:
        return row.source, row.image_id
    if isinstance(row.image, (str, os.PathLike)):
        return (os.fspath(row.image),)
    return None


class Loaded(NamedTuple):
    """A row whose picture is decoded.

    Attributes:
        row: its `image` is a PIL image.
        broken: ids of rows whose pictures could not be read, which this one stands in for.
    """

    row: Row
    broken: tuple[str, ...]


class RowDataset(Dataset[Loaded]):
    """Rows by number, with their pictures decoded: once for the policy and the reward, and once for
    neighbouring rows about the same picture, which get the same object.

    A row whose picture can't be read gives way to the next one that can, so that a batch keeps
    its size (processes that train together must take the same number of steps).

    Args:
        rows: at least one.

    Raises:
        TrainingError: there are no rows.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        if not rows:
            raise TrainingError("there are no rows to train on; check the data's path and columns")
        self.rows = rows
        self._pictures: OrderedDict[tuple[str, ...], Image.Image] = OrderedDict()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Loaded:
        """Load a row.

        Raises:
            TrainingError: no picture of the dataset can be read.
        """
        broken: list[str] = []
        for step in range(len(self.rows)):
            place = (number + step) % len(self.rows)
            row = self.rows[place]
            try:
                return Loaded(dataclasses.replace(row, image=self._load(row)), tuple(broken))
            except ImageError as error:
                broken.append(row.id)
                reason = error
        raise TrainingError(
            f"none of the {len(self.rows)} pictures can be read; the last one: {reason}"
        ) from reason

    def _load(self, row: Row) -> Image.Image:
        key = picture_of(row)
        picture = self._pictures.pop(key, None) if key else None
        picture = picture or row.load()
        if key:
            self._pictures[key] = picture
            if len(self._pictures) > KEPT_PICTURES:
                self._pictures.popitem(last=False)
        return picture


class Collate:
    """Loaded rows -> one micro-batch: the policy's tensors, and the rows for the reward.

    Args:
        tensors: the policy's `collate`.
    """

    def __init__(self, tensors: Callable[[Sequence[Row]], Batch]) -> None:
        self.tensors = tensors

    def __call__(self, items: Sequence[Loaded]) -> dict[str, Any]:
        """Return `batch` (tensors), `rows` (B of them) and `broken` (ids of unreadable rows)."""
        rows = [item.row for item in items]
        return {
            "batch": self.tensors(rows),
            "rows": rows,
            "broken": [row_id for item in items for row_id in item.broken],
        }


class WindowSampler(Sampler[int]):
    """Row numbers in a seeded random order; windows of them may come several times in a row.

    The order depends on the seed and the epoch alone, neither on the number of processes nor on
    any generator's state.

    Args:
        length: rows.
        seed: of the order.
        epoch: asked when an iteration starts.
        window: rows that make one optimizer step, over all processes.
        repeats: times that each window is used. Where more than one, the last window is filled up
            with the epoch's first rows, or steps and windows would drift apart.
        pictures: of each row, see `picture_of`; then rows about one picture follow each other, up
            to `ROWS_TOGETHER` of them. None: their order knows nothing of pictures.
    """

    def __init__(
        self,
        length: int,
        seed: int,
        epoch: Callable[[], int],
        window: int = 1,
        repeats: int = 1,
        pictures: Sequence[tuple[str, ...] | None] | None = None,
    ) -> None:
        self.length, self.seed, self.epoch = length, seed, epoch
        self.window, self.repeats = window, repeats
        self.pictures = pictures

    def __len__(self) -> int:
        if self.repeats == 1:
            return self.length
        return -(-self.length // self.window) * self.window * self.repeats

    def __iter__(self) -> Iterator[int]:
        order = seeded(self.seed, "order", self.epoch()).permutation(self.length).tolist()
        if self.pictures is not None:
            order = _together(order, self.pictures)
        if self.repeats == 1:
            yield from order
            return
        for start in range(0, self.length, self.window):
            window = [order[place % self.length] for place in range(start, start + self.window)]
            for _ in range(self.repeats):
                yield from window


def _together(order: list[int], pictures: Sequence[tuple[str, ...] | None]) -> list[int]:
    """The order with rows moved up to the first about their picture, a few at a time."""
    groups: dict[object, list[list[int]]] = {}
    pieces: list[list[int]] = []
    for number in order:
        key = pictures[number] or number
        own = groups.setdefault(key, [])
        if not own or len(own[-1]) == ROWS_TOGETHER:
            own.append([])
            pieces.append(own[-1])
        own[-1].append(number)
    return [number for piece in pieces for number in piece]


def seeded(*parts: object) -> np.random.Generator:
    """Return a generator that depends on nothing but `parts`: the same on every machine."""
    key = hashlib.blake2b("\n".join(map(str, parts)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


def rollout_noise(rows: Sequence[Row], group: int, length: int, seed: int, epoch: int) -> Tensor:
    """Uniform numbers of the rollouts: (B, group, length) float64 in [0, 1), on the CPU.

    Each sample has a generator of its own, from (seed, epoch, row, sample): batches, processes
    and the size of the group change nothing about the samples they share.
    """
    numbers = [
        [
            seeded(seed, "rollout", epoch, row.source, row.id, sample).random(length)
            for sample in range(group)
        ]
        for row in rows
    ]
    return torch.from_numpy(np.array(numbers, dtype=np.float64).reshape(len(rows), group, length))
