"""The proxy: an ASGI application on starlette, which asks its upstream by httpx.

Bodies that name no image are passed on unread, byte for byte, and so are answers, streams
included. Authorisation is passed on and never logged. Whatever a request says, it goes to the
upstream and nowhere else.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import quote

import anyio
import httpx
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from cropzoom.clients.controller import Call, Controller
from cropzoom.clients.dialects import endpoint_of, model_of
from cropzoom.clients.threads import call_in_thread
from cropzoom.cropper import Cropper, load_cropper
from cropzoom.errors import RequestError
from cropzoom.options import ZoomOptions
from cropzoom.serve.bodies import conversation, encoded
from cropzoom.serve.http_headers import Headers, is_encoded, passed_on, request_headers
from cropzoom.serve.prometheus import Metrics
from cropzoom.serve.proxy_settings import ProxySettings
from cropzoom.zoom import Zoom

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]
_CONNECT_SECONDS = 10.0
_SAVE_SECONDS = 1.0


class _Rejection(Exception):
    """A request that the proxy answers itself."""

    def __init__(self, status: int, words: str, *, again: bool = False) -> None:
        super().__init__(words)
        error = {"message": f"cropzoom: {words}", "type": "cropzoom_error"}
        headers = {"Retry-After": "1"} if again else None
        self.response = JSONResponse({"type": "error", "error": error}, status, headers)


class _Passing(Response):
    """An upstream's answer, on to the caller as it comes; closed whatever happens."""

    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer
        self.status_code = answer.status_code
        self.background = None
        self.raw_headers = passed_on(answer.headers.raw)
        if answer.is_stream_consumed:
            # Read already, and decoded then.
            self.raw_headers = [
                (name, value)
                for name, value in self.raw_headers
                if name not in (b"content-encoding", b"content-length")
            ] + [(b"content-length", str(len(answer.content)).encode())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        if self._answer.is_stream_consumed:
            await send({"type": "http.response.body", "body": self._answer.content})
            return
        async for piece in self._answer.aiter_raw():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def close(self) -> None:
        """Give the connection back, or cut it where the answer was not read to its end."""
        with anyio.CancelScope(shield=True), suppress(Exception):
            await self._answer.aclose()


class _Proxy:
    """One process's share of the work."""

    def __init__(self, settings: ProxySettings, cropper: Cropper | None) -> None:
        self._settings = settings
        self._metrics = Metrics(settings.metrics_folder)
        zoom = Zoom(cropper or load_cropper(settings.cropper), ZoomOptions(**settings.options))
        self._controller = Controller(zoom)
        self._client: httpx.AsyncClient | None = None
        self._held = 0
        self._stopping = False
        self._timeout = httpx.Timeout(settings.timeout, connect=_CONNECT_SECONDS)

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        # How many is the caller's business and `max_in_flight`'s; none waits for a place here.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=128)
        # One caller's cookies are not another's.
        cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        async with httpx.AsyncClient(
            limits=limits, follow_redirects=False, trust_env=False, cookies=cookies
        ) as client:
            self._client = client
            with self._stopping_late():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._save_metrics)
                    yield
                    tasks.cancel_scope.cancel()
        self._metrics.save()

    async def _save_metrics(self) -> None:
        while self._settings.metrics_folder is not None:
            self._metrics.save()
            await anyio.sleep(_SAVE_SECONDS)

    def _stopping_late(self) -> _Late:
        return _Late(self._settings.drain, self._stop)

    def _stop(self) -> None:
        self._stopping = True

    async def health(self, _: Request) -> Response:
        if self._stopping:
            return JSONResponse({"status": "stopping"}, 503)
        return JSONResponse({"status": "ok"})

    async def metrics(self, _: Request) -> Response:
        return PlainTextResponse(self._metrics.text(), media_type="text/plain; version=0.0.4")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with crops where it asks about pictures, and its answer back."""
        if self._metrics.value("in_flight") >= self._settings.max_in_flight:
            self._metrics.add("rejected_total")
            busy = _Rejection(503, "too many requests are under way", again=True)
            await busy.response(scope, receive, send)
            return
        self._metrics.add("in_flight")
        request, held = Request(scope, receive), _Held(self)
        try:
            try:
                raw = await self._body(request, held)
            except _Rejection as rejection:
                self._metrics.add("rejected_total")
                await rejection.response(scope, receive, send)
                return
            except ClientDisconnect:
                self._metrics.add("abandoned_total")
                return
            if not await _unless_left(receive, lambda: self._pass(request, raw, send)):
                self._metrics.add("abandoned_total")
        finally:
            held.add(-held.size)
            self._metrics.add("in_flight", -1)

    async def _body(self, request: Request, held: _Held) -> bytes:
        """Return a request's body.

        Raises:
            _Rejection: it is too large or too slow, or too much is held already.
            ClientDisconnect: it does not come to its end.
        """
        settings = self._settings
        large = _Rejection(413, f"the body is larger than {settings.max_body} bytes")
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > settings.max_body:
            raise large
        pieces: list[bytes] = []
        try:
            with anyio.fail_after(settings.body_timeout):
                async for piece in request.stream():
                    pieces.append(piece)
                    held.add(len(piece))
                    if held.size > settings.max_body:
                        raise large
                    if self._held > settings.max_held:
                        raise _Rejection(503, "too large requests are under way", again=True)
        except TimeoutError:
            raise _Rejection(408, "the body did not arrive in time") from None
        return b"".join(pieces)

    async def _pass(self, request: Request, raw: bytes, send: Send) -> None:
        scope = request.scope
        answer: Response
        try:
            answer = await self._answer(request, raw)
        except RequestError as error:
            answer = _Rejection(400, str(error)).response
        except httpx.TimeoutException:
            self._metrics.add("upstream_failures_total")
            answer = _Rejection(504, "the upstream did not answer in time").response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._metrics.add("upstream_failures_total")
            words = f"the upstream can't be reached: {type(error).__name__}"
            answer = _Rejection(502, words).response
        if self._stopping:
            answer.raw_headers = [*answer.raw_headers, (b"connection", b"close")]
        try:
            await answer(scope, request.receive, send)
        finally:
            if isinstance(answer, _Passing):
                await answer.close()

    async def _answer(self, request: Request, raw: bytes) -> Response:
        self._metrics.add("requests_total")
        path, query = _target(request.scope)
        url = self._settings.url(path, query)
        headers = request_headers(request.headers.raw)
        call = await self._call(request, raw)
        if call is None:
            return _Passing(await self._send(request.method, url, headers, raw))
        return await self._with_crops(request.method, url, headers, raw, call)

    async def _call(self, request: Request, raw: bytes) -> Call | None:
        """Return a request rewritten, None where there is nothing to rewrite."""
        endpoint = endpoint_of(request.scope["path"]) if request.method == "POST" else None
        if is_encoded(request.headers.raw):
            return None
        body = conversation(raw, endpoint)
        if body is None or endpoint is None:
            return None
        model = str(body.get("model") or model_of(request.scope["path"]))
        server = self._settings.upstream, model
        until = self._controller.deadline(self._settings.timeout)
        try:
            call = await call_in_thread(self._controller, body, endpoint, server, until, model)
            if call.changed:
                encoded(call.new)
            return call
        except Exception as error:
            self._controller.failed(error)
            return None

    async def _with_crops(
        self, method: str, url: str, headers: Headers, raw: bytes, call: Call
    ) -> Response:
        rewritten, refused = call.changed, False
        answer: httpx.Response | None = None
        try:
            while call.changed:
                answer = await self._send(method, url, headers, encoded(call.new))
                if answer.status_code < 400:
                    break
                words = (await answer.aread()).decode("utf-8", "replace")
                if not call.refused(answer.status_code, words):
                    break
                refused = True
            else:
                answer = await self._send(method, url, headers, raw)
            if answer.status_code < 400:
                call.accepted()
        finally:
            call.publish()
            self._metrics.report(call.report, rewritten=rewritten, refused=refused)
        response = _Passing(answer)
        tokens = f"given={call.report.tokens_given}, sent={call.report.tokens_sent}"
        response.raw_headers += [
            (b"x-cropzoom-crops", str(len(call.report.crops)).encode()),
            (b"x-cropzoom-tokens", tokens.encode()),
        ]
        return response

    async def _send(self, method: str, url: str, headers: Headers, body: bytes) -> httpx.Response:
        assert self._client is not None, "the application's lifespan was not run"
        # Made by hand: a client's own would add headers that the caller did not send.
        outgoing = httpx.Request(
            method,
            url,
            headers=headers,
            content=body or None,
            extensions={"timeout": self._timeout.as_dict()},
        )
        return await self._client.send(outgoing, stream=True)


class _Held:
    """Bytes of one request that a process holds."""

    def __init__(self, proxy: _Proxy) -> None:
        self._proxy = proxy
        self.size = 0

    def add(self, size: int) -> None:
        self.size += size
        self._proxy._held += size


class _Late:
    """While entered, SIGTERM stops the server only after some seconds; a second one at once.

    Whoever balances has that time to notice; until then calls are taken as before.
    """

    def __init__(self, seconds: float, begin: Callable[[], None]) -> None:
        self._seconds = seconds
        self._begin = begin
        self._before: Any = None

    def __enter__(self) -> None:
        if self._seconds > 0 and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._later)

    def _later(self, number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, self._before)
        self._begin()
        # A thread, not the loop: a signal may come in any line of it.
        timer = threading.Timer(self._seconds, signal.raise_signal, [number])
        timer.daemon = True
        timer.start()

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)


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
            Route("/{path:path}", proxy, methods=_METHODS),
        ],
        lifespan=proxy.lifespan,
    )


def application_from_environment() -> Starlette:
    """Return the proxy that `cropzoom serve` has described; for its worker processes."""
    # Told to stop while it loads, a process that went on would hold its address open and answer
    # nobody.
    before = signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
    try:
        return application(ProxySettings.from_environment())
    finally:
        signal.signal(signal.SIGTERM, before)


async def _unless_left(receive: Receive, work: Callable[[], Awaitable[None]]) -> bool:
    """Do the work for a caller and stop it when the caller leaves; tells whether it was done."""
    done = False
    failure: BaseException | None = None
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        try:
            await work()
            done = True
        except Exception as error:
            # Raised here it would come in a group.
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return done


def _target(scope: Scope) -> tuple[str, str]:
    """Return path and query as they came, percent-encoded, without what the proxy is mounted at."""
    raw = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
    path = raw.decode("latin-1").partition("?")[0]
    root = quote(scope.get("root_path", ""))
    if root and path.startswith(root + "/"):
        path = path[len(root) :]
    return path, scope["query_string"].decode("latin-1")
