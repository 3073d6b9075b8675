"""A reader that stands in for a small vision-language model: it sees little and answers by rule.

It shares with such a model the one thing a cropper changes, how many pixels a word has left, and
it needs no weights beyond an OCR engine's. Every picture of a request is shrunk or enlarged to
the same longest side, as a model's processor does, and read. The answer is the text beside or
below the line that best matches the words of the question. Whole pages and crops go through the
same code, and nothing tells it which is which.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from PIL import Image

from cropzoom.reading.answers import normalise
from cropzoom.reading.ocr import Line, OcrReader

UNREADABLE = "unreadable"

# Words of questions that are not the name of what is asked for.
_STOP = frozenset(
    """a about after also am an and any are as at be been before below beside by can could did do
    does find for from get give given go had has have here how i if in indicated into is it its
    leave like listed long many me mentioned much my next of off old on one or our out page please
    printed provided read right say see seen shown so stand stands stated take tell than that the
    their them there these they this those to under up us value was we were what when where which
    who whom whose why will with would write written you your document image picture""".split()  # noqa: SIM905 (a list would fill a page)
)
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
# Not the apostrophe of "What's".
_QUOTED = re.compile(r"(?<!\w)[\"\u201c\u2018']([^\"\u201d\u2019']{2,})[\"\u201d\u2019'](?!\w)")
_LEADERS = " .·•…:;_|>\u2010\u2013\u2014"
# "Amount due:" after a matched "Amount": a rest without digits up to a colon belongs to the key.
_KEY_TAIL = re.compile(r"^[^\d:\uff1a]{0,30}[:\uff1a]\s*")


@dataclass(frozen=True, slots=True)
class Page:
    """What was read in one picture: its size in px as seen, and its lines."""

    width: int
    height: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Args:
        text: the answer, or `UNREADABLE`.
        page: index of the picture it was read in; None where nothing fits the question.
        score: how well key and value were read, in [0, 1].
        lines: what it rests on: the line with the key, then the value where that is another one.
    """

    text: str
    page: int | None
    score: float
    lines: tuple[Line, ...] = ()


class StandIn:
    """Answers questions about pictures by reading them at a small size.

    Deterministic and safe to share between threads. Pages are remembered, so a second question
    about the same picture costs no reading.

    Args:
        side: longest side, in px, at which every picture is seen.
        reader: the text reader; one is made when None.
        remember: how many read pictures are kept.
        enlarge: whether smaller pictures are enlarged to that side, as some processors do. The
            text on them is read as well without.
    """

    def __init__(
        self,
        *,
        side: int = 448,
        reader: OcrReader | None = None,
        remember: int = 64,
        enlarge: bool = True,
    ) -> None:
        self.side = side
        self.enlarge = enlarge
        self._reader = reader or OcrReader()
        self._remember = remember
        self._pages: OrderedDict[bytes, Page] = OrderedDict()
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    def see(self, image: Image.Image) -> Image.Image:
        """Return an upright image as the stand-in sees it: RGB, longest side `side` px."""
        zoom = self.side / max(image.size)
        if zoom > 1 and not self.enlarge:
            return image.convert("RGB")
        size = (max(1, round(image.width * zoom)), max(1, round(image.height * zoom)))
        return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)

    def read(self, image: Image.Image) -> Page:
        """Return what can be read in an upright image of any size once it is seen at `side`."""
        seen = self.see(image)
        key = hashlib.sha256(repr(seen.size).encode() + seen.tobytes()).digest()
        page = self._known(key)
        if page is not None:
            return page
        # The reader takes one picture at a time anyway: who waited may find it read meanwhile.
        with self._reading:
            page = self._known(key)
            if page is None:
                page = Page(seen.width, seen.height, tuple(self._reader.read(seen)))
                with self._lock:
                    self._pages[key] = page
                    while len(self._pages) > self._remember:
                        self._pages.popitem(last=False)
        return page

    def _known(self, key: bytes) -> Page | None:
        with self._lock:
            return self._pages.get(key)

    def answer(self, question: str, images: Sequence[Image.Image]) -> Reply:
        """Answer from any number of upright images, in no order of preference."""
        return pick_answer(question, [self.read(image) for image in images])


def pick_answer(question: str, pages: Sequence[Page]) -> Reply:
    """Find the line that names what is asked for, and return the text that belongs to it.

    A candidate scores by how many words of the question its key has, how few others, how surely
    key and value were read and how large they were seen; the best of all pages wins, the first
    among equals.
    """
    words = question_words(question)
    best = Reply(UNREADABLE, None, 0.0)
    for index, page in enumerate(pages):
        for line in page.lines:
            for text, score, lines in _candidates(words, line, page):
                if score > best.score + 1e-9:
                    best = Reply(text, index, score, lines)
    return best


def question_words(question: str) -> list[str]:
    """Return the words that may name what is asked for, case folded.

    Words in quotes win; without quotes, everything but the grammar of a question.
    """
    quoted = " ".join(_QUOTED.findall(question))
    words = [word.casefold() for word in _WORD.findall(quoted or question)]
    return [word for word in words if word not in _STOP] or words


@dataclass(frozen=True, slots=True)
class _Match:
    score: float
    end: int  # in the text of the line, after the last matched word


def _candidates(
    words: list[str], line: Line, page: Page
) -> Iterator[tuple[str, float, tuple[Line, ...]]]:
    match = _match(words, line.text)
    if match is None:
        return
    rest = _KEY_TAIL.sub("", line.text[match.end :]).strip(_LEADERS)
    beside = _value_outside(line, page)
    inline = bool(normalise(rest))
    # "Total due    14.20": words after the match, and a value in the next column.
    if inline and not (beside is not None and not re.search(r"[\d:]", line.text[match.end :])):
        yield rest, match.score * _legibility(line, page), (line,)
    elif beside is not None:
        lost = 0.9 if inline else 1.0
        legibility = min(_legibility(line, page), _legibility(beside, page))
        yield beside.text, lost * match.score * legibility, (line, beside)


def _match(words: list[str], text: str) -> _Match | None:
    """Score a line as the key of a question; None where it has too few of its words."""
    places = list(_WORD.finditer(text))
    hits: list[tuple[float, int]] = []
    for word in words:
        near = [(_likeness(word, place.group().casefold()), place.end()) for place in places]
        likeness, end = max(near, key=lambda hit: (hit[0], -hit[1]), default=(0.0, 0))
        if likeness >= 0.74:
            hits.append((likeness, end))
    if not hits:
        return None
    covered = sum(likeness for likeness, _ in hits) / len(words)
    end = max(end for _, end in hits)
    key_words = [p.group() for p in places if p.end() <= end and p.group().casefold() not in _STOP]
    precise = min(1.0, len(hits) / max(1, len(key_words)))
    if covered < 0.3:
        return None
    return _Match(0.75 * covered + 0.25 * precise, end)


def _likeness(word: str, other: str) -> float:
    if word == other:
        return 1.0
    if min(len(word), len(other)) < 4 or word.isdigit():
        return 0.0
    if word in other:  # readers lose spaces: "availablebalance"
        return 0.85
    return 0.98 * SequenceMatcher(None, word, other, autojunk=False).ratio()


def _value_outside(key: Line, page: Page) -> Line | None:
    """Return the line to the right of `key`, or the one below where the two are stacked."""
    right, below = _right_of(key, page), _below(key, page)
    if right is None or below is None:
        return right or below
    return below if _stacked(key, below, page) else right


def _right_of(key: Line, page: Page) -> Line | None:
    height = _height(key, page)
    row = [
        line
        for line in page.lines
        if line is not key
        and normalise(line.text.strip(_LEADERS))
        and line.box.x0 * page.width >= key.box.x1 * page.width - 0.3 * height
        and _overlap(line.box.y0, line.box.y1, key.box.y0, key.box.y1) >= 0.5
    ]
    if not row:
        return None
    row.sort(key=lambda line: line.box.x0)
    value, *others = row
    for other in others:  # a value split by the reader: "12 March" "2024"
        gap = (other.box.x0 - value.box.x1) * page.width
        if gap > 0.6 * height:
            break
        value = replace(
            value,
            text=f"{value.text} {other.text}",
            box=replace(value.box, x1=max(value.box.x1, other.box.x1)),
            confidence=min(value.confidence, other.confidence),
        )
    return replace(value, text=value.text.strip(_LEADERS))


def _below(key: Line, page: Page) -> Line | None:
    height = _height(key, page)
    under = [
        line
        for line in page.lines
        if line is not key
        and 0.5 * height < (line.box.y0 + line.box.y1 - key.box.y0 - key.box.y1) / 2 * page.height
        and (line.box.y0 - key.box.y1) * page.height <= 2.5 * height
        and _overlap(line.box.x0, line.box.x1, key.box.x0, key.box.x1) > 0.3
    ]
    return min(under, key=lambda line: line.box.y0, default=None)


def _stacked(key: Line, below: Line, page: Page) -> bool:
    """Tell a label above its value from the next row of a two-column list.

    In a stack the value is set larger than its label, or the pair is closer together than the
    value and whatever follows it.
    """
    height = _height(key, page)
    aligned = min(
        abs(key.box.x0 - below.box.x0),
        abs(key.box.centre[0] - below.box.centre[0]),
    ) * page.width <= max(1.0, 0.5 * height)
    gap = (below.box.y0 - key.box.y1) * page.height
    if not aligned or gap > 1.3 * height:
        return False
    if _height(below, page) >= 1.3 * height:
        return True
    following = _below(below, page)
    return following is not None and (
        (following.box.y0 - below.box.y1) * page.height > max(1.8 * gap, gap + 0.5 * height)
    )


def _legibility(line: Line, page: Page) -> float:
    # Recognisers are as sure of guesses at 5 px as of readings at 20 px: size has a say, too.
    return line.confidence * (0.8 + 0.2 * min(1.0, _height(line, page) / 12))


def _height(line: Line, page: Page) -> float:
    return line.box.height * page.height


def _overlap(low: float, high: float, other_low: float, other_high: float) -> float:
    """Return the common part of two intervals as a share of the shorter one."""
    shorter = min(high - low, other_high - other_low)
    return (min(high, other_high) - max(low, other_low)) / shorter
