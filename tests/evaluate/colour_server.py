"""An OpenAI-compatible server that really looks: it names the colours it can see at 32 px.

Pictures are shrunk before it looks, so a small patch is lost in a large picture and seen in a crop
of it, as with a vision-language model. It runs on loopback, and counts what it was asked.
"""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

COLOURS = {"red": (220, 20, 20), "green": (20, 160, 20), "blue": (20, 20, 220)}


def picture(colour: str, at: tuple[int, int] = (300, 40), size: int = 400, side: int = 12) -> bytes:
    """Return a grey PNG with a small square of one colour."""
    image = Image.new("RGB", (size, size), (200, 200, 200))
    image.paste(COLOURS[colour], (*at, at[0] + side, at[1] + side))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def seen(image: Image.Image) -> str:
    """Name the colour that covers a fiftieth of the picture at 32 px, or say nothing."""
    pixels = np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BOX), np.int32)
    for name, colour in COLOURS.items():
        if (np.abs(pixels - colour).sum(-1) < 60).mean() > 0.02:
            return name
    return ""


class ColourServer:
    """Serves `/v1/chat/completions` while used as a context manager.

    Args:
        delay: seconds before each answer.
        failing: a request whose question has one of these words gets status 500.
        confused: with a crop it says "grey" to a question that has this word.
    """

    def __init__(
        self, *, delay: float = 0.0, failing: tuple[str, ...] = (), confused: str = "\0"
    ) -> None:
        self.delay, self.failing, self.confused = delay, failing, confused
        self.asked: Counter[tuple[str, int]] = Counter()  # (question, number of pictures)
        self.bodies: list[dict[str, Any]] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> ColourServer:
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        parts = body["messages"][-1]["content"]
        question = next(part["text"] for part in parts if part["type"] == "text")
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        with self._lock:
            self.asked[question, len(urls)] += 1
            self.bodies.append(body)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        time.sleep(self.delay)
        with self._lock:
            self._at_once -= 1
        if any(word in question for word in self.failing):
            return 500, {"error": {"message": "out of memory", "type": "server_error"}}
        images = [Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))) for url in urls]
        said = next(filter(None, map(seen, images)), "nothing")
        if self.confused in question and len(urls) > 1:
            said = "grey"
        message = {"role": "assistant", "content": said}
        return 200, {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": 100 * len(urls),
                "completion_tokens": 2,
                "total_tokens": 100 * len(urls) + 2,
            },
        }


class _Handler(BaseHTTPRequestHandler):
    owner: ColourServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.owner.answer(body)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass
