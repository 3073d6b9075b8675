"""Work that calls share: a few jobs at once, one computation for a key, and no call kept too long.

A job whose caller can't wait any longer goes on in its thread, and its result is kept for the next
call. A job's slot is held until its thread really ends, so that however many calls come, in
threads or in asyncio, memory is that of a few jobs.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import contextvars
import ctypes
import os
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar

from cropzoom.errors import BusyError, CropperError, DeadlineError

_V = TypeVar("_V")
_Work: TypeAlias = "tuple[threading.Event, Callable[[], None]]"
# Jobs that have run for this long are taken to hang: nobody with a deadline waits for their slots.
_STUCK_SECONDS = 30.0
# A thread without a job ends after this.
_IDLE_SECONDS = 5.0
# What is left running when the interpreter ends may finish within this.
_LAST_SECONDS = 2.0


class Slots:
    """Lets a few jobs run at once; the others wait in line. Thread-safe.

    Args:
        count: jobs at once.
        line: most jobs that wait; a further one is refused.
    """

    def __init__(self, count: int, line: int = 256) -> None:
        self.count = count
        self._longest = line
        self.reset()
        _forked.add(self)

    def reset(self) -> None:
        """Forget all jobs: those of a parent process do not run in a forked child."""
        self._lock = threading.Lock()
        self._since: dict[threading.Event, float] = {}
        self._line: deque[threading.Event] = deque()
        self._idle: list[SimpleQueue[_Work]] = []

    def start(self, job: Callable[[], None], until: float | None) -> None:
        """Have a job done in another thread as soon as there is a slot; does not wait for its end.

        Args:
            job: raises nothing.
            until: `time.monotonic()` until which to wait for a slot; None waits as long as it
                takes.

        Raises:
            BusyError: the line is full, or no slot became free in time.
        """
        ticket = self._take(until)
        context = contextvars.copy_context()

        def work() -> None:
            context.run(job)

        with self._lock:
            idle = self._idle.pop() if self._idle else None
        if idle is not None:
            idle.put((ticket, work))
            return
        try:
            threading.Thread(
                target=self._serve, args=(ticket, work), name="cropzoom", daemon=True
            ).start()
        except BaseException:
            self._give_back(ticket)
            raise

    def _serve(self, ticket: threading.Event, work: Callable[[], None]) -> None:
        """Do one job after another, in the same few threads: each keeps memory of its own."""
        mine: SimpleQueue[_Work] = SimpleQueue()
        while True:
            try:
                work()
            finally:
                # Nothing of the job is kept alive.
                del work
                with self._lock:
                    self._idle.append(mine)
                self._give_back(ticket)
            try:
                ticket, work = mine.get(timeout=_IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if mine in self._idle:
                        self._idle.remove(mine)
                        break
                ticket, work = mine.get()
        _return_memory()

    def drain(self, until: float) -> None:
        """Wait for the jobs that are running, until a `time.monotonic()`."""
        while self._since and time.monotonic() < until:
            time.sleep(0.01)

    def _take(self, until: float | None) -> threading.Event:
        ticket = threading.Event()
        with self._lock:
            if len(self._since) < self.count:
                self._since[ticket] = time.monotonic()
                return ticket
            if len(self._line) >= self._longest:
                raise BusyError(f"{len(self._line)} crops wait already; send fewer calls at once")
            silent = time.monotonic() - max(self._since.values())
            if until is not None and silent > _STUCK_SECONDS:
                raise BusyError(f"the cropper has not answered for {silent:.0f} s")
            self._line.append(ticket)
        came = False
        try:
            came = ticket.wait(None if until is None else max(0.0, until - time.monotonic()))
        finally:
            if not came:
                self._leave(ticket)
        if not came:
            raise BusyError("other crops took all the time there was; send fewer calls at once")
        return ticket

    def _leave(self, ticket: threading.Event) -> None:
        with self._lock:
            if ticket in self._line:
                self._line.remove(ticket)
                return
        # Its turn came just now.
        self._give_back(ticket)

    def _give_back(self, ticket: threading.Event) -> None:
        with self._lock:
            if self._since.pop(ticket, None) is not None and self._line:
                first = self._line.popleft()
                self._since[first] = time.monotonic()
                first.set()


class SharedResults(Generic[_V]):
    """Recent results; of concurrent calls with one key, one computes and the others wait.

    Args:
        size: most results kept.
        most_bytes: of all results kept.
        weigh: bytes of a result.
    """

    def __init__(self, size: int, most_bytes: int, weigh: Callable[[_V], int]) -> None:
        self._size, self._most_bytes, self._weigh = size, most_bytes, weigh
        self._known: OrderedDict[Hashable, _V] = OrderedDict()
        self._bytes = 0
        self.reset()
        _forked.add(self)

    def reset(self) -> None:
        """Forget what is under way: in a forked child, nobody computes it."""
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, Future[_V]] = {}
        # The parent may have been about to change it.
        self._bytes = sum(map(self._weigh, self._known.values()))

    def get(
        self, key: Hashable, compute: Callable[[], _V], slots: Slots, until: float | None = None
    ) -> tuple[_V, bool]:
        """Return the result for a key and whether another call computed it.

        Args:
            key: of the result.
            compute: gives it. A failure is raised, here and where calls wait for it, and not kept:
                a cropper may recover.
            slots: where that runs.
            until: `time.monotonic()` at which this call has to go on; None for never.

        Raises:
            BusyError: too many calls wait already, or no slot became free in time.
            DeadlineError: the result is not ready in time; it is kept when it is.
        """
        while True:
            with self._lock:
                if key in self._known:
                    self._known.move_to_end(key)
                    return self._known[key], True
                future = self._under_way.get(key)
                shared = future is not None
                if future is None:
                    future = self._under_way[key] = Future()
            if not shared:
                self._compute(key, future, compute, slots, until)
            left = None if until is None else max(0.0, until - time.monotonic())
            try:
                future.exception(left)
            except concurrent.futures.TimeoutError:
                late = "the crop was not ready in time; it is kept for the next call"
                raise DeadlineError(late) from None
            try:
                return future.result(), shared
            except _GaveUpError:
                continue
            except CropperError as error:
                # An interrupt is meant for the call that computes, not for those that wait.
                cause = error.__cause__
                if shared or cause is None or isinstance(cause, Exception):
                    raise
                raise cause from None

    def _compute(
        self,
        key: Hashable,
        future: Future[_V],
        compute: Callable[[], _V],
        slots: Slots,
        until: float | None,
    ) -> None:
        """Give the future its result, here or later."""

        def job() -> None:
            try:
                value = compute()
            except BaseException as error:
                if not isinstance(error, Exception):
                    ended = CropperError(f"it was interrupted by {type(error).__name__}")
                    ended.__cause__ = error
                    error = ended
                self._forget(key, future, error)
            else:
                self._keep(key, value)
                future.set_result(value)

        try:
            slots.start(job, until)
        except BaseException:
            # An interrupt is meant for this thread, a full line for this call: not for those that
            # wait for its result.
            self._forget(key, future, _GaveUpError())
            raise

    def _forget(self, key: Hashable, future: Future[_V], error: BaseException) -> None:
        with self._lock:
            if self._under_way.get(key) is future:
                del self._under_way[key]
        future.set_exception(error)

    def _keep(self, key: Hashable, value: _V) -> None:
        with self._lock:
            self._under_way.pop(key, None)
            self._known[key] = value
            self._bytes += self._weigh(value)
            while len(self._known) > self._size or self._bytes > self._most_bytes:
                self._bytes -= self._weigh(self._known.popitem(last=False)[1])


def _return_memory() -> None:
    """Give freed memory back to the system, where the C library keeps it."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


class _GaveUpError(Exception):
    """The call that was to compute a result has gone."""


_forked: weakref.WeakSet[Any] = weakref.WeakSet()


def _after_fork() -> None:
    for shared in list(_forked):
        shared.reset()


def _at_exit() -> None:
    # A thread inside a model while the interpreter is taken apart could crash it.
    until = time.monotonic() + _LAST_SECONDS
    for shared in list(_forked):
        if isinstance(shared, Slots):
            shared.drain(until)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
