"""Confidence against hits: formulas by hand, and a cropper that knows the truth."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("filelock")

import abstention
import confidence
from abstention import Asked, Outcome
from PIL import Image

from cropzoom.geometry import Box, Crop


class Knowing:
    """Points at the region that belongs to a question, moved to the right by `off`."""

    longest_edge = 64

    def __init__(self, regions: dict[str, Box | None], off: float = 0.0) -> None:
        self.regions, self.off = regions, off

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        region = self.regions[question]
        if region is None:
            return []
        return [Crop(Box(region.x0 + self.off, region.y0, region.x1 + self.off, region.y1), 0.75)]


def test_wilsons_interval() -> None:
    assert confidence.wilson(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert confidence.wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_calibration_error_by_hand() -> None:
    sure, right = np.array([1.0, 0.9, 0.15, 0.15]), np.array([1.0, 0.0, 0.0, 0.0])
    # Bins 0.9 to 1: |0.95 - 0.5|, and 0.1 to 0.2: 0.15; half of the questions each.
    assert confidence.calibration_error(sure, right) == pytest.approx((0.45 + 0.15) / 2)
    bins = confidence.reliability(sure, right)
    assert [(bin["from"], bin["questions"], bin["right"]) for bin in bins] == [
        (0.1, 2, 0.0),
        (0.9, 2, 0.5),
    ]


def test_risk_and_coverage_by_hand() -> None:
    sure, right = np.array([0.9, 0.1, 0.5, 0.6]), np.array([1.0, 1.0, 0.0, 1.0])
    assert confidence.risks(sure, right).tolist() == pytest.approx([0, 0, 1 / 3, 1 / 4])
    assert confidence.aurc(sure, right) == pytest.approx(7 / 48)
    # Nothing is better than having the wrong one last.
    assert confidence.aurc(right, right) == pytest.approx(1 / 16)


def test_the_threshold_that_costs_least() -> None:
    others = {"one": [0.15] * 5 + [0.65] * 5, "two": [0.35] * 10}
    # At .2: nothing lost, half of one group and all of the other let through; at .4, a quarter.
    assert abstention.choose([0.9] * 100, {**others, "one": [0.15] * 10}) == 0.4
    # Cost at .7: 5 x 4 % lost = .2, under the .25 of the half of a group let through at .4.
    assert abstention.choose([0.9] * 96 + [0.5] * 4, others) == 0.7
    # 5 x 6 % = .3 is over it.
    assert abstention.choose([0.9] * 94 + [0.5] * 6, others) == 0.4


def test_a_crop_is_right_where_its_centre_is_in_the_region() -> None:
    region = Box(0.2, 0.2, 0.4, 0.3)
    here = Asked("1", "here?", region, None, "rendered")
    asked = [here, Asked("1", "?", None, None, "rendered, absent")]
    pictures = [(Image.new("RGB", (64, 64)), asked)]
    regions = {"here?": region, "?": None}
    assert [(o.right, o.confidence) for o in abstention.ask(Knowing(regions), pictures)] == [
        (True, 0.75),
        (False, 0.0),
    ]
    off = abstention.ask(Knowing({**regions, "?": region}, off=0.15), pictures)
    assert [(o.right, o.confidence) for o in off] == [(False, 0.75), (False, 0.75)]


def test_pages_have_questions_with_and_without_an_answer() -> None:
    for image, asked in abstention.rendered("train", 3, 0):
        groups = [one.group for one in asked]
        assert groups[-2:] == ["rendered, absent", "rendered, natural"]
        assert set(groups[:-2]) <= {"rendered"} and len(groups) <= 6
        assert all((one.box is None) == ("," in one.group) for one in asked)
        assert max(image.size) == 1024
    assert len({one.page for _, asked in abstention.scenes(3, 0) for one in asked}) == 3


def test_photographs_are_asked_about_text_and_about_what_they_show(tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), "green").save(tmp_path / "a.jpg")
    ((image, asked),) = abstention.photographs(tmp_path, Knowing({}), 0)
    assert image.width < 300  # shrunk as for a request
    for group, texts in (("text", abstention.TEXT), ("natural", abstention.NATURAL)):
        here = [one for one in asked if one.group == f"photographs, {group}"]
        assert {one.text for one in here} == set(texts)
        assert all(one.box is None for one in here)


def test_what_thresholds_skip() -> None:
    rng = random.Random(0)

    def some(group: str, confidences: list[float], right: bool) -> list[Outcome]:
        region = None if "," in group else Box(0, 0, 1, 1)
        found = [
            Outcome(Asked(f"page {n % 5}", "?", region, None, group), c, right)
            for n, c in enumerate(confidences)
        ]
        rng.shuffle(found)
        return found

    outcomes = some("rendered", [0.9] * 8 + [0.1] * 2, True) + some("rendered", [0.3] * 5, False)
    outcomes += some("rendered, absent", [0.05] * 7 + [0.6] * 3, False)
    training = some("rendered", [0.9] * 10, True) + some("scenes, text", [0.42] * 10, False)
    results = abstention.summarise(outcomes, training, seed=0)
    assert results["rule"]["chosen"] == 0.5
    skipped = {group: found["at"]["0.5"]["mean"] for group, found in results["skipped"].items()}
    assert skipped == {
        "rendered, absent": pytest.approx(0.7),
        "rendered, right crop": pytest.approx(0.2),
        "rendered, wrong crop": 1.0,
    }
    curve = results["curves"]["rendered"]
    assert curve["questions"] == 25 and curve["right"] == pytest.approx(0.4)
    assert curve["coverage"][-1] == 1 and curve["risk"][-1] == pytest.approx(0.6)
    low, high = curve["aurc"]["interval"]
    assert low <= curve["aurc"]["mean"] <= high
    tables = abstention.tables(results)
    assert "| rendered, wrong crop | 5 | 5 |" in tables["skipped"]
    assert "0.5 (chosen)" in tables["skipped"]
