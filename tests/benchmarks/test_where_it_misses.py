"""where_it_misses.py: hand-made pages and crops fall into the groups they belong to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("rapidocr")

import where_it_misses as study
from fixed_croppers import LookupCropper

from cropzoom.data.row import Row
from cropzoom.geometry import Box

REGION, VALUE = Box(0.1, 0.7, 0.3, 0.72), Box(0.2, 0.7, 0.3, 0.72)


def answer(crop: Box | None, page: str = "1", confidence: float = 1.0) -> study.Answer:
    question = study.Question(page, "?", REGION, VALUE)
    return study.Answer(question, {"all": "all", "kind": page}, crop, confidence)


def test_scripts() -> None:
    for text, wanted in {
        "Total due": "Latin",
        "Größe": "Latin with diacritics",
        "Łódź 4": "Latin with diacritics",
        "Дата": "Cyrillic",
        "What is the Σύνολο?": "Greek",
        "12.50": "no letters",
    }.items():
        assert study.script(text) == wanted, text


def test_groups_of_a_row() -> None:
    page = Image.new("RGB", (500, 1000), (200, 200, 200))
    page.paste((47, 47, 47), (120, 700, 140, 720))
    row = Row(id="1", image=lambda: page, question="?", box=REGION, value=VALUE, key="Ποσό")
    one = study.ask(row, "pair", LookupCropper(lambda _: Box(0.15, 0.6, 0.35, 0.8)))
    assert one.groups == {
        "all": "all",
        "place": "bottom left",
        # 20 px of 1000 are 20.5 of 1024; ink and paper are 153 of 255 apart.
        "height": "15 to 22 px",
        "contrast": "0.55 to 0.75",
        "script": "Greek",
        "kind": "pair",
    }
    assert study.contrast(page, VALUE) == pytest.approx(0.6)
    assert study.contrast(page, Box(0.3, 0.7, 0.5, 0.72)) == 0


def test_labels_of_the_outer_groups() -> None:
    assert study.between(3, study.HEIGHTS, " px") == "below 8 px"
    assert study.between(8, study.HEIGHTS, " px") == "8 to 11 px"
    assert study.between(99, study.HEIGHTS, " px") == "22 px and more"
    assert study.between(1.0, study.CONTRASTS) == "0.75 and more"
    assert study.place(1.0, 0.0) == "top right" and study.place(0.5, 0.5) == "middle centre"


def test_shares_and_misses_by_hand() -> None:
    right = answer(Box(0.1, 0.65, 0.35, 0.75))
    off = answer(Box(0.1, 0.69, 0.29, 0.73))  # centred, but cuts the value
    beside = answer(Box(0.5, 0.7, 0.9, 0.72), "2")
    above = answer(Box(0.1, 0.1, 0.3, 0.2), "2")
    elsewhere = answer(Box(0.0, 0.0, 1.0, 0.9), "2", 0.1)  # shows the value whole all the same
    nothing = answer(None, "2", 0.0)
    result = study.summarise([right, off, beside, above, elsewhere, nothing], resamples=50)
    every, kinds = result["groups"]["all"]["all"], result["groups"]["kind"]
    assert every["centre"]["mean"] == pytest.approx(2 / 6)
    assert every["whole"]["mean"] == pytest.approx(2 / 6)
    assert every["unsure"] == pytest.approx(2 / 6)
    assert kinds["1"]["centre"]["mean"] == 1 and kinds["1"]["questions"] == 2
    assert kinds["2"]["centre"]["mean"] == 0 and kinds["2"]["whole"]["mean"] == 0.25
    misses = result["misses"]
    assert misses["count"] == 3
    for name in ("line", "column", "elsewhere", "value whole", "unsure"):
        assert misses[name] == pytest.approx(1 / 3), name
    assert misses["places"]["top left"] == pytest.approx(1 / 3)
    assert misses["places"]["bottom right"] == pytest.approx(1 / 3)
    tables = study.tables({"sets": {"english": result}})
    assert "| kind 2 | 0.0 % [0, 0] (4) |" in tables["parts"]
    assert "| crop at the middle centre | 33% |" in tables["misses"]


def test_a_pools_questions_keep_their_kinds(tmp_path: Path) -> None:
    Image.new("L", (100, 100), 255).save(tmp_path / "1.png")
    line = {"image": "1.png", "question": "?", "answers": ["4"], "box": [0, 0, 1, 1]}
    lines = [json.dumps({**line, "kind": kind, "category": "menu"}) for kind in ("pair", "cell")]
    (tmp_path / "questions.jsonl").write_text("\n".join(lines) + "\n")
    rows = list(study.pool_rows(tmp_path / "questions.jsonl"))
    assert [(row.category, kind) for row, kind in rows] == [("menu", "pair"), ("menu", "cell")]
