"""Options that several commands have, and NAME=VALUE read once for all."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cropzoom.errors import OptionsError

DeviceName = Literal["auto", "cpu", "cuda"]
"""As `cropzoom.cropper.session.Device`, without its imports."""
ColumnFlag = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ROLE=NAME",
        help="Column that holds the image, question, answers, box, id, image_id or source.",
    ),
]
ImagesFlag = Annotated[
    Path | None, typer.Option(help="Folder that paths to images are relative to.")
]


def named_values(
    texts: Sequence[str], flag: str, names: Collection[str] | None = None
) -> dict[str, Any]:
    """Read NAME=VALUE texts: the values as JSON where they are some, as text elsewhere.

    Args:
        texts: as given.
        flag: for messages.
        names: those that there are; None: any identifier.

    Raises:
        OptionsError: a text has another form, or there is no such name.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not (name.isidentifier() if names is None else name in names):
            known = f" with NAME one of {', '.join(names)}" if names is not None else ""
            raise OptionsError(f"{flag} {text!r} must have the form NAME=VALUE{known}")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value  # plain text needs no quotes
    return values
