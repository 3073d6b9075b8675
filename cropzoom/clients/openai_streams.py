"""Streams of servers that answer 200 at once and refuse in the first event."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from openai import APIError, APIStatusError, AsyncStream, Stream

from cropzoom.clients.controller import Call


def guarded(stream: Any, call: Call, again: Callable[[], Any]) -> Any:
    """Return a stream that starts over if its first event is a refusal of the crops.

    Args:
        stream: what a request returned; anything but an openai stream is returned as it is.
        call: the request.
        again: sends what is to be sent after a refusal, and returns its stream.
    """
    if isinstance(stream, Stream) and hasattr(stream, "_iterator"):
        stream._iterator = _events(stream, stream._iterator, call, again)
    return stream


def _events(
    stream: Any, events: Iterator[Any], call: Call, again: Callable[[], Any]
) -> Iterator[Any]:
    try:
        first = next(events)
    except StopIteration:
        return
    except APIError as error:
        if not _refused(error, call):
            raise
    else:
        yield first
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
    return stream


async def _async_events(
    stream: Any, events: AsyncIterator[Any], call: Call, again: Callable[[], Awaitable[Any]]
) -> AsyncIterator[Any]:
    try:
        first = await anext(events)
    except StopAsyncIteration:
        return
    except APIError as error:
        if not _refused(error, call):
            raise
    else:
        yield first
        async for event in events:
            yield event
        return
    new = await again()
    stream.response = new.response
    call.accepted()
    call.publish()
    async for event in new:
        yield event


def _refused(error: APIError, call: Call) -> bool:
    """Tell whether to start over; without a status, the words must speak of images."""
    if isinstance(error, APIStatusError):
        return False
    code: Any = error.body.get("code") if isinstance(error.body, dict) else None
    status = int(code) if str(code).isdecimal() else 500
    return call.refused(status, f"{error.message} {error.body}")
