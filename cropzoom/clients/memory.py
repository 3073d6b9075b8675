"""What was sent for the turns of recent conversations, and by which digests it is known."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from cropzoom.clients.conversation import Passage

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


class Digests:
    """Digests of a conversation up to each turn, each made of the one before."""

    def __init__(self, name: str, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._hash = hashlib.sha256(name.encode())
        self._done = 0

    def up_to(self, at: int) -> bytes:
        """Return the digest of what turn `at` depends on; ask in rising order."""
        update: Callable[[bytes], None] = self._hash.update
        for passage in self._passages[self._done : at + 1]:
            for piece in passage.pieces:
                update(f"\0{passage.role}\0{piece.path!r}\0{piece.sole}\0".encode())
                _feed(update, piece.text if piece.picture is None else piece.picture)
        self._done = max(self._done, at + 1)
        return self._hash.digest()


def _feed(update: Callable[[bytes], None], value: object) -> None:
    if isinstance(value, str):
        update(b"s%d:" % len(value))
        update(value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, Mapping):
        update(b"{")
        for key, item in value.items():
            _feed(update, key)
            _feed(update, item)
        update(b"}")
    elif isinstance(value, (list, tuple)):
        update(b"[")
        for item in value:
            _feed(update, item)
        update(b"]")
    else:
        update(repr(value).encode("utf-8", "surrogatepass"))
