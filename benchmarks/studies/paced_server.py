"""An OpenAI-compatible server that answers what is known beforehand, as slowly as an API would."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from cropzoom.demo.server import BadRequestError, StandInServer


@dataclass(frozen=True)
class Api:
    """How long a modelled API takes.

    Args:
        fixed: seconds of every request: network, queueing elsewhere, the answer's few tokens.
        per_token: seconds for each token of the prompt, nearly all of which are the pictures'.
        slots: requests at a time; others wait.
    """

    fixed: float
    per_token: float
    slots: int

    def seconds(self, tokens: int) -> float:
        """How long a slot is taken by a prompt of so many tokens."""
        return self.fixed + self.per_token * tokens


class PacedServer(StandInServer):
    """The demo's server with replies that are known beforehand, at an API's pace.

    Args:
        api: sets the pace.
        known: completions by `digest`; anything else is a bad request.
    """

    def __init__(self, api: Api, known: Mapping[str, dict[str, Any]]) -> None:
        super().__init__()
        self.api, self.known = api, known
        self._slots = threading.Semaphore(api.slots)
        # Its queue of 5 connections would keep bursts waiting for a second.
        self._http.socket.listen(512)
        self._http.handle_error = _report

    def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Wait for a slot, take the API's time, and answer."""
        completion = self.known.get(digest(body))
        if completion is None:
            raise BadRequestError("these messages were not among those read beforehand")
        with self._slots:
            time.sleep(self.api.seconds(completion["usage"]["prompt_tokens"]))
        return completion


def digest(body: Mapping[str, Any]) -> str:
    """Tell requests apart by their messages."""
    return hashlib.sha256(json.dumps(body["messages"], sort_keys=True).encode()).hexdigest()


def _report(request: Any, address: Any) -> None:
    # Clients that gave up are part of the measurement.
    if not isinstance(sys.exc_info()[1], ConnectionError):
        traceback.print_exc()


def _serve(api: Api, known: dict[str, dict[str, Any]], pipe: Connection) -> None:
    with PacedServer(api, known) as server:
        pipe.send(server.base_url)
        pipe.recv()


@contextmanager
def served(api: Api, known: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Run a `PacedServer` in a process of its own; gives its address."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_serve, args=(api, known, theirs))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("stop")
        process.join()
