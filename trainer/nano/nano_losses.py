"""What nano learns from: reading the words of a page, and pointing at what a question asks for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .batches import Batch
from .network import EDGE_BINS, Nano, Pointing, Reading


def reading_losses(net: Nano, reading: Reading, batch: Batch) -> dict[str, Tensor]:
    """InfoNCE of cells against the batch's words, PHOC and character read-outs, text or not."""
    page, row, column, entry = batch.word.T
    cells = reading.embedding[page, :, row, column]
    words = net.questions.embed_words(batch.vocabulary)
    logits = (cells @ words.T).float() * net.temperature.clamp(0.0, 4.0).exp()
    read = net.phoc(reading.features[page, :, row, column]).float()
    weight = 1.0 + 3.0 * batch.vocabulary[entry, :-1]
    phoc = F.binary_cross_entropy_with_logits(read[:, :-1], batch.vocabulary[entry, :-1], weight)
    length = F.mse_loss(read[:, -1], batch.vocabulary[entry, -1])
    at, y, x, kind = batch.character.T
    characters = F.cross_entropy(net.characters(reading.fine[at, :, y, x]).float(), kind)
    text = F.binary_cross_entropy_with_logits(
        net.text(reading.features)[:, 0].float(), batch.text.float()
    )
    return {
        "match": 0.5 * F.cross_entropy(logits, entry),
        "phoc": 10.0 * phoc + length,
        "characters": characters,
        "text": 0.5 * text,
    }


def pointing_losses(pointing: Pointing, batch: Batch) -> dict[str, Tensor]:
    """Cross-entropy over cells and "absent"; over the four distances at cells of the answer."""
    logits = torch.cat([pointing.cells.flatten(1), pointing.absent], 1).float()
    cell = -(batch.target * F.log_softmax(logits, 1)).sum(1).mean()
    if not len(batch.edge):  # nothing on the pages answers
        return {"cell": cell}
    question, row, column = batch.edge[:, :3].T
    at = pointing.edges[question, :, :, row, column].float()
    edge = F.cross_entropy(at.reshape(-1, len(EDGE_BINS)), batch.edge[:, 3:].reshape(-1))
    return {"cell": cell, "edge": edge}


def retrieval(net: Nano, reading: Reading, batch: Batch) -> Tensor:
    """For each word on the pages, whether its cell is nearer to it than to the batch's others."""
    page, row, column, entry = batch.word.T
    words = net.questions.embed_words(batch.vocabulary)
    return (reading.embedding[page, :, row, column] @ words.T).argmax(1) == entry
