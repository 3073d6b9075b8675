"""A local HTTP server that answers as vLLM does when it is asked for `prompt_logprobs`.

The model behind it is real (a tiny Idefics3 from `transformers`), so the numbers are, too. Forms
are those of vLLM's `entrypoints/openai/chat_completion/protocol.py` (0.10 to 0.26).
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
from PIL import Image


class VllmServer:
    """Serves on a free loopback port inside a `with` block.

    Attributes:
        bodies: of the requests, as they came.
        spoil: turns a response (and the number of the request) into what is sent instead: another
            dict, or an HTTP status; None: as it is.
        delay: seconds before each answer.
        most: most requests that were under way at once.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.spoil: Callable[[dict[str, Any], int], dict[str, Any] | int] | None = None
        self.delay = 0.0
        self.most = self._now = 0
        self._model, self._processor = model, processor
        self._lock, self._compute = threading.Lock(), threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    server.bodies.append(body)
                    number = len(server.bodies) - 1
                    server._now += 1
                    server.most = max(server.most, server._now)
                time.sleep(server.delay)
                answer: dict[str, Any] | int = 404
                if self.path == "/v1/chat/completions":
                    answer = server.answer(body)
                    if server.spoil is not None:
                        answer = server.spoil(answer, number)
                status, reply = (answer, {"error": {"message": f"status {answer}"}})
                if isinstance(answer, dict):
                    status, reply = 200, answer
                data = json.dumps(reply).encode()
                with server._lock:
                    server._now -= 1
                self.send_response(status)  # type: ignore[arg-type]
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.send_header("retry-after-ms", "1")
                with contextlib.suppress(ConnectionError):  # the client may be tired of waiting
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_port}/v1"
        self._thread = threading.Thread(target=self._httpd.serve_forever, args=(0.02,))

    def __enter__(self) -> VllmServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._httpd.shutdown()
        self._thread.join()
        self._httpd.server_close()

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Compute log-probabilities of a prompt's tokens, as vLLM returns them."""
        turns, images = [], []
        for message in body["messages"]:
            content = message["content"]
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            parts = []
            for block in blocks:
                if block["type"] == "image_url":
                    data = base64.b64decode(block["image_url"]["url"].partition(",")[2])
                    images.append(Image.open(io.BytesIO(data)).convert("RGB"))
                    parts.append({"type": "image"})
                else:
                    parts.append(block)
            turns.append({"role": message["role"], "content": parts})
        text = self._processor.apply_chat_template(
            turns,
            add_generation_prompt=body["add_generation_prompt"],
            continue_final_message=body["continue_final_message"],
        )
        with self._compute, torch.inference_mode():
            inputs = self._processor(
                text=[text], images=[images] if images else None, return_tensors="pt"
            )
            logp = self._model(**inputs).logits[0].float().log_softmax(-1)
        ids = inputs["input_ids"][0].tolist()
        decode = self._processor.tokenizer.decode
        entries: list[dict[str, Any] | None] = [None]
        for place, token in enumerate(ids[1:]):
            ranks = int((logp[place] > logp[place, token]).sum()) + 1
            own = {"logprob": float(logp[place, token]), "rank": ranks}
            entry = {str(token): {**own, "decoded_token": decode([token])}}
            if body["prompt_logprobs"]:
                best = int(logp[place].argmax())
                own = {"logprob": float(logp[place, best]), "rank": 1}
                entry.setdefault(str(best), {**own, "decoded_token": decode([best])})
            entries.append(entry)
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "x"},
                    "finish_reason": "length",
                }
            ],
            "usage": {
                "prompt_tokens": len(ids),
                "completion_tokens": 1,
                "total_tokens": len(ids) + 1,
            },
            "prompt_logprobs": entries,
        }
