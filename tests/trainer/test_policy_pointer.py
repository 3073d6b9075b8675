"""The policy that points: its grid, its one pass, and what it can be taught."""

import copy
import pickle
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
# ruff: noqa: E402

from policy_rows import ROWS, noise_row, uniform

from cropzoom.errors import OptionsError
from cropzoom.trainer.health import box_iou
from cropzoom.trainer.policies import load_policy
from cropzoom.trainer.policies.pointer_policy import PointerPolicy
from cropzoom.trainer.policies.policy import Batch


def load(folder: Path, seed: int = 0, **options: object) -> PointerPolicy:
    torch.manual_seed(seed)
    policy = load_policy(folder, "pointer", **options)
    assert isinstance(policy, PointerPolicy)
    return policy


@pytest.fixture(scope="module")
def policy(tiny_idefics3: Path) -> PointerPolicy:
    return load(tiny_idefics3).double()


@pytest.fixture(scope="module")
def batch(policy: PointerPolicy) -> Batch:
    return policy.collate(ROWS)


def test_tiles_make_one_grid_row_by_row(policy: PointerPolicy, batch: Batch) -> None:
    # A tile has 2 x 2 tokens: the images have 2 x 2, 1 x 2 and 2 x 1 tiles.
    assert batch["grid"].tolist() == [[4, 4], [2, 4], [4, 2]]
    tokens = policy.processor.tokenizer.convert_ids_to_tokens
    for row, (down, across) in enumerate(batch["grid"].tolist()):
        ids = batch["input_ids"][row].tolist()
        places = batch["image_token"][row, : down * across].view(down, across)
        assert all(ids[place] == policy.processor.image_token_id for place in places.flatten())
        for r in range(down):
            for c in range(across):
                # The nearest mark before a token names its tile; the rest is its place in it.
                mark = int(places[r, c])
                while ids[mark] == policy.processor.image_token_id:
                    mark -= 1
                assert tokens(ids[mark]) == f"<row_{r // 2 + 1}_col_{c // 2 + 1}>"
                assert int(places[r, c]) - mark == 1 + r % 2 * 2 + c % 2


def test_without_tiles_the_one_image_is_the_grid(tiny_idefics3: Path) -> None:
    whole = load(tiny_idefics3, image_splitting=False)
    batch = whole.collate(ROWS)
    assert batch["grid"].tolist() == [[2, 2]] * 3
    first = (batch["input_ids"] == whole.processor.image_token_id).int().argmax(1)
    assert torch.equal(batch["image_token"], first[:, None] + torch.arange(4))


def test_logits_are_query_times_key_in_the_cells_order(policy: PointerPolicy, batch: Batch) -> None:
    distribution = policy._point(batch)
    for row in range(3):
        one = policy.collate([ROWS[row]])
        states = policy.backbone.model(
            input_ids=one["input_ids"],
            pixel_values=one["pixel_values"].double(),
            pixel_attention_mask=one["pixel_attention_mask"],
        ).last_hidden_state[0]
        down, across = (4 * n for n in one["grid"][0].tolist())
        logits = torch.zeros(down, across, dtype=torch.float64)
        edges = torch.zeros(down, across, 4, 17, dtype=torch.float64)
        for r in range(down):
            for c in range(across):
                token = states[one["image_token"][0, r // 4 * (across // 4) + c // 4]]
                cell = r % 4 * 4 + c % 4
                query = policy.query(states[-1])[cell * policy.width : (cell + 1) * policy.width]
                logits[r, c] = query @ policy.key(token) / policy.width**0.5
                hidden = (
                    policy.edge_query(states[-1])
                    + policy.edge_token(token)
                    + policy.edge_cell.weight[cell]
                )
                out = policy.edge_out(torch.nn.functional.gelu(hidden))
                edges[r, c] = out.view(4, 17).log_softmax(-1)
        wanted = logits.flatten().log_softmax(0)
        assert torch.allclose(distribution.cells[row, : len(wanted)].double(), wanted, atol=1e-5)
        cells = torch.tensor([[0, 5, down * across - 1]]).expand(3, -1)
        found = distribution.edges(cells)[row].double()
        assert torch.allclose(found, edges.flatten(0, 1)[cells[0]], atol=1e-5)
        last = distribution.grid.centres(cells)[row, -1]
        assert torch.allclose(last, torch.tensor([1 - 0.5 / across, 1 - 0.5 / down]))


def test_samples_are_scored_as_they_were_drawn(policy: PointerPolicy, batch: Batch) -> None:
    passes: list[int] = []
    hook = policy.language.register_forward_hook(lambda *_: passes.append(1))
    rollout = policy("sample", batch, uniform(3, 30, 5), 0.8)
    hook.remove()
    assert len(passes) == 1
    scores = policy("score", batch, rollout.actions, 0.8, full=True)
    assert torch.allclose(rollout.logp, scores.logp, atol=1e-5) and rollout.mask.all()
    assert scores.log_distribution is not None
    own = scores.log_distribution[:, 0, 0].isfinite().sum(-1)
    assert own.tolist() == [16 * 16, 8 * 16, 16 * 8]
    low, high = rollout.boxes[..., :2], rollout.boxes[..., 2:]
    assert (low >= 0).all() and (high <= 1).all() and (high - low >= 0.01 - 1e-6).all()


def test_other_rows_and_padding_change_nothing(policy: PointerPolicy, batch: Batch) -> None:
    noise = uniform(3, 20, 5)
    together = policy.sample(batch, noise)
    for index, row in enumerate(ROWS):
        alone = policy.sample(policy.collate([row]), noise[index : index + 1])
        assert torch.equal(alone.actions[0], together.actions[index])
        assert torch.allclose(alone.logp[0], together.logp[index], atol=1e-5)
    right = copy.copy(batch)
    for name in ("input_ids", "attention_mask", "image_token"):
        right[name] = batch[name].clone()
    for row, mask in enumerate(batch["attention_mask"]):
        shift = int((1 - mask).sum())
        for name in ("input_ids", "attention_mask"):
            right[name][row] = batch[name][row].roll(-shift)
        right["image_token"][row] = (batch["image_token"][row] - shift).clamp_min(0)
    assert torch.equal(policy.sample(right, noise).actions, together.actions)


def test_every_parameter_that_trains_gets_a_gradient(tiny_idefics3: Path) -> None:
    for lora in (None, {"r": 4, "alpha": 8, "dropout": 0.5}):
        policy = load(tiny_idefics3, lora=lora).train()
        policy.gradient_checkpointing_enable({"use_reentrant": False})
        batch = policy.collate(ROWS)
        policy.nll(batch, torch.tensor([[0.2, 0.2, 0.5, 0.4]]).expand(3, -1)).sum().backward()
        for name, parameter in policy.named_parameters():
            assert (parameter.grad is not None) == parameter.requires_grad, name
        trained = {n.split(".")[0] for n, p in policy.named_parameters() if p.requires_grad}
        assert {"query", "key", "edge_out", "edge_cell"} < trained
        names = [n for n, p in policy.named_parameters() if p.requires_grad and "model" in n]
        assert all("lora_" in n for n in names) if lora else "lm_head" not in " ".join(names)
        # Dropout is for training alone, and never for samples.
        noise = uniform(3, 5, 5)
        first, again = policy.sample(batch, noise), policy.sample(batch, noise)
        assert torch.equal(first.logp, again.logp) and policy.training


def test_sft_points_at_the_targets(tiny_idefics3: Path) -> None:
    policy = load(tiny_idefics3)
    batch = policy.collate(ROWS)
    target = torch.tensor([[0.1, 0.1, 0.3, 0.2], [0.5, 0.6, 0.9, 0.95], [0.0, 0.0, 1.0, 1.0]])
    optimizer = torch.optim.Adam(policy.parameters(), 3e-3)
    for _ in range(40):
        loss = policy.train()("nll", batch, target).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    best = policy.best(batch)
    assert (box_iou(best, target) > 0.6).all()
    assert (best[:, :2] <= target[:, :2] + 1e-6).all() and (best[:, 2:] >= target[:, 2:]).all()
    with pytest.raises(ValueError, match="can't say so"):
        policy.nll(batch, torch.full((3, 4), torch.nan))


def test_reinforcement_finds_the_reward(tiny_idefics3: Path) -> None:
    """Plain REINFORCE with the group's mean as baseline; no target is shown."""
    policy = load(tiny_idefics3, subcells=1, reach=(0.05, 0.8, 6))
    batch = policy.collate([noise_row(7, 64, 64, "Where?")])
    hidden = torch.tensor([[0.55, 0.5, 0.95, 0.8]])
    optimizer = torch.optim.Adam(policy.parameters(), 3e-3)
    earned = []
    for step in range(60):
        rollout = policy.sample(batch, uniform(1, 32, 5, seed=step))
        reward = box_iou(rollout.boxes, hidden[:, None])
        earned.append(reward.mean().item())
        gain = (reward - reward.mean()) / (reward.std() + 1e-3)
        logp = policy.score(batch, rollout.actions).logp.sum(-1)
        optimizer.zero_grad()
        (-(gain * logp).mean()).backward()
        optimizer.step()
    assert earned[0] < 0.25 and sum(earned[-5:]) / 5 > 0.6


def test_workers_get_no_weights(policy: PointerPolicy, batch: Batch) -> None:
    packed = pickle.dumps(policy.collate)
    again = pickle.loads(packed)(ROWS)
    assert all(torch.equal(tensor, batch[name]) for name, tensor in again.items())
    assert b"edge_out" not in packed and b"lm_head" not in packed


def test_half_precision_is_for_the_backbone_alone(tiny_idefics3: Path) -> None:
    half = load(tiny_idefics3, dtype="bfloat16")
    batch = half.collate(ROWS[:1])
    rollout = half.sample(batch, uniform(1, 4, 5))
    assert half.backbone.dtype == torch.bfloat16 and rollout.logp.dtype == torch.float32
    assert torch.allclose(half.score(batch, rollout.actions).logp, rollout.logp)


def test_options_are_checked(tiny_idefics3: Path) -> None:
    for wrong in ({"subcells": 0}, {"reach": (0.5, 0.1, 9)}, {"quantile": 1}, {"prompt": "Where?"}):
        with pytest.raises(OptionsError):
            load(tiny_idefics3, **wrong)
    with pytest.raises(OptionsError, match="colour"):
        load(tiny_idefics3, colour="red")
    with pytest.raises(OptionsError, match="kind='pointer'"):
        load_policy(tiny_idefics3)
    with pytest.raises(OptionsError, match="must be one of"):
        load_policy(tiny_idefics3, kind="oracle")
