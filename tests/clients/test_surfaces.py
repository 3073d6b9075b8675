"""Every way to send a conversation, with every kind of client, through a real server.

Each surface is one coroutine, used for sync and async clients alike.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI
from openai.types.chat import ChatCompletion
from openai_server import OpenAIServer, StrictOpenAIServer
from pydantic import BaseModel
from wrapping import (
    OPTIONS,
    FixedCropper,
    chat_image,
    chat_text,
    crop_of,
    frozen,
    marked,
    response_image,
    response_text,
    user,
)

from cropzoom import CropZoom

VERSION = tuple(int(part) for part in openai.__version__.split(".")[:2])


class Total(BaseModel):
    total: int


async def done(value: Any) -> Any:
    """Return a sync client's value and an async client's awaited one."""
    return await value if inspect.isawaitable(value) else value


async def chunks(stream: Any) -> list[Any]:
    stream = await done(stream)
    if hasattr(stream, "__aiter__"):
        return [chunk async for chunk in stream]
    return list(stream)


@asynccontextmanager
async def opened(manager: Any) -> AsyncIterator[Any]:
    if hasattr(manager, "__aenter__"):
        async with manager as value:
            yield value
    else:
        with manager as value:
            yield value


def chat() -> dict[str, Any]:
    return {"model": "m", "messages": [user(chat_image(), chat_text())]}


def response() -> dict[str, Any]:
    return {"model": "m", "input": [user(response_image(), response_text())]}


async def create(client: Any, body: dict[str, Any]) -> Any:
    return await done(client.chat.completions.create(**body))


async def create_streaming(client: Any, body: dict[str, Any]) -> Any:
    return await chunks(client.chat.completions.create(**body, stream=True))


async def parse(client: Any, body: dict[str, Any]) -> Any:
    return await done(client.chat.completions.parse(**body, response_format=Total))


async def stream(client: Any, body: dict[str, Any]) -> Any:
    async with opened(client.chat.completions.stream(**body)) as events:
        return await chunks(events)


async def raw(client: Any, body: dict[str, Any]) -> Any:
    answer = await done(client.chat.completions.with_raw_response.create(**body))
    return [answer.status_code, answer.request_id, answer.parse()]


async def raw_streaming(client: Any, body: dict[str, Any]) -> Any:
    manager = client.chat.completions.with_streaming_response.create(**body)
    async with opened(manager) as answer:
        return await chunks(answer.iter_bytes())


async def client_raw(client: Any, body: dict[str, Any]) -> Any:
    return (await done(client.with_raw_response.chat.completions.create(**body))).parse()


async def beta_parse(client: Any, body: dict[str, Any]) -> Any:
    return await done(client.beta.chat.completions.parse(**body, response_format=Total))


async def beta_stream(client: Any, body: dict[str, Any]) -> Any:
    async with opened(client.beta.chat.completions.stream(**body)) as events:
        return await chunks(events)


async def with_options(client: Any, body: dict[str, Any]) -> Any:
    return await create(client.with_options(timeout=30), body)


async def copied(client: Any, body: dict[str, Any]) -> Any:
    return await create(client.copy(), body)


async def post(client: Any, body: dict[str, Any]) -> Any:
    return await done(client.post("/chat/completions", cast_to=ChatCompletion, body=body))


async def called(client: Any, body: dict[str, Any]) -> Any:
    # The bare client can't do this; the answer must be the same.
    method = client.chat if isinstance(client, CropZoom) else client.chat.completions.create
    return await done(method(**body))


async def responses_create(client: Any, body: dict[str, Any]) -> Any:
    return await done(client.responses.create(**body))


async def responses_streaming(client: Any, body: dict[str, Any]) -> Any:
    return await chunks(client.responses.create(**body, stream=True))


async def responses_parse(client: Any, body: dict[str, Any]) -> Any:
    return await done(client.responses.parse(**body, text_format=Total))


async def responses_stream(client: Any, body: dict[str, Any]) -> Any:
    async with opened(client.responses.stream(**body)) as events:
        return await chunks(events)


async def responses_raw(client: Any, body: dict[str, Any]) -> Any:
    answer = await done(client.responses.with_raw_response.create(**body))
    return [answer.status_code, answer.parse()]


async def responses_raw_streaming(client: Any, body: dict[str, Any]) -> Any:
    manager = client.responses.with_streaming_response.create(**body)
    async with opened(manager) as answer:
        return await chunks(answer.iter_bytes())


async def input_tokens(client: Any, body: dict[str, Any]) -> Any:
    return await done(client.responses.input_tokens.count(**body))


async def beta_responses(client: Any, body: dict[str, Any]) -> Any:
    return await done(client.beta.responses.create(**body))


@dataclass(frozen=True)
class Surface:
    name: str
    send: Callable[[Any, dict[str, Any]], Awaitable[Any]]
    since: tuple[int, int] = (1, 60)

    @property
    def is_chat(self) -> bool:
        return "responses" not in self.name


SURFACES = [
    Surface("chat.completions.create", create),
    Surface("chat.completions.create(stream=True)", create_streaming),
    Surface("chat.completions.parse", parse, (1, 92)),
    Surface("chat.completions.stream", stream, (1, 92)),
    Surface("chat.completions.with_raw_response.create", raw),
    Surface("chat.completions.with_streaming_response.create", raw_streaming),
    Surface("with_raw_response.chat.completions.create", client_raw),
    Surface("beta.chat.completions.parse", beta_parse),
    Surface("beta.chat.completions.stream", beta_stream),
    Surface("with_options().chat.completions.create", with_options),
    Surface("copy().chat.completions.create", copied),
    Surface("post", post),
    Surface("chat()", called),
    Surface("responses.create", responses_create, (1, 66)),
    Surface("responses.create(stream=True)", responses_streaming, (1, 66)),
    Surface("responses.parse", responses_parse, (1, 66)),
    Surface("responses.stream", responses_stream, (1, 66)),
    Surface("responses.with_raw_response.create", responses_raw, (1, 66)),
    Surface("responses.with_streaming_response.create", responses_raw_streaming, (1, 66)),
    Surface("responses.input_tokens.count", input_tokens, (2, 6)),
    Surface("beta.responses.create", beta_responses, (2, 54)),
]


def make_openai(kind: type[Any], url: str) -> Any:
    return kind(api_key="k", base_url=f"{url}/v1", max_retries=2)


def make_azure(kind: type[Any], url: str) -> Any:
    return kind(api_key="k", azure_endpoint=url, api_version="2025-03-01", max_retries=2)


def make_azure_deployment(kind: type[Any], url: str) -> Any:
    return kind(api_key="k", azure_endpoint=url, azure_deployment="d", api_version="2025-03-01")


CLIENTS = [
    pytest.param(OpenAI, make_openai, id="OpenAI"),
    pytest.param(AsyncOpenAI, make_openai, id="AsyncOpenAI"),
    pytest.param(AzureOpenAI, make_azure, id="AzureOpenAI"),
    pytest.param(AsyncAzureOpenAI, make_azure, id="AsyncAzureOpenAI"),
    pytest.param(AzureOpenAI, make_azure_deployment, id="AzureOpenAI-deployment"),
    pytest.param(AsyncAzureOpenAI, make_azure_deployment, id="AsyncAzureOpenAI-deployment"),
]


@pytest.fixture(scope="module")
def _strict() -> Iterator[OpenAIServer]:
    with StrictOpenAIServer() as running:
        yield running


@pytest.fixture
def server(_strict: OpenAIServer) -> OpenAIServer:
    _strict.reset()
    return _strict


def plain(result: Any) -> Any:
    """Return a result as JSON values, to compare two runs."""
    if isinstance(result, list):
        return [plain(item) for item in result]
    if isinstance(result, BaseModel):
        return result.model_dump(mode="json", warnings=False)
    return repr(result)


def run(surface: Surface, client: Any, body: dict[str, Any]) -> Any:
    async def main() -> Any:
        return plain(await surface.send(client, body)), getattr(client, "cropzoom", None)

    async def closed() -> Any:
        # One loop per run: an async client's connections belong to their loop.
        try:
            result, controller = await main()
            return result, controller and controller.last_report
        finally:
            await done(client.close())

    return asyncio.run(closed())


@pytest.mark.parametrize(("kind", "make"), CLIENTS)
@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_surface(
    surface: Surface, kind: type[Any], make: Any, server: OpenAIServer, cropper: FixedCropper
) -> None:
    if surface.since > VERSION:
        since = ".".join(map(str, surface.since))
        pytest.skip(f"{surface.name} came with openai {since}; this is {openai.__version__}")
    body = chat() if surface.is_chat else response()
    before = frozen(body)
    bare_result, _ = run(surface, make(kind, server.url), body)
    bare = server.last

    client = make(kind, server.url)
    state = {name: id(value) for name, value in vars(client).items()}
    wrapped = CropZoom(client, cropper, OPTIONS)
    assert isinstance(wrapped, CropZoom)
    assert isinstance(wrapped, kind)
    result, report = run(surface, wrapped, body)

    assert frozen(body) == before
    assert {name: id(value) for name, value in vars(client).items()} == state
    assert type(client) is kind
    # Same answer, to the last chunk.
    assert result == bare_result
    # The body is the bare client's, except for the crop.
    expected = copy.deepcopy(bare.body)
    if surface.is_chat:
        crop = {"type": "image_url", "image_url": {"url": crop_of()}}
        expected["messages"] = [user(chat_image(), crop, chat_text())]
    else:
        crop = {"type": "input_image", "image_url": crop_of()}
        expected["input"] = [user(response_image(), crop, response_text())]
    assert marked(server.last.body) == expected
    assert (server.last.path, server.last.query) == (bare.path, bare.query)
    assert len(server.received) == 2
    # The call was reported where it was made.
    assert report is not None
    assert [image.reason for image in report.images] == [None]


def test_the_table_has_all_surfaces_of_the_design() -> None:
    assert len(SURFACES) >= 19


@pytest.mark.parametrize(("kind", "make"), CLIENTS)
def test_one_crop_for_a_call_with_two_retries(
    kind: type[Any], make: Any, server: OpenAIServer, cropper: FixedCropper
) -> None:
    server.failures = 2
    client = CropZoom(make(kind, server.url), cropper, OPTIONS)
    run(SURFACES[0], client, chat())
    assert [request.body for request in server.received] == [server.last.body] * 3
    assert crop_of() in frozen(marked(server.last.body))
    assert len(cropper.questions) == 1
