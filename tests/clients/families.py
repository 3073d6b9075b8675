"""The families of clients as one: a conversation in each one's spelling, sent, and read back.

A conversation is a list of turns, `(role, parts)` with role "user", "assistant" or "tool"; a part
is a text or the seed of a picture, see `wrapping.picture`. What was sent is read back the same way,
with `wrapping.crop_of(seed)` for a crop whose pixels are those cut out by hand.
"""

from __future__ import annotations

import base64
import importlib
import inspect
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic_server import AnthropicServer
from google_server import GoogleServer, blob_file, camel
from openai_server import StrictOpenAIServer
from PIL import Image
from wire_server import WireServer
from wrapping import BOX, crop_of, picture, png

from cropzoom.clients.dialects import DIALECTS
from cropzoom.geometry import Box

Turns = list[tuple[str, list[Any]]]


async def done(value: Any) -> Any:
    """Return a sync client's value and an async client's awaited one."""
    return await value if inspect.isawaitable(value) else value


class Family(ABC):
    """One kind of request of one package.

    Attributes:
        name: for the tests' names.
        package: what has to be installed.
        server: speaks it, and is strict.
        model: one whose view of pictures is known.
    """

    name: str
    package: str
    server: type[WireServer]
    model: str

    def errors(self) -> type[Exception]:
        """Return what the client raises for a status of 400 or above."""
        kind: type[Exception] = importlib.import_module(self.package).APIStatusError
        return kind

    @abstractmethod
    def client(self, url: str, awaited: bool, retries: int = 0) -> Any:
        """Return a client."""

    @abstractmethod
    def send(self, client: Any, turns: Turns, model: str = "m", stream: bool = False) -> Any:
        """Send a conversation; an async client's answer is to be awaited."""

    @abstractmethod
    def spelled(self, turns: Turns) -> list[Any]:
        """Return a conversation as the family has it."""

    @abstractmethod
    def read(self, body: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
        """Return roles and parts of a body, a picture as the bytes of its file."""

    def turns(self, body: dict[str, Any], *seeds: int, box: Box = BOX) -> Turns:
        """Return a body as turns."""
        return [
            (role, [shown(part, seeds or (0,), box) for part in parts])
            for role, parts in self.read(body)
        ]

    def items(self, body: dict[str, Any]) -> list[Any]:
        """Return a body's messages as they were sent."""
        return next(body[dialect.items] for dialect in DIALECTS.values() if dialect.items in body)

    def pictures(self, body: dict[str, Any]) -> list[bytes]:
        """Return the files of a body's pictures."""
        return [part for _, parts in self.read(body) for part in parts if isinstance(part, bytes)]


def shown(part: Any, seeds: tuple[int, ...], box: Box = BOX) -> Any:
    """Return a seed for its picture's file, `crop_of` for the crop of one, a text as it is."""
    if not isinstance(part, bytes):
        return part
    with Image.open(io.BytesIO(part)) as image:
        pixels = image.convert("RGB").tobytes()
        size = image.size
    for seed in seeds:
        whole = picture(seed)
        if part == png(seed):
            return seed
        if pixels == whole.crop(box.to_pixels(*whole.size)).tobytes():
            return crop_of(seed, box)
    return f"<picture of {size[0]}x{size[1]}>"


def file(seed: int) -> bytes:
    """Return a picture's file; below 0, one of 1600x1200 px."""
    if seed >= 0:
        return png(seed)
    buffer = io.BytesIO()
    picture(-seed, (1600, 1200)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _base64(seed: int) -> str:
    return base64.b64encode(file(seed)).decode()


def _bytes(url: str) -> bytes:
    return base64.b64decode(url.partition(",")[2])


class _OpenAI(Family):
    package = "openai"
    server = StrictOpenAIServer
    model = "gpt-4.1"

    def client(self, url: str, awaited: bool, retries: int = 0) -> Any:
        import openai

        kind = openai.AsyncOpenAI if awaited else openai.OpenAI
        return kind(api_key="k", base_url=f"{url}/v1", max_retries=retries)


class Chat(_OpenAI):
    name = "chat"

    def send(self, client: Any, turns: Turns, model: str = "m", stream: bool = False) -> Any:
        create = client.chat.completions.create
        return create(model=model, messages=self.spelled(turns), stream=stream)

    def spelled(self, turns: Turns) -> list[Any]:
        def part(value: Any) -> Any:
            if isinstance(value, str):
                return {"type": "text", "text": value}
            url = f"data:image/png;base64,{_base64(value)}"
            return {"type": "image_url", "image_url": {"url": url}}

        return [{"role": role, "content": [part(one) for one in parts]} for role, parts in turns]

    def read(self, body: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
        for item in body["messages"]:
            yield (
                item["role"],
                [
                    part["text"] if "text" in part else _bytes(part["image_url"]["url"])
                    for part in item["content"]
                ],
            )


class Responses(_OpenAI):
    name = "responses"

    def send(self, client: Any, turns: Turns, model: str = "m", stream: bool = False) -> Any:
        return client.responses.create(model=model, input=self.spelled(turns), stream=stream)

    def spelled(self, turns: Turns) -> list[Any]:
        def part(value: Any, role: str) -> Any:
            if isinstance(value, str):
                kind = "output_text" if role == "assistant" else "input_text"
                return {"type": kind, "text": value}
            url = f"data:image/png;base64,{_base64(value)}"
            return {"type": "input_image", "image_url": url}

        items: list[Any] = []
        for role, parts in turns:
            content = [part(one, role) for one in parts]
            if role == "tool":
                call = {"type": "function_call", "call_id": "1", "name": "scan", "arguments": "{}"}
                items += [call, {"type": "function_call_output", "call_id": "1", "output": content}]
            else:
                items.append({"role": role, "content": content})
        return items

    def read(self, body: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
        for item in body["input"]:
            if item.get("type") == "function_call":
                continue
            yield (
                item.get("role", "tool"),
                [
                    part["text"] if "text" in part else _bytes(part["image_url"])
                    for part in item["content" if "content" in item else "output"]
                ],
            )


class Anthropic(Family):
    name = "anthropic"
    package = "anthropic"
    server = AnthropicServer
    model = "claude-haiku-4-5"

    def client(self, url: str, awaited: bool, retries: int = 0) -> Any:
        import anthropic

        kind = anthropic.AsyncAnthropic if awaited else anthropic.Anthropic
        return kind(api_key="k", base_url=url, max_retries=retries)

    def send(self, client: Any, turns: Turns, model: str = "m", stream: bool = False) -> Any:
        create, messages = client.messages.create, self.spelled(turns)
        return create(model=model, max_tokens=9, messages=messages, stream=stream)

    def spelled(self, turns: Turns) -> list[Any]:
        def part(value: Any) -> Any:
            if isinstance(value, str):
                return {"type": "text", "text": value}
            source = {"type": "base64", "media_type": "image/png", "data": _base64(value)}
            return {"type": "image", "source": source}

        items: list[Any] = []
        for role, parts in turns:
            content: list[Any] = [part(one) for one in parts]
            if role == "tool":
                call = {"type": "tool_use", "id": "1", "name": "scan", "input": {}}
                items.append({"role": "assistant", "content": [call]})
                content = [{"type": "tool_result", "tool_use_id": "1", "content": content}]
            items.append({"role": "user" if role == "tool" else role, "content": content})
        return items

    def read(self, body: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
        for item in body["messages"]:
            role, content = item["role"], item["content"]
            if content[0]["type"] == "tool_use":
                continue
            if content[0]["type"] == "tool_result":
                role, content = "tool", content[0]["content"]
            yield (
                role,
                [
                    part["text"] if "text" in part else base64.b64decode(part["source"]["data"])
                    for part in content
                ],
            )


class Google(Family):
    name = "google"
    package = "google.genai"
    server = GoogleServer
    model = "gemini-2.0-flash"

    def errors(self) -> type[Exception]:
        from google.genai.errors import APIError

        return APIError

    def client(self, url: str, awaited: bool, retries: int = 0) -> Any:
        from google import genai

        options: dict[str, Any] = {"base_url": url}
        if retries:
            again = {"attempts": retries + 1, "initial_delay": 0.01, "http_status_codes": [503]}
            options["retry_options"] = again
        client = genai.Client(api_key="k", http_options=options)
        # A client alone is not kept open by its `aio`.
        return client.aio if awaited else client

    def send(self, client: Any, turns: Turns, model: str = "m", stream: bool = False) -> Any:
        models = client.models
        method = models.generate_content_stream if stream else models.generate_content
        return method(model=model, contents=self.spelled(turns))

    def spelled(self, turns: Turns) -> list[Any]:
        def part(value: Any) -> Any:
            if isinstance(value, str):
                return {"text": value}
            return {"inline_data": {"mime_type": "image/png", "data": file(value)}}

        items: list[Any] = []
        for role, parts in turns:
            content: list[Any] = [part(one) for one in parts]
            if role == "tool":
                call = {"function_call": {"name": "scan", "args": {}}}
                items.append({"role": "model", "parts": [call]})
                response = {"name": "scan", "response": {}, "parts": content}
                content = [{"function_response": response}]
            items.append({"role": "model" if role == "assistant" else "user", "parts": content})
        return items

    def read(self, body: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
        for item in camel(body)["contents"]:
            role, parts = {"model": "assistant"}.get(item["role"], "user"), item["parts"]
            if "functionCall" in parts[0]:
                continue
            if "functionResponse" in parts[0]:
                role, parts = "tool", parts[0]["functionResponse"]["parts"]
            yield (
                role,
                [
                    part["text"] if "text" in part else blob_file(part["inlineData"])
                    for part in parts
                ],
            )


FAMILIES = [Chat(), Responses(), Anthropic(), Google()]


def all_families(test: Any) -> Any:
    """Run a test for every family, sync and async."""
    awaited = pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
    each = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
    return each(awaited(test))
