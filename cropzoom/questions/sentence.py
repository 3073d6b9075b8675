"""What one sentence asks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from cropzoom.questions import labels, set_phrases
from cropzoom.questions import words as vocabulary
from cropzoom.questions.fields import of_items
from cropzoom.questions.objects import keys_named, listed, split, tail
from cropzoom.questions.words import REPLYING, Words, fold, word_set, words_of

_SYMBOLS = re.compile(r"^[^\w¿(\[\"'“”«„‘`$€£#%@&/.+]+")
_MOST_LEADS = 4
_ASKS = ("?", "？", "؟", ";", "\u037e")
_QUOTED = re.compile(r"[\"“«„'‘`「『]([^\"“”«»„「」『』\n]{3,300}?[?？;])[\"”»“'’`」』]")
_IN_SHORT = re.compile(r"\bTL[;,/]? ?DR\b", re.IGNORECASE)
_ASIDE = re.compile(r"\s?[(\[]([^()\[\]\n]{3,200})[)\]]")


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


def asks_mark(text: str) -> bool:
    """Tell whether a text ends in a question mark."""
    return text.rstrip("\"'”’»)]*_ ").endswith(_ASKS)


def sentence(text: str) -> Reading:
    """Return what one sentence asks."""
    text = cleaned(text)
    words = words_of(text)
    if not words:
        return Reading(Kind.EMPTY)
    bag = {word for word, _, _ in words}
    asks = asks_mark(text)
    if _example(words):
        return Reading(Kind.RULES)
    talk = tuple(word for word, _, _ in words[:3]) in set_phrases.SMALL_TALK
    if bag <= vocabulary.POLITE or (talk and len(words) < 6):
        return Reading(Kind.POLITE)
    if _again(words):
        return Reading(Kind.AGAIN)
    if _whole(words, asks):
        # What to parse a page for, a schema may say.
        return Reading(Kind.WHOLE if bag.isdisjoint(_PARSING) else Kind.DATA)
    if _names_a_file(text, bag):
        return Reading(Kind.POLITE)
    first = words[0][0]
    if not asks and first in vocabulary.ROLES:
        return _role(text, words)
    if _numbers(words):
        return Reading(Kind.QUESTION if asks else Kind.WEAK, (text,))
    if asks:
        if bag <= vocabulary.LEADS and not bag & vocabulary.ASKING:
            return Reading(Kind.DATA if bag & vocabulary.FINDING else Kind.POLITE)
        return Reading(Kind.QUESTION, listed(bare(text, words)))
    question = _unmarked(text, words)
    if question:
        return Reading(Kind.REQUEST, listed(question))
    request = _request(text, words)
    if request is not None:
        return request
    if bag & vocabulary.RULES:
        return Reading(Kind.RULES)
    if bag <= vocabulary.LEADS:
        return Reading(Kind.POLITE)
    return Reading(Kind.WEAK, (text,))


def _numbers(words: Words) -> bool:
    """Read 'Invoice no.', which declines nothing."""
    if not 2 <= len(words) <= 4 or words[-1][0] != "no":
        return False
    return words[-2][0] in vocabulary.PAPERS or words[-2][0] in vocabulary.THINGS


def _unmarked(text: str, words: Words) -> str:
    """Read 'tell me what the total is' and 'what is the total answer in one word'."""
    question = bare(text, words)
    if words_of(question)[0][0] not in vocabulary.ASKING:
        starts = (words[number][1] for number in range(1, len(words)) if _what_is(words[number:]))
        start = next(starts, None)
        if start is None:
            return ""
        question = text[start:]
    names = words_of(question)
    rules = (number for number, (word, _, _) in enumerate(names) if word in vocabulary.RULES)
    first = next(rules, None)
    if first is None:
        return question
    if first > 2 and names[first][0] in vocabulary.REPLYING:
        return question[: names[first][1]].rstrip(" ,;-")
    return ""


def _what_is(words: Words) -> bool:
    names = [word for word, _, _ in words[:3]]
    return (
        len(names) == 3
        and names[0] in vocabulary.WHAT
        and names[1] in vocabulary.COPULAS
        and names[2] in vocabulary.ARTICLES
    )


_PARSING = word_set("parse convert analyze analyse review interpret digitize digitise wandle")
_AROUND_QUOTE = vocabulary.LEADS | vocabulary.FINDING | vocabulary.RULES


def _example(words: Words) -> bool:
    """Tell whether a sentence begins with 'For example'."""
    names = tuple(word for word, _, _ in words[:2])
    return names[0] in labels.LABELS_EXAMPLE or names in _FOR_EXAMPLE or names[0] in _SUCH


_FOR_EXAMPLE = {
    tuple(fold(phrase).split())
    for phrase in (
        "e g", "for example", "for instance", "such as", "z b", "zum beispiel", "par exemple",
        "por ejemplo", "por exemplo", "per esempio", "ad esempio", "bij voorbeeld", "na przykład",
        "για παράδειγμα", "till exempel",
    )
}  # fmt: skip
_SUCH = word_set("eg bijvoorbeeld np например π.χ")


def _names_a_file(text: str, bag: set[str]) -> bool:
    """Read 'Page 2 of 3' and 'IMG_2034.jpg', which say what is attached."""
    names = {word for word in bag if not word.isdigit()}
    pages = names <= vocabulary.LEADS and bool(names & vocabulary.PICTURE) and not asks_mark(text)
    return (pages and not names & vocabulary.FINDING) or _FILE.fullmatch(text) is not None


_FILE = re.compile(r"\S{1,200}\.(?:pdf|png|jpe?g|webp|tiff?|heic|gif|bmp|avif)", re.IGNORECASE)


def cleaned(text: str) -> str:
    """Take off marks of lists and of bold print, and asides in brackets that are rules."""
    text = text.strip().strip("*_`").strip()
    text = _IN_SHORT.sub("tldr", _SYMBOLS.sub("", text))
    quoted = _QUOTED.search(text)
    if quoted:
        outside = text[: quoted.start()] + text[quoted.end() :]
        rest = {word for word, _, _ in words_of(outside)}
        foreign = {word for word in rest if not _cased(word)} if _cased(quoted[1]) else set()
        if rest - foreign <= _AROUND_QUOTE:
            return quoted[1].strip()

    def aside(match: re.Match[str]) -> str:
        names = [word for word, _, _ in words_of(match[1])]
        if vocabulary.LANGUAGES.issuperset(names):
            return ""
        rules = not vocabulary.RULES.isdisjoint(names)
        return "" if rules and match.start() > 0 else match[0]

    return _ASIDE.sub(aside, text).strip()


def bare(text: str, words: Words) -> str:
    """Return a question without what leads to it: 'Please tell me: what is it?' -> 'what is it?'"""
    for _ in range(_MOST_LEADS):
        rest = _without_lead(text, words)
        words = words_of(rest)
        if rest == text or not words:
            break
        text = rest
    return text


def _without_lead(text: str, words: Words) -> str:
    rules = False
    for number, (word, start, stop) in enumerate(words):
        # "was" is "what" in German, where a clause stands behind a comma.
        told = word != "was" or text[:start].rstrip()[-1:] in (",", ":")
        if number and word in vocabulary.ASKING and told and not rules:
            if words[number - 1][0] in vocabulary.PREPOSITIONS:
                start = words[number - 1][1]
            opening = text[start - 1 : start]
            return text[start - (opening == "¿") :].strip(" \"'“”")
        if word in vocabulary.RULES:
            rules = True
        elif word not in vocabulary.LEADS:
            break
        if number == 0 and word in vocabulary.ASKING_FIRST:
            break
        gap = text[stop : stop + 3].lstrip(" *_\"'")[:1]
        if gap == ":" and number + 1 < len(words):
            return text[stop:].lstrip(" *_:\"'“”»«").strip()
    return _behind_colon(_behind_story(text, words), words)


def _behind_story(text: str, words: Words) -> str:
    """Read 'Sorry, I can't read it without my glasses, what is the total?'"""
    names = [word for word, _, _ in words]
    for number in range(_LEAST_STORY, len(words)):
        if names[number] not in vocabulary.ASKING:
            continue
        before = number - (names[number - 1] in _JOINING)
        gap = text[words[before - 1][2] : words[before][1]].strip()
        told = names[0] not in vocabulary.PREPOSITIONS and not _SENDER.isdisjoint(names[:before])
        if gap and set(gap) <= _PAUSES and told and not NAMELESS.issuperset(names[number:]):
            return text[words[number][1] :]
    return text


_LEAST_STORY = 4
_PAUSES = set(",.;:-–—…")
_JOINING = word_set(
    "so and but then also und aber also et mais y pero e ma en maar mas i ale и а но"
)
_SENDER = word_set("i we ich wir je nous yo io ik wij eu nós ja я мы")


def _cased(text: str) -> bool:
    """Tell whether a text has letters of a script with capitals."""
    return text.upper() != text.lower()


def _behind_colon(text: str, words: Words) -> str:
    """Read 'Hey DocBot, a quick one for you: what is it?'"""
    for number, (word, start, _) in enumerate(words[1:], 1):
        if word in vocabulary.ASKING and ":" in text[words[number - 1][2] : start]:
            # A few words may name a place, as in "Train to York: when does it leave?". Letters
            # without case are of a script that no question of ours is in.
            names = [name for name, _, _ in words[:number]]
            leads = sum(name in vocabulary.LEADS or not _cased(name) for name in names)
            if 2 * leads > number or number > 4:
                return text[start:].strip()
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


NAMELESS = vocabulary.LEADS | vocabulary.ASKING | vocabulary.PRONOUNS
_AGAIN = tuple(tuple(phrase.split()) for phrase in set_phrases.AGAIN)
_AROUND_AGAIN = vocabulary.POLITE | vocabulary.FUNCTION | vocabulary.PICTURE | vocabulary.TELLING


def _whole(words: Words, asks: bool) -> bool:
    """Tell whether a sentence is about all of the picture."""
    names = [word for word, _, _ in words]
    opening = next((name for name in names if name not in vocabulary.POLITE), "")
    if asks and opening in vocabulary.COPULAS and _ABOUT_THIS.issuperset(names):
        # "Is this an invoice?"
        return not vocabulary.PRONOUNS.isdisjoint(names[:3])
    if asks and (opening in vocabulary.ASKING or opening in vocabulary.WHAT):
        if names[names.index(opening) :][1:2] and names[names.index(opening) + 1] in _PAGES:
            return False  # "Which page is this?" is answered by a number on it.
        return opening in vocabulary.WHAT and _what_it_shows(names)
    if asks and _what_it_shows(names) and not vocabulary.PICTURE.isdisjoint(names):
        return True
    for number, name in enumerate(names[:12]):
        # Dutch "vat ... samen" sums up; alone it is a tax.
        if name not in vocabulary.WHOLE or (name == "vat" and "samen" not in names):
            if name not in _BEFORE_WHOLE:
                return False
            continue
        for word in names[number + 1 :]:
            if word in vocabulary.PICTURE or word in vocabulary.PAPERS:
                return True
            if word not in _BEHIND_WHOLE:
                return False
        return True
    return False


def _what_it_shows(names: list[str]) -> bool:
    """Tell 'What does this say?' and 'What is in the picture?' from 'What is the BILL TO?'"""
    if not _AROUND_SHOWN.issuperset(names):
        return False
    if not _EVIDENCE.isdisjoint(names):
        return "to" not in names[-1:]
    return any(
        name in vocabulary.PREPOSITIONS and not _ABOUT.isdisjoint(names[number + 1 : number + 3])
        for number, name in enumerate(names)
    )


_ABOUT_THIS = (
    vocabulary.COPULAS
    | vocabulary.POLITE
    | vocabulary.ARTICLES
    | vocabulary.PRONOUNS
    | vocabulary.PAPERS
    | vocabulary.PICTURE
    | vocabulary.THINGS
)
_PAGES = word_set("page seite página pagina strona страница σελίδα sida side")
_KINDS = word_set("kind type sort art genre tipo soort rodzaj тип вид είδος special")
_ABOUT = vocabulary.PICTURE | vocabulary.PAPERS | vocabulary.SHOWING
_EVIDENCE = vocabulary.PRONOUNS | vocabulary.SHOWING - _KINDS
_AROUND_SHOWN = (
    vocabulary.FUNCTION | vocabulary.TELLING | vocabulary.WHAT | _ABOUT | vocabulary.PRONOUNS
)
_BEHIND_WHOLE = (
    vocabulary.LEADS | vocabulary.WHOLE | vocabulary.WHOLE_FILLERS | vocabulary.LANGUAGES
)
_BEFORE_WHOLE = _BEHIND_WHOLE - vocabulary.LANGUAGES | vocabulary.FINDING | REPLYING


def _role(text: str, words: Words) -> Reading:
    """Read 'You are a clerk. Your task is to find the total.'"""
    for number, (word, _, _) in enumerate(words[:-1]):
        following, start, _ = words[number + 1]
        if word in _DUTY and following in _TASKS:
            rest = text[start:]
            reading = sentence(rest)
            return reading if reading.kind >= Kind.DATA else Reading(Kind.RULES)
    return Reading(Kind.RULES)


_TASKS = vocabulary.FINDING | vocabulary.WHOLE
_DUTY = word_set("to must should will need is job task zu de di a om para")


def _request(text: str, words: Words) -> Reading | None:
    """Read 'Find the total.' and 'Extract the vendor, the date and the total.'"""
    verb = None
    for number, (word, start, _) in enumerate(words):
        if word in vocabulary.FINDING:
            verb = number if verb is None else verb
            continue
        if verb is None:
            if word not in _SKIPPED:
                return None
            continue
        between = {name for name, _, _ in words[verb + 1 : number]}
        if word in vocabulary.THINGS and not between & vocabulary.PREPOSITIONS:
            pass
        elif word in vocabulary.ANSWERS:
            following = words[number + 1][0] if number + 1 < len(words) else ""
            if following in ("of", "for"):
                continue
            keys = keys_named(text, words, number)
            return Reading(Kind.FIELDS, tuple(keys)) if keys else Reading(Kind.RULES)
        elif word in _SKIPPED:
            following = words[number + 1][0] if number + 1 < len(words) else ""
            if word in vocabulary.AND and following in REPLYING:
                break
            continue
        while number and words[number - 1][0] in vocabulary.PAPERS:
            number -= 1
        start = words[number][1]
        stop = tail(words, number, len(text))
        quoted = _NAME.search(text, start - (text[start - 1 : start] in _OPENING), stop + 1)
        if quoted and "?" not in quoted[1]:
            return Reading(Kind.REQUEST, (quoted[1].strip(),))
        items = [item for item in split(text[start:stop]) if not _only_rules(item)]
        if items and all(len(item.split()) <= 7 for item in items):
            return Reading(Kind.FIELDS if len(items) > 1 else Kind.REQUEST, tuple(of_items(items)))
        return Reading(Kind.REQUEST, (text[start:].strip(),))
    return Reading(Kind.DATA) if verb is not None else None


def _only_rules(item: str) -> bool:
    """Tell 'nothing more' from the fields before it."""
    names = {word for word, _, _ in words_of(item)}
    return bool(names & vocabulary.RULES) and names <= vocabulary.RULES | vocabulary.LEADS | _MORE


_MORE = word_set("more mehr plus más più meer mais więcej")
_OPENING = ('"', "“", "„", "«")
_NAME = re.compile(r"[\"“„«]([^\"“”„«»\n]{2,60})[\"”»“]")
_FORMS = word_set(
    "template templates blank blanks placeholder placeholders record relevant "
    "value values required requested important structured necessary listed specified vorlage modèle"
)

_SKIPPED = vocabulary.LEADS | labels.LABELS_FIELDS | _FORMS


def gives_rules(text: str) -> bool:
    """Tell 'Answer with the option' from 'Click on the option'."""
    opening = next((word for word, _, _ in words_of(text) if word not in vocabulary.POLITE), "")
    return opening in _RULING


_RULING = vocabulary.ROLES | vocabulary.FUNCTION | vocabulary.TELLING | vocabulary.FINDING
_RULING |= word_set(
    "return reply respond answer output give write format put present provide print send use be do "
    "don never only no keep make ensure think always avoid must json remember note nothing just "
    "antworte antworten gib schreibe nur keine kein verwende nutze denke erfinde répondez réponds "
    "utilise utilisez sans seulement ne responde responda usa solo sin no rispondi usa solo senza "
    "non antwoord gebruik alleen geen responda use apenas somente sem não odpowiedz tylko użyj nie "
    "ответь отвечай отвечайте только не используй используйте без απάντησε μόνο χωρίς"
)
