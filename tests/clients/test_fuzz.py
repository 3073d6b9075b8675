"""Whatever is sent, nothing is raised, nothing is lost, and a dialogue keeps its beginning.

A long run by hand: `CROPZOOM_FUZZ=10000 pytest tests/clients/test_fuzz.py`.
"""

from __future__ import annotations

import os
import socket
import zlib
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from fuzzing import as_sent, bodies, dialogues, kept, pictures, shape
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from wrapping import OPTIONS, FixedCropper, PlacesCropper

from cropzoom import CropZoomError, rewrite_body
from cropzoom.clients.dialects import DIALECTS
from cropzoom.geometry import Crop
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


class Moody(PlacesCropper):
    """Sure of some questions and not of others, and fails on some."""

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        (crop,) = super().predict(image, question, k)
        mood = zlib.crc32(question.encode("utf-8", "surrogatepass")) // 76 % 5
        if mood == 0:
            raise RuntimeError("out of paper")
        return [Crop(crop.box, 0.1 if mood == 1 else 0.9)]


in_modes = pytest.mark.parametrize("mode", ["replace", "stitch"])
fuzzed_modes = settings(fuzzed, max_examples=LONG or 60)


@in_modes
@seed(13)
@fuzzed_modes
@given(
    body=bodies(),
    endpoint=st.sampled_from([None, None, *DIALECTS]),
    budget=st.sampled_from([None, None, 250]),
)
def test_no_picture_is_lost(mode: Any, body: Any, endpoint: Any, budget: int | None) -> None:
    """Each is there, or a smaller one in its very part with its crops beside or on it."""
    before = shape(body)
    options = replace(CALM, mode=mode, budget=budget)
    new, report = rewrite_body(body, zoom=Zoom(Moody(), options), endpoint=endpoint)
    assert shape(body) == before
    swapped: list[str] = []
    assert kept(body, new, swapped)
    shown = [image for image in report.images if image.crops]
    assert len(swapped) <= len(shown)
    if mode == "replace":
        assert pictures(new) >= pictures(body) + len(swapped)
    assert shown or as_sent(dict(body)) == as_sent(new)
    # Unsure of all: everything goes out as it is.
    unsure = Zoom(FixedCropper(confidence=0.1), options)
    assert as_sent(rewrite_body(body, zoom=unsure, endpoint=endpoint)[0]) == as_sent(dict(body))


@in_modes
@seed(13)
@settings(fuzzed_modes, max_examples=LONG or 25)
@given(dialogue=dialogues(), same_zoom=st.booleans())
def test_a_dialogue_keeps_its_beginning_in_modes(mode: Any, dialogue: Any, same_zoom: bool) -> None:
    spelling, calls, fields = dialogue
    options = replace(CALM, mode=mode)
    zoom = Zoom(Moody(), options)
    messages: list[Any] = []
    earlier: list[bytes] = []
    for call in calls:
        messages += call
        if not same_zoom:
            zoom = Zoom(Moody(), options)
        body = {spelling.items: list(messages), **fields}
        new, _ = rewrite_body(body, zoom=zoom, endpoint=spelling.name)
        sent = [as_sent(item) for item in new[spelling.items]]
        assert sent[: len(earlier)] == earlier
        assert kept(messages, new[spelling.items], [])
        earlier = sent


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
