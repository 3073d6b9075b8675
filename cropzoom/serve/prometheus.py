"""What a proxy counts, in Prometheus' text form."""

from __future__ import annotations

import threading
from collections import Counter

from cropzoom.report import ZoomReport

_HELP = {
    "requests_total": "Requests passed on.",
    "rewritten_total": "Requests passed on with crops.",
    "refused_total": "Requests that went out once more as they came, as their crops were refused.",
    "rejected_total": "Requests answered by the proxy itself: too large, or too many at once.",
    "upstream_failures_total": "Requests for which the upstream could not be reached.",
    "images_total": "Images in requests.",
    "crops_total": "Crops added.",
    "tokens_given_total": "What the images cost as given, in tokens.",
    "tokens_sent_total": "What they cost as sent, in tokens.",
    "rewriting_seconds_total": "Time spent on rewriting.",
    "in_flight": "Requests under way.",
}


class Metrics:
    """Sums of one process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: Counter[str] = Counter()

    def add(self, name: str, value: float = 1) -> None:
        """Add to a sum."""
        with self._lock:
            self._sums[name] += value  # type: ignore[assignment]

    def report(self, report: ZoomReport, *, rewritten: bool, refused: bool) -> None:
        """Add what one request's report says."""
        self.add("rewritten_total", rewritten)
        self.add("refused_total", refused)
        self.add("images_total", len(report.images))
        self.add("crops_total", len(report.crops))
        self.add("tokens_given_total", report.tokens_given)
        self.add("tokens_sent_total", report.tokens_sent)
        self.add("rewriting_seconds_total", report.milliseconds / 1000)

    def value(self, name: str) -> float:
        """Return a sum."""
        with self._lock:
            return self._sums[name]

    def text(self) -> str:
        """Return all sums as Prometheus reads them."""
        lines: list[str] = []
        for name, words in _HELP.items():
            kind = "gauge" if name == "in_flight" else "counter"
            full = f"cropzoom_{name}"
            lines += [f"# HELP {full} {words}", f"# TYPE {full} {kind}"]
            lines.append(f"{full} {self.value(name):g}")
        return "\n".join(lines) + "\n"
