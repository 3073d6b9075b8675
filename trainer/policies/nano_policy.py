"""The bundled crop policy as one to train: `trainer.nano`'s net behind the interface.

The net reads a grey page once and points for a question in one pass. What it says of a question
without an answer ("absent") is no part of the distribution that is sampled and scored: that one
is conditional on the answer being there. `nll` does keep the term, so that the logit stays true.

Each page goes through the net at its own size, as in the runtime, and not padded to the largest of
its batch: the net sees margins, so padding would change its answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cropzoom.cropper.folder import BUNDLED, find_folder
from cropzoom.cropper.manifest import PointerManifest, read_files, read_manifest
from cropzoom.cropper.nano.meanings import MEANINGS_NAME, Meanings
from cropzoom.cropper.nano.nano_cropper import decode, preprocess
from cropzoom.cropper.nano.phoc import encode_question
from cropzoom.cropper.nano.pointer_spec import DecodeSpec, ImageSpec
from cropzoom.data.row import Row
from cropzoom.errors import CropperError, OptionsError

from ..nano.network import CELL, EDGE_BINS, Nano, NanoConfig
from ..nano.restore import restore
from .policy import Batch, Policy, Rollout, Scores
from .policy_folders import (
    PolicyFile,
    find_source,
    load_tensors,
    read_policy_file,
    write_policy_file,
    written,
)
from .torch_pointing import FACTORS, BoxDistribution, Grid, settle

WEIGHTS_FILE = "model.safetensors"
_MULTIPLE = 32
# Read-outs that only the training from scratch needs.
_UNUSED = ("text", "phoc", "characters", "temperature")


class NanoCollator:
    """Rows -> batch, as the runtime prepares its input.

    Args:
        longest_edge: px that a larger image is shrunk to.
        max_upscale: how much a smaller one is enlarged at most.
        meanings: of words, for a net that is told them.
    """

    def __init__(
        self, longest_edge: int, max_upscale: float = 1.0, meanings: Meanings | None = None
    ) -> None:
        self.meanings = meanings
        self.spec = ImageSpec(longest_edge, _MULTIPLE, 255, max_upscale, math.inf)

    def __call__(self, rows: Sequence[Row]) -> Batch:
        """Returns image (B, 1, H, W) uint8, white beyond each own page; size (B, 2) int64, width
        and height in px of the image at the top left; picture (B,) int64, the same number for rows
        that hold the same image object; words (B, T, WORD_DIM); word_mask (B, T).
        """
        pages: list[npt.NDArray[np.uint8]] = []
        sizes: list[tuple[int, int]] = []
        words, masks = [], []
        first: dict[int, int] = {}
        pictures = [first.setdefault(id(row.image), index) for index, row in enumerate(rows)]
        for index, row in enumerate(rows):
            if pictures[index] == index:
                pixels, size = preprocess(row.load(), self.spec, self.spec.longest_edge)
            else:
                pixels, size = pages[pictures[index]], sizes[pictures[index]]
            encoded, mask = encode_question(row.question, meanings=self.meanings)
            pages.append(pixels)
            sizes.append(size)
            words.append(encoded)
            masks.append(mask)
        height, width = (max(p.shape[axis] for p in pages) for axis in (0, 1))
        image = np.full((len(pages), 1, height, width), self.spec.pad_value, np.uint8)
        for index, page in enumerate(pages):
            image[index, 0, : page.shape[0], : page.shape[1]] = page
        longest = max(1, *(int(mask.sum()) for mask in masks), 1)
        words, masks = [w[:longest] for w in words], [m[:longest] for m in masks]
        return {
            "image": torch.from_numpy(image),
            "size": torch.tensor(sizes),
            "picture": torch.tensor(pictures),
            "words": torch.from_numpy(np.stack(words)),
            "word_mask": torch.from_numpy(np.stack(masks)),
        }


class NanoPolicy(Policy):
    """Nano as a policy; T = A = 5 (see `pointing.py`), V the cells of the largest page.

    The runtime grows every box by `scale` and `pad_px`. That is environment here: the boxes of
    `sample` and `best` are grown ones, and `nll` takes boxes as they should be after it; with a
    `price`, as they should be before it.

    Batch norms keep their statistics in `train()` too; gains and shifts are trained. With
    statistics of the batch, a sample and its score would differ, and so would processes.

    Args:
        net: to be trained further.
        longest_edge, max_upscale: see `NanoCollator`; max_upscale from 1 to 16.
        quantile: of each edge's distance, for `best`; of no account with a `price`.
        scale, pad_px: growth about the box's centre, then at each side in px of the model's input.
        join, price, centre: for `best`; see `DecodeSpec`. `sample` draws single boxes.
        confidence: temperature of the runtime's confidence, kept for the export.
        meanings: of words, for a net that is told them.

    Raises:
        OptionsError: an argument is out of range.
    """

    kind = "nano"
    shares_pictures = True
    noise_length = FACTORS
    collate: NanoCollator

    def __init__(
        self,
        net: Nano,
        *,
        longest_edge: int = 1024,
        max_upscale: float = 1.0,
        quantile: float = 0.7,
        scale: float = 1.25,
        pad_px: float = 16.0,
        join: float | None = None,
        price: float | None = None,
        centre: float = 0.0,
        confidence: float = 1.0,
        meanings: Meanings | None = None,
    ) -> None:
        super().__init__()
        well = 16 <= longest_edge <= 16384 and 0 < quantile < 1 and 1 <= scale <= 16
        well = well and 0 <= pad_px <= 4096 and 1 <= max_upscale <= 16
        well = well and all(value is None or value > 0 for value in (join, price))
        well = well and 0 <= centre <= 1000 and 0.01 <= confidence <= 100
        if not well:
            raise OptionsError(
                f"a nano policy can't have longest_edge={longest_edge}, quantile={quantile}, "
                f"scale={scale}, pad_px={pad_px}, max_upscale={max_upscale}, join={join}, "
                f"price={price}, centre={centre}, confidence={confidence}; needs "
                "16 <= longest_edge <= 16384, 0 < quantile < 1, 1 <= scale <= 16, "
                "0 <= pad_px <= 4096, 1 <= max_upscale <= 16, join and price > 0 or None, "
                "0 <= centre <= 1000, 0.01 <= confidence <= 100"
            )
        self.net = net
        self.quantile, self.scale, self.pad_px, self.join = quantile, scale, pad_px, join
        self.price, self.centre, self.confidence = price, centre, confidence
        self.collate = NanoCollator(longest_edge, max_upscale, meanings)
        for name in _UNUSED if meanings else (*_UNUSED, "questions.meaning.weight"):
            # Parameters without gradients stop DDP.
            target = attrgetter(name)(net)
            target.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> NanoPolicy:
        """As of any module, but batch norms stay in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    @classmethod
    def from_pretrained(cls, source: str | Path = BUNDLED, **options: Any) -> NanoPolicy:
        """Load "nano", a cropper folder with a nano, or a folder of `save_pretrained`.

        Args:
            source: what to load.
            options: of the class, instead of what the source says.

        Raises:
            CropperError: the folder is broken, or holds another model.
            OptionsError: an option is out of range or unknown.
        """
        path = None if source == BUNDLED else find_source(source)
        file = None if path is None else read_policy_file(path)
        if file is None:
            folder = find_folder(source)
            manifest = read_manifest(folder)
            if not isinstance(manifest, PointerManifest):
                raise CropperError(f"{folder.path} holds no nano")
            decoding = manifest.decode
            if decoding.cell != CELL or decoding.edge != EDGE_BINS:
                raise CropperError(f"{folder.path} has other bins than nano; export it again")
            values: dict[str, Any] = {
                "longest_edge": manifest.image.longest_edge,
                "max_upscale": manifest.image.max_upscale,
                "quantile": decoding.quantile,
                "scale": decoding.scale,
                "pad_px": decoding.pad_px,
                "join": decoding.join,
                "price": decoding.price,
                "centre": decoding.centre,
                "confidence": decoding.temperature,
            }
            if manifest.meanings:
                values["meanings"] = Meanings.parse(
                    bytes(read_files(folder, manifest)[MEANINGS_NAME])
                )
            net = restore(source, statistics=False)
        else:
            if path is None or file.kind != cls.kind:
                raise CropperError(f"{path} holds no nano policy")
            values = dict(file.options)
            try:
                net = Nano(NanoConfig(**values.pop("net", {})))
                net.load_state_dict(load_tensors(path / WEIGHTS_FILE))
                if (path / MEANINGS_NAME).exists():
                    values["meanings"] = Meanings.parse((path / MEANINGS_NAME).read_bytes())
            except (TypeError, ValueError, RuntimeError) as error:
                raise CropperError(f"{path} is no nano this cropzoom knows: {error}") from error
        try:
            return cls(net, **{**values, **options})
        except TypeError as error:
            raise OptionsError(
                f"a nano policy can't be made of {values | options}: {error}"
            ) from error

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `model.safetensors` and `policy.json`."""
        from safetensors.torch import save_file

        options = {
            "net": self.net.config.to_dict(),
            "longest_edge": self.collate.spec.longest_edge,
            "max_upscale": self.collate.spec.max_upscale,
            "quantile": self.quantile,
            "scale": self.scale,
            "pad_px": self.pad_px,
            "join": self.join,
            "price": self.price,
            "centre": self.centre,
            "confidence": self.confidence,
        }
        state = {k: v.detach().cpu().contiguous() for k, v in self.net.state_dict().items()}
        with written(folder) as beside:
            save_file(state, beside / WEIGHTS_FILE)
            if self.collate.meanings is not None:
                (beside / MEANINGS_NAME).write_bytes(self.collate.meanings.to_bytes())
            write_policy_file(beside, PolicyFile(self.kind, options))

    @torch.no_grad()
    def sample(self, batch: Batch, noise: Tensor, temperature: float = 1.0) -> Rollout:
        """See `Policy`. A question without a word is answered like any other."""
        distribution, _ = self._point(batch, temperature)
        actions = distribution.sample(noise)
        scores = distribution.score(actions)
        boxes = settle(self._grow(distribution.boxes(actions), batch["size"][:, None]))
        return Rollout(actions, boxes, scores.logp, scores.mask)

    def score(
        self, batch: Batch, actions: Tensor, temperature: float = 1.0, full: bool = False
    ) -> Scores:
        """See `Policy`."""
        distribution, absent = self._point(batch, temperature)
        scores = distribution.score(actions, full)
        # Adds nothing: DDP wants a gradient, if only 0, for every parameter.
        return scores._replace(logp=scores.logp + 0.0 * absent[:, None, None])

    def nll(self, batch: Batch, boxes: Tensor) -> Tensor:
        """Cross-entropy of cell (or "absent", for a NaN box) and edges; see `BoxDistribution.nll`.

        The sum of two: whether there is an answer, and where.
        """
        distribution, absent = self._point(batch)
        nowhere = boxes.isnan().any(-1)
        there = torch.where(nowhere[:, None], torch.full_like(boxes, 0.5), boxes).float()
        # Boxes chosen by the chance that they hold the answer want edges at the answer's own:
        # shrunk ones would teach that the margin may be cut off.
        wanted = there if self.price is not None else self._shrink(there, batch["size"])
        where = distribution.nll(wanted)
        return torch.where(nowhere, F.softplus(-absent), F.softplus(absent) + where)

    @torch.no_grad()
    def best(self, batch: Batch) -> Tensor:
        """What the runtime predicts; NaN for a question without a word, as there."""
        if self.price is None:
            distribution, _ = self._point(batch)
            grown = self._grow(distribution.best(self.quantile, self.join), batch["size"])
        else:
            grown = self._held(batch, self.price)
        boxes = settle(grown)
        wordless = ~batch["word_mask"].bool().any(-1, keepdim=True)
        return boxes.masked_fill(wordless, torch.nan)

    def _held(self, batch: Batch, price: float) -> Tensor:
        """The runtime's boxes that hold the answer, (B, 4)."""
        logits, reaches, absent, (rows, columns) = self._logits(batch)
        spec = DecodeSpec(
            CELL, EDGE_BINS, 0.5, self.scale, self.pad_px, 1.0, None, price, self.centre
        )
        boxes = []
        for index, size in enumerate(batch["size"].tolist()):
            grid = int(rows[index]), int(columns[index])
            own = slice(0, grid[0] * grid[1])
            cells = logits[index, own].float().cpu().numpy().reshape(grid)
            edges = reaches[index, own].float().cpu().permute(1, 2, 0).numpy()
            edges = edges.reshape(*edges.shape[:2], *grid)
            (crop,) = decode(cells, float(absent[index]), edges, tuple(size), spec, 1)
            boxes.append((crop.box.x0, crop.box.y0, crop.box.x1, crop.box.y1))
        return torch.tensor(boxes, device=logits.device)

    def _logits(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Of each row's own cells (B, V), (B, V, 4, K) and (B,); and rows, columns of the grids."""
        size = batch["size"]
        columns, rows = ((size + CELL - 1) // CELL).unbind(-1)
        count = int((rows * columns).max())
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, own in enumerate((-(-size // _MULTIPLE) * _MULTIPLE).tolist()):
            groups.setdefault(tuple(own), []).append(index)
        cells, edges, absent, order = [], [], [], []
        numbers = torch.arange(count, device=size.device)
        for (width, height), members in groups.items():
            # Each picture is encoded once, however many rows ask about it.
            own_pictures = batch["picture"][members].tolist()
            firsts = {picture: own_pictures.index(picture) for picture in own_pictures}
            places = {picture: place for place, picture in enumerate(firsts)}
            pointing = self.net(
                batch["image"][[members[at] for at in firsts.values()], :, :height, :width].float(),
                batch["words"][members],
                batch["word_mask"][members],
                torch.tensor([places[picture] for picture in own_pictures], device=size.device),
            )
            # Out of the padded grid, into each page's own.
            wide, own = width // CELL, columns[members, None]
            at = (numbers // own * wide + numbers % own).clamp_max(wide * (height // CELL) - 1)
            cells.append(pointing.cells.flatten(1).gather(1, at))
            flat = pointing.edges.flatten(3)
            at = at[:, None, None].expand(-1, *flat.shape[1:3], -1)
            edges.append(flat.gather(3, at).permute(0, 3, 1, 2))
            absent.append(pointing.absent[:, 0])
            order += members
        back = torch.tensor(order, device=size.device).argsort()
        return (
            torch.cat(cells)[back],
            torch.cat(edges)[back],
            torch.cat(absent)[back],
            (rows, columns),
        )

    def _point(self, batch: Batch, temperature: float = 1.0) -> tuple[BoxDistribution, Tensor]:
        """The distribution, and (B,) float32 log odds of "absent" against all cells together."""
        size = batch["size"]
        logits, reaches, absent, (rows, columns) = self._logits(batch)
        bins = torch.tensor(EDGE_BINS, device=size.device)
        grid = Grid(rows, columns, CELL / size.float(), bins / size[..., None].float())

        def at_cells(chosen: Tensor) -> Tensor:
            index = chosen[..., None, None].expand(-1, -1, *reaches.shape[2:])
            return reaches.gather(1, index)

        own = grid.mask(logits.shape[1])
        odds = absent.float() - torch.logsumexp(logits.float().masked_fill(~own, -torch.inf), -1)
        return BoxDistribution(logits, at_cells, grid, temperature), odds

    def _grow(self, boxes: Tensor, size: Tensor) -> Tensor:
        """Boxes (..., 4) as the runtime grows them; size (..., 2) px."""
        low, high = boxes[..., :2], boxes[..., 2:]
        grow = (high - low) * (self.scale - 1) / 2 + self.pad_px / size
        return torch.cat([low - grow, high + grow], -1)

    def _shrink(self, boxes: Tensor, size: Tensor) -> Tensor:
        """The boxes that `_grow` makes into these, or points where these are too small."""
        low, high = boxes[..., :2], boxes[..., 2:]
        half = ((high - low) / 2 - self.pad_px / size).clamp_min(0.0) / self.scale
        middle = (low + high) / 2
        return torch.cat([middle - half, middle + half], -1)
