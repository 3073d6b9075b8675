"""Streams of servers that answer 200 at once and refuse before the first word.

An event that only opens a stream, a chunk without text, is held back until the next one comes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

from openai import APIError, APIStatusError, AsyncStream, Stream

from cropzoom.clients.controller import Call

# Some servers open with what a filter says of the prompt, and with the role.
_MOST_HELD = 2


def guarded(stream: Any, call: Call, again: Callable[[], Any]) -> Any:
    """Return a stream that starts over if its first event is a refusal of the crops.

    Args:
        stream: what a request returned; anything but an openai stream, or a raw response that
            streams, is returned as it is.
        call: the request.
        again: sends what is to be sent after a refusal, and returns its stream.
    """
    if isinstance(stream, Stream) and hasattr(stream, "_iterator"):
        stream._iterator = _events(stream, stream._iterator, call, again)
    elif (response := _streaming(stream)) is not None:
        response.stream = _made(_Bytes, response, "SyncByteStream")(response.stream, call, again)
    return stream


def _events(
    stream: Any, events: Iterator[Any], call: Call, again: Callable[[], Any]
) -> Iterator[Any]:
    held: list[Any] = []
    try:
        for event in events:
            held.append(event)
            if not _opens(event) or len(held) > _MOST_HELD:
                break
    except APIError as error:
        if not _refused(error, call):
            yield from held
            raise
    else:
        yield from held
        yield from events
        return
    new = again()
    stream.response = new.response
    call.accepted()
    call.publish()
    yield from new


def guarded_async(stream: Any, call: Call, again: Callable[[], Awaitable[Any]]) -> Any:
    """Do the same as `guarded` for an async client."""
    if isinstance(stream, AsyncStream) and hasattr(stream, "_iterator"):
        stream._iterator = _async_events(stream, stream._iterator, call, again)
    elif (response := _streaming(stream)) is not None:
        kind = _made(_AsyncBytes, response, "AsyncByteStream")
        response.stream = kind(response.stream, call, again)
    return stream


async def _async_events(
    stream: Any, events: AsyncIterator[Any], call: Call, again: Callable[[], Awaitable[Any]]
) -> AsyncIterator[Any]:
    held: list[Any] = []
    try:
        async for event in events:
            held.append(event)
            if not _opens(event) or len(held) > _MOST_HELD:
                break
    except APIError as error:
        if not _refused(error, call):
            for event in held:
                yield event
            raise
    else:
        for event in held:
            yield event
        async for event in events:
            yield event
        return
    new = await again()
    stream.response = new.response
    call.accepted()
    call.publish()
    async for event in new:
        yield event


def _opens(event: Any) -> bool:
    """Tell whether an event is a chunk of a chat that says nothing yet."""
    try:
        empty = all(
            choice.finish_reason is None
            and not any(value for key, value in choice.delta.to_dict().items() if key != "role")
            for choice in event.choices
        )
        return empty and event.usage is None
    except (AttributeError, TypeError):
        return False  # of another endpoint, or as this server alone spells it


def _refused(error: APIError, call: Call) -> bool:
    """Tell whether to start over; without a status, the words must speak of images."""
    if isinstance(error, APIStatusError):
        return False
    code: Any = error.body.get("code") if isinstance(error.body, dict) else None
    status = int(code) if str(code).isdecimal() else 500
    return call.refused(status, f"{error.message} {error.body}")


# A refusal is short; more than this is no single event.
_MOST_BYTES = 65_536


def _streaming(answer: Any) -> Any:
    """Return the response behind a raw or streaming one, if it brings events as plain bytes."""
    response: Any = getattr(answer, "http_response", None)
    if getattr(response, "is_stream_consumed", True):
        return None
    events = response.headers.get("content-type", "").startswith("text/event-stream")
    return response if events and "content-encoding" not in response.headers else None


def _whole(start: bytes) -> bool:
    """Tell whether the first event of a stream has come to its end."""
    return b"\n\n" in start or b"\r\n\r\n" in start or len(start) > _MOST_BYTES


def _refuses(start: bytes, call: Call) -> bool:
    """Tell whether a stream's first event refuses the crops."""
    for line in start.splitlines():
        if not line.startswith(b"data:"):
            continue
        data: Any = None
        with suppress(ValueError, RecursionError):
            data = json.loads(line[5:])
        if not isinstance(data, dict) or not (data.get("error") or data.get("type") == "error"):
            return False
        error = data.get("error") or data
        code: Any = error.get("code") if isinstance(error, dict) else None
        status = int(code) if str(code).isdecimal() else 500
        return call.refused(status, json.dumps(error, ensure_ascii=False))
    return False


def _made(kind: type, response: Any, base: str) -> Any:
    """Return a class of streams, of the HTTP library that the response is from."""
    library = sys.modules[type(response).__module__.partition(".")[0]]
    return type(kind.__name__, (kind, getattr(library, base)), {})


class _Bytes:
    """The bytes of a stream of events, which starts over if the first refuses the crops."""

    def __init__(self, stream: Any, call: Call, again: Callable[[], Any]) -> None:
        self._streams = [stream]
        self._call = call
        self._again = again

    def __iter__(self) -> Iterator[bytes]:
        chunks, start = iter(self._streams[0]), b""
        for chunk in chunks:
            start += chunk
            if _whole(start):
                break
        if not _refuses(start, self._call):
            yield start
            yield from chunks
            return
        response = self._again().http_response
        self._streams.append(response)
        self._call.accepted()
        self._call.publish()
        yield from response.iter_bytes()

    def close(self) -> None:
        for stream in self._streams:
            stream.close()


class _AsyncBytes:
    """The same for an async client."""

    def __init__(self, stream: Any, call: Call, again: Callable[[], Awaitable[Any]]) -> None:
        self._streams = [stream]
        self._call = call
        self._again = again

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks, start = self._streams[0].__aiter__(), b""
        async for chunk in chunks:
            start += chunk
            if _whole(start):
                break
        if not _refuses(start, self._call):
            yield start
            async for chunk in chunks:
                yield chunk
            return
        response = (await self._again()).http_response
        self._streams.append(response)
        self._call.accepted()
        self._call.publish()
        async for chunk in response.aiter_bytes():
            yield chunk

    async def aclose(self) -> None:
        for stream in self._streams:
            await stream.aclose()
