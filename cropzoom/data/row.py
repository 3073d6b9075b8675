"""A question about a picture: what evaluation, labelling and training pass along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from PIL import Image

from cropzoom.errors import ImageError
from cropzoom.geometry import Box
from cropzoom.images import ImageSource, is_plain, load_image


class BadRow(Exception):
    """A record that can't be a row, or a row without its picture.

    Args:
        kind: one of a few, to be counted.
        detail: what is wrong.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail = kind, detail


@dataclass(frozen=True)
class Problem:
    """A record that was left out, or a question without an answer.

    Args:
        row: id of the row, or where it stands.
        kind: one of a few, to be counted, such as "no answers" or "broken image".
        detail: what is wrong.
    """

    row: str
    kind: str
    detail: str


@dataclass(frozen=True)
class Row:
    """One question with its answers, and where the answer stands if that is known.

    Args:
        id: unique in its data set and the same in every run: answers are found again by it, and
            seeds of rollouts are made from it.
        image: bytes of a file, a path, a PIL image, or what fetches one of these.
        question: as sent, case kept; the cropper gets it, too.
        answers: all that count as right, none lower-cased or dropped; empty where they are not
            published.
        box: where to look (key and value), in fractions of the upright image; None: not known.
        image_id: the same for all rows about one picture, so that a split keeps them together;
            empty to tell pictures by their bytes.
        source: the data set, for stratified splits.
        plain: the question without a benchmark's instructions, for people to read.
        value: box around the answer alone; None: not known.
        key: what the page itself calls the thing asked for; only the OCR stand-in gets it.
        options: of a multiple-choice question, texts by letter.
        category: for the breakdown.
        cycle: which rotation of the options (HR-Bench).
    """

    id: str
    image: ImageSource | Callable[[], ImageSource]
    question: str
    answers: tuple[str, ...] = ()
    box: Box | None = None
    image_id: str = ""
    source: str = ""
    plain: str = ""
    value: Box | None = None
    key: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    category: str = ""
    cycle: str = ""

    def picture(self) -> ImageSource:
        """Return the picture, undecoded.

        Raises:
            BadRow: there is none.
            ImageError: it can't be fetched.
        """
        return self.image() if callable(self.image) else self.image

    def load(self) -> Image.Image:
        """Decode the picture: upright RGB. It may be the row's own: don't change it.

        A PIL image that is upright RGB already is given as it is, so that all of a training step
        use one copy.

        Raises:
            ImageError: it is missing, broken or over the pixel limit.
        """
        try:
            picture = self.picture()
            if isinstance(picture, Image.Image) and picture.mode == "RGB" and is_plain(picture):
                return picture
            return load_image(picture)
        except BadRow as error:
            raise ImageError(f"the picture of row {self.id!r}: {error}") from error
