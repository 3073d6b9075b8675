"""The proxy: an ASGI application on starlette, which asks its upstream by httpx.

Bodies that name no image are passed on unread, byte for byte, and so are answers, streams
included. Authorisation is passed on and never logged.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cropzoom.clients.controller import Call, Controller
from cropzoom.clients.dialects import Endpoint, endpoint_of
from cropzoom.clients.threads import call_in_thread
from cropzoom.cropper import Cropper, load_cropper
from cropzoom.errors import OptionsError
from cropzoom.options import ZoomOptions
from cropzoom.serve.prometheus import Metrics
from cropzoom.zoom import Zoom

ENVIRONMENT = "CROPZOOM_SERVE"
# Of one connection only, so not for the next.
_HOP_BY_HOP = {
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}
_OWN = _HOP_BY_HOP | {b"host", b"content-length"}
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]
_Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """How a proxy works.

    Args:
        upstream: address of the API that it stands before, with or without "/v1".
        cropper: name or folder of a cropper.
        options: fields of `ZoomOptions`.
        max_body: most bytes of a request's body.
        timeout: most seconds between two pieces of an answer.
        max_in_flight: requests under way at a time; a further one is told to come again.

    Raises:
        OptionsError: the upstream is no http(s) address.
    """

    upstream: str
    cropper: str = "nano"
    options: dict[str, Any] = field(default_factory=dict)
    max_body: int = 64_000_000
    timeout: float = 600.0
    max_in_flight: int = 1024

    def __post_init__(self) -> None:
        if not self.upstream.lower().startswith(("http://", "https://")):
            raise OptionsError(
                f"the upstream {self.upstream!r} is no address; give one such as "
                "https://api.openai.com/v1"
            )

    def url(self, path: str, query: str) -> str:
        """Return where a request to the proxy goes."""
        base = self.upstream.rstrip("/")
        prefix = urlsplit(base).path
        if prefix and (path == prefix or path.startswith(prefix + "/")):
            path = path[len(prefix) :]
        return base + path + (f"?{query}" if query else "")


class _Proxy:
    """One process's share of the work."""

    def __init__(self, settings: ProxySettings, cropper: Cropper | None) -> None:
        self._settings = settings
        self._metrics = Metrics()
        zoom = Zoom(cropper or load_cropper(settings.cropper), ZoomOptions(**settings.options))
        self._controller = Controller(zoom)
        self._client: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        timeout = httpx.Timeout(self._settings.timeout, connect=10.0)
        # How many is the caller's business and `max_in_flight`'s; none waits for a place here.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=128)
        async with httpx.AsyncClient(
            timeout=timeout, limits=limits, follow_redirects=False, trust_env=False
        ) as client:
            self._client = client
            yield

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def metrics(self, _: Request) -> Response:
        return PlainTextResponse(self._metrics.text(), media_type="text/plain; version=0.0.4")

    async def forward(self, request: Request) -> Response:
        """Pass a request on, with crops where it asks about pictures."""
        if self._metrics.value("in_flight") >= self._settings.max_in_flight:
            self._metrics.add("rejected_total")
            return _error(503, "too many requests are under way", {"Retry-After": "1"})
        self._metrics.add("in_flight")
        try:
            answer = await self._answer(request)
        except BaseException:
            self._metrics.add("in_flight", -1)
            raise
        if isinstance(answer, StreamingResponse):
            # Until its last piece it is under way.
            answer.body_iterator = self._counted(answer.body_iterator)
        else:
            self._metrics.add("in_flight", -1)
        return answer

    async def _counted(self, pieces: Any) -> AsyncIterator[Any]:
        try:
            async for piece in pieces:
                yield piece
        finally:
            self._metrics.add("in_flight", -1)

    async def _answer(self, request: Request) -> Response:
        try:
            raw = await self._body(request)
        except ClientDisconnect:
            return Response(status_code=499)
        if raw is None:
            self._metrics.add("rejected_total")
            return _error(413, f"the body is larger than {self._settings.max_body} bytes")
        self._metrics.add("requests_total")
        headers = [(name, value) for name, value in request.headers.raw if name not in _OWN]
        try:
            call = await self._call(request, raw)
            if call is None:
                return _streamed(await self._send(request, headers, raw))
            return await self._with_crops(request, headers, raw, call)
        except httpx.TimeoutException:
            self._metrics.add("upstream_failures_total")
            return _error(504, "the upstream did not answer in time")
        except httpx.HTTPError as error:
            self._metrics.add("upstream_failures_total")
            return _error(502, f"the upstream can't be reached: {type(error).__name__}")

    async def _body(self, request: Request) -> bytes | None:
        """Return a request's body, None where it is too large."""
        pieces: list[bytes] = []
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > self._settings.max_body:
                return None
            pieces.append(piece)
        return b"".join(pieces)

    async def _call(self, request: Request, raw: bytes) -> Call | None:
        """Return a request rewritten, None where there is nothing to rewrite."""
        endpoint = endpoint_of(request.url.path) if request.method == "POST" else None
        found = conversation(raw, endpoint)
        if found is None or endpoint is None:
            return None
        server = self._settings.upstream, str(found.get("model"))
        until = self._controller.deadline(self._settings.timeout)
        return await call_in_thread(self._controller, found, endpoint, server, until)

    async def _with_crops(
        self, request: Request, headers: _Headers, raw: bytes, call: Call
    ) -> Response:
        rewritten, refused = call.changed, False
        answer: httpx.Response | None = None
        try:
            while call.changed:
                answer = await self._send(request, headers, encoded(call.new))
                if answer.status_code < 400:
                    break
                words = (await answer.aread()).decode("utf-8", "replace")
                if not call.refused(answer.status_code, words):
                    break
                refused = True
            else:
                answer = await self._send(request, headers, raw)
            if answer.status_code < 400:
                call.accepted()
        finally:
            call.publish()
            self._metrics.report(call.report, rewritten=rewritten, refused=refused)
        response = _streamed(answer)
        response.headers["x-cropzoom-crops"] = str(len(call.report.crops))
        response.headers["x-cropzoom-tokens"] = (
            f"given={call.report.tokens_given}, sent={call.report.tokens_sent}"
        )
        return response

    async def _send(self, request: Request, headers: _Headers, body: bytes) -> httpx.Response:
        assert self._client is not None
        url = self._settings.url(request.url.path, request.url.query)
        outgoing = self._client.build_request(
            request.method, url, headers=headers, content=body or None
        )
        return await self._client.send(outgoing, stream=True)


def application(settings: ProxySettings, cropper: Cropper | None = None) -> Starlette:
    """Return the proxy, to be served or mounted.

    Args:
        settings: how it works.
        cropper: what proposes the boxes; None loads the settings' own.

    Raises:
        CropperError: the cropper can't be loaded.
        OptionsError: an option makes no sense.
    """
    proxy = _Proxy(settings, cropper)
    return Starlette(
        routes=[
            Route("/healthz", proxy.health),
            Route("/metrics", proxy.metrics),
            Route("/{path:path}", proxy.forward, methods=_METHODS),
        ],
        lifespan=proxy.lifespan,
    )


def application_from_environment() -> Starlette:
    """Return the proxy that `cropzoom serve` has described; for its worker processes."""
    return application(ProxySettings(**json.loads(os.environ[ENVIRONMENT])))


def to_environment(settings: ProxySettings) -> None:
    """Describe a proxy to worker processes."""
    os.environ[ENVIRONMENT] = json.dumps(asdict(settings))


def conversation(raw: bytes, endpoint: Endpoint | None) -> dict[str, Any] | None:
    """Return a body that may hold pictures, None for any other."""
    # Cheap, and right for whatever clients really send.
    if endpoint is None or b"image" not in raw:
        return None
    try:
        body = json.loads(raw)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def encoded(body: dict[str, Any]) -> bytes:
    """Return a body as bytes."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _streamed(answer: httpx.Response) -> Response:
    """Return an upstream's answer, piece by piece as it comes."""
    kept: Iterable[tuple[bytes, bytes]] = (
        (name.lower(), value)
        for name, value in answer.headers.raw
        if name.lower() not in _HOP_BY_HOP
    )
    if answer.is_stream_consumed:
        # Read already, and decoded then.
        response = Response(answer.content, status_code=answer.status_code)
        response.raw_headers = [
            (name, value)
            for name, value in kept
            if name not in (b"content-encoding", b"content-length")
        ] + [(b"content-length", str(len(answer.content)).encode())]
        return response

    async def pieces() -> AsyncIterator[bytes]:
        try:
            async for piece in answer.aiter_raw():
                yield piece
        finally:
            await answer.aclose()

    streamed = StreamingResponse(pieces(), status_code=answer.status_code)
    streamed.raw_headers = list(kept)
    return streamed


def _error(status: int, words: str, headers: dict[str, str] | None = None) -> Response:
    error = {"message": f"cropzoom: {words}", "type": "cropzoom_error"}
    return JSONResponse({"type": "error", "error": error}, status, headers)
