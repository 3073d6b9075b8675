"""A deeper net starts as the one it grew from; what words mean alike is learnt without pages."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from cropzoom.cropper.nano.meanings import Meanings
from cropzoom.export.nano import export_nano
from cropzoom.trainer.nano.growth import deeper, grow
from cropzoom.trainer.nano.network import Nano, NanoConfig
from cropzoom.trainer.nano.restore import restore
from cropzoom.trainer.nano.synonyms import Synonyms, read_wordnet

TINY = NanoConfig(
    stem=8, middle=8, wide=16, middle_blocks=1, wide_blocks=1, embed=16,
    text_width=16, text_layers=1, heads=2, implied=1, point=16, strips=1,
)  # fmt: skip
DEEPER = {"middle_blocks": 2, "wide_blocks": 3, "text_layers": 2, "strips": 4}


def _page() -> "tuple[torch.Tensor, ...]":
    draw = torch.Generator().manual_seed(1)
    words = torch.randn(2, 5, Nano(TINY).questions.enter.in_features, generator=draw)
    image = torch.randint(0, 256, (1, 1, 64, 96), generator=draw).float()
    return image, words, torch.ones(2, 5), torch.zeros(2, dtype=torch.long)


def test_a_grown_net_computes_what_it_did_and_learns_more() -> None:
    torch.manual_seed(0)
    net, page = Nano(TINY).eval(), _page()
    grown = grow(net, replace(TINY, **DEEPER))
    assert not grown.training and grown.config.strips == 4
    for before, after in zip(net(*page), grown(*page), strict=True):
        assert torch.equal(before, after)
    grown.train()
    torch.stack([output.square().mean() for output in grown(*page)]).sum().backward()
    fresh = [grown.pages.mix[2], grown.pointer.blocks[3], grown.questions.layers[1]]
    for layer in fresh:
        moved = [p.grad.abs().max() for p in layer.parameters() if p.grad is not None]
        assert max(moved) > 0, "a layer that nothing teaches"


def test_only_depths_grow() -> None:
    with pytest.raises(ValueError, match="only depths may grow"):
        grow(Nano(TINY), replace(TINY, wide=24))
    with pytest.raises(ValueError, match="only depths may grow"):
        grow(Nano(replace(TINY, strips=2)), TINY)


def test_depths_by_name() -> None:
    assert deeper(TINY, ["strips=3", "wide_blocks=2"]) == replace(TINY, strips=3, wide_blocks=2)
    for wish in ("strips", "strips=x", "strips=-1", "wide=24", "=3"):
        with pytest.raises(ValueError, match="DEPTH=NUMBER"):
            deeper(TINY, [wish])


def test_a_grown_net_comes_back_from_its_export(tmp_path: Path) -> None:
    bundled = restore("nano")
    net = grow(bundled, replace(bundled.config, wide_blocks=bundled.config.wide_blocks + 1))
    with torch.no_grad():  # as after some training
        for parameter in net.pages.mix[-1].parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    meanings = Meanings(["total", "date"], np.eye(2, 64, dtype=np.int8) * 127)
    export_nano(net, tmp_path / "out", {}, meanings=meanings, count=1)
    again = restore(tmp_path / "out", statistics=False)
    assert again.config == net.config
    page = _page()
    with torch.no_grad():
        for before, after in zip(net(*page), again(*page), strict=True):
            assert torch.allclose(before, after, atol=1e-3)


def _wordnet(folder: Path) -> Path:
    lines = [
        "seller%1:18:00:: 10577284 1 3",
        "vendor%1:18:00:: 10577284 1 0",
        "market_trader%1:18:01:: 10577284 1 0",
        "vendor%1:18:07:: 10999999 3 0",  # a rare meaning
        "hawker%1:18:00:: 10999999 1 0",
        "sell%2:40:00:: 10577284 1 9",  # another kind of word at the same number
    ]
    (folder / "index.sense").write_text("\n".join(lines) + "\n")
    return folder


def test_pairs_of_wordnet_by_hand(tmp_path: Path) -> None:
    assert read_wordnet(_wordnet(tmp_path)) == [
        ("market trader", "seller"),
        ("market trader", "vendor"),
        ("seller", "vendor"),
        ("vendor", "seller"),
    ]


def test_synonyms_are_learnt(tmp_path: Path) -> None:
    said, printed = ["levy", "vendor", "weight", "sum"], ["tax", "seller", "mass", "total"]
    lines = [f"{a}\t{b}" for a, b in zip(said, printed, strict=True)]
    (tmp_path / "pairs.tsv").write_text("\n".join([*lines, "unheard\tof"]) + "\n")
    vectors = np.random.default_rng(1).integers(-99, 99, (4, 64)).astype(np.int8)
    # Said and printed mean the same here, and look different.
    meanings = Meanings([*said, *printed], np.concatenate([vectors, vectors]))
    synonyms = Synonyms(tmp_path / "pairs.tsv", meanings, seed=1)
    assert synonyms.pairs == list(zip(said, printed, strict=True))  # "unheard" has no meaning
    torch.manual_seed(0)
    net = Nano(TINY)
    before = {name: p.clone() for name, p in net.questions.word.named_parameters()}
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for step in range(60):
        loss = synonyms.loss(net, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    # What pages are read into stays where it is.
    assert all(torch.equal(before[name], p) for name, p in net.questions.word.named_parameters())
    assert synonyms.loss(net, 7).item() == synonyms.loss(net, 7).item()


def test_words_without_meaning_are_no_pairs(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("levy\ttax\n")
    table = Meanings(["date"], np.ones((1, 64), np.int8))
    with pytest.raises(ValueError, match="no pair of words"):
        Synonyms(tmp_path / "pairs.tsv", table, seed=1)
    (tmp_path / "pairs.tsv").write_text("date\tday\nlevy tax\n")
    with pytest.raises(ValueError, match="line 2: must be two"):
        Synonyms(tmp_path / "pairs.tsv", table, seed=1)
