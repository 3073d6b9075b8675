"""What a question asks for and what a cell shows, by kind: a vector for each of the `concepts`.

Pages teach ten wordings a step; here words alone teach a hundred in a tenth of the time. A
wording's first kind (`Asked.kinds`) must be nearest to the vector of the concept that it asks
for, and what it looks for nearest to the labels that papers print for that concept. On pages, the
cells of a value must be nearest to the vector of what the value is. So a wording that was never on
a page leads to values that were.
"""

from __future__ import annotations

import random
from collections import defaultdict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cropzoom.cropper.nano.meanings import Meanings
from cropzoom.cropper.nano.phoc import encode_question, phoc, split_words

from .batches import Batch
from .network import Nano, Reading
from .pages import phrases

WORDINGS_A_STEP = 224
ALIKE = 3
"""A label's word that more concepts than these share ("number") tells none of them."""


class Kinds(nn.Module):
    """The concepts' vectors and the losses that they are learnt by; no part of the exported net.

    Args:
        width: of the net's kinds (`NanoConfig.kind_width`).
        seed: of all draws.
        meanings: of the words of questions.
    """

    printed: Tensor
    means: Tensor

    def __init__(self, width: int, seed: int, meanings: Meanings | None) -> None:
        super().__init__()
        self.seed, self.meanings = seed, meanings
        concepts = phrases.concepts()
        self.concepts = {concept: index for index, concept in enumerate(concepts)}
        draw = torch.Generator().manual_seed(seed)
        self.vectors = nn.Parameter(0.3 * torch.randn(len(concepts), width, generator=draw))
        words = labels()
        self.register_buffer("printed", torch.from_numpy(np.stack([phoc(w) for w in words])), False)
        means = torch.tensor([[concept in own for own in words.values()] for concept in concepts])
        self.register_buffer("means", means, False)

    def asked(self, net: Nano, step: int) -> dict[str, Tensor]:
        """Of wordings drawn for this step: kind and label, two scalars."""
        rng = random.Random(f"{self.seed}/{step}/asked")
        # As often of one concept as of another, half in any language: the rare need it most.
        concepts = rng.choices(list(self.concepts), k=WORDINGS_A_STEP)
        tongues = [
            rng.choice(phrases.languages()) if rng.random() < 0.5 else None for _ in concepts
        ]
        texts = [phrases.ask(rng, c, tongue) for c, tongue in zip(concepts, tongues, strict=True)]
        encoded = [encode_question(text, meanings=self.meanings) for text in texts]
        longest = max(2, *(int(mask.sum()) for _, mask in encoded))
        words = torch.from_numpy(np.stack([words[:longest] for words, _ in encoded]))
        mask = torch.from_numpy(np.stack([mask[:longest] for _, mask in encoded]))
        asked = net.questions(words, mask)
        wanted = torch.tensor([self.concepts[concept] for concept in concepts])
        logits = (asked.kinds[:, 0] @ self.vectors.T).float()
        kind = F.cross_entropy(logits, wanted, label_smoothing=0.05)
        looked_for = torch.cat([asked.implied, asked.senses], 1)
        # The labels' own vectors are those that pages are read into: not moved by this.
        read = net.questions.embed_words(self.printed).detach()
        near = (looked_for @ read.T).amax(1).float()
        near = near * net.temperature.detach().clamp(0.0, 4.0).exp()
        means = self.means[wanted]
        labelled = means.any(1)
        right = near.masked_fill(~means, -1e4).logsumexp(1)
        # Divided by all: no label at all is no loss, and not 0 / 0.
        label = ((near.logsumexp(1) - right) * labelled).mean()
        return {"asked": kind, "label": label}

    def shown(self, net: Nano, reading: Reading, batch: Batch) -> dict[str, Tensor]:
        """Of the cells of values whose kind is known: a scalar, or nothing where there are none."""
        if not len(batch.thing):
            return {}
        page, row, column, concept = batch.thing.T
        cells = net.pointer.kinds(reading.features)[page, :, row, column]
        return {"shown": F.cross_entropy((cells @ self.vectors.T).float(), concept)}


def labels() -> dict[str, set[str]]:
    """Words of the labels that papers print, with the concepts that they tell; folded."""
    words: dict[str, set[str]] = defaultdict(set)
    for (concept, _), forms in phrases.table("labels.txt").items():
        for form in forms:
            for word in split_words(form):
                if len(word) > 1 and any(c.isalpha() for c in word):
                    words[word].add(concept)
    return {word: own for word, own in words.items() if len(own) <= ALIKE}
