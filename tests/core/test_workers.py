"""Under load: few jobs at once, nobody kept beyond a deadline, nothing inherited by a fork."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from fixed_croppers import FixedCropper, noise
from PIL import Image

from cropzoom import BusyError, Crop, CropperError, DeadlineError, Reason, ZoomOptions
from cropzoom.geometry import Box
from cropzoom.workers import SharedResults, Slots
from cropzoom.zoom import Zoom

OPTIONS = ZoomOptions(min_crop_side=0)
PAGE = noise(1, (100, 200))


class GatedCropper:
    """Answers when the gate opens; counts how many answer at once."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.now = self.most = self.calls = 0

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        with self.lock:
            self.now += 1
            self.calls += 1
            self.most = max(self.most, self.now)
        self.started.release()
        self.gate.wait(20)
        with self.lock:
            self.now -= 1
        return [Crop(Box(0.1, 0.1, 0.5, 0.5), 0.9)]


def soon(seconds: float = 0.1) -> float:
    return time.monotonic() + seconds


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_call_ends_at_its_deadline_and_the_crop_is_kept_for_the_next() -> None:
    cropper = GatedCropper()
    zoom = Zoom(cropper, OPTIONS)
    start = time.monotonic()
    zoomed, report = zoom.crops(PAGE, "?", until=soon())
    assert time.monotonic() - start < 5
    assert (zoomed, report.reason, report.cached) == ([], Reason.DEADLINE, False)
    assert zoom.crops(PAGE, "?", until=soon())[1].reason is Reason.DEADLINE  # waits for it
    with pytest.raises(DeadlineError):
        zoom.crops(PAGE, "?", until=soon(), strict=True)
    cropper.gate.set()
    zoomed, report = zoom.crops(PAGE, "?")
    assert (len(zoomed), report.cached, cropper.calls) == (1, True, 1)


def test_a_picture_changed_after_the_deadline_is_not_what_was_looked_at() -> None:
    cropper = GatedCropper()
    zoom = Zoom(cropper, OPTIONS)
    picture = Image.new("RGB", (100, 200), "red")
    assert zoom.crops(picture, "?", until=soon())[1].reason is Reason.DEADLINE
    picture.paste("blue", (0, 0, 100, 200))
    cropper.gate.set()
    zoomed, report = zoom.crops(Image.new("RGB", (100, 200), "red"), "?", until=soon(10))
    assert report.cached
    assert Image.open(io.BytesIO(zoomed[0].image.data)).getpixel((5, 5)) == (
        255,
        0,
        0,
    )


def test_slots_are_held_until_the_thread_ends_and_the_others_are_told() -> None:
    cropper = GatedCropper()
    zoom, other_client = Zoom(cropper, OPTIONS), Zoom(cropper, OPTIONS)
    slots = zoom._slots.count
    for number in range(slots):
        assert zoom.crops(PAGE, str(number), until=soon(0.01))[1].reason is Reason.DEADLINE
        cropper.started.acquire(timeout=10)
    report = other_client.crops(PAGE, "more", until=soon(0.01))[1]
    assert report.reason is Reason.BUSY
    assert "fewer calls" in report.detail
    with pytest.raises(BusyError):
        zoom.crops(PAGE, "more", until=soon(0.01), strict=True)
    cropper.gate.set()
    assert zoom.crops(PAGE, "more", until=soon(10))[1].reason is None
    assert cropper.most == slots


def test_many_calls_with_and_without_a_deadline_share_the_slots() -> None:
    cropper = GatedCropper()
    zoom = Zoom(cropper, OPTIONS)
    reasons: list[Reason | None] = []

    def call(number: int) -> None:
        until = soon(20) if number % 2 else None
        reasons.append(zoom.crops(PAGE, str(number), until=until)[1].reason)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    cropper.started.acquire(timeout=10)
    cropper.gate.set()
    for thread in threads:
        thread.join(20)
    assert reasons == [None] * 24
    assert cropper.most <= zoom._slots.count


def test_the_line_has_an_end() -> None:
    slots, gate, started = Slots(1, line=1), threading.Event(), threading.Event()

    def job() -> None:
        started.set()
        gate.wait(10)

    slots.start(job, soon(10))
    started.wait(10)
    waiting = threading.Thread(target=lambda: slots.start(lambda: None, None))
    waiting.start()
    wait_for(lambda: len(slots._line) == 1)
    with pytest.raises(BusyError, match="wait already"):
        slots.start(lambda: None, None)
    gate.set()
    waiting.join(10)
    slots.start(lambda: None, None)


def test_nobody_waits_for_a_cropper_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cropzoom.workers._STUCK_SECONDS", 0.0)
    slots, gate = Slots(1), threading.Event()
    slots.start(lambda: gate.wait(10) and None, soon(10))
    start = time.monotonic()
    with pytest.raises(BusyError, match="not answered"):
        slots.start(lambda: None, soon(20))
    assert time.monotonic() - start < 5
    gate.set()


def test_a_call_that_waits_for_one_that_gave_up_computes_itself() -> None:
    slots, gate = Slots(1), threading.Event()
    slots.start(lambda: gate.wait(10) and None, soon(10))
    results = SharedResults[str](8, 100, len)
    outcomes: list[object] = []

    def call(deadline: float | None) -> None:
        try:
            outcomes.append(results.get("key", lambda: "value", slots, deadline))
        except BusyError as error:
            outcomes.append(error)

    first = threading.Thread(target=call, args=(soon(0.3),))
    first.start()
    wait_for(lambda: len(slots._line) == 1)
    second = threading.Thread(target=call, args=(None,))
    second.start()
    first.join(10)
    gate.set()
    second.join(10)
    assert isinstance(outcomes[0], BusyError)
    assert outcomes[1] == ("value", False)


class ManyCropper(FixedCropper):
    """Answers several questions at once."""

    def __init__(self) -> None:
        super().__init__()
        self.together: list[list[str]] = []

    def predict_many(
        self, image: Image.Image, questions: Sequence[str], k: int = 1
    ) -> list[list[Crop]]:
        self.together.append(list(questions))
        return [[Crop(self.box, 0.5 + len(question) / 100)] for question in questions]


@pytest.mark.parametrize("cropper", [ManyCropper(), FixedCropper()])
def test_several_questions_about_one_picture(cropper: FixedCropper) -> None:
    zoom = Zoom(cropper, OPTIONS)
    zoomed, report = zoom.crops(PAGE, ["a", " ", "bcd", "a"])
    # Both are shown by the one crop.
    assert [crop.questions for crop in zoomed] == [("bcd", "a")] or (
        [crop.questions for crop in zoomed] == [("a", "bcd")]
    )
    assert zoom.crops(PAGE, ("a", "bcd"))[1].cached and not zoom.crops(PAGE, "a")[1].cached
    if isinstance(cropper, ManyCropper):
        assert (cropper.together, cropper.questions) == ([["a", "bcd"]], ["a"])
        assert report.crops[0].confidence == pytest.approx(0.53)
    else:
        assert cropper.questions == ["a", "bcd", "a"]
    assert zoom.crops(PAGE, [])[1].reason is Reason.NO_QUESTION


def test_a_question_that_fails_costs_the_others_nothing() -> None:
    class Picky(FixedCropper):
        def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
            if question.startswith("bad"):
                raise OSError("no")
            return super().predict(image, question, k)

    zoomed, _ = Zoom(Picky(), OPTIONS).crops(PAGE, ["a", "bad", "c"])
    assert set(zoomed[0].questions) == {"a", "c"}
    assert Zoom(Picky(), OPTIONS).crops(PAGE, ["bad", "bad 2"])[1].reason is Reason.ERROR
    with pytest.raises(CropperError, match="OSError: no"):
        Zoom(Picky(), OPTIONS).crops(PAGE, "bad", strict=True)


def test_no_memory_is_not_called_a_broken_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("cropzoom.images.upright_rgb", full)
    data = io.BytesIO()
    PAGE.save(data, "PNG")
    report = Zoom(FixedCropper(), OPTIONS).crops(data.getvalue(), "?")[1]
    assert report.reason is Reason.ERROR
    assert "MemoryError" in report.detail


def test_long_questions_are_not_kept() -> None:
    zoom = Zoom(FixedCropper(), OPTIONS)
    for number in range(40):
        zoom.crops(PAGE, f"{number}" + "x" * 100_000)
    assert all(len(repr(key)) < 2_000 for key in zoom._results._known)
    # Lone surrogates are text, too.
    assert zoom.crops(PAGE, "what \ud800?")[1].reason is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_waits_for_nothing_of_its_parent() -> None:
    cropper = GatedCropper()
    zoom = Zoom(cropper, replace(OPTIONS, cache_size=8))
    for number in range(zoom._slots.count):
        zoom.crops(PAGE, str(number), until=soon(0.01))
        cropper.started.acquire(timeout=10)
    child = os.fork()
    if child == 0:
        fine = False
        try:
            cropper.gate.set()
            fine = zoom.crops(PAGE, "0", until=soon(10))[1].reason is None
        finally:
            os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    cropper.gate.set()
