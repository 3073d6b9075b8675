"""How likely the right answer becomes: the paper's reward (section 3.2)."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

from cropzoom.errors import OptionsError

from .crops import CropReward, Look
from .frozen_vlm import FrozenVlm, Prompt

Reduce = Literal["sum", "mean"]
Answers = Literal["mean", "max", "first"]


class Likelihood(CropReward):
    """Log-likelihood of a row's answers, nats. Subclasses say who computes it.

    Args:
        reduce: "sum" over an answer's tokens (its log-probability), or "mean" (per token).
        answers: of several answers, the "mean" (as often as each is given), the "max", or the
            "first" alone. None is left out as rare, and equal ones are weighed once.
        crops: options of `CropReward`.
    """

    least: ClassVar[float | None] = None

    def __init__(self, *, reduce: Reduce = "sum", answers: Answers = "mean", **crops: Any) -> None:
        super().__init__(**crops)
        for name, value, choices in (("reduce", reduce, Reduce), ("answers", answers, Answers)):
            if value not in get_args(choices):
                allowed = ", ".join(map(repr, get_args(choices)))
                raise OptionsError(f"{name}={value!r} must be one of {allowed}")
        self.reduce = reduce
        self.answers = answers

    @abstractmethod
    def token_log_probs(
        self, pairs: Sequence[tuple[Look, str]]
    ) -> Sequence[Sequence[float] | None]:
        """For looks with an answer each, its tokens' log-probabilities; None where that failed."""

    def worth(self, looks: Sequence[Look]) -> list[float]:
        """Tell how likely the answers are, given each look."""
        pairs = [(look, answer) for look in looks for answer in dict.fromkeys(self._answers(look))]
        weighed = map(self._reduced, self.token_log_probs(pairs))
        values: list[float] = []
        for look in looks:
            answers = self._answers(look)
            by_answer = {answer: next(weighed) for answer in dict.fromkeys(answers)}
            each = [by_answer[answer] for answer in answers]
            # With NaN, `max` would depend on the order.
            if any(map(math.isnan, each)):
                values.append(math.nan)
            else:
                values.append(max(each) if self.answers == "max" else math.fsum(each) / len(each))
        return values

    def _answers(self, look: Look) -> tuple[str, ...]:
        answers = tuple(answer.strip() for answer in look.row.answers)
        return answers[:1] if self.answers == "first" else answers

    def _reduced(self, log_probs: Sequence[float] | None) -> float:
        if not log_probs:
            return math.nan
        total = math.fsum(log_probs)
        return total / len(log_probs) if self.reduce == "mean" else total


class AnswerLikelihood(Likelihood):
    """Log-likelihood under a model on this machine, shown [picture, crop, question].

    Args:
        vlm: the model.
        include_end: also weigh the token that ends the answer, so that an answer that is only the
            start of a longer one is less likely.
        likelihood: options of `Likelihood` and `CropReward`.
    """

    name = "likelihood"

    def __init__(self, vlm: FrozenVlm, *, include_end: bool = False, **likelihood: Any) -> None:
        super().__init__(**likelihood)
        self.vlm = vlm
        self.include_end = include_end

    def token_log_probs(
        self, pairs: Sequence[tuple[Look, str]]
    ) -> Sequence[Sequence[float] | None]:
        """Weigh answers with the model."""
        # One object a picture, however many answers are weighed with it.
        pictures = {id(look): self.pictures(look) for look, _ in pairs}
        prompts = [Prompt(pictures[id(look)], look.row.question, answer) for look, answer in pairs]
        weights = self.vlm.log_likelihoods(prompts, include_end=self.include_end)
        return [values.tolist() for values in weights]
