"""The file of answers: JSON lines, only ever appended to, so that an interrupted run goes on.

The first line, and one more whenever a later run adds targets or croppers, tells what was asked of
whom; every other line is an `Outcome`. The last one of a row, a target and a cropper counts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cropzoom.errors import DataError
from cropzoom.files import JsonLog

SCHEMA = 1
Key = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one question asked of one target with one cropper.

    Args:
        row: the row's id.
        target, cropper: names.
        image: the same for all rows about one picture.
        reply: the target's words; None where it failed.
        score: of the reply, in [0, 1]; None where it failed or the answers are not known.
        milliseconds: of the whole call, cropping included.
        crop_milliseconds: cropzoom's share of it.
        boxes: (x0, y0, x1, y1) of the crops added, in fractions.
        confidences: of these crops.
        crop_pixels: of these crops, in all, as sent.
        reason: why there is no crop.
        prompt_tokens, completion_tokens: as the target counts.
        image_tokens: of the pictures of the request, by `cropzoom.models`.
        failure: the kind of problem, as in `Problem`; None where there is a reply.
        detail: of the problem.
    """

    row: str
    target: str
    cropper: str
    image: str = ""
    reply: str | None = None
    score: float | None = None
    milliseconds: float = 0.0
    crop_milliseconds: float = 0.0
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    confidences: tuple[float, ...] = ()
    crop_pixels: int = 0
    reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    image_tokens: int | None = None
    failure: str | None = None
    detail: str = ""

    @property
    def key(self) -> Key:
        """(row, target, cropper)."""
        return self.row, self.target, self.cropper

    @property
    def right(self) -> bool:
        """Whether the reply scores at least a half."""
        return self.score is not None and self.score >= 0.5


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the answers of a file depend on.

    Args:
        data: identity of the rows.
        scoring: metric and harness.
        options: of the crops.
        targets, croppers: identities by name.
    """

    data: str
    scoring: str
    options: Mapping[str, Any]
    targets: Mapping[str, str]
    croppers: Mapping[str, str]


class ResultFile(JsonLog):
    """Answers on disk, used as a context manager while they are being added to.

    Args:
        path: of the file; made where it is missing.
        setting: what is going to be asked.

    Raises:
        DataError: the file is another's, is broken, was made with another setting, or is being
            written to by another run.
    """

    def __init__(self, path: str | os.PathLike[str], setting: Setting) -> None:
        super().__init__(path)
        self.outcomes: dict[Key, Outcome] = {}
        try:
            settings = self._settings()
            for earlier in settings:
                _check_same(earlier, setting, self.path)
            if setting not in settings:
                self.add({"kind": "setting", "schema": SCHEMA, **asdict(setting)})
        except BaseException:
            self.close()
            raise

    def add_outcome(self, outcome: Outcome) -> None:
        """Append an outcome; it is with the operating system when this returns."""
        self.add({"kind": "outcome", **asdict(outcome)})
        self.outcomes[outcome.key] = outcome

    def _settings(self) -> list[Setting]:
        """Return what was asked before; its outcomes are noted."""
        settings: list[Setting] = []
        for number, entry in enumerate(self.entries, 1):
            try:
                if entry["kind"] != "setting":
                    outcome = Outcome(**_known(Outcome, entry))
                    self.outcomes[outcome.key] = outcome
                elif entry["schema"] == SCHEMA:
                    settings.append(Setting(**_known(Setting, entry)))
                else:
                    raise DataError(
                        f"{self.path} has schema {entry['schema']}, and this version reads "
                        f"{SCHEMA}; choose another --out"
                    )
            except (KeyError, TypeError) as error:
                raise DataError(
                    f"{self.path} has something else than an answer on line {number}: {error}; "
                    "take the line out, or choose another --out"
                ) from error
        return settings


def _known(kind: type[Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Take a dataclass's fields from what JSON made of them: lists become tuples again."""
    values = {field.name: entry[field.name] for field in fields(kind) if field.name in entry}
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(tuple(part) if isinstance(part, list) else part for part in value)
    return values


def _check_same(earlier: Setting, now: Setting, path: Path) -> None:
    for name in ("data", "scoring", "options"):
        before, after = getattr(earlier, name), getattr(now, name)
        if before != after:
            raise DataError(
                f"{path} holds answers with {name} {before!r}, and now it is {after!r}; "
                "choose another --out"
            )
    for name in ("targets", "croppers"):
        before, after = getattr(earlier, name), getattr(now, name)
        for key in before.keys() & after.keys():
            if before[key] != after[key]:
                raise DataError(
                    f"{path} holds answers of another {key!r} among its {name} "
                    f"({before[key]!r}, now {after[key]!r}); choose another --out"
                )
