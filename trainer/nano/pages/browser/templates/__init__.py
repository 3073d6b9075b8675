"""Our own page templates. Each fills a `Sheet` and returns the body's HTML.

A function says what is on a page; the Jinja file of the page's name says how it looks. The
templates of `HELDOUT` are never in a training pool.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from ...fonts import Split
from ..sheet import Sheet
from .articles import encyclopaedia, paper
from .bills import bank_statement, invoice, receipt
from .cards import badge, nutrition_label, product_label
from .plans import menu, timetable
from .prose import letter, report, slide
from .screens import dashboard, email, settings
from .spreadsheets import data_table, datasheet, form
from .unseen import boarding_pass, energy_bill, lab_report, shop_page
from .windows import console, dialog, spreadsheet

Template = Callable[[Sheet], str]

TRAIN: dict[str, tuple[Template, float]] = {
    "invoice": (invoice, 1.4),
    "receipt": (receipt, 1.2),
    "bank statement": (bank_statement, 1.0),
    "settings": (settings, 1.3),
    "form": (form, 1.3),
    "dashboard": (dashboard, 1.3),
    "slide": (slide, 1.0),
    "nutrition label": (nutrition_label, 0.8),
    "product label": (product_label, 0.8),
    "timetable": (timetable, 1.0),
    "menu": (menu, 1.0),
    "letter": (letter, 1.0),
    "report": (report, 1.2),
    "data table": (data_table, 1.2),
    "badge": (badge, 0.6),
    "email": (email, 0.9),
    "datasheet": (datasheet, 1.0),
    "dialog": (dialog, 1.2),
    "console": (console, 0.9),
    "spreadsheet": (spreadsheet, 0.9),
    "encyclopaedia": (encyclopaedia, 1.2),
    "paper": (paper, 1.0),
}
"""Templates with how often they are drawn."""

HELDOUT: dict[str, tuple[Template, float]] = {
    "boarding pass": (boarding_pass, 1.0),
    "energy bill": (energy_bill, 1.0),
    "lab report": (lab_report, 1.0),
    "shop page": (shop_page, 1.0),
}


def draw_template(
    rng: random.Random, split: Split, name: str | None = None
) -> tuple[str, Template]:
    """A template by name, or by chance: of the held-out split every second one is of `HELDOUT`."""
    if name is not None:
        return name, (TRAIN | HELDOUT)[name][0]
    chosen = HELDOUT if split == "heldout" and rng.random() < 0.5 else TRAIN
    names = list(chosen)
    name = rng.choices(names, [chosen[n][1] for n in names])[0]
    return name, chosen[name][0]
