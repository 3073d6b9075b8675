"""An OpenAI-compatible server on loopback whose "model" is the reading stand-in.

It exists so that the demo and the tests can talk HTTP to something that answers, without weights
and without a network. It is no language model, and says so in its name and in every response.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from cropzoom.errors import ImageError
from cropzoom.images import decode_data_uri, load_image
from cropzoom.reading.standin import StandIn

FINGERPRINT = "cropzoom-stand-in: answers by reading with rapidocr, no language model"
_MAX_BODY = 100_000_000
# Pixels a token of a picture stands for, as in Qwen2.5-VL; makes `usage` comparable in size.
_PIXELS_PER_TOKEN = 28 * 28


class BadRequestError(Exception):
    """A request the server can't answer; the message goes to the client with status 400."""


class StandInServer:
    """Serves `/v1/models` and `/v1/chat/completions` on 127.0.0.1 while used as a context manager.

        with StandInServer() as server:
            client = openai.OpenAI(base_url=server.base_url, api_key="none")
            client.chat.completions.create(model=server.model, messages=[...])

    Args:
        stand_in: what answers; None for one that sees pictures at 448 px.
        port: TCP port; 0 takes a free one.
    """

    def __init__(self, stand_in: StandIn | None = None, *, port: int = 0) -> None:
        self.stand_in = stand_in or StandIn()
        self.model = f"stand-in-ocr-{self.stand_in.side}px"
        handler = type("_BoundHandler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as `base_url`."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> StandInServer:
        """Start answering, in a thread of its own."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop answering and free the port."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one chat completion request, not streamed.

        The question is the text of the last user message; pictures of all messages are read.

        Raises:
            BadRequestError: no question, or a picture that can't be read.
        """
        question, images = _parse(body)
        reply = self.stand_in.answer(question, images)
        seen = [self.stand_in.see(image).size for image in images]
        prompt = sum(-(-width * height // _PIXELS_PER_TOKEN) for width, height in seen)
        prompt += len(question.split())
        said = len(reply.text.split())
        return {
            "id": f"chatcmpl-standin-{time.time_ns():x}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": reply.text, "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": said,
                "total_tokens": prompt + said,
            },
        }

    def models(self) -> dict[str, Any]:
        """Return the list of models: the stand-in alone."""
        entry = {"id": self.model, "object": "model", "created": 0, "owned_by": "cropzoom-demo"}
        return {"object": "list", "data": [entry]}


class _Handler(BaseHTTPRequestHandler):
    owner: StandInServer
    protocol_version = "HTTP/1.1"
    server_version = "cropzoom-stand-in"
    # Headers and body leave in two packets; with Nagle's algorithm the second would wait 40 ms.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/v1/models":
            self._send(200, self.owner.models())
        else:
            self._fail(404, f"no such path: {path}; the stand-in has /v1/models")

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        length = int(self.headers.get("Content-Length") or 0)
        if length > _MAX_BODY:
            self.close_connection = True
            self._fail(413, f"the body has {length} bytes; at most {_MAX_BODY} are taken")
            return
        raw = self.rfile.read(length)
        if path != "/v1/chat/completions":
            self._fail(404, f"no such path: {path}; the stand-in has /v1/chat/completions")
            return
        try:
            body = json.loads(raw)
            if not isinstance(body, dict):
                raise BadRequestError("the body must be a JSON object")
            completion = self.owner.complete(body)
        except (BadRequestError, ValueError) as error:
            self._fail(400, str(error))
            return
        except Exception as error:
            self._fail(500, f"{type(error).__name__}: {error}")
            return
        if body.get("stream"):
            usage = (body.get("stream_options") or {}).get("include_usage", False)
            self._stream(_chunks(completion, usage=bool(usage)))
        else:
            self._send(200, completion)

    def _send(self, status: int, payload: Mapping[str, Any]) -> None:
        data = json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _fail(self, status: int, message: str) -> None:
        kind = "invalid_request_error" if status < 500 else "server_error"
        error = {"message": message, "type": kind, "param": None, "code": None}
        self._send(status, {"error": error})

    def _stream(self, chunks: Iterator[Mapping[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")  # no length: the end of the stream is the end
        self.end_headers()
        self.close_connection = True
        for chunk in chunks:
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: the demo's own output is what people look at."""


def _chunks(completion: Mapping[str, Any], *, usage: bool) -> Iterator[dict[str, Any]]:
    base = {key: completion[key] for key in ("id", "created", "model", "system_fingerprint")}
    base["object"] = "chat.completion.chunk"
    words = completion["choices"][0]["message"]["content"].split(" ")
    pieces = [words[0], *(f" {word}" for word in words[1:])]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in pieces]
    for delta in deltas:
        yield {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    if usage:
        yield {**base, "choices": [], "usage": completion["usage"]}


def _parse(body: Mapping[str, Any]) -> tuple[str, list[Image.Image]]:
    """Return the question and the pictures of a request."""
    question = ""
    urls: list[str] = []
    try:
        for message in body["messages"]:
            content = message.get("content") or []
            parts: list[Any] = (
                [{"type": "text", "text": content}] if isinstance(content, str) else content
            )
            texts = [part["text"] for part in parts if part["type"] == "text"]
            if message["role"] == "user" and texts:
                question = "\n".join(texts)
            urls += [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        images = [_picture(url) for url in urls]
    except (KeyError, TypeError, AttributeError) as error:
        raise BadRequestError(f"`messages` is not what the API describes: {error!r}") from error
    except ImageError as error:
        raise BadRequestError(f"a picture can't be read: {error}") from error
    if not question.strip():
        raise BadRequestError("there is no user message with text: nothing is asked")
    return question, images


def _picture(url: str) -> Image.Image:
    if not url.startswith("data:"):
        raise BadRequestError(f"the stand-in takes pictures as data: URIs only, not {url[:60]!r}")
    return load_image(decode_data_uri(url))
