"""What one prediction took, stage by stage, for those who measure."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Trace:
    """Given to `predict(..., trace=...)`, it is filled in; for one prediction in one thread.

    Attributes:
        seconds: by stage; what a prediction did not need is missing.
        counts: numbers of tiles, tokens, runs of the decoder, ...
    """

    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    _last: float = 0.0

    def start(self) -> Trace:
        """Start the clock."""
        self._last = time.perf_counter()
        return self

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to a stage."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now
