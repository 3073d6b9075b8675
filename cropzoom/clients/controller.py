"""What stands behind `client.cropzoom`, shared by all client families.

Holds the options, the last report and the per-call overrides, and sees to it that a failure of
cropzoom never becomes a failure of the caller's request (unless `strict`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from cropzoom.clients.body import Endpoint, rewrite_body
from cropzoom.errors import CropZoomError, OptionsError
from cropzoom.options import OPTION_NAMES, ZoomOptions
from cropzoom.report import Reason, ZoomReport
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
    }
)

_T = TypeVar("_T")


class Controller:
    """Options, reports and overrides of one wrapped client: `client.cropzoom`. Thread-safe.

    Args:
        zoom: finds and encodes the crops.
        on_report: called with the report of every call, in the thread or task that made the call.
        strict: raise where something can't be zoomed, before anything is sent.
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

    def rewrite_body(
        self, body: Mapping[str, Any], endpoint: Endpoint | None = None
    ) -> tuple[dict[str, Any], ZoomReport]:
        """Return a request body with crops added, and the report; `body` itself is not changed.

        For batch files and proxies. Follows the options in force, and does not count as a call:
        `last_report` and `on_report` are left alone.

        Args:
            body: of a chat/completions or responses request.
            endpoint: which of the two; None tells them apart by their keys.

        Raises:
            CropZoomError: only if `strict`.
        """
        if not self.enabled:
            return dict(body), off_report()
        try:
            return rewrite_body(
                body, zoom=self.zoom, endpoint=endpoint, options=self.options, strict=self.strict
            )
        except Exception as error:
            return dict(body), self.failed(error)

    def failed(self, error: Exception) -> ZoomReport:
        """Turn an unexpected failure into a report, so that the caller's request can go on.

        Raises:
            CropZoomError: if `strict`.
        """
        if self.strict:
            if isinstance(error, CropZoomError):
                raise error
            raise CropZoomError(f"cropzoom failed with {type(error).__name__}: {error}") from error
        detail = f"{type(error).__name__}: {error}"
        logger.debug("cropzoom failed; the request goes out as it is", exc_info=error)
        return ZoomReport(
            images=(), question=None, reason=Reason.ERROR, milliseconds=0.0, detail=detail
        )

    def publish(self, report: ZoomReport) -> None:
        """Make a call's report known: `last_report`, the log and `on_report`.

        Call it in the caller's thread and task, for `last_report` belongs to these.
        """
        _reports.set(self, report)
        self._log(report)
        if self.on_report is None:
            return
        try:
            self.on_report(report)
        except Exception as error:
            # A faulty dashboard must not stop requests.
            self._log_once("on_report", f"on_report raised {type(error).__name__}: {error}")

    def _log(self, report: ZoomReport) -> None:
        logger.debug("%d crops, %s", len(report.crops), report.to_dict())
        said = [(report.reason, report.detail)]
        said += [(image.reason, image.detail) for image in report.images]
        for reason, detail in said:
            if reason in _WARNED:
                self._log_once(str(reason), f"sent without a crop ({reason}): {detail}")

    def _log_once(self, kind: str, message: str) -> None:
        with self._logging:
            first = kind not in self._logged
            self._logged.add(kind)
        if first:
            logger.warning("%s. Further cases are only in the reports.", message.rstrip("."))


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
