"""OpenTelemetry: a span `cropzoom.crop` for each call that asks about pictures.

A span of its own below the caller's current one, as the conventions have it for an operation that
takes time: several calls in one request keep their own figures, and the attributes of a span that
somebody else made (an HTTP server's, a model call's) stay as they are. There is none where the
current span does not record, so sampling is the application's.

Its attributes are numbers, a reason and the model's name; never pixels, never texts of a request.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from cropzoom.report import Reason, ZoomReport

SPAN = "cropzoom.crop"
# There was nothing to look at.
_NOTHING = (Reason.OFF, Reason.NO_IMAGE, Reason.UNSUPPORTED_ENDPOINT)


def record(report: ZoomReport, model: str | None = None, end: int | None = None) -> None:
    """Add a call's span to the caller's trace, if there is one.

    Args:
        report: of the call.
        model: that was asked.
        end: when the crops were ready, in nanoseconds since the epoch; None for now.
    """
    # Whoever has a span has imported this; without it, nothing is looked up or imported.
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None or (not report.images and report.reason in _NOTHING):
        return
    if not trace.get_current_span().is_recording():
        return
    end = time.time_ns() if end is None else end
    start = end - round(report.milliseconds * 1e6)
    tracer = trace.get_tracer("cropzoom")
    tracer.start_span(SPAN, attributes=attributes(report, model), start_time=start).end(end)


def attributes(report: ZoomReport, model: str | None = None) -> dict[str, Any]:
    """Return what a span says of a call.

    Args:
        report: of the call.
        model: that was asked.
    """
    crops = report.crops
    values: dict[str, Any] = {
        "cropzoom.images": len(report.images),
        "cropzoom.crops": len(crops),
        # Four numbers a crop, as attributes are no nested lists.
        "cropzoom.boxes": [
            side for crop in crops for side in (crop.box.x0, crop.box.y0, crop.box.x1, crop.box.y1)
        ],
        "cropzoom.confidence": [float(crop.confidence) for crop in crops],
        "cropzoom.tokens_given": report.tokens_given,
        "cropzoom.tokens_sent": report.tokens_sent,
        "cropzoom.tokens_saved": report.tokens_given - report.tokens_sent,
        "cropzoom.milliseconds": report.milliseconds,
    }
    reasons = [image.reason for image in report.images if image.reason is not None]
    reason = report.reason or (reasons[0] if reasons and not crops else None)
    if reason is not None:
        values["cropzoom.reason"] = reason.value
    # Where a request names none, its server is "None".
    if model not in (None, "", "None"):
        values["gen_ai.request.model"] = model
    return values
