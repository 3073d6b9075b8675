"""Write nano's model card from what was measured: no figure in it is typed by hand.

python benchmarks/legibility.py --pages 70 --output benchmarks/results/legibility.json
python -m cropzoom.trainer.nano.calibrate runs/nano --output benchmarks/results/calibration.json
python benchmarks/overhead.py --rounds 9 --output benchmarks/results/overhead.json
python benchmarks/where_it_misses.py runs/heldout/questions.jsonl --output benchmarks/results/where_it_misses.json
python benchmarks/model_card.py
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from cropzoom import ZoomOptions

ROOT = Path(__file__).parents[1]
BUNDLED = ROOT / "cropzoom/cropper/bundled"
RESULTS = ROOT / "benchmarks/results"
KINDS = {
    "pair": "key and value",
    "cell": "row and column",
    "contents": "contents and price lists",
    "after": "words after a phrase",
}
HTML = {
    "all": ("all", "all"),
    "key and value": ("kind", "pair"),
    "row and column": ("kind", "cell"),
    "titles and names without a key": ("kind", "whole"),
}

CARD = """# nano {version}

The crop policy in this package: a page and a question in, the box that shows the answer out.

| | |
|---|---|
| kind | `pointer`: one graph, one run; fully convolutional over the page |
| size | {parameters} M parameters, {megabytes} MB ONNX, {precision} |
| input | grey page, longest side {longest_edge} px (smaller pages enlarged by {max_upscale} at most), local contrast normalised in the graph; the question's last {max_words} words as PHOC vectors |
| output | a logit for each {cell} x {cell} px cell and for "absent"; four distances to the box's edges |
| trained | by us, from random weights, on pages made by `cropzoom.trainer.synthetic` (with Pillow and with Chromium) only; no other data, no pretrained weights |
| licence | Apache-2.0, as the package |

## Training

{training} The curve is in [training.jsonl](training.jsonl); the last row measures {hit:.1%} at
768 x 1024 px on 96 held-out questions with text of 8.5 to 24 px. Supervised only: word retrieval, PHOC
and character read-outs, then the pointer and edge cross-entropies (`trainer/nano/losses.py`). The fonts
were those of the Debian packages in `trainer/nano/FONTS.txt`; {heldout_fonts} files of other families
were held out, and so were 12 % of all words.

## Measured

On held-out fonts and words, at {width} x {height} px, body text of {min_text:.0f} to {max_text:.0f} px; {pages} pages,
{questions} questions, 95 % bootstrap intervals over pages.
`python benchmarks/legibility.py --pages {pages}`; "answered" and "legible" are those of a stand-in that
sees {side} px and reads with an OCR engine:

| | nano | no crop | centre | random | oracle |
|---|---|---|---|---|---|
| centre in the region | {centre} | | | | |
| answered | {answered} |
| legible | {legible} |
| mean area | {area} |

Centre in the region by kind of question: {kinds}.

On pages that Chromium laid out, a harder and less familiar kind: fonts, words and four of the templates
held out, 60 pages (`docs/nano.md` tells how they are made; `benchmarks/where_it_misses.py`), centre in
the region / value shown whole: {html}.

Confidence, at 1024 px, body text of 8.5 to 30 px, fonts and words of the training split
(`python -m cropzoom.trainer.nano.calibrate runs/nano --pages {calibration_pages}`, the temperature
is chosen on these pages): mean {confidence}. With the default `min_confidence={threshold}`, {let_through} of
these get a crop.

Latency: {latency:.0f} ms for an A4 page at 1024 px on 2 cores (`python benchmarks/overhead.py --rounds 9`).
Parity with torch: {parity:.0e} at most on any logit (checked by the export).

## Where it fails

- **Small print.** Below about 10 px of type size at 1024 px (8 pt on an A4 page) it misses more.
  `load_cropper("nano", longest_edge=1536)` shows it more, at the cost of time.
- **Pages unlike those above.** On layouts made by others expect the figures of the pages that Chromium laid
  out, or less; what it misses most there are titles and names without a key, alias questions
  without the page's own words, and bars of charts.
- **Wide gaps.** Where the value stands far from its key, the box may hold the key alone.
- **Wording.** It knows the question forms in `trainer/synthetic/questions.py` and the paraphrases of
  96 common fields in `lexicon.py` ("how much do I owe" for "Amount due"). A question that shares no word
  with the page and is not among these is guessed.
- **Natural scenes, photographs, handwriting, charts without labels.** Never seen, but for noise with shapes
  that stands for pictures without an answer.
- **Scripts.** Latin only; diacritics are folded away. No Greek, Cyrillic, Arabic, or CJK.
- **Counting, comparing, reasoning** ("which is largest?"). It finds keys; it does not think.
- **Perspective and curved pages.** Trained on rotations of about one degree, and on a few degrees of
  perspective in the last of its trainings only.
- **Confidence** drops on what it does not know, but pages without an answer still sometimes get a
  crop: see the figures above.
- **Held-out fonts have relatives.** Fonts are split by family name; a held-out family may be the
  metric twin of one trained on (Nimbus Sans and Liberation Sans, for instance).
"""


def main() -> None:
    """Fill the card."""
    manifest = json.loads((BUNDLED / "nano/cropper.json").read_text())
    curve = [json.loads(row) for row in (BUNDLED / "training.jsonl").open()]
    legibility = _result("legibility")
    calibration = _result("calibration")
    overhead = _result("overhead")
    html = _result("where_it_misses")["sets"]["browser"]["groups"]
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
        html="; ".join(
            f"{name} {part['centre']['mean']:.0%} / {part['whole']['mean']:.0%} "
            f"({part['questions']} questions)"
            for name, (group, label) in HTML.items()
            for part in [html[group][label]]
        ),
        calibration_pages=calibration["settings"]["pages"],
        confidence=", ".join(f"{groups[k]['mean']:.2f} {text}" for k, text in names.items()),
        threshold=threshold,
        let_through=", ".join(f"{groups[k]['above'][str(threshold)]:.0%}" for k in names),
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
    return (
        f"First {steps[1]:,} steps from random weights (`python -m cropzoom.trainer.nano.train "
        f"runs/nano --steps 3150 --reading 1100`, seed 1; {minutes[1]:.0f} minutes), then "
        f"{steps[2]:,} on from that export (`... runs/nano2 --start-from nano --steps 2400 --decay "
        f"0.32 --rate 1.2e-3 --seed 2`; {minutes[2]:.0f} minutes), then {steps[3]:,} on from that "
        f"(`... runs/nano3 --start-from nano --steps 4600 --decay 0.45 --rate 1.2e-3 --seed 3 "
        f"--every 150 --bf16`, and after step {pages:,} also `--pool runs/pool --pool-share 0.3`: "
        "pages that Chromium laid out, the first 455 of `python -m cropzoom.trainer.synthetic.html "
        "runs/pool --pages 1500 --grey`; "
        f"{minutes[3]:.0f} minutes), on two CPU cores that had much other work to do. None was one "
        "uninterrupted command: the first changed the weight average and the sizes of text on its "
        "way, all three their length, and the last its decay and the pool."
    )


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
