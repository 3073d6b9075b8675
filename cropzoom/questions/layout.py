"""Cut a prompt into what may hold the question: tags, code, headings, labels, lists and options."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from enum import Enum

from cropzoom.questions import labels
from cropzoom.questions import words as vocabulary
from cropzoom.questions.fields import AFTER_NAME, cut_json, definitions, of_items, of_table
from cropzoom.questions.objects import split
from cropzoom.questions.shots import without_shots
from cropzoom.questions.words import fold, words_of

_TAG = re.compile(r"<(/?)([A-Za-z][\w.-]{0,40})((?:\s[^<>\n]{0,200})?)(/?)>")
_TOKEN = re.compile(
    r"<\|[\w-]{1,40}\|>|\[/?INST\]|<</?SYS>>|<image>|\[image\]|\{\{?[\w ]{0,30}\}?\}"
)
_BULLET = re.compile(r"(?:[-*+•▪◦‣–·]|\(?\d{1,3}[.):]|\(?[A-Za-z][.)]|\[[ x]?\])\s+(?=\S)")
_OPTION = re.compile(r"(?:[-*•]\s{0,4})?(?:\(?([A-Ha-h1-8])[.):]|\(([A-Ha-h1-8])\))\s{0,8}(?=\S)")
_INLINE_OPTIONS = re.compile(r"\s\(?[Aa][.)]\s{0,4}[^\n]{1,200}?\s\(?[Bb][.)]\s")
# Not from within a run of marks: that would take quadratic time.
_SENTENCE_END = re.compile(
    r"(?<![.!?;。！？；…])"
    r"(?:[.!?;。！？；…]+[\"'”’»)\]」』]{0,3}(?=\s|$)|[。！？]+(?![。！？\"'”’»)\]）」』]))|\n"
)
_NUMBERED = re.compile(r"(?<![^\s:])\(?(\d)[.)]\s")
_SOLVED = re.compile(r"[?？][\"'”’»`]?\s{0,4}(?:->|=>|→|⇒|—>)")
_CLASS = re.compile(r"(?:class|interface|type)\s{1,4}\w{1,60}(?:\(\w{0,60}\))?\s?[:={]")
_GREEK = re.compile(r"[Ͱ-Ͽ]")


class Section(Enum):
    """What a part of a prompt is, by the label or heading above it."""

    TEXT = "text"
    QUESTION = "question"
    ANSWER = "answer"
    EXAMPLE = "example"
    RULES = "rules"
    OPTIONS = "options"
    FIELDS = "fields"


@dataclass(slots=True)
class Layout:
    """A prompt, cut up.

    Args:
        text: sentences of plain text, in order.
        questions: texts that a label or a tag calls the question, those that have no answer.
        answered: the same of those that have one: examples.
        lists: the items of lists of fields, or of questions.
        keys: fields of JSON in the text.
        aside: sentences under headings of rules, examples and the like.
    """

    text: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)


def tagged(text: str) -> tuple[str, list[str]]:
    """Take the tags out of a text.

    Returns:
        The text without tags and without what stands in tags of rules, examples and the like; and
        the contents of tags that are named after a question.
    """
    tags = list(_TAG.finditer(text))
    closing: dict[str, list[int]] = {}
    for tag in tags:
        if tag[1]:
            closing.setdefault(fold(tag[2]), []).append(tag.start())
    kept: list[str] = []
    questions: list[str] = []
    place = 0
    for tag in tags:
        if tag.start() < place:
            continue
        name = fold(tag[2])
        kept.append(text[place : tag.start()])
        place = tag.end()
        drop = name in labels.TAGS_DROP
        ends = closing.get(name, []) if not tag[1] and not tag[4] else []
        number = bisect_right(ends, tag.start())
        if number < len(ends) and (drop or name in labels.TAGS_QUESTION):
            stop = ends[number]
            if not drop and len(text[place:stop].strip()) > 2:
                questions.append(_TAG.sub(" ", text[place:stop]))
            place = stop
        kept.append("\n")
    kept.append(text[place:])
    return "".join(kept), questions


def without_code(text: str) -> tuple[str, str, list[str]]:
    """Take fenced code out of a text; return the rest, the code, and the fields that it names."""
    pieces = text.split("```")
    code = "\n".join(pieces[1::2])
    plain = "\n".join(pieces[0::2])
    if not plain.strip():
        return code, "", []
    return plain, code, cut_json(code)[1] or definitions(code.split("\n"))


def lay_out(text: str) -> Layout:
    """Cut a text without tags and fences into its parts."""
    layout = Layout()
    text, layout.keys = cut_json(without_shots(text))
    text = _TOKEN.sub("\n", text)
    section, sticky, blank = Section.TEXT, False, False
    lead = ""
    paragraph: list[str] = []
    question: list[str] = []
    items: list[str] = []

    def close_paragraph() -> None:
        nonlocal lead
        if paragraph:
            found = sentences("\n".join(paragraph))
            lead = found[-1] if found else ""
            layout.text.extend(found)
            paragraph.clear()

    def close_question() -> None:
        if question:
            layout.questions.append("\n".join(question))
            question.clear()

    def close_list() -> None:
        if items:
            _place_list(layout, lead, list(items), section)
            items.clear()

    lines = [part for line in text.split("\n") for part in _numbered(line)]
    layout.keys += of_table([line for line in lines if line.lstrip().startswith("|")])
    for raw in lines:
        line = raw.strip()
        if line.startswith("|"):
            continue
        defined = definitions([line])
        if defined or _CLASS.match(line):
            layout.keys += defined
            continue
        if not line:
            blank = True
            close_paragraph()
            if section is Section.QUESTION and question:
                close_question()
                section = Section.TEXT
            continue
        bullet = _BULLET.match(line)
        body = line[bullet.end() :] if bullet else line
        label, rest, heading = _label(body) if bullet is None else (None, "", False)
        if label is not None:
            close_paragraph()
            close_list()
            if label is Section.ANSWER:
                if rest and question and not _rules_only(rest):
                    layout.answered.append("\n".join(question))
                    question.clear()
                close_question()
            else:
                close_question()
            section, sticky = label, heading
            blank = False
            if section is Section.FIELDS:
                lead = body
            if not rest:
                continue
            line = body = rest
            bullet = None
        elif (
            blank and section not in (Section.TEXT, Section.QUESTION) and not sticky and not bullet
        ):
            close_list()
            section = Section.TEXT
        blank = False
        if _SOLVED.search(line):
            layout.aside.append(line)
        elif section is Section.QUESTION:
            if not _is_option(line):
                question.append(body)
        elif section in (Section.RULES, Section.EXAMPLE, Section.ANSWER, Section.OPTIONS):
            if section is not Section.OPTIONS:
                layout.aside.extend(sentences(body))
        elif bullet or _is_option(line):
            close_paragraph()
            items.append(line)
        elif section is Section.FIELDS and items and _BULLET.match(items[-1]):
            close_list()
            section = Section.TEXT
            paragraph.append(line)
        elif section is Section.FIELDS:
            items.extend([body] if ":" in body or "?" in body else split(body))
        else:
            close_list()
            paragraph.append(line)
    close_paragraph()
    close_list()
    close_question()
    return layout


def _numbered(line: str) -> list[str]:
    """Break '1) the date 2) the total' into the lines of a list."""
    marks = list(_NUMBERED.finditer(line[:2000]))
    if len(marks) < 2 or [mark[1] for mark in marks] != list("123456789"[: len(marks)]):
        return [line]
    starts = [mark.start() for mark in marks]
    pieces = [line[: starts[0]]]
    pieces += [
        line[start:stop] for start, stop in zip(starts, [*starts[1:], len(line)], strict=True)
    ]
    return [piece for piece in pieces if piece.strip()]


def _place_list(layout: Layout, lead: str, lines: list[str], section: Section) -> None:
    """Tell a list of options, of fields and of sentences apart."""
    bodies = [line[match.end() :] if (match := _BULLET.match(line)) else line for line in lines]
    asking = sum(body.rstrip().endswith("?") for body in bodies)
    options = sum(_is_option(line) for line in lines) == len(lines) >= 2
    leads = {word for word, _, _ in words_of(lead)}
    wants = leads & _WANTS
    if asking:
        layout.lists.extend(body for body in bodies if body.rstrip().endswith("?"))
    elif lead.endswith("?") and options and not leads <= _LEADS:
        return
    elif section is Section.FIELDS or (wants and lead.endswith((":", "?", "."))):
        layout.lists.extend(of_items([body for body in bodies if not _is_rule(body)]))
    elif options and layout.text:
        return
    else:
        for body in bodies:
            layout.text.extend(sentences(body))


_WANTS = vocabulary.FINDING | labels.LABELS_FIELDS
_LEADS = vocabulary.LEADS | vocabulary.FINDING


def _is_rule(item: str) -> bool:
    """Tell 'Use null where a value is missing' from 'due_date: string or null'."""
    return _rules_only(AFTER_NAME.split(item, maxsplit=1)[0])


def _rules_only(text: str) -> bool:
    return any(word in vocabulary.RULES for word, _, _ in words_of(text))


def _is_option(line: str) -> bool:
    return _OPTION.match(line) is not None


def _label(line: str) -> tuple[Section | None, str, bool]:
    """Return the section that a line opens, what follows on it, and whether it is a heading."""
    stripped = line.lstrip("#")
    heading = stripped is not line and line.startswith("#")
    plain = stripped.strip().strip("*_").strip().replace("：", ":", 1)
    name, colon, rest = plain.partition(":")
    name = name.strip("*_ []<>=-")
    words = [word.rstrip("0123456789") or word for word, _, _ in words_of(name)]
    bold = line.startswith("**") and line.endswith("**")
    if heading and "?" in name:
        return Section.TEXT, plain, True
    if (not colon and not heading and not bold) or not 1 <= len(words) <= 8 or "?" in name:
        return None, "", False
    if len(words) > 2 and words[0] in vocabulary.WHOLE:
        return None, "", False
    rest = rest.strip().strip("*_").strip()
    if heading and not colon:
        rest = ""
    sections = [found for word in words if (found := _section(word))]
    if not sections:
        return (Section.TEXT, plain, True) if heading else (None, "", False)
    section = sections[-1]
    if section is Section.RULES and Section.FIELDS in sections:
        section = Section.FIELDS  # "Extract these fields as JSON:"
    if Section.EXAMPLE in sections:
        section = Section.EXAMPLE
    if section is Section.FIELDS and len(words) > 1 and words[-1] in labels.LABELS_QUESTION:
        section = Section.QUESTION
    return section, rest, heading or bold


def _section(word: str) -> Section | None:
    for section, known in (
        (Section.EXAMPLE, labels.LABELS_EXAMPLE),
        (Section.QUESTION, labels.LABELS_QUESTION),
        (Section.OPTIONS, labels.LABELS_OPTIONS),
        (Section.RULES, labels.LABELS_RULES),
        (Section.ANSWER, labels.LABELS_ANSWER),
        (Section.FIELDS, labels.LABELS_FIELDS),
    ):
        if word in known:
            return section
    return None


def sentences(text: str) -> list[str]:
    """Cut a text into sentences; a line broken within a sentence goes on."""
    cut = _INLINE_OPTIONS.search(text)
    if cut:
        text = text[: cut.start()]
    greek = _GREEK.search(text) is not None
    parts: list[str] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        mark = end[0]
        if mark == "\n":
            length = end.start() - text.rfind("\n", 0, end.start())
            if length > 50 and text[end.end() : end.end() + 1].islower():
                continue
        elif (mark[0] == ";" and not greek) or (
            mark[0] == "." and _goes_on(text, start, end.start(), end.end())
        ):
            continue
        part = text[start : end.end()].strip()
        if part:
            parts.append(part)
        start = end.end()
    if text[start:].strip():
        parts.append(text[start:].strip())
    return parts


def _goes_on(text: str, start: int, stop: int, after: int) -> bool:
    """Tell whether a sentence goes on behind a full stop."""
    place = stop
    while place > start and text[place - 1].isalnum() and stop - place < 8:
        place -= 1
    following = text[after : after + 3].lstrip()[:1]
    if fold(text[place:stop]) in labels.ABBREVIATIONS or following.isdigit():
        return True
    # A question that has not come to its mark yet: "How much is the Serv. Charge?"
    first = words_of(text[start : start + 40])
    mark = _LAST_MARK.search(text, after, after + 80)
    asks = bool(first) and first[0][0] in vocabulary.ASKING
    return asks and mark is not None and mark[0] == "?"


_LAST_MARK = re.compile(r"[?!\n]")
