"""The model card of an exported cropper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cropzoom.export.ladder import Ladder
from cropzoom.export.staging import CARD_NAME
from cropzoom.templates import render


def write_card(folder: Path, content: Mapping[str, Any], ladder: Ladder | None) -> None:
    """Write `README.md`: what it is, how to use it, where it comes from, how near to torch it is.

    Args:
        folder: the cropper's, with all files but the card.
        content: of its manifest.
        ladder: of its verification; None where it was not verified.
    """
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    card = render("cropper_card.md.j2", **content, megabytes=size / 1e6, ladder=ladder)
    (folder / CARD_NAME).write_text(card, encoding="utf-8")
