"""What a proxy counts, in Prometheus' text form."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from pathlib import Path

from cropzoom.files import write_whole
from cropzoom.report import ZoomReport

_HELP = {
    "requests_total": "Requests passed on.",
    "rewritten_total": "Requests passed on with crops.",
    "refused_total": "Requests that went out once more as they came, as their crops were refused.",
    "rejected_total": "Requests answered by the proxy itself: too large, or too many at once.",
    "upstream_failures_total": "Requests for which the upstream could not be reached.",
    "abandoned_total": "Requests whose caller left before the answer came.",
    "images_total": "Images in requests.",
    "crops_total": "Crops added.",
    "tokens_given_total": "What the images cost as given, in tokens.",
    "tokens_sent_total": "What they cost as sent, in tokens.",
    "rewriting_seconds_total": "Time spent on rewriting.",
    "in_flight": "Requests under way.",
}


class Metrics:
    """Sums of one process, and of those that share its work. Thread-safe.

    Args:
        folder: where each process keeps its sums for the others; None where there is but one.
    """

    def __init__(self, folder: str | None = None) -> None:
        self._lock = threading.Lock()
        self._sums: Counter[str] = Counter()
        self._folder = None if folder is None else Path(folder)

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
        """Return a sum of this process."""
        with self._lock:
            return self._sums[name]

    def save(self) -> None:
        """Let the other processes see this one's sums."""
        if self._folder is not None:
            with self._lock:
                sums = dict(self._sums)
            write_whole(self._folder / f"{os.getpid()}.json", json.dumps(sums).encode())

    def text(self) -> str:
        """Return the sums of all processes as Prometheus reads them; others' are a second old."""
        with self._lock:
            sums = Counter(self._sums)
        for file in () if self._folder is None else self._folder.glob("*.json"):
            if file.stem == str(os.getpid()):
                continue
            others = json.loads(file.read_bytes())
            if not _is_alive(int(file.stem)):
                # What it did counts on; what it was about is lost.
                others.pop("in_flight", None)
            sums.update(others)
        lines: list[str] = []
        for name, words in _HELP.items():
            kind = "gauge" if name == "in_flight" else "counter"
            full = f"cropzoom_{name}"
            lines += [f"# HELP {full} {words}", f"# TYPE {full} {kind}"]
            lines.append(f"{full} {float(sums[name]):.15g}")
        return "\n".join(lines) + "\n"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True
