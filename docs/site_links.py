"""A hook of mkdocs: what pages link to outside docs/ comes into the site, under files/.

So a link is one to a file of the repository, wherever it is read, and `--strict` checks them all.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (
    "benchmarks/reproduction/README.md",
    "cropzoom/cropper/bundled/MODEL_CARD.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
)
"""Pages of the site that stand elsewhere in the repository."""
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that stand elsewhere, and every file that any page links to."""
    sources = [*DOCS.rglob("*.md"), *(ROOT / page for page in PAGES)]
    targets = {ROOT / page for page in PAGES}
    for source in sources:
        for _, _, link, _ in _LINK.findall(source.read_text("utf-8")):
            target = Path(os.path.normpath(source.parent / link))
            if target.is_file() and not target.is_relative_to(DOCS):
                targets.add(target)
    for target in sorted(targets):
        uri = _uri(target)
        # Markdown that is no page of the site is shown as text, and not rendered.
        if target.suffix == ".md" and target.relative_to(ROOT).as_posix() not in PAGES:
            uri += ".txt"
        files.append(File.generated(config, uri, abs_src_path=str(target)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn the links of a page into links of the site; folders, which it has not, into text."""
    uri = page.file.src_uri
    source = ROOT / uri.removeprefix("files/") if uri.startswith("files/") else DOCS / uri

    def rewritten(match: re.Match[str]) -> str:
        mark, text, link, anchor = match.groups()
        target = Path(os.path.normpath(source.parent / link))
        if target.is_dir():
            return f"`{text}`" if "`" not in text else text
        if not target.is_file():
            return match[0]  # mkdocs will say so
        to = _uri(target)
        if files.get_file_from_path(to) is None:
            to += ".txt"
        relative = os.path.relpath(to, PurePosixPath(uri).parent)
        return f"{mark}[{text}]({relative}{anchor or ''})"

    return _LINK.sub(rewritten, markdown)


def _uri(target: Path) -> str:
    if target.is_relative_to(DOCS):
        return target.relative_to(DOCS).as_posix()
    return f"files/{target.relative_to(ROOT).as_posix()}"
