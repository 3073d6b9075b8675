"""The sample pictures that come with the package, with questions, answers and their places."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cropzoom.geometry import Box

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class SampleQuestion:
    """A question about a picture.

    Args:
        question: as a person would ask it.
        answers: spellings that count as right.
        region: the key and the value, what a crop should show.
        value: the value alone.
    """

    question: str
    answers: tuple[str, ...]
    region: Box
    value: Box


@dataclass(frozen=True, slots=True)
class SamplePicture:
    """A picture file in the package, drawn for this purpose: no real company or person."""

    path: Path
    title: str
    questions: tuple[SampleQuestion, ...]


def load_samples() -> list[SamplePicture]:
    """Return the sample pictures in the order in which the demo shows them."""
    entries = json.loads((_FOLDER / "samples.json").read_text(encoding="utf-8"))
    return [
        SamplePicture(
            path=_FOLDER / entry["file"],
            title=entry["title"],
            questions=tuple(
                SampleQuestion(
                    question=item["question"],
                    answers=tuple(item["answers"]),
                    region=Box(*item["region"]),
                    value=Box(*item["value"]),
                )
                for item in entry["questions"]
            ),
        )
        for entry in entries
    ]
