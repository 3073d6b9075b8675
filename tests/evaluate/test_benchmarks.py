from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("datasets")

from tiny_benchmarks import BUILDERS, VSTAR_END, jpeg

from cropzoom.data.row import BadRow
from cropzoom.data.test_set import TestSet
from cropzoom.errors import DataError, ImageError
from cropzoom.evaluate.benchmarks import BENCHMARKS, load_benchmark, prompt
from cropzoom.images import load_image

BRIEFLY = "\nAnswer the question using a single word or phrase."
GOLDEN = json.loads(Path(__file__).with_name("golden_metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    for name, build in BUILDERS.items():
        build(folder / name)
    return folder


@pytest.fixture
def load(repositories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))

    def load(name: str, **how: object) -> TestSet:
        return load_benchmark(name, source=str(repositories / name), **how)

    return load


def test_textvqa(load) -> None:
    found = load("textvqa")
    assert (found.name, found.metric, found.harness) == ("TextVQA", "vqa", "lmms-eval")
    first, second = found.rows
    assert first.question == "What is the brand of this camera?" + BRIEFLY
    assert second.question == "Does it say ibm?" + BRIEFLY  # str.capitalize, as lmms-eval
    assert first.id == "34602"
    assert first.image_id == second.image_id == "003a8ae2ef43b901"
    assert first.answers == ("nous les gosses", *["dakota"] * 9)
    assert first.picture() == jpeg(10)
    (problem,) = found.problems
    assert (problem.row, problem.kind) == ("34604", "no question")
    kit = load("textvqa", harness="vlmevalkit", limit=2)
    assert kit.rows[1].question == "Does it say IBM?" + BRIEFLY
    assert kit.identity != found.identity


def test_docvqa(load) -> None:
    found = load("docvqa")
    assert [row.answers for row in found.rows] == [("0.28",), ("ITC Limited", "itc limited")]
    assert found.rows[0].question == 'What is the "actual" value per 1000?' + BRIEFLY
    assert [row.id for row in found.rows] == ["49153", "24580"]
    assert [row.image_id for row in found.rows] == ["14465", "4720"]
    assert found.metric == "anls"
    assert [row.answers for row in load("docvqa", split="test").rows] == [(), ()]


def test_infographicvqa(load) -> None:
    (row,) = load("infographicvqa").rows
    assert row.answers == ("pinterest",)
    assert row.image_id == "https://blog.example/infographic.png"
    assert row.load().size == (64, 48)


def test_stvqa_has_no_answers(load) -> None:
    found = load("stvqa")
    assert [row.answers for row in found.rows] == [(), ()]
    assert found.submission == ("question_id", "answer")
    assert found.rows[0].question == "What is the name of the street?" + BRIEFLY


def test_vstar_has_paths_and_boxes(load, repositories: Path) -> None:
    glove, car, out = load("vstar").rows
    assert glove.picture() == str((repositories / "vstar/direct_attributes/sa_4690.jpg").resolve())
    assert glove.answers == ("A",)
    assert glove.options == {"A": "rubber", "B": "cotton", "C": "kevlar", "D": "leather"}
    assert glove.plain == "What is the material of the glove?"
    assert [row.category for row in (glove, car)] == ["direct_attributes", "relative_position"]
    # lmms-eval's prompt has the instruction of the text and its own.
    assert glove.question.endswith("D. leather" + VSTAR_END + VSTAR_END)
    assert glove.box is None  # no file beside it
    # round the car (20, 10, 40, 20) and the dog (100, 40, 110, 60) in 200 x 100 px
    assert car.box is not None
    assert (car.box.x0, car.box.y0, car.box.x1, car.box.y1) == (0.1, 0.1, 0.55, 0.6)
    assert (glove.id, car.id) == ("0", "0#2")
    with pytest.raises(BadRow, match="outside the folder"):
        out.picture()


def test_vstar_by_vlmevalkit(load) -> None:
    car = load("vstar", harness="vlmevalkit").rows[1]
    assert car.question == (
        "Question: Is the red car on the left or right side of the dog?\n"
        "Options:\nA. right\nB. left\nPlease select the correct answer from the options above. \n"
    )


def test_hrbench_has_base64_and_cycles(load) -> None:
    found = load("hrbench4k")
    rows = found.rows
    assert [row.answers for row in rows] == [("B",), ("A",), ("D",), ("C",)]
    assert [row.cycle for row in rows] == ["0", "1", "2", "3"]
    assert load_image(rows[0].picture()).size == (256, 128)
    assert rows[0].picture() == rows[2].picture()
    with pytest.raises((ImageError, BadRow)):
        load_image(rows[3].picture())
    assert rows[0].question == (
        "What's the color of the cap?\nA. red\nB. blue\nC. green\nD. white\n"
        "Answer the option letter directly."
    )
    assert set(rows[3].options) == {"A", "B", "C"}  # a null is no option
    assert found.metric == "choice"


def test_prompts_are_the_harnesses() -> None:
    for text, wanted in GOLDEN["vstar_prompt"]:
        assert prompt(BENCHMARKS["vstar"], text, {}, "lmms-eval") == wanted
    for options, lmms, kit in GOLDEN["hrbench_prompt"]:
        assert prompt(BENCHMARKS["hrbench4k"], " Which one? ", options, "lmms-eval") == lmms
        assert prompt(BENCHMARKS["hrbench4k"], "Which one?", options, "vlmevalkit") == kit


def test_other_columns_are_named(repositories: Path) -> None:
    with pytest.raises(DataError, match=r"'questionId' for the id.*question_id"):
        load_benchmark("docvqa", source=str(repositories / "wrong"))


@pytest.fixture(scope="session", autouse=True)
def wrong_repository(repositories: Path) -> None:
    import shutil

    (repositories / "wrong/DocVQA").mkdir(parents=True)
    shutil.copy(
        repositories / "stvqa/data/test-00000-of-00001.parquet",
        repositories / "wrong/DocVQA/validation-00000-of-00001.parquet",
    )


def test_a_missing_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can't load .*--source"):
        load_benchmark("docvqa", source=str(tmp_path))
    with pytest.raises(DataError, match="no split 'train'; it has test"):
        load_benchmark("stvqa", source=str(tmp_path), split="train")
    with pytest.raises(DataError, match="no preset 'mmmu'"):
        load_benchmark("mmmu")
