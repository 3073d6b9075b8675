"""A pointer policy -> a cropper folder of kind `pointer`, and its parity ladder.

    pointer_model    pixel_values (1, N, 3, S, S), input_ids (1, L), sources (L,), grid (R, C)
                     -> cell_logits (1, R s, C s), edge_logits (1, 4, K, R s, C s)

`sources` says for each token of the prompt where its vector stands among the prompt's embeddings
followed by the tiles' features; `grid` says which tokens show the image, row by row. Each token is
cut into s x s cells. There is no hub's form of this; the names are ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cropzoom.cropper.folder import Folder
from cropzoom.cropper.manifest import VlmPointerManifest
from cropzoom.cropper.session import Device
from cropzoom.cropper.smolvlm import idefics3
from cropzoom.cropper.smolvlm.pointer_cropper import INPUTS, OUTPUTS, VlmPointerCropper
from cropzoom.cropper.smolvlm.vlm_spec import FUSED_POINTER, POINTER, TOKENIZER_NAME
from cropzoom.errors import ExportError
from cropzoom.export.example_inputs import example_tiles
from cropzoom.export.ladder import Ladder, Rung, Sample, Worst
from cropzoom.export.text import image_spec, prompt_spec
from cropzoom.export.vlm_graphs import Language, Vision, export_module, halved
from cropzoom.export.weights import GraphWriter
from cropzoom.geometry import Box

if TYPE_CHECKING:
    from cropzoom.export import ExportOptions

_FOLDER = "onnx"
_CELLS = 32
"""Cells of each sample whose edges are compared."""
# For each precision: log-probabilities; mean and least IoU.
_LIMITS = {"fp32": (1e-4, 0.999, 0.99), "fp16": (2e-2, 0.9, 0.0)}


class Pointer(nn.Module):
    """Image and question to the logits of all cells, and of the edges at each.

    Args:
        policy: a `PointerPolicy`, for its heads.
        backbone: its model with the adapter merged.
        fused: with GroupQueryAttention.
    """

    def __init__(self, policy: Any, backbone: Any, fused: bool) -> None:
        super().__init__()
        self.vision = Vision(backbone)
        self.embeddings = backbone.get_input_embeddings()
        self.language = Language(backbone, fused)
        self.query, self.key = policy.query, policy.key
        self.edge_query, self.edge_token = policy.edge_query, policy.edge_token
        self.edge_cell, self.edge_out = policy.edge_cell, policy.edge_out
        self.subcells, self.width = policy.subcells, policy.width

    def forward(
        self, pixel_values: Tensor, input_ids: Tensor, sources: Tensor, grid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See the module."""
        features = self.vision(pixel_values).flatten(0, 1)
        vectors = torch.cat([self.embeddings(input_ids)[0], features])
        embeds = vectors[sources][None]
        ones = torch.ones_like(sources)[None]
        positions = torch.arange(sources.shape[0], device=sources.device)[None]
        states = self.language(embeds, ones, positions, [])[0][0]
        query, tokens = states[-1], states[grid.flatten()]
        rows, columns, s = *grid.shape, self.subcells
        asked = self.query(query).view(s * s, self.width)
        cells = (self.key(tokens) @ asked.T / math.sqrt(self.width)).view(rows, columns, s, s)
        hidden = self.edge_query(query) + self.edge_token(tokens)[:, None] + self.edge_cell.weight
        edges = self.edge_out(F.gelu(hidden)).view(rows, columns, s, s, 4, -1)
        # From token by token to row by row of the fine grid.
        return (
            cells.transpose(1, 2).reshape(1, rows * s, columns * s).float(),
            edges.permute(4, 5, 0, 2, 1, 3).reshape(1, 4, -1, rows * s, columns * s).float(),
        )


@torch.no_grad()
def export_pointer(policy: Any, backbone: Any, *, fused: bool, half: bool) -> ir.Model:
    """Return the whole policy as one graph."""
    side = math.isqrt(policy.processor.image_seq_len)
    tiles, length = 3, 3 * side * side + 9
    dtype = torch.float16 if half else torch.float32
    args = (
        example_tiles(backbone, tiles, dtype),
        torch.zeros(1, length, dtype=torch.long),
        torch.arange(length),
        torch.arange(side * 2 * side).view(side, 2 * side),
    )
    tokens = torch.export.Dim("sequence_length")
    shapes = (
        {1: torch.export.Dim("num_images")},
        {1: tokens},
        {0: tokens},
        {0: torch.export.Dim("rows"), 1: torch.export.Dim("columns")},
    )
    module = Pointer(policy, backbone, fused)
    return export_module(
        halved(module) if half else module, args, list(INPUTS), list(OUTPUTS), shapes
    )


def write_pointer(
    policy: Any,
    backbone: Any,
    folder: Path,
    options: ExportOptions,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Write graphs and tokenizer, and return what the manifest says of them.

    Args:
        policy: a `PointerPolicy`.
        backbone: its model in fp32 on the CPU, with its adapter merged.
        folder: where to write.
        options: precision and fusion.
        progress: told what is being done.

    Raises:
        ExportError: the precision is int8, or the checkpoint's prompt does not suit a cropper.
    """
    if options.precision not in _LIMITS:
        raise ExportError(
            f"a pointer policy is exported in fp32 or fp16, not {options.precision}: its heads, "
            "vision and language model are one graph"
        )
    image, prompt = image_spec(policy.processor), prompt_spec(policy)
    half = options.precision == "fp16"
    (folder / _FOLDER).mkdir()
    graphs = [POINTER, *([FUSED_POINTER] if options.fuse else [])]
    with GraphWriter(folder / _FOLDER) as writer:
        for name in graphs:
            fused = name == FUSED_POINTER
            progress(f"Exporting the pointer{' with fused attention' if fused else ''}")
            writer.write(name, export_pointer(policy, backbone, fused=fused, half=half))
    tokenizer = policy.processor.tokenizer.backend_tokenizer
    (folder / TOKENIZER_NAME).write_text(tokenizer.to_str(), encoding="utf-8")
    low, high, count = policy.reach
    return {
        "kind": "pointer",
        "precision": options.precision,
        "image": image,
        "prompt": prompt,
        "graphs": {name: f"{_FOLDER}/{name}.onnx" for name in graphs},
        "bins": {
            "subcells": policy.subcells,
            "edge": [low * (high / low) ** (i / (count - 1)) for i in range(count)],
        },
        "decode": {"quantile": policy.quantile, "temperature": 1.0},
    }


@torch.no_grad()
def verify_pointer(
    policy: Any,
    folder: Folder,
    manifest: VlmPointerManifest,
    asked: Sequence[Sample],
    device: Device,
    progress: Callable[[str], None],
) -> Ladder:
    """Compare an exported cropper with its policy; see `verify_text`."""
    worst, same_ids = Worst(), []
    of_logits, mean, least = _LIMITS[manifest.precision]
    with VlmPointerCropper(folder, device=device) as cropper:
        ladder = Ladder(manifest.precision, cropper.device)
        for number, sample in enumerate(asked, 1):
            progress(f"Verifying on {sample.file} ({number} of {len(asked)})")
            batch = policy.collate([sample])
            ids = batch["input_ids"][0].tolist()
            same_ids.append(ids == cropper.prompt_tokens(sample.picture.size, sample.question))
            pixels = batch["pixel_values"][0].numpy()
            worst.note("pixels", pixels, idefics3.tiles(sample.picture, manifest.image))
            plan = idefics3.layout(sample.picture.size, manifest.image)
            cells, edges = cropper.logits(pixels, ids, plan)
            some = np.linspace(0, cells.size - 1, _CELLS).astype(np.int64)
            chosen = torch.zeros(1, _CELLS, 5, dtype=torch.long)
            chosen[0, :, 0] = torch.from_numpy(some)
            said = policy.score(batch, chosen, full=True).log_distribution[0].numpy()
            worst.note("cells", said[0, 0, : cells.size], _log_softmax(cells.reshape(-1)))
            bins = len(manifest.decode.edge)
            found = _log_softmax(edges.reshape(4, bins, -1)[..., some].transpose(2, 0, 1))
            worst.note("edges", said[:, 1:, :bins], found)
            corners = policy.best(batch)[0].tolist()
            crops = cropper.predict(sample.picture, sample.question)
            ladder.add_boxes(sample, Box(*corners), crops[0].box if crops else None)
    ladder.rungs = [
        Rung("token ids", "share equal", float(np.mean(same_ids)), 1.0, at_least=True),
        *worst.rungs([("pixels", 1e-6), ("cells", of_logits), ("edges", of_logits)]),
        *ladder.box_rungs(mean, least),
    ]
    return ladder


def _log_softmax(logits: Any) -> Any:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
