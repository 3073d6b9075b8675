"""Sending a call, and once more where the server refuses what was added."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cropzoom.clients.controller import Call

# What to send next; None for the request as the caller made it.
Body = Mapping[str, Any] | None
# From what a client raised to the status and the words of a refusal, None for another error.
Reading = Callable[[Exception], "tuple[int, str] | None"]
# An answer, its call, and what sends again -> the answer; for streams that refuse late.
Watch = Callable[[Any, Call, Callable[[], Any]], Any]


def _as_it_is(answer: Any, call: Call, again: Callable[[], Any]) -> Any:
    return answer


def send(
    call: Call, post: Callable[[Body], Any], refusal: Reading, watched: Watch = _as_it_is
) -> Any:
    """Send a call, learn from a refusal, and make the report known.

    Args:
        call: with what to send.
        post: sends a body and returns the answer.
        refusal: reads what `post` raises.
        watched: returns an answer; a stream that may refuse in its first event, so that it starts
            over.
    """

    def attempt() -> Any:
        while call.changed:
            try:
                return watched(post(call.new), call, attempt)
            except Exception as error:
                reason = refusal(error)
                if reason is None or not call.refused(*reason):
                    raise
        return post(None)

    try:
        answer = attempt()
        call.accepted()
        return answer
    finally:
        call.publish()


async def send_async(
    call: Call,
    post: Callable[[Body], Awaitable[Any]],
    refusal: Reading,
    watched: Watch = _as_it_is,
) -> Any:
    """Do the same for a client that is awaited."""

    async def attempt() -> Any:
        while call.changed:
            try:
                return watched(await post(call.new), call, attempt)
            except Exception as error:
                reason = refusal(error)
                if reason is None or not call.refused(*reason):
                    raise
        return await post(None)

    try:
        answer = await attempt()
        call.accepted()
        return answer
    finally:
        # Here and not in the thread that rewrote it, for the report belongs to this task.
        call.publish()
