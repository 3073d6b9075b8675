"""What one text asks."""

from __future__ import annotations

from functools import lru_cache

from cropzoom.questions import words as vocabulary
from cropzoom.questions.fields import MOST_FIELDS
from cropzoom.questions.layout import lay_out, sentences, tagged, without_code
from cropzoom.questions.objects import split
from cropzoom.questions.sentence import (
    NAMELESS,
    Kind,
    Reading,
    asks_mark,
    cleaned,
    gives_rules,
    sentence,
)
from cropzoom.questions.words import fold, words_of

_HALF = 3000
_MOST_SENTENCES = 120


def read(text: str) -> Reading:
    """Return what a text asks; linear in its length, and only its two ends count."""
    if len(text) > 2 * _HALF:
        text = f"{text[:_HALF]}\n\n{text[-_HALF:]}"
    return _read_tagged(text.strip())


@lru_cache(maxsize=256)
def _read_tagged(text: str) -> Reading:
    outside, code, keys = without_code(text) if "```" in text else (text, "", [])
    plain, asked = tagged(outside) if "<" in outside else (outside, [])
    for question in reversed(asked):
        reading = _read(question, [])
        if reading.kind is Kind.WEAK:
            return Reading(Kind.QUESTION, reading.questions)
        if reading.kind > Kind.WEAK:
            return reading
    reading = _read(plain, keys)
    if not reading.kind and plain != outside:
        reading = _read(outside, keys)
    if reading.kind < Kind.WEAK and code:
        # "Answer this:", and the question in a fence.
        inside = _read(code, [])
        reading = max(reading, inside, key=lambda one: one.kind)
    return reading


def _read(text: str, keys: list[str]) -> Reading:
    """Read a text without tags; `keys` are the fields of the code that was in it."""
    layout = lay_out(text)
    keys = [*keys, *layout.keys]
    labelled = [_sentences(sentences(question)) for question in layout.questions]
    asked = [reading for reading in labelled if reading.kind is Kind.QUESTION]
    if asked:
        return _more(asked[0], [q for reading in asked[1:] for q in reading.questions])
    for reading in reversed(labelled):
        if reading.kind in (Kind.WEAK, Kind.REQUEST, Kind.FIELDS, Kind.WHOLE):
            kind = Kind.QUESTION if reading.kind is Kind.WEAK else reading.kind
            return Reading(kind, reading.questions)
    reading = _sentences(layout.text)
    if reading.kind is Kind.QUESTION:
        return _more(reading, [item for item in layout.lists if asks_mark(item)])
    if layout.lists:
        return Reading(Kind.FIELDS, tuple(layout.lists[:MOST_FIELDS]))
    if reading.kind in (Kind.FIELDS, Kind.WHOLE):
        return reading
    if keys and (reading.kind is not Kind.REQUEST or len(keys) > 1 or not _shares(reading, keys)):
        return Reading(Kind.FIELDS, tuple(keys[:MOST_FIELDS]))
    if reading.kind >= Kind.DATA:
        return reading
    for rest in (layout.answered[-1:], layout.aside, layout.questions[-1:]):
        other = _sentences(rest)
        if other.kind > max(reading.kind, Kind.WEAK):
            return other
    return reading


def _with_its_subject(question: str, readings: list[Reading]) -> str:
    """Read 'There is a service charge. How much is it?', of which neither half says all."""
    words = {word for word, _, _ in words_of(question)}
    if not words <= NAMELESS or words.isdisjoint(vocabulary.PRONOUNS):
        return question
    for reading in reversed(readings):
        if reading.kind is Kind.WEAK:
            return f"{reading.questions[0]} {question}"
    return question


def _shares(reading: Reading, keys: list[str]) -> bool:
    """Tell whether 'Find the due date as {"date": ...}' says more than its key does."""
    asked = {word for question in reading.questions for word, _, _ in words_of(question)}
    return any(word in asked for key in keys for word, _, _ in words_of(key))


def _more(reading: Reading, items: list[str]) -> Reading:
    known = {fold(question) for question in reading.questions}
    more = [item for item in items if fold(item) not in known]
    return Reading(reading.kind, (*reading.questions, *more)[:MOST_FIELDS])


def _sentences(parts: list[str]) -> Reading:
    """Weigh the sentences of a text."""
    if len(parts) > _MOST_SENTENCES:
        parts = [*parts[: _MOST_SENTENCES // 2], *parts[-_MOST_SENTENCES // 2 :]]
    readings = [sentence(part) for part in parts]
    if len(readings) == 1 and readings[0].kind is Kind.RULES and not gives_rules(parts[0]):
        readings = [Reading(Kind.WEAK, (cleaned(parts[0]),))]
    best = max((reading.kind for reading in readings), default=Kind.EMPTY)
    if best in (Kind.EMPTY, Kind.POLITE, Kind.RULES):
        return Reading(best)
    questions = [q for reading in readings if reading.kind is best for q in reading.questions]
    if best is Kind.QUESTION and len(questions) == 1:
        questions = [_with_its_subject(questions[0], readings)]
    if best is Kind.WEAK:
        items = questions if len(questions) > 1 else split(questions[0])
        if len(items) > 2 and all(len(item.split()) < 4 for item in items):
            return Reading(Kind.FIELDS, tuple(items[:MOST_FIELDS]))
        return Reading(best, (" ".join(questions),))
    unique = list({fold(question): question for question in questions}.values())
    return Reading(best, tuple(unique[:MOST_FIELDS]))
