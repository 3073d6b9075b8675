"""Fields to fill: their names out of JSON schemas, samples of JSON and lists, as questions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from cropzoom.questions.labels import FIELD_COLUMNS, HOLLOW_FIELDS, TAGS_QUESTION
from cropzoom.questions.words import ANSWERS, ASKING_FIRST, fold, words_of

MOST_FIELDS = 24
_MOST_NAMES = 10 * MOST_FIELDS
_MOST_OBJECTS = 8
_MOST_DEPTH = 4
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_KEY = re.compile(r"""["']([^"'\n{}\[\]:,]{1,60})["']\s{0,8}:""")
AFTER_NAME = re.compile(r"\s[-–—=]+\s|:\s|:$|\s?\(|\s?\[|\s?<|\t")
_DEFINITION = re.compile(
    r"""\s{0,40}(?:[-*]\s{0,4})?["'`]?([A-Za-z][\w-]{1,40})["'`]?\??\s{0,4}[:=]\s{0,4}["'<]?"""
    r"(?:str|string|int|integer|float|number|bool|boolean|date|datetime|Decimal|decimal|Optional|"
    r"list|List|array|null|None|text|String|Number|Boolean|varchar|VARCHAR|Field|z\.\w{1,20})\b|"
    r"""\s{0,40}["'`]?([A-Za-z][\w-]{1,40})["'`]?\s{0,4}[:=]\s{0,4}["'<\[]?(?:\?{2,}|_{3,}|\.{3,}|…|TODO|TBD)"""
)
_DECODER = json.JSONDecoder()


def readable_name(name: str) -> str:
    """Spell a field's name as words: 'invoice_number' and 'invoiceNumber' -> 'invoice number'."""
    spaced = re.sub(r"[_\-./]+", " ", name[:80])
    words = _CAMEL.sub(" ", spaced).split()
    if len(words) == 1:
        return words[0]
    return " ".join(word if word.isupper() else word.lower() for word in words)


def of_schema(schema: Mapping[str, Any]) -> list[str]:
    """Return what the fields of a JSON schema ask, at most `MOST_FIELDS`.

    Args:
        schema: bare, or as `response_format`, `text.format` and tools wrap it. What is no schema
            has no fields.
    """
    root = _unwrapped(schema)
    return list(islice(_unique(islice(_walk(root, root, 0), _MOST_NAMES)), MOST_FIELDS))


def _unwrapped(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in range(_MOST_DEPTH):
        if isinstance(schema.get("properties"), Mapping) or "$ref" in schema:
            break
        for key in ("schema", "json_schema", "function", "parameters", "input_schema", "format"):
            inner = schema.get(key)
            if isinstance(inner, Mapping):
                schema = inner
                break
        else:
            break
    return schema


def _walk(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Iterator[str]:
    properties = _target(schema, root).get("properties")
    if depth > _MOST_DEPTH or not isinstance(properties, Mapping):
        return
    entries = list(islice(properties.items(), MOST_FIELDS * 2))
    for name, field in entries:
        if not isinstance(name, str) or not isinstance(field, Mapping):
            continue
        field = _target(field, root)
        inner = list(islice(_walk(field, root, depth + 1), MOST_FIELDS))
        if inner:
            yield from inner
            continue
        question = _question(name, field, alone=len(entries) == 1)
        if question:
            yield question


def _target(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow `$ref`, and the one alternative that is not null."""
    for _ in range(_MOST_DEPTH):
        reference = schema.get("$ref")
        options = [
            option
            for key in ("anyOf", "oneOf", "allOf")
            if isinstance(schema.get(key), (list, tuple))
            for option in schema[key][:8]
            if isinstance(option, Mapping) and option.get("type") != "null"
        ]
        if isinstance(reference, str) and reference.startswith("#/"):
            target: Any = root
            for step in reference[2:].split("/")[:8]:
                target = target.get(step) if isinstance(target, Mapping) else None
            if not isinstance(target, Mapping):
                break
            schema = target
        elif len(options) == 1 and "properties" not in schema:
            about = {key: schema[key] for key in ("description",) if key in schema}
            schema = {**options[0], **about}
        else:
            break
    return schema


def _question(name: str, field: Mapping[str, Any], *, alone: bool) -> str:
    about = field.get("description")
    about = " ".join(about[:300].split()) if isinstance(about, str) else ""
    words = [word for word, _, _ in words_of(about)]
    spelled = readable_name(name)
    hollow = fold(name) in HOLLOW_FIELDS or len(re.sub(r"[\W\d_]", "", name)) < 3
    if words and (about.endswith("?") or (words[0] in ASKING_FIRST and len(words) > 2)):
        return about
    if not hollow:
        return spelled
    telling = [word for word in words if word not in ANSWERS and word not in HOLLOW_FIELDS]
    return about if alone and len(telling) > 1 and len(words) <= 16 else ""


def cut_json(text: str) -> tuple[str, list[str]]:
    """Take JSON out of a text.

    Returns:
        The text without its objects, and what the fields of those ask: of a schema its
        properties, of a sample its keys.
    """
    rest: list[str] = []
    fields: list[str] = []
    place = 0
    for _ in range(_MOST_OBJECTS):
        start = text.find("{", place)
        if start < 0:
            break
        value, stop = _object_at(text, start)
        rest.append(text[place:start])
        place = stop
        question = _question_in(value)
        if question:
            rest.append(f"\nQuestion: {question}\n")
        elif isinstance(value, Mapping):
            fields += of_schema(value) or _keys(value, 0)
        else:
            fields += [name for key in _KEY.findall(text[start:stop]) if (name := _named(key))]
            fields += definitions(re.split(r"[{};,\n]", text[start:stop]))
    rest.append(text[place:])
    return "\n".join(rest), list(_unique(fields))[:MOST_FIELDS]


def _question_in(value: Any) -> str:
    """Return the question of '{"task": "vqa", "question": "What is it?"}'."""
    if isinstance(value, Mapping):
        for key, text in value.items():
            if (
                fold(key[:40]) in TAGS_QUESTION
                and isinstance(text, str)
                and len(words_of(text)) > 1
            ):
                return " ".join(text.split())
    return ""


def _object_at(text: str, start: int) -> tuple[Any, int]:
    """Parse the object at a place; of what is no JSON, return where its braces close."""
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        depth = 0
        for place in range(start, len(text)):
            depth += (text[place] == "{") - (text[place] == "}")
            if depth == 0:
                return None, place + 1
        return None, start + 1


def _keys(sample: Mapping[str, Any], depth: int) -> list[str]:
    names: list[str] = []
    for key, value in list(sample.items())[:MOST_FIELDS]:
        if isinstance(value, Mapping) and depth < _MOST_DEPTH:
            names += _keys(value, depth + 1)
        elif name := _named(key):
            names.append(name)
    return names


def definitions(lines: Sequence[str]) -> list[str]:
    """Return the fields of 'due_date: str', 'total?: number' and the like, one a line."""
    matches = (_DEFINITION.match(line[:200]) for line in lines)
    return [name for match in matches if match and (name := _named(match[1] or match[2]))]


def of_table(rows: Sequence[str]) -> list[str]:
    """Return the first column of a Markdown table of fields, none of another table."""
    cells = [row.strip().strip("|").split("|", 1)[0].strip() for row in rows]
    if len(cells) < 3 or cells[1].strip(":-") or not FIELD_COLUMNS & {fold(cells[0])}:
        return []
    return of_items(cells[2:])


def _named(key: str) -> str:
    return "" if fold(key) in HOLLOW_FIELDS else readable_name(key)


def of_items(items: Sequence[str]) -> list[str]:
    """Return what the items of a list of fields ask: 'due_date: when to pay' -> 'due date'."""
    fields = []
    for item in items[:MOST_FIELDS]:
        if "?" in item:
            fields.append(item.strip())
            continue
        name = AFTER_NAME.split(item.strip(" `*\"'"), maxsplit=1)[0]
        name = name.strip(" `*\"'.,;")
        if name and fold(name) not in HOLLOW_FIELDS:
            fields.append(readable_name(name) if " " not in name else name)
    return list(_unique(fields))


def _unique(names: Iterable[str]) -> Iterator[str]:
    known: set[str] = set()
    for name in names:
        if name and fold(name) not in known:
            known.add(fold(name))
            yield name
