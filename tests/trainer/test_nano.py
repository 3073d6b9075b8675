"""The net, its targets, its recipe and its export."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from cropzoom import load_cropper
from cropzoom.cropper.folder import find_folder
from cropzoom.cropper.manifest import FAST_NAME, PointerManifest, read_manifest
from cropzoom.cropper.nano.meanings import Meanings
from cropzoom.cropper.nano.nano_graphs import load_graphs
from cropzoom.export import nano as nano_export
from cropzoom.export.build import LadderError
from cropzoom.trainer.nano import train as nano_train
from cropzoom.trainer.nano.batches import Batches, cell_cover, edge_bins, make_batch
from cropzoom.trainer.nano.checkpoint import load_checkpoint
from cropzoom.trainer.nano.layers import undilated
from cropzoom.trainer.nano.nano_losses import pointing_losses, reading_losses
from cropzoom.trainer.nano.network import EDGE_BINS, Nano, NanoConfig, Pointing
from cropzoom.trainer.nano.pages import PageOptions, render_page

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


@pytest.fixture(scope="module")
def batch():  # type: ignore[no-untyped-def]
    rng = random.Random(5)
    options = PageOptions(256, 192, max_text=16, questions=4)
    return make_batch([render_page(rng, options) for _ in range(2)], rng)


def test_cover_by_hand() -> None:
    # 8..40 x 16..24: half of cell 0, all of 1, half of 2, in row 1.
    cover = cell_cover((8, 16, 40, 24), 4, 4)
    assert np.allclose(cover[1], [0.25, 0.5, 0.25, 0.0]) and cover[[0, 2, 3]].sum() == 0
    off_the_page = cell_cover((100, 100, 120, 120), 4, 4)
    assert off_the_page.sum() == 1 and off_the_page[3, 3] == 1


def test_edge_bins_reach_the_edges() -> None:
    # Cell (0, 1) is centred at (24, 8). Left edge 24 px away -> the first bin >= 24 is 25.
    bins = [EDGE_BINS[i] for i in edge_bins(0, 1, (0, 2, 30, 5000))]
    assert bins == [25.0, 6.0, 6.0, EDGE_BINS[-1]]


def test_boxes_from_logits_by_hand() -> None:
    cells = torch.full((1, 3, 4), -9.0)
    cells[0, 1, 2] = 5.0  # centre (40, 24)
    edges = torch.full((1, 4, len(EDGE_BINS), 3, 4), -9.0)
    for side, index in enumerate((2, 0, 4, 1)):  # 13, 6, 25, 9 px
        edges[0, side, index] = 9.0
    box = nano_train.pointed_boxes(Pointing(cells, torch.zeros(1, 1), edges), 64, 48)
    # As decoded at run time: grown by 8 px on each side, within the page.
    assert box[0].tolist() == pytest.approx([27 - 8, 18 - 8, 64, 33 + 8], abs=1e-3)


def test_targets_point_into_the_region(batch) -> None:  # type: ignore[no-untyped-def]
    assert torch.allclose(batch.target.sum(1), torch.ones(len(batch.target)))
    for row, cy, cx, *bins in batch.edge.tolist():
        x0, y0, x1, y1 = batch.region[row].tolist()
        x, y = (cx + 0.5) * 16, (cy + 0.5) * 16
        left, top, right, bottom = (EDGE_BINS[i] for i in bins)
        assert x - left <= x0 + 1e-3 and y - top <= y0 + 1e-3
        assert x + right >= x1 - 1e-3 and y + bottom >= y1 - 1e-3


def test_a_batch_depends_on_seed_and_index_alone() -> None:
    whole = list(Batches(1, 0, 1, 3))
    resumed = list(Batches(1, 2, 1, 3))
    assert len(whole) == 3 and torch.equal(whole[2].image, resumed[0].image)
    assert torch.equal(whole[2].target, resumed[0].target)


def test_each_question_sees_its_own_page(batch) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    net = Nano(TINY).eval()
    with torch.no_grad():
        together = net(batch.image.float(), batch.words, batch.mask, batch.page)
        for row, page in enumerate(batch.page.tolist()):
            alone = net(
                batch.image[page : page + 1].float(),
                batch.words[row : row + 1],
                batch.mask[row : row + 1],
            )
            for a, b in zip(together, alone, strict=True):
                assert torch.allclose(a[row], b[0], atol=1e-4)


def test_padding_words_change_nothing() -> None:
    torch.manual_seed(0)
    net = Nano(TINY).eval()
    image, words, mask = torch.rand(1, 1, 64, 64) * 255, torch.zeros(1, 16, 556), torch.zeros(1, 16)
    words[0, 0, 3], mask[0, 0] = 1.0, 1.0
    other = words.clone()
    other[0, 5:] = torch.rand(11, 556)
    with torch.no_grad():
        for a, b in zip(net(image, words, mask), net(image, other, mask), strict=True):
            assert torch.allclose(a, b, atol=1e-3)


def test_the_losses_are_learnt(batch) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    net = Nano(TINY)
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    history = []
    for _ in range(40):
        reading = net.pages(batch.image.float())
        losses = reading_losses(net, reading, batch) | pointing_losses(
            net.point(reading, batch.words, batch.mask, batch.page), batch
        )
        loss = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append({k: float(v.detach()) for k, v in losses.items()})
    for name in history[0]:
        assert history[-1][name] < 0.95 * history[0][name], name


def test_learning_rate_by_hand() -> None:
    assert nano_train.learning_rate(99, 0.099, 1.0, 0.5) == 0.5
    assert nano_train.learning_rate(400, 0.4, 1.0, 0.5) == 1.0
    middle = nano_train.learning_rate(750, 0.75, 1.0, 0.5)
    assert math.isclose(middle, 0.02 + 0.98 * 0.5)


def test_a_run_resumes_and_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano_train, "NanoConfig", lambda: TINY)
    monkeypatch.setattr(nano_train, "heldout_batches", lambda *a: [])
    monkeypatch.setattr(nano_train, "measure", lambda *a: {})

    def run(folder: Path, *stops: int) -> dict[str, torch.Tensor]:
        for steps in stops:
            nano_train.train(
                folder,
                steps=steps,
                reading=1,
                rate=1e-3,
                decay=1e-9,
                seed=1,
                workers=0,
                threads=1,
                every=100,
            )
        return torch.load(folder / "checkpoint.pt", weights_only=True)["net"]  # type: ignore[no-any-return]

    whole, resumed = run(tmp_path / "a", 4), run(tmp_path / "b", 2, 4)
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    assert [json.loads(r)["step"] for r in (tmp_path / "b/log.jsonl").open()] == [2, 4]

    net, training, _ = load_checkpoint(tmp_path / "a")
    meanings = Meanings(["total", "date"], np.eye(2, TINY.meaning, dtype=np.int8) * 127)
    monkeypatch.setattr(nano_export, "FAST_IOU", 0.3)  # what hardly learnt jumps at a trifle
    ladder = nano_export.export_nano(net, tmp_path / "out", training, meanings=meanings, count=2)
    assert ladder is not None and ladder.passed and len(ladder.boxes) == 2
    content = json.loads((tmp_path / "out/cropper.json").read_text())
    assert content["decode"]["price"] == nano_export.PRICE
    told = content["training"]
    assert told["step"] == 4 and told["arguments"]["seed"] == 1 and told["from"] == "random weights"
    assert "folder" not in told["arguments"]  # where it lay is nobody's business
    assert ladder.rungs[0].value < 1e-4
    page = render_page(random.Random(2), PageOptions(320, 256)).image
    questions = ["total", "When is the date of the invoice?", "", "总金额是多少"]
    with load_cropper(tmp_path / "out") as cropper:
        assert cropper.scripts == ("latin", "greek", "cyrillic")  # type: ignore[union-attr]
        together = cropper.predict_many(page, questions)  # type: ignore[union-attr]
        assert together == [cropper.predict(page, question) for question in questions]
    assert [len(crops) for crops in together] == [1, 1, 0, 0]
    # Where the exporting machine keeps its code is nobody's business.
    assert (
        str(Path(nano_export.__file__).parent).encode()
        not in (tmp_path / "out/model.onnx").read_bytes()
    )
    # On a CPU the graph in 8 bits reads, but not where exactness is asked for.
    folder = find_folder(tmp_path / "out")
    manifest = read_manifest(folder)
    assert isinstance(manifest, PointerManifest) and FAST_NAME in manifest.files
    views = [
        load_graphs(folder, manifest, "cpu", 1, exact=exact)[0].read(np.asarray(page))
        for exact in (False, True)
    ]
    difference = np.abs(views[0]["embedding"] - views[1]["embedding"])
    assert 0.0 < difference.mean() < 0.1
    assert (tmp_path / "out/model.onnx").stat().st_size == content["files"]["model.onnx"]["bytes"]


def test_a_graph_that_differs_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    net = Nano(TINY).eval()
    real = nano_export.write_graphs

    def other_weights(given: Nano, folder: Path, meaning: int) -> None:
        torch.manual_seed(1)
        real(Nano(TINY).eval(), folder, meaning)

    monkeypatch.setattr(nano_export, "write_graphs", other_weights)
    with pytest.raises(LadderError, match="logits") as caught:
        nano_export.export_nano(net, tmp_path / "out", {}, count=1)
    assert not caught.value.ladder.rungs[0].passed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("height", "width", "dilation"), [(46, 37, 1), (46, 37, 2), (45, 7, 4), (3, 5, 4)]
)
def test_strips_are_the_dilated_convolutions(height: int, width: int, dilation: int) -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 8, height, width, dtype=torch.double, generator=draw)
    kernel = torch.randn(8, 1, 15, 1, dtype=torch.double, generator=draw)
    conv = torch.nn.functional.conv2d
    expected = conv(x, kernel, None, 1, (7 * dilation, 0), (dilation, 1), 8)
    assert torch.allclose(undilated(x, kernel, dilation), expected)
    expected = conv(x, kernel.transpose(2, 3), None, 1, (0, 7 * dilation), (1, dilation), 8)
    across = undilated(x.transpose(2, 3), kernel, dilation).transpose(2, 3)
    assert torch.allclose(across, expected)


def test_pictures_without_words_are_asked_what_nothing_answers() -> None:
    page = render_page(random.Random(0), PageOptions(320, 256, layout="picture", questions=3))
    assert not page.words and len(page.questions) == 3 and all(q.absent for q in page.questions)
    assert np.asarray(page.image).std() > 5
    batch = make_batch([page], random.Random(0))
    assert not len(batch.edge) and bool((batch.target[:, -1] == 1).all())
    net = Nano(TINY)
    pointing = net(batch.image.float(), batch.words, batch.mask, batch.page)
    assert list(pointing_losses(pointing, batch)) == ["cell"]
