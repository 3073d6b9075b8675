"""`cropzoom serve` as a process and as several: stopped, killed and started anew under load."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

from hand_made_cropper import write_cropper  # noqa: E402
from open_loop import Calls, closed_loop, proxy, upstream, workers_of  # noqa: E402

from cropzoom.serve.processes import take_no_more  # noqa: E402

BODY = b'{"model":"m","messages":[{"role":"user","content":"Hello"}]}'


@pytest.fixture(scope="module")
def cropper(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_cropper(tmp_path_factory.mktemp("cropper") / "cropper"))


@pytest.fixture
def sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where workers keep their sums."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def wait_for(workers: int, sums: Path) -> None:
    """Wait until so many workers have come to serve, those that are gone included."""
    for _ in range(900):
        if len(list(sums.glob("cropzoom-serve-*/*.json"))) >= workers:
            return
        time.sleep(0.1)
    raise AssertionError("not all workers serve")


def under_load(port: int, act: threading.Thread, seconds: float) -> Calls:
    """Have callers call while something is done, and for some seconds after it."""
    ended: list[float] = []

    def until(calls: Calls) -> bool:
        if not act.is_alive() and not ended:
            ended.append(time.monotonic() + seconds)
        return bool(ended) and time.monotonic() > ended[0]

    act.start()
    return asyncio.run(closed_loop(port, 8, lambda number: BODY, until))


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_under_load_loses_no_call(cropper: str, workers: int, sums: Path) -> None:
    arguments = ("--workers", str(workers), "--cropper", cropper, "--drain", "0.5")
    with upstream(0.02) as behind, proxy(behind, *arguments) as (port, process):
        wait_for(workers if workers > 1 else 0, sums)

        def stop() -> None:
            time.sleep(1.0)
            process.send_signal(signal.SIGTERM)
            process.wait(60)

        calls = under_load(port, threading.Thread(target=stop), 0.2)
    assert calls.outcomes["answered"] > 10 and calls.outcomes["refused"] > 0
    assert set(calls.outcomes) == {"answered", "refused"}, calls.outcomes


def test_a_killed_worker_is_replaced_and_the_others_go_on(cropper: str, sums: Path) -> None:
    with (
        upstream(0.0) as behind,
        proxy(behind, "--workers", "2", "--cropper", cropper) as (port, process),
    ):
        wait_for(2, sums)
        before = workers_of(process.pid)
        assert len(before) == 2

        def kill() -> None:
            time.sleep(0.5)
            os.kill(before[0], signal.SIGKILL)
            for _ in range(600):
                now = workers_of(process.pid)
                if len(now) == 2 and before[0] not in now:
                    wait_for(3, sums)
                    return
                time.sleep(0.1)

        calls = under_load(port, threading.Thread(target=kill), 0.5)
        after = workers_of(process.pid)
        assert len(after) == 2 and before[0] not in after and before[1] in after
        # What it was about is lost with it, one call of each caller at most.
        assert set(calls.outcomes) <= {"answered", "lost"}, calls.outcomes
        assert calls.outcomes["lost"] <= 8 and calls.outcomes["answered"] > 10
        metrics = f"http://127.0.0.1:{port}/metrics"
        for _ in range(100):
            with urllib.request.urlopen(metrics) as answer:
                lines = answer.read().decode().splitlines()
            values = dict(line.split() for line in lines if not line.startswith("#"))
            if values["cropzoom_in_flight"] == "0":
                break
            time.sleep(0.1)
        # Every worker's, whichever answers; the dead one's as of its last second.
        assert values["cropzoom_in_flight"] == "0"
        assert float(values["cropzoom_requests_total"]) > calls.outcomes["answered"] / 3


def test_the_end_of_an_answer_does_not_wait_for_the_callers_system() -> None:
    """Nagle's algorithm is off, also behind a listening socket that does not say it is TCP."""
    from uvicorn import Config
    from uvicorn.server import ServerState

    from cropzoom.serve.processes import PatientProtocol

    async def run() -> int:
        config = Config(lambda: None, http=PatientProtocol)
        config.load()
        made: list[PatientProtocol] = []

        def factory() -> PatientProtocol:
            made.append(PatientProtocol(config=config, server_state=ServerState(), app_state={}))
            return made[-1]

        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(factory, sock=listener)
        _, writer = await asyncio.open_connection(*listener.getsockname())
        while not made or made[0].transport is None:
            await asyncio.sleep(0.01)
        accepted = made[0].transport.get_extra_info("socket")
        option = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
        listening.close()
        return option

    assert asyncio.run(run()) != 0


def test_what_is_wrong_is_said_at_once(cropper: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cropzoom", "serve", "--workers", "2"]
    for arguments, words in (
        (["--upstream", "x"], "is no address"),
        (["--upstream", "http://x", "--cropper", str(tmp_path)], "cropper.json"),
    ):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and words in done.stderr and "Traceback" not in done.stderr


def test_while_it_stops_it_says_so(cropper: str) -> None:
    arguments = ("--cropper", cropper, "--drain", "5")
    with upstream(0.0) as behind, proxy(behind, *arguments) as (port, process):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            answer = b""
            while b"stopping" not in answer:
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 503")
            head = b"POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
            connection.sendall(head)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece.lower()
            assert b" 200 " in answer and b"connection: close" in answer


def test_a_socket_about_to_close_takes_no_more_connections() -> None:
    # What the system takes on after the last `accept` would be cut off with its request.
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = sock.getsockname()
        with socket.create_connection(address) as waiting:
            asyncio.run(take_no_more(sock))
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.3)
            waiting.sendall(b"on its way")
            connection, _ = sock.accept()
            assert connection.recv(16) == b"on its way"  # what is open goes on
            connection.close()
            sock.settimeout(0.1)
            with pytest.raises(TimeoutError):
                sock.accept()
