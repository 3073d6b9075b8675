"""The pictures of one request: where they stand, their bytes, their sizes and what they cost."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cropzoom.clients.conversation import Conversation, Piece
from cropzoom.clients.dialect import Dialect
from cropzoom.clients.modes import View
from cropzoom.clients.sources import Fetched, SkipError
from cropzoom.errors import ImageError
from cropzoom.images import ImageSource, OpenedImage
from cropzoom.report import Reason


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the request.

    Args:
        index: its number.
        at: the turn in which it stands.
        piece: where it stands, and the part that holds it.
    """

    index: int
    at: int
    piece: Piece

    @property
    def file(self) -> bool:
        """Whether it is a file of another kind, such as a PDF."""
        return self.piece.why_not is not None and self.piece.why_not[0] is Reason.FILE_PART


class Pictures:
    """All pictures of one request, in order; each is read once.

    Args:
        conversation: where they stand.
        dialect: reads the parts.
        files: the downloads of the request.
        model: name of the model that is asked, None where it is unknown.
    """

    def __init__(
        self, conversation: Conversation, dialect: Dialect, files: Fetched, model: str | None
    ) -> None:
        places = [
            (at, piece)
            for at, passage in enumerate(conversation.passages)
            for piece in passage.pieces
            if piece.picture is not None
        ]
        self._all = [Picture(number, at, piece) for number, (at, piece) in enumerate(places)]
        self._dialect = dialect
        self._detail = conversation.detail
        self._files = files
        self._sources: dict[int, ImageSource | SkipError] = {}
        self._opened: dict[int, OpenedImage] = {}
        self._sizes: dict[int, tuple[int, int] | None] = {}
        self.model = model

    def __getitem__(self, index: int) -> Picture:
        return self._all[index]

    def __iter__(self) -> Iterator[Picture]:
        return iter(self._all)

    def fetch_ahead(self, pictures: Sequence[Picture]) -> None:
        """Download what will be asked for, side by side."""
        addresses = (self._dialect.address(picture.piece.picture) for picture in pictures)
        self._files.ahead(address for address in addresses if address is not None)

    def source(self, picture: Picture) -> ImageSource | SkipError:
        """Return a picture's bytes, or why they are not at hand."""
        if picture.index not in self._sources:
            try:
                source: ImageSource | SkipError = self._dialect.source(
                    picture.piece.picture, self._files
                )
            except SkipError as error:
                source = error
            self._sources[picture.index] = source
        return self._sources[picture.index]

    def size(self, picture: Picture) -> tuple[int, int] | None:
        """Return (width, height) in px, None where it is not at hand; downloads nothing."""
        remote = self._dialect.address(picture.piece.picture) is not None
        if picture.file or (remote and picture.index not in self._sources):
            return None
        source = self.source(picture)
        if isinstance(source, SkipError):
            return None
        if picture.index not in self._sizes:
            try:
                opened = OpenedImage(source, max_pixels=sys.maxsize)
            except ImageError:
                self._sizes[picture.index] = None
            else:
                self._opened[picture.index] = opened
                self._sizes[picture.index] = opened.header_size
        return self._sizes[picture.index]

    def take(self, picture: Picture, source: ImageSource) -> ImageSource | OpenedImage:
        """Return a picture to be decoded: opened, where that was done to learn its size.

        It is forgotten here, for it will hold the picture's pixels.
        """
        return self._opened.pop(picture.index, None) or source

    def view(self, picture: Picture) -> View:
        """Return how the model sees a picture."""
        return View(self.model, self._dialect.detail(picture.piece.picture) or self._detail)

    def tokens(self, picture: Picture, size: tuple[int, int] | None = None) -> int | None:
        """Return what a picture costs as given, None where its size is not known."""
        size = size or self.size(picture)
        return None if size is None else self.view(picture).of(size).tokens

    def count(self) -> int:
        """Return how many pictures the server counts."""
        return sum(not picture.file for picture in self._all)

    def pixels(self) -> int:
        """Return the pixels of all pictures, as far as they are at hand."""
        pixels = 0
        for picture in self._all:
            source = self.source(picture) if picture.piece.why_not is None else None
            if source is not None and not isinstance(source, SkipError):
                width, height = self.size(picture) or (0, 0)
                pixels += width * height
        return pixels
