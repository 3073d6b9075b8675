"""What a request or a question names: the fields of a list, without what stands around them."""

from __future__ import annotations

import re

from cropzoom.questions import labels
from cropzoom.questions import words as vocabulary
from cropzoom.questions.fields import of_items
from cropzoom.questions.words import REPLYING, Words, fold, word_set, words_of


def keys_named(text: str, words: Words, after: int) -> list[str]:
    """Read 'Return JSON with the keys vendor, date and total.'"""
    for number in range(after, len(words)):
        if words[number][0] not in _KEYS:
            continue
        while number + 1 < len(words) and words[number + 1][0] in _BEFORE_KEYS:
            number += 1
        items = of_items(split(text[words[number][2] :].lstrip(" :")))
        return [item for item in items if fold(item) not in labels.HOLLOW_FIELDS]
    return []


_KEYS = labels.LABELS_FIELDS | word_set("key schlüssel clés claves chiavi sleutels")
_BEFORE_KEYS = vocabulary.FUNCTION | _KEYS


def tail(words: Words, first: int, end: int) -> int:
    """Return where 'from this receipt' or 'and reply as JSON' begins behind a request's object."""
    for number in range(first + 1, len(words)):
        word, start, _ = words[number]
        following = [name for name, _, _ in words[number + 1 : number + 5]]
        joins = word in vocabulary.AND or word in ("then", "dann", "puis")
        thanks = word in _THANKS and vocabulary.POLITE.issuperset(following)
        formed = word in _AS and not vocabulary.ANSWERS.isdisjoint(following[:3])
        if thanks or formed or (joins and following and following[0] in REPLYING):
            return start
        if word in vocabulary.PREPOSITIONS:
            for name in following:
                if name in vocabulary.PICTURE or name in vocabulary.PAPERS:
                    return start
                if name not in vocabulary.LEADS:
                    break
    return end


_THANKS = word_set(
    "please pls plz thanks thank thx bitte danke merci svp gracias favor grazie alsjeblieft dank "
    "bedankt obrigado obrigada proszę dziękuję пожалуйста спасибо παρακαλώ ευχαριστώ"
)
_AS = vocabulary.PREPOSITIONS | word_set("as als into come como jako au w в σε im")
_COMMA = re.compile(r"[;\n•]|,(?=\s|$)|\s[-–]\s")


def split(text: str) -> list[str]:
    """Split 'the vendor, the date and the total' into its three."""
    items: list[str] = []
    joins = vocabulary.AND if "," in text else {w for w in vocabulary.AND if len(w) > 1}
    for piece in _COMMA.split(text.rstrip(" .:;!?")):
        words = words_of(piece)
        start = 0
        for number, (word, begin, stop) in enumerate(words):
            if word in joins and 0 < number < len(words) - 1 and begin > start:
                items.append(piece[start:begin])
                start = stop
            elif word in joins and number == 0 and len(words) > 1:
                start = stop
        items.append(piece[start:])
    return [item for raw in items if (item := without_article(raw))]


def without_article(text: str) -> str:
    """'the date' -> 'date'."""
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


def listed(question: str) -> tuple[str, ...]:
    """Split 'What are the vendor, the date and the total?' and 'What is it and when is it due?'"""
    words = words_of(question)
    if len(words) > 3 and words[0][0] in vocabulary.ASKING and words[1][0] in vocabulary.COPULAS:
        items = split(question[words[1][2] :])
        joined = any(word in vocabulary.AND for word, _, _ in words)
        if (
            "," in question
            and joined
            and len(items) > 2
            and all(len(item.split()) <= 5 for item in items)
        ):
            return tuple(items)
    start = 0
    parts = []
    for number, (word, begin, _) in enumerate(words[:-2]):
        if number > 2 and word in vocabulary.AND and words[number + 1][0] in vocabulary.ASKING:
            parts.append(question[start:begin].rstrip(" ,"))
            start = words[number + 1][1]
    return (*parts, question[start:])
