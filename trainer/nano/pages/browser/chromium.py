"""Headless Chromium: HTML in, a picture and the box of every word and marked part out."""

from __future__ import annotations

import io
import os
import random
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlparse

from PIL import Image

from cropzoom.errors import MissingDependencyError

from ..canvas import Field, Rect, Word
from ..fonts import Split
from .faces import FONT_URL
from .record import PageRecord
from .sheet import Draft, Sheet
from .templates import draw_template

_PATIENCE = 180_000  # ms; the machine may be busy with training
_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")

# A text's own box is its line's height; `Word` boxes reach from the capitals' top to the
# descenders' bottom, as the other renderer's do, so "Hgx" is measured in each font. A word is left
# out when it is hidden, covered, cut by its container or the page, or broken over two lines; a
# part is cut when one of its words is hidden, and its box is round all its lines.
_COLLECT = r"""
async ([width, height]) => {
  await document.fonts.ready;
  const pen = document.createElement('canvas').getContext('2d');
  const known = new Map();
  const metrics = style => {
    const font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    if (!known.has(font)) {
      pen.font = font;
      const m = pen.measureText('Hgx');
      known.set(font, {rise: Math.round(m.fontBoundingBoxAscent),
                       up: m.actualBoundingBoxAscent, down: m.actualBoundingBoxDescent});
    }
    return known.get(font);
  };
  const clipOf = element => {
    const clip = [0, 0, width, height];
    for (let e = element; e && e !== document.body; e = e.parentElement) {
      if (e instanceof SVGElement && e.tagName !== 'svg') continue;
      if (getComputedStyle(e).overflow !== 'visible') {
        const r = e.getBoundingClientRect();
        clip[0] = Math.max(clip[0], r.left); clip[1] = Math.max(clip[1], r.top);
        clip[2] = Math.min(clip[2], r.right); clip[3] = Math.min(clip[3], r.bottom);
      }
    }
    return clip;
  };
  const words = [], parts = {};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const owner = node.parentElement, content = node.data;
    if (!content.trim() || owner.closest('[data-quiet]')) continue;
    const style = getComputedStyle(owner), m = metrics(style), clip = clipOf(owner);
    const shown = style.visibility === 'visible' && parseFloat(style.opacity) > 0.3;
    const marked = owner.closest('[data-part]');
    const range = document.createRange();
    for (const match of content.matchAll(/\S+/g)) {
      const centres = [], lines = [];
      let previous = null, box = null;
      for (let i = 0; i < match[0].length; i++) {
        range.setStart(node, match.index + i);
        range.setEnd(node, match.index + i + 1);
        const r = range.getBoundingClientRect();
        if (previous === null || Math.abs(r.top - previous) > 2) {
          box = [r.left, r.top, r.right, 0];
          lines.push(box);
        }
        previous = r.top;
        box[0] = Math.min(box[0], r.left); box[2] = Math.max(box[2], r.right);
        centres.push((r.left + r.right) / 2);
      }
      let visible = shown;
      for (const line of lines) {
        const base = line[1] + m.rise;
        line[1] = base - m.up; line[3] = base + m.down;
        visible = visible && line[2] > line[0] && line[0] >= clip[0] - 1 && line[1] >= clip[1] - 1
          && line[2] <= clip[2] + 1 && line[3] <= clip[3] + 1;
        if (visible) {
          const top = document.elementFromPoint((line[0] + line[2]) / 2, (line[1] + line[3]) / 2);
          visible = !!top && (top.contains(owner) || owner.contains(top));
        }
      }
      if (marked) {
        const part = parts[marked.dataset.part] ??= {whole: true, lines: 0, bottom: -1, box: null};
        part.whole = part.whole && visible;
        for (const line of lines) {
          if (line[1] >= part.bottom) { part.lines += 1; part.bottom = line[3]; }
          const b = part.box ?? [...line];
          part.box = [Math.min(b[0], line[0]), Math.min(b[1], line[1]),
                      Math.max(b[2], line[2]), Math.max(b[3], line[3])];
        }
      }
      if (visible && lines.length === 1) {
        const [x0, , x1] = lines[0];
        words.push([match[0], lines[0], centres.map(c => (c - x0) / (x1 - x0))]);
      }
    }
  }
  let bottom = 0;
  for (const child of document.body.children)
    bottom = Math.max(bottom, child.getBoundingClientRect().bottom);
  return {words, parts, bottom};
}
"""


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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
        fields = [
            Field(
                d.key,
                d.value,
                _rect(parts[d.key_part]["box"]),
                _rect(parts[d.value_part]["box"]),
                d.kind,
                d.value_kind,
                d.column,
                d.questions,
            )
            for d in sheet.drafts
            if d.key_part in parts and d.value_part in parts and _one_line(d, parts)
        ]
        return PageRecord(image, name, split, sheet.em, words, fields)


def _one_line(draft: Draft, parts: dict[int, Any]) -> bool:
    """Whether a phrase in prose and what follows it are unbroken; "after" asks for one line."""
    key, value = parts[draft.key_part], parts[draft.value_part]
    if draft.kind not in ("after", "fact"):
        return True
    beside = draft.kind == "fact" or abs(key["box"][3] - value["box"][3]) < 3
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
