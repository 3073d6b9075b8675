"""A server of chat completions whose model takes one picture a request, as vLLM's default is."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class OnePictureServer:
    """Serves on a free loopback port inside a `with` block; `bodies` holds what it was sent.

    Args:
        only: the one picture that it takes, None for any.
    """

    def __init__(self, only: str | None = None) -> None:
        self.bodies: list[dict[str, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.bodies.append(body)
                parts = [part for item in body["messages"] for part in item["content"]]
                urls = [part["image_url"]["url"] for part in parts if "image_url" in part]
                if len(urls) > 1:
                    self._send(400, "At most 1 image(s) may be provided in one request.")
                elif only is not None and urls != [only]:
                    self._send(400, "this image is none of mine")
                else:
                    self._send(200, "")

            def _send(self, status: int, words: str) -> None:
                message = {"role": "assistant", "content": "ok"}
                choice = {"index": 0, "finish_reason": "stop", "message": message}
                answer: dict[str, Any] = {"error": {"message": words}}
                if status == 200:
                    answer = {"id": "c", "object": "chat.completion", "created": 0, "model": "one"}
                    answer["choices"] = [choice]
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> OnePictureServer:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
