"""`rewrite_body`: a request's body in, the body with crops and a report out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from weakref import WeakKeyDictionary

from cropzoom.clients.additions import Rewritten
from cropzoom.clients.budget import Limits
from cropzoom.clients.dialect import Dialect
from cropzoom.clients.dialects import DIALECTS, Endpoint, dialect_of
from cropzoom.clients.memory import Memory
from cropzoom.clients.rewriting import Settings, rewrite
from cropzoom.errors import CropZoomError, RequestError
from cropzoom.options import ZoomOptions
from cropzoom.report import Reason, ZoomReport
from cropzoom.zoom import Zoom

# What was sent for earlier turns, per zoom.
_memories: WeakKeyDictionary[Zoom, Memory[Rewritten]] = WeakKeyDictionary()


def rewrite_body(
    body: Mapping[str, Any],
    *,
    zoom: Zoom,
    endpoint: Endpoint | None = None,
    options: ZoomOptions | None = None,
    strict: bool = False,
    limits: Limits | None = None,
    until: float | None = None,
    model: str | None = None,
) -> tuple[dict[str, Any], ZoomReport]:
    """Return a request body with crops added, and what happened.

    Args:
        body: JSON object of a chat/completions, responses, messages or generateContent request;
            never changed.
        zoom: finds and encodes the crops.
        endpoint: which of them; None tells them apart by what they hold.
        options: for this call instead of `zoom.options`.
        strict: raise where something can't be zoomed, instead of reporting it.
        limits: what the server takes in one request, where that is known.
        until: when to stop waiting for crops, as `time.monotonic` counts; None waits as long as
            the option `deadline` says.
        model: that is asked, where the body does not name it, as Google's don't.

    Returns:
        A new dict, which shares all that did not change with `body`; and the report. An image
        that can't be zoomed is passed on as it is, with the reason in its report.

    Raises:
        CropZoomError: only with `strict`.
    """
    try:
        dialect = _dialect(body, endpoint)
        if isinstance(dialect, str):
            if strict:
                raise RequestError(f"nothing to zoom: {dialect}")
            reason = Reason.UNSUPPORTED_ENDPOINT
            return dict(body), ZoomReport((), None, reason, 0.0, dialect)
        settings = Settings(
            zoom,
            options or zoom.options,
            strict,
            limits or Limits(),
            _memories.setdefault(zoom, Memory()),
            until,
            model,
        )
        new, report = rewrite(body, dialect, settings)
        return dict(new), report
    except Exception as error:
        return _unchanged(body), failure(error, strict=strict)


def failure(error: Exception, *, strict: bool) -> ZoomReport:
    """Turn an unexpected failure into a report, so that the caller's request can go on.

    Raises:
        CropZoomError: if `strict`.
    """
    detail = f"{type(error).__name__}: {error}"
    if strict:
        if isinstance(error, CropZoomError):
            raise error
        raise CropZoomError(f"cropzoom failed with {detail}") from error
    return ZoomReport((), None, Reason.ERROR, 0.0, detail)


def _dialect(body: Mapping[str, Any], endpoint: str | None) -> Dialect | str:
    """Return how a body is spelled, or why that is not known."""
    if endpoint is None:
        return dialect_of(body) or (
            "the body has none or several of `messages`, `input` and `contents`; "
            f"pass an endpoint: {', '.join(DIALECTS)}"
        )
    if endpoint in DIALECTS:
        return DIALECTS[endpoint]
    return f"endpoint {endpoint!r} is unknown; there are {', '.join(DIALECTS)}"


def _unchanged(body: Any) -> dict[str, Any]:
    try:
        return dict(body)
    except Exception:
        # No mapping at all, or one that can't be read: what it is, is the caller's affair.
        return cast("dict[str, Any]", body)
