"""Well-known data sets: where they lie on the hub, and what their columns are called.

The facts are those of lmms-eval 0.7.3 (`tasks/*/*.yaml`), of VLMEvalKit (as of ms-vlmeval 0.0.20),
and of the dataset cards of textvqa, DocVQA and ST-VQA (lmms-lab-encoder, formerly lmms-lab),
craigwu/vstar_bench and DreamMr/HR-Bench. How the benchmarks among them are asked and scored is in
`cropzoom.evaluate.benchmarks`.

V* is read from its authors' own repository, where `image` is a path and a file beside each picture
gives the boxes of the objects in question; lmms-eval reads a copy with embedded pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from .columns import ColumnMap


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A data set of the hub.

    Args:
        repo: "owner/name".
        files: files of each split, as a pattern inside the repository.
        columns: where its columns' names differ from the roles'.
        together: the column that tells which pictures must stay in one part of a split, where
            that is more than the picture itself.
        image: the form of the image column: "embedded" (bytes of a file), "path" inside the
            repository, or "base64".
        letters: whether the options of its multiple-choice questions are in columns A, B, C, ...
    """

    repo: str
    files: Mapping[str, str]
    columns: ColumnMap
    together: str | None = None
    image: Literal["embedded", "path", "base64"] = "embedded"
    letters: bool = False

    @property
    def training_columns(self) -> ColumnMap:
        """The columns for training, whose rows are split by image id."""
        return replace(self.columns, image_id=self.together) if self.together else self.columns


def _parquet(folder: str, *splits: str) -> dict[str, str]:
    """Return the patterns under which `datasets` uploads each split's files."""
    return {split: f"{folder}/{split}-*.parquet" for split in splits}


PRESETS: Mapping[str, Preset] = {
    "textvqa": Preset(
        repo="lmms-lab-encoder/textvqa",
        files=_parquet("data", "train", "validation", "test"),
        columns=ColumnMap(id="question_id"),
    ),
    # The test splits of DocVQA and InfographicVQA have no answers; the card hides DocVQA's train
    # files, which are there.
    "docvqa": Preset(
        repo="lmms-lab-encoder/DocVQA",
        files=_parquet("DocVQA", "train", "validation", "test"),
        # The page, not the document: pages of one document are different pictures.
        columns=ColumnMap(id="questionId", image_id="docId"),
        together="ucsf_document_id",
    ),
    "infographicvqa": Preset(
        repo="lmms-lab-encoder/DocVQA",
        files=_parquet("InfographicVQA", "train", "validation", "test"),
        columns=ColumnMap(id="questionId", image_id="image_url"),
    ),
    # lmms-eval's copy, below, has no answers, so the training part comes from one without a card;
    # its columns are known from public code that loads it. One record a picture, with all of its
    # questions; no ids.
    "stvqa": Preset(
        repo="vikhyatk/st-vqa",
        files=_parquet("data", "train"),
        columns=ColumnMap(question="qas.question", answers="qas.answers"),
    ),
    # Replies are scored by the challenge's server.
    "stvqa-test": Preset(
        repo="lmms-lab-encoder/ST-VQA",
        files=_parquet("data", "test"),
        columns=ColumnMap(id="question_id"),
    ),
    "vstar": Preset(
        repo="craigwu/vstar_bench",
        files={"test": "test_questions.jsonl"},
        columns=ColumnMap(id="question_id", question="text", answers="label"),
        image="path",
    ),
    **{
        f"hrbench{size}k": Preset(
            repo="DreamMr/HR-Bench",
            files={f"hrbench_{size}k": f"hr_bench_{size}k.parquet"},
            columns=ColumnMap(id="index", answers="answer", cycle="cycle_category"),
            image="base64",
            letters=True,
        )
        for size in (4, 8)
    },
}
