"""The parity ladder of a text cropper.

From the parts to the whole: pixels and token ids, each graph on torch's own input, logits after
the prompt, every next token along torch's answer, the answer, and the box.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from cropzoom.cropper.folder import Folder
from cropzoom.cropper.manifest import TextManifest, read_files
from cropzoom.cropper.session import Device
from cropzoom.cropper.smolvlm import idefics3
from cropzoom.cropper.smolvlm.text_cropper import TextCropper
from cropzoom.cropper.smolvlm.text_graphs import TextGraphs
from cropzoom.cropper.smolvlm.vlm_spec import BOX_DECODER, DECODER, EMBED, FUSED_DECODER, VISION
from cropzoom.cropper.trace import Trace
from cropzoom.export.ladder import Ladder, Rung, Sample, Worst
from cropzoom.geometry import Box

_ANSWER_TOKENS = 24
# For each precision: graphs, logits; share of next tokens and of answers; mean and least IoU.
_LIMITS = {
    "fp32": (1e-4, 1e-4, 1.0, 1.0, 1.0, 1.0),
    "fp16": (2e-2, 2e-2, 0.95, 0.0, 0.9, 0.0),
    # Errors of int8 say little by themselves; what counts is where the boxes are.
    "int8": (1.0, 1.0, 0.8, 0.0, 0.8, 0.0),
}


@torch.no_grad()
def verify_text(
    policy: Any,
    folder: Folder,
    manifest: TextManifest,
    asked: Sequence[Sample],
    device: Device,
    progress: Callable[[str], None],
) -> Ladder:
    """Compare an exported cropper with its policy.

    Args:
        policy: a `TextPolicy` in fp32, in evaluation mode.
        folder, manifest: of the cropper.
        asked: pictures and questions.
        device: of the cropper; torch runs on the CPU.
        progress: told what is being done.
    """
    graphs = TextGraphs(folder, manifest, read_files(folder, manifest), device)
    backbone, worst = policy.backbone, Worst()
    same_ids, next_tokens, answers, runs, tokens = [], [], [], [], []
    ladder = Ladder(manifest.precision, graphs.device)
    box_rows = list(manifest.grammar.tokens)
    with TextCropper(folder, device=device) as cropper:
        for number, sample in enumerate(asked, 1):
            progress(f"Verifying on {sample.file} ({number} of {len(asked)})")
            batch = policy.collate([sample])
            ids = batch["input_ids"][0].tolist()
            same_ids.append(ids == cropper.prompt_tokens(sample.picture.size, sample.question))
            pixels = batch["pixel_values"][0].numpy()
            worst.note("pixels", pixels, idefics3.tiles(sample.picture, manifest.image))

            # Each graph on its own: its input is torch's.
            embeds = policy.embed(batch)[0].numpy()
            image_token = backbone.config.image_token_id
            places = np.asarray(ids) == image_token
            features = graphs.vision(pixels)
            worst.note(VISION, embeds[places], features.reshape(-1, embeds.shape[1]))
            worst.note(EMBED, embeds[~places], graphs.embed(ids)[~places])
            answer = _generate(backbone, batch, manifest.end)
            logits = [step[0].float().numpy() for step in answer.logits]
            for name in manifest.graphs:
                if name in (DECODER, BOX_DECODER, FUSED_DECODER):
                    expected = logits[0] if name == DECODER else logits[0][box_rows]
                    decoder = graphs.decoder(name)
                    worst.note(name, expected, decoder.run(embeds, decoder.empty())[0])

            # All graphs one after another.
            written = answer.sequences[0, len(ids) :].tolist()
            decoder = graphs.decoder(DECODER)
            mixed = graphs.embed_with_image(ids, image_token, features)
            found, past = decoder.run(mixed, decoder.empty())
            worst.note("logits after the prompt", logits[0], found)
            for place, token in enumerate(written):
                next_tokens.append(int(found.argmax()) == int(logits[place].argmax()))
                worst.note("logits along torch's answer", logits[place], found)
                found, past = decoder.run(graphs.embed([token]), past)
            given = cropper.generate(sample.picture, sample.question, max_tokens=_ANSWER_TOKENS)
            answers.append(given.tokens == written)
            corners = policy.best(batch)[0].tolist()
            reference = None if any(map(np.isnan, corners)) else Box(*corners)
            trace = Trace()
            crops = cropper.predict(sample.picture, sample.question, trace=trace)
            ladder.add_boxes(sample, reference, crops[0].box if crops else None)
            runs.append(trace.counts["decoder_runs"])
            tokens.append(trace.counts["box_tokens"])
    of_graph, of_logits, next_share, answer_share, mean, least = _LIMITS[manifest.precision]
    ladder.rungs = [
        Rung("token ids", "share equal", float(np.mean(same_ids)), 1.0, at_least=True),
        *worst.rungs([("pixels", 1e-6)]),
        *worst.rungs([(name, of_graph) for name in manifest.graphs]),
        *worst.rungs([("logits after the prompt", of_logits)]),
        *worst.rungs([("logits along torch's answer", of_logits)]),
        Rung("next token", "share equal", float(np.mean(next_tokens)), next_share, at_least=True),
        Rung("answers", "share equal", float(np.mean(answers)), answer_share, at_least=True),
        *ladder.box_rungs(mean, least),
    ]
    ladder.notes = {
        "decoder_runs_per_box": {"mean": float(np.mean(runs)), "most": max(runs)},
        "tokens_per_box": float(np.mean(tokens)),
    }
    return ladder


def _generate(backbone: Any, batch: dict[str, torch.Tensor], end: Sequence[int]) -> Any:
    """What transformers itself writes, with the logits of each step."""
    names = ("input_ids", "attention_mask", "pixel_values", "pixel_attention_mask")
    return backbone.generate(
        **{name: batch[name] for name in names},
        do_sample=False,
        max_new_tokens=_ANSWER_TOKENS,
        eos_token_id=list(end),
        pad_token_id=end[0],
        return_dict_in_generate=True,
        output_logits=True,
    )
