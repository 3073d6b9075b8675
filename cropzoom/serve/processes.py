"""How a proxy is served: by one process, or by several, of which what dies is started anew.

uvicorn serves; what is here sees to it that a server that is stopped loses no call.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from cropzoom.errors import CropZoomError
from cropzoom.serve.proxy_settings import ProxySettings

# What a caller sent before it could know that the connection ends arrives within this.
_ON_ITS_WAY_SECONDS = 1.0
# uvicorn's exit code of a server that did not come to serve; it would not the next time either.
_NOT_STARTED = 3
# A worker that dies sooner is started anew only after a pause.
_SHORT_LIFE_SECONDS = 5.0


class PatientProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """A connection that waits for nothing, and in the end for a request that is on its way."""

    def connection_made(self, transport: Any) -> None:
        """Take requests; but one, where the server is about to stop."""
        # asyncio does so only where the listening socket was made with its protocol's number;
        # without, the end of each answer waits 40 ms for the caller's system to say that it has
        # the beginning.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
        if getattr(self.server_state, "stopping", False):
            self.shutdown()

    def shutdown(self) -> None:
        """End, after the request under way or the one that may be about to come."""
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(_ON_ITS_WAY_SECONDS, self._end)
        else:
            super().shutdown()

    def _end(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()


# Linux's number; the socket module has no name for it.
_SO_ATTACH_FILTER = 26
# BPF: of a TCP header's flags (byte 13) SYN without ACK? Then nothing of it is kept, else all.
_NO_NEW_ONES = (
    (0x30, 0, 0, 13),
    (0x54, 0, 0, 0x12),
    (0x15, 0, 1, 0x02),
    (6, 0, 0, 0),
    (6, 0, 0, 1 << 16),
)
_HANDSHAKE_SECONDS = 0.1


async def take_no_more(sock: socket.socket) -> None:
    """Let the system drop what opens a connection: its caller tries again, and finds nobody.

    Between the last connection taken and the end of the listening socket others would come into
    being, and be cut off with what they have sent. (Linux; elsewhere they are that unlucky.)
    """
    if sys.platform != "linux":
        return
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in _NO_NEW_ONES)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HP", len(_NO_NEW_ONES), ctypes.addressof(buffer))
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        await asyncio.sleep(_HANDSHAKE_SECONDS)  # those half open


class _Server(uvicorn.Server):
    told: Event | None = None
    """Of a worker: set when all are to stop, not this one alone."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take the connections that the system has accepted already, then stop."""
        loop = asyncio.get_running_loop()
        # For connections that come into being after the others were told.
        self.server_state.stopping = True  # type: ignore[attr-defined]
        for sock in sockets or []:
            if self.told is None or self.told.is_set():
                await take_no_more(sock)
            # Closed as it is, it would cut them off.
            with suppress(OSError):
                while True:
                    connection, _ = sock.accept()
                    await loop.connect_accepted_socket(self._protocol, connection)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        kind: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def serve_proxy(proxy: Starlette, settings: ProxySettings, workers: int, **arguments: Any) -> None:
    """Serve a proxy until it is told to stop.

    Each of several workers loads the model for itself; what is mapped from files, they have in
    common.

    Args:
        proxy: to be served by this process, where it is the only one.
        settings: of the proxy.
        workers: processes.
        arguments: of `uvicorn.Config`.

    Raises:
        CropZoomError: a worker does not come to serve.
    """
    config = uvicorn.Config(proxy, http=PatientProtocol, **arguments)
    sock = config.bind_socket()
    if workers == 1:
        _Server(config).run(sockets=[sock])
        return
    with tempfile.TemporaryDirectory(prefix="cropzoom-serve-") as folder:
        replace(settings, metrics_folder=folder).to_environment()
        _Workers(sock, arguments, workers).run()


class _Workers:
    """Starts the workers, replaces those that die, and stops them all."""

    def __init__(self, sock: socket.socket, arguments: dict[str, Any], count: int) -> None:
        self._sock = sock
        self._arguments = arguments
        self._context = multiprocessing.get_context("spawn")
        self._all_stop = self._context.Event()
        self._processes = [self._start() for _ in range(count)]
        self._born = [time.monotonic()] * count
        self._told = 0

    def _start(self) -> SpawnProcess:
        process = self._context.Process(
            target=_work, args=(self._sock, self._arguments, self._all_stop)
        )
        process.start()
        return process

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)
        failed = False
        while not self._told and not failed:
            # Signals are seen between two waits.
            for sentinel in wait([process.sentinel for process in self._processes], 0.2):
                failed |= self._replace(sentinel)
        self._all_stop.set()
        for process in self._processes:
            process.terminate()
        # Held open here, the address would go on taking connections that nobody answers.
        self._sock.close()
        for process in self._processes:
            process.join()
        if failed:
            raise CropZoomError("a worker does not come to serve; its own words are above")

    def _tell(self, number: int, frame: Any) -> None:
        self._told += 1
        if self._told > 1:
            for process in self._processes:
                process.terminate()

    def _replace(self, sentinel: Any) -> bool:
        """Start a worker in place of one that died; tells whether that makes no sense."""
        place = [process.sentinel for process in self._processes].index(sentinel)
        process = self._processes[place]
        process.join()
        if process.exitcode == _NOT_STARTED:
            return True
        if self._told:
            return False
        if time.monotonic() - self._born[place] < _SHORT_LIFE_SECONDS:
            time.sleep(1.0)
        self._processes[place], self._born[place] = self._start(), time.monotonic()
        return False


def _work(sock: socket.socket, arguments: dict[str, Any], told: Event) -> None:
    """Serve in a worker, and end when the parent is gone, however it went."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def mind() -> None:
        wait([parent.sentinel])
        told.set()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=mind, daemon=True).start()
    name = "cropzoom.serve:application_from_environment"
    config = uvicorn.Config(name, factory=True, http=PatientProtocol, **arguments)
    server = _Server(config)
    server.told = told
    server.run(sockets=[sock])
