"""What was sent for the turns of recent conversations."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

_T = TypeVar("_T")
_BYTES = 64_000_000


class Memory(Generic[_T]):
    """Values by digest, the most recently used ones up to a size. Thread-safe.

    Args:
        size: most bytes of all values.
    """

    def __init__(self, size: int = _BYTES) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._values: OrderedDict[bytes, tuple[_T, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: bytes) -> _T | None:
        """Return a value, None if it is unknown."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: bytes, value: _T, size: int) -> None:
        """Keep a value that takes `size` bytes."""
        with self._lock:
            if key in self._values:
                self._bytes -= self._values.pop(key)[1]
            self._values[key] = value, size
            self._bytes += size
            while self._bytes > self._size:
                self._bytes -= self._values.popitem(last=False)[1][1]
