"""Rows for GRPO, and what is kept of an evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("filelock")
pytest.importorskip("rapidocr")

import grpo_nano_rows
import sft_and_grpo
from PIL import Image

from cropzoom.geometry import Box, Crop


def write_rows(folder: Path, rows: list[dict[str, Any]], size: tuple[int, int]) -> Path:
    for row in rows:
        Image.new("L", size, 255).save(folder / row["image"])
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(name: str, value: tuple[float, float], category: str = "form") -> dict[str, Any]:
    top, bottom = value
    return {
        "image": name,
        "question": f"What is {name}?",
        "answers": ["7"],
        "box": [0.1, top, 0.5, bottom],
        "value": [0.3, top, 0.5, bottom],
        "category": category,
    }


def test_answers_too_small_to_read_are_no_rows(tmp_path: Path) -> None:
    # On a page of 2048 px, 1 % of the height is 20 px there and 10 at 1024.
    rows = [row("a.png", (0.2, 0.21)), row("b.png", (0.2, 0.208))]
    path = write_rows(tmp_path, rows, (1024, 2048))
    out = tmp_path / "rows"
    kept = grpo_nano_rows.pooled(path, out, smallest=9.0)
    assert [r["image"] for r in kept] == ["images/pool-a.png"]
    assert (out / "images/pool-a.png").read_bytes() == (tmp_path / "a.png").read_bytes()
    assert kept[0]["answers"] == ["7"] and kept[0]["box"] == [0.1, 0.2, 0.5, 0.21]
    # Small pages are not enlarged: 1 % of 200 px is 2 px.
    assert grpo_nano_rows.pooled(write_rows(tmp_path, rows, (100, 200)), out, 9.0) == []


def test_rows_that_a_cropper_is_sure_of_teach_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Saying:
        def __enter__(self) -> Saying:
            return self

        def __exit__(self, *_: object) -> None: ...

        def predict(self, image: Image.Image, question: str) -> list[Crop]:
            confidence = float(question)
            return [Crop(Box(0, 0, 1, 1), confidence)] if confidence else []

    monkeypatch.setattr(grpo_nano_rows, "load_cropper", lambda name: Saying())
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    rows = [{"image": "a.png", "question": str(c)} for c in (0.0, 0.05, 0.5, 0.9, 0.99)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    grpo_nano_rows.unsure(tmp_path, "any", low=0.1, high=0.95)
    kept = (tmp_path / "unsure.jsonl").read_text().splitlines()
    assert [json.loads(line)["question"] for line in kept] == ["0.5", "0.9"]


def test_what_is_kept_of_an_evaluation() -> None:
    share = {"mean": 0.5, "interval": [0.4, 0.6]}
    figures = {
        "score": share,
        "centre_in_region": 0.9,
        "mean_area": 0.03,
        "crop_milliseconds": 80.0,
        "gap_closed": share,
        "against_none": {"mended": 7, "broken": 1, "broken_share": {"mean": 0.02}},
    }
    bare = figures | {"centre_in_region": None, "mean_area": None, "crop_milliseconds": 0.0}
    del bare["gap_closed"], bare["against_none"]
    summary = {
        "data": "pages",
        "metric": "exact",
        "rows": 300,
        "problems": {},
        "failures": {},
        "failed": [{"detail": "a long story"}],
        "targets": {"standin:448": {"none": bare, "some/where/nano": figures}},
    }
    kept = sft_and_grpo.kept(summary)
    assert set(kept["croppers"]) == {"none", "nano"} and "failed" not in kept
    lines = sft_and_grpo.tables(kept)["croppers"].splitlines()[2:]
    assert lines[0].startswith("| no crop | 50.0 % [40, 60] |  |  |")
    assert "| 7 / 1 | 2.0 % | 90.0 % | 3.0 % | 80 |" in lines[1]
