"""Put the studies' tables into their pages: no figure of a table in docs/studies is typed by hand.

What stands between `<!-- table: NAME -->` and `<!-- end -->` in docs/studies/two-places.md is
`tables(results)[NAME]` of benchmarks/studies/two_places.py, with the content of
benchmarks/results/two_places.json. A study whose figures other benchmarks measured names their
results in `RESULTS`, and gets one argument for each.

    python benchmarks/studies/study_tables.py
"""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs/studies"
_TABLE = re.compile(r"(<!-- table: ([\w -]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: Path) -> str:
    """Return a page's text with its tables as its study makes them.

    Raises:
        ValueError: the page has no table, or one that its study does not make, or lacks one.
    """
    text, name = page.read_text("utf-8"), page.stem.replace("-", "_")
    study = importlib.import_module(name)
    results = [_result(result) for result in getattr(study, "RESULTS", (name,))]
    tables: dict[str, str] = study.tables(*results)
    wanted = [match[2] for match in _TABLE.finditer(text)]
    if sorted(wanted) != sorted(tables):
        raise ValueError(f"{page.name} has tables {wanted}, its study makes {list(tables)}")
    return _TABLE.sub(lambda match: match[1] + tables[match[2]].strip() + "\n" + match[3], text)


def _result(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())
    return content


def main() -> None:
    """Fill in every page."""
    for page in sorted(PAGES.glob("*.md")):
        page.write_text(filled(page), "utf-8")


if __name__ == "__main__":
    main()
