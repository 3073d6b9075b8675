"""What GRPO minimises: advantages of groups, the clipped surrogate, the distance to a reference.

Pure functions. Shapes as in `policies/base.py`: B rows, G samples of each, T factors of an
action's probability. Names follow the papers: PPO (arXiv 1707.06347), GRPO (2402.03300), Dr. GRPO
(2503.20783), DAPO (2503.14476), RLOO (2402.14740), and Schulman's note "Approximating KL
divergence" (2020) for k3.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

Variant = Literal["dr_grpo", "grpo", "dapo"]
Scaling = Literal["none", "group", "batch"]
Baseline = Literal["mean", "leave_one_out"]

# Added to a spread before dividing by it; TRL's value.
_EPSILON = 1e-4


class Loss(NamedTuple):
    """A loss to minimise, and what to log of it (scalars without gradients).

    Attributes:
        total: scalar with gradients, the surrogate plus beta times the divergence.
        policy: the surrogate alone.
        kl: mean divergence of a factor, nats; 0 where none was given.
        clipped_low: share of factors whose gain is cut as they became less likely.
        clipped_high: share of factors whose gain is cut as they became more likely.
        ratio: mean of new over old probability of a factor.
    """

    total: Tensor
    policy: Tensor
    kl: Tensor
    clipped_low: Tensor
    clipped_high: Tensor
    ratio: Tensor


def advantages(rewards: Tensor, scaling: Scaling = "none", baseline: Baseline = "mean") -> Tensor:
    """How much better each sample is than the others of its row.

    A constant added to all rewards of a row changes nothing. Where all samples of a row earn the
    same, and where there is only one (G = 1), advantages are exactly 0: nothing is learned from
    such rows, and the health log counts them.

    Args:
        rewards: (B, G). One that is not finite marks a failed sample: it is left out of mean and
            spread, and gets advantage 0.
        scaling: "none" (Dr. GRPO and the paper), "group" (GRPO: divided by the spread of the row's
            rewards), or "batch" (by that of all rewards; for the same result on several
            processes, gather the rewards of all first).
        baseline: "mean" of the row, or "leave_one_out" (RLOO): the mean of the row's others.

    Returns:
        (B, G), the rewards' dtype, without gradients.
    """
    if rewards.dim() != 2:
        raise ValueError(f"rewards have shape {tuple(rewards.shape)}; needs (B, G)")
    _check("scaling", scaling, Scaling)
    _check("baseline", baseline, Baseline)
    valid = rewards.isfinite()
    value = rewards.detach().double().masked_fill(~valid, 0.0)
    count = valid.sum(1, keepdim=True).clamp_min(1)
    centred = (value - value.sum(1, keepdim=True) / count) * valid
    result = centred
    if baseline == "leave_one_out":
        # r - (n mean - r) / (n - 1); a row with one valid sample has centred = 0.
        result = centred * count / (count - 1).clamp_min(1)
    if scaling == "group":
        result = result / (_spread(centred.pow(2).sum(1, keepdim=True), count) + _EPSILON)
    elif scaling == "batch":
        everyone = valid.sum().clamp_min(1)
        deviation = (value - value.sum() / everyone) * valid
        result = result / (_spread(deviation.pow(2).sum(), everyone) + _EPSILON)
    highest = value.masked_fill(~valid, -torch.inf).amax(1, keepdim=True)
    lowest = value.masked_fill(~valid, torch.inf).amin(1, keepdim=True)
    # Rounding of the mean must not make a signal of equal rewards.
    return torch.where(highest > lowest, result, 0.0).to(rewards.dtype)


def kl_k3(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """Estimate KL(policy || reference) from drawn factors alone: r - 1 - log r, r = ref / policy.

    Never negative; unbiased for factors drawn from the policy. Any shape, nats.
    """
    log_ratio = ref_logp - logp
    return log_ratio.exp() - 1 - log_ratio


def kl_exact(log_distribution: Tensor, ref_log_distribution: Tensor) -> Tensor:
    """KL(policy || reference) of categoricals in closed form.

    Args:
        log_distribution: (..., V) log-probabilities; -inf for choices there are not.
        ref_log_distribution: the same of the reference.

    Returns:
        (...), nats. 0 where there are no choices at all.
    """
    missing = log_distribution == -torch.inf
    # Filled before the difference: -inf - -inf is NaN, and so would be its gradient. 0 adds 0.
    ours = log_distribution.masked_fill(missing, 0.0)
    reference = ref_log_distribution.masked_fill(missing, 0.0)
    return (ours.exp() * (ours - reference)).sum(-1)


def policy_loss(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    variant: Variant = "dr_grpo",
    clip_low: float = 0.2,
    clip_high: float | None = None,
    max_length: int | None = None,
    num_items: int | Tensor | None = None,
    parts: int = 1,
    kl: Tensor | None = None,
    beta: float = 0.0,
) -> Loss:
    """The clipped surrogate of PPO with a group's advantages, plus beta times a divergence.

    Per factor: -min(ratio A, clip(ratio, 1 - clip_low, 1 + clip_high) A) + beta KL. The variants
    differ in how factors are averaged:

      grpo     mean over each sample's factors, then over samples
      dr_grpo  sum / (samples x max_length): no bias by length, as max_length never changes
      dapo     sum / factors of the whole step; clips at 1.28 above

    A step may be made of several parts, micro-batches or processes. The mean of their losses, and
    so of their gradients, is that of the whole: `transformers.Trainer` divides by its accumulation
    steps, and DDP averages over processes. For "dapo", parts must know of each other: give
    `num_items` and `parts`. Parts must have equally many samples.

    Args:
        logp: (B, G, T) log-probabilities of the drawn factors, with gradients.
        old_logp: (B, G, T) the same of the policy that drew them.
        advantages: (B, G).
        mask: (B, G, T) bool, factors that were really drawn; others count for nothing.
        variant: see above.
        clip_low: how far below 1 a ratio may go, in [0, 1].
        clip_high: how far above, >= 0; None: .28 for "dapo", .2 for the others.
        max_length: most factors an action can have; needed by "dr_grpo".
        num_items: drawn factors of all parts together, for "dapo"; None: those of this call.
        parts: accumulation steps x processes that `num_items` covers.
        kl: (B, G, T) of `kl_k3` or `kl_exact`, with gradients; None for none.
        beta: weight of `kl`, >= 0.
    """
    _check("variant", variant, Variant)
    if logp.shape != mask.shape or old_logp.shape != mask.shape:
        raise ValueError(
            f"logp {tuple(logp.shape)}, old_logp {tuple(old_logp.shape)} and mask "
            f"{tuple(mask.shape)} must have one shape, (B, G, T)"
        )
    if advantages.shape != mask.shape[:2]:
        raise ValueError(
            f"advantages have shape {tuple(advantages.shape)}; needs (B, G) = "
            f"{tuple(mask.shape[:2])}"
        )
    if beta and kl is None:
        raise ValueError(f"beta={beta} weighs a divergence, but kl is None: give it, or beta=0")
    if clip_high is None:
        clip_high = 0.28 if variant == "dapo" else 0.2
    # Filled, not multiplied by 0: what stands at masked places may be inf or NaN.
    ratio = (logp - old_logp.detach()).masked_fill(~mask, 0.0).exp()
    gain = advantages.detach()[..., None].to(logp.dtype)
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    surrogate = -torch.minimum(ratio * gain, clipped * gain)
    divergence = torch.zeros_like(surrogate) if kl is None else kl

    def averaged(per_factor: Tensor) -> Tensor:
        per_factor = per_factor.masked_fill(~mask, 0.0)
        if variant == "grpo":
            return (per_factor.sum(-1) / mask.sum(-1).clamp_min(1)).mean()
        if variant == "dr_grpo":
            if max_length is None:
                raise ValueError(
                    "variant='dr_grpo' needs max_length, the most factors an action can have"
                )
            return per_factor.sum() / (mask.shape[0] * mask.shape[1] * max_length)
        if num_items is None:
            return per_factor.sum() / mask.sum().clamp_min(1)
        return per_factor.sum() * parts / torch.as_tensor(num_items).clamp_min(1)

    policy = averaged(surrogate)
    # Without weight, a divergence must not reach the gradient, not even as 0 x inf.
    total = policy + beta * averaged(divergence) if beta else policy
    drawn = mask.sum().clamp_min(1)

    def share(per_factor: Tensor) -> Tensor:
        return per_factor.detach().masked_fill(~mask, 0).sum() / drawn

    return Loss(
        total=total,
        policy=policy.detach(),
        kl=share(divergence),
        clipped_low=share((ratio < 1 - clip_low) & (gain < 0)),
        clipped_high=share((ratio > 1 + clip_high) & (gain > 0)),
        ratio=share(ratio),
    )


def _spread(squares: Tensor, count: Tensor) -> Tensor:
    """Standard deviation of a sample from its sum of squared deviations (Bessel's correction)."""
    return (squares / (count - 1).clamp_min(1)).sqrt()


def _check(name: str, value: str, choices: object) -> None:
    if value not in get_args(choices):
        allowed = ", ".join(map(repr, get_args(choices)))
        raise ValueError(f"{name}={value!r} must be one of {allowed}")
