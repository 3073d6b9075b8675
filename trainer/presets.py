"""Well-known data sets to train on: where they lie on the hub, and what their columns are called.

The facts are those of `cropzoom.evaluate.presets`, of which training uses the `train` splits. Only
ST-VQA differs: lmms-eval's copy has a test split without answers, so its training part comes from
vikhyatk/st-vqa, which has no card; its columns are known from public code that loads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cropzoom.evaluate.presets import PRESETS as BENCHMARKS
from cropzoom.evaluate.presets import parquet_files

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


def _benchmark(name: str, image_id: str) -> Preset:
    known = BENCHMARKS[name]
    columns = ColumnMap(id=known.columns["id"], image_id=image_id)
    return Preset(known.repo, known.files, columns)


PRESETS: Mapping[str, Preset] = {
    "textvqa": _benchmark("textvqa", "image_id"),
    # The pages of one document stay together in a split.
    "docvqa": _benchmark("docvqa", "ucsf_document_id"),
    "infographicvqa": _benchmark("infographicvqa", "image_url"),
    # One record a picture, with all of its questions; no ids.
    "stvqa": Preset(
        "vikhyatk/st-vqa",
        parquet_files("data", "train"),
        ColumnMap(question="qas.question", answers="qas.answers"),
    ),
}
