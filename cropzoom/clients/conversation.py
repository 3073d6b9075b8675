"""A request's conversation, in no dialect: turns of pieces that know their place in the body.

A dialect reads a body into a `Conversation`; what is added goes back by the pieces' places. Nothing
given is changed in place: what differs is copied, the rest is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cropzoom.questions import Turn
from cropzoom.report import Reason

# Keys and numbers that lead from the body to a part.
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a message.

    Args:
        path: where it stands; its last step is a number, unless it is `sole`.
        text: what it says, None for what is no text.
        picture: the part that holds or names a picture, None for what is no picture.
        why_not: the reason why it is left alone, though it carries a picture or may do so.
        sole: it stands alone in a field that takes a list, too; what is added makes it one.
    """

    path: Path
    text: str | None = None
    picture: Any = None
    why_not: tuple[Reason, str] | None = None
    sole: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """A turn: one message, or what one tool returned.

    Args:
        role: "system", "developer", "user", "assistant" or "tool"; others are passed over.
        pieces: its parts, in order.
    """

    role: str
    pieces: tuple[Piece, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """What it says, part by part."""
        return tuple(piece.text for piece in self.pieces if piece.text is not None)

    def turn(self) -> Turn:
        """Return what questions are looked for in."""
        pictures = sum(piece.picture is not None for piece in self.pieces)
        return Turn(self.role, self.texts, pictures)

    def place_of_question(self) -> Path | None:
        """Return where a crop of an earlier picture goes: before the text; None if it is empty."""
        texts = [piece for piece in self.pieces if piece.text is not None and piece.text.strip()]
        texts = texts or list(self.pieces)
        if not texts:
            return None
        parent = texts[-1].path[:-1]
        return next(piece.path for piece in texts if piece.path[:-1] == parent)


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a body says.

    Args:
        passages: its turns, in order.
        schemas: JSON schemas that the answer must follow.
        at_server: names a field by which earlier turns stay with the server, None if none does.
        detail: the level of detail of pictures that have none of their own, None for the model's.
    """

    passages: tuple[Passage, ...]
    schemas: tuple[Mapping[str, Any], ...] = ()
    at_server: str | None = None
    detail: str | None = None


@dataclass(slots=True)
class Insertion:
    """Parts to put before and after a piece, and one in its place."""

    before: list[Any] = field(default_factory=list)
    after: list[Any] = field(default_factory=list)
    instead: Any = None

    def around(self, part: Any) -> list[Any]:
        """Return what stands where a part stood."""
        middle = part if self.instead is None else self.instead
        return [*self.before, middle, *self.after]


def passages(parts: Iterator[tuple[int, str, Sequence[Piece]]]) -> tuple[Passage, ...]:
    """Join what is of one message and one role to turns; messages in a row are not joined.

    Args:
        parts: number of the message, role, pieces.
    """
    joined: list[tuple[int, str, list[Piece]]] = []
    for message, role, pieces in parts:
        if joined and joined[-1][:2] == (message, role):
            joined[-1][2].extend(pieces)
        else:
            joined.append((message, role, list(pieces)))
    return tuple(Passage(role, tuple(pieces)) for _, role, pieces in joined)


def spliced(
    body: Mapping[str, Any], insertions: Mapping[Path, Insertion], text_part: Callable[[str], Any]
) -> dict[str, Any]:
    """Return a body with parts put in.

    Args:
        body: shared where it stays as it is.
        insertions: what to put in, by the path of the piece beside it.
        text_part: makes a part of a text that stood alone.
    """
    tree: dict[Any, Any] = {}
    for path, insertion in insertions.items():
        node = tree
        for step in path[:-1]:
            node = node.setdefault(step, {})
        node[path[-1]] = insertion
    copy: dict[str, Any] = _applied(body, tree, text_part)
    return copy


def _applied(node: Any, tree: Mapping[Any, Any], text_part: Callable[[str], Any]) -> Any:
    if isinstance(node, Mapping):
        copy = dict(node)
        for key, change in tree.items():
            value = node[key]
            if isinstance(change, Insertion):
                part = text_part(value) if isinstance(value, str) else value
                copy[key] = change.around(part)
            else:
                copy[key] = _applied(value, change, text_part)
        return copy
    parts: list[Any] = []
    for number, value in enumerate(node):
        change = tree.get(number)
        if change is None:
            parts.append(value)
        elif isinstance(change, Insertion):
            parts += change.around(value)
        else:
            parts.append(_applied(value, change, text_part))
    return parts
