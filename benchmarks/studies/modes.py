"""Do answers survive when thumbnails and crops go out in place of pictures, and what is saved?

    modes.py tune --receipts FOLDER --output benchmarks/results/modes_tuning.json
    modes.py measure --receipts FOLDER --output benchmarks/results/modes.json

Rendered pages are asked about by the stand-in reader (`cropzoom.reading.standin`), which sees them
at 1,568 px, in the page's own words. FOLDER has the sets that `trainer/nano/real_split.py` tells
of; receipts have no labels for what is asked, so there a text reader (rapidocr) reads what is sent,
and an answer counts where it stands in what was read. Tokens are Claude's up to 4.6, which sees
1,568 px. `tune` looks at other pages and shops than `measure`. Rendered pages, and what
the reader reads by the pixels of the picture, are kept beside and in `--cache`, so another cropper
is measured in minutes; remove them where pages are drawn in another way.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image
from study import CropperOption, OutputOption, cropper_name, markdown, percent, report

from cropzoom import load_cropper, rewrite_body
from cropzoom.clients.addresses import image_url, question_messages
from cropzoom.clients.modes import thumbnail as thumbnail_of
from cropzoom.evaluate.intervals import PictureBootstrap
from cropzoom.evaluate.summary import non_inferiority
from cropzoom.files import write_whole
from cropzoom.geometry import Box, Crop
from cropzoom.images import OpenedImage, decode_data_uri, load_image
from cropzoom.models import sight
from cropzoom.options import ZoomOptions
from cropzoom.reading.answers import is_contained, is_exact
from cropzoom.reading.ocr import Line, OcrReader
from cropzoom.reading.standin import Page, StandIn, pick_answer
from cropzoom.trainer.nano.pages.rendered_rows import rendered_test
from cropzoom.trainer.nano.real_split import Part, read_pictures
from cropzoom.zoom import Zoom

RESULTS = ("modes", "modes_tuning")
MODEL = "claude-haiku-4-5"
SIDE, SMALL = 1568, 448
RECEIPTS = ("sroie", "softmatic")
MARGIN = 0.01

# What `tune` tries, and the line above which a crop goes out.
THUMBNAILS = (256, 448)
CROPS = ((2, 0.0), (2, 0.15), (3, 0.0))
CONFIDENCES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)

CacheOption = Annotated[Path, typer.Option(help="Of what was read.")]
app = typer.Typer()


@dataclass(frozen=True)
class Asked:
    """A question about a page.

    Args:
        page: its name; answers about one page hang together.
        url: the page, as a request holds it.
        size: of the page in px.
        question: as sent.
        key: what the page itself calls what is asked for; empty where it has no name for it.
        answers: all that are right.
    """

    page: str
    url: str
    size: tuple[int, int]
    question: str
    key: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Sent:
    """What goes out for a question."""

    urls: tuple[str, ...]
    tokens: int
    confidence: float
    crops: int


class CachedReader(OcrReader):
    """A reader that reads no picture twice, in this run or another.

    Args:
        path: of the file, made where it is missing.
        threads: CPU threads.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        super().__init__(threads=threads)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = sqlite3.connect(path, isolation_level=None)
        self._file.execute("create table if not exists pages (key text primary key, lines text)")

    def read(self, image: Image.Image) -> list[Line]:
        """Return the lines of an image."""
        rgb = image.convert("RGB")
        key = hashlib.sha256(repr(rgb.size).encode() + rgb.tobytes()).hexdigest()
        known = self._file.execute("select lines from pages where key = ?", (key,)).fetchone()
        if known is not None:
            return [Line(text, Box(*box), sure) for text, box, sure in json.loads(known[0])]
        lines = super().read(rgb)
        text = json.dumps([[line.text, _corners(line.box), line.confidence] for line in lines])
        self._file.execute("insert into pages values (?, ?)", (key, text))
        return lines


class Remembering:
    """A cropper that is asked once about each page and question."""

    def __init__(self, cropper: Any) -> None:
        self._cropper = cropper
        self._known: dict[bytes, list[Crop]] = {}
        for name in ("longest_edge", "grey", "scripts"):
            if hasattr(cropper, name):
                setattr(self, name, getattr(cropper, name))

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        """Return the first `k` boxes."""
        key = hashlib.sha256(image.tobytes() + question.encode()).digest()
        if key not in self._known:
            self._known[key] = self._cropper.predict(image, question, max(k, 3))
        return self._known[key][:k]


def _corners(box: Box) -> list[float]:
    return [box.x0, box.y0, box.x1, box.y1]


def rendered(pages: int, seed: int, cache: Path) -> list[Asked]:
    """Return the questions of rendered pages."""
    file = cache.with_name(f"rendered-{pages}-{seed}.json")
    if not file.exists():
        asked = []
        for row in rendered_test(pages, seed).rows:
            url, size = image_url(row.picture()), row.load().size
            asked.append(Asked(row.image_id, url, size, row.question, row.key, row.answers))
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps([asdict(one) for one in asked]))
    rows = json.loads(file.read_text("utf-8"))
    return [
        Asked(**{**row, "size": tuple(row["size"]), "answers": tuple(row["answers"])})
        for row in rows
    ]


def receipts(folder: Path, part: Part) -> list[Asked]:
    """Return the questions of the receipts of one part."""
    asked = []
    for picture in read_pictures(folder, part):
        if picture.source in RECEIPTS and picture.rows:
            url, size = image_url(picture.path), load_image(picture.path).size
            asked += [
                Asked(picture.path.name, url, size, row.question, "", (row.answer,))
                for row in picture.rows
            ]
    return asked


class Bench:
    """Sends questions in each way, and reads what is sent.

    Args:
        cropper: of the crops.
        reader: of all pictures.
    """

    def __init__(self, cropper: Any, reader: OcrReader) -> None:
        self.name = cropper_name(cropper)
        self._zoom = Zoom(Remembering(cropper), ZoomOptions(cache_size=0))
        self._eyes = {
            side: StandIn(side=side, reader=reader, enlarge=False) for side in (SIDE, SMALL)
        }

    def send(self, asked: Asked, options: ZoomOptions | None) -> Sent:
        """Return what goes out; None for the picture as it is."""
        if options is None:
            return Sent((asked.url,), sight(MODEL, asked.size).tokens, 0.0, 0)
        options = replace(options, question=asked.question, deadline=None, cache_size=0)
        body = {"model": MODEL, "messages": question_messages(asked.url, asked.question)}
        new, done = rewrite_body(body, zoom=self._zoom, options=options, strict=True)
        parts = new["messages"][0]["content"]
        urls = tuple(part["image_url"]["url"] for part in parts if part["type"] == "image_url")
        sure = max((crop.confidence for crop in done.crops), default=0.0)
        return Sent(urls, done.tokens_sent, sure, len(done.crops))

    def right(self, asked: Asked, urls: Sequence[str], side: int = SIDE) -> bool:
        """Tell whether the answer is read in pictures that are seen at a side."""
        pages = [self._read(url, side) for url in urls]
        if asked.key:
            return is_exact(pick_answer(f'"{asked.key}"', pages).text, asked.answers)
        texts = [" ".join(line.text for line in page.lines) for page in pages]
        return any(is_contained(text, asked.answers) for text in texts)

    @lru_cache(maxsize=20_000)  # noqa: B019 (one bench a run)
    def _read(self, url: str, side: int) -> Page:
        return self._eyes[side].read(load_image(decode_data_uri(url)))


@app.command()
def tune(
    pages: Annotated[int, typer.Option(help="Rendered ones, with up to 4 questions each.")] = 15,
    seed: int = 41,
    receipts_: Annotated[Path | None, typer.Option("--receipts", help="Real pages.")] = None,
    cropper: CropperOption = "nano",
    cache: CacheOption = Path("runs/modes.sqlite"),
    output: OutputOption = None,
) -> None:
    """Tokens against answers, for thumbnails, crops and the confidence that is asked for."""
    bench = Bench(load_cropper(cropper), CachedReader(cache))
    sets = {"rendered": rendered(pages, seed, cache)}
    if receipts_ is not None:
        sets["receipts"] = receipts(receipts_, "choice")
    results: dict[str, Any] = {"cropper": bench.name, "seed": seed, "sets": {}}
    for name, questions in sets.items():
        full = [bench.send(asked, None) for asked in questions]
        before = [
            bench.right(asked, sent.urls) for asked, sent in zip(questions, full, strict=True)
        ]
        curve = []
        for side in THUMBNAILS:
            for count, padding in CROPS:
                options = ZoomOptions(
                    mode="replace", thumbnail_side=side, max_crops=count, padding=padding,
                    min_confidence=0.0, max_area=1.0,
                )  # fmt: skip
                sent = [bench.send(asked, options) for asked in questions]
                after = [
                    bench.right(asked, one.urls) for asked, one in zip(questions, sent, strict=True)
                ]
                for least in CONFIDENCES:
                    goes = [one.crops > 0 and one.confidence >= least for one in sent]
                    tokens = sum(
                        one.tokens if out else whole.tokens
                        for one, whole, out in zip(sent, full, goes, strict=True)
                    )
                    right = sum(
                        new if out else old
                        for new, old, out in zip(after, before, goes, strict=True)
                    )
                    curve.append(
                        {
                            "thumbnail": side,
                            "crops": count,
                            "padding": padding,
                            "min_confidence": least,
                            "tokens": tokens / sum(whole.tokens for whole in full),
                            "answers": right / len(questions),
                        }
                    )
        results["sets"][name] = {
            "questions": len(questions),
            "full": sum(before) / len(questions),
            "curve": curve,
        }
    report(results, [_curve(results)], output)


@app.command()
def measure(
    pages: Annotated[int, typer.Option(help="Rendered ones, with up to 4 questions each.")] = 80,
    seed: int = 7,
    receipts_: Annotated[Path | None, typer.Option("--receipts", help="Real pages.")] = None,
    cropper: CropperOption = "nano",
    cache: CacheOption = Path("runs/modes.sqlite"),
    output: OutputOption = None,
) -> None:
    """Answers and tokens of each mode with the defaults, and what stitching keeps at 448 px."""
    bench = Bench(load_cropper(cropper), CachedReader(cache))
    sets = {"rendered": rendered(pages, seed, cache)}
    if receipts_ is not None:
        sets["receipts"] = receipts(receipts_, "validation")
    results: dict[str, Any] = {
        "cropper": bench.name,
        "seed": seed,
        "model": MODEL,
        "margin": MARGIN,
        "sets": {},
    }
    for name, questions in sets.items():
        side = ZoomOptions().thumbnail_side
        large = {
            "full picture": None,
            "thumbnail alone": None,
            **{
                mode: ZoomOptions(mode=mode, target_side=0) for mode in ("add", "replace", "stitch")
            },
        }
        small = {
            "full picture": None,
            "add": ZoomOptions(target_side=SMALL),
            "stitch": ZoomOptions(mode="stitch", target_side=SMALL),
        }
        results["sets"][name] = {
            "questions": len(questions),
            "pages": len({asked.page for asked in questions}),
            "at 1568": _ways(bench, questions, large, SIDE, side),
            "at 448": _ways(bench, questions, small, SMALL, side),
        }
    report(results, _measured(results).values(), output)


def _ways(
    bench: Bench,
    questions: Sequence[Asked],
    ways: Mapping[str, ZoomOptions | None],
    side: int,
    thumbnail: int,
) -> dict[str, Any]:
    draws = PictureBootstrap([asked.page for asked in questions])
    before: list[bool] = []
    gained: list[int] = []
    whole = 0
    figures: dict[str, Any] = {}
    for way, options in ways.items():
        if way == "thumbnail alone":
            sent = [_alone(asked, thumbnail) for asked in questions]
        else:
            sent = [bench.send(asked, options) for asked in questions]
        right = [
            bench.right(asked, one.urls, side) for asked, one in zip(questions, sent, strict=True)
        ]
        tokens = sum(one.tokens for one in sent)
        before, whole = before or right, whole or tokens
        broken = [old and not new for old, new in zip(before, right, strict=True)]
        mended = [new and not old for old, new in zip(before, right, strict=True)]
        gains = [new - old for old, new in zip(before, right, strict=True)]
        figures[way] = {
            "answers": draws.share(right).to_dict(),
            "tokens": tokens / len(questions),
            "share": tokens / whole,
            "with_crop": sum(one.crops > 0 for one in sent) / len(questions),
            "broken": sum(broken),
            "mended": sum(mended),
            "no_worse": non_inferiority(broken, mended, draws, MARGIN),
        }
        if way == "add":
            gained = gains
        if way == "stitch" and gained:
            figures[way]["of_add"] = draws.share(gains, gained).to_dict()
    return figures


def _alone(asked: Asked, side: int) -> Sent:
    small = thumbnail_of(OpenedImage(decode_data_uri(asked.url)), side)
    size = small.width, small.height
    return Sent((small.data_uri(),), sight(MODEL, size).tokens, 0.0, 0)


def tables(results: Mapping[str, Any], tuning: Mapping[str, Any]) -> dict[str, str]:
    """Return the page's tables."""
    return {**_measured(results), "curve": _curve(tuning)}


def _measured(results: Mapping[str, Any]) -> dict[str, str]:
    head = ["", "answers", "image tokens", "difference, points", "verdict", "broke, mended"]
    shown = {}
    for name, figures in results["sets"].items():
        rows = []
        for way, row in figures["at 1568"].items():
            test = row["no_worse"]
            low, high = (100 * end for end in test["interval"])
            compared = [
                f"{100 * test['difference']:+.1f} [{low:+.1f}, {high:+.1f}]",
                test["verdict"],
                f"{row['broken']}, {row['mended']}",
            ]
            rows.append(
                [
                    f"`{way}`" if " " not in way else way,
                    percent(row["answers"]),
                    f"{row['tokens']:,.0f} ({row['share']:.0%})",
                    *(compared if way != "full picture" else ["", "", ""]),
                ]
            )
        shown[name] = markdown(head, rows)
    head = ["", "full picture", "`add`", "`stitch`", "of what `add` gains"]
    rows = [
        [
            f"{name}, {figures['questions']} questions about {figures['pages']} pages",
            *(
                percent(figures["at 448"][way]["answers"])
                for way in ("full picture", "add", "stitch")
            ),
            percent(figures["at 448"]["stitch"]["of_add"]),
        ]
        for name, figures in results["sets"].items()
    ]
    return {**shown, "stitch": markdown(head, rows)}


def _curve(tuning: Mapping[str, Any]) -> str:
    sets = tuning["sets"]
    head = ["thumbnail, px", "crops", "padding", "`min_confidence`"]
    head += [f"{name}: {what}" for name in sets for what in ("tokens", "answers")]
    rows = []
    for points in zip(*(figures["curve"] for figures in sets.values()), strict=True):
        first = points[0]
        if first["min_confidence"] in (0.0, 0.4, 0.6, 0.8):
            cells = [str(first[key]) for key in ("thumbnail", "crops", "padding", "min_confidence")]
            for point in points:
                cells += [f"{point['tokens']:.0%}", f"{point['answers']:.1%}"]
            rows.append(cells)
    full = ["full picture", "", "", ""]
    for figures in sets.values():
        full += ["100%", f"{figures['full']:.1%}"]
    return markdown(head, [full, *rows])


if __name__ == "__main__":
    app()
