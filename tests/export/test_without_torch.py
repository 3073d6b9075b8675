"""Exported croppers run where neither torch nor transformers can be imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from cropzoom import load_cropper
from cropzoom.export.ladder import samples

# Refuses them as if they were not installed, in the child alone.
SCRIPT = """
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        blocked = ("torch", "transformers", "onnx", "onnxscript", "onnx_ir", "optimum", "peft")
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
try:
    import torch
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the blocker does not block")

from cropzoom import load_cropper
from cropzoom.images import load_image

asked, folders = json.loads(sys.argv[1]), sys.argv[2:]
boxes = []
for folder in folders:
    with load_cropper(folder, device="cpu") as cropper:
        cropper.warmup()
        for picture, question in asked:
            (crop,) = cropper.predict(load_image(picture), question)
            found = [crop.box.x0, crop.box.y0, crop.box.x1, crop.box.y1, crop.confidence]
            answer = getattr(cropper, "generate", None)
            tokens = answer(load_image(picture), question).tokens if answer else None
            boxes.append([found, tokens])
print(json.dumps(boxes))
"""


def test_all_kinds_without_torch(full_text: Any, full_pointer: Any) -> None:
    from cropzoom import samples as demo

    pictures = Path(demo.__file__).parent
    asked = [(str(pictures / sample.file), sample.question) for sample in samples(3)]
    folders = [str(full_text.folder), str(full_pointer.folder), "nano"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(asked), *folders],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    expected = []
    for folder in folders:
        with load_cropper(folder, device="cpu") as cropper:
            for sample in samples(3):
                (crop,) = cropper.predict(sample.picture, sample.question)
                box = crop.box
                numbers = [box.x0, box.y0, box.x1, box.y1, crop.confidence]
                answer = getattr(cropper, "generate", None)
                tokens = answer(sample.picture, sample.question).tokens if answer else None
                expected.append([numbers, tokens])
    assert found == expected
    # And these are the boxes that torch gave when the ladder was climbed.
    for place, exported in enumerate((full_text, full_pointer)):
        for turn, entry in enumerate(exported.ladder.boxes):
            assert found[3 * place + turn][0][:4] == pytest.approx(entry["torch"], abs=1e-5)
