"""Headless Chromium: HTML in, a picture and the box of every word and marked part out."""

from __future__ import annotations

import io
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from PIL import Image

from cropzoom.errors import MissingDependencyError

from ..canvas import Rect, Word
from ..fonts import Split
from ..tables import FOLDER
from .faces import FONT_URL
from .record import PageRecord
from .sheet import Draft, Sheet
from .templates import draw_template

_PATIENCE = 180_000  # ms; the machine may be busy with training
_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")

_COLLECT = (FOLDER / "collect.js").read_text("utf-8")
"""Finds what a laid-out page shows; see the file."""


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome: $CROPZOOM_CHROMIUM, or what is on the path."""
    given = os.environ.get("CROPZOOM_CHROMIUM")
    return given or next((path for name in _NAMES if (path := shutil.which(name))), None)


class Browser:
    """One browser for many pages; a context manager. It has no network: fonts come by our hand.

    Raises:
        MissingDependencyError: playwright or Chromium is not installed.
    """

    def __init__(self) -> None:
        try:
            from playwright.sync_api import sync_playwright
        except ImportError as error:
            raise MissingDependencyError(
                'rendering HTML needs playwright; run: pip install "cropzoom[pages]"'
            ) from error
        program = find_chromium()
        if program is None:
            raise MissingDependencyError(
                "no Chromium on this machine; install it (apt install chromium), or set "
                "CROPZOOM_CHROMIUM to its program"
            )
        self._driver = sync_playwright().start()
        # Its sandbox refuses to run as root, which is who one is in a container.
        sandboxed = not hasattr(os, "geteuid") or os.geteuid() != 0
        self._browser = self._driver.chromium.launch(
            executable_path=program, chromium_sandbox=sandboxed, timeout=_PATIENCE
        )
        context = self._browser.new_context(service_workers="block")
        context.route("**/*", _serve_font)
        context.set_default_timeout(_PATIENCE)
        self._page = context.new_page()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        self._driver.stop()

    def layout(
        self, document: str, width: int, height: int, *, fit: bool = False
    ) -> tuple[Image.Image, dict[str, Any]]:
        """Lay out a document.

        Args:
            document: HTML.
            width, height: of the page, px.
            fit: cut the page below its content.

        Returns:
            The picture (RGB), and what `_COLLECT` found: `words` (text, box, centres of the
            characters) and `parts` by number (`box`, `whole`, `lines`).
        """
        self._page.set_viewport_size({"width": width, "height": height})
        self._page.set_content(document)
        found: dict[str, Any] = self._page.evaluate(_COLLECT, [width, height])
        if fit:
            height = min(height, max(height // 3, round(found["bottom"])))
        shot = self._page.screenshot(clip={"x": 0, "y": 0, "width": width, "height": height})
        return Image.open(io.BytesIO(shot)).convert("RGB"), found

    def render(self, seed: str, split: Split, template: str | None = None) -> PageRecord:
        """Draw a page and lay it out: the same for the same seed on one machine.

        Args:
            seed: of the page.
            split: of fonts, words and templates.
            template: the template's name; drawn when not given.
        """
        rng = random.Random(seed)
        sheet = Sheet(rng, split)
        name, fill = draw_template(rng, split, template)
        document = sheet.document(fill(sheet))
        image, found = self.layout(document, sheet.width, sheet.height, fit=sheet.fit)
        words = [Word(text, _rect(box), tuple(c)) for text, box, c in found["words"]]
        parts = {
            int(number): part
            for number, part in found["parts"].items()
            if part["whole"] and part["box"]
        }
        boxes = {number: _rect(part["box"]) for number, part in parts.items()}
        fields = [
            replace(draft.field, key_box=boxes[draft.key], value_box=boxes[draft.value])
            for draft in sheet.drafts
            if draft.key in parts and draft.value in parts and _one_line(draft, parts)
        ]
        return PageRecord(image, name, split, sheet.em, words, fields)


def _one_line(draft: Draft, parts: dict[int, Any]) -> bool:
    """Whether a phrase in prose and what follows it are unbroken; "after" asks for one line."""
    key, value, kind = parts[draft.key], parts[draft.value], draft.field.kind
    if kind not in ("after", "fact"):
        return True
    beside = kind == "fact" or abs(key["box"][3] - value["box"][3]) < 3
    return bool(key["lines"] == value["lines"] == 1 and beside)


def _rect(box: list[float]) -> Rect:
    return (box[0], box[1], box[2], box[3])


def _serve_font(route: Any) -> None:
    url = route.request.url
    if not url.startswith(FONT_URL):
        route.abort()
        return
    path = Path(unquote(urlparse(url).path))
    route.fulfill(path=path, headers={"Access-Control-Allow-Origin": "*"}, content_type="font/ttf")
