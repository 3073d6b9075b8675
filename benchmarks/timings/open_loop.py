"""Calls over the loopback that start when they are due, however long those before them take.

A client, an upstream and a proxy as processes of their own; HTTP by hand, so that the client costs
little of what it measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_HEAD = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
_ANSWER = b'{"id":"c","object":"chat.completion","choices":[]}'


@dataclass
class Calls:
    """What became of some calls.

    Attributes:
        seconds: from when each was due to the end of its answer.
        outcomes: "answered"; "refused", where nobody listened, so nothing was sent; "lost", where
            something was sent and no answer came back; or the status of another answer.
        crops: calls that were answered with a crop.
    """

    seconds: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    crops: int = 0

    def quantile(self, share: float) -> float:
        """Return a quantile of the seconds; 0 where there are none."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Client:
    """Keeps connections to one address, and opens further ones as they are needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.calls = Calls()

    async def call(self, body: bytes, due: float | None = None) -> None:
        """Make a call and note what became of it.

        Args:
            body: of the request.
            due: when it was to be made, as `time.perf_counter` counts.
        """
        start = time.perf_counter() if due is None else due
        reader, writer = None, None
        while self._idle and reader is None:
            reader, writer = self._idle.pop()
            if reader.at_eof() or writer.is_closing():
                writer.close()
                reader, writer = None, None
        try:
            if reader is None or writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            self.calls.outcomes["refused"] += 1
            return
        try:
            writer.write(f"{_HEAD}content-length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
        except (OSError, asyncio.IncompleteReadError):
            self.calls.outcomes["lost"] += 1
            writer.close()
            return
        status = head.split(b" ", 2)[1].decode()
        self.calls.outcomes["answered" if status == "200" else status] += 1
        self.calls.seconds.append(time.perf_counter() - start)
        self.calls.crops += b"x-cropzoom-crops: 1" in head
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


async def open_loop(port: int, rate: float, seconds: float, body: Callable[[int], bytes]) -> Calls:
    """Make calls at a rate, each when it is due, and wait for their ends."""
    client = Client(port)
    start = time.perf_counter()
    tasks = []
    for number in range(max(1, round(rate * seconds))):
        due = start + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.ensure_future(client.call(body(number), due)))
    await asyncio.gather(*tasks)
    client.close()
    return client.calls


async def closed_loop(
    port: int, crew: int, body: Callable[[int], bytes], until: Callable[[Calls], bool]
) -> Calls:
    """Have some callers make one call after another."""
    client, number = Client(port), 0

    async def work() -> None:
        nonlocal number
        while not until(client.calls):
            number += 1
            await client.call(body(number))
            if client.calls.outcomes["refused"]:
                await asyncio.sleep(0.01)

    await asyncio.gather(*(work() for _ in range(crew)))
    client.close()
    return client.calls


def free_port() -> int:
    """Return a port of the loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def upstream(delay: float) -> Iterator[int]:
    """Run a server that answers every request after so many seconds; gives its port."""
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(
        target=_answer, args=(port, delay), daemon=True
    )
    process.start()
    try:
        _wait(port, process.is_alive)
        yield port
    finally:
        process.terminate()
        process.join()


def _answer(port: int, delay: float) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = f"HTTP/1.1 200 OK\r\ncontent-length: {len(_ANSWER)}\r\n\r\n".encode() + _ANSWER
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
                await asyncio.sleep(delay)
                writer.write(answer)
                await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", port, limit=2**24, backlog=1024)
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def proxy(upstream_port: int, *arguments: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run `cropzoom serve`; gives its port and its process, which is ended in the end."""
    port = free_port()
    command = [sys.executable, "-m", "cropzoom", "serve", "--port", str(port), *arguments]
    command += ["--upstream", f"http://127.0.0.1:{upstream_port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait(port, lambda: process.poll() is None)
        yield port, process
    finally:
        # Twice: the second one does not wait for who balances.
        for _ in range(2):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
        process.wait(60)


def _wait(port: int, alive: Callable[[], bool]) -> None:
    """Wait until a server answers."""
    for _ in range(1200):
        assert alive(), "it ended before it began"
        with socket.socket() as probe:
            probe.settimeout(60)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                probe.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
                if probe.recv(1):
                    return
        time.sleep(0.1)
    raise AssertionError("it does not answer")


def workers_of(process: int) -> list[int]:
    """Return the numbers of a process's workers (Linux)."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    # The first is multiprocessing's own, which keeps count of what is to be cleared away.
    lines = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return [child for child, line in lines.items() if b"spawn_main" in line]


def memory(process: int, kind: str = "Rss") -> float:
    """Return a process's memory in MB (Linux): "Rss", or "Pss", where what is shared is split."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no {kind} of process {process}")


def processor_seconds(process: int) -> float:
    """Return the processor's time that a process has used (Linux), which others don't lengthen."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    return {"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1)}
