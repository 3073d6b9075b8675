"""The same inside a server: ASGI middleware that adds crops to what it is sent."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from cropzoom.clients.controller import Call, Controller
from cropzoom.clients.dialects import Endpoint, endpoint_of
from cropzoom.clients.threads import call_in_thread
from cropzoom.cropper import Cropper, load_cropper
from cropzoom.errors import OptionsError
from cropzoom.options import ZoomOptions, options_of
from cropzoom.serve.bodies import conversation, encoded
from cropzoom.serve.http_headers import is_encoded
from cropzoom.zoom import Zoom

# Of a server that is given nothing but the class's name, as vLLM is.
CROPPER, OPTIONS = "CROPZOOM_CROPPER", "CROPZOOM_OPTIONS"


class ZoomMiddleware:
    """Rewrites the bodies of chat completions, responses and messages on their way in.

    What the server refuses because of its crops it is given once more, with less and in the end as
    it came. Larger bodies than `max_body`, compressed ones and all else pass unread.

    Args:
        app: the server's application.
        cropper: name or folder of a cropper, or one; None for CROPZOOM_CROPPER in the
            environment, or nano.
        options: how images are zoomed; None for the fields in CROPZOOM_OPTIONS, as JSON, or the
            defaults.
        max_body: most bytes of a body that is read.

    Raises:
        CropperError: the cropper can't be loaded.
        OptionsError: an option makes no sense.
    """

    def __init__(
        self,
        app: Any,
        cropper: str | Cropper | None = None,
        options: ZoomOptions | None = None,
        max_body: int = 64_000_000,
    ) -> None:
        self._app = app
        self._max_body = max_body
        cropper = cropper or os.environ.get(CROPPER) or "nano"
        model = load_cropper(cropper) if isinstance(cropper, str) else cropper
        self._controller = Controller(Zoom(model, options or _options_of_environment()))

    @property
    def cropzoom(self) -> Controller:
        """Options, reports and sums."""
        return self._controller

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        endpoint = None
        if scope["type"] == "http" and scope["method"] == "POST":
            endpoint = endpoint_of(scope["path"])
        if endpoint is None or is_encoded(scope["headers"]):
            await self._app(scope, receive, send)
            return
        messages: list[Any] = []
        size, whole = 0, False
        while not whole and size <= self._max_body:
            messages.append(await receive())
            if messages[-1]["type"] != "http.request":
                break
            size += len(messages[-1].get("body", b""))
            whole = not messages[-1].get("more_body")
        call = None
        if whole and size <= self._max_body:
            raw = b"".join(message.get("body", b"") for message in messages)
            call = await self._call(raw, endpoint)
        if call is None:
            await self._app(scope, _replay(messages, receive), send)
            return
        try:
            while call.changed:
                answer = _Answer(send, call)
                changed = encoded(call.new)
                inner = {**scope, "headers": _headers(scope["headers"], len(changed))}
                await self._app(inner, _replay([_body(changed)], receive), answer)
                if not answer.again:
                    return
            await self._app(scope, _replay(messages, receive), _Answer(send, call))
        finally:
            call.publish()

    async def _call(self, raw: bytes, endpoint: Endpoint) -> Call | None:
        """Return a request with crops, None where there is nothing to add."""
        body = conversation(raw, endpoint)
        if body is None:
            return None
        try:
            until = self._controller.deadline()
            server = str(body.get("model"))
            call = await call_in_thread(self._controller, body, endpoint, server, until)
            if call.changed:
                encoded(call.new)
                return call
            call.publish()
        except Exception as error:
            self._controller.failed(error)
        return None


class _Answer:
    """Where an answer goes: on to the caller, or nowhere, where the request is to be sent again."""

    def __init__(self, send: Any, call: Call) -> None:
        self._send = send
        self._call = call
        self._held: list[Any] | None = None
        self.again = False

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            if message["status"] < 400:
                self._call.accepted()
            else:
                # Read to its end before it is known what it says.
                self._held = []
                self._status = message["status"]
        if self._held is None:
            await self._send(message)
            return
        self._held.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            words = b"".join(message.get("body", b"") for message in self._held[1:])
            self.again = self._call.refused(self._status, words.decode("utf-8", "replace"))
            held, self._held = self._held, None
            for message in () if self.again else held:
                await self._send(message)


def _replay(messages: list[Any], receive: Any) -> Any:
    left = list(messages)

    async def replay() -> Any:
        return left.pop(0) if left else await receive()

    return replay


def _body(raw: bytes) -> dict[str, Any]:
    return {"type": "http.request", "body": raw, "more_body": False}


def _headers(headers: Any, length: int) -> list[tuple[bytes, bytes]]:
    of_body = (b"content-length", b"transfer-encoding")
    kept = [(name, value) for name, value in headers if name.lower() not in of_body]
    return [*kept, (b"content-length", str(length).encode())]


def _options_of_environment() -> ZoomOptions | None:
    text = os.environ.get(OPTIONS)
    if not text:
        return None
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, Mapping):
        raise OptionsError(
            f"{OPTIONS}={text[:200]!r} must be an object of options as JSON, such as "
            '{"mode": "stitch"}'
        )
    return options_of(fields, OPTIONS)
