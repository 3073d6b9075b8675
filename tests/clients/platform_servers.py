"""Local servers that speak Anthropic's messages as AWS Bedrock and Google's Vertex do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import struct
import zlib

from anthropic_server import fault, message, message_events
from wire_server import Received, WireServer

SECRET = "secret"
_OWN_HEADERS = {"anthropic-version": "", "x-api-key": ""}


class BedrockServer(WireServer):
    """invoke and invoke-with-response-stream, with signatures checked; see `WireServer`."""

    def fault(self, request: Received) -> str | None:
        call = re.fullmatch(r"/model/([\w.-]+)/invoke(-with-response-stream)?", request.path)
        if call is None:
            return f"no such path: {request.path}"
        if {"model", "stream"} & set(request.body) or "anthropic_version" not in request.body:
            return f"extraneous or missing keys: {sorted(request.body)}"
        if request.headers.get("authorization") != signature(request):
            return "The request signature we calculated does not match the signature you provided."
        return fault("/v1/messages", _OWN_HEADERS, {**request.body, "model": call[1]})

    def answer(self, request: Received) -> tuple[str, bytes]:
        if request.path.endswith("stream"):
            kind = "application/vnd.amazon.eventstream"
            return kind, b"".join(_frame(json.dumps(event)) for event in message_events())
        return "application/json", json.dumps(message()).encode()

    def error(self, status: int, words: str) -> bytes:
        return json.dumps({"message": words}).encode()


class VertexServer(WireServer):
    """rawPredict and streamRawPredict; see `WireServer`."""

    def fault(self, request: Received) -> str | None:
        models = "/projects/p/locations/r/publishers/anthropic/models/"
        call = re.fullmatch(models + r"([\w.-]+):(rawPredict|streamRawPredict)", request.path)
        if call is None or request.headers.get("authorization") != "Bearer token":
            return f"no such path, or no token: {request.path}"
        counting = call[1] == "count-tokens"
        body = {name: value for name, value in request.body.items() if name != "anthropic_version"}
        if body == request.body or ("model" in body) != counting:
            return f"extraneous or missing keys: {sorted(request.body)}"
        if bool(body.get("stream")) != (call[2] == "streamRawPredict"):
            return "`stream` and the method differ"
        path = "/v1/messages/count_tokens" if counting else "/v1/messages"
        return fault(path, _OWN_HEADERS, {"model": call[1], **body})

    def answer(self, request: Received) -> tuple[str, bytes]:
        if request.path.endswith("count-tokens:rawPredict"):
            return "application/json", b'{"input_tokens": 7}'
        if request.body.get("stream"):
            events = [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in message_events()]
            return "text/event-stream", "".join(events).encode()
        return "application/json", json.dumps(message()).encode()

    def error(self, status: int, words: str) -> bytes:
        error = {"type": "invalid_request_error", "message": words}
        return json.dumps({"type": "error", "error": error}).encode()


def signature(request: Received) -> str:
    """Return the header that AWS's signature version 4 asks of a request, for `SECRET`."""
    given = request.headers.get("authorization", "")
    scope = re.search(r"Credential=(\w+)/([\w/-]+), SignedHeaders=([\w;-]+)", given)
    if scope is None:
        return "a signature"
    key, where, names = scope.groups()
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in names.split(";"))
    body = hashlib.sha256(request.raw).hexdigest()
    canonical = f"POST\n{request.path}\n{request.query}\n{headers}\n{names}\n{body}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    secret = f"AWS4{SECRET}".encode()
    for step in where.split("/"):
        secret = hmac.digest(secret, step.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{request.headers['x-amz-date']}\n{where}\n{digest}"
    signed = hmac.digest(secret, text.encode(), "sha256").hex()
    return f"AWS4-HMAC-SHA256 Credential={key}/{where}, SignedHeaders={names}, Signature={signed}"


def _frame(event: str) -> bytes:
    """Return a message of AWS's event streams."""
    payload = json.dumps({"bytes": base64.b64encode(event.encode()).decode()}).encode()
    headers = b""
    for name, value in (
        (b":event-type", b"chunk"),
        (b":content-type", b"application/json"),
        (b":message-type", b"event"),
    ):
        headers += bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(value)) + value
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    whole = prelude + headers + payload
    return whole + struct.pack(">I", zlib.crc32(whole))
