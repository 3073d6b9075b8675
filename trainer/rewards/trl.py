"""Our rewards as reward functions of TRL's GRPOTrainer, for boxes written as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch

from cropzoom.data.row import Row
from cropzoom.errors import DataError
from cropzoom.geometry import Box

from .reward import Reward


class TrlReward(Protocol):
    """What TRL calls."""

    __name__: str

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Any] | None = None,
        **columns: Any,
    ) -> list[float]:
        """One reward for each completion; NaN where there is none, which TRL leaves out."""
        ...


def as_trl(reward: Reward) -> TrlReward:
    """Turn a reward into a reward function of TRL.

    The dataset needs the columns `image` (or `images`, of which the first counts), `question`, and
    `answers` (or `answer`); with a column `id`, neighbours of one id are taken as one group, so
    that equal boxes are computed once. A completion must be a box in the paper's form,
    `[12, 3, 60, 40].`; numbers in any order are put in order, anything else is an invalid box.

    Raises:
        DataError: (when called) a column is missing.
    """

    def function(
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Any] | None = None,
        **columns: Any,
    ) -> list[float]:
        rows = _rows(columns, len(completions))
        boxes = torch.tensor([_corners(_text(completion)) for completion in completions])
        starts = [i for i, row in enumerate(rows) if not i or row.id != rows[i - 1].id]
        group = len(rows) // len(starts)
        if starts != list(range(0, len(rows), group)):
            starts, group = list(range(len(rows))), 1  # groups of several sizes
        values = reward([rows[start] for start in starts], boxes.reshape(-1, group, 4))
        return [float(value) for value in values.flatten().tolist()]

    function.__name__ = reward.name
    return function


def _rows(columns: dict[str, Any], count: int) -> list[Row]:
    images = columns.get("image") or [
        several[0] if several else None for several in columns.get("images") or [None] * count
    ]
    questions = columns.get("question") or [None] * count
    answers = columns.get("answers") or columns.get("answer") or [None] * count
    ids = columns.get("id") or range(count)
    rows = []
    for name, image, question, answer in zip(ids, images, questions, answers, strict=True):
        if image is None or question is None or answer is None:
            raise DataError(
                f"a reward needs the columns image, question and answers; the dataset passes on "
                f"{', '.join(sorted(columns)) or 'none'}. Rename its columns, and see that TRL "
                "keeps them: remove_unused_columns=False"
            )
        texts = (answer,) if isinstance(answer, str) else tuple(answer)
        rows.append(Row(str(name), _source(image), str(question), texts))
    return rows


def _source(image: Any) -> Any:
    # What `datasets` gives where it doesn't decode.
    return (image.get("bytes") or image.get("path")) if isinstance(image, dict) else image


def _text(completion: Any) -> str:
    """Text of a completion: a string, or the messages of a chat."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content)


def _corners(text: str) -> list[float]:
    try:
        box = Box.from_text(text, repair=True)
    except ValueError:
        return [math.nan] * 4
    return [box.x0, box.y0, box.x1, box.y1]
