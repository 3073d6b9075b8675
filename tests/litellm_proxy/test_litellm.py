"""LiteLLM's real proxy, started with the config of examples/, and its functions in code.

The bundled cropper looks at a sample picture; the servers behind keep what they are sent.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import litellm
import openai
import pytest
import yaml
from anthropic_server import AnthropicServer
from openai_server import OpenAIServer, Received
from wrapping import BOX, BrokenCropper, FixedCropper, chat_image, chat_text, crop_of, marked, user

from cropzoom.errors import CropZoomError, OptionsError
from cropzoom.litellm import CropZoomGuardrail, zoomed
from cropzoom.options import ZoomOptions
from cropzoom.report import Reason, ZoomReport
from cropzoom.samples import load_samples

KEY = "sk-0123456789abcdef0123456789abcdef"
EXAMPLE = Path(__file__).parents[2] / "examples" / "litellm" / "config.yaml"
SAMPLE = load_samples()[0]
DATA = base64.b64encode(SAMPLE.path.read_bytes()).decode()
QUESTION = SAMPLE.questions[0].question
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{DATA}"}}
CHAT = [{"role": "user", "content": [IMAGE, {"type": "text", "text": QUESTION}]}]
SOURCE = {"type": "base64", "media_type": "image/jpeg", "data": DATA}
MESSAGES = [
    {
        "role": "user",
        "content": [{"type": "image", "source": SOURCE}, {"type": "text", "text": QUESTION}],
    }
]
PLAIN = [{"role": "user", "content": "Hello"}]


@dataclass
class Gateway:
    """A running proxy and the servers behind it."""

    url: str
    openai: OpenAIServer
    one: OpenAIServer
    anthropic: AnthropicServer
    one_anthropic: AnthropicServer

    def openai_client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=KEY, max_retries=0)

    def anthropic_client(self) -> anthropic.Anthropic:
        # With a key of the proxy's, as Claude Code has it.
        return anthropic.Anthropic(base_url=self.url, auth_token=KEY, api_key=None, max_retries=0)


def pictures(request: Any) -> int:
    """How many pictures a body holds."""
    return str(request).count("'image_url': {") + str(request).count("'type': 'image',")


def at_most_one(request: Received) -> tuple[int, str] | None:
    if pictures(request.body) > 1:
        return 400, "At most 1 image(s) may be provided in one prompt."
    return None


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("litellm")
    with (
        OpenAIServer() as server,
        OpenAIServer() as one,
        AnthropicServer() as claude,
        AnthropicServer() as one_claude,
    ):
        one.refuse = one_claude.refuse = at_most_one
        config = yaml.safe_load(EXAMPLE.read_text())
        for name, model, base in (
            ("one", "openai/one", f"{one.url}/v1"),
            ("one-claude", "anthropic/one-claude", one_claude.url),
        ):
            parameters = {"model": model, "api_base": base, "api_key": "k"}
            config["model_list"].append({"model_name": name, "litellm_params": parameters})
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {
            **os.environ,
            "LITELLM_MASTER_KEY": KEY,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "OPENAI_API_KEY": "openai-key",
            "OPENAI_API_BASE": f"{server.url}/v1",
            "ANTHROPIC_API_KEY": "anthropic-key",
            "ANTHROPIC_API_BASE": claude.url,
        }
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-c", "from litellm import run_server; run_server()"),
                    *("--config", str(folder / "config.yaml")),
                    *("--host", "127.0.0.1", "--port", str(port)),
                ],
                env=environment,
                cwd=folder,
                stdout=log,
                stderr=log,
            )
        url = f"http://127.0.0.1:{port}"
        try:
            _wait(url, process, folder / "log")
            yield Gateway(url, server, one, claude, one_claude)
        finally:
            process.terminate()
            process.wait(20)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(900):
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            urllib.request.urlopen(f"{url}/health/liveliness", timeout=5)
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text()[-3000:])


@pytest.mark.parametrize("stream", [False, True])
def test_chat_completions_get_their_crop(gateway: Gateway, stream: bool) -> None:
    client = gateway.openai_client()
    answer = client.chat.completions.create(model="gpt-4.1-mini", messages=CHAT, stream=stream)
    if stream:
        assert len(list(answer)) > 1
    sent = gateway.openai.last
    image, crop, text = sent.body["messages"][0]["content"]
    assert image == IMAGE and text["text"] == QUESTION
    assert crop["image_url"]["url"].startswith("data:image/") and crop != image
    assert sent.headers["authorization"] == "Bearer openai-key"


@pytest.mark.parametrize("stream", [False, True])
def test_messages_get_their_crop(gateway: Gateway, stream: bool) -> None:
    client = gateway.anthropic_client()
    arguments: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 9}
    if stream:
        with client.messages.stream(messages=MESSAGES, **arguments) as events:
            assert "".join(events.text_stream) == "1,444.80"
    else:
        answer = client.messages.create(messages=MESSAGES, **arguments)
        assert answer.content[0].text == "1,444.80"
    image, crop, text = gateway.anthropic.last.body["messages"][0]["content"]
    assert image["source"] == SOURCE and text["text"] == QUESTION
    assert crop["type"] == "image" and crop["source"] != SOURCE


def test_responses_get_their_crop(gateway: Gateway) -> None:
    items = [
        {
            "role": "user",
            "content": [
                {"type": "input_image", "image_url": IMAGE["image_url"]["url"], "detail": "auto"},
                {"type": "input_text", "text": QUESTION},
            ],
        }
    ]
    gateway.openai_client().responses.create(model="gpt-4.1-mini", input=items)
    kinds = [part["type"] for part in gateway.openai.last.body["input"][0]["content"]]
    assert kinds == ["input_image", "input_image", "input_text"]


def test_what_has_no_pictures_goes_out_as_it_came(gateway: Gateway) -> None:
    gateway.openai_client().chat.completions.create(model="gpt-4.1-mini", messages=PLAIN)
    assert gateway.openai.last.body["messages"] == PLAIN
    gateway.anthropic_client().messages.create(
        model="claude-haiku-4-5", max_tokens=9, messages=PLAIN
    )
    assert gateway.anthropic.last.body["messages"] == PLAIN


def test_a_refusal_is_cured_and_learnt(gateway: Gateway) -> None:
    """The first request goes out again, with crop and image on one canvas; the next at once."""
    client = gateway.openai_client()
    for counts in ([2, 1], [1]):
        gateway.one.received.clear()
        client.chat.completions.create(model="one", messages=CHAT)
        assert [pictures(request.body) for request in gateway.one.received] == counts
    client = gateway.anthropic_client()
    for counts in ([2, 1], [1]):
        gateway.one_anthropic.received.clear()
        client.messages.create(model="one-claude", max_tokens=9, messages=MESSAGES)
        assert [pictures(r.body) for r in gateway.one_anthropic.received] == counts


def test_other_refusals_reach_the_caller(gateway: Gateway) -> None:
    images = [{"role": "user", "content": [IMAGE, IMAGE, {"type": "text", "text": QUESTION}]}]
    with pytest.raises(openai.BadRequestError, match="At most 1 image"):
        gateway.openai_client().chat.completions.create(model="one", messages=images)


# In code, and what the hooks do by themselves.

TINY = [user(chat_image(), chat_text())]
WITH_CROP = [user(chat_image(), chat_image(crop_of()), chat_text())]
OPTIONS = {"min_crop_side": 0}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


def arguments(server: OpenAIServer) -> dict[str, Any]:
    return {"model": "openai/m", "api_base": f"{server.url}/v1", "api_key": "k", "max_retries": 0}


def test_completion_in_code(server: OpenAIServer) -> None:
    reports: list[ZoomReport] = []
    completion = zoomed(litellm.completion, FixedCropper(), OPTIONS, reports.append)
    messages = [user(chat_image(), chat_text())]
    answer = completion(messages=messages, **arguments(server))
    assert isinstance(answer, litellm.ModelResponse) and messages == TINY
    assert marked(server.last.body)["messages"] == WITH_CROP
    # By position, too, and as a stream.
    rest = arguments(server)
    pieces = list(completion(rest.pop("model"), messages, stream=True, **rest))
    assert len(pieces) > 1 and marked(server.last.body)["messages"] == WITH_CROP
    completion(messages=PLAIN, **arguments(server))
    assert server.last.body["messages"] == PLAIN
    assert [len(report.crops) for report in reports] == [1, 1, 0]
    assert completion.cropzoom.usage.crops == 2
    with completion.cropzoom.override(enabled=False):
        completion(messages=messages, **arguments(server))
    assert server.last.body["messages"] == TINY


def test_acompletion_and_a_router_in_code(server: OpenAIServer) -> None:
    parameters = arguments(server)
    router = litellm.Router([{"model_name": "m", "litellm_params": parameters}])
    acompletion = zoomed(litellm.acompletion, FixedCropper(), OPTIONS)
    of_router = zoomed(router.acompletion, FixedCropper(), OPTIONS)

    async def run() -> None:
        await acompletion(messages=TINY, **parameters)
        await of_router("m", TINY)

    asyncio.run(run())
    assert [marked(item.body)["messages"] for item in server.received] == [WITH_CROP] * 2


@pytest.mark.parametrize("kind", ["completion", "acompletion"])
def test_a_refusal_in_code(server: OpenAIServer, kind: str) -> None:
    server.refuse = at_most_one
    function = zoomed(getattr(litellm, kind), FixedCropper(), OPTIONS)

    def call() -> Any:
        answer = function(messages=TINY, **arguments(server))
        return asyncio.run(answer) if asyncio.iscoroutine(answer) else answer

    for counts in ([2, 1], [1]):
        server.received.clear()
        call()
        assert [pictures(item.body) for item in server.received] == counts
    server.refuse = lambda request: (400, "no such model")
    server.received.clear()
    with pytest.raises(litellm.BadRequestError, match="no such model"):
        call()


def test_messages_in_code() -> None:
    with AnthropicServer() as server:
        create = zoomed(litellm.anthropic.messages.acreate, FixedCropper(), OPTIONS)
        answer = asyncio.run(
            create(
                max_tokens=9,
                messages=MESSAGES,
                model="anthropic/m",
                api_base=server.url,
                api_key="k",
            )
        )
        assert answer["content"][0]["text"] == "1,444.80"
        assert pictures(server.last.body) == 2


def test_a_failing_cropper_costs_nobody_an_answer(server: OpenAIServer) -> None:
    completion = zoomed(litellm.completion, BrokenCropper(), OPTIONS)
    completion(messages=TINY, **arguments(server))
    assert server.last.body["messages"] == TINY
    assert completion.cropzoom.last_report.images[0].reason is Reason.ERROR
    strict = zoomed(litellm.completion, BrokenCropper(), OPTIONS, strict=True)
    with pytest.raises(CropZoomError):
        strict(messages=TINY, **arguments(server))
    guardrail = CropZoomGuardrail(BrokenCropper(), OPTIONS)
    data = {"model": "m", "messages": TINY}
    assert asyncio.run(guardrail.async_pre_call_hook(None, None, data, "acompletion")) is data
    for body in ({}, {"messages": None}, {"messages": 3, "model": None}, {"messages": [None]}):
        assert asyncio.run(guardrail.async_pre_call_hook(None, None, body, "acompletion")) is body


def test_what_makes_no_sense() -> None:
    with pytest.raises(OptionsError, match="zoomed"):
        zoomed(litellm.embedding, FixedCropper())
    with pytest.raises(OptionsError, match="padd is no option"):
        CropZoomGuardrail(FixedCropper(), {"padd": 1})
    assert ZoomOptions(**OPTIONS).min_crop_side == 0 and BOX


def test_a_refusal_without_a_retry_policy_is_learnt_from() -> None:
    """The error stays the caller's; the next request keeps to the limit."""
    guardrail = CropZoomGuardrail(FixedCropper(), OPTIONS)

    async def run() -> list[int]:
        counts = []
        for number in range(2):
            data = {"model": "m", "messages": TINY, "litellm_call_id": str(number)}
            data = await guardrail.async_pre_call_hook(None, None, data, "acompletion")
            counts.append(pictures(data["messages"]))
            words = "At most 1 image(s) may be provided in one prompt."
            error = litellm.BadRequestError(words, "m", "openai")
            await guardrail.async_post_call_failure_hook(data, error, None)
        return counts

    assert asyncio.run(run()) == [2, 1]
    assert not guardrail._calls
