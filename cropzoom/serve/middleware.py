"""The same inside a server: ASGI middleware that adds crops to what it is sent."""

from __future__ import annotations

import logging
from typing import Any

from cropzoom.clients.controller import Controller
from cropzoom.clients.dialects import endpoint_of
from cropzoom.clients.threads import call_in_thread
from cropzoom.cropper import Cropper, load_cropper
from cropzoom.options import ZoomOptions
from cropzoom.serve.proxy import conversation, encoded
from cropzoom.zoom import Zoom

logger = logging.getLogger("cropzoom")


class ZoomMiddleware:
    """Rewrites the bodies of chat completions, responses and messages on their way in.

    Args:
        app: the server's application.
        cropper: name or folder of a cropper, or one.
        options: how images are zoomed; None for the defaults.
    """

    def __init__(
        self,
        app: Any,
        cropper: str | Cropper = "nano",
        options: ZoomOptions | None = None,
    ) -> None:
        self._app = app
        found = load_cropper(cropper) if isinstance(cropper, str) else cropper
        self._controller = Controller(Zoom(found, options))

    @property
    def cropzoom(self) -> Controller:
        """Options, reports and sums."""
        return self._controller

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        endpoint = None
        if scope["type"] == "http" and scope["method"] == "POST":
            endpoint = endpoint_of(scope["path"])
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        messages: list[Any] = []
        while True:
            messages.append(await receive())
            if messages[-1]["type"] != "http.request" or not messages[-1].get("more_body"):
                break
        raw = b"".join(message.get("body", b"") for message in messages)
        body = conversation(raw, endpoint)
        if body is not None:
            try:
                until = self._controller.deadline()
                call = await call_in_thread(
                    self._controller, body, endpoint, str(body.get("model")), until
                )
                call.publish()
                if call.changed:
                    raw = encoded(call.new)
                    scope = {**scope, "headers": _headers(scope["headers"], len(raw))}
                    messages = [{"type": "http.request", "body": raw, "more_body": False}]
            except Exception as error:
                logger.debug("cropzoom failed; the request goes on as it is", exc_info=error)

        async def replay() -> Any:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, replay, send)


def _headers(headers: Any, length: int) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    return [*kept, (b"content-length", str(length).encode())]
