"""A page's HTML in the making: its look, its words, and which of them are keys and values."""

from __future__ import annotations

import colorsys
import html
import math
import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..canvas import Field
from ..fonts import Split
from ..languages import draw_language
from ..questions import own_questions
from ..tables import forms, read_data
from .faces import css_family, draw_family, families, font_css
from .field_names import Name, draw_names
from .markup import make_markup
from .page_words import ASKED_AS, Words

LANGUAGES_SHARE = 0.16
"""Of the pages, those in another language than English."""

_NOWHERE = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Part:
    """A marked text. `html` goes into the page once; `number` finds its box again."""

    number: int
    text: str
    html: str

    def __html__(self) -> str:
        return self.html


@dataclass(frozen=True)
class Draft:
    """A field whose boxes are not known yet, and the numbers of the parts that have them."""

    field: Field
    key: int
    value: int


@dataclass
class Look:
    """Colours and habits of one page; all lengths are CSS."""

    paper: str
    ink: str
    soft: str
    faint: str
    line: str
    panel: str
    accent: str
    on_accent: str
    dark: bool
    body: str
    head: str
    mono: str
    radius: str
    border: str
    leading: float
    pad: float
    mark: str
    key_css: str
    value_css: str


@lru_cache(maxsize=2)
def _lists(file: str) -> dict[str, tuple[str, ...]]:
    return {row[0]: forms(row, 1) for row in read_data(file)}


def _hsl(hue: float, saturation: float, light: float) -> str:
    r, g, b = colorsys.hls_to_rgb(hue % 1, min(1, max(0, light)), saturation)
    return f"#{round(r * 255):02x}{round(g * 255):02x}{round(b * 255):02x}"


def draw_look(rng: random.Random, split: Split, dark: float = 0.15, letters: str = "") -> Look:
    """A page's colours, fonts (for `letters`) and habits; `dark`: chance of light text on dark."""
    hue, other = rng.random(), rng.random()
    is_dark = rng.random() < dark
    plain = rng.random() < 0.45  # black on white, as most printed matter is
    if is_dark:
        base = rng.uniform(0.05, 0.18)
        paper, ink = _hsl(hue, rng.uniform(0, 0.3), base), _hsl(hue, 0.1, rng.uniform(0.82, 1))
        soft, faint = _hsl(hue, 0.1, rng.uniform(0.6, 0.8)), _hsl(hue, 0.1, rng.uniform(0.5, 0.65))
        line, panel = _hsl(hue, 0.1, base + 0.14), _hsl(hue, 0.2, base + rng.uniform(0.03, 0.09))
        accent = _hsl(other, rng.uniform(0.4, 0.9), rng.uniform(0.5, 0.7))
    else:
        paper = "#fff" if plain or rng.random() < 0.6 else _hsl(hue, rng.uniform(0, 0.6), 0.95)
        ink = "#000" if plain and rng.random() < 0.5 else _hsl(hue, 0.25, rng.uniform(0.03, 0.25))
        soft = _hsl(hue, 0.15, rng.uniform(0.2, 0.5))
        faint = _hsl(hue, 0.1, rng.uniform(0.45, 0.65))
        line = _hsl(hue, 0.1, rng.uniform(0.1, 0.9))
        panel = _hsl(other, 0 if plain else rng.uniform(0, 0.5), rng.uniform(0.9, 0.97))
        accent = _hsl(other, rng.uniform(0.3, 0.9), rng.uniform(0.22, 0.45))
    weights = [(400, 400)] * 4 + [(700, 400)] * 4 + [(400, 700)] * 3 + [(500, 500), (300, 600)]
    key_weight, value_weight = rng.choice(weights)
    key = f"font-weight:{key_weight};color:{rng.choice([ink, ink, soft, soft, faint, accent])}"
    if rng.random() < 0.25:
        key += f";font-size:{rng.uniform(0.7, 0.95):.2f}em"
    if rng.random() < 0.1:
        key += f";letter-spacing:{rng.uniform(0.02, 0.14):.3f}em"
    value = f"font-weight:{value_weight};color:{rng.choice([ink, ink, ink, ink, soft, accent])}"
    if rng.random() < 0.2:
        value += f";font-size:{rng.uniform(0.9, 1.3):.2f}em"
    stroke = ["solid"] * 6 + ["dotted", "dashed"]
    body = draw_family(rng, split, "body", letters)
    head = body if rng.random() < 0.5 else draw_family(rng, split, "head", letters)
    return Look(
        paper=paper,
        ink=ink,
        soft=soft,
        faint=faint,
        line=line,
        panel=panel,
        accent=accent,
        on_accent="#101010" if is_dark else "#fff",
        dark=is_dark,
        body=body,
        head=head,
        mono=draw_family(rng, split, "mono", letters),
        radius=rng.choice(["0", "0", "2px", ".3em", ".6em", "1em"]),
        border=f"{rng.choice([1, 1, 1, 2])}px {rng.choice(stroke)} {line}",
        leading=rng.uniform(1.12, 1.75),
        pad=rng.uniform(0.2, 0.9),
        mark=rng.choice([":", ":", ":", "", "", "", "", " :", "."]),
        key_css=key,
        value_css=value,
    )


class Sheet:
    """What a template fills: it returns the body's HTML, and calls `field` for what can be asked.

    Args:
        rng: the only source of chance.
        split: of fonts and words.
    """

    def __init__(self, rng: random.Random, split: Split) -> None:
        self.rng, self.split = rng, split
        language = draw_language(rng, LANGUAGES_SHARE)
        if language and not families(split, (), language.alphabet):
            language = None
        self._letters = language.alphabet if language else ""
        self.words = Words(rng, split, language)
        self.look = draw_look(rng, split, letters=self._letters)
        self.width, self.height, self.em = 800, 1130, 12.0
        self.fit = False
        self.drafts: list[Draft] = []
        self._parts = 0

    def relook(self, dark: float) -> None:
        """Draw the look again, with another chance of light on dark."""
        self.look = draw_look(self.rng, self.split, dark, self._letters)

    def size(
        self, ratio: float, low: float = 8.0, high: float = 16.0, *, fit: bool = False
    ) -> None:
        """Set the page's size and text.

        Args:
            ratio: height by width.
            low, high: the body text's em when the longer side is 1024 px.
            fit: the page ends where its content does.
        """
        # Mostly near the 1024 px that nano sees: a large page costs more and teaches the same.
        most = 1400 if self.rng.random() < 0.7 else 2500
        long = math.exp(self.rng.uniform(math.log(800), math.log(most)))
        if ratio < 1:
            long = max(long, min(2400, 700 / ratio))
        self.height = round(long if ratio >= 1 else long * ratio)
        self.width = round(long / ratio if ratio >= 1 else long)
        self.em = long / 1024 * math.exp(self.rng.uniform(math.log(low), math.log(high)))
        self.fit = fit

    @property
    def columns(self) -> float:
        """The page's width in em."""
        return self.width / self.em

    @property
    def rows(self) -> float:
        """The page's height in lines of text."""
        return self.height / (self.em * self.look.leading)

    def part(self, text: str, mark: str = "", css: str = "") -> Part:
        """Mark a text. A `mark` such as a colon is shown and is no part of the text."""
        self._parts += 1
        style = f' style="{html.escape(css)}"' if css else ""
        shown = html.escape(text + mark)
        return Part(self._parts, text, f"<span data-part={self._parts}{style}>{shown}</span>")

    def svg(self, x: float, y: float, anchor: str, text: str, css: str) -> Part:
        """Mark a text of a drawing, its baseline at y (px)."""
        self._parts += 1
        where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="{css}"'
        shown = f"<text data-part={self._parts} {where}>{html.escape(text)}</text>"
        return Part(self._parts, text, shown)

    def field(
        self,
        key: Part,
        value: Part,
        value_kind: str = "word",
        *,
        kind: str = "pair",
        column: str | None = None,
        questions: tuple[str, ...] = (),
    ) -> None:
        """Let a value be asked for by its key; see `canvas.Field`."""
        if not questions and kind in ("pair", "cell"):
            questions = self.words.asking(value_kind, cell=kind == "cell")
        texts = key.text.rstrip(" :."), value.text
        field = Field(*texts, _NOWHERE, _NOWHERE, kind, value_kind, column, questions)
        self.drafts.append(Draft(field, key.number, value.number))

    def pair(
        self,
        key: str,
        value: str,
        value_kind: str = "word",
        *,
        mark: str = "",
        css: tuple[str, str] = ("", ""),
        **asked: Any,
    ) -> tuple[Part, Part]:
        """Mark a key and a value and let it be asked for; `asked` as `field` takes it."""
        parts = self.part(key, mark, css[0]), self.part(value, "", css[1])
        self.field(*parts, value_kind, **asked)
        return parts

    def entry(self, name: Name, value: str | None = None, **how: Any) -> tuple[Part, Part]:
        """As `pair`, of a field's name with a value: drawn when not given."""
        shown = self.draw_value(name) if value is None else value
        kind = ASKED_AS.get(name.kind, name.kind)
        return self.pair(name.text, shown, kind, questions=name.questions, **how)

    def caption(self, label: str, text: str, mark: str, said: str) -> tuple[Part, Part]:
        """As `pair`, of a figure's label, said so in questions, and what it shows."""
        return self.pair(label, text, mark=mark, questions=own_questions("caption", label=said))

    def whole(self, text: str, name: str, css: str = "") -> Part:
        """Mark a text that is asked for without a key, such as a title; see `data/wholes.txt`."""
        part = self.part(text, "", css)
        asked = _lists("wholes.txt")[name]
        field = Field(name, text, _NOWHERE, _NOWHERE, "whole", questions=asked)
        self.drafts.append(Draft(field, part.number, part.number))
        return part

    def draw_value(self, name: Name) -> str:
        """A value for a name; on few pages in Greek or Cyrillic letters."""
        if name.kind == "word" and self.rng.random() < 0.06:
            return self.words.foreign()
        return self.words.value(name.kind)

    def names(self, subject: str, low: int, high: int | None = None) -> list[Name]:
        """So many names of fields as pages on a subject carry them, or made up."""
        count = low if high is None else self.rng.randint(low, high)
        return draw_names(self.words, subject, count)

    def pick(self, name: str, *more: str) -> str:
        """One of the texts that `data/choices.txt` has under a name, or of more."""
        return self.rng.choice([*_lists("choices.txt")[name], *more])

    def between(self, low: float, high: float, digits: int = 1) -> str:
        """A number in a range, as CSS has it."""
        return f"{self.rng.uniform(low, high):.{digits}f}"

    def strips(self, count: int) -> tuple[list[tuple[int, int]], int]:
        """A bar code's strips, with place and width, and where it ends."""
        at, strips = 0, []
        for _ in range(count):
            strips.append((at, self.rng.randint(1, 4)))
            at += strips[-1][1] + self.rng.randint(1, 4)
        return strips, at

    def markup(self, name: str, **given: Any) -> Any:
        """The macros of `templates/NAME.html.j2` as this page looks now.

        What the file draws outside its macros, such as a style for all rows, is drawn now.
        `given`: more variables for it.
        """
        return make_markup(
            name,
            sheet=self,
            rng=self.rng,
            words=self.words,
            look=self.look,
            between=self.between,
            **given,
        )

    @property
    def blocks(self) -> Any:
        """What many pages have: a title, an icon, a bar; see `templates/blocks.html.j2`."""
        return self.markup("blocks")

    def document(self, body: str) -> str:
        """The whole HTML document round a template's body."""
        look = self.look
        generic = "serif" if "Serif" in look.body or "Roman" in look.body else "sans-serif"
        names = sorted({look.body, look.head, look.mono})
        css = self.markup(
            "page",
            fonts="\n".join(font_css(name, self.split) for name in names),
            body=css_family(look.body, generic),
            head=css_family(look.head, generic),
            mono=css_family(look.mono, "monospace"),
        )
        return str(css.document(body))
