"""Advantages, the clipped surrogate and divergences: by hand, by calculus, and against TRL."""

from __future__ import annotations

import math
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from torch import Tensor

from cropzoom.trainer.losses import Loss, advantages, kl_exact, kl_k3, policy_loss

NAN = math.nan


def close(actual: Tensor, wanted: Any, tolerance: float = 1e-6) -> None:
    wanted = torch.as_tensor(wanted, dtype=actual.dtype)
    torch.testing.assert_close(actual, wanted, atol=tolerance, rtol=0)


def test_advantages_by_hand() -> None:
    rewards = torch.tensor([[1.0, 3.0], [0.0, 0.0], [-1.0, 5.0]])
    close(advantages(rewards), [[-1, 1], [0, 0], [-3, 3]])
    root = math.sqrt(2)  # the spread of two numbers 2 apart
    by_group = [[-1 / (root + 1e-4), 1 / (root + 1e-4)], [0, 0]]
    by_group.append([-3 / (3 * root + 1e-4), 3 / (3 * root + 1e-4)])
    close(advantages(rewards, "group"), by_group)
    # Mean 4/3; squares 1/9 + 25/9 + 16/9 + 16/9 + 49/9 + 121/9 = 228/9, over 5.
    spread = math.sqrt(228 / 9 / 5) + 1e-4
    close(advantages(rewards, "batch") * spread, [[-1, 1], [0, 0], [-3, 3]])


def test_leave_one_out_by_hand() -> None:
    # 1 - (2 + 6) / 2, 2 - (1 + 6) / 2, 6 - (1 + 2) / 2
    loo = advantages(torch.tensor([[1.0, 2.0, 6.0]]), baseline="leave_one_out")
    close(loo, [[-3, -1.5, 4.5]])
    # Of two valid ones, each is compared with the other.
    loo = advantages(torch.tensor([[1.0, NAN, 6.0]]), baseline="leave_one_out")
    close(loo, [[-5, 0, 5]])


@pytest.mark.parametrize("scaling", ["none", "group", "batch"])
@pytest.mark.parametrize("baseline", ["mean", "leave_one_out"])
class TestAdvantages:
    def test_shift_invariant(self, scaling: Any, baseline: Any) -> None:
        torch.manual_seed(0)
        rewards = torch.randn(3, 4, dtype=torch.float64)
        moved = rewards + 17.5
        close(advantages(moved, scaling, baseline), advantages(rewards, scaling, baseline))
        if scaling != "batch":  # there, the rows' levels count
            moved = rewards + torch.tensor([[100.0], [-3.0], [0.5]])
            close(advantages(moved, scaling, baseline), advantages(rewards, scaling, baseline))
        assert advantages(rewards, scaling, baseline).abs().min() > 0

    def test_sum_to_zero(self, scaling: Any, baseline: Any) -> None:
        torch.manual_seed(1)
        close(advantages(torch.randn(5, 6), scaling, baseline).sum(1), torch.zeros(5))

    def test_equal_rewards_teach_nothing(self, scaling: Any, baseline: Any) -> None:
        rewards = torch.full((3, 6), 0.1, dtype=torch.float64)
        assert rewards.sum(1)[0] / 6 != 0.1  # rounding
        rewards[1] = torch.rand(6)
        result = advantages(rewards, scaling, baseline)
        assert (result[::2] == 0).all() and result[1].abs().min() > 0
        for sign in (1, -1):  # a failed sample makes no difference between the others
            failed = torch.full((2, 7), 0.1 * sign, dtype=torch.float64)
            failed[:, 3] = NAN
            assert (advantages(failed, scaling, baseline) == 0).all()

    def test_a_group_of_one_teaches_nothing(self, scaling: Any, baseline: Any) -> None:
        result = advantages(torch.tensor([[1.0], [-4.0]]), scaling, baseline)
        assert (result == 0).all() and result.shape == (2, 1)

    @pytest.mark.parametrize("bad", [NAN, math.inf, -math.inf])
    def test_failed_samples_are_left_out(self, scaling: Any, baseline: Any, bad: float) -> None:
        some = advantages(torch.tensor([[1.0, bad, 4.0], [2.0, 5.0, bad]]), scaling, baseline)
        alone = advantages(torch.tensor([[1.0, 4.0], [2.0, 5.0]]), scaling, baseline)
        close(some, [[alone[0, 0], 0, alone[0, 1]], [alone[1, 0], alone[1, 1], 0]])
        rest = advantages(torch.tensor([[bad, bad], [bad, 3.0]]), scaling, baseline)
        assert (rest == 0).all()


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="needs \\(B, G\\)"):
        advantages(torch.zeros(3))
    with pytest.raises(ValueError, match="scaling='std' must be one of 'none', 'group', 'batch'"):
        advantages(torch.zeros(1, 2), "std")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="baseline"):
        advantages(torch.zeros(1, 2), baseline="median")  # type: ignore[arg-type]
    some, mask = torch.zeros(1, 2, 3), torch.ones(1, 2, 3, dtype=torch.bool)
    gain = torch.zeros(1, 2)
    with pytest.raises(ValueError, match="variant='ppo'"):
        policy_loss(some, some, gain, mask, variant="ppo")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs max_length"):
        policy_loss(some, some, gain, mask)
    with pytest.raises(ValueError, match="one shape"):
        policy_loss(some, some[..., :2], gain, mask, max_length=3)
    with pytest.raises(ValueError, match=r"needs \(B, G\) = \(1, 2\)"):
        policy_loss(some, some, torch.zeros(2), mask, max_length=3)
    with pytest.raises(ValueError, match="kl is None"):
        policy_loss(some, some, gain, mask, max_length=3, beta=0.1)


def hand_case() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One row, two samples: ratios .5, 1, 1.5 for A = 2; .5, 1.5 and a masked factor for A = -1."""
    ratio = torch.tensor([[[0.5, 1.0, 1.5], [0.5, 1.5, 7.0]]], dtype=torch.float64)
    old = torch.tensor([[[-1.0, -2.0, -0.5], [-0.3, -4.0, 0.0]]], dtype=torch.float64)
    mask = torch.tensor([[[True, True, True], [True, True, False]]])
    return ratio.log() + old, old, torch.tensor([[2.0, -1.0]], dtype=torch.float64), mask


def test_surrogate_by_hand() -> None:
    logp, old, gain, mask = hand_case()
    # A = 2: min(1, 1.6) = 1; 2; min(3, 2.4) = 2.4, clipped high.
    # A = -1: min(-.5, -.8) = -.8, clipped low; min(-1.5, -1.2) = -1.5.
    first, second = 1 + 2 + 2.4, -0.8 - 1.5
    loss = policy_loss(logp, old, gain, mask, variant="grpo")
    close(loss.total, -(first / 3 + second / 2) / 2)
    close(policy_loss(logp, old, gain, mask, max_length=5).total, -(first + second) / (2 * 5))
    # dapo clips at 1.28: min(3, 2.56).
    dapo = policy_loss(logp, old, gain, mask, variant="dapo")
    close(dapo.total, -(1 + 2 + 2.56 + second) / 5)
    close(loss.clipped_low, 1 / 5)
    close(loss.clipped_high, 1 / 5)
    close(loss.ratio, (0.5 + 1 + 1.5 + 0.5 + 1.5) / 5)
    assert loss.kl == 0 and torch.equal(loss.total, loss.policy)


def test_clipped_factors_have_no_gradient() -> None:
    logp, old, gain, mask = hand_case()
    logp.requires_grad_()
    policy_loss(logp, old, gain, mask, max_length=1).total.backward()
    # Else -ratio x A / samples: raising what was good, lowering what was bad.
    close(logp.grad, [[[-0.5, -1.0, 0.0], [0.0, 0.75, 0.0]]])


def test_clips_can_differ() -> None:
    logp, old, gain, mask = hand_case()
    loss = policy_loss(logp, old, gain, mask, max_length=1, clip_low=0.6, clip_high=0.1)
    close(loss.total, -(1 + 2 + 2.2 - 0.5 - 1.5) / 2)
    assert loss.clipped_low == 0 and loss.clipped_high == 0.2


def test_divergence_by_hand() -> None:
    half, quarter = math.log(0.5), math.log(0.25)
    # Policy 1/2, reference 1/4: r = 1/2.
    close(kl_k3(torch.tensor(half), torch.tensor(quarter)), 0.5 - 1 + math.log(2))
    close(kl_k3(torch.tensor(quarter), torch.tensor(half)), 2 - 1 - math.log(2))
    ours = torch.tensor([0.5, 0.5, 0.0]).log()
    reference = torch.tensor([0.25, 0.75, 0.0]).log()
    close(kl_exact(ours, reference), 0.5 * math.log(2) + 0.5 * math.log(0.5 / 0.75))
    close(kl_exact(reference, ours), 0.25 * math.log(0.5) + 0.75 * math.log(1.5))
    assert kl_exact(ours, ours) == 0
    assert kl_exact(torch.full((2, 3), -math.inf), torch.full((2, 3), -math.inf)).tolist() == [0, 0]


def test_k3_is_unbiased() -> None:
    torch.manual_seed(0)
    ours, reference = torch.log_softmax(torch.randn(2, 5, dtype=torch.float64), -1)
    assert kl_k3(ours, reference).min() >= 0
    close((ours.exp() * kl_k3(ours, reference)).sum(), kl_exact(ours, reference), 1e-12)


def test_divergence_is_added_and_masked() -> None:
    logp, old, gain, mask = hand_case()
    kl = torch.tensor([[[0.1, 0.2, 0.3], [0.4, 0.5, 99.0]]], dtype=torch.float64)
    loss = policy_loss(logp, old, gain, mask, max_length=5, kl=kl, beta=0.5)
    close(loss.total - loss.policy, 0.5 * 1.5 / 10)
    close(loss.kl, 1.5 / 5)
    loss = policy_loss(logp, old, gain, mask, variant="grpo", kl=kl, beta=0.5)
    close(loss.total - loss.policy, 0.5 * (0.6 / 3 + 0.9 / 2) / 2)
    loss = policy_loss(logp, old, gain, mask, variant="dapo", kl=kl, beta=0.5)
    close(loss.total - loss.policy, 0.5 * 1.5 / 5)


def test_a_divergence_without_weight_is_only_logged() -> None:
    logp, old, gain, mask = hand_case()
    endless = torch.full_like(logp, math.inf)  # the reference can't do what the policy does
    loss = policy_loss(logp, old, gain, mask, max_length=5, kl=endless, beta=0.0)
    assert loss.total == loss.policy and loss.total.isfinite() and loss.kl == math.inf


@pytest.mark.parametrize("variant", ["grpo", "dr_grpo", "dapo"])
def test_what_is_masked_does_not_matter(variant: Any) -> None:
    logp, old, gain, mask = hand_case()
    kl = kl_k3(logp, old - 0.1)
    wanted = policy_loss(logp, old, gain, mask, variant=variant, max_length=3, kl=kl, beta=0.1)
    for rubbish in (5.0, math.inf, -math.inf, NAN):
        spoilt = [values.masked_fill(~mask, rubbish) for values in (logp, old, kl)]
        spoilt[0].requires_grad_()
        loss = policy_loss(
            spoilt[0], spoilt[1], gain, mask, variant=variant, max_length=3, kl=spoilt[2], beta=0.1
        )
        for ours, theirs in zip(loss, wanted, strict=True):
            close(ours.detach(), theirs, 1e-12)
        (gradient,) = torch.autograd.grad(loss.total, spoilt[0])
        assert gradient[~mask].abs().max() == 0 and gradient.isfinite().all()


def test_samples_without_factors() -> None:
    logp, old, gain, mask = hand_case()
    for variant in ("grpo", "dr_grpo", "dapo"):
        loss = policy_loss(logp, old, gain, mask & False, variant=variant, max_length=3)  # type: ignore[arg-type]
        assert all(value == 0 for value in loss)


class TestGradients:
    def setup_method(self) -> None:
        torch.manual_seed(3)
        # Two rows, three samples, four factors of five choices, the last of which some lack.
        self.logits = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
        self.lacking = torch.zeros(2, 3, 4, 5, dtype=torch.bool)
        self.lacking[:, :, 1::2, 4] = True
        self.reference = self.distribution(torch.randn(2, 3, 4, 5, dtype=torch.float64))
        self.drawn = torch.randint(4, (2, 3, 4, 1))
        self.mask = torch.rand(2, 3, 4) > 0.3
        self.gain = torch.randn(2, 3, dtype=torch.float64)

    def distribution(self, logits: Tensor) -> Tensor:
        return torch.log_softmax(logits.masked_fill(self.lacking, -math.inf), -1)

    def loss(self, logits: Tensor, old: Tensor, variant: Any, exact: bool) -> Loss:
        ours = self.distribution(logits)
        logp = ours.gather(-1, self.drawn)[..., 0]
        k3 = kl_k3(logp, self.reference.gather(-1, self.drawn)[..., 0])
        kl = kl_exact(ours, self.reference) if exact else k3
        return policy_loss(
            logp, old, self.gain, self.mask, variant=variant, max_length=4, kl=kl, beta=0.3
        )

    @pytest.mark.parametrize("variant", ["grpo", "dr_grpo", "dapo"])
    @pytest.mark.parametrize("exact", [False, True])
    def test_gradcheck(self, variant: Any, exact: bool) -> None:
        old = self.distribution(self.logits + 0.8 * torch.randn_like(self.logits))
        old = old.gather(-1, self.drawn)[..., 0].detach()
        result = self.loss(self.logits, old, variant, exact)
        # Both clips are at work, and so are factors that they spare.
        assert result.clipped_low > 0 and result.clipped_high > 0
        assert torch.autograd.gradcheck(
            lambda logits: self.loss(logits, old, variant, exact).total, self.logits
        )

    def test_score_gradient_is_that_of_a_categorical(self) -> None:
        """d log p(a) / d logits = onehot(a) - p, weighted by the advantage."""
        ours = self.distribution(self.logits)
        logp = ours.gather(-1, self.drawn)[..., 0]
        loss = policy_loss(logp, logp.detach(), self.gain, self.mask, max_length=4)
        (gradient,) = torch.autograd.grad(loss.total, self.logits)
        onehot = torch.zeros_like(self.logits).scatter(-1, self.drawn, 1.0)
        weight = self.gain[:, :, None, None] * self.mask[..., None]
        close(gradient, -weight * (onehot - ours.exp().detach()) / (2 * 3 * 4), 1e-12)

    def test_divergence_pulls_to_the_reference(self) -> None:
        """d KL / d logits = p (log p - log q - KL)."""
        ours = self.distribution(self.logits)
        kl = kl_exact(ours, self.reference)
        (gradient,) = torch.autograd.grad(kl.sum(), self.logits)
        ours = ours.detach()
        apart = (ours - self.reference).masked_fill(self.lacking, 0.0)
        close(gradient, ours.exp() * (apart - kl[..., None].detach()), 1e-12)

    @pytest.mark.parametrize("variant", ["grpo", "dr_grpo", "dapo"])
    def test_parts_make_the_whole(self, variant: Any) -> None:
        """The mean over two micro-batches of the gradient of each is that of both at once."""
        old = self.distribution(self.logits.detach() + 0.3).gather(-1, self.drawn)[..., 0]
        items = self.mask.sum()
        assert self.mask[0].sum() != self.mask[1].sum()

        def loss(rows: slice, **known: Any) -> Tensor:
            ours = self.distribution(self.logits)[rows]
            logp = ours.gather(-1, self.drawn[rows])[..., 0]
            kl = kl_exact(ours, self.reference[rows])
            return policy_loss(
                logp,
                old[rows],
                self.gain[rows],
                self.mask[rows],
                variant=variant,
                max_length=4,
                kl=kl,
                beta=0.3,
                **known,
            ).total

        (whole,) = torch.autograd.grad(loss(slice(0, 2)), self.logits)
        known = {"num_items": items, "parts": 2}
        halves = [torch.autograd.grad(loss(slice(i, i + 1), **known), self.logits) for i in (0, 1)]
        close((halves[0][0] + halves[1][0]) / 2, whole, 1e-12)


# What follows compares with TRL's own formulas: its trainer's methods are called on an instance
# that has only what they read.


class OneProcess:
    """What TRL asks of accelerate."""

    num_processes, process_index, device, sync_gradients = 1, 0, torch.device("cpu"), True

    def gather(self, values: Tensor) -> Tensor:
        return values.reshape(-1) if values.dim() == 0 else values

    def reduce(self, values: Tensor, reduction: str) -> Tensor:
        return values


def trl_trainer(**attributes: Any) -> Any:
    pytest.importorskip("trl")
    from trl import GRPOTrainer

    trainer = object.__new__(GRPOTrainer)
    given = {
        "accelerator": OneProcess(),
        "model": SimpleNamespace(training=True, is_gradient_checkpointing=False),
        "args": SimpleNamespace(
            delta=None,
            use_bias_correction_kl=False,
            steps_per_generation=1,
            gradient_accumulation_steps=1,
            per_device_train_batch_size=64,
            gradient_checkpointing_kwargs=None,
        ),
        "aux_loss_enabled": False,
        "top_entropy_quantile": 1.0,
        "off_policy_mask_threshold": None,
        "importance_sampling_level": "token",
        "use_vllm": False,
        "_entropy_bonus_enabled": False,
        "_metrics": defaultdict(lambda: defaultdict(list)),
        **attributes,
    }
    for name, value in given.items():
        setattr(trainer, name, value)
    return trainer


def trl_loss(
    logp: Tensor,
    old: Tensor,
    gain: Tensor,
    mask: Tensor,
    reference: Tensor,
    *,
    variant: str,
    beta: float,
    max_length: int,
    clip: tuple[float, float],
    accumulation: int = 1,
    items: Tensor | None = None,
) -> tuple[Tensor, dict[str, list[float]]]:
    trainer = trl_trainer(
        beta=beta,
        loss_type=variant,
        epsilon_low=clip[0],
        epsilon_high=clip[1],
        max_completion_length=max_length,
        current_gradient_accumulation_steps=accumulation,
    )
    trainer.args.steps_per_generation = accumulation
    flat = logp.flatten(0, 1)
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (flat, torch.zeros_like(flat), 0)
    empty = torch.zeros(flat.shape[0], 0, dtype=torch.long)
    loss = trainer._compute_loss(
        None,
        {
            "prompt_ids": empty,
            "prompt_mask": empty,
            "completion_ids": torch.zeros(flat.shape, dtype=torch.long),
            "completion_mask": mask.flatten(0, 1).long(),
            "advantages": gain.flatten(),
            "old_per_token_logps": old.flatten(0, 1),
            "ref_per_token_logps": reference.flatten(0, 1),
            "num_items_in_batch": mask.sum() if items is None else items,
        },
    )
    return loss, trainer._metrics["train"]


def trl_advantages(rewards: Tensor, scaling: str) -> Tensor:
    """Run TRL's way from generation to advantages, with rewards that are given."""
    number = rewards.numel()
    trainer = trl_trainer(
        environment_factories=None,
        environments=None,
        tools=None,
        pad_to_multiple_of=None,
        mask_truncated_completions=False,
        use_liger_kernel=False,
        num_iterations=1,
        beta=0.0,
        num_generations=rewards.shape[1],
        reward_weights=torch.ones(1),
        multi_objective_aggregation="sum_then_normalize",
        scale_rewards=scaling,
        reward_func_names=["reward"],
        reward_funcs=[None],
        log_completions=False,
        log_multimodal=False,
        _tokenizer=SimpleNamespace(pad_token_id=0, decode=str, batch_decode=str),
        _logs=defaultdict(lambda: defaultdict(list)),
        _pending_extra_logs={},
        _pending_metrics={},
        vllm_importance_sampling_correction=False,
    )
    trainer._logs.update(prompt=[], completion=[], advantages=[], images=[])
    ids = [[1, 2]] * number
    trainer._generate = lambda prompts: (ids, ids, None, ["x"] * number, None, {}, None, None)
    trainer._calculate_rewards = lambda *_: rewards.flatten()[:, None].clone()
    output = trainer._generate_and_score_completions([{"prompt": "p"} for _ in range(number)])
    return output["advantages"].reshape(rewards.shape)


@pytest.mark.parametrize("scaling", ["none", "group", "batch"])
def test_advantages_are_those_of_trl(scaling: Any) -> None:
    torch.manual_seed(5)
    rewards = torch.randn(6, 4)
    rewards[1] = 0.25
    rewards[2, 1] = NAN
    close(advantages(rewards, scaling), trl_advantages(rewards, scaling))
    assert advantages(rewards, scaling)[0].abs().min() > 0.01


@pytest.mark.parametrize("variant", ["grpo", "dr_grpo", "dapo"])
@pytest.mark.parametrize("beta", [0.0, 0.04])
@pytest.mark.parametrize("clip", [(0.2, 0.2), (0.1, 0.28)])
def test_loss_is_that_of_trl(variant: Any, beta: float, clip: tuple[float, float]) -> None:
    torch.manual_seed(7)
    shape = (4, 3, 9)
    logp = (-2 * torch.rand(shape)).requires_grad_()
    old, reference = logp.detach() + 0.3 * torch.randn(2, *shape)
    # Every sample has a factor, as TRL's statistics divide by their number.
    mask = torch.arange(9) < torch.randint(1, 10, (4, 3, 1))
    gain = torch.randn(4, 3)
    theirs, logged = trl_loss(
        logp, old, gain, mask, reference, variant=variant, beta=beta, max_length=11, clip=clip
    )
    ours = policy_loss(
        logp,
        old,
        gain,
        mask,
        variant=variant,
        clip_low=clip[0],
        clip_high=clip[1],
        max_length=11,
        kl=kl_k3(logp, reference),
        beta=beta,
    )
    close(ours.total, theirs)
    gradients = [torch.autograd.grad(loss, logp)[0] for loss in (ours.total, theirs)]
    close(gradients[0], gradients[1])
    assert gradients[0].abs().max() > 1e-3
    close(ours.clipped_low, logged["clip_ratio/low_mean"][0])
    close(ours.clipped_high, logged["clip_ratio/high_mean"][0])
    if beta:
        close(ours.kl, logged["kl"][0])


@pytest.mark.parametrize("variant", ["grpo", "dr_grpo", "dapo"])
def test_accumulation_is_that_of_trl(variant: Any) -> None:
    """TRL divides by the steps itself; here `transformers.Trainer` does."""
    torch.manual_seed(8)
    logp, old, reference = -2 * torch.rand(3, 4, 3, 9)
    mask = torch.arange(9) < torch.randint(1, 10, (4, 3, 1))
    gain = torch.randn(4, 3)
    for rows in (slice(0, 2), slice(2, 4)):
        part = (logp[rows], old[rows], gain[rows], mask[rows])
        theirs, _ = trl_loss(
            *part,
            reference[rows],
            variant=variant,
            beta=0.04,
            max_length=9,
            clip=(0.2, 0.2),
            accumulation=2,
            items=mask.sum(),
        )
        ours = policy_loss(
            *part,
            variant=variant,
            clip_high=0.2,
            max_length=9,
            num_items=mask.sum(),
            parts=2,
            kl=kl_k3(logp[rows], reference[rows]),
            beta=0.04,
        )
        close(ours.total / 2, theirs)
