"""Models that take one picture: a call works, and the next is made as they take it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from fixed_croppers import FixedCropper
from PIL import Image
from test_pipeline import FIRST_5, QUESTION, answer, image, user

from cropzoom import CropZoom, ZoomOptions
from cropzoom.report import Reason


def pictures(inputs: Any) -> list[Any]:
    if isinstance(inputs, Mapping):
        return list(inputs["images"])
    parts = [part for turn in inputs.messages for part in turn["content"]]
    return [part["image"] for part in parts if part["type"] == "image"]


@pytest.fixture
def prepared(plain: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """What was prepared; more than one picture is refused, and `refuse` may refuse more."""
    real, seen = type(plain).preprocess, []

    def preprocess(self: Any, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        seen.append(pictures(inputs))
        if len(seen[-1]) > 1:
            raise ValueError("this model takes one image")
        return real(self, inputs, *args, **kwargs)

    monkeypatch.setattr(type(plain), "preprocess", preprocess)
    return seen


def test_its_crops_come_on_a_canvas_from_the_second_call_at_once(
    plain: Any, prepared: list[list[Any]], photo: Image.Image, cropper: FixedCropper
) -> None:
    wrapped = CropZoom(plain, cropper)
    chat = [user(image(photo), QUESTION)]
    for attempts in (2, 1, 1):
        prepared.clear()
        assert answer(wrapped(text=chat, **FIRST_5))
        assert len(prepared) == attempts
        report = wrapped.cropzoom.last_report
        assert len(report.crops) == 1
        assert report.crops[0].place.crop_at is not None
        assert report.reason is (Reason.REFUSED if attempts == 2 else None)
        assert ("this model takes one image" in report.detail) is (attempts == 2)
    assert prepared[-1][0] is not photo


@pytest.mark.parametrize("words", [f"<image>{QUESTION}", None])
def test_a_model_that_takes_no_canvas_gets_what_it_was_given(
    words: str | None,
    plain: Any,
    photo: Image.Image,
    cropper: FixedCropper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, seen = type(plain).preprocess, []

    def preprocess(self: Any, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        seen.append(pictures(inputs))
        if len(seen[-1]) > 1 or seen[-1][0] is not photo:
            raise ValueError("this model knows one image")
        return real(self, inputs, *args, **kwargs)

    monkeypatch.setattr(type(plain), "preprocess", preprocess)
    wrapped = CropZoom(plain, cropper)
    given: dict[str, Any] = {"text": [user(image(photo), QUESTION)]}
    if words is not None:
        given = {"text": words, "images": [photo]}
    for attempts in (3, 1):
        seen.clear()
        wrapped(**given, **FIRST_5)
        assert len(seen) == attempts
        report = wrapped.cropzoom.last_report
        assert not report.crops
        assert report.images[0].reason is (Reason.REFUSED if attempts == 3 else Reason.LIMIT)


def test_a_failure_of_the_given_sample_reaches_the_caller(
    plain: Any, photo: Image.Image, cropper: FixedCropper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def preprocess(self: Any, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        raise ValueError("broken processor")

    monkeypatch.setattr(type(plain), "preprocess", preprocess)
    wrapped = CropZoom(plain, cropper, ZoomOptions())
    with pytest.raises(ValueError, match="broken processor"):
        wrapped(text=[user(image(photo), QUESTION)], **FIRST_5)
    monkeypatch.undo()
    # Nothing was learnt from it.
    wrapped(text=[user(image(photo), QUESTION)], **FIRST_5)
    assert len(wrapped.cropzoom.last_report.crops) == 1
    assert wrapped.cropzoom.last_report.crops[0].place.crop_at is None
