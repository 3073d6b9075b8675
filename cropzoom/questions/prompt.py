"""What one text asks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import TypeAlias

from cropzoom.questions import labels, phrases
from cropzoom.questions import words as vocabulary
from cropzoom.questions.fields import MOST_FIELDS, of_items
from cropzoom.questions.layout import lay_out, sentences, tagged, without_code
from cropzoom.questions.words import fold, word_set, words_of

_HALF = 8000
_ASKS = ("?", "？", "؟", ";", "\u037e")
_QUOTED = re.compile(r"[\"“«„'‘]([^\"“”«»„\n]{3,300}?[?？;])[\"”»“'’]")
_ASIDE = re.compile(r"\s?[(\[]([^()\[\]\n]{3,200})[)\]]")


Words: TypeAlias = list[tuple[str, int, int]]


class Kind(IntEnum):
    """How much a text says of what it asks; a higher one counts more."""

    EMPTY = 0
    POLITE = 1
    RULES = 2
    WEAK = 3
    AGAIN = 4
    DATA = 5
    WHOLE = 6
    REQUEST = 7
    FIELDS = 8
    QUESTION = 9


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text asks.

    Args:
        kind: of what is asked.
        questions: to look for; empty where the kind has none.
    """

    kind: Kind
    questions: tuple[str, ...] = ()


def read(text: str) -> Reading:
    """Return what a text asks; linear in its length, and only its two ends count."""
    if len(text) > 2 * _HALF:
        text = f"{text[:_HALF]}\n\n{text[-_HALF:]}"
    return _read_tagged(text.strip())


@lru_cache(maxsize=256)
def _read_tagged(text: str) -> Reading:
    plain, asked = tagged(text) if "<" in text else (text, [])
    for question in reversed(asked):
        reading = _read(question)
        if reading.kind is Kind.WEAK:
            return Reading(Kind.QUESTION, reading.questions)
        if reading.kind > Kind.WEAK:
            return reading
    reading = _read(plain)
    return reading if reading.kind or plain == text else _read(text)


def _read(text: str) -> Reading:
    plain, keys = without_code(text) if "```" in text else (text, [])
    layout = lay_out(plain)
    keys += layout.keys
    for labelled in reversed(layout.questions):
        reading = _sentences(sentences(labelled))
        if reading.kind in (Kind.WEAK, Kind.QUESTION, Kind.REQUEST, Kind.FIELDS, Kind.WHOLE):
            kind = Kind.QUESTION if reading.kind is Kind.WEAK else reading.kind
            return Reading(kind, reading.questions)
    reading = _sentences(layout.text)
    if reading.kind is Kind.QUESTION:
        return _more(reading, [item for item in layout.lists if _asks(item)])
    if layout.lists:
        return Reading(Kind.FIELDS, tuple(layout.lists[:MOST_FIELDS]))
    if reading.kind is Kind.FIELDS:
        return reading
    if keys and reading.kind is not Kind.REQUEST:
        return Reading(Kind.FIELDS, tuple(keys[:MOST_FIELDS]))
    if reading.kind >= Kind.DATA:
        return reading
    for rest in (layout.answered[-1:], layout.aside, layout.questions[-1:]):
        other = _sentences(rest)
        if other.kind > max(reading.kind, Kind.WEAK):
            return other
    return reading


def _more(reading: Reading, items: list[str]) -> Reading:
    known = {fold(question) for question in reading.questions}
    more = [item for item in items if fold(item) not in known]
    return Reading(reading.kind, (*reading.questions, *more)[:MOST_FIELDS])


def _sentences(parts: list[str]) -> Reading:
    """Weigh the sentences of a text."""
    readings = [sentence(part) for part in parts]
    best = max((reading.kind for reading in readings), default=Kind.EMPTY)
    if best in (Kind.EMPTY, Kind.POLITE, Kind.RULES):
        return Reading(best)
    questions = [q for reading in readings if reading.kind is best for q in reading.questions]
    if best is Kind.WEAK:
        return Reading(best, (" ".join(questions),))
    unique = list({fold(question): question for question in questions}.values())
    return Reading(best, tuple(unique[:MOST_FIELDS]))


def _asks(text: str) -> bool:
    return text.rstrip("\"'”’»)]*_ ").endswith(_ASKS)


def sentence(text: str) -> Reading:
    """Return what one sentence asks."""
    text = _cleaned(text)
    words = words_of(text)
    if not words:
        return Reading(Kind.EMPTY)
    bag = {word for word, _, _ in words}
    asks = _asks(text)
    if bag <= vocabulary.POLITE:
        return Reading(Kind.POLITE)
    if _again(words):
        return Reading(Kind.AGAIN)
    if _whole(words, asks):
        return Reading(Kind.WHOLE)
    first = words[0][0]
    if not asks and first in vocabulary.ROLES:
        return _role(text, words)
    if asks:
        if bag <= vocabulary.LEADS and not bag & vocabulary.ASKING:
            return Reading(Kind.DATA if bag & vocabulary.FINDING else Kind.POLITE)
        return Reading(Kind.QUESTION, _listed(bare(text, words)))
    if bag & vocabulary.ASKING and not bag & vocabulary.RULES:
        question = bare(text, words)
        if fold(question.partition(" ")[0].strip("¿'’")) in vocabulary.ASKING:
            return Reading(Kind.QUESTION, _listed(question))
    request = _request(text, words)
    if request is not None:
        return request
    if bag & vocabulary.RULES:
        return Reading(Kind.RULES)
    if bag <= vocabulary.LEADS:
        return Reading(Kind.POLITE)
    return Reading(Kind.WEAK, (text,))


def _cleaned(text: str) -> str:
    """Take off marks of lists and of bold print, and asides in brackets that are rules."""
    text = text.strip().strip("*_`").strip()
    text = text.lstrip("-•> ").strip()
    quoted = _QUOTED.search(text)
    if quoted:
        outside = text[: quoted.start()] + text[quoted.end() :]
        rest = {word for word, _, _ in words_of(outside)}
        if rest <= vocabulary.LEADS | vocabulary.FINDING | vocabulary.RULES:
            return quoted[1].strip()

    def aside(match: re.Match[str]) -> str:
        rules = any(word in vocabulary.RULES for word, _, _ in words_of(match[1]))
        return "" if rules and match.start() > 0 else match[0]

    return _ASIDE.sub(aside, text).strip()


def bare(text: str, words: Words) -> str:
    """Return a question without what leads to it: 'Please tell me: what is it?' -> 'what is it?'"""
    for number, (word, start, stop) in enumerate(words):
        if number and word in vocabulary.ASKING:
            if words[number - 1][0] in vocabulary.PREPOSITIONS:
                start = words[number - 1][1]
            opening = text[start - 1 : start]
            return text[start - (opening == "¿") :].strip(" \"'“”")
        if word not in vocabulary.LEADS:
            break
        gap = text[stop : stop + 3].lstrip(" *_")[:1]
        if gap == ":" and number + 1 < len(words):
            rest = text[stop:].lstrip(" *_:\"'“”»«").strip()
            return bare(rest, words_of(rest)) if rest else text
        if number == 0 and word in vocabulary.ASKING_FIRST:
            break
    return text


def _again(words: Words) -> bool:
    """Tell whether a sentence asks once more what was asked before: 'Are you sure?'"""
    if len(words) > 8:
        return False
    names = [word for word, _, _ in words]
    for phrase in _AGAIN:
        if tuple(names[: len(phrase)]) == phrase:
            around = vocabulary.POLITE if len(phrase) == 1 else _AROUND_AGAIN
            if around.issuperset(names[len(phrase) :]):
                return True
    return False


_AGAIN = tuple(tuple(phrase.split()) for phrase in phrases.AGAIN)
_AROUND_AGAIN = vocabulary.POLITE | vocabulary.FUNCTION | vocabulary.PICTURE | vocabulary.TELLING


def _whole(words: Words, asks: bool) -> bool:
    """Tell whether a sentence is about all of the picture."""
    general = vocabulary.LEADS | vocabulary.WHOLE | vocabulary.WHOLE_FILLERS
    names = [word for word, _, _ in words]
    if all(word in general for word in names):
        bag = set(names)
        if bag & vocabulary.WHOLE:
            return True
        return bool(asks and bag & vocabulary.ASKING and bag & _SHOWN)
    for number, name in enumerate(names[:12]):
        if name not in vocabulary.WHOLE:
            continue
        before = names[:number]
        for word in names[number + 1 :]:
            if word in vocabulary.PICTURE or word in vocabulary.PAPERS:
                return all(word in general for word in before)
            if word not in general:
                break
    return False


_SHOWN = (
    vocabulary.PICTURE
    | vocabulary.PAPERS
    | vocabulary.WHOLE_FILLERS
    | word_set(
        "this that it these das dies ceci cela ca esto eso questo dit dat isto isso "
        "to это τουτο αυτο"
    )
)


def _role(text: str, words: Words) -> Reading:
    """Read 'You are a clerk. Your task is to find the total.'"""
    for number, (word, _, _) in enumerate(words[:-1]):
        following, start, _ = words[number + 1]
        if word in _DUTY and following in vocabulary.FINDING | vocabulary.WHOLE:
            rest = text[start:]
            reading = sentence(rest)
            return reading if reading.kind >= Kind.DATA else Reading(Kind.RULES)
    return Reading(Kind.RULES)


_DUTY = word_set("to must should will need is job task zu de di a om para")


def _request(text: str, words: Words) -> Reading | None:
    """Read 'Find the total.' and 'Extract the vendor, the date and the total.'"""
    verb = None
    for number, (word, start, _) in enumerate(words):
        if word in vocabulary.FINDING:
            verb = number if verb is None else verb
        elif verb is not None and word in vocabulary.ANSWERS:
            following = words[number + 1][0] if number + 1 < len(words) else ""
            if following not in ("of", "for"):
                keys = _keys(text, words, number)
                return Reading(Kind.FIELDS, tuple(keys)) if keys else Reading(Kind.RULES)
        elif word not in vocabulary.LEADS:
            if verb is None:
                return None
            while number and words[number - 1][0] in vocabulary.PAPERS:
                number -= 1
            start = words[number][1]
            stop = _tail(words, number, len(text), papers=False)
            items = _split(text[start : _tail(words, number, len(text), papers=True)])
            if len(items) > 1 and all(len(item.split()) <= 7 for item in items):
                return Reading(Kind.FIELDS, tuple(of_items(items)))
            return Reading(Kind.REQUEST, (text[:stop].rstrip(" ,"),))
    return Reading(Kind.DATA) if verb is not None else None


def _keys(text: str, words: Words, after: int) -> list[str]:
    """Read 'Return JSON with the keys vendor, date and total.'"""
    for number in range(after, len(words)):
        if words[number][0] not in _KEYS:
            continue
        while number + 1 < len(words) and words[number + 1][0] in vocabulary.FUNCTION | _KEYS:
            number += 1
        items = of_items(_split(text[words[number][2] :].lstrip(" :")))
        return [item for item in items if fold(item) not in labels.HOLLOW_FIELDS]
    return []


_KEYS = labels.LABELS_FIELDS | word_set("key schlüssel clés claves chiavi sleutels")


def _tail(words: Words, first: int, end: int, *, papers: bool) -> int:
    """Return where 'from this receipt' or 'and reply as JSON' begins behind a request's object."""
    for number in range(first + 1, len(words)):
        word, start, _ = words[number]
        following = [name for name, _, _ in words[number + 1 : number + 5]]
        if word in vocabulary.AND or word in ("then", "dann", "puis"):
            if following and following[0] in _REPLYING:
                return start
        elif word in _AS and any(name in vocabulary.ANSWERS for name in following[:3]):
            return start
        elif papers and word in vocabulary.PREPOSITIONS:
            for name in following:
                if name in vocabulary.PICTURE or name in vocabulary.PAPERS:
                    return start
                if name not in vocabulary.LEADS:
                    break
    return end


_AS = vocabulary.PREPOSITIONS | word_set("as als into come como jako au w в σε im")
_REPLYING = word_set(
    "return reply respond answer output give write format put present convert provide print send "
    "antworte gib gebe schreibe réponds renvoie retourne donne responde devuelve escribe rispondi "
    "restituisci geef antwoord responda retorne odpowiedz zwróć ответь верни απάντησε"
)
_COMMA = re.compile(r"[,;\n•]|\s[-–]\s")


def _split(text: str) -> list[str]:
    """Split 'the vendor, the date and the total' into its three."""
    items: list[str] = []
    for piece in _COMMA.split(text.rstrip(" .:;!?")):
        words = words_of(piece)
        start = 0
        for number, (word, begin, stop) in enumerate(words):
            if word in vocabulary.AND and 0 < number < len(words) - 1 and begin > start:
                items.append(piece[start:begin])
                start = stop
            elif word in vocabulary.AND and number == 0 and len(words) > 1:
                start = stop
        items.append(piece[start:])
    return [item for raw in items if (item := _without_article(raw))]


def _without_article(text: str) -> str:
    text = text.strip(" `\"'*:.")
    words = words_of(text)
    for word, start, _ in words:
        if word not in _ARTICLES:
            return text[start:]
    return ""


_ARTICLES = word_set(
    "the a an its their his her der die das den dem ein eine le la les l un une des du d el los "
    "las il lo gli i de het een o os as um uma ο η το τα οι τον την also auch"
)


def _listed(question: str) -> tuple[str, ...]:
    """Split 'What are the vendor, the date and the total?' and 'What is it and when is it due?'"""
    words = words_of(question)
    if len(words) > 3 and words[0][0] in vocabulary.ASKING and words[1][0] in vocabulary.COPULAS:
        items = _split(question[words[1][2] :])
        if "," in question and len(items) > 2 and all(len(item.split()) <= 5 for item in items):
            return tuple(items)
    start = 0
    parts = []
    for number, (word, begin, _) in enumerate(words[:-2]):
        if number > 2 and word in vocabulary.AND and words[number + 1][0] in vocabulary.ASKING:
            parts.append(question[start:begin].rstrip(" ,"))
            start = words[number + 1][1]
    return (*parts, question[start:])
