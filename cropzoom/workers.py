"""Work that calls share: a few jobs at once, one computation for a key, and no call kept too long.

A job whose caller can't wait any longer goes on in its thread, and its result is kept for the next
call. A job's slot is held until its thread really ends, so that however many calls come, in
threads or in asyncio, memory is that of a few jobs.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import contextvars
import os
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeAlias, TypeVar

from cropzoom.errors import BusyError, CropperError, DeadlineError

_V = TypeVar("_V")
_Place: TypeAlias = "tuple[_V, bool] | Exception"

# Jobs that have run for this long are taken to hang: nobody with a deadline waits for their slots.
_STUCK_SECONDS = 30.0
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

    def run(self, job: Callable[[], None], until: float | None) -> None:
        """Run a job: here where there is time, else in a thread of its own, without waiting for it.

        Args:
            job: raises nothing.
            until: `time.monotonic()` until which to wait for a slot; None waits as long as it
                takes, and the job then runs in this thread.

        Raises:
            BusyError: the line is full, or no slot became free in time.
        """
        ticket = self._take(until)
        if until is None:
            try:
                job()
            finally:
                self._give_back(ticket)
            return
        context = contextvars.copy_context()

        def work() -> None:
            try:
                context.run(job)
            finally:
                self._give_back(ticket)

        try:
            threading.Thread(target=work, name="cropzoom", daemon=True).start()
        except BaseException:
            self._give_back(ticket)
            raise

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
        self,
        keys: Sequence[Hashable],
        compute: Callable[[list[int]], Sequence[_V | Exception]],
        slots: Slots,
        until: float | None = None,
    ) -> list[_Place[_V]]:
        """Return for each key its result and whether another call computed it, or its failure.

        Args:
            keys: of the results.
            compute: gives the results at some places of `keys`, all that are missing, in one job.
                Failures are not kept, for a cropper may recover.
            slots: where that job runs.
            until: `time.monotonic()` at which a call has to go on; None for none.
        """
        places: list[_Place[_V] | None] = [None] * len(keys)
        mine: dict[int, Future[_V]] = {}
        others: dict[int, Future[_V]] = {}
        with self._lock:
            for place, key in enumerate(keys):
                if key in self._known:
                    self._known.move_to_end(key)
                    places[place] = self._known[key], True
                elif key in self._under_way:
                    others[place] = self._under_way[key]
                else:
                    mine[place] = self._under_way[key] = Future()
        if mine:
            self._compute(keys, mine, compute, slots, until)
        left = None if until is None else max(0.0, until - time.monotonic())
        concurrent.futures.wait([*mine.values(), *others.values()], left)
        for place, future in (mine | others).items():
            places[place] = _settled(future, place in others)
        again = [place for place in others if isinstance(places[place], _GaveUpError)]
        if again:
            keys = [keys[place] for place in again]
            late = self.get(keys, lambda some: compute([again[i] for i in some]), slots, until)
            for place, value in zip(again, late, strict=True):
                places[place] = value
        return [place for place in places if place is not None]

    def _compute(
        self,
        keys: Sequence[Hashable],
        mine: dict[int, Future[_V]],
        compute: Callable[[list[int]], Sequence[_V | Exception]],
        slots: Slots,
        until: float | None,
    ) -> None:
        """Compute what is missing; each future gets its result, here or later."""

        def job() -> None:
            values: Sequence[_V | Exception]
            try:
                values = compute(list(mine))
                if len(values) != len(mine):
                    raise CropperError(f"{len(values)} results for {len(mine)} questions")
            except Exception as error:
                values = [error] * len(mine)
            for (place, future), value in zip(mine.items(), values, strict=True):
                self._settle(keys[place], future, value)

        try:
            slots.run(job, until)
        except BaseException as error:
            # An interrupt is meant for this thread, a full line for this call: not for those that
            # wait.
            for place, future in mine.items():
                if not future.done():
                    self._settle(keys[place], future, _GaveUpError(error))
            if not isinstance(error, Exception):
                raise

    def _settle(self, key: Hashable, future: Future[_V], value: _V | Exception) -> None:
        with self._lock:
            if self._under_way.get(key) is future:
                del self._under_way[key]
            if not isinstance(value, Exception):
                replaced = self._known.pop(key, None)
                self._bytes -= 0 if replaced is None else self._weigh(replaced)
                self._known[key] = value
                self._bytes += self._weigh(value)
                while len(self._known) > self._size or self._bytes > self._most_bytes:
                    self._bytes -= self._weigh(self._known.popitem(last=False)[1])
        if isinstance(value, Exception):
            future.set_exception(value)
        else:
            future.set_result(value)


class _GaveUpError(Exception):
    """The call that was to compute a result has gone; the error is its own."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


def _settled(future: Future[_V], shared: bool) -> _Place[_V]:
    if not future.done():
        return DeadlineError("the crop was not ready in time; it is kept for the next call")
    error = future.exception()
    if error is None:
        return future.result(), shared
    if isinstance(error, _GaveUpError) and not shared:
        error = error.error
    return error if isinstance(error, Exception) else CropperError(f"interrupted: {error!r}")


_forked: weakref.WeakSet[Slots | SharedResults[object]] = weakref.WeakSet()


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
