"""Write what transformers makes of images and prompts, for tests that run without it.

    python tests/make_idefics3_golden.py

Needs transformers 5; writes `tests/core/golden/idefics3.npz` and `idefics3.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from idefics3_cases import CASES, PROMPTS, TEMPLATE, picture

from cropzoom.bench.random_weights import smol_tokenizer

OUT = Path(__file__).parent / "core" / "golden"


def reference_processor(**settings: Any) -> Any:
    """A real `Idefics3Processor` with Pillow's image processor."""
    from transformers import Idefics3ImageProcessorPil, Idefics3Processor, PreTrainedTokenizerFast

    tokens = settings.pop("image_tokens")
    settings["size"] = {"longest_edge": settings.pop("longest_edge")}
    settings["max_image_size"] = {"longest_edge": settings.pop("tile")}
    settings["do_image_splitting"] = settings.pop("split")
    settings["image_mean"], settings["image_std"] = settings.pop("mean"), settings.pop("std")
    settings["rescale_factor"] = settings.pop("rescale")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=smol_tokenizer())
    return Idefics3Processor(Idefics3ImageProcessorPil(**settings), tokenizer, image_seq_len=tokens)


def main() -> None:
    """Write both files."""
    pixels, ids = {}, []
    for number, case in enumerate(CASES):
        processor = reference_processor(**case["settings"])
        image = picture(*case["size"])
        pixels[str(number)] = processor.image_processor(images=[image], return_tensors="np")[
            "pixel_values"
        ][0].astype(np.float32)
        ids.append(
            [
                processor(text=[TEMPLATE.format(question)], images=[[image]])["input_ids"][0]
                for question in PROMPTS
            ]
        )
    OUT.mkdir(exist_ok=True)
    np.savez_compressed(OUT / "idefics3.npz", **pixels)
    (OUT / "idefics3.json").write_text(json.dumps(ids) + "\n")


if __name__ == "__main__":
    main()
