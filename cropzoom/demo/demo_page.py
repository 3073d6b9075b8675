"""The results of a demo run as one HTML file that needs nothing else."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from itertools import groupby
from statistics import mean

from PIL import Image

from cropzoom.demo.ask_samples import Answer, Asked
from cropzoom.geometry import Box
from cropzoom.images import Encoded, encode_crop, load_image

STYLE = """
:root { color-scheme: light dark; --page: #f6f7fa; --card: #fff; --ink: #171c2a; --soft: #626b80;
  --line: #e2e6ee; --good: #12805a; --good-bg: #e2f5ec; --bad: #b62b3c; --bad-bg: #fdeaec;
  --accent: #e0396f; --shade: 0 1px 2px #10182808, 0 8px 28px #10182810 }
@media (prefers-color-scheme: dark) { :root { --page: #0f121a; --card: #181c27; --ink: #e9ecf4;
  --soft: #98a1b8; --line: #2a3040; --good: #58d6a4; --good-bg: #12352a; --bad: #ff8b98;
  --bad-bg: #3d1a22; --accent: #ff5c92; --shade: none } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, Inter, sans-serif }
main { max-width: 1240px; margin: 0 auto; padding: 56px 28px 80px }
h1 { font-size: 40px; line-height: 1.15; letter-spacing: -.02em; margin: 0 0 12px }
h2 { font-size: 22px; margin: 0 }
.lead { color: var(--soft); font-size: 18px; max-width: 46em; margin: 0 }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 16px;
  margin: 36px 0 14px }
.figure { background: var(--card); border-radius: 16px; padding: 20px 24px;
  box-shadow: var(--shade) }
.figure b { display: block; font-size: 34px; line-height: 1.2; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums }
.figure span { color: var(--soft); font-size: 14px }
.figure.up b { color: var(--good) }
.note { color: var(--soft); font-size: 14px; margin: 0 0 48px }
section { background: var(--card); border-radius: 20px; box-shadow: var(--shade); padding: 28px;
  margin-bottom: 32px; display: grid; gap: 32px;
  grid-template-columns: minmax(0, 5fr) minmax(0, 6fr) }
section.wide { grid-template-columns: minmax(0, 1fr) }
@media (max-width: 900px) { section { grid-template-columns: minmax(0, 1fr) } }
.title { grid-column: 1 / -1; display: flex; justify-content: space-between; align-items: baseline }
.title span { color: var(--soft); font-size: 14px }
.shot { position: relative; align-self: start; border-radius: 10px; overflow: hidden;
  border: 1px solid var(--line); line-height: 0 }
.shot img { width: 100%; height: auto }
.box { position: absolute; border: 2px solid var(--accent); border-radius: 4px;
  box-shadow: 0 0 0 2px #fff8; line-height: 1 }
.box i { position: absolute; left: -2px; bottom: 100%; background: var(--accent); color: #fff;
  font: 700 12px/18px system-ui, sans-serif; padding: 0 6px; border-radius: 4px 4px 0 0 }
.lit .box:not(.on) { opacity: .25 }
.asked { display: grid; gap: 26px; align-content: start }
.wide .asked { grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)) }
.q { font-weight: 650; margin: 0 0 10px; display: flex; gap: 10px }
.q i { flex: none; align-self: start; margin-top: 2px; background: var(--accent); color: #fff;
  font: 700 12px/20px system-ui, sans-serif; padding: 0 7px; border-radius: 6px }
.pair { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 12px }
.tile { border: 1px solid var(--line); border-radius: 12px; overflow: hidden; display: flex;
  flex-direction: column }
.tile .pic { height: 112px; background: var(--page); display: grid; place-items: center;
  padding: 8px; overflow: hidden }
.tile img { max-width: 100%; max-height: 96px; width: 100%; height: 100%; object-fit: contain }
.tile .raw { image-rendering: pixelated }
.tile p { margin: 0; padding: 8px 12px; font-size: 12.5px; color: var(--soft);
  border-top: 1px solid var(--line); flex: 1 }
.said { padding: 9px 12px; font-weight: 600; overflow-wrap: anywhere; display: flex; gap: 8px }
.said.yes { background: var(--good-bg); color: var(--good) }
.said.no { background: var(--bad-bg); color: var(--bad) }
footer { color: var(--soft); font-size: 14px }
code { font-size: .92em }
"""

# Pointing at a question dims the other boxes of its picture.
_SCRIPT = """
for (const q of document.querySelectorAll("[data-box]")) {
  const box = document.getElementById(q.dataset.box);
  if (!box) continue;
  const light = on => {
    box.classList.toggle("on", on);
    box.parentElement.classList.toggle("lit", on);
  };
  q.addEventListener("mouseenter", () => light(true));
  q.addEventListener("mouseleave", () => light(false));
}
"""


def results_page(
    results: Sequence[Asked], *, model: str, cropper: str, side: int, stand_in: bool
) -> str:
    """Return a complete HTML document with pictures, boxes, crops and answers inside.

    Args:
        results: of `ask_all`, those of one picture next to each other.
        model: name of the target.
        cropper: name of the cropper.
        side: longest side, in px, at which the page shows what the target makes of a picture.
        stand_in: whether the target is the one of `cropzoom.demo.server`.
    """
    sections = "".join(
        _section(number, list(group), side)
        for number, (_, group) in enumerate(groupby(results, key=lambda asked: asked.picture))
    )
    if stand_in:
        target = (
            f"The target <code>{escape(model)}</code> is a stand-in: it sees every picture at "
            f"{side} px, as a small vision-language model does, and answers by reading it with an "
            "OCR engine. No language model took part; use <code>cropzoom demo --base-url … "
            "--model …</code> to ask a real one."
        )
    else:
        target = f"The target is <code>{escape(model)}</code>."
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>cropzoom demo</title><style>{STYLE}</style></head><body><main>"
        "<h1>The same model, one crop later</h1>"
        '<p class="lead">Each question was asked twice: with the picture alone, and through '
        "<code>CropZoom(client)</code>, which adds the part of the picture that answers it. "
        "Client, prompt and target are the same.</p>"
        f"{_figures(results)}"
        f'<p class="note">{target} Cropper: <code>{escape(cropper)}</code>. The pictures were '
        f"drawn for this demo.</p>{sections}"
        "<footer>Left tiles: the same place as the target sees it in the whole picture at "
        f"{side} px. Right tiles: the crop that was added to the request.</footer>"
        f"</main><script>{_SCRIPT}</script></body></html>\n"
    )


def _figures(results: Sequence[Asked]) -> str:
    count = len(results)
    crops = [crop for asked in results for crop in asked.report.crops]
    area = f"{mean(crop.box.area for crop in crops):.1%}" if crops else "none"
    times = sorted(asked.report.milliseconds for asked in results)
    spent = f"{times[len(times) // 2]:.0f} ms" if times else "none"
    cells = [
        ("", f"{sum(a.plain.right for a in results)} / {count}", "right without a crop"),
        ("up", f"{sum(a.zoomed.right for a in results)} / {count}", "right with the crop"),
        ("", area, "of the picture, mean area of a crop"),
        ("", spent, "cropzoom's share of a call, median"),
    ]
    extra = [
        a.zoomed.prompt_tokens - a.plain.prompt_tokens
        for a in results
        if a.zoomed.prompt_tokens is not None and a.plain.prompt_tokens is not None
    ]
    if extra:
        cells.append(("", f"+{mean(extra):.0f}", "prompt tokens per call, mean"))
    return '<div class="figures">{}</div>'.format(
        "".join(
            f'<div class="figure {kind}"><b>{value}</b><span>{label}</span></div>'
            for kind, value, label in cells
        )
    )


def _section(number: int, group: list[Asked], side: int) -> str:
    picture = group[0].picture
    data = picture.path.read_bytes()
    image = load_image(data)
    mime = "image/jpeg" if picture.path.suffix == ".jpg" else "image/png"
    source = Encoded(data, mime, *image.size).data_uri()
    boxes, questions = [], []
    for index, asked in enumerate(group, start=1):
        name = f"b{number}-{index}"
        if asked.report.crops:
            boxes.append(_box(name, index, asked.report.crops[0].box))
        questions.append(_question(name, index, asked, image, side))
    wide = " wide" if image.width > 1.3 * image.height else ""
    title = escape(picture.title)
    return (
        f'<section class="{wide.strip()}"><div class="title"><h2>{title}</h2>'
        f"<span>{image.width} x {image.height} px</span></div>"
        f'<div class="shot"><img src="{source}" alt="{title}">{"".join(boxes)}</div>'
        f'<div class="asked">{"".join(questions)}</div></section>'
    )


def _box(name: str, index: int, box: Box) -> str:
    place = f"left:{box.x0:.3%};top:{box.y0:.3%};width:{box.width:.3%};height:{box.height:.3%}"
    return f'<div class="box" id="{name}" style="{place}"><i>{index}</i></div>'


def _question(name: str, index: int, asked: Asked, image: Image.Image, side: int) -> str:
    crops = asked.report.crops
    box = crops[0].box if crops else asked.question.region
    seen = _png(_as_seen(image, box, side))
    if crops:
        crop = encode_crop(image, box, min_side=0, max_side=640, photographic=True)
        caption = (
            f"confidence {crops[0].confidence:.2f} · {box.area:.1%} of the picture · "
            f"{asked.report.milliseconds:.0f} ms"
        )
        right = _tile(crop.data_uri(), "", f"with the crop: {caption}", asked.zoomed)
    else:
        reason = asked.report.images[0].reason if asked.report.images else asked.report.reason
        right = _tile("", "", f"no crop was added: {escape(str(reason))}", asked.zoomed)
    left = _tile(seen.data_uri(), "raw", f"without a crop, at {side} px", asked.plain)
    return (
        f'<div data-box="{name}"><p class="q"><i>{index}</i>{escape(asked.question.question)}</p>'
        f'<div class="pair">{left}{right}</div></div>'
    )


def _tile(source: str, kind: str, caption: str, answer: Answer) -> str:
    picture = f'<img class="{kind}" src="{source}" alt="">' if source else ""
    mark, name = ("✓", "yes") if answer.right else ("✗", "no")
    return (
        f'<div class="tile"><div class="pic">{picture}</div><p>{caption}</p>'
        f'<div class="said {name}"><span>{mark}</span><span>{escape(answer.text)}</span></div>'
        "</div>"
    )


def _as_seen(image: Image.Image, box: Box, side: int) -> Image.Image:
    """Cut a box out of the picture as shrunk to `side` px."""
    zoom = min(1.0, side / max(image.size))
    size = (max(1, round(image.width * zoom)), max(1, round(image.height * zoom)))
    small = image.resize(size, Image.Resampling.LANCZOS)
    return small.crop(box.to_pixels(*small.size))


def _png(image: Image.Image) -> Encoded:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return Encoded(buffer.getvalue(), "image/png", *image.size)
