"""Text-rich pages with questions and exact answer boxes, rendered on the fly.

`render_page` is the whole interface: a seeded generator in, a `Page` out.
Fonts come from the machine (`fonts.py`), words from generated syllables and from the text of
Python's own library (`lexicon.py`); both are split by hash into a training and a held-out part.
"""

from .drawing import Page, PageOptions, render_page
from .questions import Question

__all__ = ["Page", "PageOptions", "Question", "render_page"]
