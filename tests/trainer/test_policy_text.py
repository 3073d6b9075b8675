"""The policy that writes boxes, against plain computations with the model itself."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
# ruff: noqa: E402

from policy_rows import ROWS, uniform
from torch import Tensor

from cropzoom.cropper.smolvlm.box_grammar import decode_box
from cropzoom.data.row import Row
from cropzoom.errors import OptionsError
from cropzoom.geometry import Box
from cropzoom.trainer.policies import load_policy
from cropzoom.trainer.policies.policy import Batch
from cropzoom.trainer.policies.text_policy import TextPolicy, answer_frame
from cropzoom.trainer.policies.vlm_policy import VlmCollator
from cropzoom.trainer.vlm import PROMPT

TEXT = re.compile(r" \[(100|\d\d?), (100|\d\d?), (100|\d\d?), (100|\d\d?)\]\.")


def load(folder: Path, **options: object) -> TextPolicy:
    policy = load_policy(folder, "text", **options)
    assert isinstance(policy, TextPolicy)
    # In float64, differences are mistakes and not rounding.
    return policy.double()


@pytest.fixture(scope="module")
def policy(tiny_idefics3: Path) -> TextPolicy:
    return load(tiny_idefics3)


@pytest.fixture(scope="module")
def free(tiny_idefics3: Path) -> TextPolicy:
    return load(tiny_idefics3, constrained=False)


@pytest.fixture(scope="module")
def batch(policy: TextPolicy) -> Batch:
    return policy.collate(ROWS)


def plain_logits(policy: TextPolicy, row: Row, answer: list[int]) -> Tensor:
    """Logits (len(answer), vocabulary) before each token: one unpadded sequence, no cache."""
    one = policy.collate([row])
    ids = torch.cat([one["input_ids"], torch.tensor([answer])], 1)
    out = policy.model(
        input_ids=ids,
        pixel_values=one["pixel_values"].double(),
        pixel_attention_mask=one["pixel_attention_mask"],
        use_cache=False,
    )
    logits: Tensor = out.logits[0, one["input_ids"].shape[1] - 1 : -1]
    return logits


def plain_logp(
    policy: TextPolicy, row: Row, action: Tensor, count: int, temperature: float
) -> Tensor:
    """Log-probabilities of an answer's first `count` tokens, by the definition."""
    ids = action[:count].tolist()
    logits = plain_logits(policy, row, ids)
    if policy.constrained:
        for step in range(count):
            text = policy._decode(ids[:step])
            allowed = [t for t in range(logits.shape[-1]) if may_follow(policy, text, t)]
            rest = torch.ones(logits.shape[-1], dtype=torch.bool)
            rest[allowed] = False
            logits = logits.masked_fill(rest & (torch.arange(count) == step)[:, None], -torch.inf)
    logp = torch.log_softmax(logits / temperature, -1)
    return logp[torch.arange(count), action[:count]]


def may_follow(policy: TextPolicy, text: str, token: int) -> bool:
    """Whether some box begins with `text` and the token, by trying out what could follow."""
    if token == policy.end:
        return bool(TEXT.fullmatch(text))
    if token in policy.processor.tokenizer.all_special_ids:
        return False
    longer = text + policy._decode([token])
    tails = [f"{digits}{', 0' * commas}]." for digits in ("", "0", "00") for commas in range(4)]
    tails += [f"{gap}0{', 0' * commas}]." for gap in (" ", "[", " [") for commas in range(4)]
    candidates = [longer + tail for tail in (*tails, "", ".")]
    return any(
        (found := TEXT.fullmatch(one)) and all(str(int(n)) == n for n in found.groups())
        for one in candidates
    )


def right_padded(batch: Batch) -> Batch:
    """The same batch with its padding moved to the right."""
    moved = copy.copy(batch)
    for name in ("input_ids", "attention_mask"):
        shifted = torch.zeros_like(batch[name])
        for row, mask in enumerate(batch["attention_mask"].bool()):
            shifted[row, : int(mask.sum())] = batch[name][row, mask]
        moved[name] = shifted
    return moved


def test_the_prompt_is_the_papers(tiny_idefics3: Path, policy: TextPolicy) -> None:
    outline = "Outline the region in the image that would help answer this question."
    text = policy.collate.text("Where is <image> Zürich?")
    assert text.endswith(f"<image>Where is image Zürich?\n{outline}<end_of_utterance>\nAssistant:")
    assert text.count("<image>") == 1
    authors = load_policy(tiny_idefics3, "text", capitalize=True)
    assert isinstance(authors, TextPolicy)
    assert "<image>Where is zürich?\nOutline" in authors.collate.text("Where is Zürich?")
    assert (policy.lead, policy.end) == (" ", policy.processor.tokenizer.eos_token_id)


CONTENT = "{% for block in message['content'] %}{{ block['text'] or '<image>' }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "lead", "end"),
    [
        # Nothing before an answer; the end of a turn is said.
        ("{% for message in messages %}" + CONTENT + "<end_of_utterance>{% endfor %}", "", 2),
        ("{% for message in messages %}" + CONTENT + "<|im_start|>{% endfor %}", "", 1),
        # No end is said: the tokenizer's own.
        ("{% for message in messages %}{{ '\\n' }}" + CONTENT + "{% endfor %}", "\n", 2),
    ],
)
def test_lead_and_end_are_read_off_the_template(
    template: str, lead: str, end: int, policy: TextPolicy
) -> None:
    processor = copy.copy(policy.processor)
    processor.chat_template = template
    assert answer_frame(VlmCollator(processor, PROMPT, False)) == (lead, end)
    if lead:
        with pytest.raises(OptionsError, match="constrained=False"):
            TextPolicy(policy.model, processor)
    else:
        other = TextPolicy(policy.model, processor)
        action = other.sample(other.collate(ROWS[:1]), uniform(1, 1, other.noise_length)).actions
        assert other._decode(action[0, 0].tolist()).startswith("[")
    processor.chat_template = None
    with pytest.raises(OptionsError, match="no chat template"):
        TextPolicy(policy.model, processor)


def test_batches_have_different_lengths_and_tiles(batch: Batch) -> None:
    assert len(set(batch["attention_mask"].sum(1).tolist())) == 3
    tiles = batch["pixel_attention_mask"].flatten(2).any(-1).sum(1)
    assert tiles.tolist() == [5, 3, 3]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["policy", "free"])
def test_scores_are_those_of_whole_sequences(
    kind: str, side: str, batch: Batch, request: pytest.FixtureRequest
) -> None:
    policy = request.getfixturevalue(kind)
    given = batch if side == "left" else right_padded(batch)
    rollout = policy.sample(given, uniform(3, 2, policy.noise_length), 0.8)
    counts = rollout.mask.sum(-1)
    if kind == "policy":
        assert len(set(counts.flatten().tolist())) > 1
    scores = policy.score(given, rollout.actions, 0.8)
    policy.zero_grad()
    scores.logp.sum().backward()
    shared = {n: p.grad.clone() for n, p in policy.named_parameters() if p.grad is not None}
    policy.zero_grad()
    for row in range(3):
        for sample in range(2):
            count = int(counts[row, sample])
            wanted = plain_logp(policy, ROWS[row], rollout.actions[row, sample], count, 0.8)
            assert torch.allclose(scores.logp[row, sample, :count].double(), wanted, atol=1e-5)
            assert (scores.logp[row, sample, count:] == 0).all()
            wanted.sum().backward()
    assert torch.equal(scores.mask, rollout.mask)
    assert torch.allclose(rollout.logp, scores.logp, atol=1e-5)
    for name, parameter in policy.named_parameters():
        if parameter.grad is not None:
            scale = float(parameter.grad.abs().max()) + 1e-9
            assert torch.allclose(shared[name], parameter.grad, atol=1e-4 * scale), name


def test_checkpointing_changes_nothing_but_memory(policy: TextPolicy, batch: Batch) -> None:
    actions = policy.sample(batch, uniform(3, 2, policy.noise_length)).actions
    results = []
    saving = copy.deepcopy(policy)
    for one in (policy, saving):
        if one is saving:
            one.gradient_checkpointing_enable({"use_reentrant": False})
            one.train()
            assert one.recomputes
        one.zero_grad()
        scores = one.score(batch, actions)
        (scores.logp.sum() + scores.entropy.sum()).backward()
        grads = {n: p.grad for n, p in one.named_parameters() if p.grad is not None}
        results.append((scores, grads))
    (plain, wanted), (saved, grads) = results
    assert torch.allclose(plain.logp, saved.logp, atol=1e-5)
    assert torch.allclose(plain.entropy, saved.entropy, atol=1e-5)
    assert wanted.keys() == grads.keys()
    for name, grad in wanted.items():
        assert torch.allclose(grad, grads[name], atol=1e-4 * float(grad.abs().max() + 1e-9)), name
    # Sampling needs the cache, so it leaves training mode, and comes back to it.
    assert torch.equal(saving.sample(batch, uniform(3, 2, saving.noise_length)).actions, actions)
    assert saving.training and saving.recomputes


def test_entropy_and_distribution_are_those_of_the_choice(policy: TextPolicy, batch: Batch) -> None:
    actions = policy.sample(batch, uniform(3, 3, policy.noise_length)).actions
    scores = policy.score(batch, actions, 1.3, full=True)
    whole = scores.log_distribution
    assert whole is not None and whole.shape[-1] == len(policy.table.tokens)
    shares = whole.double().exp()
    assert torch.allclose(shares.sum(-1)[scores.mask], torch.tensor(1.0).double(), atol=1e-6)
    brute = -torch.special.xlogy(shares, shares).sum(-1) * scores.mask
    assert torch.allclose(brute.float(), scores.entropy, atol=1e-5)
    # A bracket or a comma is no choice; the first digit is.
    assert (scores.entropy[..., :2] == 0).all() and (scores.entropy[..., 2] > 0).all()


def test_constrained_answers_are_always_boxes(policy: TextPolicy, batch: Batch) -> None:
    rollout = policy.sample(batch, uniform(3, 40, policy.noise_length, seed=3), 3.0)
    low, high = rollout.boxes[..., :2], rollout.boxes[..., 2:]
    assert (low >= 0).all() and (high <= 1).all() and (high - low >= 0.01 - 1e-6).all()
    numbers = set()
    for action, mask, box in zip(
        rollout.actions.flatten(0, 1),
        rollout.mask.flatten(0, 1),
        rollout.boxes.flatten(0, 1),
        strict=True,
    ):
        *written, last = action[mask].tolist()
        found = TEXT.fullmatch(policy._decode(written))
        assert found and last == policy.end
        corners = [int(n) / 100 for n in found.groups()]
        wanted = Box.ordered(*corners)
        assert box.tolist() == pytest.approx([wanted.x0, wanted.y0, wanted.x1, wanted.y1])
        numbers |= set(found.groups())
    assert not any(n.startswith("0") for n in numbers - {"0"})


def test_free_answers_that_are_no_boxes_give_none(free: TextPolicy, batch: Batch) -> None:
    rollout = free.sample(batch, uniform(3, 4, free.noise_length))
    assert rollout.boxes.isnan().all()
    assert free.best(batch).shape == (3, 4)
    # A box that was written freely is one.
    answer = free._encode("[60, 3, 12, 40].")
    actions = torch.full((1, 2, free.noise_length), free.pad)
    actions[0, 0, : len(answer)] = torch.tensor(answer)
    actions[0, 1, : len(answer) - 1] = torch.tensor(answer[1:])
    boxes = free._boxes(actions, free._mask(actions))
    assert boxes[0, 0].tolist() == pytest.approx([0.12, 0.03, 0.6, 0.4])
    # Without the leading space it still is; with another number it isn't.
    assert boxes[0, 1].isfinite().all()
    broken = free._encode("[60, 3, 2, 4, 1].")
    actions[0, 0, : len(broken)] = torch.tensor(broken)
    assert free._boxes(actions, free._mask(actions))[0, 0].isnan().all()


def test_nothing_after_the_end_counts(free: TextPolicy, batch: Batch) -> None:
    noise = uniform(3, 2, free.noise_length)
    drawn = free.sample(batch, noise, 9.0)
    # Numbers that end each row's second sample after its first token.
    whole = free.score(batch, drawn.actions, 9.0, full=True).log_distribution
    shares = whole[:, 1, 1].double().exp().cumsum(-1)
    noise[:, 1, 1] = shares[:, free.end - 1 : free.end + 1].mean(-1).detach()
    ended = free.sample(batch, noise, 9.0)
    assert (ended.actions[:, 1, 1] == free.end).all() and (
        ended.actions[:, 1, 2:] == free.pad
    ).all()
    assert torch.equal(ended.mask[:, 1].sum(-1), torch.full((3,), 2))
    assert torch.equal(ended.actions[:, 0], drawn.actions[:, 0])
    scores = free.score(batch, ended.actions, 9.0)
    assert torch.equal(scores.mask, ended.mask)
    assert torch.allclose(scores.logp, ended.logp, atol=1e-5)
    for part in (ended.logp, scores.logp, scores.entropy):
        assert (part[~ended.mask] == 0).all() and (part[ended.mask] != 0).all()


def test_other_rows_of_a_batch_change_nothing(policy: TextPolicy, batch: Batch) -> None:
    noise = uniform(3, 4, policy.noise_length, seed=5)
    together = policy.sample(batch, noise)
    for index, row in enumerate(ROWS):
        alone = policy.sample(policy.collate([row]), noise[index : index + 1])
        assert torch.equal(alone.actions[0], together.actions[index])
        assert torch.allclose(alone.logp[0], together.logp[index], atol=1e-5)
    # Nor do other samples of a row.
    fewer = policy.sample(batch, noise[:, 1:3])
    assert torch.equal(fewer.actions, together.actions[:, 1:3])


def test_scoring_boxes_that_were_never_drawn_is_refused(policy: TextPolicy, batch: Batch) -> None:
    actions = torch.full((3, 1, policy.noise_length), policy.end)
    with pytest.raises(ValueError, match="no box"):
        policy.score(batch, actions)


def test_greedy_writing_is_transformers_own(free: TextPolicy) -> None:
    for row in ROWS:
        one = free.collate([row])
        written = free._write(one, 1, lambda logits, _: logits.argmax(-1))
        out = free.model.generate(
            input_ids=one["input_ids"],
            attention_mask=one["attention_mask"],
            pixel_values=one["pixel_values"].double(),
            pixel_attention_mask=one["pixel_attention_mask"],
            do_sample=False,
            max_new_tokens=free.noise_length,
        )
        count = int(written.mask.sum())
        own = out[0, one["input_ids"].shape[1] :]
        assert own[:count].tolist() == written.actions[0, 0, :count].tolist()


def test_the_best_box_is_the_runtimes(policy: TextPolicy, batch: Batch) -> None:
    best, grammar = policy.best(batch), policy._grammar()
    for row, box in zip(ROWS, best, strict=True):
        fed: list[int] = []

        def step(tokens: list[int], row: Row = row, fed: list[int] = fed) -> np.ndarray:
            fed += tokens
            # The token that comes next stands for any: only what is before it counts.
            logits = plain_logits(policy, row, [*fed, policy.end])[-1]
            return logits[list(grammar.tokens)].detach().numpy()

        wanted = decode_box(grammar, step).box
        edges = [wanted.x0, wanted.y0, wanted.x1, wanted.y1]
        assert box.tolist() == pytest.approx(edges, abs=1e-6)


def test_images_are_read_once_and_sharded_runs_stay_in_step(
    policy: TextPolicy, batch: Batch
) -> None:
    tiles: list[int] = []
    passes: list[int] = []
    vision = policy.backbone.model.vision_model.register_forward_pre_hook(
        lambda _, args, kwargs: tiles.append(len(kwargs["pixel_values"])), with_kwargs=True
    )
    language = policy.language.register_forward_hook(lambda *_: passes.append(1))
    try:
        noise = uniform(3, 5, policy.noise_length)
        policy.sample(batch, noise)
        assert tiles == [5 + 3 + 3] and len(passes) < policy.noise_length
        passes.clear()
        policy.synced = True
        policy.sample(batch, noise)
        assert len(passes) == policy.noise_length
        tiles.clear()
        passes.clear()
        actions = policy.sample(batch, noise).actions
        passes.clear()
        policy.score(batch, actions)
        assert tiles == [11, 11] and len(passes) == 2
    finally:
        policy.synced = False
        vision.remove()
        language.remove()


def test_nll_is_the_mean_over_the_answers_tokens(policy: TextPolicy, batch: Batch) -> None:
    boxes = [Box(0.0, 0.125, 0.5, 1.0), Box(0.29, 0.57, 0.58, 0.99), Box(0.01, 0.02, 0.03, 0.04)]
    losses = policy.nll(batch, torch.tensor([[b.x0, b.y0, b.x1, b.y1] for b in boxes]))
    for row, text, loss in zip(
        ROWS, ("[0, 12, 50, 100].", "[29, 57, 58, 99].", "[1, 2, 3, 4]."), losses, strict=True
    ):
        answer = policy.processor.tokenizer(f" {text}<end_of_utterance>")["input_ids"]
        wanted = torch.nn.functional.cross_entropy(
            plain_logits(policy, row, answer), torch.tensor(answer)
        )
        assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    with pytest.raises(ValueError, match="can't say so"):
        policy.nll(batch, torch.full((3, 4), torch.nan))


def test_sft_makes_it_write_the_target(tiny_idefics3: Path) -> None:
    policy = load_policy(tiny_idefics3, "text", constrained=False)
    batch = policy.collate(ROWS[:2])
    target = torch.tensor([[0.12, 0.3, 0.45, 0.67], [0.5, 0.0, 1.0, 0.09]])
    optimizer = torch.optim.Adam(policy.parameters(), 3e-3)
    for _ in range(60):
        loss = policy.train()("nll", batch, target).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.02:
            break
    # Unconstrained: the form has been learned, too.
    assert torch.allclose(policy.best(batch), target, atol=1e-6)
