"""Figures and report of answers made by hand."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser

import pytest
from PIL import Image

from cropzoom.data.row import BadRow, Problem, Row
from cropzoom.data.test_set import TestSet
from cropzoom.evaluate.answer_file import Outcome
from cropzoom.evaluate.html_report import report_page
from cropzoom.evaluate.intervals import PictureBootstrap
from cropzoom.evaluate.summary import NO_BOX, non_inferiority, summarise
from cropzoom.geometry import Box


def png(size: tuple[int, int] = (1200, 900)) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


PICTURE = png()
BOX = Box(0.1, 0.1, 0.2, 0.2)
ROWS = [
    Row(id="a", image=lambda: PICTURE, question="Q a?", answers=("1",), box=BOX, category="x"),
    Row(id="b", image=lambda: PICTURE, question="Q b?", answers=("2",), box=BOX,
        value=Box(0.1, 0.1, 0.12, 0.12), category="y"),
    Row(id="c", image=lambda: PICTURE, question="<b>Q c?</b>", answers=("<3>",), category="y",
        box=BOX),
    Row(id="d", image=lambda: PICTURE, question="Q d?", answers=("4",), category="y"),
    Row(id="e", image=lambda: PICTURE, question="Q e?", answers=("5",), category="x"),
]  # fmt: skip


def outcome(row: str, cropper: str, score: float | None, **more: object) -> Outcome:
    image = "p1" if row in "ab" else "p2"
    return Outcome(
        row=row, target="t", cropper=cropper, image=image, score=score,
        reply=None if score is None else f"says {score}", milliseconds=100.0, **more,
    )  # fmt: skip


CROP = {
    "boxes": ((0.1, 0.1, 0.3, 0.2),), "confidences": (0.8,), "crop_milliseconds": 40.0,
    "prompt_tokens": 300, "completion_tokens": 10,
}  # fmt: skip
BESIDE = {**CROP, "boxes": ((0.5, 0.5, 0.7, 0.6),)}
TOKENS = {"prompt_tokens": 100, "completion_tokens": 10}
OUTCOMES = [
    # a broke, b and e mended, c stays right, d failed with the crop
    outcome("a", "none", 1.0, **TOKENS),
    outcome("b", "none", 0.0, **TOKENS),
    outcome("c", "none", 0.6, **TOKENS),
    outcome("d", "none", 1.0, **TOKENS),
    outcome("e", "none", 0.0, **TOKENS),
    outcome("a", "nano", 0.4, **BESIDE),
    outcome("b", "nano", 1.0, **CROP),
    outcome("c", "nano", 0.6, reason="low_confidence", prompt_tokens=100, completion_tokens=10),
    outcome("d", "nano", None, failure="request failed", detail="boom <script>"),
    outcome("e", "nano", 1.0, **CROP),
    outcome("a", "oracle", 1.0, **CROP),
    outcome("b", "oracle", 1.0, **CROP),
    outcome("c", "oracle", 1.0, **CROP),
    outcome("d", "oracle", 1.0, **CROP),
    outcome("e", "oracle", 1.0, **CROP),
]
TEST = TestSet("set", "set 1", ROWS, [Problem("line 9", "malformed row", "no <question>")], "anls")


@pytest.fixture(scope="module")
def summary() -> dict:
    outcomes = {one.key: one for one in OUTCOMES}
    prices = {"t": (1.0, 5.0)}
    found = summarise(TEST, outcomes, ["t"], ["none", "nano", "oracle"], prices=prices)
    assert json.loads(json.dumps(found)) == found
    return found


def test_scores(summary: dict) -> None:
    none, nano = (summary["targets"]["t"][name] for name in ("none", "nano"))
    assert none["score"]["mean"] == pytest.approx((1 + 0 + 0.6 + 1 + 0) / 5)
    assert none["right"]["mean"] == pytest.approx(3 / 5)
    assert (nano["asked"], nano["failed"]) == (5, 1)
    assert nano["score"]["mean"] == pytest.approx((0.4 + 1 + 0.6 + 1) / 4)
    # two pictures: only p1 (0.4, 1.0), only p2 (0.6, 1.0), or both
    assert nano["score"]["interval"] == pytest.approx([0.7, 0.8])


def test_pairs(summary: dict) -> None:
    paired = summary["targets"]["t"]["nano"]["against_none"]
    assert paired["pairs"] == 4  # d was not answered with the crop
    # a -0.6 and b +1 are about one picture, c 0 and e +1 about the other
    assert paired["difference"]["mean"] == pytest.approx(1.4 / 4)
    assert paired["difference"]["interval"] == pytest.approx([0.2, 0.5])
    assert (paired["broken"], paired["mended"]) == (1, 2)
    assert paired["broken_share"]["mean"] == 0.5  # of a and c
    assert paired["mended_share"]["mean"] == 1.0  # of b and e
    assert paired["p"] == 1.0
    # on a, b, c, e: none 1.6, nano 3.0, oracle 4.0
    gap = summary["targets"]["t"]["nano"]["gap_closed"]
    assert gap["mean"] == pytest.approx(1.4 / 2.4)
    assert "gap_closed" not in summary["targets"]["t"]["oracle"]
    assert "against_none" not in summary["targets"]["t"]["none"]


def test_crops_and_costs(summary: dict) -> None:
    none, nano = (summary["targets"]["t"][name] for name in ("none", "nano"))
    assert nano["with_crop"] == pytest.approx(3 / 4)
    assert nano["mean_area"] == pytest.approx(0.02)
    # b; not a, whose crop is elsewhere, nor c, which has none; e has no box
    assert nano["centre_in_region"] == pytest.approx(1 / 3)
    assert nano["no_crop"] == {"low_confidence": 1}
    assert none["mean_area"] is none["centre_in_region"] is None
    assert nano["crop_milliseconds"] == 40
    assert nano["prompt_tokens"] == pytest.approx(1000 / 4)
    assert nano["dollars"] == pytest.approx((1000 * 1 + 40 * 5) / 1e6)
    assert nano["dollars_per_answer"] == pytest.approx(nano["dollars"] / 4)


def test_groups(summary: dict) -> None:
    nano = summary["targets"]["t"]["nano"]
    # the boxes of a and c have 1 %, b's value 0.04 %; e has none
    assert {key: group["rows"] for key, group in nano["by_size"].items()} == {
        "0.03 to 0.1 %": 1, "1 to 3 %": 2, NO_BOX: 1,
    }  # fmt: skip
    assert list(nano["by_size"])[-1] == NO_BOX
    assert nano["by_category"]["y"] == {"rows": 2, "score": pytest.approx(0.8)}


def test_what_went_wrong_is_listed(summary: dict) -> None:
    assert summary["problems"] == {"malformed row": 1}
    assert summary["failures"] == {"request failed": 1}
    (failure,) = summary["failed"]
    assert (failure["row"], failure["cropper"]) == ("d", "nano")
    assert "boom" in failure["detail"]


def test_cycles() -> None:
    rows = [
        Row(id=str(n), image=lambda: b"", question="q", answers=("A",), cycle=cycle)
        for n, cycle in enumerate("0111")
    ]
    outcomes = [
        Outcome(row=str(n), target="t", cropper="none", image=str(n), score=float(n > 1), reply="")
        for n in range(4)
    ]
    test = TestSet("hr", "hr", rows, [], "choice")
    found = summarise(test, {one.key: one for one in outcomes}, ["t"], ["none"])
    figures = found["targets"]["t"]["none"]
    assert figures["score"]["mean"] == 0.5
    assert figures["cycle_accuracy"] == pytest.approx((0 + 2 / 3) / 2)


def test_nothing_was_asked() -> None:
    found = summarise(TEST, {}, ["t"], ["none", "nano"])
    assert found["targets"]["t"]["nano"]["score"] == {"mean": None, "interval": [None, None]}
    assert "<h1>set</h1>" in report_page(found, TEST, {})


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_report_needs_nothing_else(summary: dict) -> None:
    outcomes = {one.key: one for one in OUTCOMES}
    html = report_page(summary, TEST, outcomes)
    page = _Page()
    page.feed(html)
    assert page.links and all(link.startswith("data:image/") for link in page.links)
    assert "script" not in page.tags  # "boom <script>" came out as text
    assert "&lt;script&gt;" in html and "no &lt;question&gt;" in html
    # nano's one failure, with its picture and its crop; the oracle and none have none shown
    assert html.count('class="example"') == 1
    assert len(page.links) == 2
    assert "right without the crop" in html and "says 1.0" in html and "says 0.4" in html
    # A megapixel of noise is 3 MB as PNG: what is shown is shrunk.
    assert len(html) < 700_000


def test_the_report_is_bounded(summary: dict) -> None:
    wrong = {
        (f"{n}", "t", "nano"): Outcome(row=f"{n}", target="t", cropper="nano", score=0.0, reply="x")
        for n in range(50)
    }
    rows = [Row(id=f"{n}", image=lambda: PICTURE, question="q", answers=("1",)) for n in range(50)]
    test = TestSet("set", "set", rows, [Problem("r", "no image", "x" * 5000)] * 500, "exact")
    found = summarise(test, wrong, ["t"], ["nano"])
    html = report_page(found, test, wrong, examples=3)
    assert html.count('class="example"') == 3
    assert "and 400 more" in html and "x" * 301 not in html


def test_a_picture_that_is_gone_leaves_the_report_whole(summary: dict) -> None:
    def gone() -> bytes:
        raise BadRow("no image", "was deleted")

    rows = [Row(id="a", image=gone, question="q", answers=("1",))]
    test = TestSet("set", "set", rows, [], "exact")
    wrong = Outcome(row="a", target="t", cropper="nano", score=0.0, reply="x")
    found = summarise(test, {wrong.key: wrong}, ["t"], ["nano"])
    assert "was deleted" in report_page(found, test, {wrong.key: wrong})


@pytest.mark.parametrize(
    ("broken", "mended", "pairs", "margin", "verdict"),
    [
        (0, 0, 400, 0.01, "not inferior"),  # z^2 / (400 + z^2) is 0.95 %
        (0, 0, 300, 0.01, "open"),  # 1.26 %: 300 questions can't tell a point
        (60, 0, 400, 0.01, "inferior"),
        (0, 60, 400, 0.01, "not inferior"),
        (4, 0, 400, 0.05, "not inferior"),
        (0, 0, 0, 0.01, "open"),
    ],
)
def test_no_worse_by_more_than_a_margin(
    broken: int, mended: int, pairs: int, margin: float, verdict: str
) -> None:
    turned = [number < broken for number in range(pairs)]
    righted = [pairs - number <= mended for number in range(pairs)]
    draws = PictureBootstrap(range(pairs), resamples=400)
    test = non_inferiority(turned, righted, draws, margin)
    assert test["verdict"] == verdict
    if pairs:
        assert test["difference"] == (mended - broken) / pairs
        assert test["interval"][0] == min(test["tango"][0], test["pictures"][0])
        assert test["interval"][1] == max(test["tango"][1], test["pictures"][1])


def test_pictures_that_hang_together_widen_the_interval() -> None:
    # 40 questions about each of 10 pictures; those about one all broke, as it has one question.
    turned = [number < 40 for number in range(400)]
    together = PictureBootstrap([number // 40 for number in range(400)])
    apart = PictureBootstrap(range(400))
    nothing = [False] * 400
    wide = non_inferiority(turned, nothing, together, 0.01)["interval"]
    narrow = non_inferiority(turned, nothing, apart, 0.01)["interval"]
    assert wide[0] < narrow[0]
