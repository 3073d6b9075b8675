"""Whatever is sent, nothing is raised, nothing is lost, and a dialogue keeps its beginning.

A long run by hand: `CROPZOOM_FUZZ=10000 pytest tests/clients/test_fuzz.py`.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from fuzzing import as_sent, bodies, dialogues, kept, shape
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from wrapping import OPTIONS, FixedCropper, PlacesCropper

from cropzoom import CropZoomError, rewrite_body
from cropzoom.clients.dialects import DIALECTS
from cropzoom.zoom import Zoom

LONG = int(os.environ.get("CROPZOOM_FUZZ", "0"))
# Without a deadline nothing depends on how busy the machine is.
CALM = replace(OPTIONS, deadline=None)

fuzzed = settings(
    max_examples=LONG or 150,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("something was fetched")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@seed(13)
@fuzzed
@given(body=bodies(), endpoint=st.sampled_from([None, None, *DIALECTS, "x"]))
def test_no_body_breaks_it(body: Any, endpoint: Any) -> None:
    before = shape(body)
    new, report = rewrite_body(body, zoom=Zoom(PlacesCropper(), CALM), endpoint=endpoint)
    assert shape(body) == before
    assert kept(body, new)
    assert report.crops or as_sent(dict(body)) == as_sent(new)
    assert report.to_dict()
    with suppress(CropZoomError):
        rewrite_body(body, zoom=Zoom(FixedCropper(), CALM), endpoint=endpoint, strict=True)
    assert shape(body) == before


@seed(13)
@fuzzed
@given(dialogue=dialogues(), same_zoom=st.booleans())
def test_a_dialogue_keeps_its_beginning(dialogue: Any, same_zoom: bool) -> None:
    spelling, calls, fields = dialogue
    zoom = Zoom(PlacesCropper(), CALM)
    messages: list[Any] = []
    earlier: list[bytes] = []
    for call in calls:
        messages += call
        if not same_zoom:
            zoom = Zoom(PlacesCropper(), CALM)
        body = {spelling.items: list(messages), **fields}
        new, _ = rewrite_body(body, zoom=zoom, endpoint=spelling.name)
        sent = [as_sent(item) for item in new[spelling.items]]
        assert sent[: len(earlier)] == earlier
        assert kept(messages, new[spelling.items])
        earlier = sent
