"""Refusals in the very words of servers that people run, and refusals within raw streams."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from openai_server import OpenAIServer, Received
from test_refusals import pictures, wrapped
from test_surfaces import chat, response
from wrapping import OPTIONS, FixedCropper, chat_image, chat_text, uri, user

from cropzoom import CropZoom
from cropzoom.images import decode_data_uri, load_image
from cropzoom.report import Reason

VLLM = "At most 1 image(s) may be provided in one prompt."
VLLM_OLD = (
    "You set image=1 (or defaulted to 1) in `--limit-mm-per-prompt`, but passed 2 image items in "
    "the same prompt."
)
VLLM_LONG = (
    "The decoder prompt (length 4830) is longer than the maximum model length of 4096. Make sure "
    "that `max_model_len` is no smaller than the number of text tokens plus multimodal tokens. For "
    "image inputs, the number of image tokens depends on the number of images and their aspect "
    "ratios as well."
)
NGINX = (
    "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n<center><h1>"
    "413 Request Entity Too Large</h1></center>\r\n<hr><center>nginx/1.24.0</center>\r\n</body>"
)
FASTAPI = json.dumps(
    {
        "detail": [
            {
                "type": "too_long",
                "loc": ["body", "messages", 0, "content"],
                "msg": "List should have at most 2 items after validation, not 3",
                "input": [{"type": "image_url", "image_url": {"url": uri()}}],
            }
        ]
    }
)
LLAMA = "request (4830 tokens) exceeds the available context size (4096 tokens), try increasing it"
TGI = (
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 3900 "
    "`inputs` tokens and 512 `max_new_tokens`"
)
AZURE = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management "
    "policy. Please modify your prompt and retry."
)
PIXTRAL = "Image dimensions exceed the max allowed size for many-image requests: 300 pixels"


def more_than(count: int) -> Callable[[Received], bool]:
    return lambda request: len(pictures(request)) > count


def other_than_the_callers(request: Received) -> bool:
    return pictures(request) != [uri()]


def longer(request: Received) -> bool:
    return len(request.raw) > len(uri()) + 1000


def larger(request: Received) -> bool:
    sizes = [load_image(decode_data_uri(url)).size for url in pictures(request)]
    return sum(width * height for width, height in sizes) > 160 * 120


WORDS: dict[str, tuple[Callable[[Received], bool], int, str]] = {
    "vLLM": (more_than(1), 400, VLLM),
    "vLLM, earlier": (more_than(1), 400, VLLM_OLD),
    "vLLM, context": (larger, 400, VLLM_LONG),
    "llama.cpp, context": (larger, 400, LLAMA),
    "TGI": (larger, 422, TGI),
    "Ollama": (more_than(1), 500, "vision model only supports a single image per message"),
    "Ollama, its runner": (
        more_than(1),
        500,
        "model runner has unexpectedly stopped, this may be due to resource limitations or an "
        "internal error, check ollama server logs for details",
    ),
    "llama.cpp, markers": (
        more_than(1),
        500,
        "number of bitmaps (2) does not match number of markers (1)",
    ),
    "a GPU": (larger, 500, "CUDA out of memory. Tried to allocate 2.00 GiB."),
    "Bedrock behind LiteLLM": (
        more_than(1),
        400,
        "litellm.BadRequestError: BedrockException - The model returned the following errors: "
        "Too many images and documents in the request",
    ),
    "LM Studio": (more_than(1), 400, "Model does not support multiple images"),
    "Azure, one picture": (other_than_the_callers, 400, AZURE),
    "OpenRouter": (more_than(1), 404, "No endpoints found that support image input of this kind"),
    "Groq": (more_than(1), 400, "Too many images provided. This model supports up to 1 images"),
    "nginx": (longer, 413, NGINX),
    "FastAPI": (lambda r: len(r.body["messages"][0]["content"]) > 2, 422, FASTAPI),
    "a gateway": (more_than(1), 415, "unsupported media: multiple images"),
    "Pixtral": (other_than_the_callers, 400, PIXTRAL),
    "no canvas either": (other_than_the_callers, 400, VLLM),
}


@pytest.mark.parametrize(("refuses", "status", "words"), WORDS.values(), ids=WORDS)
@pytest.mark.parametrize("stream", [False, True])
def test_in_their_words(
    refuses: Callable[[Received], bool],
    status: int,
    words: str,
    stream: bool,
    server: OpenAIServer,
    cropper: FixedCropper,
) -> None:
    server.refuse = lambda request: (status, words) if refuses(request) else None
    body = {"model": "m", "messages": [user(chat_image(), chat_text())], "stream": stream}
    client = wrapped(server, cropper)
    for call in range(3):
        server.received.clear()
        answer = client.chat(**body)
        assert list(answer) if stream else answer.choices
        # As it was made comes after the crops beside their image and on it, at the latest.
        assert len(server.received) in ((2, 3) if call == 0 else (1,))
        report = client.cropzoom.last_report
        if call == 0:
            assert report.reason is Reason.REFUSED
            assert json.dumps(words[:40])[1:-1] in report.detail


def in_stream(request: Received) -> tuple[int, str] | None:
    return (200, VLLM) if len(pictures(request)) > 1 else None


def raw(client: Any, endpoint: Any, body: dict[str, Any]) -> list[Any]:
    return list(endpoint(client).with_raw_response.create(**body, stream=True).parse())


def streaming(client: Any, endpoint: Any, body: dict[str, Any]) -> list[Any]:
    with endpoint(client).with_streaming_response.create(**body, stream=True) as answer:
        return list(answer.iter_lines())


async def raw_async(client: Any, endpoint: Any, body: dict[str, Any]) -> list[Any]:
    answer = await endpoint(client).with_raw_response.create(**body, stream=True)
    return [event async for event in answer.parse()]


async def streaming_async(client: Any, endpoint: Any, body: dict[str, Any]) -> list[Any]:
    async with endpoint(client).with_streaming_response.create(**body, stream=True) as answer:
        return [line async for line in answer.iter_lines()]


ENDPOINTS = [
    pytest.param(lambda client: client.chat.completions, chat, id="chat"),
    pytest.param(lambda client: client.responses, response, id="responses"),
]


@pytest.mark.parametrize(("endpoint", "make"), ENDPOINTS)
@pytest.mark.parametrize("read", [raw, streaming])
def test_within_a_raw_stream(
    read: Any, endpoint: Any, make: Any, server: OpenAIServer, cropper: FixedCropper
) -> None:
    client = OpenAI(api_key="k", base_url=f"{server.url}/v1", max_retries=0)
    if not hasattr(client, "responses"):
        pytest.skip("this openai has no responses")
    bare = read(client, endpoint, make())
    server.refuse = in_stream
    server.received.clear()
    client = CropZoom(client, cropper, OPTIONS)
    for sends in (2, 3):
        assert read(client, endpoint, make()) == bare
        assert len(server.received) == sends
    assert client.cropzoom.last_report.reason is None


@pytest.mark.parametrize(("endpoint", "make"), ENDPOINTS)
@pytest.mark.parametrize("read", [raw_async, streaming_async])
def test_within_a_raw_async_stream(
    read: Any, endpoint: Any, make: Any, server: OpenAIServer, cropper: FixedCropper
) -> None:
    async def main() -> None:
        client = AsyncOpenAI(api_key="k", base_url=f"{server.url}/v1", max_retries=0)
        if not hasattr(client, "responses"):
            pytest.skip("this openai has no responses")
        bare = await read(client, endpoint, make())
        server.refuse = in_stream
        server.received.clear()
        wrapped_client = CropZoom(client, cropper, OPTIONS)
        for sends in (2, 3):
            assert await read(wrapped_client, endpoint, make()) == bare
            assert len(server.received) == sends
        await client.close()

    asyncio.run(main())


def test_another_error_within_a_raw_stream_comes_through(
    server: OpenAIServer, cropper: FixedCropper
) -> None:
    server.refuse = lambda request: (200, "overloaded")
    client = wrapped(server, cropper)
    with client.chat.completions.with_streaming_response.create(**chat(), stream=True) as answer:
        data = io.BytesIO(b"".join(answer.iter_bytes())).getvalue()
    assert b"overloaded" in data
    assert len(server.received) == 1


class LateServer(OpenAIServer):
    """Opens its stream with a role, and refuses only then."""

    def answer(self, request: Received) -> tuple[str, bytes]:
        kind, data = super().answer(request)
        if len(pictures(request)) > 1:
            opening, end, _ = data.partition(b"\n\n")
            data = opening + end + b"data: " + self.error(400, VLLM) + end
        return kind, data


def test_a_stream_that_refuses_after_its_opening(cropper: FixedCropper) -> None:
    with LateServer() as server:
        bare = OpenAI(api_key="k", base_url=f"{server.url}/v1", max_retries=0)
        client = wrapped(server, cropper)
        events = [event.to_dict() for event in client.chat(**chat(), stream=True)]
        plain = bare.chat.completions.create(**chat(), stream=True)
        assert events == [event.to_dict() for event in plain]
        assert client.cropzoom.last_report.reason is Reason.REFUSED
        assert [len(pictures(request)) for request in server.received] == [2, 1, 1]


def test_an_async_stream_that_refuses_after_its_opening(cropper: FixedCropper) -> None:
    async def events(url: str) -> list[Any]:
        bare = AsyncOpenAI(api_key="k", base_url=f"{url}/v1", max_retries=0)
        async with CropZoom(bare, cropper, OPTIONS) as client:
            stream = await client.chat.completions.create(**chat(), stream=True)
            return [event async for event in stream]

    with LateServer() as server:
        assert len(asyncio.run(events(server.url))) == 4
        assert [len(pictures(request)) for request in server.received] == [2, 1]
