"""The net: grey page and question words in, a distribution over boxes out.

Reading.  The page becomes a grid of cells 8 px high and 16 wide (`ROW`, `COLUMN`), each with a
    96-d unit vector that lies near the vectors of the words written there.
Asking.   Each question word becomes a vector in the same space (from its PHOC, see
    `cropzoom.cropper.nano.phoc`). Two small transformer layers weigh the words by context, and
    produce a few vectors of their own for words that the question implies and does not say
    ("how much do I owe" -> "amount due").
Pointing. Where cells and words agree, strip convolutions carry the match along rows and columns
    to the value. Every 16 x 16 px cell gets a logit, and four categoricals over the distance to
    the box's edges.

Fully convolutional: any page whose sides are multiples of 32.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cropzoom.cropper.nano.phoc import CLASSES, MAX_WORDS, WORD_DIM

from .layers import Attention, Mix, Residual, Strip, convolution

ROW, COLUMN, CELL = 8, 16, 16
EDGE_BINS = (
    6.0,
    9.0,
    13.0,
    18.0,
    25.0,
    34.0,
    46.0,
    62.0,
    84.0,
    114.0,
    155.0,
    210.0,
    285.0,
    386.0,
    524.0,
    710.0,
    962.0,
)
"""Distances from a cell's centre to an edge of the box, px; about x1.36 a step."""


@dataclass(frozen=True)
class NanoConfig:
    """Sizes of the net. `stem`, `middle`, `wide`: channels at stride 4, 8 and on the word grid.

    `*_blocks`, `text_layers` and `strips` are depths, by which a trained net may grow (`growth`).
    """

    stem: int = 48
    middle: int = 96
    wide: int = 128
    middle_blocks: int = 2
    wide_blocks: int = 4
    embed: int = 96
    text_width: int = 128
    text_layers: int = 2
    heads: int = 3
    implied: int = 2
    point: int = 64
    strips: int = 5
    meaning: int = 64
    senses: int = 4
    kinds: int = 4
    kind_width: int = 32

    def to_dict(self) -> dict[str, int]:
        """The fields as plain numbers."""
        return asdict(self)


class Reading(NamedTuple):
    """What the net makes of pages: (B, C, h, w) each; `fine` at stride 8, the rest on the grid."""

    fine: Tensor
    features: Tensor
    embedding: Tensor


class View(NamedTuple):
    """What pointing needs of pages: (B, C, h, w) each, made once for all questions about a page."""

    look: Tensor
    kinds: Tensor
    embedding: Tensor


class Asked(NamedTuple):
    """What the net makes of questions; see `QuestionReader.forward`."""

    vectors: Tensor
    weights: Tensor
    implied: Tensor
    senses: Tensor
    kinds: Tensor
    summary: Tensor


class Pointing(NamedTuple):
    """Logits of Q questions: cells (Q, h, w), absent (Q, 1), edges (Q, 4, bins, h, w); h = H/16."""

    cells: Tensor
    absent: Tensor
    edges: Tensor


class PageReader(nn.Module):
    """Grey pages (B, 1, H, W), 0..255 -> `Reading`."""

    def __init__(self, c: NanoConfig) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            convolution(16, c.stem, 3),
            nn.ReLU(),
            convolution(c.stem, c.stem, 3),
            nn.ReLU(),
            convolution(c.stem, c.middle, 3, 2),
            nn.ReLU(),
            *[Residual(c.middle) for _ in range(c.middle_blocks)],
        )
        narrow = convolution(c.middle, c.wide, (3, 4), (1, 2))
        first: Any = narrow[0]
        first.padding = (1, 1)  # an even kernel: exactly half the columns
        self.widen = nn.Sequential(narrow, nn.ReLU())
        self.mix = nn.Sequential(*[Mix(c.wide, (5, 7)) for _ in range(c.wide_blocks)])
        self.embed = nn.Conv2d(c.wide, c.embed, 1)

    def forward(self, image: Tensor) -> Reading:
        fine = self.stem(F.pixel_unshuffle(normalise_locally(image / 255.0), 4))
        features = self.mix(self.widen(fine))
        return Reading(fine, features, F.normalize(self.embed(features), dim=1))


def normalise_locally(image: Tensor) -> Tensor:
    """Subtract the mean and divide by the deviation of the 36 x 36 px round each 4 x 4 px block.

    Makes ink on any paper alike; statistics are taken at a quarter of the resolution, for speed.
    """
    small = F.avg_pool2d(image, 4)
    square = F.avg_pool2d(image * image, 4)

    def box(x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, (9, 1), 1, (4, 0), count_include_pad=False)
        return F.avg_pool2d(x, (1, 9), 1, (0, 4), count_include_pad=False)

    mean = box(small)
    deviation = (box(square) - mean * mean).clamp_min(0.0).sqrt()
    scale = 1.0 / (deviation + 0.03)
    mean, scale = (F.interpolate(x, scale_factor=4.0, mode="nearest") for x in (mean, scale))
    return (image - mean) * scale


class QuestionReader(nn.Module):
    """Words (Q, T, WORD_DIM) and mask (Q, T) -> vectors to look for, their weights, a summary."""

    def __init__(self, c: NanoConfig) -> None:
        super().__init__()
        self.kind_width = c.kind_width
        self.word = nn.Sequential(nn.Linear(WORD_DIM, 256), nn.ReLU(), nn.Linear(256, c.embed))
        self.enter = nn.Linear(WORD_DIM, c.text_width)
        self.meaning = nn.Linear(c.meaning, c.text_width, bias=False)
        nn.init.zeros_(self.meaning.weight)
        self.position = nn.Parameter(torch.zeros(MAX_WORDS, c.text_width))
        nn.init.normal_(self.position, std=0.02)
        self.layers = nn.ModuleList([Attention(c.text_width) for _ in range(c.text_layers)])
        self.weigh = nn.Linear(c.text_width, c.heads)
        self.pick = nn.Linear(c.text_width, c.implied)
        self.imply = nn.ModuleList([nn.Linear(c.text_width, c.embed) for _ in range(c.implied)])
        self.summary = nn.Linear(c.text_width, c.point)
        self.sense_pick = nn.Linear(c.text_width, c.senses)
        self.senses = nn.ModuleList([nn.Linear(c.text_width, c.embed) for _ in range(c.senses)])
        self.kinds = nn.Linear(c.text_width, c.kinds * c.kind_width)
        # Since 0.7: what single words tell of the kind, which the mean of a long question dilutes.
        self.picked = nn.Linear(c.senses * c.text_width, c.kinds * c.kind_width)
        nn.init.zeros_(self.picked.weight)
        nn.init.zeros_(self.picked.bias)

    def embed_words(self, words: Tensor) -> Tensor:
        """Word vectors (..., WORD_DIM) -> unit vectors (..., embed)."""
        return F.normalize(self.word(words), dim=-1)

    def forward(self, words: Tensor, mask: Tensor) -> Asked:
        """Read questions.

        Args:
            words: (Q, T, WORD_DIM), or with each word's meaning behind: (Q, T, WORD_DIM + meaning).
            mask: (Q, T).

        Returns:
            vectors (Q, T, E), weights (Q, heads, T), implied (Q, I, E), senses (Q, N, E),
            kinds (Q, K, kind_width), summary (Q, S).
        """
        words, meaning = words[..., :WORD_DIM], words[..., WORD_DIM:]
        x = self.enter(words) + self.position[: words.shape[1]]
        if meaning.shape[-1]:
            x = x + self.meaning(meaning)
        blocked = (1.0 - mask) * -1e4
        for layer in self.layers:
            x = layer(x, blocked)
        weights = torch.softmax(self.weigh(x).transpose(1, 2) + blocked[:, None], -1)
        picks = torch.softmax(self.pick(x).transpose(1, 2) + blocked[:, None], -1) @ x
        implied = torch.stack([f(picks[:, i]) for i, f in enumerate(self.imply)], 1)
        mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp_min(1.0)
        summary = F.relu(self.summary(mean))
        picks = torch.softmax(self.sense_pick(x).transpose(1, 2) + blocked[:, None], -1) @ x
        senses = torch.stack([f(picks[:, i]) for i, f in enumerate(self.senses)], 1)
        kinds = (self.kinds(mean) + self.picked(picks.flatten(1))).view(
            len(mean), -1, self.kind_width
        )
        return Asked(
            self.embed_words(words),
            weights,
            F.normalize(implied, dim=-1),
            F.normalize(senses, dim=-1),
            kinds,
            summary,
        )


class Pointer(nn.Module):
    """Where words and cells agree, and what that means for the box."""

    WINDOWS = ((5, 9), (5, 15))
    """Neighbourhoods in cells: the words of one key stand side by side, or on two lines."""

    def __init__(self, c: NanoConfig) -> None:
        super().__init__()
        maps = (c.heads + c.implied) * (1 + len(self.WINDOWS)) * 2
        self.look = nn.Conv2d(c.wide, 32, 1)
        self.kinds = nn.Conv2d(c.wide, c.kind_width, 1)
        # What came after 0.4 starts without effect, so that training goes on from the net of then.
        more = 3 * c.senses + 2 * c.kinds + 3
        self.more = nn.Conv2d(more, c.point, (3, 3), (2, 1), (1, 1))
        nn.init.zeros_(self.more.weight)
        if self.more.bias is not None:
            nn.init.zeros_(self.more.bias)
        self.enter = convolution(maps + 32, c.point, (3, 1), (2, 1))
        self.blocks = nn.ModuleList(
            [Strip(c.point, c.point, (1, 2, 4)[i % 3]) for i in range(c.strips)]
        )
        self.cell = nn.Conv2d(c.point, 1, 1)
        self.edges = nn.Sequential(
            nn.Conv2d(c.point, c.point, 1),
            nn.ReLU(),
            nn.Conv2d(c.point, 4 * len(EDGE_BINS), 1),
        )
        self.absent = nn.Sequential(
            nn.Linear(3 * c.point, c.point), nn.ReLU(), nn.Linear(c.point, 1)
        )

    def view(self, reading: Reading) -> View:
        """What `forward` needs of pages."""
        return View(self.look(reading.features), self.kinds(reading.features), reading.embedding)

    def forward(self, view: View, pages: Tensor | None, asked: Asked) -> Pointing:
        """`pages` (Q,) tells which page each question is about; None when there is one page."""
        if pages is not None:
            view = View(*(x[pages] for x in view))
        embedding, summary = view.embedding, asked.summary
        rows, dim, height, width = embedding.shape
        looked_for = torch.cat([asked.vectors, asked.implied], 1)
        flat = embedding.reshape(rows, dim, -1)
        similarity = (looked_for @ flat).view(-1, looked_for.shape[1], height, width)
        best = similarity.amax((2, 3), keepdim=True)
        count = asked.vectors.shape[1]
        maps = []
        for window in (None, *self.WINDOWS):
            pooled = similarity if window is None else _max_pool(similarity, window)
            for view_of in (pooled, torch.exp(6.0 * (pooled - best))):
                said = (asked.weights @ view_of[:, :count].flatten(2)).view(
                    len(summary), -1, height, width
                )
                maps += [said, view_of[:, count:]]
        look = view.look.expand(len(summary), -1, -1, -1)
        entered = self.enter(torch.cat([*maps, look], 1))
        senses = (asked.senses @ flat).view(len(summary), -1, height, width)
        relative = torch.exp(6.0 * (senses - senses.amax((2, 3), keepdim=True)))
        kinds = (asked.kinds @ view.kinds.flatten(2)).view(len(summary), -1, height, width) * 0.2
        extra = [senses, relative, _max_pool(relative, self.WINDOWS[1])]
        extra += [kinds, torch.sigmoid(kinds), places(senses)]
        x = F.relu(entered + self.more(torch.cat(extra, 1)))
        for block in self.blocks:
            x = block(x, summary)
        x = F.relu(x)
        cells = self.cell(x)[:, 0]
        edges = self.edges(x).view(len(summary), 4, len(EDGE_BINS), *x.shape[2:])
        whole = torch.cat([x.mean((2, 3)), x.amax((2, 3)), summary], 1)
        return Pointing(cells, self.absent(whole), edges)


def places(like: Tensor) -> Tensor:
    """How far down, up to and along each cell stands, 0 to 1: (Q, 3, h, w).

    A shop's name stands at the top, whatever it is; a convolution alone can't tell the top.
    """
    ones = torch.ones_like(like[:, :1])
    down = ones.cumsum(2)
    along = ones.cumsum(3)
    down = down / down.amax((2, 3), keepdim=True)
    along = along / along.amax((2, 3), keepdim=True)
    return torch.cat([down, torch.exp(-8.0 * down), along], 1)


def _max_pool(x: Tensor, window: tuple[int, int]) -> Tensor:
    x = F.max_pool2d(x, (window[0], 1), 1, (window[0] // 2, 0))
    return F.max_pool2d(x, (1, window[1]), 1, (0, window[1] // 2))


class Nano(nn.Module):
    """The policy. `phoc`, `text` and `characters` are read-outs for training only."""

    def __init__(self, config: NanoConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or NanoConfig()
        self.pages = PageReader(c)
        self.questions = QuestionReader(c)
        self.pointer = Pointer(c)
        self.text = nn.Conv2d(c.wide, 1, 1)
        self.phoc = nn.Linear(c.wide, WORD_DIM)
        self.characters = nn.Linear(c.middle, CLASSES)
        self.temperature = nn.Parameter(torch.tensor(2.3))

    def forward(
        self, image: Tensor, words: Tensor, mask: Tensor, pages: Tensor | None = None
    ) -> Pointing:
        """Pages (B, 1, H, W) float 0..255, Q questions, their pages -> `Pointing`."""
        return self.point(self.pages(image), words, mask, pages)

    def point(
        self, reading: Reading, words: Tensor, mask: Tensor, pages: Tensor | None
    ) -> Pointing:
        """As `forward`, from pages already read."""
        return self.pointer(self.pointer.view(reading), pages, self.questions(words, mask))
