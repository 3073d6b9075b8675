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
        stop = tail(words, number, len(text))
        items = of_items(split(text[words[number][2] : stop].lstrip(" :")))
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
        if thanks or formed or word in _ONLY or (joins and following and following[0] in REPLYING):
            return start
        # "from the invoice", but not "numéro de facture".
        if word in _FROM or (word in _OF and following and following[0] in _THIS):
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
_FROM = word_set(
    "from in on at within aus auf im vom dans sur en desde nel nella nell uit op z ze w we из в на "
    "с από σε στο στη στην em no na från på fra"
)
_OF = word_set("of de di del da do van von of")
_THIS = word_set(
    "this that these attached following ce cet cette ces este esta estos questo questa dit deze "
    "die dieser diesem deste desta tego tej этого этой"
)
_ONLY = word_set(
    "only exactly verbatim without nur ohne genau exakt uniquement seulement sans sólo solamente "
    "sin soltanto senza alleen zonder apenas somente sem tylko bez только без μόνο χωρίς"
)
_AS = vocabulary.PREPOSITIONS | word_set("as als into come como jako au w в σε im")
_COMMA = re.compile(r"[;\n•]|,(?=\s|$)|\s[-–]\s")


def split(text: str) -> list[str]:
    """Split 'the vendor, the date and the total' into its three."""
    items: list[str] = []
    single = "," in text or not text.isascii()  # "i" joins in Polish, and is a word in English
    joins = {word for word in vocabulary.AND if single or len(word) > 1}
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
    text = text.strip(" `\"'*:.()[]„“”«»")
    words = words_of(text)
    for word, start, _ in words:
        if word not in vocabulary.ARTICLES:
            return text[start:]
    return ""


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
