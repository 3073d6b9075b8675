"""The middleware inside servers: as vLLM takes it, refusals included, and what it leaves alone."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from proxies import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from wrapping import FixedCropper, chat_image, chat_text, crop_of, marked, user

from cropzoom import OptionsError
from cropzoom.options import ZoomOptions
from cropzoom.serve import ZoomMiddleware

CHAT: dict[str, Any] = {"model": "m", "messages": [user(chat_image(), chat_text())]}
PLAIN: dict[str, Any] = {"model": "m", "messages": [user(chat_text("Hello"))]}
WITH_CROP = [user(chat_image(), chat_image(crop_of()), chat_text())]
OPTIONS = ZoomOptions(min_crop_side=0)


class Server:
    """An application that keeps what it is sent, and takes so many pictures."""

    def __init__(self, most: int = 9) -> None:
        self.most = most
        self.raw: list[bytes] = []
        route = Route("/v1/chat/completions", self.chat, methods=["POST"])
        self.app = Starlette(routes=[route, Route("/v1/x", self.chat, methods=["POST"])])

    async def chat(self, request: Request) -> Response:
        raw = await request.body()
        self.raw.append(raw)
        assert int(request.headers["content-length"]) == len(raw)
        if raw.count(b'"image_url":{') + raw.count(b'"image_url": {') > self.most:
            words = f"At most {self.most} image(s) may be provided in one prompt."
            return JSONResponse({"error": {"message": words}}, 400)
        if b'"stream"' in raw:
            return StreamingResponse(iter([b"data: 1\n\n", b"data: 2\n\n"]))
        return JSONResponse({"ok": True}, headers={"x-server": "mine"})

    def bodies(self) -> list[Any]:
        return [json.loads(raw) for raw in self.raw]


def post(
    address: str, body: Any, path: str = "/v1/chat/completions", **more: Any
) -> httpx.Response:
    return httpx.post(f"{address}{path}", json=body, trust_env=False)


def test_middleware_inside_a_server() -> None:
    server = Server()
    app = ZoomMiddleware(server.app, FixedCropper(), OPTIONS)
    with serving(app) as address:
        answers = [post(address, body) for body in (CHAT, PLAIN)]
        assert post(address, {**CHAT, "stream": True}).text == "data: 1\n\ndata: 2\n\n"
    assert {answer.headers["x-server"] for answer in answers} == {"mine"}
    assert marked(server.bodies()[0])["messages"] == WITH_CROP
    assert server.bodies()[1] == PLAIN
    assert app.cropzoom.usage.crops == 2


def test_as_vllm_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--middleware cropzoom.serve.ZoomMiddleware`: a name to import, a class to add, no more."""
    monkeypatch.setattr("cropzoom.serve.middleware.load_cropper", lambda name: FixedCropper())
    monkeypatch.setenv("CROPZOOM_OPTIONS", '{"min_crop_side": 0}')
    # The lines of vllm/entrypoints/openai/api_server.py, in their meaning.
    module, _, name = "cropzoom.serve.ZoomMiddleware".rpartition(".")
    imported = getattr(importlib.import_module(module), name)
    assert inspect.isclass(imported)
    server = Server()
    server.app.add_middleware(imported)
    with serving(server.app) as address:
        assert post(address, CHAT).json() == {"ok": True}
    assert marked(server.bodies()[0])["messages"] == WITH_CROP


@pytest.mark.parametrize("text", ["[1]", "{", '{"padd": 1}', '{"mode": "both"}'])
def test_options_of_the_environment_that_make_no_sense(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROPZOOM_OPTIONS", text)
    with pytest.raises(OptionsError, match="CROPZOOM_OPTIONS"):
        ZoomMiddleware(None, FixedCropper())


@pytest.fixture
def one() -> Iterator[tuple[str, Server]]:
    server = Server(most=1)
    with serving(ZoomMiddleware(server.app, FixedCropper(), OPTIONS)) as address:
        yield address, server


def count(server: Server) -> list[int]:
    counts = [raw.count(b"data:image/") for raw in server.raw]
    server.raw.clear()
    return counts


def test_a_refusal_is_cured_and_learnt(one: tuple[str, Server]) -> None:
    """As vLLM, which takes one picture a request unless it is told otherwise."""
    address, server = one
    assert post(address, CHAT).json() == {"ok": True}
    assert count(server) == [2, 1]
    assert post(address, CHAT).json() == {"ok": True}
    assert count(server) == [1]


def test_a_refusal_of_the_callers_own_request_comes_through(one: tuple[str, Server]) -> None:
    address, server = one
    body = {"model": "m", "messages": [user(chat_image(), chat_image(), chat_text())]}
    answer = post(address, body)
    assert answer.status_code == 400 and "At most 1 image" in answer.text
    assert server.bodies()[-1] == body


def test_what_it_leaves_alone() -> None:
    server = Server()
    app = ZoomMiddleware(server.app, FixedCropper(), OPTIONS, max_body=2000)
    raw = json.dumps(CHAT).encode()
    with serving(app) as address:
        url = f"{address}/v1/chat/completions"
        for content, headers in (
            (raw + b" " * 5000, {}),
            (raw, {"content-encoding": "gzip"}),
            (b'{"image', {}),
            (b"", {}),
        ):
            httpx.post(url, content=content, headers=headers, trust_env=False)
            assert server.raw[-1] == content
        post(address, CHAT, "/v1/x")
        assert json.loads(server.raw[-1]) == CHAT
        assert httpx.get(url, trust_env=False).status_code == 405


def test_around_an_app_that_others_mount() -> None:
    """Ray Serve (`@serve.ingress(app)`) and BentoML (`@bentoml.asgi_app(app)`) mount ASGI apps."""
    server = Server()
    inner = ZoomMiddleware(server.app, FixedCropper(), OPTIONS)
    with serving(Starlette(routes=[Mount("/llm", inner)])) as address:
        assert post(address, CHAT, "/llm/v1/chat/completions").json() == {"ok": True}
    assert marked(server.bodies()[0])["messages"] == WITH_CROP
