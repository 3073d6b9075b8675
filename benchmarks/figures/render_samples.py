"""Render the demo's sample pictures from benchmarks/figures/samples/*.html with headless Chromium.

Writes the pictures and samples.json to cropzoom/samples. In the HTML, elements with
`data-q="1"` are the key and value of the first question, the one with `data-a="1"` is the value.
Needs `chromium` on the PATH and the fonts that the pages name; the results are committed.

    python benchmarks/figures/render_samples.py
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

SOURCES = Path(__file__).parent / "samples"
TARGET = Path(__file__).parents[2] / "cropzoom" / "samples"
PHOTOGRAPHIC = {"receipt", "nameplate", "nutrition"}  # gradients and grain: smaller as JPEG
FLAT = {"invoice", "lab-report", "timetable"}  # no gradients: 256 colours do
ORDER = (
    "receipt",
    "boarding-pass",
    "invoice",
    "nutrition",
    "banking-app",
    "lab-report",
    "timetable",
    "nameplate",
)

# Boxes are taken from the layout engine, so they are exact. The union of the text of all marked
# elements, in px of the page.
_MEASURE = """<script>
function around(selector) {
  let b = [1e9, 1e9, -1e9, -1e9];
  for (const e of document.querySelectorAll(selector)) {
    const walk = document.createTreeWalker(e, NodeFilter.SHOW_TEXT);
    for (let n; (n = walk.nextNode());) {
      if (!n.textContent.trim()) continue;
      const r = document.createRange(); r.selectNodeContents(n);
      const q = r.getBoundingClientRect();
      b = [Math.min(b[0], q.left), Math.min(b[1], q.top),
           Math.max(b[2], q.right), Math.max(b[3], q.bottom)];
    }
  }
  return b;
}
document.fonts.ready.then(() => {
  const asked = JSON.parse(document.getElementById("questions").textContent);
  const out = document.createElement("pre"); out.id = "measured"; out.hidden = true;
  out.textContent = JSON.stringify(asked.map((q, i) => (
    {...q, region: around(`[data-q="${i + 1}"]`), value: around(`[data-a="${i + 1}"]`)})));
  document.body.append(out);
});
</script>"""


def chromium(page: Path, size: tuple[int, int], *arguments: str) -> bytes:
    """Run headless Chromium on a local page; return what it prints."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--force-device-scale-factor=1", f"--window-size={size[0]},{size[1]}"]
    command += ["--virtual-time-budget=3000", *arguments, page.as_uri()]
    return subprocess.run(command, check=True, capture_output=True, timeout=120).stdout


def render(name: str) -> dict[str, Any]:
    """Render one page; return its entry for samples.json, boxes in fractions of the picture."""
    source = (SOURCES / f"{name}.html").read_text(encoding="utf-8")
    found = re.search(r"body \{[^}]*?width: (\d+)px; height: (\d+)px", source)
    title = re.search(r"<title>(.*?)</title>", source)
    assert found and title, name
    width, height = size = (int(found[1]), int(found[2]))
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder) / "page.html", Path(folder) / "shot.png"
        page.write_text(source + _MEASURE, encoding="utf-8")
        # The window is given some more height: Chromium takes its own frame out of it.
        chromium(page, (width, height + 200), f"--screenshot={shot}")
        image = Image.open(BytesIO(shot.read_bytes())).convert("RGB").crop((0, 0, width, height))
        dom = chromium(page, (width, height + 200), "--dump-dom").decode()
    measured = re.search(r'<pre id="measured"[^>]*>(.*?)</pre>', dom, re.S)
    assert measured, f"{name}: Chromium measured nothing"
    file = f"{name}.jpg" if name in PHOTOGRAPHIC else f"{name}.png"
    if name in PHOTOGRAPHIC:
        image.save(TARGET / file, quality=88, optimize=True)
    else:
        if name in FLAT:  # MAXCOVERAGE keeps the rare colours of logos
            image = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        image.save(TARGET / file, optimize=True)
    questions = json.loads(measured[1])
    for question in questions:
        for key in ("region", "value"):
            x0, y0, x1, y1 = question[key]
            fractions = (x0 / width, y0 / height, x1 / width, y1 / height)
            question[key] = [round(value, 5) for value in fractions]
    return {"file": file, "title": title[1], "size": list(size), "questions": questions}


def main() -> None:
    """Render all pages."""
    TARGET.mkdir(parents=True, exist_ok=True)
    samples = [render(name) for name in ORDER]
    text = json.dumps(samples, indent=1, ensure_ascii=False) + "\n"
    (TARGET / "samples.json").write_text(text, encoding="utf-8")
    for path in sorted(TARGET.iterdir()):
        print(f"{path.stat().st_size:8d}  {path.name}")


if __name__ == "__main__":
    main()
