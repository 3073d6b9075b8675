"""Which turn asks, and what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cropzoom.questions import set_phrases
from cropzoom.questions import words as vocabulary
from cropzoom.questions.fields import MOST_FIELDS, of_schema
from cropzoom.questions.objects import without_article
from cropzoom.questions.prompt import read
from cropzoom.questions.sentence import Kind, Reading
from cropzoom.questions.words import fold, words_of
from cropzoom.report import Reason

# A system message stands at the start, what a turn refers to close before it.
_FIRST_TURNS = 8
_MOST_TURNS = 64
_MOST_COMPLAINT = 2000


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation, in no endpoint's dialect.

    Args:
        role: "system", "developer", "user", "assistant" or "tool".
        texts: its text parts, in order.
        pictures: how many pictures it carries.
    """

    role: str
    texts: tuple[str, ...]
    pictures: int = 0


@dataclass(frozen=True, slots=True)
class Asking:
    """What a turn asks of its pictures.

    Args:
        questions: one for each thing to find, in the order of the text.
        reason: why there is none; None exactly when there are questions.
    """

    questions: tuple[str, ...]
    reason: Reason | None = None


def asking(turns: Sequence[Turn], at: int, schemas: Sequence[Mapping[str, Any]] = ()) -> Asking:
    """Return what turn `at` asks; depends on the turns up to it and on the schemas alone.

    What the turn itself says counts first. A turn that says nothing of its own ("continue", a
    complaint about an answer's form, a picture alone) asks what was asked last before it, and
    where no user did, what the system or developer message does. What to extract is also read
    off `schemas`, where the texts leave it open.

    Args:
        turns: the conversation, in order.
        at: number of a user's or a tool's turn.
        schemas: JSON schemas that the answer or a tool's arguments must follow, bare or as
            `response_format`, `text.format` and tools wrap them.

    Returns:
        Questions, each for a crop of its own; or the reason why there are none.
    """
    turn = turns[at]
    reading = _reading(turns, at)
    before = [n for n in range(max(0, at - _MOST_TURNS), at) if turns[n].role == "user"]
    if reading.kind >= Kind.REQUEST:
        return Asking(_in_context(reading.questions, turns, before))
    if reading.kind is Kind.WHOLE:
        return Asking((), Reason.WHOLE_PICTURE)
    if reading.kind is Kind.POLITE and before and not turn.pictures:
        return Asking((), Reason.NO_QUESTION)
    standing = _standing(turns, at)
    if reading.kind is Kind.WEAK:
        # An agent's tools say what it may do, not what to look for.
        forms = _fields([schema for schema in schemas if not _of_tool(schema)])
        if standing.kind >= Kind.REQUEST:
            return Asking(standing.questions)
        return Asking(forms or _in_context(reading.questions, turns, before))
    if reading.kind is not Kind.DATA:
        for number in reversed(before):
            earlier = _reading(turns, number)
            if earlier.kind >= Kind.WHOLE:
                return _answer(
                    earlier,
                    _in_context(
                        earlier.questions, turns, range(max(0, number - _MOST_TURNS), number)
                    ),
                )
            if earlier.kind in (Kind.DATA, Kind.WEAK):
                reading = earlier
                break
    if standing.kind >= Kind.REQUEST:
        return Asking(standing.questions)
    fields = _fields(schemas)
    if fields:
        return Asking(fields)
    if reading.kind is Kind.WEAK:
        return Asking(reading.questions)
    if Kind.DATA in (reading.kind, standing.kind):
        return Asking((), Reason.WHOLE_PICTURE)
    return _answer(standing, standing.questions)


def _answer(reading: Reading, questions: tuple[str, ...]) -> Asking:
    if questions:
        return Asking(questions)
    return Asking((), Reason.WHOLE_PICTURE if reading.kind is Kind.WHOLE else Reason.NO_QUESTION)


def _reading(turns: Sequence[Turn], number: int) -> Reading:
    """Read a turn; what tools and models say asks nothing."""
    turn = turns[number]
    if turn.role in ("assistant", "tool"):
        return Reading(Kind.EMPTY)
    text = _text(turn)
    latest = turns[max(0, number - _MOST_TURNS) : number]
    answered = any(other.role in ("assistant", "tool") for other in latest)
    reading = read(text)
    if answered and reading.kind is not Kind.QUESTION and _complains(text):
        return Reading(Kind.AGAIN)
    if reading.kind is Kind.AGAIN and not answered:
        return Reading(Kind.WEAK, (text,))
    return reading


def _standing(turns: Sequence[Turn], at: int) -> Reading:
    """Read what the system and developer messages ask; the last of them counts most."""
    best = Reading(Kind.EMPTY)
    start = max(_FIRST_TURNS, at - _MOST_TURNS)
    for number in (*range(at, start - 1, -1), *range(min(at, start - 1), -1, -1)[-_FIRST_TURNS:]):
        if turns[number].role in ("system", "developer"):
            reading = read(_text(turns[number]))
            if reading.kind > best.kind:
                best = reading
    return best


def _text(turn: Turn) -> str:
    return "\n".join(text.strip() for text in turn.texts if text and not text.isspace())


def _fields(schemas: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    fields = dict.fromkeys(field for schema in schemas for field in of_schema(schema))
    return tuple(fields)[:MOST_FIELDS]


def _of_tool(schema: Mapping[str, Any]) -> bool:
    return not {"function", "parameters", "input_schema"}.isdisjoint(schema)


def _complains(text: str) -> bool:
    """Tell whether a program says that it could not use an answer."""
    folded = " ".join(fold(text[:_MOST_COMPLAINT]).split())
    return any(phrase in folded for phrase in set_phrases.COMPLAINTS)


def _in_context(
    questions: tuple[str, ...], turns: Sequence[Turn], before: Sequence[int]
) -> tuple[str, ...]:
    """Complete the questions of a follow-up: after 'What is the total?', 'And the date?'."""
    complete: list[str] = []
    for question in questions:
        if before or complete:
            question = _completed(question, complete[-1:] or _earlier(turns, before))
        complete.append(question)
    return tuple(complete)


def _completed(question: str, earlier: Iterable[str]) -> str:
    rest = _after_lead(question)
    words = words_of(rest)
    if not words or rest == question or words[0][0] in vocabulary.ASKING or len(words) > 8:
        return rest
    for one in earlier:
        frame = words_of(one)
        names = [word for word, _, _ in frame]
        opening = words[0][0]
        if opening in vocabulary.PREPOSITIONS:
            place = len(names) - 1 - names[::-1].index(opening) if opening in names else len(names)
            head = one[: frame[place][1]] if place < len(names) else one.rstrip(" ?.!")
            return f"{head.rstrip()} {rest}"
        if len(names) > 1 and names[0] in vocabulary.ASKING and names[1] in vocabulary.COPULAS:
            return f"{one[: frame[1][2]]} {rest}"
        break
    return without_article(rest) or rest


def _after_lead(question: str) -> str:
    """Take 'And' and 'What about' off the start of a follow-up."""
    words = words_of(question)
    names = tuple(word for word, _, _ in words)
    lengths = (
        len(phrase)
        for phrase in set_phrases.FOLLOWING
        if names[: len(phrase)] == phrase and len(names) > len(phrase)
    )
    cut = max(lengths, default=0)
    return question[words[cut][1] :] if cut else question


def _earlier(turns: Sequence[Turn], before: Sequence[int]) -> Iterator[str]:
    for number in reversed(before):
        reading = _reading(turns, number)
        if reading.kind >= Kind.REQUEST:
            yield from reversed(reading.questions)
