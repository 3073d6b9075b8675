"""The mean of several nets: by hand, of nets of unlike depth, and as a folder to export from."""

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from cropzoom.trainer.nano.checkpoint import load_checkpoint
from cropzoom.trainer.nano.network import Nano, NanoConfig
from cropzoom.trainer.nano.soup import main, soup

TINY = NanoConfig(
    stem=8, middle=8, wide=16, middle_blocks=1, wide_blocks=1, embed=16,
    text_width=16, text_layers=1, heads=2, implied=1, point=16, strips=1,
)  # fmt: skip


def tiny(seed: int, **depths: int) -> Nano:
    torch.manual_seed(seed)
    return Nano(replace(TINY, **depths)).eval()


def test_the_mean_by_hand() -> None:
    nets = [tiny(1), tiny(2)]
    mixed = soup(nets, [1.0, 3.0]).state_dict()
    for name, value in mixed.items():
        first, second = (net.state_dict()[name] for net in nets)
        assert torch.allclose(value.float(), 0.25 * first.float() + 0.75 * second.float()), name


def test_the_mean_of_a_net_with_itself_is_that_net() -> None:
    net = tiny(1)
    for name, value in soup([net, net, net], [1.0, 2.0, 0.5]).state_dict().items():
        assert torch.allclose(value.float(), net.state_dict()[name].float(), atol=1e-6), name


def test_what_a_run_lacks_it_passes_on() -> None:
    shallow, deep = tiny(1), tiny(2, strips=2)
    mixed = soup([shallow, deep], [1.0, 1.0])
    assert mixed.config == deep.config
    new, own = mixed.pointer.blocks[1], deep.pointer.blocks[1]
    assert torch.equal(new.row.weight, own.row.weight)  # of one run alone
    norm, before = new.project[1], own.project[1]
    assert torch.allclose(norm.weight, 0.5 * before.weight)  # it adds half of what it did


@pytest.mark.parametrize("shares", [[1.0], [1.0, 0.0], [1.0, 1.0, 1.0]])
def test_shares_that_make_no_mean_are_refused(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="as many shares above 0"):
        soup([tiny(1), tiny(2)], shares)


def test_the_bundled_nano_with_itself_is_a_folder_to_export(tmp_path: Path) -> None:
    main(tmp_path, ["nano", "nano"])
    net, record, meanings = load_checkpoint(tmp_path)
    assert not net.training and meanings is None
    assert record["recipe"].endswith("soup") and record["arguments"]["soup"] == [1.0, 1.0]
    assert [source["name"] for source in record["from"]["soup"]] == ["nano", "nano"]
