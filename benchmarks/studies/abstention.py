"""Does the confidence say when to send no crop? Reliability, risk and coverage, and a threshold.

    python benchmarks/studies/abstention.py --pictures photographs --pool runs/heldout \
        --output benchmarks/results/abstention.json --figure docs/studies/abstention.svg

A threshold for `min_confidence` is chosen on pages with fonts and words of the *training* split and
on drawn scenes, by the rule of `choose`. Everything else is measured on what training never saw:
rendered pages with held-out fonts and words, laid-out pages of held-out templates (`--pool`, made
by `python -m cropzoom.trainer.nano.pages.browser` with `--split heldout`), and photographs
(`--pictures`, any folder; `photographs.sh` makes the one whose results are committed).

A crop is right where its centre lies in the region of key and value. For a question that nothing in
the picture answers, none is.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from confidence import Floats, aurc, calibration_error, reliability, risks
from PIL import Image
from study import (
    CropperOption,
    FigureOption,
    OutputOption,
    Question,
    markdown,
    percent,
    report,
)

from cropzoom.cropper import Cropper, load_cropper
from cropzoom.evaluate.intervals import PictureBootstrap
from cropzoom.geometry import Box
from cropzoom.images import OpenedImage
from cropzoom.options import ZoomOptions
from cropzoom.trainer.nano.pages import PageOptions, render_page
from cropzoom.trainer.nano.pages.browser.pool import Pool, ask_field, askable
from cropzoom.trainer.nano.pages.browser.pool import choose as choose_fields
from cropzoom.trainer.nano.pages.fonts import Split
from cropzoom.trainer.nano.pages.lexicon import Lexicon
from cropzoom.trainer.nano.pages.questions import Question as PageQuestion
from cropzoom.trainer.nano.pages.questions import ask_absent
from cropzoom.trainer.nano.pages.rendered_rows import TEST_PAGES

SIZES = ((736, 1024), (1024, 736), (576, 1024), (1024, 1024))
TEXT = (
    "What is the total?",
    "What is the date?",
    "What is the phone number?",
    "Who is the author?",
)
NATURAL = (
    "What colour is the car?",
    "How many people are there?",
    "What is the animal doing?",
    "Is it raining?",
)
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
CHOICES = tuple(round(0.1 * step, 1) for step in range(1, 10))
LOST = 5.0
"""How many needless crops are as bad as a right crop that is not sent."""
DRAWS = 1000


@dataclass(frozen=True)
class Asked(Question):
    """A question about a picture, and `group`: what kind of picture and question."""

    group: str


@dataclass(frozen=True)
class Outcome:
    """What the cropper made of it."""

    asked: Asked
    confidence: float
    right: bool


Pictured = tuple[Image.Image, list[Asked]]


def rendered(split: Split, pages: int, seed: int, each: int = 4) -> Iterator[Pictured]:
    """Pages with up to `each` questions about their fields, one about a field that is not there,
    and one about a picture."""
    rng = random.Random(f"abstention/{split}/{seed}")
    for number in range(pages):
        width, height = rng.choice(SIZES)
        options = replace(TEST_PAGES, width=width, height=height, split=split, questions=each)
        page = render_page(rng, options)
        name = f"rendered {number}"
        words = " ".join(word.text for word in page.words)
        absent = ask_absent(rng, Lexicon(rng, split), page.fields, words)
        asked = [_about("rendered", name, q, width, height) for q in page.questions]
        asked.append(_about("rendered", name, absent, width, height))
        asked.append(Asked(name, rng.choice(NATURAL), None, None, "rendered, natural"))
        yield page.image.convert("RGB"), asked


def laid_out(folder: Path, seed: int) -> Iterator[Pictured]:
    """Pages of a pool, with the same questions as rendered ones."""
    pool = Pool(folder)
    for index in range(len(pool)):
        rng = random.Random(f"abstention/{seed}/{index}")
        record = pool.record(index)
        fields = askable(record.fields)
        name, (width, height) = f"laid out {index}", record.image.size
        questions = [ask_field(rng, f, fields) for f in choose_fields(rng, fields, 4)]
        words = " ".join(word.text for word in record.words)
        questions.append(ask_absent(rng, Lexicon(rng, record.split), record.fields, words))
        asked = [_about("laid out", name, q, width, height) for q in questions]
        asked.append(Asked(name, rng.choice(NATURAL), None, None, "laid out, natural"))
        yield record.image.convert("RGB"), asked


def scenes(pictures: int, seed: int) -> Iterator[Pictured]:
    """Drawn pictures without a word, with two questions of each kind."""
    rng = random.Random(f"abstention/scenes/{seed}")
    for number in range(pictures):
        width, height = rng.choice(SIZES)
        page = render_page(rng, PageOptions(width, height, layout="picture"))
        yield page.image.convert("RGB"), _about_picture(rng, "scenes", f"scene {number}", 2)


def photographs(folder: Path, cropper: Cropper, seed: int) -> Iterator[Pictured]:
    """All pictures of a folder, with four questions of each kind; shrunk as for a request."""
    for path in sorted(folder.iterdir()):
        rng = random.Random(f"abstention/{seed}/{path.name}")
        edge: int = getattr(cropper, "longest_edge", 1024)
        image = OpenedImage(path.read_bytes()).preview(edge)
        yield image, _about_picture(rng, "photographs", path.name, 4)


def _about(group: str, page: str, question: PageQuestion, width: int, height: int) -> Asked:
    if question.region is None:
        return Asked(page, question.text, None, None, f"{group}, absent")
    x0, y0, x1, y1 = question.region
    region = Box.ordered(x0 / width, y0 / height, x1 / width, y1 / height)
    return Asked(page, question.text, region, None, group)


def _about_picture(rng: random.Random, group: str, page: str, each: int) -> list[Asked]:
    kinds = (("text", TEXT), ("natural", NATURAL))
    return [
        Asked(page, text, None, None, f"{group}, {kind}")
        for kind, texts in kinds
        for text in rng.sample(texts, each)
    ]


def ask(cropper: Cropper, pictures: Iterable[Pictured]) -> list[Outcome]:
    """Put every question; no crop at all has confidence 0."""
    outcomes = []
    for image, questions in pictures:
        for asked in questions:
            crops = cropper.predict(image, asked.text)
            best = crops[0] if crops else None
            right = asked.hit(best.box if best else None)
            outcomes.append(Outcome(asked, best.confidence if best else 0.0, right))
    return outcomes


def choose(hits: Sequence[float], others: Mapping[str, Sequence[float]]) -> float:
    """The multiple of 0.1 that costs least.

    A threshold costs `LOST` times the share of right crops that it loses, and the share of
    questions without an answer that it lets through, groups counting alike.

    Args:
        hits: confidences of right crops.
        others: confidences where nothing answers, by group.
    """

    def cost(threshold: float) -> float:
        lost = float(np.mean(np.asarray(hits) < threshold))
        let = [float(np.mean(np.asarray(group) >= threshold)) for group in others.values()]
        return LOST * lost + sum(let) / len(let)

    return min(CHOICES, key=cost)


def columns(outcomes: Sequence[Outcome]) -> tuple[Floats, Floats]:
    """Confidences, and 1.0 where the crop is right."""
    confidence = np.array([outcome.confidence for outcome in outcomes])
    return confidence, np.array([float(outcome.right) for outcome in outcomes])


def of_group(outcomes: Sequence[Outcome], *groups: str) -> list[Outcome]:
    """Those of some groups."""
    return [outcome for outcome in outcomes if outcome.asked.group in groups]


def summarise(
    outcomes: Sequence[Outcome], training: Sequence[Outcome], seed: int
) -> dict[str, Any]:
    """Choose on `training`, and measure on `outcomes`."""
    empty = sorted({o.asked.group for o in training if o.asked.box is None})
    hits = [o.confidence for o in training if o.right]
    others = {g: columns(of_group(training, g))[0].tolist() for g in empty}
    found = choose(hits, others)
    default = ZoomOptions().min_confidence
    thresholds = sorted({*THRESHOLDS, found, default})
    results: dict[str, Any] = {
        "rule": {"lost": LOST, "chosen": found},
        "training split": {
            name: {str(t): float(np.mean(np.asarray(group) < t)) for t in thresholds}
            for name, group in {"right crop": hits, **others}.items()
        },
        "default": default,
        "curves": {},
        "skipped": {},
    }
    for name in ("rendered", "laid out"):
        mixed = of_group(outcomes, name, f"{name}, absent")
        if mixed:
            confidence, right = both = columns(mixed)
            pages = [outcome.asked.page for outcome in mixed]
            draws = PictureBootstrap(pages, resamples=DRAWS, seed=seed)
            curve = risks(confidence, right)
            places = np.unique(np.linspace(0, len(curve) - 1, 100).round().astype(int))
            results["curves"][name] = {
                "questions": len(mixed),
                "right": float(right.mean()),
                "bins": reliability(confidence, right),
                "calibration error": draws.of_rows(calibration_error, *both).to_dict(),
                "aurc": draws.of_rows(aurc, *both).to_dict(),
                "least aurc": aurc(right, right),
                "coverage": [(place + 1) / len(curve) for place in places.tolist()],
                "risk": curve[places].tolist(),
            }
    groups = {group: of_group(outcomes, group) for group in {o.asked.group for o in outcomes}}
    # Of the answerable questions: right crops that are lost, and wrong ones that are.
    for name in ("rendered", "laid out"):
        answered = groups.pop(name, [])
        groups[f"{name}, right crop"] = [o for o in answered if o.right]
        groups[f"{name}, wrong crop"] = [o for o in answered if not o.right]
    for group, some in sorted(groups.items()):
        if some:
            draws = PictureBootstrap([o.asked.page for o in some], seed=seed)
            results["skipped"][group] = {
                "questions": len(some),
                "pictures": len({o.asked.page for o in some}),
                "at": {
                    str(t): draws.share([o.confidence < t for o in some]).to_dict()
                    for t in thresholds
                },
            }
    return results


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Return the tables of docs/studies/abstention.md."""
    rule = results["rule"]
    shown = sorted({0.2, 0.3, 0.5, 0.7, results["default"], rule["chosen"]})
    marks = {results["default"]: " (default)", rule["chosen"]: " (chosen)"}
    if results["default"] == rule["chosen"]:
        marks = {rule["chosen"]: " (default, chosen)"}
    skipped = [
        [
            group,
            f"{found['questions']}",
            f"{found['pictures']}",
            *(percent(found["at"][str(t)]) for t in shown),
        ]
        for group, found in results["skipped"].items()
    ]
    head = ["share skipped", "questions", "pictures", *(f"{t:g}{marks.get(t, '')}" for t in shown)]
    curves = [
        [
            name,
            f"{found['questions']}",
            f"{100 * found['right']:.1f} %",
            _number(found["calibration error"]),
            _number(found["aurc"]),
            f"{found['least aurc']:.4f}",
        ]
        for name, found in results["curves"].items()
    ]
    names = ["pages", "questions", "right", "calibration error", "AURC", "least possible"]
    return {"skipped": markdown(head, skipped), "curves": markdown(names, curves)}


def _number(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['mean']:.3f} [{low:.3f}, {high:.3f}]"


def draw(results: dict[str, Any], path: Path) -> None:
    """Plot reliability, risk against coverage, and what thresholds skip, as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    # The same results make the same file.
    matplotlib.rcParams["svg.hashsalt"] = "cropzoom"
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(13, 4), layout="constrained")
    left.plot([0, 1], [0, 1], color="grey", linestyle=":")
    for shift, (name, found) in enumerate(results["curves"].items()):
        bins = found["bins"]
        x, y = ([bin[key] for bin in bins] for key in ("confidence", "right"))
        below = [bin["right"] - bin["interval"][0] for bin in bins]
        above = [bin["interval"][1] - bin["right"] for bin in bins]
        error = found["calibration error"]["mean"]
        label = f"{name}, ECE {error:.3f}"
        left.errorbar(x, y, yerr=(below, above), marker="o", capsize=3, label=label)
        for bin in bins:
            at = (bin["confidence"], 0.03 + 0.05 * shift)
            left.annotate(str(bin["questions"]), at, fontsize=7, ha="center", color=f"C{shift}")
        label = f"{name}, AURC {found['aurc']['mean']:.3f}"
        middle.plot(found["coverage"], found["risk"], label=label)
    left.set(xlabel="confidence (below: questions)", ylabel="share of right crops")
    middle.set(xlabel="share of questions that get a crop", ylabel="share of wrong crops")
    middle.set_ylim(bottom=0)
    for group, found in results["skipped"].items():
        at = {float(t): share["mean"] for t, share in found["at"].items()}
        style = "-" if "right" in group else ":" if "wrong" in group else "--"
        right.plot(list(at), list(at.values()), style, label=group)
    right.axvline(results["default"], color="grey", linewidth=0.8)
    right.set(xlabel="min_confidence (line: default)", ylabel="share skipped")
    for axes in (left, middle):
        axes.legend(fontsize=8)
    right.legend(fontsize=6)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main(
    cropper: CropperOption = "nano",
    pages: Annotated[int, typer.Option(help="Rendered, of each split.")] = 200,
    scene_count: Annotated[
        int, typer.Option("--scenes", help="For the choice, and to measure.")
    ] = 60,
    pictures: Annotated[Path | None, typer.Option(help="Photographs without text.")] = None,
    pool: Annotated[Path | None, typer.Option(help="Laid-out pages of the held-out split.")] = None,
    seed: Annotated[int, typer.Option(help="Of pages, questions and draws.")] = 7,
    output: OutputOption = None,
    figure: FigureOption = None,
) -> None:
    """Choose a threshold on the training split, and measure it on what training never saw."""
    with load_cropper(cropper) as loaded:
        training = ask(loaded, rendered("train", pages, seed, each=2))
        training += ask(loaded, scenes(scene_count, seed))
        outcomes = ask(loaded, rendered("heldout", pages, seed))
        outcomes += ask(loaded, scenes(scene_count, seed + 1))
        if pool:
            outcomes += ask(loaded, laid_out(pool, seed))
        if pictures:
            outcomes += ask(loaded, photographs(pictures, loaded, seed))
    settings = {"pages": pages, "scenes": scene_count, "seed": seed}
    results = {"settings": settings, **summarise(outcomes, training, seed)}
    report(results, tables(results).values(), output)
    if figure:
        draw(results, figure)
    typer.echo(f"min_confidence={results['rule']['chosen']} costs least on the training split")


if __name__ == "__main__":
    typer.run(main)
