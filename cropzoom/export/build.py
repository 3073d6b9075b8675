"""The way of every export: write, verify, put in place, or leave nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cropzoom.cropper.folder import Folder
from cropzoom.cropper.manifest import Manifest, read_files, read_manifest
from cropzoom.errors import ExportError
from cropzoom.export.card import write_card
from cropzoom.export.ladder import Ladder
from cropzoom.export.staging import PARITY_NAME, new_folder, write_manifest


class LadderError(ExportError):
    """A rung of the parity ladder does not hold; nothing was written.

    Args:
        ladder: all rungs.
    """

    def __init__(self, ladder: Ladder) -> None:
        said = "; ".join(
            f"{rung.name}: {rung.measure} {rung.value:.3g}, "
            f"{'at least' if rung.at_least else 'at most'} {rung.limit:g} wanted"
            for rung in ladder.rungs
            if not rung.passed
        )
        super().__init__(
            f"the exported graphs differ from the torch model ({said}); nothing was written. "
            "Try another precision, or report it with the ladder"
        )
        self.ladder = ladder


def make_cropper(
    out: Path,
    write: Callable[[Path], dict[str, Any]],
    verify: Callable[[Folder, Manifest], Ladder] | None,
) -> Ladder | None:
    """Make a cropper's folder.

    Args:
        out: a new folder, an empty one, or a cropper's, which is replaced.
        write: writes graphs and the like into a folder and returns the manifest's content, without
            `schema` and `files`.
        verify: compares what was written with the torch model; None to do without.

    Returns:
        The ladder, every rung of which holds; None without `verify`.

    Raises:
        ExportError: the folder can't be written.
        LadderError: a rung does not hold.
    """
    ladder = None
    with new_folder(out) as folder:
        content = write(folder)
        write_manifest(folder, content)
        made = Folder(folder, folder)
        if verify is not None:
            ladder = verify(made, read_manifest(made))
            if not ladder.passed:
                raise LadderError(ladder)
            ladder.write(folder / PARITY_NAME)
        write_card(folder, content, ladder)
        write_manifest(folder, content)
        read_files(made, read_manifest(made))
    return ladder
