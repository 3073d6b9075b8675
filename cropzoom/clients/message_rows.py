"""Which turn asks about which pictures. Linear, however many messages a conversation has."""

from __future__ import annotations

from collections.abc import Iterable

from cropzoom.clients.conversation import Conversation
from cropzoom.clients.pictures import Picture

_CALLERS = ("user", "system", "developer")


class Rows:
    """A conversation as rows of messages of one role, and the pictures in them.

    Args:
        conversation: its turns.
        pictures: of all of them.
        tools: whether what tools return is searched, too.
    """

    def __init__(
        self, conversation: Conversation, pictures: Iterable[Picture], *, tools: bool
    ) -> None:
        self._roles = [passage.role for passage in conversation.passages]
        self._tools = tools
        self._at: dict[int, list[Picture]] = {}
        for picture in pictures:
            if picture.piece.why_not is None:
                self._at.setdefault(picture.at, []).append(picture)
        # What is asked about behind each message.
        self._latest: list[list[Picture]] = []
        row: list[Picture] = []
        before: list[Picture] = []
        for at, role in enumerate(self._roles):
            if at == 0 or role != self._roles[at - 1]:
                before, row = self._latest[-1] if at else [], []
            if at in self._at and self.zoomed(at):
                row = [*row, *self._at[at]]
            self._latest.append(row or before)
        answers = (at for at, role in enumerate(self._roles) if role not in _CALLERS)
        self._last_answer = max(answers, default=-1)

    def zoomed(self, at: int) -> bool:
        """Tell whether a turn's pictures are."""
        return self._roles[at] == "user" or (self._roles[at] == "tool" and self._tools)

    def asked_about(self, at: int) -> list[Picture]:
        """Return the images that a turn asks about."""
        if not self.zoomed(at):
            return []
        return self._at.get(at, []) if self._roles[at] == "tool" else self._latest[at]

    def answered(self, at: int) -> bool:
        """Tell whether a turn was sent before: something that is not the caller's follows it."""
        return at < self._last_answer
