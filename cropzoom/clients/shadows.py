"""Shadows: a share of live calls is asked again with the pictures as given, and both are compared.

The caller has its answer before a shadow starts, and never hears of it: a shadow runs in a thread
or task of its own, one try, at most a minute, a few at a time; what is too much is left out.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import threading
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from cropzoom.report import Shadow, ZoomReport

logger = logging.getLogger("cropzoom")

SECONDS = 60.0
# Under way at a time, for each wrapped client.
_MOST = 4
_EDGES = " .,;:!?'\"()[]*`"


class Call(Protocol):
    """What is needed of a `cropzoom.clients.controller.Call`."""

    body: Mapping[str, Any]
    report: ZoomReport

    @property
    def changed(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Pair:
    """What is compared: the report of the call, and the text of its answer."""

    report: ZoomReport
    sent: str


class Shadows:
    """The shadows of one wrapped client. Thread-safe.

    Args:
        done: called with each comparison, in the shadow's thread or task.
    """

    def __init__(self, done: Callable[[Shadow], object]) -> None:
        self._done = done
        self._lock = threading.Lock()
        self._count = 0
        self._process = os.getpid()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def draw(self, call: Call, share: float) -> None:
        """Note in a call's report whether it gets a shadow: the same call always or never does."""
        try:
            if share > 0 and not self._closed and call.changed and drawn(call.body, share):
                call.report = replace(call.report, shadowed=True)
        except Exception as error:
            # A body that can't be walked is the caller's affair.
            logger.debug("no shadow", exc_info=error)

    def wanted(self, call: Call) -> bool:
        """Tell whether a call that was answered gets its shadow."""
        return call.report.shadowed and call.changed and not self._closed

    def watch(self, answer: Any, call: Call, ask: Callable[[], Any]) -> Any:
        """Return a call's answer, and start its shadow: now, or when a stream has come whole.

        Args:
            answer: what the caller gets.
            call: the request.
            ask: sends the request as the caller made it, and returns the answer.
        """
        if _is_stream(answer):
            answer._iterator = self._watched(answer._iterator, call, ask)
        else:
            self._start(call, answer, ask)
        return answer

    def watch_async(self, answer: Any, call: Call, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Do the same for a client that is awaited."""
        if _is_stream(answer):
            answer._iterator = self._watched_async(answer._iterator, call, ask)
        else:
            self._start_async(call, answer, ask)
        return answer

    def close(self) -> None:
        """Start no more shadows; what those under way still bring is thrown away."""
        self._closed = True

    async def aclose(self) -> None:
        """Do the same, and cancel those under way."""
        self._closed = True
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._tasks if task.get_loop() is loop]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _watched(self, events: Iterator[Any], call: Call, ask: Callable[[], Any]) -> Iterator[Any]:
        text: list[str] = []
        for event in events:
            text.append(delta_of(event))
            yield event
        self._start(call, "".join(text), ask)

    async def _watched_async(
        self, events: AsyncIterator[Any], call: Call, ask: Callable[[], Awaitable[Any]]
    ) -> AsyncIterator[Any]:
        text: list[str] = []
        async for event in events:
            text.append(delta_of(event))
            yield event
        self._start_async(call, "".join(text), ask)

    def _start(self, call: Call, answer: Any, ask: Callable[[], Any]) -> None:
        report = call.report
        if not (self.wanted(call) and self._enter(report)):
            return

        def run() -> None:
            try:
                sent = text_of(answer)
                if sent is not None:
                    again = ask()
                    if _is_stream(again):
                        again = "".join(map(delta_of, again))
                    self._compared(_Pair(report, sent), text_of(again))
            except Exception as error:
                self._failed(report, error)
            finally:
                self._leave()

        try:
            threading.Thread(target=run, name="cropzoom-shadow", daemon=True).start()
        except RuntimeError:
            # No more threads: the interpreter is about to end.
            self._leave()

    def _start_async(self, call: Call, answer: Any, ask: Callable[[], Awaitable[Any]]) -> None:
        report = call.report
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # Under trio, whose tasks end with the block that started them.
            return
        if not (self.wanted(call) and self._enter(report)):
            return

        async def run() -> None:
            try:
                sent = text_of(answer)
                if sent is not None:
                    again = await ask()
                    if _is_stream(again):
                        again = "".join([delta_of(event) async for event in again])
                    self._compared(_Pair(report, sent), text_of(again))
            except Exception as error:
                self._failed(report, error)
            finally:
                self._leave()

        task = loop.create_task(run())
        # The loop itself holds tasks weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _enter(self, report: ZoomReport) -> bool:
        with self._lock:
            if self._process != os.getpid():
                # Forked: the threads under way are the parent's.
                self._process, self._count = os.getpid(), 0
            free = self._count < _MOST
            self._count += free
        if not free:
            self._tell(Shadow(None, None, None, report, "left out: others are under way"))
        return free

    def _leave(self) -> None:
        with self._lock:
            self._count -= 1

    def _compared(self, pair: _Pair, original: str | None) -> None:
        if original is None:
            self._tell(Shadow(pair.sent, None, None, pair.report, "an answer without text"))
        else:
            same = is_same(pair.sent, original)
            self._tell(Shadow(pair.sent, original, same, pair.report))

    def _failed(self, report: ZoomReport, error: Exception) -> None:
        self._tell(Shadow(None, None, None, report, f"{type(error).__name__}: {error}"))

    def _tell(self, shadow: Shadow) -> None:
        if not self._closed:
            self._done(shadow)


def drawn(body: Mapping[str, Any], share: float) -> bool:
    """Tell whether a request is among a share of all, by its hash."""
    digest = hashlib.sha256()

    def walk(value: Any) -> None:
        if isinstance(value, Mapping):
            for key, item in value.items():
                walk(key)
                walk(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                walk(item)
        else:
            text = value if isinstance(value, str) else repr(value)
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")

    walk(body)
    return int.from_bytes(digest.digest()[:8], "big") < share * 2**64


def is_same(one: str, other: str) -> bool:
    """Tell whether two answers say the same: equal JSON, or the same text in any case and spacing.

    Punctuation at the ends does not count.
    """
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return _folded(one) == _folded(other)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(_EDGES)


def text_of(answer: Any) -> str | None:
    """Return what an answer says, calls of tools included; None for what can't be compared."""
    response = getattr(answer, "http_response", None)
    # A raw response; one whose bytes are still to come is the caller's to read.
    if response is not None and (not response.is_closed or _is_stream(answer := answer.parse())):
        return None
    if isinstance(answer, str):
        return answer
    parts: list[str] = []
    for choice in (getattr(answer, "choices", None) or ())[:1]:
        parts.append(choice.message.content or "")
        for call in choice.message.tool_calls or ():
            parts.append(_called(getattr(call, "function", None) or getattr(call, "custom", None)))
    for item in getattr(answer, "output", None) or ():
        if item.type == "message":
            parts += [getattr(part, "text", "") for part in item.content]
        elif item.type == "function_call":
            parts.append(_called(item))
    content = getattr(answer, "content", None)
    for block in content if isinstance(content, list) else ():
        if block.type == "text":
            parts.append(block.text)
        elif block.type == "tool_use":
            parts.append(_called(block))
    return "\n".join(filter(None, parts)) or None


def _called(call: Any) -> str:
    given = getattr(call, "arguments", None) or getattr(call, "input", "")
    return given if isinstance(given, str) else json.dumps(given)


def delta_of(event: Any) -> str:
    """Return the text that an event of a stream adds to the answer."""
    kind = getattr(event, "type", "")
    if kind in ("response.output_text.delta", "response.function_call_arguments.delta"):
        return str(event.delta)
    if kind == "content_block_delta":
        return getattr(event.delta, "text", "") or getattr(event.delta, "partial_json", "")
    text = ""
    for choice in (getattr(event, "choices", None) or ())[:1]:
        text += getattr(choice.delta, "content", None) or ""
        for call in getattr(choice.delta, "tool_calls", None) or ():
            text += (call.function.arguments or "") if call.function else ""
    return text


def _is_stream(answer: Any) -> bool:
    return hasattr(answer, "_iterator") and hasattr(answer, "response")
