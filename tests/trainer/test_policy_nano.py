"""Nano as a policy: the runtime's boxes, conditional on the answer being there."""

import functools
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from torch import Tensor, nn

from cropzoom.data.row import Row
from cropzoom.errors import CropperError, OptionsError
from cropzoom.trainer.health import box_iou
from cropzoom.trainer.nano.network import CELL, Nano, NanoConfig
from cropzoom.trainer.nano.pages import PageOptions, render_page
from cropzoom.trainer.policies import load_policy
from cropzoom.trainer.policies.nano_policy import NanoPolicy

TINY = NanoConfig(
    stem=8,
    middle=8,
    wide=16,
    middle_blocks=1,
    wide_blocks=1,
    embed=16,
    text_width=16,
    text_layers=1,
    heads=2,
    implied=1,
    point=16,
)


def page_row(seed: int, width: int, height: int) -> Row:
    page = render_page(random.Random(seed), PageOptions(width, height, max_text=18, questions=2))
    asked = ["What is the total?", "Invoice number", "When does it leave?", "Name of the client"]
    return Row(f"page-{seed}", page.image, asked[seed % 4], ("?",))


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    # No side is a multiple of 32 but one; all differ.
    return [page_row(1, 200, 170), page_row(2, 96, 240), page_row(3, 310, 64)]


@pytest.fixture
def tiny() -> NanoPolicy:
    torch.manual_seed(0)
    return NanoPolicy(Nano(TINY))


@pytest.fixture(scope="module")
def bundled() -> NanoPolicy:
    pytest.importorskip("onnx")
    policy = load_policy("nano")
    assert isinstance(policy, NanoPolicy)
    return policy


def noise_for(policy: NanoPolicy, rows: int, group: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(rows, group, policy.noise_length, dtype=torch.float64, generator=draw)


def test_the_best_box_is_what_the_runtime_predicts(
    bundled: NanoPolicy, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    from cropzoom import load_cropper
    from cropzoom.cropper.nano import nano_cropper

    # The reader in 8 bits is only nearly the same.
    exact = functools.partial(nano_cropper.load_graphs, exact=True)
    monkeypatch.setattr(nano_cropper, "load_graphs", exact)

    large = page_row(4, 1500, 1100)
    wordless = Row("w", rows[0].image, "?!", ("?",))
    given = [*rows, large, wordless]
    boxes = bundled.best(bundled.collate(given))
    with load_cropper("nano") as cropper:
        for row, box in zip(given[:-1], boxes, strict=False):
            wanted = cropper.predict(row.load(), row.question)[0].box
            edges = [wanted.x0, wanted.y0, wanted.x1, wanted.y1]
            assert box.tolist() == pytest.approx(edges, abs=1e-5), row.id
        assert cropper.predict(wordless.load(), wordless.question) == []
    assert boxes[-1].isnan().all()


def test_what_the_runtime_needs_is_kept(bundled: NanoPolicy, tmp_path: Path) -> None:
    from cropzoom.cropper.folder import find_folder
    from cropzoom.cropper.manifest import PointerManifest, read_manifest

    manifest = read_manifest(find_folder("nano"))
    assert isinstance(manifest, PointerManifest)
    bundled.save_pretrained(tmp_path / "mine")
    again = NanoPolicy.from_pretrained(tmp_path / "mine")
    assert again.confidence == manifest.decode.temperature
    with pytest.raises(OptionsError, match="confidence=0"):
        NanoPolicy(Nano(TINY), confidence=0)


def test_samples_are_scored_as_they_were_drawn(bundled: NanoPolicy, rows: list[Row]) -> None:
    batch = bundled.collate(rows)
    rollout = bundled("sample", batch, noise_for(bundled, 3, 20), 0.8)
    scores = bundled("score", batch, rollout.actions, 0.8, full=True)
    assert torch.allclose(rollout.logp, scores.logp, atol=1e-5) and rollout.mask.all()
    assert scores.log_distribution is not None
    everything = scores.log_distribution.double().exp().sum(-1)
    assert torch.allclose(everything, torch.ones_like(everything), atol=1e-6)
    low, high = rollout.boxes[..., :2], rollout.boxes[..., 2:]
    assert (low >= 0).all() and (high <= 1).all() and (high - low >= 0.01 - 1e-6).all()
    # Only cells of the page itself, as the net sees it.
    width, height = batch["size"][1].tolist()
    cells = -(-width // 16) * -(-height // 16)
    assert int(scores.log_distribution[1, 0, 0].isfinite().sum()) == cells < 20 * 20


def test_other_pages_of_a_batch_change_nothing(bundled: NanoPolicy, rows: list[Row]) -> None:
    noise = noise_for(bundled, 3, 10)
    together = bundled.sample(bundled.collate(rows), noise)
    for index, row in enumerate(rows):
        alone = bundled.sample(bundled.collate([row]), noise[index : index + 1])
        assert torch.equal(alone.actions[0], together.actions[index])
        assert torch.allclose(alone.boxes[0], together.boxes[index], atol=1e-6)


def test_a_picture_is_encoded_once_for_its_rows(tiny: NanoPolicy, rows: list[Row]) -> None:
    more = [replace(rows[0], question="Who sold it?"), *rows, replace(rows[0], question="phone")]
    boxes = torch.tensor([[0.2, 0.3, 0.5, 0.4]] * len(more))
    alone = torch.cat([tiny.nll(tiny.collate([row]), boxes[:1]) for row in more])
    pictures = []
    hook = tiny.net.pages.register_forward_pre_hook(
        lambda _, inputs: pictures.append(len(inputs[0]))
    )
    together = tiny.nll(tiny.collate(more), boxes)
    hook.remove()
    assert sum(pictures) == len(rows)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_boxes_are_grown_and_targets_are_shrunk(tiny: NanoPolicy) -> None:
    size = torch.tensor([[200, 100]])
    raw = torch.tensor([[0.4, 0.4, 0.6, 0.6]])
    # 40 x 20 px: a quarter more, then 16 px a side; 82 x 57 px about the same middle.
    grown = tiny._grow(raw, size)
    assert torch.allclose(grown, torch.tensor([[59 / 200, 21.5 / 100, 141 / 200, 78.5 / 100]]))
    assert torch.allclose(tiny._shrink(grown, size), raw)
    small = tiny._shrink(torch.tensor([[0.5, 0.5, 0.52, 0.9]]), size)
    assert torch.allclose(small[:, [0, 2]], torch.tensor(0.51))


def test_nll_says_whether_and_where(tiny: NanoPolicy, rows: list[Row]) -> None:
    batch = tiny.collate(rows[:2])
    pointing = tiny.net(
        batch["image"][:1, :, :192, :224].float(), batch["words"][:1], batch["word_mask"][:1]
    )
    own = pointing.cells[0, : -(-170 // CELL), : -(-200 // CELL)].flatten()
    every = torch.log_softmax(torch.cat([own, pointing.absent[0]]), 0)
    box, nowhere = torch.tensor([0.2, 0.2, 0.6, 0.5]), torch.full((4,), torch.nan)
    loss = tiny.nll(batch, torch.stack([nowhere, box]))
    assert torch.allclose(loss[0], -every[-1], atol=1e-5)
    there = tiny.nll(batch, torch.stack([box, box]))[0]
    # Conditional on being there, plus being there.
    distribution, _ = tiny._point(batch)
    shrunk = tiny._shrink(box.expand(2, -1), batch["size"])
    present = torch.logsumexp(every[:-1], 0)
    assert torch.allclose(there, distribution.nll(shrunk)[0] - present, atol=1e-5)
    # Boxes that are to hold the answer are learnt as they are: the growth is their margin.
    priced = NanoPolicy(tiny.net, price=3.0).nll(batch, torch.stack([box, box]))[0]
    unshrunk = distribution.nll(box.expand(2, -1))[0] - present
    assert torch.allclose(priced, unshrunk, atol=1e-5)
    loss.sum().backward()
    assert all(p.grad is not None for p in tiny.parameters() if p.requires_grad)
    assert all(p.isfinite().all() for p in (q.grad for q in tiny.parameters()) if p is not None)


def test_absence_is_no_part_of_what_is_sampled(tiny: NanoPolicy, rows: list[Row]) -> None:
    batch = tiny.collate(rows)
    before = tiny.sample(batch, noise_for(tiny, 3, 5))
    with torch.no_grad():
        tiny.net.pointer.absent[-1].bias += 50.0
    after = tiny.sample(batch, noise_for(tiny, 3, 5))
    assert torch.equal(before.actions, after.actions) and torch.equal(before.logp, after.logp)
    scores = tiny.score(batch, after.actions)
    scores.logp.sum().backward()
    # DDP wants a gradient for each; that of the absent logit is none.
    assert all(p.grad is not None for p in tiny.parameters() if p.requires_grad)
    assert tiny.net.pointer.absent[-1].bias.grad.abs().sum() == 0


def test_training_mode_keeps_the_statistics(tiny: NanoPolicy, rows: list[Row]) -> None:
    norm = next(m for m in tiny.modules() if isinstance(m, nn.BatchNorm2d))
    batch, box = tiny.collate(rows), torch.tensor([[0.1, 0.1, 0.5, 0.5]]).expand(3, -1)
    evaluated, mean = tiny.eval().nll(batch, box), norm.running_mean.clone()
    trained = tiny.train().nll(batch, box)
    assert tiny.training and torch.equal(evaluated, trained)
    assert torch.equal(mean, norm.running_mean)


def test_sft_leads_to_the_target(tiny: NanoPolicy, rows: list[Row]) -> None:
    batch = tiny.collate(rows[2:])
    target = torch.tensor([[0.1, 0.1, 0.5, 0.9]])
    optimizer = torch.optim.Adam([p for p in tiny.parameters() if p.requires_grad], 0.02)
    start = float(box_iou(tiny.best(batch), target))
    for _ in range(60):
        loss = tiny.train()("nll", batch, target).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert start < 0.6 < 0.75 < float(box_iou(tiny.best(batch), target))


def test_a_saved_policy_is_the_same(tiny: NanoPolicy, rows: list[Row], tmp_path: Path) -> None:
    tiny.scale, tiny.pad_px, tiny.join = 1.0, 4.0, 0.3
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "trainer_state.json").write_text("{}")
    tiny.save_pretrained(tmp_path / "p")
    again = load_policy(tmp_path / "p")
    batch = again.collate(rows)
    assert torch.equal(again.best(batch), tiny.best(batch))
    names = sorted(path.name for path in (tmp_path / "p").iterdir())
    assert names == ["model.safetensors", "policy.json", "trainer_state.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
    wider = load_policy(tmp_path / "p", scale=2.0)
    assert isinstance(wider, NanoPolicy) and (wider.scale, wider.pad_px) == (2.0, 4.0)
    assert wider.join == 0.3


def test_broken_folders_are_refused(tiny: NanoPolicy, tmp_path: Path) -> None:
    tiny.save_pretrained(tmp_path)
    said = json.loads((tmp_path / "policy.json").read_text())

    def with_file(**changes: object) -> Path:
        (tmp_path / "policy.json").write_text(json.dumps(said | changes))
        return tmp_path

    with pytest.raises(CropperError, match="schema"):
        load_policy(with_file(schema=99))
    with pytest.raises(CropperError, match="unknown kind"):
        load_policy(with_file(kind="oracle"))
    with pytest.raises(CropperError, match="can't be made text"):
        load_policy(with_file(), kind="text")
    with pytest.raises(CropperError, match="no nano this cropzoom knows"):
        load_policy(with_file(options=said["options"] | {"net": {"stem": 9}}))
    with pytest.raises(CropperError, match="no nano this cropzoom knows"):
        load_policy(with_file(options=said["options"] | {"net": {"layers": 9}}))
    with pytest.raises(OptionsError, match="colour"):
        load_policy(with_file(), colour="red")
    with pytest.raises(OptionsError, match="quantile"):
        load_policy(with_file(), quantile=1.5)
    with pytest.raises(OptionsError, match="join and price > 0 or None"):
        load_policy(with_file(), join=0.0)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(CropperError, match="can't read the weights"):
        load_policy(with_file())


def test_an_export_leaves_out_a_reader_that_8_bits_spoil(
    tiny: NanoPolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    from cropzoom.export import nano as nano_export
    from cropzoom.export.any_checkpoint import export_checkpoint
    from cropzoom.export.build import LadderError
    from cropzoom.export.ladder import Ladder, Rung

    tried = []

    def export_nano(*_: object, fast: bool = True, **settings: object) -> Ladder:
        tried.append((fast, settings["temperature"]))
        ladder = Ladder("fp32", "cpu")
        if fast:
            ladder.rungs = [Rung(nano_export.FAST_RUNG, "mean IoU", 0.7, 0.8, at_least=True)]
            raise LadderError(ladder)
        return ladder

    monkeypatch.setattr(nano_export, "export_nano", export_nano)
    NanoPolicy(tiny.net, confidence=0.4).save_pretrained(tmp_path / "mine")
    assert export_checkpoint(tmp_path / "mine", tmp_path / "out") is not None
    assert tried == [(True, 0.4), (False, 0.4)]
