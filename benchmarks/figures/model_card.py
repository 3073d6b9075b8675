"""Write nano's model card from what was measured: no figure in it is typed by hand.

python benchmarks/studies/legibility.py --pages 70 --output benchmarks/results/legibility.json
python -m cropzoom.trainer.nano.calibrate runs/nano --output benchmarks/results/calibration.json
python benchmarks/timings/overhead.py --rounds 9 --output benchmarks/results/overhead.json
python benchmarks/studies/where_it_misses.py runs/heldout/questions.jsonl --output benchmarks/results/where_it_misses.json
python benchmarks/figures/model_card.py
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from cropzoom import ZoomOptions

ROOT = Path(__file__).parents[2]
BUNDLED = ROOT / "cropzoom/cropper/bundled"
RESULTS = ROOT / "benchmarks/results"
KINDS = {
    "pair": "key and value",
    "cell": "row and column",
    "contents": "contents and price lists",
    "after": "words after a phrase",
}
BROWSER = {
    "all": ("all", "all"),
    "key and value": ("kind", "pair"),
    "row and column": ("kind", "cell"),
    "titles and names without a key": ("kind", "whole"),
}
SCRIPTS = ("Latin", "Latin with diacritics", "Greek", "Cyrillic")

CARD = """# nano {version}

The crop policy in this package: a page and a question in, the box that shows the answer out.

| | |
|---|---|
| kind | `pointer`: one graph, one run; fully convolutional over the page |
| size | {parameters} M parameters, {megabytes} MB ONNX, {precision} |
| input | grey page, longest side {longest_edge} px (smaller pages enlarged by {max_upscale} at most), local contrast normalised in the graph; the question's last {max_words} words as PHOC vectors |
| output | a logit for each {cell} x {cell} px cell and for "absent"; four distances to the box's edges |
| trained | by us, from random weights, on pages made by `cropzoom.trainer.nano.pages` (with Pillow and with Chromium) only; no other data, no pretrained weights |
| licence | Apache-2.0, as the package |

## Training

{training} The curve is in [training.jsonl](training.jsonl); the last row measures {hit:.1%} at
768 x 1024 px on 96 held-out questions with text of 8.5 to 24 px. Supervised only: word retrieval, PHOC
and character read-outs, then the pointer and edge cross-entropies (`trainer/nano/nano_losses.py`). The fonts
were those of the Debian packages in `trainer/nano/FONTS.txt`; {heldout_fonts} files of other families
were held out, and so were 12 % of all words.

## Measured

On held-out fonts and words, at {width} x {height} px, body text of {min_text:.0f} to {max_text:.0f} px; {pages} pages,
{questions} questions, 95 % bootstrap intervals over pages.
`python benchmarks/studies/legibility.py --pages {pages}`; "answered" and "legible" are those of a stand-in that
sees {side} px and reads with an OCR engine:

| | nano | no crop | centre | random | oracle |
|---|---|---|---|---|---|
| centre in the region | {centre} | | | | |
| answered | {answered} |
| legible | {legible} |
| mean area | {area} |

Centre in the region by kind of question: {kinds}.

On other held-out pages, centre in the region / value shown whole, with intervals
(`python benchmarks/studies/where_it_misses.py runs/heldout/questions.jsonl --pages {where_pages}`; [by place, size, contrast, script and
kind](../../../docs/studies/where-it-misses.md)):

| pages | centre in the region | value whole | questions |
|---|---|---|---|
{others}

Confidence, on {calibration_pages} pages at 1024 px with body text of 8.5 to 30 px, fonts and words of the training split
(`python -m cropzoom.trainer.nano.calibrate runs/nano --pages {calibration_pages}`, the temperature
is chosen on these pages): mean {confidence}. The default `min_confidence={threshold}` keeps crops back
(`python benchmarks/studies/abstention.py --pictures photographs --pool runs/heldout`, held-out pages, questions with and
without an answer; [curves, and what the groups are](../../../docs/studies/abstention.md)):

| asked about | no crop sent | questions |
|---|---|---|
{skipped}

Latency: {latency:.0f} ms for an A4 page at 1024 px on 2 cores (`python benchmarks/timings/overhead.py --rounds 9`).
Parity with torch: {parity:.0e} at most on any logit (checked by the export).

## Where it fails

Misses drawn by chance from both kinds of held-out pages, of as many kinds of page as there are: green where
key and value stand, red the crop (`python benchmarks/figures/failures.py runs/heldout/questions.jsonl`).

![Misses](../../../docs/failures.png)

- **Small print.** Below about 10 px of type size at 1024 px (8 pt on an A4 page) it misses more.
  `load_cropper("nano", longest_edge=1536)` shows it more, at the cost of time; `second_look=2048` does so
  only for pages that are larger and where the first look is unsure
  ([when it pays](../../../docs/studies/input-size.md)).
- **Pages unlike those above.** On layouts made by others expect the figures of the pages that Chromium laid
  out, or less; what it misses most there are titles and names without a key, alias questions
  without the page's own words, and bars of charts.
- **Wide gaps.** Where the value stands far from its key, the box may hold the key alone.
- **Wording.** It knows the question forms in `trainer/nano/pages/questions.py`, some in 14 more languages
  (`languages.py`), and the paraphrases of 96 common fields in `lexicon.py` ("how much do I owe" for
  "Amount due"). A question that shares no word with the page and is not among these is guessed.
- **Natural scenes, photographs, handwriting, charts without labels.** Never seen, but for noise with shapes
  that stands for pictures without an answer.
- **Scripts.** Latin, Greek and Cyrillic, the latter two read less surely; diacritics are folded away. No
  Arabic, Hebrew or CJK.
- **Counting, comparing, reasoning** ("which is largest?"). It finds keys; it does not think.
- **Perspective and curved pages.** Trained on rotations of about one degree, and on a few degrees of
  perspective in the last two of its trainings only.
- **Confidence** drops on what it does not know, but pages without an answer still sometimes get a
  crop: see the figures above.
- **Held-out fonts have relatives.** Fonts are split by family name; a held-out family may be the
  metric twin of one trained on (Nimbus Sans and Liberation Sans, for instance).
"""

HISTORY = """Each run went on from the export of the one before, on two CPU cores that had much other work to do:

1. {steps[1]:,} steps from random weights (`python -m cropzoom.trainer.nano.train runs/nano --steps 3150
   --reading 1100`, seed 1; {minutes[1]:.0f} minutes).
2. {steps[2]:,} (`... runs/nano2 --start-from nano --steps 2400 --decay 0.32 --rate 1.2e-3 --seed 2`;
   {minutes[2]:.0f} minutes).
3. {steps[3]:,} (`... runs/nano3 --start-from nano --steps 4600 --decay 0.45 --rate 1.2e-3 --seed 3 --every 150
   --bf16`, and after step {pages:,} also `--pool runs/pool --pool-share 0.3`: the first 455 pages of
   `python -m cropzoom.trainer.nano.pages.browser runs/pool --pages 1500 --grey`; {minutes[3]:.0f} minutes).
4. {steps[4]:,} (`... runs/nano4 --start-from nano --steps 3700 --decay 0.45 --rate 1.2e-3 --seed 4 --every 150 --bf16
   --pool runs/pool --pool-share 0.5`; {minutes[4]:.0f} minutes). After step 750 the pool was another one, of up to
   2,200 pages (`--pages 2200 --seed 2`), with more templates, and 15 % of all pages were in other
   languages; after step 2,700 some questions were about photographs.

0.4.1 has these weights, too, and reads its boxes off them in another way: those of a key and a value far
from it are joined (`decode.join` in `cropper.json`). A fifth run of 3,000 steps was no better, and is not in
here ([docs/nano.md](../../../docs/nano.md)).

None was one uninterrupted command: the first changed the weight average and the sizes of text on its way,
all their length, and the last two their data."""


def main() -> None:
    """Fill the card."""
    manifest = json.loads((BUNDLED / "nano/cropper.json").read_text())
    curve = [json.loads(row) for row in (BUNDLED / "training.jsonl").open()]
    legibility = _result("legibility")
    calibration = _result("calibration")
    overhead = _result("overhead")
    where = _result("where_it_misses")
    skipped = _result("abstention")["skipped"]
    settings = legibility["settings"]
    groups = calibration["groups"]
    threshold = ZoomOptions().min_confidence
    names = {
        "hits": "where the box is centred in the region",
        "misses": "where it is not",
        "unanswerable": "where nothing on the page answers",
    }
    card = CARD.format(
        version=manifest["version"],
        parameters=f"{_parameters() / 1e6:.2f}",
        megabytes=f"{manifest['files']['model.onnx']['bytes'] / 1e6:.1f}",
        precision=manifest["precision"],
        longest_edge=manifest["image"]["longest_edge"],
        max_upscale=manifest["image"]["max_upscale"],
        max_words=manifest["question"]["max_words"],
        cell=manifest["bins"]["cell"],
        training=_history(curve),
        hit=curve[-1]["768x1024"]["hit"],
        heldout_fonts=legibility["heldout_fonts"],
        width=settings["width"],
        height=settings["height"],
        min_text=float(settings["min_text"]),
        max_text=float(settings["max_text"]),
        side=settings["side"],
        pages=legibility["pages"],
        questions=legibility["questions"],
        centre=_percent(legibility["centre_in_region"]),
        answered=_row(legibility["answered"]),
        legible=_row(legibility["legible"]),
        area=" | ".join(
            f"{legibility['mean_area'][way]:.1%}" if legibility["mean_area"][way] else ""
            for way in ("cropper", "none", "centre", "random", "oracle")
        ),
        kinds=", ".join(
            f"{KINDS[kind]} {part['centre_in_region']:.0%} ({part['questions']} questions)"
            for kind, part in legibility["by_kind"].items()
        ),
        where_pages=where["settings"]["pages"],
        others="\n".join(_others(where["sets"])),
        skipped="\n".join(
            f"| {name} | {_percent(group['at'][str(threshold)])} | {group['questions']} |"
            for name, group in skipped.items()
        ),
        calibration_pages=calibration["settings"]["pages"],
        confidence=", ".join(f"{groups[k]['mean']:.2f} {text}" for k, text in names.items()),
        threshold=threshold,
        latency=median(overhead["latency"]["1024"]),
        parity=manifest["training"]["parity"],
    )
    (BUNDLED / "MODEL_CARD.md").write_text(card)


def _history(curve: list[dict[str, Any]]) -> str:
    """The runs: from random weights, and on from what the one before had exported."""
    steps, minutes = {}, {}
    for row in curve:
        steps[row["run"]], minutes[row["run"]] = row["step"], row["minutes"]
    pages = sum(row["run"] == 3 and "html 736x1024" not in row for row in curve) * 150
    return HISTORY.format(steps=steps, minutes=minutes, pages=pages)


def _others(sets: dict[str, Any]) -> list[str]:
    """Rows about the sets of `where_it_misses.py`."""
    found = {"rendered, English": sets["english"]["groups"]["all"]["all"]}
    scripts = sets["languages"]["groups"]["script"]
    found |= {f"rendered, other languages: {s}": scripts[s] for s in SCRIPTS if s in scripts}
    browser = sets["browser"]["groups"]
    found |= {f"laid out by Chromium: {k}": browser[g][n] for k, (g, n) in BROWSER.items()}
    return [
        f"| {name} | {_percent(f['centre'])} | {_percent(f['whole'])} | {f['questions']} |"
        for name, f in found.items()
    ]


def _result(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return result


def _percent(share: dict[str, Any]) -> str:
    low, high = share["interval"]
    return f"{share['mean']:.1%} [{100 * low:.1f}, {100 * high:.1f}]"


def _row(measure: dict[str, Any]) -> str:
    others = [f"{measure[way]['mean']:.1%}" for way in ("none", "centre", "random", "oracle")]
    return " | ".join([_percent(measure["cropper"]), *others])


def _parameters() -> int:
    """Numbers in the graph's initializers, which is what ships (norms are folded in)."""
    import onnx

    graph = onnx.load(BUNDLED / "nano/model.onnx").graph
    sizes = [int(_product(i.dims)) for i in graph.initializer if i.data_type == 1]
    return sum(sizes)


def _product(dims: Any) -> int:
    total = 1
    for dim in dims:
        total *= dim
    return total


if __name__ == "__main__":
    main()
