"""What a wording asks for and what a value is: learnt from words, and from fields of known kind."""

import random

import pytest

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from PIL import Image

from cropzoom.trainer.nano import asked as asked_module
from cropzoom.trainer.nano.asked import ALIKE, Kinds, labels
from cropzoom.trainer.nano.batches import CELLS_A_VALUE, COLUMN, ROW, make_batch
from cropzoom.trainer.nano.network import Nano, NanoConfig
from cropzoom.trainer.nano.pages import Page, phrases
from cropzoom.trainer.nano.pages.canvas import Field

TINY = NanoConfig(
    stem=8, middle=8, wide=16, middle_blocks=1, wide_blocks=1, embed=16,
    text_width=32, text_layers=1, heads=2, implied=1, point=16, strips=1,
)  # fmt: skip


def test_wordings_are_learnt_without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phrases, "concepts", lambda: ("total", "date", "phone", "iban"))
    torch.manual_seed(0)
    net = Nano(TINY)
    kinds = Kinds(TINY.kind_width, 1, None)
    before = {name: p.clone() for name, p in net.questions.word.named_parameters()}
    optimizer = torch.optim.Adam([*net.parameters(), *kinds.parameters()], 3e-3)
    curve = []
    for step in range(80):
        losses = kinds.asked(net, step)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        curve.append({name: loss.item() for name, loss in losses.items()})
    for name in ("asked", "label"):
        assert sum(c[name] for c in curve[-5:]) < 0.6 * sum(c[name] for c in curve[:5]), name
    # What pages are read into stays where it is.
    for name, parameter in net.questions.word.named_parameters():
        assert torch.equal(before[name], parameter)
    again = [kinds.asked(net, 7)["asked"].item() for _ in range(2)]
    assert again[0] == again[1] != kinds.asked(net, 8)["asked"].item()


def test_labels_tell_few_concepts(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {
        ("due", "en"): ("Due Date", "Pay by"),
        ("date", "en"): ("Date", ""),
        ("birth", "en"): ("Birth Date",),
        ("expiry", "en"): ("Exp. Date", "#"),
    }
    monkeypatch.setattr(asked_module.phrases, "table", lambda name: table)
    assert ALIKE == 3  # "date" stands in the labels of four
    assert labels() == {
        "due": {"due"}, "pay": {"due"}, "by": {"due"}, "birth": {"birth"}, "exp": {"expiry"},
    }  # fmt: skip


def _page() -> Page:
    box = (40.0, 20.0, 88.0, 36.0)
    fields = [
        Field("Total", "3.00", (8.0, 20.0, 36.0, 36.0), box, "pair", "total"),
        Field("Colour", "red", (8.0, 50.0, 36.0, 60.0), (40.0, 50.0, 80.0, 60.0), "pair", ""),
        Field("Name", "Ann", (0.0, 0.0, 1.0, 1.0), (300.0, 300.0, 320.0, 310.0), "pair", "name"),
    ]
    return Page(Image.effect_noise((96, 64), 80.0), [], fields, [])


def test_cells_of_values_have_their_concept() -> None:
    batch = make_batch([_page()], random.Random(1), things=True)
    concept = phrases.concepts().index("total")
    assert len(batch.thing) == CELLS_A_VALUE  # one field has no concept, one lies off the page
    assert batch.thing[:, 3].tolist() == [concept] * CELLS_A_VALUE
    for page, row, column, _ in batch.thing.tolist():
        assert (
            page == 0 and 20 // ROW <= row <= 36 // ROW and 40 // COLUMN <= column <= 88 // COLUMN
        )
    # Elsewhere "date" is any date, so those pages do not tell.
    assert not len(make_batch([_page()], random.Random(1)).thing)


def test_cells_are_taught_their_concept() -> None:
    torch.manual_seed(0)
    net, batch = Nano(TINY), make_batch([_page()], random.Random(1), things=True)
    kinds = Kinds(TINY.kind_width, 1, None)
    losses = kinds.shown(net, net.pages(batch.image.float()), batch)
    losses["shown"].backward()
    assert net.pointer.kinds.weight.grad is not None and kinds.vectors.grad is not None
    assert net.pointer.kinds.weight.grad.abs().max() > 0
    empty = make_batch([_page()], random.Random(1))
    assert kinds.shown(net, net.pages(empty.image.float()), empty) == {}
