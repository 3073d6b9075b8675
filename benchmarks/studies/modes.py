"""Do answers survive when thumbnails and crops go out in place of pictures, and what is saved?

    modes.py tune --receipts FOLDER --output benchmarks/results/modes_tuning.json
    modes.py measure --receipts FOLDER --output benchmarks/results/modes.json
    modes.py told --receipts FOLDER --output benchmarks/results/modes_told.json

Rendered pages are asked about by the stand-in reader (`cropzoom.reading.standin`), which sees them
at 1,568 px, in the page's own words. FOLDER has the sets that `trainer/nano/real_split.py` tells
of; receipts have no labels for what is asked, so there a text reader (rapidocr) reads what is sent,
and an answer counts where it stands in what was read. Tokens are Claude's up to 4.6, which sees
1,568 px. `told` has a language model answer, SmolLM2-135M-Instruct, which is told what was read of
the receipts as they are and in `replace`. `tune` looks at other pages and shops than `measure`, and
at places only: whether a crop shows the answer whole. Rendered pages, and what the reader reads by
the pixels of the picture, are kept beside and in `--cache`, so another cropper is measured in
minutes; remove them where pages are drawn in another way.
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
from cropzoom.trainer.rewards.readout import PACKAGE, FrozenReader
from cropzoom.zoom import Zoom

RESULTS = ("modes", "modes_told", "modes_tuning")
MODEL = "claude-haiku-4-5"
SIDE, SMALL = 1568, 448
RECEIPTS = ("sroie", "softmatic")
MARGIN = 0.01

ALONE = "thumbnail alone"
# At which side pictures are seen, and what goes out there.
WAYS: dict[str, tuple[dict[str, ZoomOptions | None], int]] = {
    "at 1568": (
        {
            "full picture": None,
            ALONE: None,
            "replace": ZoomOptions(mode="replace", target_side=0),
        },
        SIDE,
    ),
    "at 448": (
        {
            "full picture": None,
            "add": ZoomOptions(target_side=SMALL),
            "stitch": ZoomOptions(mode="stitch", target_side=SMALL),
        },
        SMALL,
    ),
}
# What `tune` tries, and the line above which a crop goes out.
THUMBNAILS = (256, 448)
CROPS = ((1, 0.0), (1, 0.15), (2, 0.0))
CONFIDENCES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.8)
_SHOWN = (0.0, 0.3, 0.4, 0.6)

ReceiptsOption = Annotated[Path | None, typer.Option("--receipts", help="Real pages, if any.")]
PagesOption = Annotated[int, typer.Option(help="Rendered ones, with up to 4 questions each.")]
CacheOption = Annotated[Path, typer.Option(help="Of what was read.")]
_CACHE = Path("runs/modes.sqlite")
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
        value: where the answer stands.
    """

    page: str
    url: str
    size: tuple[int, int]
    question: str
    key: str
    answers: tuple[str, ...]
    value: Box


@dataclass(frozen=True)
class Sent:
    """What goes out for a question."""

    urls: tuple[str, ...]
    tokens: int
    confidence: float = 0.0
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of a question: whether the answer was read, what it cost, whether a crop went."""

    right: bool
    tokens: int
    crop: bool


class CachedReader(OcrReader):
    """A reader that reads no picture twice, in this run or another.

    Args:
        path: of the file, made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(threads=1)
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
        plain = [[line.text, list(asdict(line.box).values()), line.confidence] for line in lines]
        self._file.execute("insert into pages values (?, ?)", (key, json.dumps(plain)))
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


def rendered(pages: int, seed: int, cache: Path) -> list[Asked]:
    """Return the questions of rendered pages."""
    file = cache.with_name(f"rendered-{pages}-{seed}.json")
    if not file.exists():
        asked = []
        for row in rendered_test(pages, seed).rows:
            assert row.value is not None, "rendered rows know their places"
            url, size = image_url(row.picture()), row.load().size
            asked.append(
                Asked(row.image_id, url, size, row.question, row.key, row.answers, row.value)
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps([asdict(one) for one in asked]))
    return [
        Asked(
            **{
                **row,
                "size": tuple(row["size"]),
                "answers": tuple(row["answers"]),
                "value": Box(**row["value"]),
            }
        )
        for row in json.loads(file.read_text("utf-8"))
    ]


def receipts(folder: Path, part: Part, most: int | None = None) -> list[Asked]:
    """Return the questions of the receipts of one part, of so many pictures at most."""
    pictures = [
        picture
        for picture in read_pictures(folder, part)
        if picture.source in RECEIPTS and picture.rows
    ]
    pictures = pictures[:most]  # In the order of their names, which are hashes.
    asked = []
    for picture in pictures:
        url, size = image_url(picture.path), load_image(picture.path).size
        for row in picture.rows:
            value = Box.ordered(*row.value, min_side=1e-4)
            asked.append(
                Asked(picture.path.name, url, size, row.question, "", (row.answer,), value)
            )
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
            return Sent((asked.url,), sight(MODEL, asked.size).tokens)
        options = replace(options, question=asked.question, deadline=None, cache_size=0)
        body = {"model": MODEL, "messages": question_messages(asked.url, asked.question)}
        new, done = rewrite_body(body, zoom=self._zoom, options=options, strict=True)
        parts = new["messages"][0]["content"]
        urls = tuple(part["image_url"]["url"] for part in parts if part["type"] == "image_url")
        sure = max((crop.confidence for crop in done.crops), default=0.0)
        return Sent(urls, done.tokens_sent, sure, tuple(crop.box for crop in done.crops))

    def right(self, asked: Asked, urls: Sequence[str], side: int) -> bool:
        """Tell whether the answer is read in pictures that are seen at a side."""
        # Crops come last, and are read first: one that has the answer is enough.
        pages = (self._read(url, side) for url in reversed(urls))
        if asked.key:
            return is_exact(pick_answer(f'"{asked.key}"', [*pages]).text, asked.answers)
        return any(
            is_contained(" ".join(line.text for line in page.lines), asked.answers)
            for page in pages
        )

    def texts(self, urls: Sequence[str], side: int) -> list[str]:
        """Return what is read in pictures that are seen at a side."""
        return ["\n".join(line.text for line in self._read(url, side).lines) for url in urls]

    @lru_cache(maxsize=20_000)  # noqa: B019 (one bench a run)
    def _read(self, url: str, side: int) -> Page:
        return self._eyes[side].read(load_image(decode_data_uri(url)))


@app.command()
def tune(
    pages: PagesOption = 15,
    seed: int = 41,
    receipts_: ReceiptsOption = None,
    cropper: CropperOption = "nano",
    cache: CacheOption = _CACHE,
    output: OutputOption = None,
) -> None:
    """Tokens against answers that are shown whole, for thumbnails, crops and confidences."""
    bench = Bench(load_cropper(cropper), OcrReader())
    sets = {"rendered": rendered(pages, seed, cache)}
    if receipts_ is not None:
        sets["receipts"] = receipts(receipts_, "choice")
    results: dict[str, Any] = {"cropper": bench.name, "seed": seed, "sets": {}}
    for name, questions in sets.items():
        curve = [
            point
            for side in THUMBNAILS
            for count, padding in CROPS
            for point in _points(bench, questions, side, count, padding)
        ]
        results["sets"][name] = {"questions": len(questions), "curve": curve}
    report(results, [_curve(results)], output)


def _points(
    bench: Bench, questions: Sequence[Asked], side: int, count: int, padding: float
) -> list[dict[str, float]]:
    options = ZoomOptions(
        mode="replace",
        thumbnail_side=side,
        max_crops=count,
        padding=padding,
        min_confidence=0.0,
        max_area=1.0,
    )
    sent = [bench.send(asked, options) for asked in questions]
    whole = [sight(MODEL, asked.size).tokens for asked in questions]
    points: list[dict[str, float]] = []
    for least in CONFIDENCES:
        goes = [bool(one.boxes) and one.confidence >= least for one in sent]
        tokens = sum(
            one.tokens if out else full for one, full, out in zip(sent, whole, goes, strict=True)
        )
        lost = sum(
            out and not any(box.covers(asked.value) for box in one.boxes)
            for asked, one, out in zip(questions, sent, goes, strict=True)
        )
        points.append(
            {
                "thumbnail": side,
                "crops": count,
                "padding": padding,
                "min_confidence": least,
                "tokens": tokens / sum(whole),
                "shown": 1 - lost / len(questions),
                "as_it_is": 1 - sum(goes) / len(questions),
            }
        )
    return points


@app.command()
def measure(
    pages: PagesOption = 80,
    seed: int = 7,
    receipts_: ReceiptsOption = None,
    pictures: Annotated[int | None, typer.Option(help="Most receipts; all by default.")] = None,
    cropper: CropperOption = "nano",
    cache: CacheOption = _CACHE,
    output: OutputOption = None,
) -> None:
    """Answers and tokens with the defaults, and what stitching keeps at 448 px."""
    bench = Bench(load_cropper(cropper), CachedReader(cache))
    sets: dict[str, list[Asked]] = {}
    if receipts_ is not None:
        sets["receipts"] = receipts(receipts_, "validation", pictures)
    sets["rendered"] = rendered(pages, seed, cache)
    results: dict[str, Any] = {
        "cropper": bench.name,
        "seed": seed,
        "model": MODEL,
        "margin": MARGIN,
        "sets": {name: {} for name in sets},
    }
    for at, (ways, seen) in WAYS.items():
        for name, questions in sets.items():
            own = outcomes(bench, questions, ways, seen)
            results["sets"][name][at] = figures_of(questions, own)
            # Something to look at, and to keep, before all of it is done.
            report(results, _measured(results).values(), output)


@app.command()
def told(
    receipts_: Annotated[Path, typer.Option("--receipts", help="Real pages.")],
    pictures: Annotated[int | None, typer.Option(help="Most receipts; all by default.")] = None,
    cropper: CropperOption = "nano",
    cache: CacheOption = _CACHE,
    model: Annotated[str | None, typer.Option(help="None: SmolLM2-135M-Instruct.")] = None,
    output: OutputOption = None,
) -> None:
    """Answers of a language model that is told what is read in what goes out."""
    bench = Bench(load_cropper(cropper), CachedReader(cache))
    questions = receipts(receipts_, "validation", pictures)
    ways, _ = WAYS["at 1568"]
    reader = FrozenReader.load(model, page_tokens=1024)
    results: dict[str, list[Outcome]] = {way: [] for way in ways}
    for asked in questions:
        for way, options in ways.items():
            sent = _thumbnail(asked) if way == ALONE else bench.send(asked, options)
            page, *parts = bench.texts(sent.urls, SIDE)
            answer = reader.answer(page, "\n".join(parts), asked.question)
            right = is_contained(answer, asked.answers)
            results[way].append(Outcome(right, sent.tokens, bool(sent.boxes)))
    figures: dict[str, Any] = {
        "cropper": bench.name,
        "model": MODEL,
        "margin": MARGIN,
        "reader": model or PACKAGE,
        "sets": {"told": {"at 1568": figures_of(questions, results)}},
    }
    report(figures, [_measured(figures)["told"]], output)


def outcomes(
    bench: Bench, questions: Sequence[Asked], ways: Mapping[str, ZoomOptions | None], side: int
) -> dict[str, list[Outcome]]:
    """Return what comes of each question in each way, at the side at which pictures are seen."""
    results: dict[str, list[Outcome]] = {way: [] for way in ways}
    for asked in questions:
        for way, options in ways.items():
            sent = _thumbnail(asked) if way == ALONE else bench.send(asked, options)
            right = bench.right(asked, sent.urls, side)
            results[way].append(Outcome(right, sent.tokens, bool(sent.boxes)))
    return results


def figures_of(
    questions: Sequence[Asked], results: Mapping[str, Sequence[Outcome]]
) -> dict[str, Any]:
    """Return the figures of each way; the first is what the others are compared with."""
    draws = PictureBootstrap([asked.page for asked in questions])
    first = next(iter(results.values()))
    before, whole = [one.right for one in first], sum(one.tokens for one in first)
    gained: list[int] = []
    figures: dict[str, Any] = {}
    for way, own in results.items():
        right = [one.right for one in own]
        tokens = sum(one.tokens for one in own)
        broken = [old and not new for old, new in zip(before, right, strict=True)]
        mended = [new and not old for old, new in zip(before, right, strict=True)]
        gains = [new - old for old, new in zip(before, right, strict=True)]
        figures[way] = {
            "answers": draws.share(right).to_dict(),
            "tokens": tokens / len(questions),
            "share": tokens / whole,
            "with_crop": sum(one.crop for one in own) / len(questions),
            "broken": sum(broken),
            "mended": sum(mended),
            "no_worse": non_inferiority(broken, mended, draws, MARGIN),
        }
        if way == "add":
            gained = gains
        if way == "stitch" and gained:
            figures[way]["of_add"] = draws.share(gains, gained).to_dict()
    pages = len({asked.page for asked in questions})
    return {"questions": len(questions), "pages": pages, "ways": figures}


def _thumbnail(asked: Asked) -> Sent:
    source = OpenedImage(decode_data_uri(asked.url))
    small = thumbnail_of(source, ZoomOptions().thumbnail_side)
    return Sent((small.data_uri(),), sight(MODEL, (small.width, small.height)).tokens)


def tables(
    results: Mapping[str, Any], told: Mapping[str, Any], tuning: Mapping[str, Any]
) -> dict[str, str]:
    """Return the page's tables."""
    return {**_measured(told), **_measured(results), "curve": _curve(tuning)}


def _measured(results: Mapping[str, Any]) -> dict[str, str]:
    head = ["", "answers", "image tokens", "difference, points", "verdict", "broke, mended"]
    shown = {}
    for name, figures in results["sets"].items():
        if "at 1568" not in figures:
            continue
        rows = []
        for way, row in figures["at 1568"]["ways"].items():
            test = row["no_worse"]
            low, high = (100 * end for end in test["interval"])
            compared = [
                f"{100 * test['difference']:+.1f} [{low:+.1f}, {high:+.1f}]",
                test["verdict"],
                f"{row['broken']}, {row['mended']}",
            ]
            rows.append(
                [
                    way if " " in way else f"`{way}`",
                    percent(row["answers"]),
                    f"{row['tokens']:,.0f} ({row['share']:.1%})",
                    *(compared if way != "full picture" else ["", "", ""]),
                ]
            )
        own = figures["at 1568"]
        head[0] = f"{own['questions']} questions about {own['pages']} pages"
        shown[name] = markdown(head, rows)
    head = ["", "full picture", "`add`", "`stitch`", "of what `add` gains"]
    rows = []
    for name, figures in results["sets"].items():
        if "at 448" in figures:
            own = figures["at 448"]
            rows.append(
                [
                    f"{name}, {own['questions']} questions about {own['pages']} pages",
                    *(percent(row["answers"]) for row in own["ways"].values()),
                    percent(own["ways"]["stitch"]["of_add"]),
                ]
            )
    return {**shown, "stitch": markdown(head, rows)}


def _curve(tuning: Mapping[str, Any]) -> str:
    sets = tuning["sets"]
    head = ["thumbnail, px", "crops", "padding", "`min_confidence`"]
    names = [f"{name} ({figures['questions']})" for name, figures in sets.items()]
    head += [f"{name}: {what}" for name in names for what in ("tokens", "shown", "as it is")]
    rows = []
    for points in zip(*(figures["curve"] for figures in sets.values()), strict=True):
        first = points[0]
        if first["min_confidence"] not in _SHOWN:
            continue
        cells = [str(first[key]) for key in ("thumbnail", "crops", "padding", "min_confidence")]
        for point in points:
            cells += [f"{point[key]:.1%}" for key in ("tokens", "shown", "as_it_is")]
        rows.append(cells)
    return markdown(head, rows)


if __name__ == "__main__":
    app()
