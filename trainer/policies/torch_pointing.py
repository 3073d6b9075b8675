"""The distribution over boxes of policies that point: `pointer` and `nano`.

A box is drawn in five steps: a cell of a grid laid over the image; then, each on its own given the
cell, how far the box reaches from that cell's centre to the left, the top, the right and the
bottom. All five are categoricals:

    log pi(box) = log p(cell) + sum over the four edges of log p(distance | cell)

Four distances, and not a width and a height about the centre: any cell inside the box will do, so
a coarse grid does not tie where its middle lies. What remains of the grid is that a box reaches
around the centre of its cell: one much smaller than a cell can't be drawn tightly.

Shapes: B rows, G samples of each, N cells of the largest grid, K distances. A cell's number is
`row * columns + column` in its own row's grid, so an action means the same in any batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .policy import Scores, pick

FACTORS = 5
MIN_SIDE = 0.01
"""Shortest side of a box, in fractions of the image; `Box.ordered` has the same."""
_TARGET_CELLS = 16


def log_spaced(low: float, high: float, count: int) -> tuple[float, ...]:
    """`count` distances from `low` to `high`, each the same factor above the one before."""
    return tuple(low * (high / low) ** (i / (count - 1)) for i in range(count))


@dataclass(frozen=True)
class Grid:
    """The cells of B images, and the distances their boxes may reach.

    Attributes:
        rows, columns: (B,) int64, of each image's own grid.
        step: (B, 2) float32, width and height of a cell in fractions of the image.
        reach: (B, 2, K) float32, ascending: distances from a cell's centre to an edge, sideways in
            fractions of the width and up or down in fractions of the height. Make one from
            distances in px by dividing by each image's size.
    """

    rows: Tensor
    columns: Tensor
    step: Tensor
    reach: Tensor

    def mask(self, count: int) -> Tensor:
        """(B, count) bool: which of the first `count` numbers are cells."""
        numbers = torch.arange(count, device=self.rows.device)
        return numbers < (self.rows * self.columns)[:, None]

    def centres(self, cells: Tensor) -> Tensor:
        """Cells (B, M) int64 -> their centres (B, M, 2), x and y in fractions of the image."""
        columns = self.columns[:, None]
        places = torch.stack([cells % columns, cells // columns], -1)
        return (places + 0.5) * self.step[:, None]


class BoxDistribution:
    """What a policy believes about the box, for B questions.

    Args:
        cells: (B, N) logits in the order of cell numbers; beyond a row's own grid anything.
        edges: tells the logits (B, M, 4, K) of the distances to the left, top, right and bottom
            at given cells (B, M) int64, so that they need not be computed everywhere.
        grid: where the cells are.
        temperature: > 0; all logits are divided by it.
    """

    def __init__(
        self,
        cells: Tensor,
        edges: Callable[[Tensor], Tensor],
        grid: Grid,
        temperature: float = 1.0,
    ) -> None:
        own = grid.mask(cells.shape[1])
        self.grid = grid
        self.cells = F.log_softmax(cells.float().masked_fill(~own, -torch.inf) / temperature, -1)
        self._edges = edges
        self._temperature = temperature

    def edges(self, cells: Tensor) -> Tensor:
        """Log-probabilities (B, M, 4, K) of the four distances at cells (B, M)."""
        return F.log_softmax(self._edges(cells).float() / self._temperature, -1)

    def sample(self, noise: Tensor) -> Tensor:
        """Uniform numbers (B, G, 5) -> actions (B, G, 5) int64: a cell and four distances."""
        spread = self.cells[:, None].expand(-1, noise.shape[1], -1)
        cells = pick(spread, noise[..., 0])
        distances = pick(self.edges(cells), noise[..., 1:FACTORS])
        return torch.cat([cells[..., None], distances], -1)

    def score(self, actions: Tensor, full: bool = False) -> Scores:
        """Log-probability and entropy of actions (B, G, 5); T = 5, V = max(N, K)."""
        cells, distances = actions[..., 0], actions[..., 1:]
        edges = self.edges(cells)
        logp = torch.cat(
            [
                self.cells.gather(1, cells)[..., None],
                edges.gather(-1, distances[..., None])[..., 0],
            ],
            -1,
        )
        entropy = torch.cat(
            [_entropy(self.cells)[:, None, None].expand(*cells.shape, 1), _entropy(edges)], -1
        )
        whole = None
        if full:
            spread = self.cells[:, None, None].expand(*cells.shape, 1, -1)
            width = max(spread.shape[-1], edges.shape[-1])
            whole = torch.cat([_widen(spread, width), _widen(edges, width)], 2)
        return Scores(logp, entropy, torch.ones_like(logp, dtype=torch.bool), whole)

    def boxes(self, actions: Tensor) -> Tensor:
        """The boxes (B, G, 4) that actions say, float32; they may stick out of the image."""
        return self._around(actions[..., 0], actions[..., 1:])

    def nll(self, boxes: Tensor) -> Tensor:
        """Cross-entropy towards boxes (B, 4), fractions: (B,) nats, never quite 0.

        The target over cells is a tent over the box, 1 at its middle and 0 at its edges (at least
        one and a half cells wide), cut to its 16 largest and made to sum to 1. At these cells, and
        weighed by them, the target of each edge is the smallest distance that reaches it, so a
        learned box holds its target unless it is further away than all distances.
        """
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        half = torch.maximum((boxes[:, 2:] - boxes[:, :2]) / 2, 0.75 * self.grid.step)
        count = self.cells.shape[1]
        numbers = torch.arange(count, device=boxes.device).expand(len(boxes), -1)
        off = (self.grid.centres(numbers) - middle[:, None]).abs() / half[:, None]
        tent = (1 - off).clamp_min(0.0).prod(-1) * self.grid.mask(count)
        weight, cells = tent.topk(min(_TARGET_CELLS, count), dim=-1)
        weight = weight / weight.sum(-1, keepdim=True)

        x, y = self.grid.centres(cells).unbind(-1)
        left, top, right, bottom = boxes[:, :, None].unbind(1)
        away = torch.stack([x - left, y - top, right - x, bottom - y], -1)
        reach = self.grid.reach[:, None, [0, 1, 0, 1]]
        # The tolerance: float32 may put an edge that lies on a distance just beyond it.
        short = (reach < away[..., None] - 1e-6).sum(-1)
        distances = short.clamp_max(reach.shape[-1] - 1)
        edges = self.edges(cells).gather(-1, distances[..., None])[..., 0].sum(-1)
        # Cells of weight 0 may be no cells at all, of log-probability -inf.
        place = self.cells.gather(1, cells).masked_fill(weight == 0, 0.0)
        return -(weight * (place + edges)).sum(-1)

    def best(self, quantile: float = 0.5, join: float | None = None) -> Tensor:
        """The box to choose, (B, 4), as `cropzoom.cropper.pointing.point` finds it.

        The cell is the likeliest of the 3 x 3 neighbourhood with the most probability, so one
        sharp stray cell does not win over a broad peak; each edge lies at the first distance up to
        which there is at least `quantile` of the probability. A second box joins it where that
        reaches back to this cell and holds at least `join` times its probability.
        """
        shares = self.cells.double().exp()
        cells = self._peaks(shares)
        box = self._around(cells, self._reached(cells, quantile))[:, 0]
        if join is None:
            return box
        held = shares * self._inside(box)
        rest = shares - held
        others = self._peaks(rest)
        second = self._around(others, self._reached(others, quantile))[:, 0]
        x, y = self.grid.centres(cells)[:, 0].unbind(-1)
        back = (second[:, 0] <= x) & (x <= second[:, 2]) & (second[:, 1] <= y) & (y <= second[:, 3])
        weight = (rest * self._inside(second)).sum(-1)
        joined = back & (weight > 0) & (weight >= join * held.sum(-1))
        around = torch.cat(
            [torch.minimum(box, second)[:, :2], torch.maximum(box, second)[:, 2:]], -1
        )
        return torch.where(joined[:, None], around, box)

    def _peaks(self, shares: Tensor) -> Tensor:
        """The best cell (B, 1) of each row's shares (B, N)."""
        grids = zip(shares, self.grid.rows.tolist(), self.grid.columns.tolist(), strict=True)
        peaks = [
            _peak(share[: rows * columns].view(rows, columns)) for share, rows, columns in grids
        ]
        return torch.tensor(peaks, device=shares.device)[:, None]

    def _reached(self, cells: Tensor, quantile: float) -> Tensor:
        """The distances (B, M, 4) at a quantile at cells (B, M)."""
        reached = self.edges(cells).double().exp().cumsum(-1)
        return (reached < quantile).sum(-1).clamp_max(reached.shape[-1] - 1)

    def _inside(self, boxes: Tensor) -> Tensor:
        """Which cells (B, N) have their centre in boxes (B, 4)."""
        numbers = torch.arange(self.cells.shape[1], device=boxes.device).expand(len(boxes), -1)
        x, y = self.grid.centres(numbers).unbind(-1)
        left, top, right, bottom = boxes[:, None].unbind(-1)
        return (left <= x) & (x <= right) & (top <= y) & (y <= bottom)

    def _around(self, cells: Tensor, distances: Tensor) -> Tensor:
        reach = self.grid.reach[:, None, [0, 1, 0, 1]].expand(*cells.shape, -1, -1)
        reached = reach.gather(-1, distances[..., None])[..., 0]
        centres = self.grid.centres(cells)
        return torch.cat([centres - reached[..., :2], centres + reached[..., 2:]], -1)


def settle(boxes: Tensor, min_side: float = MIN_SIDE) -> Tensor:
    """Boxes (..., 4) as the environment takes them: `Box.ordered` for tensors; NaN stays NaN."""
    corners = torch.stack([boxes[..., :2], boxes[..., 2:]]).clamp(0.0, 1.0)
    low, high = corners.amin(0), corners.amax(0)
    start = ((low + high - min_side) / 2).clamp(0.0, 1.0 - min_side)
    short = high - low < min_side
    return torch.cat(
        [
            torch.where(short, torch.minimum(low, start), low),
            torch.where(short, torch.maximum(high, (start + min_side).clamp_max(1.0)), high),
        ],
        -1,
    )


def _entropy(logp: Tensor) -> Tensor:
    """Entropy over the last axis; what can't happen adds nothing."""
    return -(logp.exp() * logp.masked_fill(logp == -torch.inf, 0.0)).sum(-1)


def _widen(logp: Tensor, width: int) -> Tensor:
    return F.pad(logp, (0, width - logp.shape[-1]), value=-torch.inf)


def _peak(shares: Tensor) -> int:
    """Number of the cell, of shares (rows, columns)."""
    columns = shares.shape[1]
    near = F.avg_pool2d(shares[None], 3, 1, 1)[0]
    row, column = divmod(int(near.argmax()), columns)
    top, left = max(0, row - 1), max(0, column - 1)
    window = shares[top : row + 2, left : column + 2]
    i, j = divmod(int(window.argmax()), window.shape[1])
    return (top + i) * columns + left + j
