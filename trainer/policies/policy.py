"""What a crop policy is to the trainers: SFT and GRPO are written once, against this.

Shapes: B rows, G samples of each row, A numbers that make an action, T factors of its probability
(tokens of a text, or the cell and the edges of a pointer), V choices of the widest factor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from cropzoom.data.row import Row
from cropzoom.errors import OptionsError

Batch = dict[str, Tensor]


class Rollout(NamedTuple):
    """Sampled actions and what became of them.

    Attributes:
        actions: (B, G, A) int64, the raw actions; log-probs are of these.
        boxes: (B, G, 4) float32, fractions of the upright image, ordered, clamped, of a minimum
            size: what the environment makes of an action. NaN where it makes no box.
        logp: (B, G, T) float32, log-probability of each factor at the sampling temperature; 0
            where masked.
        mask: (B, G, T) bool, factors that were really drawn.
    """

    actions: Tensor
    boxes: Tensor
    logp: Tensor
    mask: Tensor


class Scores(NamedTuple):
    """What a policy thinks of given actions; gradients flow.

    Attributes:
        logp: (B, G, T) float32, at the temperature given; 0 where masked.
        entropy: (B, G, T) float32, nats, of each factor's distribution given those before it.
        mask: (B, G, T) bool.
        log_distribution: (B, G, T, V) float32, log-probabilities of all choices, -inf beyond a
            factor's own; None unless asked for.
    """

    logp: Tensor
    entropy: Tensor
    mask: Tensor
    log_distribution: Tensor | None = None


class Policy(nn.Module, ABC):
    """Image + question -> distribution over boxes.

    Everything with gradients goes through `forward`, so that DDP and FSDP see it. Dropout, if there
    is any, follows `train()` / `eval()` in `score` and `nll`; `sample` and `best` never drop.

    Attributes:
        kind: "text", "pointer" or "nano".
        noise_length: uniform numbers that one sample takes, at most.
        shares_pictures: rows of a batch about one picture cost little more than one of them.
        synced: every call of `sample` makes the same number of forward passes, as sharded weights
            (FSDP, ZeRO-3) need; costs a text policy its early stop.
        collate: rows -> tensors on the CPU, B rows first in each, so that a batch can be cut. A
            pure function in a small picklable object of its own: data loader workers run it, and
            must not get the weights.
    """

    kind: ClassVar[str]
    noise_length: int
    synced: bool = False
    shares_pictures: ClassVar[bool] = False
    collate: Callable[[Sequence[Row]], Batch]

    @abstractmethod
    def sample(self, batch: Batch, noise: Tensor, temperature: float = 1.0) -> Rollout:
        """Draw actions by inverting the distribution at given uniform numbers, without gradients.

        Args:
            batch: of `collate`, B rows.
            noise: (B, G, noise_length) float64 in [0, 1); the same numbers give the same actions.
            temperature: > 0; the logits are divided by it.
        """

    @abstractmethod
    def score(
        self, batch: Batch, actions: Tensor, temperature: float = 1.0, full: bool = False
    ) -> Scores:
        """Log-probability and entropy of actions (B, G, A); `full` adds whole distributions."""

    @abstractmethod
    def nll(self, batch: Batch, boxes: Tensor) -> Tensor:
        """Loss of supervised learning towards boxes (B, 4), fractions: (B,) float32, nats.

        A NaN row says that the answer is not in the image. Only `nano` can learn that.

        Raises:
            ValueError: a row is NaN and this policy always gives a box.
        """

    @abstractmethod
    def best(self, batch: Batch) -> Tensor:
        """The box the policy would choose, (B, 4) float32 fractions, NaN where it makes none."""

    def forward(self, mode: str, batch: Batch, *args: Any, **kwargs: Any) -> Any:
        """Call `sample`, `score`, `nll` or `best` by name."""
        if mode not in ("sample", "score", "nll", "best"):
            raise ValueError(f"mode={mode!r} must be 'sample', 'score', 'nll' or 'best'")
        return getattr(self, mode)(batch, *args, **kwargs)

    @abstractmethod
    def save_pretrained(self, folder: str | Path) -> None:
        """Write weights (safetensors) and all that `load_policy` needs."""

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None
    ) -> None:
        """Save memory in training mode by computing activations twice.

        Raises:
            OptionsError: this policy is too small to have it.
        """
        raise OptionsError(f"a {self.kind} policy has no gradient checkpointing; turn it off")


def pick(logits: Tensor, noise: Tensor) -> Tensor:
    """Draw from categoricals by inverting their distribution functions.

    Args:
        logits: (..., V); -inf for what must not be drawn.
        noise: (...) in [0, 1).

    Returns:
        (...) int64. Computed in float64, so that it hardly depends on device or batch.
    """
    shares = torch.softmax(logits.double(), -1).cumsum(-1)
    # Rounding may leave the last share below 1: scale the number, not the shares. And what can't
    # be drawn may stand last, so the number must stay below it.
    point = noise.double().clamp_max(1 - 2**-52)[..., None] * shares[..., -1:]
    return (shares <= point).sum(-1).clamp_max(logits.shape[-1] - 1)
