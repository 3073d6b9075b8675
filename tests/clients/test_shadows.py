"""Calls that are asked again as the caller made them: in the background, and never in the way."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import openai
import pytest
from anthropic_server import AnthropicServer
from openai_server import OpenAIServer
from wire_server import Received
from wrapping import OPTIONS, FixedCropper, chat_image, chat_text, response_image, response_text

from cropzoom import CropZoom, OptionsError, ZoomOptions
from cropzoom.clients.shadows import drawn, is_same
from cropzoom.report import Shadow, Usage

later = pytest.mark.skipif(
    not hasattr(openai.OpenAI(api_key="k"), "responses"), reason="this openai has no responses"
)
CHAT: Any = [{"role": "user", "content": [chat_image(), chat_text()]}]
INPUT: Any = [{"role": "user", "content": [response_image(), response_text()]}]


def options(share: float = 1.0) -> ZoomOptions:
    return replace(OPTIONS, shadow=share)


class Server(OpenAIServer):
    """Answers the original (one picture) in its own way, and late if it is told so.

    Attributes:
        original: what is said to a request with one picture; None for the usual.
        gate: requests with one picture wait for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.original: str | None = None
        self.gate = threading.Event()
        self.gate.set()

    def answer(self, request: Received) -> tuple[str, bytes]:
        kind, data = super().answer(request)
        if pictures(request.body) == 1:
            self.gate.wait(10)
            if self.original is not None:
                said = json.dumps('{"total": 7}')[1:-1].encode()
                data = data.replace(said, self.original.encode())
        return kind, data


def pictures(body: dict[str, Any]) -> int:
    return json.dumps(body).count("data:image/")


def client(server: Any, share: float = 1.0, **kwargs: Any) -> Any:
    own = openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0, **kwargs)
    return CropZoom(own, FixedCropper(), options(share))


def eventually(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@later
def test_answers_are_compared_and_counted() -> None:
    with Server() as server:
        zoomed = client(server)
        told: list[Shadow] = []
        zoomed.cropzoom.on_shadow = told.append
        zoomed.chat(model="m", messages=CHAT)
        report = zoomed.cropzoom.last_report
        assert report.shadowed and report.to_dict()["shadowed"]
        eventually(lambda: len(told) == 1)
        assert [pictures(request.body) for request in server.received] == [2, 1]
        assert server.received[1].body["messages"] == CHAT
        assert (told[0].sent, told[0].original) == ('{"total": 7}',) * 2 and told[0].same
        server.original = "8"
        zoomed.responses.create(model="m", input=INPUT)
        eventually(lambda: len(told) == 2)
        assert told[1].original == "8" and told[1].same is False
        usage = zoomed.cropzoom.usage
        assert (usage.calls, usage.shadows, usage.shadows_same, usage.shadows_failed) == (
            2,
            2,
            1,
            0,
        )
        assert usage.shadow_tokens == usage.tokens_given > 0
        assert usage.tokens_saved == -usage.tokens_sent


@later
def test_off_by_default_and_only_where_something_was_added() -> None:
    with Server() as server:
        plain = client(server, 0.0)
        plain.chat(model="m", messages=CHAT)
        assert not plain.cropzoom.last_report.shadowed
        zoomed = client(server)
        zoomed.chat(model="m", messages=[{"role": "user", "content": "What is the total?"}])
        with zoomed.cropzoom.override(enabled=False):
            zoomed.chat(model="m", messages=CHAT)
        zoomed.responses.input_tokens.count(model="m", input=INPUT)
        time.sleep(0.1)
        assert len(server.received) == 4
        assert zoomed.cropzoom.usage.shadows == zoomed.cropzoom.usage.shadows_failed == 0


def test_the_caller_does_not_wait_and_hears_of_no_failure() -> None:
    with Server() as server:
        zoomed = client(server)
        server.gate.clear()
        for _ in range(6):
            assert zoomed.chat(model="m", messages=CHAT).choices[0].message.content
        # Four are under way and wait; the others are left out.
        eventually(lambda: len(server.received) == 10)
        assert zoomed.cropzoom.usage.shadows_failed == 2
        server.gate.set()
        eventually(lambda: zoomed.cropzoom.usage.shadows == 4)
        server.refuse = lambda request: (500, "no") if pictures(request.body) == 1 else None
        zoomed.chat(model="m", messages=CHAT)
        eventually(lambda: zoomed.cropzoom.usage.shadows_failed == 3)
        server.refuse = lambda request: None

        def broken(shadow: Shadow) -> None:
            raise RuntimeError("no dashboard")

        zoomed.cropzoom.on_shadow = broken
        zoomed.chat(model="m", messages=CHAT)
        eventually(lambda: zoomed.cropzoom.usage.shadows == 5)


def test_a_shadow_is_given_up_in_time() -> None:
    with Server() as server:
        zoomed = client(server, timeout=0.3)
        server.gate.clear()
        zoomed.chat(model="m", messages=CHAT)
        eventually(lambda: zoomed.cropzoom.usage.shadows_failed == 1)
        server.gate.set()


def test_what_the_caller_changes_afterwards_is_not_sent() -> None:
    with Server() as server:
        zoomed = client(server)
        messages = json.loads(json.dumps(CHAT))
        zoomed.chat(model="m", messages=messages)
        messages[0]["content"].clear()
        eventually(lambda: zoomed.cropzoom.usage.shadows == 1)
        assert server.received[1].body["messages"] == CHAT


@later
@pytest.mark.parametrize("surface", ["chat", "responses"])
def test_streams_are_compared_when_they_came_whole(surface: str) -> None:
    def stream(own: Any) -> Any:
        if surface == "chat":
            return own.chat(model="m", messages=CHAT, stream=True)
        return own.responses.create(model="m", input=INPUT, stream=True)

    with Server() as server:
        zoomed = client(server)
        told: list[Shadow] = []
        zoomed.cropzoom.on_shadow = told.append
        with stream(zoomed) as half:
            next(iter(half))
        assert len(list(stream(zoomed))) >= 4
        eventually(lambda: len(told) == 1)
        assert told[0].sent == told[0].original == '{"total": 7}' and told[0].same
        assert [pictures(request.body) for request in server.received] == [2, 2, 1]


@later
def test_raw_responses_and_helpers() -> None:
    with Server() as server:
        zoomed = client(server)
        raw = zoomed.chat.completions.with_raw_response.create(model="m", messages=CHAT)
        assert raw.parse().choices[0].message.content == '{"total": 7}'
        eventually(lambda: zoomed.cropzoom.usage.shadows_same == 1)
        with zoomed.chat.completions.stream(model="m", messages=CHAT) as stream:
            assert stream.get_final_completion().choices[0].message.content == '{"total": 7}'
        eventually(lambda: zoomed.cropzoom.usage.shadows_same == 2)
        with zoomed.chat.completions.with_streaming_response.create(
            model="m", messages=CHAT
        ) as response:
            assert response.parse().choices[0].message.content == '{"total": 7}'
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        zoomed.chat(model="m", messages=CHAT, tools=[tool])
        eventually(lambda: zoomed.cropzoom.usage.shadows_same == 3)


def test_a_refused_call_has_no_shadow() -> None:
    with Server() as server:
        refused = (400, "this picture is not taken")
        server.refuse = lambda request: None if request.body["messages"] == CHAT else refused
        zoomed = client(server)
        zoomed.chat(model="m", messages=CHAT)
        assert not zoomed.cropzoom.last_report.shadowed
        time.sleep(0.1)
        assert pictures(server.last.body) == 1
        assert zoomed.cropzoom.usage.shadows == zoomed.cropzoom.usage.shadows_failed == 0


def test_async_clients() -> None:
    async def run(server: Server) -> None:
        own = openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0)
        zoomed: Any = CropZoom(own, FixedCropper(), options())
        answers = [zoomed.chat(model="m", messages=CHAT) for _ in range(3)]
        await asyncio.gather(*answers)
        async for _ in await zoomed.chat(model="m", messages=CHAT, stream=True):
            pass
        for _ in range(500):
            await asyncio.sleep(0.01)
            if zoomed.cropzoom.usage.shadows == 4:
                break
        assert zoomed.cropzoom.usage.shadows_same == 4
        # Closing cancels what is under way.
        server.gate.clear()
        await zoomed.chat(model="m", messages=CHAT)
        await zoomed.close()
        assert len(asyncio.all_tasks()) == 1
        assert (zoomed.cropzoom.usage.shadows, zoomed.cropzoom.usage.shadows_failed) == (4, 0)
        server.gate.set()

    with Server() as server:
        asyncio.run(run(server))


def test_a_closed_client_starts_none() -> None:
    with Server() as server:
        zoomed = client(server)
        server.gate.clear()
        zoomed.chat(model="m", messages=CHAT)
        zoomed.close()
        server.gate.set()
        time.sleep(0.1)
        usage = zoomed.cropzoom.usage
        assert (usage.calls, usage.shadows, usage.shadows_failed) == (1, 0, 0)


def test_anthropic() -> None:
    anthropic = pytest.importorskip("anthropic")
    source = {"type": "base64", "media_type": "image/png"}
    url = chat_image()["image_url"]["url"]
    content = [{"type": "image", "source": {**source, "data": url.partition(",")[2]}}, chat_text()]
    asked: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}
    with AnthropicServer() as server:
        own = anthropic.Anthropic(base_url=server.url, api_key="k", max_retries=0)
        zoomed: Any = CropZoom(own, FixedCropper(), options())
        zoomed.messages.create(**asked)
        eventually(lambda: zoomed.cropzoom.usage.shadows_same == 1)
        with zoomed.messages.stream(**asked) as stream:
            stream.get_final_text()
        eventually(lambda: zoomed.cropzoom.usage.shadows_same == 2)
        zoomed.messages.count_tokens(model="m", messages=asked["messages"])


def test_the_same_call_is_always_drawn_or_never() -> None:
    bodies = [{"model": "m", "messages": [{"content": f"question {n}"}]} for n in range(4000)]
    chosen = [drawn(body, 0.02) for body in bodies]
    assert 50 < sum(chosen) < 115  # 80 are expected, with a deviation of 9.
    assert chosen == [drawn(json.loads(json.dumps(body)), 0.02) for body in bodies]
    assert all(drawn(body, 1.0) for body in bodies[:50])
    assert not any(drawn(body, 0.0) for body in bodies[:50])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("14.20", " 14.20. ", True),
        ("14.20", "1420", False),
        ("-5", "5", False),
        ("The  Total", "the total", True),
        ('{"a": 1, "b": 2}', '{"b": 2,\n"a": 1}', True),
        ('{"a": 1}', '{"a": 2}', False),
        ("7", "7.0", True),
        ("", "x", False),
    ],
)
def test_what_counts_as_the_same(one: str, other: str, same: bool) -> None:
    assert is_same(one, other) is same


def test_a_share_is_a_share() -> None:
    for wrong in (-0.1, 1.5, "much", True):
        with pytest.raises(OptionsError, match="shadow"):
            ZoomOptions(shadow=wrong)  # type: ignore[arg-type]
    assert Usage().shadows == 0
