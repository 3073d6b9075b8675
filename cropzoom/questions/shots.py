"""Solved examples before a task of the same form: 'Input: date, Output: 3 May, Input: total'."""

from __future__ import annotations

import re

from cropzoom.questions.words import fold

_LABEL = re.compile(r"\s{0,8}([^\W\d_][\w ]{0,30}?)\s{0,2}\d{0,3}\s{0,2}[:：]\s{0,8}")


def without_shots(text: str) -> str:
    """Return a text without the examples before its task.

    They are told by their form alone: the last line is a label that waits for its answer, and the
    same label was answered above; what those answers say, JSON and all, is not asked.
    """
    lines = text.rstrip().split("\n")
    last = _LABEL.fullmatch(lines[-1])
    if last is None:
        return text
    labels = [_LABEL.match(line) for line in lines]
    names = [fold(label[1]) if label else "" for label in labels]
    answered = [
        number
        for number, (label, line) in enumerate(zip(labels, lines, strict=True))
        if label is not None and names[number] == names[-1] and len(line) > label.end()
    ]
    if not answered:
        return text
    asked = range(answered[-1] + 1, len(lines) - 1)
    for number in asked:
        label, name = labels[number], names[number]
        if label is None or name not in names[: answered[-1]]:
            continue
        task = [lines[number][label.end() :], *lines[number + 1 : -1]]
        return "\n".join([*lines[: names.index(name)], "", "Question: " + "\n".join(task)])
    return text
