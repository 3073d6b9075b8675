"""Turns of phrase by which a conversation goes on, folded, of a dozen languages."""

from __future__ import annotations

from cropzoom.questions.words import fold, read_table

_PHRASES = {
    name: tuple(phrase for line in lines for phrase in line.split("|"))
    for name, lines in read_table("set_phrases.txt").items()
}

AGAIN = _PHRASES["AGAIN"]
"""How a turn begins, folded, that asks once more what was asked before."""

COMPLAINTS = _PHRASES["COMPLAINTS"]
"""What a program says, folded, of an answer that it can't use."""

FOLLOWING = tuple(tuple(fold(phrase).split()) for phrase in _PHRASES["FOLLOWING"])

SMALL_TALK = frozenset(tuple(fold(phrase).split()) for phrase in _PHRASES["SMALL_TALK"])
"""The first three words of a question that is none."""
