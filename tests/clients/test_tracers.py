"""Tracers and other wrappers around, inside and beside CropZoom: works, or says what to do."""

from __future__ import annotations

import asyncio
import gzip
import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from openai_server import OpenAIServer
from pydantic import BaseModel
from wrapping import (
    OPTIONS,
    FixedCropper,
    chat_image,
    chat_text,
    crop_of,
    frozen,
    marked,
    user,
)

from cropzoom import ClientError, CropZoom

CROPPED = [user(chat_image(), chat_image(crop_of()), chat_text())]


class Total(BaseModel):
    total: int


def body() -> dict[str, Any]:
    return {"model": "m", "messages": [user(chat_image(), chat_text())]}


@pytest.fixture
def bare(server: OpenAIServer) -> OpenAI:
    return OpenAI(api_key="k", base_url=f"{server.url}/v1", max_retries=0)


def conversations(server: OpenAIServer) -> list[Any]:
    return [r.body for r in server.received if r.path.endswith("/chat/completions")]


# langsmith


@pytest.fixture
def langsmith(server: OpenAIServer) -> Any:
    langsmith = pytest.importorskip("langsmith")
    tracer = langsmith.Client(
        api_url=f"{server.url}/langsmith", api_key="k", auto_batch_tracing=False, info={}
    )
    with langsmith.tracing_context(enabled=True, client=tracer):
        yield tracer


def test_langsmith_around_cropzoom(langsmith: Any, bare: OpenAI, server: OpenAIServer) -> None:
    from langsmith.wrappers import wrap_openai

    client = wrap_openai(CropZoom(bare, FixedCropper(), OPTIONS))
    assert isinstance(client, CropZoom)
    client.chat.completions.create(**body())
    client.chat(**body())
    assert [marked(sent)["messages"] for sent in conversations(server)] == [CROPPED] * 2
    # Both calls are traced, with the caller's own messages.
    traced = [r.body for r in server.received if r.path == "/langsmith/runs"]
    assert [frozen(run["inputs"]["messages"]) for run in traced] == [frozen(body()["messages"])] * 2


def test_langsmith_around_an_async_client(langsmith: Any, server: OpenAIServer) -> None:
    from langsmith.wrappers import wrap_openai

    async def main() -> None:
        async with AsyncOpenAI(api_key="k", base_url=server.url) as bare:
            client = wrap_openai(CropZoom(bare, FixedCropper(), OPTIONS))
            await client.chat.completions.create(**body())

    asyncio.run(main())
    assert [marked(sent)["messages"] for sent in conversations(server)] == [CROPPED]
    assert [r.path for r in server.received].count("/langsmith/runs") == 1


def test_langsmith_inside_cropzoom_warns(
    langsmith: Any, bare: OpenAI, server: OpenAIServer
) -> None:
    from langsmith.wrappers import wrap_openai

    with pytest.warns(UserWarning, match=r"wrap_openai\(CropZoom\(client\)\)"):
        client = CropZoom(wrap_openai(bare), FixedCropper(), OPTIONS)
    client.chat.completions.create(**body())
    assert [marked(sent)["messages"] for sent in conversations(server)] == [CROPPED]
    assert "/langsmith/runs" not in [r.path for r in server.received]
    # The traced client itself still is.
    bare.chat.completions.create(**body())
    assert "/langsmith/runs" in [r.path for r in server.received]


# instructor


def test_instructor_around_cropzoom(bare: OpenAI, server: OpenAIServer) -> None:
    instructor = pytest.importorskip("instructor")
    client = instructor.from_openai(CropZoom(bare, FixedCropper(), OPTIONS))
    answer = client.chat.completions.create(**body(), response_model=Total)
    assert answer.total == 7
    (sent,) = conversations(server)
    assert sent["tools"][0]["function"]["name"] == "Total"
    assert marked(sent)["messages"] == CROPPED


def test_instructor_around_an_async_client(server: OpenAIServer) -> None:
    instructor = pytest.importorskip("instructor")

    async def main() -> Any:
        async with AsyncOpenAI(api_key="k", base_url=server.url) as bare:
            client = instructor.from_openai(CropZoom(bare, FixedCropper(), OPTIONS))
            return await client.chat.completions.create(**body(), response_model=Total)

    assert asyncio.run(main()).total == 7
    assert [marked(sent)["messages"] for sent in conversations(server)] == [CROPPED]


def test_instructor_inside_cropzoom_is_refused(bare: OpenAI) -> None:
    instructor = pytest.importorskip("instructor")
    with pytest.raises(ClientError, match=r"instructor\.from_openai\(CropZoom\(client\)\)"):
        CropZoom(instructor.from_openai(bare), FixedCropper())


def test_a_client_patched_by_instructor_warns(bare: OpenAI) -> None:
    instructor = pytest.importorskip("instructor")
    patched = instructor.patch(bare)
    with pytest.warns(UserWarning, match=r"client\.chat\.completions\.create"):
        CropZoom(patched, FixedCropper())


# langfuse replaces methods of openai's classes for the whole process, so it gets one of its own.

LANGFUSE = """
    import sys
    import warnings
    from openai_server import OpenAIServer
    from wrapping import OPTIONS, FixedCropper, chat_image, chat_text, user
    from cropzoom import CropZoom

    url, order = sys.argv[1:]
    warnings.simplefilter("error", UserWarning)
    if order == "langfuse first":
        from langfuse.openai import OpenAI
        client = CropZoom(OpenAI(api_key="k", base_url=url), FixedCropper(), OPTIONS)
    else:
        from openai import OpenAI
        client = CropZoom(OpenAI(api_key="k", base_url=url), FixedCropper(), OPTIONS)
        import langfuse.openai
    client.chat.completions.create(model="m", messages=[user(chat_image(), chat_text())])
    import langfuse
    langfuse.get_client().flush()
"""


@pytest.mark.parametrize("order", ["langfuse first", "langfuse last"])
def test_langfuse_in_both_orders(order: str, server: OpenAIServer) -> None:
    pytest.importorskip("langfuse")
    environment = {
        **os.environ,
        "LANGFUSE_HOST": server.url,
        "LANGFUSE_BASE_URL": server.url,
        "LANGFUSE_PUBLIC_KEY": "p",
        "LANGFUSE_SECRET_KEY": "s",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    code = textwrap.dedent(LANGFUSE)
    subprocess.run(
        [sys.executable, "-c", code, server.url, order], check=True, env=environment, timeout=120
    )
    assert [marked(sent)["messages"] for sent in conversations(server)] == [CROPPED]
    traces = [r for r in server.received if r.path.endswith("/otel/v1/traces")]
    assert traces
    data = b"".join(
        gzip.decompress(r.raw) if r.headers.get("content-encoding") == "gzip" else r.raw
        for r in traces
    )
    assert b"What is the total?" in data


def test_no_warning_without_a_tracer(bare: OpenAI) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CropZoom(bare, FixedCropper())
