"""Whether the target model's own answer becomes right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cropzoom.errors import OptionsError
from cropzoom.reading.answers import is_contained, is_exact
from cropzoom.reading.metrics import anls, normalise_vqa, vqa_accuracy

from .crops import CropReward, Look
from .frozen_vlm import FrozenVlm, Prompt


def soft_accuracy(reply: str, answers: Sequence[str]) -> float:
    """The VQA accuracy where enough people answered to agree; else 1 if any answer is the reply.

    The VQA accuracy wants three others to agree, so with one to three answers it could not be 1.
    """
    if len(answers) > 3:
        return vqa_accuracy(reply, answers)
    folded = normalise_vqa(reply)
    return float(any(folded == normalise_vqa(answer) for answer in answers))


_METRICS: dict[str, Callable[[str, Sequence[str]], float]] = {
    "vqa": soft_accuracy,
    "exact": is_exact,
    "contained": is_contained,
    "anls": anls,
}


class AnswerAccuracy(CropReward):
    """How right a model's reply is, in [0, 1], shown [picture, crop, question]; 0 for no box.

    Args:
        vlm: the model; it answers greedily.
        metric: "vqa" (`soft_accuracy`), "exact" or "contained" (as `cropzoom.reading.answers`
            defines them), or "anls" (graded by edit distance).
        max_new_tokens: longest reply.
        crops: options of `CropReward`.

    Raises:
        OptionsError: an option has an impossible value.
    """

    name = "accuracy"

    def __init__(
        self, vlm: FrozenVlm, *, metric: str = "vqa", max_new_tokens: int = 20, **crops: Any
    ) -> None:
        super().__init__(**crops)
        if metric not in _METRICS:
            allowed = ", ".join(map(repr, _METRICS))
            raise OptionsError(f"metric={metric!r} must be one of {allowed}")
        if max_new_tokens < 1:
            raise OptionsError(f"max_new_tokens={max_new_tokens} must be at least 1")
        self.vlm = vlm
        self.max_new_tokens = max_new_tokens
        self._metric = _METRICS[metric]

    def worth(self, looks: Sequence[Look]) -> list[float]:
        """Let the model answer, and mark its replies."""
        questions = [Prompt(self.pictures(look), look.row.question) for look in looks]
        replies = self.vlm.replies(questions, max_new_tokens=self.max_new_tokens)
        return [
            float(self._metric(reply, look.row.answers))
            for look, reply in zip(looks, replies, strict=True)
        ]
