"""Rounds and threads, on candidates that note how they were called."""

from __future__ import annotations

import io
import threading

import pytest
from PIL import Image

from cropzoom.bench.candidates import Candidate
from cropzoom.bench.measure import Picture, concurrently, interleaved
from cropzoom.cropper.trace import Trace
from cropzoom.geometry import Box

BOX = Box(0.25, 0.25, 0.5, 0.5)


@pytest.fixture
def picture() -> Picture:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), "grey").save(buffer, "PNG")
    return Picture(buffer.getvalue())


class Noted:
    """Candidates by their labels, and what they were asked: label, question, image."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []

    def candidate(self, label: str, *, keeps: bool = False) -> Candidate:
        def predict(image: Image.Image, question: str, trace: Trace) -> Box:
            trace.start()
            self.asked.append((label, question, image.tobytes()))
            trace.lap("model")
            return BOX

        return Candidate(label, predict, keeps=keeps)


def rounds_of(picture: Picture, seed: int) -> Noted:
    noted = Noted()
    candidates = [noted.candidate("a"), noted.candidate("b", keeps=True), noted.candidate("c")]
    calls = interleaved(candidates, picture, ["x", "y"], rounds=8, warmup=2, seed=seed)
    # Rounds that warm up don't count.
    assert {label: (len(done.first), len(done.second)) for label, done in calls.items()} == {
        "a": (8, 0),
        "b": (8, 8),
        "c": (8, 0),
    }
    first = calls["a"].first[0]
    assert first.box == BOX and list(first.stages) == ["read", "model", "crop"]
    assert sum(first.stages.values()) <= first.seconds
    return noted


def test_each_round_has_all_candidates_in_an_order_of_its_own(picture: Picture) -> None:
    noted = rounds_of(picture, seed=0)
    # Three candidates, of which one is asked twice.
    rounds = [noted.asked[i : i + 4] for i in range(0, 40, 4)]
    assert len(noted.asked) == 40
    orders, images = [], []
    for number, calls in enumerate(rounds, -2):
        first, second = ("x", "y") if number % 2 == 0 else ("y", "x")
        labels = [label for label, _, _ in calls]
        place = labels.index("b")
        assert labels[place : place + 2] == ["b", "b"]
        assert [question for label, question, _ in calls if label == "b"] == [first, second]
        assert {question for label, question, _ in calls if label != "b"} == {first}
        (image,) = {image for _, _, image in calls}
        images.append(image)
        orders.append(tuple(dict.fromkeys(labels)))
    assert len(set(images)) == 10
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert len(set(orders)) > 2


def test_the_seed_decides_the_order(picture: Picture) -> None:
    orders = [[label for label, _, _ in rounds_of(picture, seed=seed).asked] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_several_threads_are_at_work_at_once(picture: Picture) -> None:
    barrier = threading.Barrier(3, timeout=30)
    images = set()

    def predict(image: Image.Image, question: str, trace: Trace) -> None:
        # Nobody gets on before three are here.
        barrier.wait()
        images.add(image.tobytes())

    seconds, each = concurrently(Candidate("a", predict), picture, ["x"], threads=3, calls=6)
    assert len(each) == len(images) == 6
    # That they ran at once is what the barrier shows; times depend on the machine.
    assert seconds > 0 and min(each) > 0
