"""Thumbnails and canvases in place of images: fewer tokens, one picture, and nothing lost."""

from __future__ import annotations

import base64
import io
import json
import random
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_picture_server import OnePictureServer
from PIL import Image, ImageDraw, ImageFont
from wrapping import BOX, QUESTION, FixedCropper, PlacesCropper, chat_image, picture, uri

from cropzoom import CropZoom, rewrite_body
from cropzoom.clients.modes import View, on_canvas, with_thumbnail
from cropzoom.errors import OptionsError
from cropzoom.geometry import Box, Crop
from cropzoom.models import sight
from cropzoom.options import ZoomOptions
from cropzoom.report import Reason, ZoomReport
from cropzoom.zoom import Zoom

MODEL = "gpt-5-mini"
PAGE = (1240, 1754)


def page(size: tuple[int, int] = PAGE, print_size: int = 22) -> Image.Image:
    """Return a page whose lines can be read in full size only."""
    image = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(print_size)
    for row in range(0, size[1] - 40, 40):
        text = f"line {row // 40}: value {row * 7919 % 9973}"
        draw.text((size[0] * 0.3, row + 10), text, "black", font)
    return image


def data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


PAGE_URI = data_uri(page())


def chat(*contents: list[Any] | str, model: str = MODEL) -> dict[str, Any]:
    """A conversation: the user and the assistant in turns."""
    roles = ["user", "assistant"] * len(contents)
    messages = [
        {"role": role, "content": item} for role, item in zip(roles, contents, strict=False)
    ]
    return {"model": model, "messages": messages}


def asked(text: str = QUESTION, url: str = PAGE_URI) -> list[Any]:
    return [chat_image(url), {"type": "text", "text": text}]


def rewritten(
    body: dict[str, Any], cropper: Any = None, **options: Any
) -> tuple[dict[str, Any], ZoomReport]:
    zoom = Zoom(cropper or FixedCropper(), ZoomOptions(**options))
    return rewrite_body(body, zoom=zoom)


def urls(message: dict[str, Any]) -> list[str]:
    content = message["content"]
    parts = content if isinstance(content, list) else []
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


def size_of(url: str) -> tuple[int, int]:
    return opened(url).size


def opened(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))


def test_replace_sends_a_thumbnail_and_the_crop_in_full() -> None:
    body = chat(asked())
    before = json.dumps(body)
    new, report = rewritten(body, mode="replace")
    thumbnail, crop = urls(new["messages"][0])
    assert max(size_of(thumbnail)) == 256
    assert size_of(crop) == (620, 439)  # As many pixels as the page has there.
    (image,) = report.images
    assert image.tokens_given == sight(MODEL, PAGE).tokens == report.tokens_given
    expected = sum(sight(MODEL, size_of(url)).tokens for url in (thumbnail, crop))
    assert image.tokens_sent == expected == report.tokens_sent
    assert report.tokens_sent < 0.4 * report.tokens_given
    assert json.dumps(body) == before


def test_stitch_sends_one_picture() -> None:
    new, report = rewritten(chat(asked()), mode="stitch")
    (canvas,) = urls(new["messages"][0])
    (crop,) = report.crops
    assert crop.place is not None and crop.place.crop_at is not None
    left, top, right, bottom = map(int, crop.place.crop_at)
    shown = opened(canvas).crop((left, top, right, bottom))
    assert shown.size == (crop.width, crop.height)
    assert shown.tobytes() == page().crop(BOX.to_pixels(*PAGE)).tobytes()
    assert report.tokens_sent == sight(MODEL, size_of(canvas)).tokens < report.tokens_given
    # A model's answer in thousandths of the canvas, in px of the page.
    width, height = size_of(canvas)
    middle = (left + right) / 2 / width * 1000, (top + bottom) / 2 / height * 1000
    x, y = crop.map_point(*middle, source="sent", unit="thousandths", target_unit="px")
    assert (x, y) == pytest.approx((PAGE[0] / 2, PAGE[1] * 0.625), abs=1)


@pytest.mark.parametrize("mode", ["replace", "stitch"])
def test_unsure_means_the_original(mode: str) -> None:
    body = chat(asked())
    new, report = rewritten(body, FixedCropper(confidence=0.1), mode=mode)
    assert new == body
    assert report.images[0].reason is Reason.LOW_CONFIDENCE
    assert report.tokens_given == report.tokens_sent > 0


@pytest.mark.parametrize("mode", ["replace", "stitch"])
def test_the_whole_picture_is_asked_for(mode: str) -> None:
    body = chat(asked("Describe this picture."))
    new, report = rewritten(body, mode=mode)
    assert new == body
    assert report.reason is Reason.WHOLE_PICTURE


@pytest.mark.parametrize("mode", ["replace", "stitch"])
def test_what_saves_nothing_stays(mode: str) -> None:
    body = chat(asked(url=uri()))
    new, report = rewritten(body, mode=mode)
    assert new == body
    assert report.images[0].reason is Reason.BUDGET


def test_everything_about_the_image_but_its_pixels_stays() -> None:
    content = asked()
    content[0]["image_url"]["detail"] = "high"
    content[0]["cache_control"] = {"type": "ephemeral"}
    new, _ = rewritten(chat(content), mode="replace")
    thumbnail, crop, _ = new["messages"][0]["content"]
    assert thumbnail["cache_control"] == {"type": "ephemeral"}
    assert thumbnail["image_url"]["detail"] == crop["image_url"]["detail"] == "high"
    assert "cache_control" not in crop


@pytest.mark.parametrize("mode", ["replace", "stitch"])
@pytest.mark.parametrize("budget", [150, 300, 600, 1200])
@pytest.mark.parametrize("model", ["gpt-5-mini", "gpt-4o", "claude-haiku-4-5", "qwen2.5-vl", "x"])
def test_a_budget_holds_or_the_original_goes_out(mode: str, budget: int, model: str) -> None:
    body = chat(asked(), model=model)
    new, report = rewritten(body, mode=mode, budget=budget)
    if report.crops:
        assert report.tokens_sent <= budget
    else:
        assert new == body and report.images[0].reason is Reason.BUDGET


def test_a_larger_budget_buys_a_larger_thumbnail() -> None:
    sides = []
    for budget in (400, 600, 1000):
        new, _ = rewritten(chat(asked()), mode="replace", budget=budget)
        sides.append(max(size_of(urls(new["messages"][0])[0])))
    assert sides == sorted(set(sides))


def test_in_add_a_budget_limits_the_crops() -> None:
    full = sight(MODEL, PAGE).tokens
    new, report = rewritten(chat(asked()), budget=full + 10)
    assert new == chat(asked()) and report.images[0].reason is Reason.BUDGET
    assert rewritten(chat(asked()), budget=full + 600)[1].crops


def test_what_the_model_sees_in_full_gets_no_crop() -> None:
    body = chat(asked(), model="gpt-6-astra")
    new, report = rewritten(body)
    assert new == body
    assert report.images[0].reason is Reason.IMAGE_SMALL
    assert "in full" in report.images[0].detail
    assert rewritten(body, target_side=0)[1].crops, "unless it is asked for"
    assert rewritten(body, target_side=1000)[1].crops
    assert rewritten(chat(asked(), model="who-knows"))[1].crops
    assert rewritten(body, mode="replace")[1].crops, "it saves tokens all the same"


def test_turns_stay_as_they_were_sent() -> None:
    zoom = Zoom(PlacesCropper(), ZoomOptions(mode="replace"))
    first, _ = rewrite_body(chat(asked()), zoom=zoom)
    second, report = rewrite_body(chat(asked(), "42", "What is the due date?"), zoom=zoom)
    assert second["messages"][0] == first["messages"][0]
    assert len(urls(second["messages"][2])) == 1, "its crop, from the original"
    assert report.tokens_sent < report.tokens_given


def test_a_later_turn_that_is_unsure_brings_the_original_again() -> None:
    class Unsure(FixedCropper):
        def predict(self, image: Image.Image, question: str, k: int = 1) -> Any:
            crops = super().predict(image, question, k)
            return crops if "total" in question else []

    zoom = Zoom(Unsure(), ZoomOptions(mode="replace"))
    first, _ = rewrite_body(chat(asked()), zoom=zoom)
    for follow_up in ("And what is the VAT?", "Describe the picture."):
        body = chat(asked(), "42", follow_up)
        second, _ = rewrite_body(body, zoom=zoom)
        assert second["messages"][0] == first["messages"][0]
        assert urls(second["messages"][2]) == [PAGE_URI]
        longer = chat(asked(), "42", follow_up, "7", "So what is the date?")
        third, _ = rewrite_body(longer, zoom=zoom)
        assert third["messages"][:3] == second["messages"]
    thanks, _ = rewrite_body(chat(asked(), "42", "Thanks!"), zoom=zoom)
    assert thanks["messages"][2]["content"] == "Thanks!"


def never_lost(body: dict[str, Any], new: dict[str, Any], originals: set[str]) -> None:
    """Each image is there, or a smaller one with a crop, wherever it was."""
    for old_message, message in zip(body["messages"], new["messages"], strict=True):
        given, sent = urls(old_message), urls(message)
        for url in given:
            if url in sent:
                continue
            others = [item for item in sent if item not in originals]
            assert others, "neither the original nor anything in its place"
    texts = [
        part.get("text")
        for item in new["messages"]
        if isinstance(item["content"], list)
        for part in item["content"]
        if part["type"] == "text"
    ]
    wanted = [
        part.get("text")
        for item in body["messages"]
        if isinstance(item["content"], list)
        for part in item["content"]
        if part["type"] == "text"
    ]
    assert [text for text in texts if text in wanted] == wanted


SIZES = [(900, 1200), (1600, 700), (300, 200), (64, 64)]
PAGES = [data_uri(page(size)) for size in SIZES]


class Moody(FixedCropper):
    """Sure of some questions and not of others, fails on some."""

    def predict(self, image: Image.Image, question: str, k: int = 1) -> Any:
        dice = random.Random(question)
        if dice.random() < 0.15:
            raise RuntimeError("out of paper")
        crops = super().predict(image, question, k)
        return crops if dice.random() < 0.6 else []


QUESTIONS = st.sampled_from(
    [QUESTION, "What is the date?", "Describe the picture.", "Thanks!", "Who signed it?", ""]
)
CONTENTS = st.lists(
    st.one_of(
        st.sampled_from(PAGES).map(chat_image),
        QUESTIONS.map(lambda text: {"type": "text", "text": text}),
    ),
    min_size=1,
    max_size=4,
)


@given(
    turns=st.lists(CONTENTS, min_size=1, max_size=3),
    mode=st.sampled_from(["add", "replace", "stitch"]),
    model=st.sampled_from(["gpt-5-mini", "gpt-4o", "claude-opus-5", "gemini-3-pro", "x"]),
    budget=st.sampled_from([None, 200, 900]),
)
@settings(max_examples=60, deadline=None)
def test_never_lost(turns: list[Any], mode: str, model: str, budget: int | None) -> None:
    contents: list[Any] = []
    for turn in turns:
        contents += [turn, "So it is."]
    body = chat(*contents[:-1], model=model)
    before = json.dumps(body)
    new, report = rewritten(body, Moody(), mode=mode, budget=budget)
    assert json.dumps(body) == before
    never_lost(body, new, set(PAGES))
    for image in report.images:
        assert (image.reason is None) == bool(image.crops)
    if mode == "add":
        given = [url for item in body["messages"] for url in urls(item)]
        sent = [url for item in new["messages"] for url in urls(item)]
        assert [url for url in sent if url in PAGES] == given


def test_a_crop_on_a_canvas_can_be_read() -> None:
    """By an OCR engine, in what a server of one picture got and shows its model at 1024 px."""
    ocr = pytest.importorskip("cropzoom.reading.ocr")
    pytest.importorskip("rapidocr")
    reader = ocr.OcrReader(threads=1)
    fine = page(print_size=15)
    with OnePictureServer() as server:
        client = CropZoom(
            openai.OpenAI(base_url=server.url, api_key="k", max_retries=0), FixedCropper()
        )
        client.chat.completions.create(**chat(asked(url=data_uri(fine)), model="x"))
        assert len(server.bodies) == 2, "refused once"
        (url,) = urls(server.bodies[-1]["messages"][0])
    canvas = opened(url).convert("RGB")
    canvas.thumbnail((1024, 1024), Image.Resampling.LANCZOS)
    text = " ".join(line.text for line in reader.read(canvas))
    first, last = (int(PAGE[1] * edge) // 40 + 1 for edge in (0.5, 0.7))
    for row in range(first, last):
        assert str(row * 40 * 7919 % 9973) in text, row
    fine.thumbnail((448, 448), Image.Resampling.LANCZOS)
    assert str(first * 40 * 7919 % 9973) not in " ".join(line.text for line in reader.read(fine))


def test_a_server_that_takes_one_picture_gets_a_canvas() -> None:
    with OnePictureServer() as server:
        client = CropZoom(
            openai.OpenAI(base_url=server.url, api_key="k", max_retries=0), FixedCropper()
        )
        for expected in (2, 1):
            server.bodies.clear()
            client.chat.completions.create(**chat(asked(), model="one"))
            report = client.cropzoom.last_report
            assert report is not None and len(report.crops) == 1
            sent = urls(server.bodies[-1]["messages"][0])
            assert len(sent) == 1 and sent[0] != PAGE_URI
            # The first call is refused once; then the server is known.
            assert len(server.bodies) == expected
            place = report.crops[0].place
            assert place is not None and place.crop_at is not None
        usage = client.cropzoom.usage
        assert (usage.calls, usage.images, usage.crops) == (2, 2, 2)
        assert usage.tokens_saved == usage.tokens_given - usage.tokens_sent > 0


def test_a_server_that_takes_no_canvas_either_gets_the_request_as_it_was() -> None:
    with OnePictureServer(only=PAGE_URI) as server:
        client = CropZoom(
            openai.OpenAI(base_url=server.url, api_key="k", max_retries=0), FixedCropper()
        )
        client.chat.completions.create(**chat(asked(), model="one"))
        assert [len(urls(body["messages"][0])) for body in server.bodies] == [2, 1, 1]
        assert urls(server.bodies[-1]["messages"][0]) == [PAGE_URI]
        report = client.cropzoom.last_report
        assert report is not None and report.reason is Reason.REFUSED and not report.crops
        assert report.tokens_sent == report.tokens_given


def test_pure_functions_by_hand() -> None:
    source = page((1000, 1000))
    zoomed, _ = Zoom(FixedCropper()).crops(source, QUESTION)
    view = View("qwen2.5-vl")
    substitute = with_thumbnail(source, zoomed, view, ZoomOptions(thumbnail_side=280))
    assert substitute is not None and substitute.beside
    # 10x10 patches for the thumbnail; the crop of 500x250 px is 18x9.
    assert substitute.tokens == 100 + 18 * 9
    assert with_thumbnail(picture(), zoomed, view, ZoomOptions()) is None
    canvas = on_canvas(picture(), zoomed, view, ZoomOptions(), at_any_cost=True)
    assert canvas is not None and not canvas.beside


@pytest.mark.parametrize(
    "wrong", [{"mode": "both"}, {"budget": 0}, {"budget": 1.5}, {"thumbnail_side": 0}]
)
def test_options_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionsError, match=next(iter(wrong))):
        ZoomOptions(**wrong)


def test_an_answer_is_cited() -> None:
    with OnePictureServer() as server:
        client = CropZoom(
            openai.OpenAI(base_url=server.url, api_key="k", max_retries=0), FixedCropper()
        )
        cited = client.ask(page(), QUESTION, model="one", cite=True)
        assert (cited.text, cited.boxes, cited.confidence) == ("ok", (BOX,), 0.9)
        assert cited.highlight(page()).size == PAGE
        with client.cropzoom.override(enabled=False):
            assert client.ask(page(), QUESTION, model="one", cite=True).boxes == ()


class Pair:
    """Proposes two places: the second is the first moved, or another."""

    def __init__(self, sure: float, second: Box) -> None:
        self._crops = [Crop(Box(0.1, 0.1, 0.4, 0.2), sure), Crop(second, 0.05)]

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        return self._crops[:k]


MOVED, ELSEWHERE = Box(0.2, 0.1, 0.5, 0.2), Box(0.1, 0.7, 0.4, 0.8)


@pytest.mark.parametrize(
    ("mode", "sure", "second", "boxes"),
    [
        # Sure alone, and in "add", where the picture goes out as well.
        ("replace", 0.85, MOVED, [Box(0.1, 0.1, 0.4, 0.2)]),
        ("add", 0.6, MOVED, [Box(0.1, 0.1, 0.4, 0.2)]),
        # 0.4 x 0.1 is less than twice 0.3 x 0.1.
        ("replace", 0.6, MOVED, [Box(0.1, 0.1, 0.5, 0.2)]),
        ("stitch", 0.6, ELSEWHERE, [Box(0.1, 0.1, 0.4, 0.2), ELSEWHERE]),
        ("replace", 0.6, ELSEWHERE, [Box(0.1, 0.1, 0.4, 0.2), ELSEWHERE]),
        # Unsure of the first: the picture goes out.
        ("replace", 0.3, ELSEWHERE, []),
    ],
)
def test_an_unsure_crop_in_place_of_the_picture_brings_its_runner_up(
    mode: str, sure: float, second: Box, boxes: list[Box]
) -> None:
    _, report = rewritten(chat(asked()), Pair(sure, second), mode=mode)
    assert [crop.box for crop in report.crops] == boxes


def test_a_canvas_fits_what_the_model_really_sees() -> None:
    new, report = rewritten(
        chat(asked(), model="x"), mode="stitch", target_side=448, min_crop_side=0
    )
    # The crop is 620 px wide: no canvas is seen in full, but none is made larger than the crop.
    (canvas,) = urls(new["messages"][0])
    assert max(size_of(canvas)) == report.crops[0].width == 620
    small = FixedCropper(box=Box(0.2, 0.2, 0.5, 0.24))
    new, report = rewritten(chat(asked(), model="x"), small, mode="stitch", target_side=448)
    assert max(size_of(urls(new["messages"][0])[0])) <= 448
