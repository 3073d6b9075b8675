"""The adapter, run by the installed lmms-eval: `python -m lmms_eval --model cropzoom`.

lmms-eval has an environment of its own: tests/compat/run.sh lmms_eval-0.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lmms_eval", reason="run tests/compat/run.sh lmms_eval-0")

from colour_server import ColourServer, picture
from datasets import Dataset, Features, Image, Sequence, Value
from hand_made_cropper import write_cropper

COLOURS = ["red", "green", "blue", "red"]
QUESTIONS = [f"{number}: which colour?" for number in range(3)] + ["will it fail?"]
TASK = """
dataset_path: parquet
dataset_kwargs:
  data_files:
    test: {data}
task: patches
test_split: test
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_target: answers
generation_kwargs:
  max_new_tokens: 4
  temperature: 0
  do_sample: false
  until: ["\\n"]
metric_list:
  - metric: anls
    aggregation: mean
    higher_is_better: true
"""
UTILS = """
def doc_to_visual(doc):
    return [doc["image"].convert("RGB")]

def doc_to_text(doc):
    return doc["question"]
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of four questions, as lmms-eval's own are written."""
    folder = tmp_path_factory.mktemp("tasks")
    columns = {
        "image": [{"bytes": picture(colour), "path": None} for colour in COLOURS],
        "question": QUESTIONS,
        "answers": [[colour] for colour in COLOURS],
    }
    features = Features(
        {"image": Image(), "question": Value("string"), "answers": Sequence(Value("string"))}
    )
    Dataset.from_dict(columns, features).to_parquet(str(folder / "test.parquet"))
    (folder / "patches.yaml").write_text(TASK.format(data=folder / "test.parquet"))
    (folder / "utils.py").write_text(UTILS)
    return folder


@pytest.fixture(scope="module")
def cropper(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Points at the darkest place, a patch of colour on light grey; it is never sure."""
    folder = write_cropper(tmp_path_factory.mktemp("cropper") / "darkest")
    return f"{folder},min_confidence=0"


def run(tasks: Path, out: Path, model_args: str) -> tuple[float, list[dict[str, Any]], str]:
    """Return lmms-eval's score, its samples, and what it said."""
    command = [
        sys.executable, "-m", "lmms_eval", "--model", "cropzoom", "--model_args", model_args,
        "--include_path", str(tasks), "--tasks", "patches", "--batch_size", "1", "--log_samples",
        "--output_path", str(out), "--verbosity", "INFO",
    ]  # fmt: skip
    environment = {
        **os.environ, "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "none", "OMP_NUM_THREADS": "1",
        "HF_HOME": str(out / "hf"),
    }  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    (results,) = out.rglob("*_results.json")
    figures = json.loads(results.read_text())["results"]["patches"]
    (samples,) = out.rglob("*_samples_patches.jsonl")
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    return figures["anls,none"], lines, done.stdout + done.stderr


def test_a_server_answers_better_with_crops(tasks: Path, tmp_path: Path, cropper: str) -> None:
    with ColourServer(failing=("fail",)) as server:
        common = f"model=eye,base_url={server.base_url},max_retries=0"
        plain, _, _ = run(tasks, tmp_path / "none", f"{common},cropper=none")
        assert server.asked == {(question, 1): 1 for question in QUESTIONS}
        server.asked.clear()
        zoomed, samples, said = run(tasks, tmp_path / "crop", f"{common},cropper={cropper}")
        assert server.asked == {(question, 2): 1 for question in QUESTIONS}
    assert (plain, zoomed) == (0.0, 0.75)
    replies = [str(sample["filtered_resps"]) for sample in samples]
    assert set(replies) >= {"red", "green", "blue"}
    # The request that failed is counted, shown and wrong.
    assert sum("REQUEST_FAILED" in reply and "out of memory" in reply for reply in replies) == 1
    assert "1 of 4 requests failed" in said
    assert "a crop was added to 4 of 4 requests" in said
    assert all(body["max_tokens"] == 4 for body in server.bodies)


def test_a_small_local_model_runs_a_task(
    tasks: Path, tmp_path: Path, cropper: str, tiny_idefics3: Path
) -> None:
    _, plain, _ = run(tasks, tmp_path / "none", f"pretrained={tiny_idefics3},cropper=none")
    score, zoomed, said = run(
        tasks, tmp_path / "crop", f"pretrained={tiny_idefics3},cropper={cropper}"
    )
    assert 0 <= score <= 1
    assert "a crop was added to 4 of 4 requests" in said
    # Random weights say nonsense, but another one with a second picture.
    assert [one["filtered_resps"] for one in plain] != [one["filtered_resps"] for one in zoomed]


def test_the_entry_point_and_its_arguments() -> None:
    from lmms_eval.models import get_model

    kind = get_model("cropzoom")
    assert kind.__name__ == "CropZoomModel" and kind.is_simple is False
    with pytest.raises(ValueError, match="either pretrained"):
        kind()
    with pytest.raises(ValueError, match="max_crop is no option"):
        kind(model="m", base_url="http://127.0.0.1:9/v1", max_crop=2)
