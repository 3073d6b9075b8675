"""Google's own client, wrapped, against a server that checks what it sends."""

from __future__ import annotations

import asyncio
import base64
import copy
import gc
import io
import itertools
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import wrapping
from wrapping import BOX, QUESTION, FixedCropper, PlacesCropper, picture, png

genai = pytest.importorskip("google.genai")

from google.genai import errors, types  # noqa: E402
from google_server import GoogleServer, camel, pictures  # noqa: E402

from cropzoom import Cited, ClientError, CropZoom, RequestError, rewrite_body  # noqa: E402
from cropzoom.report import Reason  # noqa: E402
from cropzoom.zoom import Zoom  # noqa: E402

MODEL = "test-model"
# Nothing here depends on how busy the machine is.
OPTIONS = replace(wrapping.OPTIONS, deadline=None)


@pytest.fixture(scope="module")
def _server() -> Iterator[GoogleServer]:
    with GoogleServer() as running:
        yield running


@pytest.fixture
def server(_server: GoogleServer) -> GoogleServer:
    _server.reset()
    return _server


def plain(server: GoogleServer, **extra: Any) -> Any:
    return genai.Client(api_key="key", http_options={"base_url": server.url}, **extra)


def wrapped(server: GoogleServer, **options: Any) -> Any:
    return CropZoom(plain(server), FixedCropper(), replace(OPTIONS, **options))


def blob(seed: int = 0, **extra: Any) -> Any:
    return types.Part.from_bytes(data=png(seed), mime_type="image/png", **extra)


def crop(seed: int = 0) -> bytes:
    """The file of the crop of a picture, made by hand."""
    buffer = io.BytesIO()
    picture(seed).crop(BOX.to_pixels(160, 120)).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def contents() -> list[Any]:
    return [blob(), QUESTION]


def run(answer: Awaitable[Any]) -> Any:
    async def wait() -> Any:
        return await answer

    return asyncio.run(wait())


async def _all(stream: Awaitable[AsyncIterator[Any]]) -> str:
    return "".join([chunk.text async for chunk in await stream])


SURFACES: dict[str, Callable[[Any], Any]] = {
    "models.generate_content": lambda client: (
        client.models.generate_content(model=MODEL, contents=contents()).text
    ),
    "models.generate_content_stream": lambda client: "".join(
        chunk.text
        for chunk in client.models.generate_content_stream(model=MODEL, contents=contents())
    ),
    "chats.send_message": lambda client: (
        client.chats.create(model=MODEL).send_message(contents()).text
    ),
    "chats.send_message_stream": lambda client: "".join(
        chunk.text for chunk in client.chats.create(model=MODEL).send_message_stream(contents())
    ),
    "models.count_tokens": lambda client: (
        client.models.count_tokens(model=MODEL, contents=contents()).total_tokens
    ),
    "with": lambda client: _entered(client),
    "raw": lambda client: (
        client.models.generate_content(
            model=MODEL,
            contents=contents(),
            config=types.GenerateContentConfig(should_return_http_response=True),
        ).sdk_http_response.body
    ),
    "extra_body": lambda client: (
        client.models.generate_content(
            model=MODEL,
            contents="Hello",
            config={"http_options": {"extra_body": {"contents": _wire()}}},
        ).text
    ),
    "aio.models.generate_content": lambda client: _answer(
        client.aio.models.generate_content(model=MODEL, contents=contents())
    ),
    "aio.models.generate_content_stream": lambda client: run(
        _all(client.aio.models.generate_content_stream(model=MODEL, contents=contents()))
    ),
    "aio.chats.send_message": lambda client: _answer(
        client.aio.chats.create(model=MODEL).send_message(contents())
    ),
    "aio.chats.send_message_stream": lambda client: run(
        _all(client.aio.chats.create(model=MODEL).send_message_stream(contents()))
    ),
    "aio.models.count_tokens": lambda client: (
        run(client.aio.models.count_tokens(model=MODEL, contents=contents())).total_tokens
    ),
    "aio": lambda client: run(_entered_async(client)),
}


def _wire() -> list[Any]:
    data = base64.b64encode(png()).decode()
    parts = [{"inlineData": {"mimeType": "image/png", "data": data}}, {"text": QUESTION}]
    return [{"role": "user", "parts": parts}]


def _answer(awaitable: Awaitable[Any]) -> str:
    return str(run(awaitable).text)


def _entered(client: Any) -> str:
    with client as inner:
        return str(inner.models.generate_content(model=MODEL, contents=contents()).text)


async def _entered_async(client: Any) -> str:
    async with client.aio as inner:
        return str((await inner.models.generate_content(model=MODEL, contents=contents())).text)


@pytest.mark.parametrize("surface", SURFACES)
def test_surface(server: GoogleServer, surface: str) -> None:
    bare = SURFACES[surface](plain(server))
    given = server.last
    client = plain(server)
    assert SURFACES[surface](CropZoom(client, FixedCropper(), OPTIONS)) == bare
    assert len(server.received) == 2 and server.last.path == given.path
    assert pictures(given.body) == [png()]
    assert pictures(server.last.body) == [png(), crop()]
    expected = camel(given.body)
    expected["contents"][0]["parts"].insert(1, camel(server.last.body)["contents"][0]["parts"][1])
    assert camel(server.last.body) == expected


GIVEN: dict[str, Callable[[], Any]] = {
    "a PIL image": lambda: [picture(), QUESTION],
    "Content": lambda: types.Content(role="user", parts=[blob(), types.Part(text=QUESTION)]),
    "a list of Content": lambda: [types.UserContent(contents())],
    "dicts": lambda: {"role": "user", "parts": [{"inline_data": _blob()}, {"text": QUESTION}]},
    "parts as dicts": lambda: [{"inline_data": _blob()}, {"text": QUESTION}],
    "strings and parts": lambda: ["Read this.", blob(), types.Part.from_text(text=QUESTION)],
    "the picture last": lambda: [QUESTION, blob()],
}


def _blob() -> dict[str, Any]:
    return {"data": png(), "mime_type": "image/png"}


@pytest.mark.parametrize("name", GIVEN)
def test_whatever_contents_are_given_as(server: GoogleServer, name: str) -> None:
    given = GIVEN[name]()
    before = repr(given)
    wrapped(server).models.generate_content(model=MODEL, contents=given)
    sent = pictures(server.last.body)
    # Earlier releases make a JPEG of a PIL image.
    assert len(sent) == 2 and (sent[1] == crop() or sent[0][:2] == b"\xff\xd8")
    assert repr(given) == before


def test_it_stays_that_client(server: GoogleServer) -> None:
    given = plain(server)
    client = CropZoom(given, FixedCropper(), OPTIONS)
    assert isinstance(client, genai.Client) and isinstance(client, CropZoom)
    assert isinstance(client.aio, genai.client.AsyncClient)
    assert type(client).__name__ == "Client" and client.vertexai is False
    assert type(client.models) is type(given.models) and client.models is not given.models
    assert CropZoom(client, FixedCropper()) is client
    given.models.generate_content(model=MODEL, contents=contents())
    assert pictures(server.last.body) == [png()]


def test_connections_live_as_long_as_either_client(server: GoogleServer) -> None:
    client = wrapped(server)
    gc.collect()
    assert client.ask(png(), QUESTION, model=MODEL) == '{"total": 7}'
    given = plain(server)
    both = CropZoom(given, FixedCropper(), OPTIONS)
    aio = both.aio
    copies = [copy.copy(both)]
    del both, copies
    gc.collect()
    assert given.models.generate_content(model=MODEL, contents="Hello").text
    assert run(aio.models.generate_content(model=MODEL, contents=contents())).text
    assert len(pictures(server.last.body)) == 2


def test_an_async_client_alone_is_wrapped(server: GoogleServer) -> None:
    aio = CropZoom(plain(server).aio, FixedCropper(), OPTIONS)
    assert run(aio.ask(png(), QUESTION, model=MODEL)) == '{"total": 7}'
    assert pictures(server.last.body) == [png(), crop()]


def test_copies_are_zoomed_and_pickling_fails_as_before(server: GoogleServer) -> None:
    copy.copy(wrapped(server)).models.generate_content(model=MODEL, contents=contents())
    assert pictures(server.last.body) == [png(), crop()]
    for client in (plain(server), wrapped(server)):
        with pytest.raises((TypeError, pickle.PicklingError)):
            pickle.dumps(client)


def test_vertex(server: GoogleServer) -> None:
    from google.auth.credentials import AnonymousCredentials

    class Credentials(AnonymousCredentials):
        def refresh(self, request: Any) -> None:
            self.token = "t"

    client = genai.Client(
        vertexai=True,
        project="p",
        location="l",
        credentials=Credentials(),
        http_options={"base_url": server.url},
    )
    zoom = CropZoom(client, FixedCropper(), OPTIONS)
    assert zoom.ask(png(), QUESTION, model=MODEL) == '{"total": 7}'
    assert server.last.path.endswith(f"publishers/google/models/{MODEL}:generateContent")
    assert pictures(server.last.body) == [png(), crop()]


def test_errors_are_the_clients_own_and_retries_cost_no_crop(server: GoogleServer) -> None:
    server.failures = 1
    with pytest.raises(errors.ServerError, match="try again"):
        wrapped(server).models.generate_content(model=MODEL, contents=contents())
    assert len(server.received) == 1, "what may have been answered is not sent again"
    server.failures = 2
    retry = {"attempts": 3, "initial_delay": 0.01, "http_status_codes": [503]}
    options = {"base_url": server.url, "retry_options": retry}
    cropper = FixedCropper()
    client = CropZoom(genai.Client(api_key="k", http_options=options), cropper, OPTIONS)
    client.models.generate_content(model=MODEL, contents=contents())
    assert [len(pictures(request.body)) for request in server.received] == [2, 2, 2, 2]
    assert len(cropper.questions) == 1


@pytest.mark.parametrize("method", ["generate_content", "count_tokens"])
def test_nothing_to_zoom_is_sent_byte_for_byte(server: GoogleServer, method: str) -> None:
    given = [types.UserContent("Hello"), types.ModelContent("Hi"), types.UserContent("Total?")]
    extra: Any = {}
    if method == "generate_content":
        extra = {"config": {"system_instruction": "Be brief.", "temperature": 0.5, "seed": 3}}
    for client in (plain(server), wrapped(server)):
        getattr(client.models, method)(model=MODEL, contents=given, **extra)
    assert server.received[0].raw == server.received[1].raw


def test_a_chat_keeps_its_beginning_and_its_history_holds_no_crops(server: GoogleServer) -> None:
    client = CropZoom(plain(server), PlacesCropper(), OPTIONS)
    chat = client.chats.create(model=MODEL)
    sent = []
    for message in (contents(), "And what is the date?", "Who signed it?", [blob(1), QUESTION]):
        chat.send_message(message)
        sent.append(server.last.body["contents"])
    for earlier, later in itertools.pairwise(sent):
        assert later[: len(earlier)] == earlier
    assert [len(pictures({"contents": turns})) for turns in sent] == [2, 3, 4, 6]
    parts = [part for item in chat.get_history() for part in item.parts]
    assert sum(part.inline_data is not None for part in parts) == 2


def test_what_a_function_returned_is_zoomed(server: GoogleServer) -> None:
    call = types.FunctionCall(id="1", name="scan", args={})
    shown = types.FunctionResponsePart.from_bytes(data=png(), mime_type="image/png")
    response = types.FunctionResponse(id="1", name="scan", response={"ok": True}, parts=[shown])
    given = [
        types.UserContent(QUESTION),
        types.ModelContent(types.Part(function_call=call)),
        types.UserContent(types.Part(function_response=response)),
    ]
    client = wrapped(server, label="Enlarged:")
    client.models.generate_content(model=MODEL, contents=given)
    assert pictures(server.last.body) == [png(), crop()]
    (part,) = camel(server.last.body)["contents"][2]["parts"]
    assert len(part["functionResponse"]["parts"]) == 2, "it has no place for a label"
    client.models.generate_content(model=MODEL, contents=contents())
    texts = [part.get("text") for part in server.last.body["contents"][0]["parts"]]
    assert texts == [None, "Enlarged:", None, QUESTION]
    with client.cropzoom.override(tool_results=False):
        client.models.generate_content(model=MODEL, contents=given)
    assert pictures(server.last.body) == [png()]


def test_python_functions_are_called_by_the_client_itself(server: GoogleServer) -> None:
    def total(page: int) -> int:
        """Return the total of a page."""
        return page

    wrapped(server).models.generate_content(
        model=MODEL, contents=contents(), config={"tools": [total]}
    )
    assert pictures(server.last.body) == [png(), crop()]


SCHEMA = {
    "type": "OBJECT",
    "properties": {"due_date": {"type": "STRING"}},
    "required": ["due_date"],
}
ASKING: dict[str, dict[str, Any]] = {
    "response_schema": {"response_mime_type": "application/json", "response_schema": SCHEMA},
    "response_json_schema": {
        "response_mime_type": "application/json",
        "response_json_schema": {"type": "object", "properties": {"due_date": {"type": "string"}}},
    },
    "the function to call": {
        "tools": [{"function_declarations": [{"name": "save", "parameters": SCHEMA}]}],
        "tool_config": {"function_calling_config": {"mode": "ANY"}},
    },
    "system_instruction": {"system_instruction": "Answer: what is the due date of the invoice?"},
}


@pytest.mark.parametrize("name", ASKING)
def test_the_config_says_what_is_asked(server: GoogleServer, name: str) -> None:
    cropper = FixedCropper()
    client = CropZoom(plain(server), cropper, OPTIONS)
    words = ["Extract the fields."] if name != "system_instruction" else []
    client.models.generate_content(model=MODEL, contents=[blob(), *words], config=ASKING[name])
    assert any("due date" in question.lower() for question in cropper.questions)


def uploaded(uri: str, kind: str | None = "image/png") -> dict[str, Any]:
    return {"fileData": {"fileUri": uri, **({"mimeType": kind} if kind else {})}}


FILES = "https://generativelanguage.googleapis.com/v1beta/files/abc"
PDF = base64.b64encode(b"%PDF-1.7").decode()


@pytest.mark.parametrize(
    ("part", "reason", "words"),
    [
        (uploaded(FILES), Reason.FILE_ID, "Files API"),
        (uploaded("gs://bucket/page.png"), Reason.FILE_ID, "bucket"),
        (uploaded("gs://bucket/page.png", None), Reason.FILE_ID, "bucket"),
        (uploaded("https://example.com/a.png"), Reason.REMOTE_URL, "fetch_images"),
        (uploaded("gs://bucket/a.pdf", "application/pdf"), Reason.FILE_PART, "PDF"),
        ({"inlineData": {"mimeType": "application/pdf", "data": PDF}}, Reason.FILE_PART, "PDF"),
        ({"inline_data": {"mime_type": "IMAGE/PNG", "data": "AAAA"}}, Reason.BROKEN_IMAGE, ""),
        ({"inlineData": {"mimeType": "image/png", "data": 3}}, Reason.UNSUPPORTED_INPUT, "neither"),
    ],
)
def test_what_is_not_zoomed_says_why(part: dict[str, Any], reason: Reason, words: str) -> None:
    body = {"contents": [{"parts": [part, {"text": QUESTION}]}]}
    new, report = rewrite_body(body, zoom=Zoom(FixedCropper(), OPTIONS))
    assert new == body
    assert report.images[0].reason is reason and words in report.images[0].detail


@pytest.mark.parametrize(
    "part",
    [
        uploaded("https://youtu.be/x", None),
        uploaded("gs://bucket/a.mp4", "video/mp4"),
        {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
        {"executableCode": {"language": "PYTHON", "code": "1"}},
    ],
)
def test_videos_and_sounds_are_no_pictures(part: dict[str, Any]) -> None:
    body = {"contents": [{"parts": [part, {"text": QUESTION}]}]}
    new, report = rewrite_body(body, zoom=Zoom(FixedCropper(), OPTIONS))
    assert new == body and report.reason is Reason.NO_IMAGE


def test_a_cached_beginning_is_with_the_server() -> None:
    body = {"cachedContent": "cachedContents/1", "contents": [{"parts": [{"text": QUESTION}]}]}
    _, report = rewrite_body(body, zoom=Zoom(FixedCropper(), OPTIONS))
    assert report.reason is Reason.AT_SERVER and "cachedContent" in report.detail


def test_a_crop_is_spelled_as_its_picture(server: GoogleServer) -> None:
    data = base64.b64encode(png()).decode()
    level = {"level": "MEDIA_RESOLUTION_HIGH"}
    snake = {"inline_data": {"mime_type": "image/png", "data": data}, "media_resolution": level}
    body = {"contents": [{"role": "user", "parts": [snake, {"text": QUESTION}]}]}
    new, _ = rewrite_body(body, zoom=Zoom(FixedCropper(), OPTIONS))
    cut = {"mime_type": "image/png", "data": base64.b64encode(crop()).decode()}
    assert new["contents"][0]["parts"][1] == {"inline_data": cut, "media_resolution": level}


def large() -> Any:
    buffer = io.BytesIO()
    picture(0, (1600, 1200)).save(buffer, "PNG", compress_level=0)
    return types.Part.from_bytes(data=buffer.getvalue(), mime_type="image/png")


@pytest.mark.parametrize("mode", ["replace", "stitch"])
def test_modes_know_googles_models(server: GoogleServer, mode: str) -> None:
    client = wrapped(server, mode=mode, budget=600)
    client.models.generate_content(model="gemini-2.0-flash", contents=[large(), QUESTION])
    assert len(pictures(server.last.body)) == (2 if mode == "replace" else 1)
    (report,) = client.cropzoom.last_report.images
    assert report.tokens_sent <= 600 < report.tokens_given == 258 * 4


def test_the_configs_resolution_is_the_pictures() -> None:
    data = base64.b64encode(png()).decode()
    part = {"inlineData": {"mimeType": "image/png", "data": data}}
    body = {
        "model": "gemini-2.0-flash",
        "contents": [{"parts": [part, {"text": QUESTION}]}],
        "generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW"},
    }
    _, report = rewrite_body(body, zoom=Zoom(FixedCropper(), OPTIONS))
    assert report.images[0].tokens_given == 64


def test_ask(server: GoogleServer) -> None:
    client = wrapped(server)
    cited = client.ask(png(), QUESTION, model=MODEL, cite=True, config={"temperature": 0})
    assert isinstance(cited, Cited) and cited.text == '{"total": 7}' and cited.boxes == (BOX,)
    assert server.last.body["generationConfig"] == {"temperature": 0}
    assert run(client.aio.ask(picture(), QUESTION, model=MODEL)) == '{"total": 7}'
    client.ask("https://example.com/a.png", QUESTION, model=MODEL)
    assert client.cropzoom.last_report.images[0].reason is Reason.REMOTE_URL
    with pytest.raises(RequestError, match="contents"):
        client.ask(png(), QUESTION, model=MODEL, contents=[])


def test_a_part_of_the_client_is_refused(server: GoogleServer) -> None:
    with pytest.raises(ClientError, match="wrap the client itself"):
        CropZoom(plain(server).models, FixedCropper())
    with pytest.raises(ClientError, match="is a class"):
        CropZoom(genai.Client, FixedCropper())


def test_a_patched_client_is_told_of(server: GoogleServer) -> None:
    client = plain(server)
    client.models.generate_content = lambda **kwargs: None
    with pytest.warns(UserWarning, match="client._models.generate_content was replaced") as told:
        zoom = CropZoom(client, FixedCropper(), OPTIONS)
    assert told[0].filename == __file__
    assert zoom.models.generate_content(model=MODEL, contents=contents()).text
