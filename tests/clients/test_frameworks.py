"""The recipes of `examples/frameworks.py`, with the real packages where they are installed."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from openai_server import OpenAIServer
from wrapping import png, uri

from cropzoom import ZoomReport
from cropzoom.clients import Controller

RECIPES = Path(__file__).parents[2] / "examples" / "frameworks.py"
QUESTION = "What is the total?"


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[ZoomReport]:
    seen: list[ZoomReport] = []
    monkeypatch.setattr(Controller, "publish", lambda self, report, *rest: seen.append(report))
    return seen


@pytest.fixture
def recipes() -> Any:
    spec = importlib.util.spec_from_file_location("frameworks", RECIPES)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(reports: list[ZoomReport]) -> None:
    (report,) = reports
    assert report.question == QUESTION
    assert [image.size for image in report.images] == [(160, 120)]


def message() -> dict[str, Any]:
    content = [
        {"type": "text", "text": QUESTION},
        {"type": "image_url", "image_url": {"url": uri()}},
    ]
    return {"role": "user", "content": content}


def sync_client(server: OpenAIServer) -> OpenAI:
    return OpenAI(api_key="k", base_url=f"{server.url}/v1")


def async_client(server: OpenAIServer) -> AsyncOpenAI:
    return AsyncOpenAI(api_key="k", base_url=f"{server.url}/v1")


def test_langchain(recipes: Any, reports: list[ZoomReport], server: OpenAIServer) -> None:
    pytest.importorskip("langchain_openai")
    recipes.langchain(sync_client(server), "m").invoke([message()])
    check(reports)


def test_llama_index(recipes: Any, reports: list[ZoomReport], server: OpenAIServer) -> None:
    pytest.importorskip("llama_index.llms.openai")
    from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock

    blocks = [TextBlock(text=QUESTION), ImageBlock(image=png(), image_mimetype="image/png")]
    model = recipes.llama_index(sync_client(server), "gpt-4.1-mini")
    model.chat([ChatMessage(role="user", blocks=blocks)])
    check(reports)


def test_litellm(recipes: Any, reports: list[ZoomReport], server: OpenAIServer) -> None:
    pytest.importorskip("litellm")
    recipes.litellm(sync_client(server), "m")(messages=[message()])
    check(reports)


def test_pydantic_ai(recipes: Any, reports: list[ZoomReport], server: OpenAIServer) -> None:
    pytest.importorskip("pydantic_ai")
    from pydantic_ai import BinaryContent

    agent = recipes.pydantic_ai(async_client(server), "m")
    asyncio.run(agent.run([QUESTION, BinaryContent(png(), media_type="image/png")]))
    check(reports)


def test_agents_sdk(recipes: Any, reports: list[ZoomReport], server: OpenAIServer) -> None:
    pytest.importorskip("agents")
    from agents import Runner

    parts = [
        {"type": "input_text", "text": QUESTION},
        {"type": "input_image", "image_url": uri(), "detail": "auto"},
    ]
    agent = recipes.agents(async_client(server), "m")
    asyncio.run(Runner.run(agent, [{"role": "user", "content": parts}]))
    check(reports)
