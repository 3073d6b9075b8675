"""What stands behind `client.cropzoom`, shared by all client families.

Holds the options, the last report and the per-call overrides, and sees to it that a failure of
cropzoom never becomes a failure of the caller's request (unless `strict`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from cropzoom import telemetry
from cropzoom.clients.body import failure, rewrite_body
from cropzoom.clients.budget import Limits, body_bytes
from cropzoom.clients.dialects import Endpoint
from cropzoom.clients.refusals import (
    LearntLimits,
    Size,
    is_refusal,
    learnt,
    learnt_of_canvas,
)
from cropzoom.clients.shadows import Shadows
from cropzoom.errors import OptionsError
from cropzoom.options import OPTION_NAMES, ZoomOptions
from cropzoom.report import Reason, Shadow, Usage, ZoomReport
from cropzoom.zoom import Zoom

logger = logging.getLogger("cropzoom")

# Things to act upon. The other reasons are ordinary decisions and logged at DEBUG.
_WARNED: frozenset[Reason | None] = frozenset(
    {
        Reason.ERROR,
        Reason.BROKEN_IMAGE,
        Reason.TOO_MANY_PIXELS,
        Reason.FETCH_FAILED,
        Reason.REMOTE_URL,
        Reason.FILE_ID,
        Reason.UNSUPPORTED_INPUT,
        Reason.DEADLINE,
        Reason.BUSY,
        Reason.REFUSED,
    }
)

_T = TypeVar("_T")


class Controller:
    """Options, reports and overrides of one wrapped client: `client.cropzoom`. Thread-safe.

    Args:
        zoom: finds and encodes the crops.
        on_report: called with the report of every call, in the thread or task that made the call.
        strict: raise where something can't be zoomed, before anything is sent.

    Attributes:
        on_shadow: called with each comparison of the option `shadow`, in a thread or task of its
            own; None for nobody.
    """

    def __init__(
        self,
        zoom: Zoom,
        *,
        on_report: Callable[[ZoomReport], object] | None = None,
        strict: bool = False,
    ) -> None:
        self.zoom = zoom
        self.on_report = on_report
        self.strict = strict
        self.limits = LearntLimits()
        self.shadows = Shadows(self.publish_shadow)
        self.on_shadow: Callable[[Shadow], object] | None = None
        self._usage = Usage()
        self._logged: set[str] = set()
        self._logging = threading.Lock()

    @property
    def options(self) -> ZoomOptions:
        """The options in force here: those given when wrapping, as changed by `override`."""
        return _options.get(self) or self.zoom.options

    @property
    def enabled(self) -> bool:
        """Whether calls made here are zoomed; False within `override(enabled=False)`."""
        return _enabled.get(self) is not False

    @property
    def last_report(self) -> ZoomReport | None:
        """The report of the last call made in this thread or asyncio task, None before any.

        A task starts with its parent's report; what it does later is not seen by the parent. Use
        `on_report` to see all calls.
        """
        return _reports.get(self)

    @property
    def usage(self) -> Usage:
        """Sums over the calls made so far, in all threads and tasks."""
        with self._logging:
            return self._usage

    @contextmanager
    def override(self, *, enabled: bool | None = None, **changes: Any) -> Iterator[Controller]:
        """Change options for the calls made inside a `with` block, in this thread or task only.

        Blocks nest: each changes what is in force around it.

            with client.cropzoom.override(max_crops=2):
                client.chat(...)
            with client.cropzoom.override(enabled=False):
                client.chat(...)  # sent as it is

        Args:
            enabled: whether calls are zoomed at all; None leaves that as it is.
            changes: fields of `ZoomOptions`, except `cache_size`, which is fixed when wrapping.

        Raises:
            OptionsError: an unknown option or an impossible value.
        """
        wrong = sorted(changes.keys() - set(OPTION_NAMES) | (changes.keys() & {"cache_size"}))
        if wrong:
            known = ", ".join(name for name in OPTION_NAMES if name != "cache_size")
            raise OptionsError(f"override() can't change {', '.join(wrong)}; it takes {known}")
        outer = _options.get(self), _enabled.get(self)
        _options.set(self, replace(self.options, **changes))
        _enabled.set(self, outer[1] if enabled is None else enabled)
        try:
            yield self
        finally:
            _options.set(self, outer[0])
            _enabled.set(self, outer[1])

    def asking(self, question: str | None) -> AbstractContextManager[object]:
        """Return a context in which calls are searched for a question; None leaves it to cropzoom.

        Raises:
            OptionsError: it is no string.
        """
        return nullcontext() if question is None else self.override(question=question)

    def rewrite_body(
        self, body: Mapping[str, Any], endpoint: Endpoint | None = None
    ) -> tuple[dict[str, Any], ZoomReport]:
        """Return a request body with crops added, and the report; `body` itself is not changed.

        For batch files and proxies. Follows the options in force, and does not count as a call:
        `last_report` and `on_report` are left alone.

        Args:
            body: of a chat/completions, responses, messages or generateContent request.
            endpoint: which of them; None tells them apart by what they hold.

        Raises:
            CropZoomError: only if `strict`.
        """
        if not self.enabled:
            return dict(body), off_report()
        return rewrite_body(
            body, zoom=self.zoom, endpoint=endpoint, options=self.options, strict=self.strict
        )

    def call(
        self,
        body: Mapping[str, Any],
        endpoint: Endpoint,
        server: object,
        until: float | None = None,
        model: str | None = None,
    ) -> Call:
        """Return a call with its body rewritten within the limits that its server has taught.

        Args:
            body: of the request as the caller made it.
            endpoint: what kind of body it is.
            server: stands for the server and the model; hashable.
            until: when to stop waiting for crops, as `time.monotonic` counts.
            model: that is asked, where the body does not name it.

        Raises:
            CropZoomError: only if `strict`.
        """
        if not self.enabled:
            return Call(self, body, dict(body), off_report(), server)

        def within(limits: Limits) -> tuple[dict[str, Any], ZoomReport]:
            return rewrite_body(
                body,
                zoom=self.zoom,
                endpoint=endpoint,
                options=self.options,
                strict=self.strict,
                limits=limits,
                until=until,
                model=model,
            )

        known = self.limits.of(server)
        new, report = within(known)
        return Call(self, body, new, report, server, lambda limits: within(known.lowered(limits)))

    def deadline(self, timeout: float | None = None) -> float | None:
        """Return when a request made now stops waiting for crops, as `time.monotonic` counts.

        Args:
            timeout: seconds that the caller gives the whole request, None for no limit.
        """
        seconds = self.options.deadline
        if timeout is not None:
            seconds = timeout if seconds is None else min(seconds, timeout)
        return None if seconds is None else time.monotonic() + seconds

    def failed(self, error: Exception) -> ZoomReport:
        """Turn an unexpected failure into a report, so that the caller's request can go on.

        Raises:
            CropZoomError: if `strict`.
        """
        report = failure(error, strict=self.strict)
        logger.debug("cropzoom failed; the request goes out as it is", exc_info=error)
        return report

    def publish(self, report: ZoomReport, model: str | None = None, end: int | None = None) -> None:
        """Make a call's report known: `last_report`, the log, the trace and `on_report`.

        Call it in the caller's thread and task, for `last_report` belongs to these.

        Args:
            report: of the call.
            model: that was asked.
            end: when the crops were ready, in nanoseconds since the epoch; None for now.
        """
        _reports.set(self, report)
        try:
            telemetry.record(report, model, end)
        except Exception as error:
            self._log_once("telemetry", f"OpenTelemetry raised {type(error).__name__}: {error}")
        with self._logging:
            self._usage = self._usage.plus(report)
        self._log(report)
        if self.on_report is None:
            return
        try:
            self.on_report(report)
        except Exception as error:
            # A faulty dashboard must not stop requests.
            self._log_once("on_report", f"on_report raised {type(error).__name__}: {error}")

    def publish_shadow(self, shadow: Shadow) -> None:
        """Make what came of a shadow known: `usage`, the log and `on_shadow`."""
        with self._logging:
            self._usage = self._usage.plus_shadow(shadow)
        logger.debug("shadow: %s", shadow.failure or f"same={shadow.same}")
        if self.on_shadow is None:
            return
        try:
            self.on_shadow(shadow)
        except Exception as error:
            self._log_once("on_shadow", f"on_shadow raised {type(error).__name__}: {error}")

    def _log(self, report: ZoomReport) -> None:
        logger.debug("%d crops, %s", len(report.crops), report.to_dict())
        causes = [(report.reason, report.detail)]
        causes += [(image.reason, image.detail) for image in report.images]
        for reason, detail in causes:
            if reason in _WARNED:
                self._log_once(str(reason), f"sent without a crop ({reason}): {detail}")

    def _log_once(self, kind: str, message: str) -> None:
        with self._logging:
            first = kind not in self._logged
            self._logged.add(kind)
        if first:
            logger.warning("%s. Further cases are only in the reports.", message.rstrip("."))


class Call:
    """One request on its way: as the caller made it, as it is sent, and what came of it.

    Send `new` as long as it is `changed`; where the server refuses it, what to send next is there:

        while call.changed:
            try:
                answer = send(call.new)
                break
            except StatusError as error:
                if not call.refused(error.status, error.words):
                    raise
        else:
            answer = send(call.body)
        call.accepted()

    and `publish()` in the end, whatever happened.

    Args:
        controller: of the client.
        body: as the caller made it.
        new: with crops.
        report: of the rewriting.
        server: stands for the server and the model.
        within: rewrites the body again, within further limits; None where that makes no sense.
    """

    def __init__(
        self,
        controller: Controller,
        body: Mapping[str, Any],
        new: dict[str, Any],
        report: ZoomReport,
        server: object,
        within: Callable[[Limits], tuple[dict[str, Any], ZoomReport]] | None = None,
    ) -> None:
        self._controller = controller
        self.body = body
        self.new = new
        self.report = report
        self._server = server
        self._within = within
        self._refusal: tuple[int, str, Size] | None = None
        self._canvas_refused = False
        self._ended = time.time_ns()

    @property
    def changed(self) -> bool:
        """Whether anything was added to what is sent next."""
        return self.new is not self.body and any(
            self.new.get(key) is not value for key, value in self.body.items()
        )

    def refused(self, status: int, words: str) -> bool:
        """Tell whether to send the request once more; `new` is then what to send.

        A server that takes so many pictures and no more gets the crops on a canvas with their
        image; whatever it says to that, the request as the caller made it comes last.

        Args:
            status: the HTTP status that it was answered with.
            words: the text of that answer.
        """
        if not self.changed or not is_refusal(status, words):
            return False
        refused, first = self.report, self._refusal is None
        if first:
            taken, sent = _sizes(self.report, self.body, self.new)
            self._refusal = status, words, sent
            limits, _ = learnt(status, words, sent, taken)
            if limits.pictures is not None and self._within is not None:
                self.new, self.report = self._within(limits)
                if self.changed:
                    detail = f"the server refused further pictures ({status}): {words[:500]}"
                    self.report = replace(self.report, reason=Reason.REFUSED, detail=detail)
                    return True
        self._canvas_refused = not first
        self.new = dict(self.body)
        detail = f"the server refused the request with its crops ({status}): {words[:500]}"
        self.report = replace(
            refused,
            images=tuple(
                replace(
                    image,
                    crops=(),
                    reason=Reason.REFUSED,
                    detail=detail,
                    tokens_sent=image.tokens_given,
                )
                if image.crops
                else image
                for image in refused.images
            ),
            reason=Reason.REFUSED,
            detail=detail,
            shadowed=False,
        )
        return True

    def accepted(self) -> None:
        """Learn from a refusal, now that the server has taken the request in another form."""
        if self._refusal is None:
            return
        status, words, sent = self._refusal
        taken, _ = _sizes(self.report, self.body, self.new)
        self._controller.limits.add(self._server, *learnt(status, words, sent, taken))
        if self._canvas_refused:
            self._controller.limits.add(self._server, *learnt_of_canvas())

    def publish(self) -> None:
        """Make the report known; in the caller's thread and task."""
        # A server is named with the model in the end.
        model = self._server[-1] if isinstance(self._server, tuple) else self._server
        self._controller.publish(self.report, str(model or ""), self._ended)


def _sizes(
    report: ZoomReport, body: Mapping[str, Any], new: Mapping[str, Any]
) -> tuple[Size, Size]:
    """Return the sizes of a request as the caller made it, and with crops."""
    own = [image for image in report.images if image.reason is not Reason.FILE_PART]
    beside = [crop for crop in report.crops if crop.place is None or crop.place.crop_at is None]
    pixels = sum(image.size[0] * image.size[1] for image in own if image.size is not None)
    return (
        Size(len(own), pixels, body_bytes(body)),
        Size(len(own) + len(beside), pixels + report.pixels_added, body_bytes(new)),
    )


def off_report() -> ZoomReport:
    """Return the report of a call made within `override(enabled=False)`."""
    return ZoomReport(
        images=(),
        question=None,
        reason=Reason.OFF,
        milliseconds=0.0,
        detail="switched off by override(enabled=False)",
    )


class _PerContext(Generic[_T]):
    """A value per controller and context (thread or task).

    One ContextVar for all controllers: a context keeps every variable ever set in it alive, which
    would leak where clients are wrapped again and again. The dictionary is replaced, never
    changed, since contexts copied from one another share it.
    """

    def __init__(self, name: str) -> None:
        self._values: ContextVar[WeakKeyDictionary[Controller, _T]] = ContextVar(name)

    def get(self, owner: Controller) -> _T | None:
        values = self._values.get(None)
        return None if values is None else values.get(owner)

    def set(self, owner: Controller, value: _T | None) -> None:
        values = WeakKeyDictionary(self._values.get(None) or {})
        if value is None:
            values.pop(owner, None)
        else:
            values[owner] = value
        self._values.set(values)


_options: _PerContext[ZoomOptions] = _PerContext("cropzoom_options")
_enabled: _PerContext[bool] = _PerContext("cropzoom_enabled")
_reports: _PerContext[ZoomReport] = _PerContext("cropzoom_report")
