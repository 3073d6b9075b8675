"""Zoom: when a crop is added, the cache, and failing open."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from fixed_croppers import BrokenCropper, FixedCropper, noise
from PIL import Image

from cropzoom import (
    Box,
    Crop,
    CropperError,
    ImageError,
    ImageTooLargeError,
    OptionsError,
    Reason,
    ZoomOptions,
    ZoomReport,
)
from cropzoom.images import load_image
from cropzoom.zoom import Zoom

OPTIONS = ZoomOptions(min_crop_side=0)


class Cropper:
    """Proposes what it was given; counts, and waits where told to."""

    longest_edge: int | None = None
    grey = False

    def __init__(self, *crops: Crop, wait: Callable[[], object] = lambda: None) -> None:
        self.crops = list(crops)
        self.wait = wait
        self.sizes: list[tuple[int, int]] = []
        self.modes: list[str] = []

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        self.sizes.append(image.size)
        self.modes.append(image.mode)
        self.wait()
        return self.crops


def data_of(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


PAGE = data_of(noise(1, (100, 200)))


def test_a_crop_is_cut_from_the_source() -> None:
    zoomed, report = Zoom(FixedCropper(Box(0.1, 0.1, 0.5, 0.4)), OPTIONS).crops(PAGE, "?", index=3)
    assert load_image(zoomed[0].image.data).tobytes() == (
        load_image(PAGE).crop((10, 20, 50, 80)).tobytes()
    )
    assert (report.index, report.size, report.reason, report.cached) == (3, (100, 200), None, False)
    added = report.crops[0]
    assert (added.width, added.height, added.bytes) == (40, 60, len(zoomed[0].image.data))
    assert added.box == zoomed[0].crop.box == Box(0.1, 0.1, 0.5, 0.4)


@pytest.mark.parametrize(
    ("crop", "options", "reason"),
    [
        (Crop(Box(0, 0, 0.5, 0.5), 0.2), {"min_confidence": 0.2}, None),
        (Crop(Box(0, 0, 0.5, 0.5), 0.19), {"min_confidence": 0.2}, Reason.LOW_CONFIDENCE),
        (Crop(Box(0, 0, 0.5, 0.5), 0.9), {"max_area": 0.25}, None),
        (Crop(Box(0, 0, 0.5, 0.5), 0.9), {"max_area": 0.24}, Reason.CROP_TOO_LARGE),
        (Crop(Box(0, 0, 0.5, 0.5), 0.9), {"max_area": 0.25, "padding": 0.1}, Reason.CROP_TOO_LARGE),
        (Crop(Box(0, 0, 0.5, 0.5), 0.9), {"target_side": 199}, None),
        (Crop(Box(0, 0, 0.5, 0.5), 0.9), {"target_side": 200}, Reason.IMAGE_SMALL),
    ],
)
def test_thresholds(crop: Crop, options: dict[str, float], reason: Reason | None) -> None:
    zoomed, report = Zoom(Cropper(crop), replace(OPTIONS, **options)).crops(PAGE, "?")
    assert report.reason == reason
    assert bool(zoomed) == (reason is None)
    assert bool(report.detail) == (reason is not None)


def test_several_crops_drop_only_the_bad_ones() -> None:
    good, unsure = Crop(Box(0, 0, 0.4, 0.4), 0.9), Crop(Box(0.5, 0.5, 0.9, 0.9), 0.01)
    zoom = Zoom(Cropper(unsure, good, good), replace(OPTIONS, max_crops=2))
    zoomed, report = zoom.crops(PAGE, "?")
    assert [item.crop for item in zoomed] == [good]
    assert report.reason is None


def test_padding_and_thin_crops_get_context() -> None:
    zoom = Zoom(Cropper(Crop(Box(0.2, 0.4, 0.4, 0.6), 1)), replace(OPTIONS, padding=0.5))
    padded = zoom.crops(PAGE, "?")[1].crops[0].box
    assert padded.to_pixels(100, 200) == (10, 60, 50, 140)
    thin = Zoom(Cropper(Crop(Box(0, 0.5, 1, 0.5025), 1)), OPTIONS).crops(PAGE, "?")[1].crops[0]
    assert (thin.width, thin.height) == (255, 28)


def test_nothing_proposed_and_no_question() -> None:
    assert Zoom(Cropper(), OPTIONS).crops(PAGE, "?")[1].reason is Reason.NOTHING_FOUND
    cropper = Cropper()
    assert Zoom(cropper, OPTIONS).crops(PAGE, " \n")[1].reason is Reason.NO_QUESTION
    assert not cropper.sizes


@pytest.mark.parametrize(
    ("source", "reason", "error"),
    [
        (b"", Reason.BROKEN_IMAGE, ImageError),
        (PAGE[:300], Reason.BROKEN_IMAGE, ImageError),
        ("/nowhere/page.png", Reason.BROKEN_IMAGE, ImageError),
        (data_of(Image.new("1", (9000, 9000))), Reason.TOO_MANY_PIXELS, ImageTooLargeError),
    ],
)
def test_bad_images_pass_or_raise(
    source: bytes | str, reason: Reason, error: type[Exception]
) -> None:
    zoom = Zoom(FixedCropper(), OPTIONS)
    zoomed, report = zoom.crops(source, "?")
    assert (zoomed, report.reason, report.size) == ([], reason, None)
    assert report.detail
    with pytest.raises(error):
        zoom.crops(source, "?", strict=True)


def test_a_broken_cropper_passes_or_raises() -> None:
    zoom = Zoom(BrokenCropper(), OPTIONS)
    for _ in range(2):
        zoomed, report = zoom.crops(PAGE, "?")
        assert (zoomed, report.reason, report.cached) == ([], Reason.ERROR, False)
        assert "the model file is gone" in report.detail
    with pytest.raises(CropperError, match="OSError: the model file is gone") as caught:
        zoom.crops(PAGE, "?", strict=True)
    assert isinstance(caught.value.__cause__, OSError)


def test_cache_knows_image_question_and_options() -> None:
    cropper = FixedCropper()
    zoom = Zoom(cropper, OPTIONS)
    first, fresh = zoom.crops(PAGE, "a", index=0)
    again, known = zoom.crops(PAGE, "a", index=5)
    assert first == again
    assert (fresh.cached, known.cached, known.index) == (False, True, 5)
    zoom.crops(PAGE, "a", options=replace(OPTIONS, label="Look:", fetch_timeout=1))
    assert cropper.questions == ["a"]
    zoom.crops(PAGE, "b")
    zoom.crops(PAGE, "a", options=replace(OPTIONS, padding=0.2))
    zoom.crops(load_image(PAGE), "a")
    zoom.crops(load_image(PAGE), "a")
    assert cropper.questions == ["a", "b", "a", "a"]


def test_pil_images_that_look_different_are_different() -> None:
    cropper = FixedCropper()
    zoom = Zoom(cropper, OPTIONS)
    image = load_image(PAGE)
    zoom.crops(image, "a")
    image.putpixel((0, 0), (1, 2, 3))
    zoom.crops(image, "a")
    image.getexif()[0x0112] = 6
    assert zoom.crops(image, "a")[1].size == (200, 100)
    assert len(cropper.questions) == 3


def test_cache_forgets_the_oldest() -> None:
    cropper = FixedCropper()
    zoom = Zoom(cropper, replace(OPTIONS, cache_size=2))
    for question in "abacab":
        zoom.crops(PAGE, question)
    assert "".join(cropper.questions) == "abcb"


def test_cache_forgets_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cropzoom.zoom._CACHE_BYTES", 1)
    cropper = FixedCropper()
    zoom = Zoom(cropper, OPTIONS)
    zoom.crops(PAGE, "a")
    zoom.crops(PAGE, "a")
    assert len(cropper.questions) == 2


def test_no_cache() -> None:
    cropper = FixedCropper()
    zoom = Zoom(cropper, replace(OPTIONS, cache_size=0))
    assert not any(zoom.crops(PAGE, "a")[1].cached for _ in range(2))
    assert len(cropper.questions) == 2


def test_concurrent_identical_calls_compute_once() -> None:
    ready, go = threading.Event(), threading.Event()

    def wait() -> None:
        ready.set()
        assert go.wait(10)

    cropper = Cropper(Crop(Box(0, 0, 0.5, 0.5), 0.9), wait=wait)
    zoom = Zoom(cropper, OPTIONS)
    results: list[bool] = []

    def call() -> None:
        zoomed, report = zoom.crops(PAGE, "?")
        assert len(zoomed) == 1
        results.append(report.cached)

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert ready.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert len(cropper.sizes) == 1
    assert sorted(results) == [False] + [True] * 5


def test_waiting_calls_share_a_failure_and_the_next_call_tries_again() -> None:
    ready, go = threading.Event(), threading.Event()
    failing = True

    def wait() -> None:
        ready.set()
        assert go.wait(10)
        if failing:
            raise RuntimeError("out of memory")

    zoom = Zoom(Cropper(Crop(Box(0, 0, 0.5, 0.5), 0.9), wait=wait), OPTIONS)
    reasons: list[Reason | None] = []
    threads = [
        threading.Thread(target=lambda: reasons.append(zoom.crops(PAGE, "?")[1].reason))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    assert ready.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert reasons == [Reason.ERROR] * 3
    failing = False
    assert zoom.crops(PAGE, "?")[1].reason is None


def test_a_large_jpeg_loses_its_colours_only_for_a_cropper_that_does_not_need_them() -> None:
    photograph = data_of(Image.new("RGB", (1024, 600), "red"), "JPEG")
    for grey, mode in ((True, "L"), (False, "RGB")):
        cropper = Cropper(Crop(Box(0, 0, 0.5, 0.5), 0.9))
        cropper.longest_edge, cropper.grey = 256, grey
        zoomed, _ = Zoom(cropper, OPTIONS).crops(photograph, "?")
        assert cropper.modes == [mode]
        assert load_image(zoomed[0].image.data).getpixel((9, 9))[0] > 250


def test_a_large_jpeg_is_predicted_small_and_cropped_in_full() -> None:
    cropper = Cropper(Crop(Box(0, 0, 0.5, 0.5), 0.9))
    cropper.longest_edge = 256
    photograph = data_of(noise(2, (1024, 600)), "JPEG")
    zoomed, report = Zoom(cropper, OPTIONS).crops(photograph, "?")
    assert cropper.sizes == [(256, 150)]
    assert (zoomed[0].image.width, zoomed[0].image.height) == (512, 300)
    assert report.size == (1024, 600)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_crops": 0},
        {"max_crops": 1.0},
        {"min_confidence": 1.1},
        {"min_confidence": float("nan")},
        {"max_area": 0},
        {"padding": -1},
        {"min_crop_side": 2000},
        {"max_crop_side": True},
        {"target_side": -1},
        {"label": 3},
        {"fetch_images": 1},
        {"fetch_timeout": 0},
        {"max_pixels": "many"},
        {"cache_size": -1},
    ],
)
def test_options_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionsError, match=next(iter(wrong))):
        ZoomOptions(**wrong)  # type: ignore[arg-type]


def test_report_is_plain_json() -> None:
    zoom = Zoom(FixedCropper(), OPTIONS)
    images = (zoom.crops(PAGE, "?")[1], zoom.crops(b"", "?", index=1)[1])
    report = ZoomReport(images, "?", None, 1.5)
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["images"][0]["crops"][0]["box"] == {"x0": 0.25, "y0": 0.25, "x1": 0.5, "y1": 0.625}
    assert plain["images"][1]["reason"] == "broken_image"
    assert plain["pixels_added"] == report.pixels_added == 28 * 84
