"""Which turn asks, and what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cropzoom.report import Reason


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

    Args:
        turns: the conversation, in order.
        at: number of a user's or a tool's turn.
        schemas: JSON schemas that the answer or a tool's arguments must follow, bare or as
            `response_format`, `text.format` and tools wrap them.

    Returns:
        Questions, each for a crop of its own; or the reason why there are none.
    """
    for turn in reversed(turns[: at + 1]):
        text = "\n".join(text.strip() for text in turn.texts if text.strip())
        if turn.role not in ("assistant", "tool") and text:
            return Asking((text,))
    return Asking((), Reason.NO_QUESTION)
