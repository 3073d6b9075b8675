"""Servers that refuse what was added: the call works all the same, and the next one at once."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import OpenAI
from openai_server import OpenAIServer, Received
from PIL import Image
from test_surfaces import CLIENTS, SURFACES, VERSION, Surface, chat, response, run
from wrapping import OPTIONS, FixedCropper, chat_image, chat_text, frozen, uri, user

from cropzoom import CropZoom
from cropzoom.clients.budget import Limits
from cropzoom.clients.refusals import LearntLimits, Size, is_refusal, learnt
from cropzoom.report import Reason

Refuse = Callable[[Received], "tuple[int, str] | None"]


def pictures(request: Received) -> list[str]:
    items = request.body.get("messages") or request.body.get("input") or []
    parts = [part for item in items for part in item["content"] if isinstance(part, dict)]
    urls = [part["image_url"] for part in parts if "image_url" in part]
    return [url if isinstance(url, str) else url["url"] for url in urls]


def one_picture(request: Received) -> tuple[int, str] | None:
    if len(pictures(request)) > 1:
        return 400, "At most 1 image(s) may be provided in one request."
    return None


def three_pictures(request: Received) -> tuple[int, str] | None:
    count = len(pictures(request))
    if count > 3:
        return 400, f"Request contains {count} images, exceeding the maximum of 3 allowed"
    return None


def small_bodies(request: Received) -> tuple[int, str] | None:
    return (413, "Request Entity Too Large") if len(request.raw) > len(uri()) + 1000 else None


def small_bodies_in_words(request: Received) -> tuple[int, str] | None:
    limit = len(uri()) + 1000
    if len(request.raw) > limit:
        return 400, f"Exceeded limit on max bytes to request body : {limit}"
    return None


def small_context(request: Received) -> tuple[int, str] | None:
    pixels = 0
    for url in pictures(request):
        width, height = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).size
        pixels += width * height
    if pixels > 160 * 120:
        return 400, f"request ({pixels} tokens) exceeds the available context size (19200 tokens)"
    return None


def broken_by_pictures(request: Received) -> tuple[int, str] | None:
    if len(pictures(request)) > 1:
        return 500, "this model only supports one image while more than one image requested"
    return None


def unprocessable(request: Received) -> tuple[int, str] | None:
    return (422, "no") if len(pictures(request)) > 1 else None


COUNTING = [one_picture, three_pictures, broken_by_pictures]
STRICT = [
    one_picture,
    three_pictures,
    small_bodies,
    small_bodies_in_words,
    small_context,
    broken_by_pictures,
    unprocessable,
]


def wrapped(server: OpenAIServer, cropper: FixedCropper, **options: Any) -> Any:
    client = OpenAI(api_key="k", base_url=f"{server.url}/v1", max_retries=0)
    return CropZoom(client, cropper, OPTIONS, **options)


@pytest.mark.parametrize("refuse", STRICT, ids=lambda refuse: refuse.__name__)
def test_every_call_works_and_the_second_at_once(
    refuse: Refuse, server: OpenAIServer, cropper: FixedCropper
) -> None:
    images = [chat_image(uri(seed)) for seed in range(1 + 2 * (refuse is three_pictures))]
    body = {"model": "m", "messages": [user(*images, chat_text())]}
    client = wrapped(server, cropper)
    server.refuse = refuse
    for sends in (2, 1, 1):
        server.received.clear()
        client.chat(**body)
        assert len(server.received) == sends
        report = client.cropzoom.last_report
        reasons = {image.reason for image in report.images}
        if refuse in COUNTING:
            # Its crop goes on a canvas with the image, rather than not at all.
            assert len(pictures(server.last)) == len(images)
            assert report.crops
        else:
            assert server.last.body == body
            assert report.crops == ()
            assert reasons == ({Reason.REFUSED} if sends == 2 else {Reason.LIMIT})
        if sends == 2:
            assert report.reason == Reason.REFUSED
            assert refuse(server.received[0])[1] in report.detail
    # Another model is another server.
    client.chat(**{**body, "model": "other"})
    assert len(server.received) == 3


def test_what_a_limit_leaves_over_is_still_added(
    server: OpenAIServer, cropper: FixedCropper
) -> None:
    client = wrapped(server, cropper)
    server.refuse = three_pictures
    many = user(*(chat_image(uri(seed)) for seed in range(2)), chat_text())
    client.chat(model="m", messages=[many])
    client.chat(model="m", messages=[many])
    assert [len(pictures(request)) for request in server.received] == [4, 3, 3]


@pytest.mark.parametrize(("kind", "make"), CLIENTS)
@pytest.mark.parametrize("refuse", [one_picture, broken_by_pictures])
def test_every_kind_of_client(
    refuse: Refuse, kind: type[Any], make: Any, server: OpenAIServer, cropper: FixedCropper
) -> None:
    server.refuse = refuse
    client = make(kind, server.url).copy(max_retries=0)
    _, report = run(SURFACES[0], CropZoom(client, cropper, OPTIONS), chat())
    assert report.reason == Reason.REFUSED
    assert len(server.received) == 2


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
@pytest.mark.parametrize(("kind", "make"), CLIENTS[:2])
def test_every_surface(
    surface: Surface, kind: type[Any], make: Any, server: OpenAIServer, cropper: FixedCropper
) -> None:
    if surface.since > VERSION:
        pytest.skip(f"openai {openai.__version__} has no {surface.name}")
    body = chat() if surface.is_chat else response()
    before = frozen(body)
    bare, _ = run(surface, make(kind, server.url), body)
    server.refuse = one_picture
    server.received.clear()
    result, report = run(surface, CropZoom(make(kind, server.url), cropper, OPTIONS), body)
    assert (result, frozen(body)) == (bare, before)
    assert [len(pictures(request)) for request in server.received] == [2, 1]
    assert report is not None and report.reason == Reason.REFUSED


STREAMING = [
    surface
    for surface in SURFACES
    if surface.name
    in (
        "chat.completions.create(stream=True)",
        "chat.completions.stream",
        "responses.create(stream=True)",
        "responses.stream",
    )
]


@pytest.mark.parametrize("surface", STREAMING, ids=lambda surface: surface.name)
@pytest.mark.parametrize(("kind", "make"), CLIENTS[:2])
@pytest.mark.parametrize("status", [200, 400])
def test_a_server_that_refuses_only_in_streams(
    status: int,
    surface: Surface,
    kind: type[Any],
    make: Any,
    server: OpenAIServer,
    cropper: FixedCropper,
) -> None:
    if surface.since > VERSION:
        pytest.skip(f"openai {openai.__version__} has no {surface.name}")

    def refuse(request: Received) -> tuple[int, str] | None:
        if request.body.get("stream") and len(pictures(request)) > 1:
            return status, "At most 1 image(s) may be provided in one request."
        return None

    body = chat() if surface.is_chat else response()
    bare, _ = run(surface, make(kind, server.url), body)
    server.refuse = refuse
    client = CropZoom(make(kind, server.url), cropper, OPTIONS)
    server.received.clear()
    result, report = run(surface, client, body)
    assert result == bare
    assert len(server.received) == 2
    assert report is not None and report.reason == Reason.REFUSED


def test_a_refusal_in_a_stream_teaches_a_limit(server: OpenAIServer, cropper: FixedCropper) -> None:
    def refuse(request: Received) -> tuple[int, str] | None:
        return (200, "only one image is supported") if len(pictures(request)) > 1 else None

    server.refuse = refuse
    client = wrapped(server, cropper)
    for sends in (2, 3):
        assert list(client.chat(**chat(), stream=True))
        assert len(server.received) == sends
    server.refuse = lambda request: (200, "overloaded")
    client = wrapped(server, cropper)
    with pytest.raises(openai.APIError, match="overloaded"):
        list(client.chat(**chat(), stream=True))
    assert len(server.received) == 4


def test_a_refusal_for_another_reason_reaches_the_caller(
    server: OpenAIServer, cropper: FixedCropper
) -> None:
    server.refuse = lambda request: (400, f"unknown model, {len(pictures(request))} images")
    client = wrapped(server, cropper)
    for _ in range(2):
        with pytest.raises(openai.BadRequestError, match="unknown model, 1 images"):
            client.chat(**chat())
    # Nothing was learnt from it.
    server.refuse = lambda request: None
    client.chat(**chat())
    assert len(pictures(server.last)) == 2


@pytest.mark.parametrize(
    "refusal",
    [
        (500, "internal error"),
        (502, "image backend is down"),
        (503, "image backend is down"),
        (429, "too many images per minute"),
        (408, "image timed out"),
        (401, "no image for you"),
        (404, "no such model"),
    ],
)
def test_nothing_is_sent_twice_that_may_have_been_answered(
    refusal: tuple[int, str], server: OpenAIServer, cropper: FixedCropper
) -> None:
    server.refuse = lambda request: refusal
    with pytest.raises(openai.APIStatusError):
        wrapped(server, cropper).chat(**chat())
    assert len(server.received) == 1
    assert not is_refusal(*refusal)


def test_a_broken_connection_is_not_answered_by_another_request(cropper: FixedCropper) -> None:
    client = OpenAI(api_key="k", base_url="http://127.0.0.1:9", max_retries=0)
    client = CropZoom(client, cropper, OPTIONS)
    with pytest.raises(openai.APIConnectionError):
        client.chat(**chat())
    assert len(client.cropzoom.last_report.crops) == 1


def test_one_report_a_call(server: OpenAIServer, cropper: FixedCropper) -> None:
    reports: list[Any] = []
    client = wrapped(server, cropper, on_report=reports.append)
    server.refuse = one_picture
    client.chat(**chat())
    client.chat(**chat())
    assert [report.reason for report in reports] == [Reason.REFUSED, None]


def test_a_dialogue_stays_the_same_when_a_limit_is_learnt(
    server: OpenAIServer, cropper: FixedCropper
) -> None:
    client = wrapped(server, cropper)
    server.refuse = one_picture
    messages = [user(chat_image(), chat_text())]
    client.chat(model="m", messages=messages)
    taken = server.last.body["messages"]
    messages += [{"role": "assistant", "content": "7"}, user(chat_text("What is the date?"))]
    client.chat(model="m", messages=messages)
    assert server.last.body["messages"][:1] == taken


TAKEN, SENT = Size(2, 1000, 50_000), Size(4, 1500, 80_000)


@pytest.mark.parametrize(
    ("status", "words", "limits"),
    [
        (400, "At most 3 image(s) may be provided in one request.", Limits(pictures=3)),
        (400, "Request contains 4 images, exceeding the maximum of 3", Limits(pictures=3)),
        (400, "Too many images (4). This model takes up to three.", Limits(pictures=3)),
        (400, "images: only one is supported", Limits(pictures=2)),
        (400, "bad request", Limits(pixels=0)),
        (413, "", Limits(body_bytes=50_000)),
        (413, "Payload too large, limit is 64 KB", Limits(body_bytes=65_536)),
        (413, "Maximum is 60,000 bytes", Limits(body_bytes=60_000)),
        (400, "request body exceeds 0.06 MB", Limits(body_bytes=62_914)),
        (400, "This model's maximum context length is 4096 tokens", Limits(pixels=1000)),
        (400, "the prompt is too long", Limits(pixels=1000)),
    ],
)
def test_what_is_learnt(status: int, words: str, limits: Limits) -> None:
    assert learnt(status, words, SENT, TAKEN)[0] == limits


@settings(max_examples=200, deadline=None)
@given(words=st.text(max_size=60) | st.from_regex(r"[\d.,_ kKmMgGiIbB]{1,40}"))
def test_no_words_break_it(words: str) -> None:
    for status in (400, 413, 422, 500):
        is_refusal(status, words)
        limits, life = learnt(status, words, SENT, TAKEN)
        assert life > 0
        assert [limits.pictures, limits.pixels, limits.body_bytes].count(None) == 2
        assert limits.pictures is None or 2 <= limits.pictures < 4
        assert limits.body_bytes is None or 50_000 <= limits.body_bytes < 80_000


def test_limits_end() -> None:
    limits = LearntLimits()
    limits.add("s", Limits(pictures=1), 1000)
    limits.add("s", Limits(pictures=3, body_bytes=5), 1000)
    limits.add("s", Limits(pixels=1), 0)
    assert limits.of("s") == Limits(pictures=1, body_bytes=5)
    assert limits.of("other") == Limits()
