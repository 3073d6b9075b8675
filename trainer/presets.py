"""Where well-known data sets lie on the hub, and what their columns are called.

Read from the dataset cards of lmms-lab/textvqa and lmms-lab/DocVQA (configs DocVQA and
InfographicVQA), and for vikhyatk/st-vqa, which has no card, from public code that loads it. The
splits differ: the test splits of DocVQA and InfographicVQA have no answers, so all of their rows
are skipped; the card of lmms-lab/DocVQA hides its `train` files, which are named here directly;
lmms-lab/ST-VQA has a test split without answers only, so ST-VQA's training part comes from
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .columns import ColumnMap


@dataclass(frozen=True)
class Preset:
    """A data set of the hub.

    Args:
        repo: "owner/name".
        files: parquet files of each split, as a pattern inside the repository.
        columns: where its columns' names differ from the roles'.
    """

    repo: str
    files: Mapping[str, str]
    columns: ColumnMap


def _splits(folder: str, *names: str) -> dict[str, str]:
    return {name: f"{folder}/{name}-*.parquet" for name in names}


PRESETS: Mapping[str, Preset] = {
    "textvqa": Preset(
        "lmms-lab/textvqa",
        _splits("data", "train", "validation", "test"),
        ColumnMap(id="question_id", image_id="image_id"),
    ),
    # The pages of one document stay together in a split.
    "docvqa": Preset(
        "lmms-lab/DocVQA",
        _splits("DocVQA", "train", "validation", "test"),
        ColumnMap(id="questionId", image_id="ucsf_document_id"),
    ),
    "infographicvqa": Preset(
        "lmms-lab/DocVQA",
        _splits("InfographicVQA", "train", "validation", "test"),
        ColumnMap(id="questionId", image_id="image_url"),
    ),
    # One record a picture, with all of its questions; no ids.
    "stvqa": Preset(
        "vikhyatk/st-vqa",
        _splits("data", "train"),
        ColumnMap(question="qas.question", answers="qas.answers"),
    ),
}
