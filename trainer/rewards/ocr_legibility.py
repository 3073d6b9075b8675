"""Whether the answer can be read in the page or in the crop: a reward that needs no VLM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cropzoom.errors import OptionsError
from cropzoom.reading.answers import is_contained, normalise

from .crops import CropReward, Look

if TYPE_CHECKING:
    from cropzoom.reading.ocr import OcrReader

# Below this, a likeness says little: almost any page has some of the answer's characters in order.
_THRESHOLD = 0.5


class OcrLegibility(CropReward):
    """1 if an answer is read, by OCR at a small size, in page or crop; 0 for no box.

    For text-rich data whose answers stand on the page as they are. Page and crop are each brought
    to `side` px, as a small VLM would see them, and read. An answer counts as read where it stands
    as words of its own. What was read is remembered, so an image's page is read once.

    It does not know which of several places the question means: a crop that shows the answer
    elsewhere earns the same. Reading takes about a second a picture and CPU core.

    Args:
        side: longest side, in px, at which page and crop are read.
        partial: most that an answer earns that is not read but nearly so, in [0, 1): this times
            the likeness of what was read, from 0 at a likeness of a half. 0: all or nothing.
        reader: finds and reads lines; None: one is made.
        remember: pictures whose text is kept.
        crops: options of `CropReward`.

    Raises:
        OptionsError: an option is out of range.
        MissingDependencyError: rapidocr is not installed (raised at the first reading).
    """

    name = "legibility"

    def __init__(
        self,
        *,
        side: int = 448,
        partial: float = 0.5,
        reader: OcrReader | None = None,
        remember: int = 10_000,
        **crops: Any,
    ) -> None:
        from cropzoom.reading.standin import StandIn

        super().__init__(**crops)
        if side < 16:
            raise OptionsError(f"side={side} must be at least 16 px")
        if not 0 <= partial < 1:
            raise OptionsError(f"partial={partial} must be at least 0 and below 1")
        self.partial = partial
        # It sees and reads pictures just so, and remembers them by their pixels.
        self._target = StandIn(side=side, reader=reader, remember=remember)

    def worth(self, looks: Sequence[Look]) -> list[float]:
        """Read each look, and mark it by its best answer."""
        values: list[float] = []
        page, picture = "", None
        for look in looks:
            if look.image is not picture:
                picture, page = look.image, self._read(look.image)
            texts = [page] if look.box is None else [page, self._read(self.crop(look))]
            values.append(max(self._legible(text, look.row.answers) for text in texts))
        return values

    def _read(self, image: Any) -> str:
        return "\n".join(line.text for line in self._target.read(image).lines)

    def _legible(self, text: str, answers: Sequence[str]) -> float:
        if is_contained(text, answers):
            return 1.0
        if not self.partial:
            return 0.0
        page = normalise(text)
        best = max(likeness(normalise(answer), page) for answer in answers)
        return self.partial * max(0.0, best - _THRESHOLD) / (1 - _THRESHOLD)


def likeness(answer: str, text: str) -> float:
    """Tell how much of `answer` stands anywhere in `text`, in [0, 1].

    1 - (edits that turn the nearest passage of `text` into `answer`) / (characters of `answer`);
    Sellers' algorithm. 0 where `answer` is empty.
    """
    if not answer:
        return 0.0
    # Fewest edits between the first n characters of `answer` and a passage that ends here.
    row = list(range(len(answer) + 1))
    best = row[-1]
    for character in text:
        diagonal = row[0]  # stays 0: a passage may begin anywhere
        for n, other in enumerate(answer, 1):
            above = row[n]
            row[n] = diagonal if character == other else 1 + min(diagonal, above, row[n - 1])
            diagonal = above
        best = min(best, row[-1])
    return 1 - best / len(answer)
