from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from fixed_croppers import LookupCropper
from PIL import Image

from cropzoom.clients.connect import connect
from cropzoom.demo.ask_samples import Trial, ask_all
from cropzoom.demo.demo_page import Counting, results_page
from cropzoom.demo.server import StandInServer
from cropzoom.errors import CropperError
from cropzoom.evaluate.croppers import oracle_box
from cropzoom.geometry import Box
from cropzoom.models import price_of
from cropzoom.samples import SamplePicture, load_samples

PASS = next(sample for sample in load_samples() if sample.path.stem == "boarding-pass")


def oracle(sample: SamplePicture) -> LookupCropper:
    with Image.open(sample.path) as image:
        size = image.size
    return LookupCropper(
        {q.question: oracle_box(q.region, *size) for q in sample.questions}.__getitem__
    )


@pytest.fixture(scope="module")
def results(server: StandInServer) -> list[Trial]:
    with connect(server.base_url, local=True) as client:
        return list(ask_all(client, server.model, [PASS], cropper=oracle(PASS), exact=True))


def test_the_right_crop_makes_the_answers_right(results: list[Trial]) -> None:
    assert [asked.zoomed.right for asked in results] == [True] * len(PASS.questions)
    assert sum(asked.plain.right for asked in results) <= 1
    for asked in results:
        (crop,) = asked.report.crops
        assert crop.box.contains_point(*asked.question.value.centre)
        assert asked.zoomed.prompt_tokens > asked.plain.prompt_tokens
        # The stand-in sees 448 px, which is what the thumbnail has.
        assert asked.saving.right


def test_what_is_saved_is_counted_as_a_model_is_billed(results: list[Trial]) -> None:
    given, sent = results[0].tokens_given, results[0].tokens_sent
    saved = Counting.of("claude-haiku-4-5").saved(results[:1])
    assert (saved["price"], saved["price_source"]) == (1.0, prices_page())
    assert saved["dollars_saved_per_1000"] == pytest.approx((given - sent) / 1000)
    assert Counting.of("claude-haiku-4-5", 2.0).saved(results[:1])["price_source"] == "as given"
    unknown = Counting.of("my-model").saved(results[:1])
    assert unknown["price"] is None and "dollars_saved_per_1000" not in unknown
    page = results_page(
        results, model="m", cropper="oracle", side=448, stand_in=False,
        counting=Counting.of("my-model"),
    )  # fmt: skip
    assert "$" not in page.partition("<body")[2]


def prices_page() -> str:
    price = price_of("claude-haiku-4-5")
    assert price is not None
    return f"{price.source}, {price.date}"


def test_results_are_plain_json(results: list[Trial]) -> None:
    first = json.loads(json.dumps(results[0].to_dict()))
    assert first["question"] == "Which gate do I go to?"
    assert first["zoomed"]["text"] == "B27"
    assert len(first["cropzoom"]["images"][0]["crops"]) == 1


def test_a_broken_cropper_is_not_hidden(server: StandInServer) -> None:
    def fail(question: str) -> Box:
        raise OSError("gone")

    with (
        connect(server.base_url, local=True) as client,
        pytest.raises(CropperError, match="gone"),
    ):
        list(ask_all(client, server.model, [PASS], cropper=LookupCropper(fail)))


class _Checker(HTMLParser):
    """Collects what a page refers to, and checks that its tags are closed in order."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: set[str] = set()
        self.boxes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                self.references.append(value or "")
            if name == "id":
                self.ids.add(value or "")
            if name == "data-box":
                self.boxes.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone(results: list[Trial]) -> None:
    page = results_page(results, model="<m&m>", cropper="oracle", side=448, stand_in=True)
    checker = _Checker()
    checker.feed(page)
    assert checker.open == []
    assert len(checker.references) == 1 + 2 * len(results)
    assert all(reference.startswith("data:image/") for reference in checker.references)
    assert "url(" not in page and "@import" not in page
    assert set(checker.boxes) == checker.ids
    assert "&lt;m&amp;m&gt;" in page and "<m&m>" not in page
    assert "is a stand-in" in page
    assert re.search(rf"<b>{len(results)} / {len(results)}</b><span>right with the crop", page)


def test_a_page_about_a_real_model_claims_no_stand_in(results: list[Trial]) -> None:
    page = results_page(results, model="qwen", cropper="nano", side=448, stand_in=False)
    assert "stand-in" not in page
