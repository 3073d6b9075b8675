"""A question as numbers: each word as a PHOC, so that words never seen in training still match.

PHOC (pyramidal histogram of characters): Almazán et al. 2014; Sudholt & Fink 2016, section 3.1.
A word is cut into 1, 2, ... 5 equal parts; for each part, one bit a character class tells
whether at least half of a character of that class lies in it. "total" and "totals" are
neighbours, and so is what a net reads off a blurred picture of either.

Case and diacritics are folded away: a key is the same key in capitals. Greek and Cyrillic letters
count as Latin letters and digits, see `_LATIN_LIKE`; those of other scripts are one class.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from cropzoom.cropper.nano.meanings import Meanings

LEVELS = (1, 2, 3, 4, 5)
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
CLASSES = len(ALPHABET) + 1
"""One class for each letter and digit, and one for everything else."""
WORD_DIM = sum(LEVELS) * CLASSES + 1
"""Length of a word's vector: the PHOC bits, then the word's length divided by 16."""
MAX_WORDS = 64
"""Words of a question that the bundled model is given; those before 0.5 took 16."""
MAX_LETTERS = 128
"""Characters of a word that are looked at; what is longer is pasted data, not a word."""
_SCANNED_WORDS = 256
# A vector is kept as bits: these words and their bits take 2 MB, all told.
_KEPT_WORDS = 8192

_CLASS_OF = {character: index for index, character in enumerate(ALPHABET)}
# Greek and Cyrillic letters share the classes of Latin letters and digits, of those that look like
# them where there are such; so a net that reads Latin has least to learn, and needs no new input.
_LATIN_LIKE = {
    **dict(zip("αβγδεζηθικλμνξοπρστυφχψω", "abydezn0iklmv3onpstufx4w", strict=True)),
    **dict(zip("абвгдежзиклмнопрст", "a6brdej3uklmhonpct", strict=True)),
    **dict(zip("уфхцчшщъыьэюя", "yfxq4ww829507", strict=True)),
    **dict(zip("ієґђјљњћџѕ", "iergjlnhqs", strict=True)),
}
_CLASS_OF |= {letter: _CLASS_OF[like] for letter, like in _LATIN_LIKE.items()}
# Greedy, so it runs to the end and back once: linear, whatever stands between.
_CORE = re.compile(r"[\w$€£%#](?:.*[\w$€£%#])?", re.DOTALL)
# Dropped first when a question is too long to be kept whole; they rarely name what is asked for.
# fmt: off
_STOP_WORDS = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "could", "do", "does", "for", "from",
    "give", "has", "have", "here", "i", "in", "is", "it", "its", "me", "my", "of", "on", "or",
    "please", "tell", "that", "the", "their", "there", "these", "this", "to", "was", "were",
    "will", "with", "would", "you", "your", "image", "picture", "photo", "document", "page",
    "shown", "using", "answer", "question", "read",
})
# fmt: on


# What a question is about as a whole, where it says so; and what only asks.
_SHEETS = frozenset(
    [
        "bill",
        "document",
        "form",
        "image",
        "invoice",
        "letter",
        "page",
        "photo",
        "picture",
        "receipt",
        "scan",
        "screenshot",
    ]
)
_ASKING = frozenset(["how", "many", "much", "what", "when", "where", "which", "who", "whose"])


def fold(text: str) -> str:
    """Lower case without diacritics: 'Zürich' -> 'zurich'."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def split_words(text: str) -> list[str]:
    """The last words of a text, folded, without punctuation at their ends; empty ones dropped.

    Takes time linear in the text, with all that is slow within bounds: of the last 256 words, the
    first `MAX_LETTERS` characters of each. Texts come from strangers.
    """
    # Cut before folding: a sequence of combining marks is sorted in quadratic time.
    last = " ".join(word[:MAX_LETTERS] for word in text.split()[-_SCANNED_WORDS:])
    cores = (_CORE.search(word) for word in fold(last).split())
    return [core[0][:MAX_LETTERS] for core in cores if core]


def character_class(character: str) -> int:
    """Index of a folded character's class, 0 to `CLASSES` - 1; the last is 'anything else'."""
    return _CLASS_OF.get(character, CLASSES - 1)


def phoc(word: str) -> npt.NDArray[np.float32]:
    """The vector of one folded word, shape (`WORD_DIM`,), float32.

    A word is cut to its first `MAX_LETTERS` characters.
    """
    word = word[:MAX_LETTERS]
    vector = np.empty(WORD_DIM, np.float32)
    vector[:-1] = np.unpackbits(np.frombuffer(_bits(word), np.uint8), count=WORD_DIM - 1)
    vector[-1] = min(len(word) / 16.0, 2.0)
    return vector


@lru_cache(maxsize=_KEPT_WORDS)
def _bits(word: str) -> bytes:
    """The bits of a word's vector, eight in a byte."""
    bits = np.zeros(WORD_DIM - 1, np.uint8)
    length = len(word)
    classes = np.array([character_class(character) for character in word], np.intp)
    starts, ends = np.arange(length) / length, np.arange(1, length + 1) / length
    base = 0
    for level in LEVELS:
        low, high = np.arange(level) / level, np.arange(1, level + 1) / level
        overlap = np.minimum(ends[:, None], high) - np.maximum(starts[:, None], low)
        letters, parts = np.nonzero(overlap >= 0.5 / length - 1e-9)
        bits[base + parts * CLASSES + classes[letters]] = 1
        base += level * CLASSES
    return np.packbits(bits).tobytes()


def question_words(question: str, most: int = MAX_WORDS) -> list[str]:
    """The at most `most` folded words by which a question is known to the model.

    A longer question loses its stop words first; then its last words are kept, since a prompt's
    question stands at its end. "on the invoice" at the end tells where to look, not for what: it is
    left out, so that "the due date on the invoice" is not taken for the invoice's date.
    """
    words = _without_place(split_words(question))
    if len(words) > most:
        words = [word for word in words if word not in _STOP_WORDS] or words
    return words[-most:]


def _without_place(words: list[str]) -> list[str]:
    """Drop "on the receipt" at the end, where at least two words that name something are left."""
    if len(words) < 3 or words[-1] not in _SHEETS or words[-2] not in ("the", "this"):
        return words
    rest = words[:-3]
    names = [word for word in rest if word not in _STOP_WORDS and word not in _ASKING]
    return rest if words[-3] in ("on", "in", "from") and len(names) >= 2 else words


def encode_question(
    question: str, most: int = MAX_WORDS, meanings: Meanings | None = None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A question as the model's input.

    Args:
        question: any text. One without a word gives an all-zero mask.
        most: words that the model takes.
        meanings: for a model that is told them, too.

    Returns:
        `words` (`most`, `WORD_DIM`) and `mask` (`most`,), float32; 1 marks a word. With `meanings`,
        each word has its meaning behind its letters: (`most`, `WORD_DIM` + `meanings.width`).
    """
    words = question_words(question, most)
    vectors = np.zeros((most, WORD_DIM + (meanings.width if meanings else 0)), np.float32)
    mask = np.zeros(most, np.float32)
    for row, word in enumerate(words):
        vectors[row, :WORD_DIM] = phoc(word)
        if meanings is not None:
            vectors[row, WORD_DIM:] = meanings(word)
    mask[: len(words)] = 1.0
    return vectors, mask
