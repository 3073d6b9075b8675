"""Local copies of the benchmarks' repositories with two or three rows, columns and types as there.

The columns are those of the dataset cards on the hub (textvqa, DocVQA: lmms-lab; HR-Bench:
DreamMr) and, for V*, of craigwu/vstar_bench's test_questions.jsonl.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Image, Sequence, Value
from PIL import Image as Pil

TEXT, TEXTS = Value("string"), Sequence(Value("string"))
VSTAR_END = "\nAnswer with the option's letter from the given choices directly."


def jpeg(grey: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """Return a plain picture's file."""
    buffer = io.BytesIO()
    Pil.new("L", size, grey).save(buffer, "JPEG")
    return buffer.getvalue()


def _write(folder: Path, file: str, columns: Mapping[str, Any], features: Features) -> None:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict(dict(columns), features).to_parquet(str(path))


def _pictures(*greys: int) -> list[dict[str, Any]]:
    return [{"bytes": jpeg(grey), "path": f"{grey}.jpg"} for grey in greys]


def textvqa(folder: Path) -> None:
    features = {
        "image_id": TEXT, "question_id": Value("int32"), "question": TEXT,
        "question_tokens": TEXTS, "image": Image(), "image_width": Value("int32"),
        "image_height": Value("int32"), "flickr_original_url": TEXT, "flickr_300k_url": TEXT,
        "answers": TEXTS, "image_classes": TEXTS, "set_name": TEXT, "ocr_tokens": TEXTS,
    }  # fmt: skip
    columns = {
        "image_id": ["003a8ae2ef43b901", "003a8ae2ef43b901", "x"],
        "question_id": [34602, 34603, 34604],
        "question": ["what is the brand of this camera?", "Does it say IBM?", " "],
        "question_tokens": [["what"], ["does"], []],
        "image": _pictures(10, 10, 30),
        "image_width": [64] * 3,
        "image_height": [48] * 3,
        "flickr_original_url": ["u"] * 3,
        "flickr_300k_url": ["u"] * 3,
        "answers": [["nous les gosses", *["dakota"] * 9], ["no"] * 10, ["a"] * 10],
        "image_classes": [["Camera"]] * 3,
        "set_name": ["val"] * 3,
        "ocr_tokens": [["DAKOTA"]] * 3,
    }
    _write(folder, "data/validation-00000-of-00001.parquet", columns, Features(features))


def docvqa(folder: Path) -> None:
    features = {
        "questionId": TEXT, "question": TEXT, "question_types": TEXTS, "image": Image(),
        "docId": Value("int64"), "ucsf_document_id": TEXT, "ucsf_document_page_no": TEXT,
        "answers": TEXTS, "data_split": TEXT,
    }  # fmt: skip
    columns = {
        "questionId": ["49153", "24580"],
        "question": ['What is the "actual" value per 1000?', "What is the name of the firm?"],
        "question_types": [["figure/diagram"], ["handwritten", "form"]],
        "image": _pictures(10, 20),
        "docId": [14465, 4720],
        "ucsf_document_id": ["pybv0228", "ffbf0227"],
        "ucsf_document_page_no": ["81", "10"],
        "answers": [["0.28"], ["ITC Limited", "itc limited"]],
        "data_split": ["val", "val"],
    }
    _write(folder, "DocVQA/validation-00000-of-00001.parquet", columns, Features(features))
    columns |= {"answers": [None, None], "data_split": ["test", "test"]}
    _write(folder, "DocVQA/test-00000-of-00001.parquet", columns, Features(features))


def infographicvqa(folder: Path) -> None:
    features = {
        "questionId": TEXT, "question": TEXT, "answers": TEXTS, "answer_type": TEXTS,
        "image": Image(), "image_url": TEXT, "operation/reasoning": TEXTS, "ocr": TEXT,
        "data_split": TEXT,
    }  # fmt: skip
    columns = {
        "questionId": ["98313"],
        "question": ["Which social platform has heavy female audience?"],
        "answers": [["pinterest"]],
        "answer_type": [["single span"]],
        "image": _pictures(10),
        "image_url": ["https://blog.example/infographic.png"],
        "operation/reasoning": [[]],
        "ocr": ["{}"],
        "data_split": ["val"],
    }
    _write(folder, "InfographicVQA/validation-00000-of-00001.parquet", columns, Features(features))


def stvqa(folder: Path) -> None:
    features = {"question_id": TEXT, "question": TEXT, "image": Image()}
    columns = {
        "question_id": ["1000", "1001"],
        "question": ["What is the name of the street?", "What number is on the bus?"],
        "image": _pictures(10, 20),
    }
    _write(folder, "data/test-00000-of-00001.parquet", columns, Features(features))


def vstar(folder: Path) -> None:
    rows = [
        {
            "image": "direct_attributes/sa_4690.jpg",
            "text": "What is the material of the glove?\n(A) rubber\n(B) cotton\n(C) kevlar\n"
            f"(D) leather{VSTAR_END}",
            "category": "direct_attributes",
            "label": "A",
            "question_id": "0",
        },
        {
            "image": "relative_position/sa_78.jpg",
            "text": "Is the red car on the left or right side of the dog?\n(A) right\n(B) left"
            f"{VSTAR_END}",
            "category": "relative_position",
            "label": "B",
            "question_id": "0",
        },
        {
            "image": "../secret.jpg",
            "text": f"Where does this lead?\n(A) out\n(B) in{VSTAR_END}",
            "category": "relative_position",
            "label": "A",
            "question_id": "2",
        },
    ]
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "test_questions.jsonl").write_text(lines, encoding="utf-8")
    for row in rows[:2]:
        path = folder / row["image"]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jpeg(90, (200, 100)))
    beside = {
        "target_object": ["car", "dog"],
        "bbox": [[20, 10, 20, 10], [100, 40, 10, 20]],
        "question": "Is the red car on the left or right side of the dog?",
        "options": ["left", "right"],
    }
    (folder / "relative_position/sa_78.json").write_text(json.dumps(beside), encoding="utf-8")
    (folder.parent / "secret.jpg").write_bytes(jpeg(1))


def hrbench4k(folder: Path) -> None:
    features = {
        "index": Value("int64"), "question": TEXT, "answer": TEXT, "category": TEXT,
        **dict.fromkeys("ABCD", TEXT), "cycle_category": TEXT, "image": TEXT,
    }  # fmt: skip
    colours = ["red", "blue", "green", "white"]
    columns: dict[str, list[Any]] = {name: [] for name in features}
    picture = base64.b64encode(jpeg(60, (256, 128))).decode()
    for cycle in range(4):
        turned = colours[cycle:] + colours[:cycle]
        columns["index"].append(cycle)
        columns["question"].append("What's the color of the cap? ")
        columns["answer"].append("ABCD"[turned.index("blue")])
        columns["category"].append("single")
        for letter, colour in zip("ABCD", turned, strict=True):
            columns[letter].append(colour)
        columns["cycle_category"].append(str(cycle))
        columns["image"].append(picture if cycle < 3 else "no base64!")
    columns["D"][3] = None
    _write(folder, "hr_bench_4k.parquet", columns, Features(features))


BUILDERS: dict[str, Callable[[Path], None]] = {
    builder.__name__: builder
    for builder in (textvqa, docvqa, infographicvqa, stvqa, vstar, hrbench4k)
}
