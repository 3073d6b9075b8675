"""Rewriting beside an event loop."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, cast

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from cropzoom.clients.controller import Call, Controller
from cropzoom.clients.dialects import Endpoint
from cropzoom.report import Reason, ZoomReport

# Requests that are rewritten at a time in one event loop. How many crops are computed at a time is
# the business of `Zoom`, so most of these threads wait.
_MOST_THREADS = 256
# What was ready by the deadline still has to come back from its thread.
_GRACE = 0.2
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("cropzoom_limiter")


async def call_in_thread(
    controller: Controller,
    body: Mapping[str, Any],
    endpoint: Endpoint,
    server: object,
    until: float | None,
    model: str | None = None,
) -> Call:
    """Rewrite in a thread; a request that gets no crops in time goes out as it is.

    See `Controller.call`.
    """
    if not controller.enabled:
        return controller.call(body, endpoint, server)
    wait = math.inf if until is None else until - time.monotonic() + _GRACE
    with anyio.move_on_after(wait):
        return cast(Call, await in_thread(controller.call, body, endpoint, server, until, model))
    late = "the crops were not ready before the deadline, as too many calls are under way"
    report = ZoomReport((), None, Reason.BUSY, wait * 1000, late)
    return Call(controller, body, dict(body), report, server)


async def in_thread(function: Any, *args: Any) -> Any:
    """Run in a thread that sees the caller's context variables; when cancelled, leave it to end."""
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_MOST_THREADS)
        _limiter.set(limiter)
    return await anyio.to_thread.run_sync(function, *args, limiter=limiter, abandon_on_cancel=True)
