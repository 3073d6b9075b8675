"""A test set that is a number of pages and a seed: rendered with held-out fonts and words."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Sequence
from functools import lru_cache, partial

from cropzoom.data.row import Row
from cropzoom.data.test_set import TestSet
from cropzoom.errors import DataError
from cropzoom.geometry import Box

from .drawing import Page, PageOptions, render_page
from .fonts import find_fonts

# Text up to 16 px on a page of 1024 px (8 to 13 pt on A4) is 7 px and less at 448 px.
TEST_PAGES = PageOptions(split="heldout", min_text=10.0, max_text=16.0, absent=0.0)


def rendered_test(pages: int, seed: int, options: PageOptions = TEST_PAGES) -> TestSet:
    """Render pages with questions whose answers' places are exact.

    The same number, seed and options give the same set on machines with the same fonts; a larger
    number has the smaller one's pages first. Pictures are rendered again when they are asked about.

    Args:
        pages: how many pages that have a question.
        seed: of everything.
        options: of the pages.

    Raises:
        DataError: there are no held-out fonts on this machine.
    """
    if not find_fonts(options.split, options.font_folders):
        raise DataError(
            "no held-out fonts on this machine, so the pages would not test what they should; "
            "install those in trainer/nano/FONTS.txt"
        )
    rows: list[Row] = []
    number = made = 0
    digest = hashlib.sha256()
    while made < pages:
        page = _page(seed, number, options)
        for index, asked in enumerate(page.questions):
            assert asked.region is not None and asked.value_box is not None  # absent is 0
            field = next(field for field in page.fields if field.value_box == asked.value_box)
            row = Row(
                id=f"{number}.{index}",
                image=partial(_png, seed, number, options),
                question=asked.text,
                answers=(asked.answer,),
                box=_box(asked.region, options),
                value=_box(asked.value_box, options),
                key=field.key,
                image_id=str(number),
                category=field.kind,
            )
            rows.append(row)
            digest.update(repr((row.question, row.answers, row.box)).encode())
        made += bool(page.questions)
        number += 1
    # With the questions in it: another renderer, or other fonts, make another set.
    identity = f"rendered {pages}x{options.questions}@{seed} {digest.hexdigest()[:16]}"
    return TestSet(f"{pages} rendered pages, seed {seed}", identity, rows, [], "exact")


# Rows of one page are asked one after the other.
@lru_cache(maxsize=16)
def _page(seed: int, number: int, options: PageOptions) -> Page:
    return render_page(random.Random(f"{seed}:{number}"), options)


@lru_cache(maxsize=16)
def _png(seed: int, number: int, options: PageOptions) -> bytes:
    buffer = io.BytesIO()
    _page(seed, number, options).image.convert("RGB").save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _box(pixels: Sequence[float], options: PageOptions) -> Box:
    x0, y0, x1, y1 = pixels
    width, height = options.width, options.height
    return Box.ordered(x0 / width, y0 / height, x1 / width, y1 / height, min_side=1e-3)
