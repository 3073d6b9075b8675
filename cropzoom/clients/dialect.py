"""How an endpoint spells a conversation: reading bodies, and spelling what is added.

A further endpoint needs `read`, `source`, `crop_part` and `text_part`; the rest is common.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from cropzoom.clients.conversation import Conversation, Path
from cropzoom.clients.sources import OFF_HINT, Fetched
from cropzoom.images import Encoded, ImageSource
from cropzoom.report import Reason

NOT_USER = (
    Reason.NOT_USER_MESSAGE,
    "only images in user messages and in what tools return are zoomed, not those in other "
    f"messages and computer screenshots; put it in a user message, {OFF_HINT}",
)
# A turn that holds neither a question nor a picture to zoom, yet parts other turns.
OTHER = "other"


class Dialect(ABC):
    """How an endpoint spells things.

    Attributes:
        name: of the endpoint.
        items: the body's field with the messages, the only one that is replaced.
    """

    name: str
    items: str

    @abstractmethod
    def read(self, body: Mapping[str, Any]) -> Conversation:
        """Return what a body says.

        Raises:
            SkipError: its messages have a form that can't be read; the reason is the call's.
        """

    @abstractmethod
    def source(self, part: Any, files: Fetched) -> ImageSource:
        """Return the image that a part holds or points to.

        Raises:
            SkipError: it is not at hand.
        """

    def address(self, part: Any) -> str | None:
        """Return the web address that a part points to, None if it points to none."""
        return None

    @abstractmethod
    def crop_part(self, image: Encoded, part: Any) -> Any:
        """Return the part that shows a crop, in the manner of the part that holds its source."""

    def substitute(self, image: Encoded, part: Any) -> Any:
        """Return the part that goes out in place of one, all else about it as it was."""
        return {**part, **self.crop_part(image, part)}

    def detail(self, part: Any) -> str | None:
        """Return at which level of detail a part is to be seen, None for the model's own."""
        return None

    @abstractmethod
    def text_part(self, text: str) -> Any:
        """Return a part that says something."""

    def label_parts(self, text: str, path: Path) -> tuple[Any, ...]:
        """Return the part that says something before a crop at a path, none where none may be."""
        return (self.text_part(text),)
