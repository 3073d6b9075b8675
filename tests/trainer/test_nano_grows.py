"""A deeper net starts as the one it grew from."""

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
        for parameter in (*net.pages.mix[-1].parameters(), *net.questions.picked.parameters()):
            parameter.add_(0.01 * torch.randn_like(parameter))
    meanings = Meanings(["total", "date"], np.eye(2, 64, dtype=np.int8) * 127)
    export_nano(net, tmp_path / "out", {}, meanings=meanings, count=1)
    again = restore(tmp_path / "out", statistics=False)
    assert again.config == net.config
    page = _page()
    with torch.no_grad():
        for before, after in zip(net(*page), again(*page), strict=True):
            assert torch.allclose(before, after, atol=1e-3)
