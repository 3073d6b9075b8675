"""What do thumbnails and crops save? Image tokens by provider, with each mode.

Every question about the eight sample pictures is put into a request as an application would send
it, and rewritten for each model. Tokens are counted by `cropzoom.models`, whose rules are the
providers' own; a picture whose crop is unsure goes out as it is, and counts so.

    python benchmarks/studies/savings.py
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from study import CropperOption, OutputOption, cropper_name, markdown, report

from cropzoom import load_cropper, rewrite_body
from cropzoom.models import price_of, rule_for, sight
from cropzoom.options import ZoomOptions
from cropzoom.samples import SamplePicture, load_samples
from cropzoom.zoom import Zoom

RESULTS = ("savings",)
MODELS = {
    "gpt-6-astra": "high",
    "gpt-5-mini": None,
    "gpt-4o": "high",
    "claude-opus-5": None,
    "claude-haiku-4-5": None,
    "gemini-3-pro": None,
    "gemini-2.5-flash": None,
    "qwen3-vl": None,
    "smolvlm-256m": None,
    "llava-1.5": None,
    "pixtral-12b": None,
}
MODES = ("add", "replace", "stitch")
# Pages people send, in px: A4 at 200 and 150 dpi, a phone's photograph, a screen.
PAGES = {
    "A4, 200 dpi": (1654, 2339),
    "A4, 150 dpi": (1240, 1754),
    "photograph, 12 MP": (4032, 3024),
    "screen, 1920x1080": (1920, 1080),
}


def main(
    cropper: CropperOption = "nano",
    models: Annotated[list[str] | None, typer.Option("--model", help="Only these.")] = None,
    output: OutputOption = None,
) -> None:
    """Count what the samples' questions cost with each mode, for each model."""
    zoom = Zoom(load_cropper(cropper))
    chosen = {name: detail for name, detail in MODELS.items() if not models or name in models}
    results: dict[str, Any] = {
        "cropper": cropper_name(zoom.cropper),
        "models": {name: measured(zoom, name, detail) for name, detail in chosen.items()},
        "pages": {
            name: {page: sight(name, size, detail).tokens for page, size in PAGES.items()}
            for name, detail in chosen.items()
        },
    }
    report(results, tables(results).values(), output)


def measured(zoom: Zoom, model: str, detail: str | None) -> dict[str, Any]:
    """Return the mean tokens of a question's picture, as given and with each mode."""
    sums: dict[str, float] = defaultdict(float)
    questions = 0
    shown: dict[str, int] = defaultdict(int)
    untouched: dict[str, int] = defaultdict(int)
    for sample in load_samples():
        for question in sample.questions:
            questions += 1
            for mode in MODES:
                options = ZoomOptions(mode=mode, target_side=0, deadline=None)
                body = request(sample, question.question, model, detail)
                _, done = rewrite_body(body, zoom=zoom, options=options)
                sums[mode] += done.tokens_sent
                shown[mode] += any(crop.box.covers(question.value) for crop in done.crops)
                untouched[mode] += not done.crops
            sums["given"] += done.tokens_given
    price = price_of(model)
    return {
        "family": rule_for(model).family,
        "price": price and price.prompt,
        "price_source": price and f"{price.source}, {price.date}",
        "detail": detail,
        "questions": questions,
        "tokens": {name: total / questions for name, total in sums.items()},
        "shown": {mode: shown[mode] / questions for mode in MODES},
        "untouched": {mode: untouched[mode] / questions for mode in MODES},
    }


def request(sample: SamplePicture, question: str, model: str, detail: str | None) -> dict[str, Any]:
    """Return a chat completion's body that asks about a picture."""
    kind = "jpeg" if sample.path.suffix == ".jpg" else "png"
    data = base64.b64encode(sample.path.read_bytes()).decode()
    image: dict[str, str] = {"url": f"data:image/{kind};base64,{data}"}
    if detail is not None:
        image["detail"] = detail
    content = [{"type": "image_url", "image_url": image}, {"type": "text", "text": question}]
    return {"model": model, "messages": [{"role": "user", "content": content}]}


def tables(results: Mapping[str, Any]) -> dict[str, str]:
    """Return the page's tables."""
    rows = []
    for name, row in results["models"].items():
        tokens, given = row["tokens"], row["tokens"]["given"]
        level = f", detail={row['detail']}" if row["detail"] else ""
        price = row["price"]
        money = "" if price is None else f"${(given - tokens['replace']) * price / 1e3:,.2f}"
        rows.append(
            [
                _provider(row["family"]),
                f"`{name}`{level}",
                f"{given:,.0f}",
                *(f"{tokens[mode]:,.0f} ({tokens[mode] / given:.0%})" for mode in MODES),
                f"{row['shown']['replace']:.0%}",
                f"{row['untouched']['replace']:.0%}",
                money,
                "" if price is None else f"${price:g}",
            ]
        )
    head = [
        "",
        "model",
        "as given",
        "`add`",
        "`replace`",
        "`stitch`",
        "answer in the crop",
        "sent as it was",
        "saved in 1,000 questions",
        "price of a million",
    ]
    pages = [
        [f"`{name}`", *(f"{tokens:,}" for tokens in row.values())]
        for name, row in results["pages"].items()
    ]
    return {
        "modes": markdown(head, rows),
        "pages": markdown(["", *PAGES], pages),
    }


def _provider(family: str) -> str:
    name = family.split()[0]
    return name if name in ("OpenAI", "Anthropic", "Google") else "open weights"


if __name__ == "__main__":
    typer.run(main)
