"""What words mean, as short vectors: "Summe" lies near "total", though they share no letter.

A cropper's folder may hold a table of words (`meanings.npz`), distilled from a language model when
the cropper was trained: `words`, UTF-8 text with a folded word a line, and `vectors`, one row of
int8 a word. A word that the table lacks has no meaning, and is known by its letters alone.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np
import numpy.typing as npt

MEANINGS_NAME = "meanings.npz"
_MOST_WORDS = 200_000
_ENDINGS = ("s", "n", "e", "es", "en", "er")


class Meanings:
    """A table of words.

    Args:
        words: folded, each once.
        vectors: (words, width) int8, of about equal length.

    Raises:
        ValueError: the two do not fit.
    """

    def __init__(self, words: list[str], vectors: npt.NDArray[np.int8]) -> None:
        if vectors.dtype != np.int8 or vectors.ndim != 2 or len(vectors) != len(words):
            raise ValueError(f"{len(words)} words, vectors {vectors.dtype} {vectors.shape}")
        if not 0 < len(words) <= _MOST_WORDS or not 0 < vectors.shape[1] <= 1024:
            raise ValueError(f"vectors of shape {vectors.shape}")
        self._rows = {word: row for row, word in enumerate(words)}
        self._vectors = vectors

    @classmethod
    def parse(cls, data: bytes) -> Meanings:
        """Read a `meanings.npz`.

        Raises:
            ValueError: it is none.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                text, vectors = bytes(file["words"]).decode("utf-8"), file["vectors"]
        except (OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"not a table of words: {error}") from error
        return cls(text.split("\n"), vectors)

    def to_bytes(self) -> bytes:
        """The file that `parse` reads."""
        buffer = io.BytesIO()
        text = np.frombuffer("\n".join(self._rows).encode("utf-8"), np.uint8)
        np.savez_compressed(buffer, words=text, vectors=self._vectors)
        return buffer.getvalue()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def width(self) -> int:
        """Numbers of a meaning."""
        return int(self._vectors.shape[1])

    def __call__(self, word: str) -> npt.NDArray[np.float32]:
        """The meaning of a folded word, (`width`,) float32 of about unit variance; or zeros."""
        row = self._rows.get(word)
        if row is None:  # a plural or another form of a word that is known
            stems = (word[: -len(e)] for e in _ENDINGS if word.endswith(e) and len(word) > 4)
            row = next((self._rows[stem] for stem in stems if stem in self._rows), None)
        if row is None:
            return np.zeros(self.width, np.float32)
        scaled: npt.NDArray[np.float32] = self._vectors[row].astype(np.float32)
        scaled *= self.width**0.5 / 127.0
        return scaled
