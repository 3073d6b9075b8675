"""What holds for a wrapped OpenAI client beyond the surfaces."""

from __future__ import annotations

import asyncio
import base64
import copy
import io
import logging
import pickle
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, AzureOpenAI, OpenAI
from openai.types.chat import ChatCompletion
from openai_server import OpenAIServer
from wrapping import (
    OPTIONS,
    QUESTION,
    BrokenCropper,
    FixedCropper,
    chat_image,
    chat_text,
    crop_of,
    frozen,
    marked,
    picture,
    png,
    uri,
    user,
)

from cropzoom import (
    ClientError,
    CropperError,
    CropZoom,
    CropZoomError,
    ImageError,
    RequestError,
    ZoomReport,
)
from cropzoom.report import Reason

CROPPED = [user(chat_image(), chat_image(crop_of()), chat_text())]


def body() -> dict[str, Any]:
    return {"model": "m", "messages": [user(chat_image(), chat_text())]}


@pytest.fixture
def bare(server: OpenAIServer) -> OpenAI:
    return OpenAI(api_key="k", base_url=f"{server.url}/v1", max_retries=0)


@pytest.fixture
def client(bare: OpenAI, cropper: FixedCropper) -> Any:
    return CropZoom(bare, cropper, OPTIONS)


# Wrapping


def test_wrapping_twice_changes_nothing(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert CropZoom(client) is client
    assert not caplog.records
    assert CropZoom(client, strict=True) is client
    assert "wrapped already" in caplog.text
    assert not client.cropzoom.strict


def test_two_wraps_of_one_client_are_separate(bare: OpenAI, server: OpenAIServer) -> None:
    one = CropZoom(bare, FixedCropper(), OPTIONS)
    two = CropZoom(bare, FixedCropper(confidence=0.0), OPTIONS)
    two.chat(**body())
    assert server.last.body == body()
    one.chat(**body())
    assert marked(server.last.body)["messages"] == CROPPED
    assert one.cropzoom is not two.cropzoom


def test_resources_made_before_wrapping_are_not_used(bare: OpenAI, server: OpenAIServer) -> None:
    before = bare.chat.completions
    wrapped = CropZoom(bare, FixedCropper(), OPTIONS)
    wrapped.chat.completions.create(**body())
    assert marked(server.last.body)["messages"] == CROPPED
    assert bare.chat.completions is before
    before.create(**body())
    assert server.last.body == body()


def test_the_class_keeps_its_name(client: Any) -> None:
    assert type(client).__name__ == "OpenAI"
    assert type(client.chat).__mro__[1].__name__ == "Chat"


def test_copies_stay_wrapped_and_share_the_controller(client: Any, server: OpenAIServer) -> None:
    for other in (client.copy(), client.with_options(timeout=3), copy.copy(client)):
        assert isinstance(other, CropZoom)
        assert other.cropzoom is client.cropzoom
        other.chat(**body())
        assert marked(server.last.body)["messages"] == CROPPED
    assert client.with_options(timeout=3).timeout == 3


def test_a_subclass_of_the_client_keeps_its_own_methods(server: OpenAIServer) -> None:
    class Mine(OpenAI):
        def hello(self) -> str:
            return f"hello from {self.base_url}"

    wrapped = CropZoom(Mine(api_key="k", base_url=server.url), FixedCropper(), OPTIONS)
    assert wrapped.hello() == f"hello from {wrapped.base_url}"
    wrapped.chat(**body())
    assert marked(server.last.body)["messages"] == CROPPED


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (object(), "can't wrap builtins.object"),
        (OpenAI, "is a class"),
        (openai, "give openai.OpenAI"),
        ("gpt", "rewrite_body"),
    ],
)
def test_other_things_are_refused_with_a_remedy(thing: Any, said: str) -> None:
    with pytest.raises(ClientError, match=said):
        CropZoom(thing, FixedCropper())


def test_parts_of_a_client_are_refused(bare: OpenAI) -> None:
    with pytest.raises(ClientError, match="wrap the client itself"):
        CropZoom(bare.chat.completions, FixedCropper())


def test_a_cropper_must_be_one(bare: OpenAI) -> None:
    with pytest.raises(CropperError, match="predict"):
        CropZoom(bare, 3)  # type: ignore[call-overload]


def test_a_fresh_client_is_not_taken_for_patched(bare: OpenAI) -> None:
    bare.chat.completions  # noqa: B018
    bare.beta.chat  # noqa: B018
    bare.with_raw_response.chat  # noqa: B018
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CropZoom(bare, FixedCropper())


@pytest.mark.parametrize("path", ["request", "post", "chat.completions.create"])
def test_a_patched_client_is_warned_about(path: str, bare: OpenAI, server: OpenAIServer) -> None:
    *resources, name = path.split(".")
    owner: Any = bare
    for resource in resources:
        owner = getattr(owner, resource)
    original = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: original(*args, **kwargs))
    with pytest.warns(UserWarning, match=rf"client\.{path} .*wrap_openai\(CropZoom") as caught:
        wrapped = CropZoom(bare, FixedCropper(), OPTIONS)
    assert caught[0].filename == __file__
    wrapped.chat.completions.create(**body())
    assert marked(server.last.body)["messages"] == CROPPED


def test_wrapping_imports_no_other_client_library() -> None:
    code = """
        import sys
        from cropzoom import ClientError, CropZoom
        try:
            CropZoom(object())
        except ClientError:
            pass
        assert not {"openai", "transformers", "torch", "onnxruntime"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


# Requests


def test_extra_body_is_what_counts(client: Any, server: OpenAIServer) -> None:
    """The SDK lets `extra_body` replace fields when it sends."""
    extra = {"messages": [user(chat_image(uri(1)), chat_text("Other?"))], "top_k": 3}
    before = frozen(extra)
    client.chat.completions.create(**body(), extra_body=extra)
    sent = marked(server.last.body, 1)
    assert sent["messages"] == [
        user(chat_image(uri(1)), chat_image(crop_of(1)), chat_text("Other?"))
    ]
    assert sent["top_k"] == 3
    assert frozen(extra) == before
    client.chat.completions.create(**body(), extra_body={"top_k": 3})
    assert marked(server.last.body) == {**body(), "messages": CROPPED, "top_k": 3}


def test_a_posted_body_is_not_touched(client: Any, server: OpenAIServer) -> None:
    given = body()
    parts = given["messages"][0]["content"]
    client.post("/chat/completions", cast_to=ChatCompletion, body=given)
    assert given == body()
    assert given["messages"][0]["content"] is parts
    assert marked(server.last.body)["messages"] == CROPPED


@pytest.mark.parametrize(
    "path", ["chat/completions", "/chat/completions?a=1", "{url}/v1/chat/completions"]
)
def test_paths_with_queries_and_whole_addresses(
    path: str, client: Any, server: OpenAIServer
) -> None:
    client.post(path.format(url=server.url), cast_to=ChatCompletion, body=body())
    assert marked(server.last.body)["messages"] == CROPPED


def test_other_endpoints_are_left_alone(client: Any, server: OpenAIServer) -> None:
    given = {"model": "m", "input": [user(chat_image(), chat_text())]}
    client.post("/embeddings", cast_to=object, body=given)
    assert server.last.body == given
    assert client.cropzoom.last_report is None


def test_requests_without_a_body_are_left_alone(client: Any, server: OpenAIServer) -> None:
    client.post("/chat/completions", cast_to=object)
    assert server.last.raw == b""
    assert client.cropzoom.last_report.reason == Reason.NO_IMAGE


def test_azure_keeps_its_address_over_retries(server: OpenAIServer) -> None:
    server.failures = 1
    azure = AzureOpenAI(api_key="k", azure_endpoint=server.url, api_version="v", max_retries=1)
    CropZoom(azure, FixedCropper(), OPTIONS).chat(**body())
    assert [(r.path, r.query) for r in server.received] == [
        ("/openai/deployments/m/chat/completions", "api-version=v")
    ] * 2
    assert marked(server.received[1].body)["messages"] == CROPPED


def test_override_off_sends_the_callers_body(client: Any, server: OpenAIServer) -> None:
    with client.cropzoom.override(enabled=False):
        client.chat(**body())
    assert server.last.body == body()
    assert client.cropzoom.last_report.reason == Reason.OFF


def test_text_only_calls_are_reported_too(bare: OpenAI, server: OpenAIServer) -> None:
    seen: list[ZoomReport] = []
    client = CropZoom(bare, FixedCropper(), OPTIONS, seen.append)
    given = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    client.chat(**given)
    assert server.last.body == given
    assert [report.reason for report in seen] == [Reason.NO_IMAGE]


def test_a_failing_cropper_does_not_stop_calls(
    bare: OpenAI, server: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    client = CropZoom(bare, BrokenCropper(), OPTIONS)
    for _ in range(3):
        assert client.chat(**body()).choices
    assert [request.body for request in server.received] == [body()] * 3
    told = [r for r in caplog.records if r.name == "cropzoom" and r.levelno == logging.WARNING]
    assert len(told) == 1
    assert "out of paper" in told[0].getMessage()


STRICT = {
    "no image": {"model": "m", "messages": [user(chat_text())]},
    "no text": {"model": "m", "messages": [user(chat_image())]},
    "remote": {"model": "m", "messages": [user(chat_image("https://e.com/a"), chat_text())]},
    "broken": {"model": "m", "messages": [user(chat_image(uri()[:300]), chat_text())]},
}


@pytest.mark.parametrize("given", STRICT.values(), ids=STRICT)
def test_strict_raises_before_anything_is_sent(
    given: Any, bare: OpenAI, server: OpenAIServer
) -> None:
    client = CropZoom(bare, FixedCropper(), OPTIONS, strict=True)
    with pytest.raises(CropZoomError):
        client.chat(**given)
    assert server.received == []
    # The remedy that the messages name.
    with client.cropzoom.override(enabled=False):
        client.chat(**given)
    assert server.last.body == given


def test_strict_raises_in_async_clients(server: OpenAIServer) -> None:
    async def main() -> None:
        async with AsyncOpenAI(api_key="k", base_url=server.url) as bare:
            client = CropZoom(bare, FixedCropper(), OPTIONS, strict=True)
            with pytest.raises(RequestError):
                await client.chat(**STRICT["no text"])

    asyncio.run(main())
    assert server.received == []


# Async


def test_the_event_loop_runs_on_while_a_crop_is_computed(server: OpenAIServer) -> None:
    """The cropper waits for a task of the loop: computed in the loop itself, it would never end."""
    released = threading.Event()
    threads: list[int] = []

    class Waiting(FixedCropper):
        def predict(self, image: Any, question: str, k: int = 1) -> Any:
            threads.append(threading.get_ident())
            assert released.wait(20)
            return super().predict(image, question, k)

    async def release() -> None:
        while not threads:
            await asyncio.sleep(0.01)
        released.set()

    async def main() -> None:
        async with AsyncOpenAI(api_key="k", base_url=server.url) as bare:
            client = CropZoom(bare, Waiting(), OPTIONS)
            await asyncio.gather(client.chat(**body()), release())

    asyncio.run(main())
    assert threads != [threading.get_ident()]
    assert marked(server.last.body)["messages"] == CROPPED


def test_concurrent_async_calls_keep_reports_and_overrides_apart(server: OpenAIServer) -> None:
    async def main() -> None:
        async with AsyncOpenAI(api_key="k", base_url=server.url) as bare:
            client = CropZoom(bare, FixedCropper(), OPTIONS)

            async def call(number: int) -> tuple[str | None, int]:
                text = f"Number {number}?"
                with client.cropzoom.override(label=f"Label {number}", enabled=number != 3):
                    await client.chat(
                        model="m", messages=[user(chat_image(uri(number)), chat_text(text))]
                    )
                report = client.cropzoom.last_report
                assert report is not None
                return report.question, len(report.crops)

            results = await asyncio.gather(*(call(number) for number in range(6)))
            assert results == [
                (None, 0) if number == 3 else (f"Number {number}?", 1) for number in range(6)
            ]
            assert client.cropzoom.last_report is None

    asyncio.run(main())
    for request in server.received:
        content = request.body["messages"][0]["content"]
        number = content[-1]["text"].split()[1].rstrip("?")
        labels = [part["text"] for part in content[1:-1] if part["type"] == "text"]
        assert labels == ([] if number == "3" else [f"Label {number}"])


# ask


def sources(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "a picture.png"
    path.write_bytes(png())
    return {
        "path": path,
        "string": str(path),
        "bytes": png(),
        "PIL": picture(),
        "data URI": uri(),
    }


@pytest.mark.parametrize("kind", ["path", "string", "bytes", "PIL", "data URI"])
def test_ask_takes_any_source(kind: str, tmp_path: Path, client: Any, server: OpenAIServer) -> None:
    source = sources(tmp_path)[kind]
    answer = client.ask(source, QUESTION, model="m", max_tokens=5)
    assert answer == '{"total": 7}'
    sent = marked(server.last.body)
    assert (sent["model"], sent["max_tokens"]) == ("m", 5)
    first, crop, text = sent["messages"][0]["content"]
    assert (crop, text) == (chat_image(crop_of()), chat_text())
    if kind == "PIL":
        data = base64.b64decode(first["image_url"]["url"].partition(",")[2])
        from PIL import Image

        assert Image.open(io.BytesIO(data)).tobytes() == picture().tobytes()
    else:
        assert first == chat_image()


@pytest.mark.parametrize("suffix", ["jpeg", "gif", "webp", "bmp", "tiff"])
def test_ask_sends_files_as_they_are_if_the_api_takes_them(
    suffix: str, client: Any, server: OpenAIServer
) -> None:
    buffer = io.BytesIO()
    picture().save(buffer, suffix)
    client.ask(buffer.getvalue(), QUESTION, model="m")
    url = server.last.body["messages"][0]["content"][0]["image_url"]["url"]
    header, _, payload = url.partition(",")
    if suffix in ("bmp", "tiff"):
        assert header == "data:image/png;base64"
    else:
        assert header == f"data:image/{suffix};base64"
        assert base64.b64decode(payload) == buffer.getvalue()


def test_ask_passes_addresses_on(client: Any, server: OpenAIServer) -> None:
    client.ask("https://example.com/a.png", QUESTION, model="m")
    assert server.last.body["messages"] == [
        user(chat_image("https://example.com/a.png"), chat_text())
    ]
    assert client.cropzoom.last_report.images[0].reason == Reason.REMOTE_URL


def test_ask_refuses_what_it_can_not_do(client: Any, server: OpenAIServer) -> None:
    with pytest.raises(RequestError, match=r"client\.chat\(stream=True"):
        client.ask(png(), QUESTION, model="m", stream=True)
    with pytest.raises(RequestError, match="messages"):
        client.ask(png(), QUESTION, model="m", messages=[])
    with pytest.raises(ImageError, match="nowhere"):
        client.ask("/nowhere/at/all.png", QUESTION, model="m")
    with pytest.raises(ImageError):
        client.ask(b"hello", QUESTION, model="m")
    assert server.received == []


def test_ask_async(server: OpenAIServer, tmp_path: Path) -> None:
    async def main() -> str:
        async with AsyncOpenAI(api_key="k", base_url=server.url) as bare:
            client = CropZoom(bare, FixedCropper(), OPTIONS)
            with pytest.raises(RequestError):
                await client.ask(png(), QUESTION, model="m", stream=True)
            return await client.ask(sources(tmp_path)["path"], QUESTION, model="m")

    assert asyncio.run(main()) == '{"total": 7}'
    assert marked(server.last.body)["messages"] == CROPPED


def test_reports_can_be_stored(client: Any, server: OpenAIServer) -> None:
    client.chat(**body())
    report = client.cropzoom.last_report
    assert pickle.loads(pickle.dumps(report)) == report
    assert frozen(report.to_dict())
