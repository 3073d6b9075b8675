"""A policy that points: one pass of an Idefics3 or SmolVLM over image and question, no text.

The state of the prompt's last token is the query; it is matched with the states of the image's
tokens. Each token stands for a square piece of its tile, cut into `subcells` x `subcells` cells:
a box reaches around the centre of a cell, and a line of text is much lower than a token's piece.

    p(cell)            softmax of (the cell's query . the token's key) / sqrt(width)
    p(distance | cell) softmax of a small net of query, token and cell, for each of four edges

Where the image is cut into tiles, the tiles' tokens in their places make one fine grid over the
image, and the tokens of the shrunken whole are left out; where it is not, these are the grid.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cropzoom.data.row import Row
from cropzoom.errors import CropperError, OptionsError

from ..vlm import PROMPT
from .policy import Batch, Rollout, Scores
from .policy_folders import load_tensors
from .torch_pointing import FACTORS, BoxDistribution, Grid, log_spaced, settle
from .vlm_policy import VlmCollator, VlmPolicy, last_of, positions_of, without_dropout

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, ProcessorMixin

HEADS_FILE = "heads.safetensors"
_TILE = re.compile(r"<row_(\d+)_col_(\d+)>")


class PointerCollator(VlmCollator):
    """As `VlmCollator`; also finds the image's tokens."""

    def __call__(self, rows: Sequence[Row]) -> Batch:
        """Returns, beyond `VlmCollator`'s: grid (B, 2) int64, rows and columns of the image's
        tokens; image_token (B, M) int64, where they stand in `input_ids`, row by row of the
        image; 0 beyond a row's own.
        """
        batch = super().__call__(rows)
        grids, tokens = [], []
        for ids in batch["input_ids"]:
            places = (ids == self.processor.image_token_id).nonzero()[:, 0]
            down, across = self._tiles(ids[: int(places[-1])], len(places))
            side = math.isqrt(self.processor.image_seq_len)
            grids.append((down * side, across * side))
            tiles = places[: down * across * side * side].view(down, across, side, side)
            tokens.append(tiles.transpose(1, 2).flatten())
        most = max(map(len, tokens))
        batch["grid"] = torch.tensor(grids)
        batch["image_token"] = torch.stack([F.pad(one, (0, most - len(one))) for one in tokens])
        return batch

    def _tiles(self, ids: Tensor, tokens: int) -> tuple[int, int]:
        """Rows and columns of tiles, of a prompt up to the image's end with so many of its tokens.

        Raises:
            OptionsError: the processor writes images in a way that isn't known here.
        """
        each = self.processor.image_seq_len
        if tokens == each and math.isqrt(each) ** 2 == each:
            return 1, 1
        written = self.processor.tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        places = [(int(row), int(column)) for row, column in _TILE.findall(written)]
        down, across = (max((p[i] for p in places), default=0) for i in (0, 1))
        # Tiles and the shrunken whole.
        if math.isqrt(each) ** 2 != each or (down * across + 1) * each != tokens:
            raise OptionsError(
                f"can't tell the grid of an image of {tokens} tokens, {each} a tile, "
                f"{down} x {across} tiles; needs square tiles as Idefics3 and SmolVLM have them"
            )
        return down, across


class PointerPolicy(VlmPolicy):
    """A policy that points; T = A = 5 (see `pointing.py`), V the cells of the largest grid.

    The heads start near uniform over cells and distances, and are trained whole, also where the
    backbone wears an adapter. The backbone's language head is not used, and frozen.

    Args:
        model, processor, prompt, capitalize: see `VlmPolicy`.
        subcells: cells along each side of a token's piece of the image; 1 for a cell a token.
        width: of query, keys and the edges' net.
        reach: shortest and longest distance from a cell's centre to an edge, in fractions of the
            image's side, and how many there are, evenly in the logarithm.
        quantile: of each edge's distance, for `best`.

    Raises:
        OptionsError: an argument is out of range.
    """

    kind = "pointer"
    noise_length = FACTORS
    collate: PointerCollator

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        processor: ProcessorMixin,
        *,
        prompt: str = PROMPT,
        capitalize: bool = False,
        subcells: int = 4,
        width: int = 256,
        reach: tuple[float, float, int] = (0.01, 1.0, 17),
        quantile: float = 0.5,
    ) -> None:
        super().__init__(model, processor, prompt=prompt, capitalize=capitalize)
        low, high, count = reach
        if not (1 <= subcells <= 16 and 1 <= width <= 8192 and 0 < quantile < 1):
            raise OptionsError(
                f"subcells={subcells}, width={width}, quantile={quantile}: needs 1 <= subcells "
                "<= 16, 1 <= width <= 8192, 0 < quantile < 1"
            )
        if not (0 < low < high <= 1 and 2 <= count <= 1024):
            raise OptionsError(
                f"reach={reach} must be (shortest, longest, count) with 0 < shortest < longest "
                "<= 1 and 2 to 1024 of them"
            )
        self.collate = PointerCollator(processor, prompt, capitalize)
        self.subcells, self.width, self.quantile = subcells, width, quantile
        self.reach = (low, high, count)
        self._reach = log_spaced(low, high, count)
        size = self.backbone.config.text_config.hidden_size
        self.query = nn.Linear(size, subcells * subcells * width)
        self.key = nn.Linear(size, width)
        self.edge_query = nn.Linear(size, width)
        self.edge_token = nn.Linear(size, width)
        self.edge_cell = nn.Embedding(subcells * subcells, width)
        self.edge_out = nn.Linear(width, 4 * count)
        with torch.no_grad():
            self.edge_out.weight.mul_(0.1)
        self._heads = ("query", "key", "edge_query", "edge_token", "edge_cell", "edge_out")
        head = self.backbone.get_output_embeddings()
        if head is not None and head.weight is not self.backbone.get_input_embeddings().weight:
            # Parameters without gradients stop DDP.
            head.requires_grad_(False)

    @classmethod
    def _option_names(cls) -> tuple[str, ...]:
        return (*super()._option_names(), "subcells", "width", "reach", "quantile")

    def _save_more(self, folder: Path) -> None:
        from safetensors.torch import save_file

        state = {
            name: tensor.detach().to("cpu", copy=True)
            for name, tensor in self.state_dict().items()
            if name.split(".")[0] in self._heads
        }
        save_file(state, folder / HEADS_FILE)

    def _load_more(self, folder: Path) -> None:
        """Heads, where the folder has any: a checkpoint of another kind lends its backbone."""
        path = folder / HEADS_FILE
        if not path.exists():
            return
        try:
            result = self.load_state_dict(load_tensors(path), strict=False)
        except RuntimeError as error:
            raise CropperError(f"{path} doesn't fit the options: {error}") from error
        missing = [name for name in result.missing_keys if name.split(".")[0] in self._heads]
        if missing or result.unexpected_keys:
            raise CropperError(f"{path} doesn't hold the heads of a pointer policy")

    @torch.no_grad()
    def sample(self, batch: Batch, noise: Tensor, temperature: float = 1.0) -> Rollout:
        """See `Policy`; one forward pass whatever the number of samples."""
        with without_dropout(self):
            distribution = self._point(batch, temperature)
            actions = distribution.sample(noise)
            scores = distribution.score(actions)
        return Rollout(actions, settle(distribution.boxes(actions)), scores.logp, scores.mask)

    def score(
        self, batch: Batch, actions: Tensor, temperature: float = 1.0, full: bool = False
    ) -> Scores:
        """See `Policy`."""
        return self._point(batch, temperature).score(actions, full)

    def nll(self, batch: Batch, boxes: Tensor) -> Tensor:
        """See `BoxDistribution.nll`.

        Raises:
            ValueError: a box is NaN: this policy always gives one.
        """
        if boxes.isnan().any():
            raise ValueError("a row has no box, and a pointer policy can't say so; leave it out")
        return self._point(batch).nll(boxes.float())

    @torch.no_grad()
    def best(self, batch: Batch) -> Tensor:
        """See `BoxDistribution.best`."""
        with without_dropout(self):
            return settle(self._point(batch).best(self.quantile))

    def _point(self, batch: Batch, temperature: float = 1.0) -> BoxDistribution:
        mask = batch["attention_mask"]
        states = self.read(self.embed(batch), mask, positions_of(mask))
        # The heads stay in float32 where the backbone's weights are in half precision.
        states = states.to(self.key.weight.dtype)
        query = states[torch.arange(len(mask), device=mask.device), last_of(mask)]
        where = batch["image_token"]
        tokens = states.gather(1, where[..., None].expand(-1, -1, states.shape[-1]))
        # One query for each cell of a piece: (B, M, width) @ (B, width, cells).
        queries = self.query(query).unflatten(-1, (-1, self.width)).transpose(1, 2)
        logits = (self.key(tokens) @ queries).flatten(1) / math.sqrt(self.width)

        fine = batch["grid"] * self.subcells
        rows, columns = fine.unbind(-1)
        count = logits.shape[1]
        numbers = torch.arange(count, device=mask.device).expand(len(mask), -1)
        # From token by token to row by row of the fine grid.
        order = (self._token_of(numbers, columns) * self.subcells**2) + self._cell_of(
            numbers, columns
        )
        logits = logits.gather(1, order.clamp_max(count - 1))
        reach = torch.tensor(self._reach, device=mask.device).expand(len(mask), 2, -1)
        grid = Grid(rows, columns, 1 / fine.flip(-1).float(), reach)

        def edges(cells: Tensor) -> Tensor:
            chosen = self._token_of(cells, columns)[..., None].expand(-1, -1, tokens.shape[-1])
            hidden = (
                self.edge_query(query)[:, None]
                + self.edge_token(tokens.gather(1, chosen))
                + self.edge_cell(self._cell_of(cells, columns))
            )
            return self.edge_out(F.gelu(hidden)).unflatten(-1, (4, -1))

        return BoxDistribution(logits, edges, grid, temperature)

    def _token_of(self, cells: Tensor, columns: Tensor) -> Tensor:
        """The image's token that a cell (B, M) belongs to; columns (B,) of the fine grid."""
        wide = columns[:, None]
        row, column = cells // wide // self.subcells, cells % wide // self.subcells
        return row * (wide // self.subcells) + column

    def _cell_of(self, cells: Tensor, columns: Tensor) -> Tensor:
        """A cell's number within its token's piece, row by row."""
        wide = columns[:, None]
        return cells // wide % self.subcells * self.subcells + cells % wide % self.subcells
