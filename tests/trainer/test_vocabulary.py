"""Words and names come from data files; what a seed draws must not move when they are tidied."""

import hashlib
import random
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from cropzoom.trainer.nano.pages import lexicon
from cropzoom.trainer.nano.pages.browser.field_names import _names
from cropzoom.trainer.nano.pages.languages import LANGUAGES
from cropzoom.trainer.nano.pages.lexicon import FIELDS, Lexicon
from cropzoom.trainer.nano.pages.tables import FOLDER, read_table

DRAWN = "ecb557a8442f2d76fa8c888ff7035277ba79facb279f9d6307638a893b570b0b"


def test_a_seed_draws_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    # Python's own library differs from version to version.
    prose: Mapping[str, tuple[str, ...]] = {"train": ("stone", "river"), "heldout": ("cloud",)}
    monkeypatch.setattr(lexicon, "_library_words", lambda: prose)
    digest = hashlib.sha256()
    for code in (None, *LANGUAGES):
        drawn = Lexicon(random.Random(3), "train", LANGUAGES.get(code or ""))
        for _ in range(60):
            digest.update(repr((drawn.word(), drawn.key(), drawn.value(drawn.any_kind()))).encode())
    assert digest.hexdigest() == DRAWN


def test_counts_of_what_there_is() -> None:
    assert len(FIELDS) == 230
    assert len(LANGUAGES) == 14
    assert sum(len(names) for names in _names().values()) == 668


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.txt")), ids=lambda file: file.name)
def test_tables_are_tidy(file: Path) -> None:
    text = file.read_text("utf-8")
    assert text.endswith("\n")
    assert not re.search(r"[ \t]+$", text, re.MULTILINE)
    rows = read_table(file)
    assert rows
    assert all(column == column.strip() for row in rows for column in row)
