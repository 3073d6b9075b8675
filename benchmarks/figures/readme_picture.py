"""Draw the README's picture: a sample page with nano's box, beside the question and the crop.

python benchmarks/figures/readme_picture.py docs/example.png
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from cropzoom import load_cropper
from cropzoom.samples import load_samples

FILE, QUESTION = "invoice.png", "When is the payment due?"
HEIGHT, WIDTH, ACCENT = 560, 1180, (214, 64, 40)


def draw(path: Path) -> None:
    """Write the picture to `path`."""
    sample = next(s for s in load_samples() if s.path.name == FILE)
    page = Image.open(sample.path).convert("RGB")
    with load_cropper("nano") as cropper:
        (crop,) = cropper.predict(page, QUESTION)
    box = crop.box.to_pixels(*page.size)
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(picture)
    small = page.resize(
        (round(page.width * HEIGHT / page.height), HEIGHT), Image.Resampling.LANCZOS
    )
    picture.paste(small, (0, 0))
    scale = HEIGHT / page.height
    pen.rectangle([side * scale for side in box], outline=ACCENT, width=3)
    left = small.width + 40
    cut = page.crop(box)
    zoom = min((WIDTH - left - 20) / cut.width, 200 / cut.height)
    cut = cut.resize((round(cut.width * zoom), round(cut.height * zoom)), Image.Resampling.LANCZOS)
    pen.text((left, 130), f"“{QUESTION}”", fill="black", font=ImageFont.load_default(34))
    picture.paste(cut, (left, 220))
    pen.rectangle((left - 2, 218, left + cut.width + 1, 221 + cut.height), outline=ACCENT, width=3)
    note = f"{box[2] - box[0]} x {box[3] - box[1]} px of {page.width} x {page.height}"
    pen.text((left, 240 + cut.height), note, fill=(110, 110, 110), font=ImageFont.load_default(20))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
