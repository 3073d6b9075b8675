"""Anthropic's own clients, wrapped, against a server that checks what they send."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from wrapping import BOX, OPTIONS, QUESTION, FixedCropper, picture, png

anthropic = pytest.importorskip("anthropic")

from anthropic_server import AnthropicServer, images_of  # noqa: E402

from cropzoom import Cited, ClientError, CropZoom, RequestError, rewrite_body  # noqa: E402
from cropzoom.options import ZoomOptions  # noqa: E402
from cropzoom.report import Reason  # noqa: E402
from cropzoom.zoom import Zoom  # noqa: E402

# Of no known family, so that small pictures get their crops.
MODEL = "test-model"
KINDS = ["Anthropic", "AsyncAnthropic"]


def source(seed: int = 0) -> dict[str, Any]:
    data = base64.b64encode(png(seed)).decode()
    return {"type": "base64", "media_type": "image/png", "data": data}


def image(seed: int = 0, **extra: Any) -> dict[str, Any]:
    return {"type": "image", "source": source(seed), **extra}


def text(words: str = QUESTION, **extra: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **extra}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def crop(seed: int = 0) -> dict[str, Any]:
    """The block with the crop of an image, made by hand."""
    import io

    cut = picture(seed).crop(BOX.to_pixels(160, 120))
    buffer = io.BytesIO()
    cut.save(buffer, "PNG", compress_level=3)
    data = base64.b64encode(buffer.getvalue()).decode()
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": data},
    }


@pytest.fixture
def server() -> Iterator[AnthropicServer]:
    with AnthropicServer() as running:
        yield running


def plain(server: AnthropicServer, kind: str = "Anthropic") -> Any:
    return getattr(anthropic, kind)(base_url=server.url, api_key="key", max_retries=0)


def wrapped(server: AnthropicServer, kind: str = "Anthropic", **options: Any) -> Any:
    client = plain(server, kind)
    return CropZoom(client, FixedCropper(), ZoomOptions(min_crop_side=0, **options))


def done(value: Any) -> Any:
    """Return what a call gives, sync or async."""

    async def wait() -> Any:
        return await value

    return asyncio.run(wait()) if inspect.isawaitable(value) else value


def is_async(client: Any) -> bool:
    return type(client).__name__.startswith("Async")


ARGUMENTS: dict[str, Any] = {"model": MODEL, "max_tokens": 9, "messages": [user(image(), text())]}


def _stream(client: Any) -> Any:
    if not is_async(client):
        with client.messages.stream(**ARGUMENTS) as events:
            return "".join(events.text_stream)

    async def run() -> str:
        async with client.messages.stream(**ARGUMENTS) as events:
            return "".join([piece async for piece in events.text_stream])

    return run()


def _events(client: Any) -> Any:
    if not is_async(client):
        return sum(1 for _ in client.messages.create(**ARGUMENTS, stream=True))

    async def run() -> int:
        return sum([1 async for _ in await client.messages.create(**ARGUMENTS, stream=True)])

    return run()


COUNTED = {key: value for key, value in ARGUMENTS.items() if key != "max_tokens"}
SURFACES: dict[str, Callable[[Any], Any]] = {
    "messages.create": lambda client: client.messages.create(**ARGUMENTS),
    "messages.create, stream=True": _events,
    "messages.stream": _stream,
    "beta.messages.create": lambda client: client.beta.messages.create(**ARGUMENTS),
    "messages.count_tokens": lambda client: client.messages.count_tokens(**COUNTED),
    "beta.messages.count_tokens": lambda client: client.beta.messages.count_tokens(**COUNTED),
    "with_raw_response": lambda client: client.messages.with_raw_response.create(**ARGUMENTS),
    "with_options": lambda client: client.with_options(timeout=9).messages.create(**ARGUMENTS),
    "copy": lambda client: client.copy(max_retries=1).messages.create(**ARGUMENTS),
    "extra_body": lambda client: client.messages.create(
        **{**ARGUMENTS, "messages": [user(text())]},
        extra_body={"messages": ARGUMENTS["messages"]},
    ),
    "post": lambda client: client.post("/v1/messages", body=dict(ARGUMENTS), cast_to=object),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("surface", SURFACES)
def test_surface(server: AnthropicServer, kind: str, surface: str) -> None:
    client = wrapped(server, kind)
    done(SURFACES[surface](client))
    (body,) = (request.body for request in server.received)
    assert body["messages"] == [user(image(), crop(), text())]


@pytest.mark.parametrize("kind", KINDS)
def test_it_stays_that_client(server: AnthropicServer, kind: str) -> None:
    given = plain(server, kind)
    client = CropZoom(given, FixedCropper(), OPTIONS)
    assert isinstance(client, getattr(anthropic, kind)) and isinstance(client, CropZoom)
    assert isinstance(client.with_options(timeout=1), CropZoom)
    done(given.messages.create(**ARGUMENTS))
    assert server.received[0].body["messages"] == ARGUMENTS["messages"]


@pytest.mark.parametrize("kind", KINDS)
def test_answers_and_errors_are_the_clients_own(server: AnthropicServer, kind: str) -> None:
    client = wrapped(server, kind)
    answer = done(client.messages.create(**ARGUMENTS))
    assert isinstance(answer, anthropic.types.Message)
    assert answer.content[0].text == "1,444.80"
    server.failures = 1
    with pytest.raises(anthropic.APIStatusError, match="try again"):
        done(wrapped(server, kind).messages.create(**ARGUMENTS))
    assert len(server.received) == 2, "what may have been answered is not sent again"


@pytest.mark.parametrize("surface", ["messages.create", "messages.count_tokens"])
def test_nothing_to_zoom_is_sent_byte_for_byte(server: AnthropicServer, surface: str) -> None:
    call = SURFACES[surface]
    quiet = {**ARGUMENTS, "messages": [user(text("Hello"))], "system": "Be brief."}
    if surface == "messages.count_tokens":
        quiet.pop("max_tokens")
    method = surface.partition(".")[2]
    getattr(plain(server).messages, method)(**quiet)
    getattr(wrapped(server).messages, method)(**quiet)
    assert server.received[0].raw == server.received[1].raw
    assert call is not None


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_crop_costs_nothing_but_the_canvas(kind: str) -> None:
    def refuse(request: Any) -> tuple[int, str] | None:
        words = "messages: at most 1 images may be sent in a request"
        return (400, words) if len(images_of(request.body)) > 1 else None

    with AnthropicServer() as server:
        server.refuse = refuse
        client = wrapped(server, kind)
        done(client.messages.create(**ARGUMENTS))
        assert [len(images_of(request.body)) for request in server.received] == [2, 1]
        assert server.last.body["messages"][0]["content"][0] != image()


def test_cache_control_stays_where_it_is(server: AnthropicServer) -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    messages = [user(image(**mark), text(**mark))]
    system = [{"type": "text", "text": "Be brief.", **mark}]
    wrapped(server).messages.create(model=MODEL, max_tokens=9, messages=messages, system=system)
    (body,) = (request.body for request in server.received)
    assert body["system"] == system
    assert body["messages"] == [user(image(**mark), crop(), text(**mark))]


def test_in_replace_a_thumbnail_keeps_the_cache_control(server: AnthropicServer) -> None:
    import io

    buffer = io.BytesIO()
    picture(0, (1600, 1200)).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    large = {"type": "base64", "media_type": "image/png", "data": data}
    block = {"type": "image", "source": large, "cache_control": {"type": "ephemeral"}}
    client = wrapped(server, mode="replace", max_area=0.6)
    client.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=[user(block, text())])
    first, second, _ = server.received[0].body["messages"][0]["content"]
    assert first["cache_control"] == {"type": "ephemeral"} and "cache_control" not in second
    report = client.cropzoom.last_report
    assert report.tokens_given == 1564 and report.tokens_sent < report.tokens_given


def test_the_question_of_a_tools_picture_is_before_it() -> None:
    body = {
        "model": MODEL,
        "system": "You look things up.",
        "messages": [
            user(text()),
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t1", "name": "scan", "input": {}}],
            },
            user({"type": "tool_result", "tool_use_id": "t1", "content": [image()]}),
        ],
    }
    cropper = FixedCropper()
    new, report = rewrite_body(body, zoom=Zoom(cropper, OPTIONS))
    assert new["messages"][2]["content"][0]["content"] == [image(), crop()]
    assert cropper.questions == [QUESTION] and len(report.crops) == 1
    assert new["messages"][:2] == body["messages"][:2]


def test_turns_stay_as_they_were_sent(server: AnthropicServer) -> None:
    client = wrapped(server)
    client.messages.create(**ARGUMENTS)
    answer = {"role": "assistant", "content": "42"}
    messages = [*ARGUMENTS["messages"], answer, {"role": "user", "content": "And what is the VAT?"}]
    client.messages.create(**{**ARGUMENTS, "messages": messages})
    first, second = (request.body["messages"] for request in server.received)
    assert second[: len(first)] == first


def test_the_schema_of_the_tool_to_call_says_what_is_asked() -> None:
    schema = {
        "type": "object",
        "properties": {"due_date": {"type": "string"}},
        "required": ["due_date"],
    }
    body = {
        "model": MODEL,
        "max_tokens": 9,
        "messages": [user(image(), text("Extract the fields."))],
        "tools": [{"name": "save", "input_schema": schema}],
        "tool_choice": {"type": "tool", "name": "save"},
    }
    cropper = FixedCropper()
    rewrite_body(body, zoom=Zoom(cropper, OPTIONS), endpoint="messages")
    assert any("due date" in question.lower() for question in cropper.questions)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, Reason.FILE_ID),
        (
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            Reason.REMOTE_URL,
        ),
        (
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
            Reason.FILE_PART,
        ),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
            },
            Reason.BROKEN_IMAGE,
        ),
        ({"type": "image", "source": None}, Reason.UNSUPPORTED_INPUT),
        ({"type": "image", "source": {"type": "tape"}}, Reason.UNSUPPORTED_INPUT),
    ],
)
def test_what_is_not_zoomed_says_why(part: dict[str, Any], reason: Reason) -> None:
    body = {"model": MODEL, "messages": [user(part, text())]}
    new, report = rewrite_body(body, zoom=Zoom(FixedCropper()), endpoint="messages")
    assert new == body
    assert report.images[0].reason is reason


@pytest.mark.parametrize("kind", KINDS)
def test_ask(server: AnthropicServer, kind: str) -> None:
    client = wrapped(server, kind)
    assert done(client.ask(png(), QUESTION, model=MODEL)) == "1,444.80"
    assert server.received[0].body["messages"] == [user(image(), crop(), text())]
    with pytest.raises(RequestError, match="messages"):
        done(client.ask(png(), QUESTION, model=MODEL, messages=[]))


@pytest.mark.parametrize("kind", KINDS)
def test_ask_says_where_it_was_read(server: AnthropicServer, kind: str) -> None:
    async def ask() -> Cited:
        # In one task, for reports belong to tasks.
        answer = wrapped(server, kind).ask(png(), QUESTION, model=MODEL, cite=True)
        return await answer if inspect.isawaitable(answer) else answer

    cited = asyncio.run(ask())
    assert isinstance(cited, Cited) and str(cited) == cited.text == "1,444.80"
    assert cited.boxes == (BOX,) and cited.confidence == 0.9
    assert cited.highlight(png()).getpixel((80, 75)) == picture().getpixel((80, 75))


def test_a_part_of_the_client_is_refused(server: AnthropicServer) -> None:
    with pytest.raises(ClientError, match="wrap the client itself"):
        CropZoom(plain(server).messages, FixedCropper())


def test_a_bodys_dialect_is_told_by_what_it_holds() -> None:
    messages = {"model": MODEL, "messages": [user(image(), text())]}
    new, _ = rewrite_body(messages, zoom=Zoom(FixedCropper(), OPTIONS))
    assert new["messages"] == [user(image(), crop(), text())]
    assert json.dumps(messages) == json.dumps({"model": MODEL, "messages": [user(image(), text())]})
