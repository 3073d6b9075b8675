"""What the local servers of all families have in common: they check, refuse, fail and answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Received:
    """One request."""

    path: str
    query: str
    raw: bytes
    headers: dict[str, str]
    body: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        is_json = "json" in self.headers.get("content-type", "")
        self.body = json.loads(self.raw) if is_json and self.raw else {}


class _Listener(ThreadingHTTPServer):
    # Many clients may come at once.
    request_queue_size = 256


class WireServer:
    """Serves on a free loopback port inside a `with` block.

    Attributes:
        received: the requests, in order of arrival, those refused included.
        failures: so many more answers will have the status `failure`.
        refuse: is given each request and may return the status and the words of a refusal; with
            status 200 it comes as the first event of a stream.
    """

    failure = 500

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.failures = 0
        self.refuse: Callable[[Received], tuple[int, str] | None] = lambda request: None
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                url = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Received(url.path, url.query, raw, headers)
                with server._lock:
                    server.received.append(request)
                    fail = server.failures > 0
                    server.failures -= fail
                wrong = server.fault(request)
                refusal = server.refuse(request) if wrong is None else (400, wrong)
                if refusal is not None and refusal[0] == 200:
                    self._send(
                        200, "text/event-stream", b"data: " + server.error(*refusal) + b"\n\n"
                    )
                elif refusal is not None:
                    self._send(refusal[0], "application/json", server.error(*refusal))
                elif fail:
                    words = server.error(server.failure, "try again")
                    self._send(server.failure, "application/json", words)
                else:
                    self._send(200, *server.answer(request))

            # Tracers update what they sent.
            do_PATCH = do_POST

            def _send(self, status: int, kind: str, data: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.send_header("x-request-id", "req_1")
                self.send_header("retry-after-ms", "1")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self._httpd = _Listener(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        self._thread = threading.Thread(target=self._httpd.serve_forever, args=(0.02,))

    def fault(self, request: Received) -> str | None:
        """Return what is wrong with a request, None for nothing."""
        return None

    def answer(self, request: Received) -> tuple[str, bytes]:
        """Return the type and the bytes of an answer."""
        raise NotImplementedError

    def error(self, status: int, words: str) -> bytes:
        """Return the body of an error."""
        raise NotImplementedError

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()
        self._thread.join()

    def reset(self) -> None:
        """Forget what was received, and refuse nothing."""
        self.received.clear()
        self.failures = 0
        self.refuse = lambda request: None

    @property
    def last(self) -> Received:
        """The request that came last."""
        return self.received[-1]
