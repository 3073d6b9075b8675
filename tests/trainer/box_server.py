"""A local chat server that looks at the picture it is sent, and says where it is dark."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

Answer = tuple[int, str, bytes]


def dark_box(image: Image.Image) -> list[int]:
    """Return [x0, y0, x1, y1] around what is darker than middle grey."""
    rows, columns = np.nonzero(np.asarray(image.convert("L")) < 128)
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def completion(text: Any) -> Answer:
    """Return the HTTP answer of a chat completion."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return 200, "application/json", json.dumps(body).encode()


def look(image: Image.Image, prompt: str) -> Answer:
    """Answer as Qwen2.5-VL does."""
    return completion(f'```json\n[{{"bbox_2d": {dark_box(image)}, "label": "it"}}]\n```')


class BoxServer:
    """Serves on a free loopback port inside a `with` block.

    Args:
        answer: from (picture, prompt) to (status, content type, body).
        delay: seconds before it answers.
    """

    def __init__(
        self, answer: Callable[[Image.Image, str], Answer] = look, delay: float = 0.0
    ) -> None:
        self.answer, self.delay = answer, delay
        self.prompts: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self.busiest = 0
        self._busy = 0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                image, prompt = _parts(body)
                with server._lock:
                    server.prompts.append(prompt)
                    server.sizes.append(image.size)
                    server._busy += 1
                    server.busiest = max(server.busiest, server._busy)
                time.sleep(server.delay)
                status, kind, data = server.answer(image, prompt)
                with server._lock:
                    server._busy -= 1
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(data)))
                    self.send_header("retry-after-ms", "1")
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass  # the client has given up

            def log_message(self, *args: object) -> None:
                pass

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_port}/v1"
        self._thread = threading.Thread(target=self._httpd.serve_forever, args=(0.02,))

    def __enter__(self) -> BoxServer:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()
        self._thread.join()


def _parts(body: dict[str, Any]) -> tuple[Image.Image, str]:
    picture, text = body["messages"][0]["content"]
    data = base64.b64decode(picture["image_url"]["url"].partition(",")[2])
    return Image.open(io.BytesIO(data)), text["text"]
