"""The standard benchmarks: where they lie on the hub, and what their columns and prompts are.

The facts are those of lmms-eval 0.7.3 (`tasks/*/*.yaml`, `utils.py`), of VLMEvalKit (as of
ms-vlmeval 0.0.20, `dataset/image_vqa.py`, `dataset/image_mcq.py`), and of the dataset cards of
textvqa, DocVQA and ST-VQA (lmms-lab-encoder, formerly lmms-lab), craigwu/vstar_bench and
DreamMr/HR-Bench. The trainer takes them from here.

V* is read from its authors' own repository, where `image` is a path and a file beside each picture
gives the boxes of the objects in question; lmms-eval reads a copy with embedded pictures.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import json
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cropzoom.errors import DataError, MissingDependencyError
from cropzoom.evaluate.metrics import Harness, MetricName, options_in_text
from cropzoom.evaluate.rows import (
    BadRow,
    Problem,
    Row,
    TestSet,
    answers_of,
    inside,
    text_of,
    unique,
)
from cropzoom.geometry import Box
from cropzoom.images import ImageSource, OpenedImage, decode_data_uri

_BRIEFLY = "\nAnswer the question using a single word or phrase."
_BY_LETTER = "\nAnswer with the option's letter from the given choices directly."


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A benchmark.

    Args:
        title: its name in print.
        repo: "owner/name" on the hub.
        files: files of each split, as a pattern inside the repository.
        split: the one that is evaluated.
        columns: where its columns' names differ from the roles' (id, image_id, image, question,
            answers, category, cycle).
        metric: how both harnesses score it.
        image: the form of the image column: "embedded" (bytes of a file), "path" inside the
            repository, or "base64".
        options: where the options of a multiple-choice question are: in its text, or in the columns
            A, B, C, D.
        submission: the two fields' names in the challenge's submission file.
    """

    title: str
    repo: str
    files: Mapping[str, str]
    split: str
    columns: Mapping[str, str] = field(default_factory=dict)
    metric: MetricName
    image: Literal["embedded", "path", "base64"] = "embedded"
    options: Literal["text", "columns"] | None = None
    submission: tuple[str, str] | None = None


def parquet_files(folder: str, *splits: str) -> dict[str, str]:
    """Return the patterns under which `datasets` uploads each split's files."""
    return {split: f"{folder}/{split}-*.parquet" for split in splits}


PRESETS: Mapping[str, Preset] = {
    "textvqa": Preset(
        title="TextVQA",
        repo="lmms-lab-encoder/textvqa",
        files=parquet_files("data", "train", "validation", "test"),
        split="validation",
        columns={"id": "question_id"},
        metric="vqa",
        submission=("question_id", "answer"),
    ),
    # The test splits of DocVQA and InfographicVQA have no answers; the card hides DocVQA's train
    # files, which are there.
    "docvqa": Preset(
        title="DocVQA",
        repo="lmms-lab-encoder/DocVQA",
        files=parquet_files("DocVQA", "train", "validation", "test"),
        split="validation",
        # The page, not the document: pages of one document are different pictures.
        columns={"id": "questionId", "image_id": "docId"},
        metric="anls",
        submission=("questionId", "answer"),
    ),
    "infographicvqa": Preset(
        title="InfographicVQA",
        repo="lmms-lab-encoder/DocVQA",
        files=parquet_files("InfographicVQA", "train", "validation", "test"),
        split="validation",
        columns={"id": "questionId", "image_id": "image_url"},
        metric="anls",
        submission=("questionId", "answer"),
    ),
    # Its only split has no answers: replies are scored by the challenge's server.
    "stvqa": Preset(
        title="ST-VQA",
        repo="lmms-lab-encoder/ST-VQA",
        files=parquet_files("data", "test"),
        split="test",
        columns={"id": "question_id"},
        metric="anls",
        submission=("question_id", "answer"),
    ),
    "vstar": Preset(
        title="V*",
        repo="craigwu/vstar_bench",
        files={"test": "test_questions.jsonl"},
        split="test",
        columns={"id": "question_id", "question": "text", "answers": "label"},
        metric="vstar",
        image="path",
        options="text",
    ),
    **{
        f"hrbench{size}k": Preset(
            title=f"HR-Bench {size}K",
            repo="DreamMr/HR-Bench",
            files={f"hrbench_{size}k": f"hr_bench_{size}k.parquet"},
            split=f"hrbench_{size}k",
            columns={"id": "index", "answers": "answer", "cycle": "cycle_category"},
            metric="choice",
            image="base64",
            options="columns",
        )
        for size in (4, 8)
    },
}


def load_preset(
    name: str,
    *,
    source: str | None = None,
    split: str | None = None,
    harness: Harness = "lmms-eval",
    limit: int | None = None,
) -> TestSet:
    """Load a benchmark. Pictures are fetched when a question is asked.

    Args:
        name: of `PRESETS`.
        source: a local copy of its repository, or another repository with the same files and
            columns; the preset's own by default.
        split: another than the one usually evaluated.
        harness: whose prompts and metric.
        limit: the first so many rows only, as `lmms-eval --limit`.

    Raises:
        DataError: the data can't be had, or has other columns.
        MissingDependencyError: `datasets` is not installed.
    """
    if name not in PRESETS:
        raise DataError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    preset = PRESETS[name]
    split = split or preset.split
    if split not in preset.files:
        raise DataError(f"{name} has no split {split!r}; it has {', '.join(preset.files)}")
    local = source is not None and Path(source).is_dir()
    base = str(Path(source or "")) if local else f"hf://datasets/{source or preset.repo}"
    table = _table(f"{base}/{preset.files[split]}", split)
    fetch = _images(preset, table, base)
    column = preset.columns.get
    image = column("image", "image")
    heads = table.select_columns([name for name in table.column_names if name != image])
    for role in ("id", "question", "image"):
        if column(role, role) not in table.column_names:
            raise DataError(
                f"{name} needs the column {column(role, role)!r}, and there are "
                f"{', '.join(table.column_names)}; is {source or preset.repo} another data set?"
            )
    rows: list[Row] = []
    problems: list[Problem] = []
    for number, record in enumerate(heads):
        if limit is not None and number >= limit:
            break
        try:
            rows.append(_row(preset, record, harness, fetch(number)))
        except BadRow as bad:
            problems.append(Problem(f"row {number}", bad.kind, bad.detail))
    if not rows:
        said = f": {problems[0].detail}" if problems else ""
        raise DataError(f"{name} has no row that can be asked{said}")
    return TestSet(
        preset.title,
        f"{name} {split} {harness}",
        unique(rows),
        problems,
        preset.metric,
        harness,
        preset.submission,
    )


def prompt(preset: Preset, question: str, options: Mapping[str, str], harness: Harness) -> str:
    """Return what is sent beside the picture.

    Args:
        preset: of which benchmark.
        question: as in the data, options included where they are in its text.
        options: texts by letter, without the instruction.
        harness: whose wording.
    """
    listed = "".join(f"{letter}. {text}\n" for letter, text in options.items())
    if harness == "vlmevalkit" and preset.options is not None:
        # VLMEvalKit's own file of V* has the options in columns.
        asked = options_in_text(question)[0] if preset.options == "text" else question
        choose = "Please select the correct answer from the options above. \n"
        return f"Question: {asked}\n" + (f"Options:\n{listed}{choose}" if options else "")
    if preset.options == "columns":
        return f"{question.strip()}\n{listed}Answer the option letter directly."
    if preset.options == "text":
        # The instruction stands in V*'s text already and so comes twice, as in lmms-eval.
        asked, raw = options_in_text(question)
        listed = "\n".join(f"{letter}. {text}" for letter, text in raw.items())
        return (f"{asked}\n{listed}" if raw else question) + _BY_LETTER
    if preset.title == "TextVQA" and harness == "lmms-eval":
        question = question.capitalize()  # which also lower-cases the rest
    return question + _BRIEFLY


def _row(preset: Preset, record: Mapping[str, Any], harness: Harness, fetch: _Picture) -> Row:
    def value(role: str) -> Any:
        return record.get(preset.columns.get(role, role))

    question = text_of(value("question"), preset.columns.get("question", "question"))
    options: dict[str, str] = {}
    asked = question
    if preset.options == "text":
        asked, options = options_in_text(question)
        options = {letter: text.partition(_BY_LETTER)[0] for letter, text in options.items()}
    elif preset.options == "columns":
        found = {letter: record.get(letter) for letter in string.ascii_uppercase}
        options = {letter: str(text) for letter, text in found.items() if _is_given(text)}
    box = fetch.box()
    return Row(
        id=str(value("id")),
        image=fetch.open,
        question=prompt(preset, question, options, harness),
        asked=asked,
        answers=answers_of(value("answers")),
        box=box,
        value=box,
        options=options,
        image_id="" if value("image_id") is None else str(value("image_id")),
        category=str(value("category") or ""),
        cycle="" if value("cycle") is None else str(value("cycle")),
    )


def _is_given(text: object) -> bool:
    # An option that isn't there is null, or NaN once pandas had it.
    return text is not None and text == text


@dataclass(frozen=True)
class _Picture:
    """How to get one row's picture, and the box that comes with it."""

    open: Callable[[], ImageSource]
    box: Callable[[], Box | None] = lambda: None


def _images(preset: Preset, table: Any, base: str) -> Callable[[int], _Picture]:
    """Return what gives the picture of a row by its number."""
    column = preset.columns.get("image", "image")
    if column not in table.column_names:
        return lambda number: _Picture(lambda: b"")
    images = table.select_columns([column])
    if preset.image == "embedded":
        images = images.cast_column(column, _datasets().Image(decode=False))
        return lambda number: _Picture(lambda: _embedded(images[number][column]))
    if preset.image == "base64":
        return lambda number: _Picture(lambda: _decoded(images[number][column]))

    def in_repository(number: int) -> _Picture:
        name = images[number][column]
        return _Picture(lambda: _file(base, name), lambda: _vstar_box(base, name))

    return in_repository


def _embedded(value: Any) -> ImageSource:
    data = value.get("bytes") if isinstance(value, Mapping) else None
    if not isinstance(data, bytes):
        # `datasets` would open a path, wherever it leads.
        raise BadRow("no image", "the row has no picture's bytes")
    return data


def _decoded(value: Any) -> bytes:
    if not isinstance(value, str) or not value:
        raise BadRow("no image", "the row has no base64 text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return decode_data_uri(f"data:;base64,{value}")


def _file(base: str, name: object) -> Path:
    """Return a file of the data's repository, downloaded if need be."""
    if not base.startswith("hf://"):
        return inside(Path(base), name)
    if not isinstance(name, str) or not name or ".." in name.split("/") or name.startswith("/"):
        raise BadRow("no image", f"{name!r} is no path in the repository")
    from huggingface_hub import hf_hub_download

    repo = base.removeprefix("hf://datasets/")
    try:
        return Path(hf_hub_download(repo, name, repo_type="dataset"))
    except Exception as error:
        # The hub's and the network's errors have no common class.
        raise BadRow("no image", f"can't download {name} of {repo}: {error}") from error


def _vstar_box(base: str, name: object) -> Box | None:
    """Return the box round the objects in question, from the JSON file beside V*'s picture."""
    try:
        picture = _file(base, name)
        entry = json.loads(_file(base, str(Path(str(name)).with_suffix(".json"))).read_bytes())
        width, height = OpenedImage(picture).size
        boxes = [(x, y, x + w, y + h) for x, y, w, h in entry["bbox"]]
    except (BadRow, OSError, ValueError, KeyError, TypeError):
        # Without it the row can still be asked; only the oracle can't look.
        return None
    if not boxes:
        return None
    x0, y0 = min(box[0] for box in boxes) / width, min(box[1] for box in boxes) / height
    x1, y1 = max(box[2] for box in boxes) / width, max(box[3] for box in boxes) / height
    return Box.ordered(x0, y0, x1, y1, min_side=1e-3)


def _table(files: str, split: str) -> Any:
    datasets = _datasets()
    kind = "json" if files.endswith(".jsonl") else "parquet"
    try:
        # Data only: parquet and JSON files run no code of a repository.
        return datasets.load_dataset(kind, data_files={split: files}, split=split)
    except Exception as error:
        # Its errors have no common class, and some come from pyarrow or the network.
        raise DataError(
            f"datasets can't load {files}: {error}. Check the network, or give a local copy of the "
            "repository with --source FOLDER"
        ) from error


def _datasets() -> Any:
    try:
        return importlib.import_module("datasets")  # it has no types
    except ImportError as error:
        raise MissingDependencyError(
            "the presets need the datasets package; pip install 'cropzoom[train]'"
        ) from error
