"""What the manifest of a cropper made of a vision-language model says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cropzoom.cropper.folder import FileEntry
from cropzoom.cropper.smolvlm.box_grammar import LARGEST, BoxGrammar
from cropzoom.cropper.smolvlm.idefics3 import MOST_TILES, TileSpec
from cropzoom.cropper.strict_json import Section

TOKENIZER_NAME = "tokenizer.json"
VISION, EMBED, DECODER = "vision_encoder", "embed_tokens", "decoder_model_merged"
BOX_DECODER, FUSED_DECODER = "decoder_model_box", "decoder_model_box_fused"
TEXT_GRAPHS = (VISION, EMBED, DECODER, BOX_DECODER)
"""Graphs that every text cropper has; `FUSED_DECODER` may be there, too."""
POINTER, FUSED_POINTER = "pointer_model", "pointer_model_fused"

_LARGEST_ID = 1 << 24
_MARKS = "{image}", "{question}"


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """How image and question become the prompt.

    Args:
        before, between, after: what stands before the image, between it and the question, and
            after the question.
        capitalize: apply `str.capitalize` to the question, as the authors' scripts do. It
            lower-cases names.
        image_tokens: a tile's.
        max_tokens: of prompt and answer together.
    """

    before: str
    between: str
    after: str
    capitalize: bool
    image_tokens: int
    max_tokens: int


def tile_spec(section: Section) -> TileSpec:
    """Read and check `image`."""
    if section.take("mode") != "RGB":
        raise section.error("mode", "must be 'RGB'; upgrade cropzoom")
    tile = section.integer("tile", 8, 1024)
    spec = TileSpec(
        longest_edge=section.integer("longest_edge", tile, tile * MOST_TILES),
        tile=tile,
        split=section.flag("split"),
        resample=section.integer("resample", 0, 5),
        rescale=section.number("rescale", 1e-6, 1e6),
        mean=section.numbers("mean", 3, -1e3, 1e3),
        std=section.numbers("std", 3, 1e-6, 1e3),
    )
    section.finish()
    return spec


def prompt_spec(section: Section) -> PromptSpec:
    """Read and check `prompt`."""
    template = section.text("template", 10_000)
    # An image before the question: the model's work on it serves further questions.
    image, question = (template.find(mark) for mark in _MARKS)
    if any(template.count(mark) != 1 for mark in _MARKS) or image > question:
        raise section.error("template", "must hold {image} once, and after it {question} once")
    before, rest = template.split(_MARKS[0])
    between, after = rest.split(_MARKS[1])
    spec = PromptSpec(
        before=before,
        between=between,
        after=after,
        capitalize=section.flag("capitalize"),
        image_tokens=section.integer("image_tokens", 1, 4096),
        max_tokens=section.integer("max_tokens", 16, 1 << 24),
    )
    section.finish()
    return spec


def graph_files(
    section: Section,
    files: Mapping[str, FileEntry],
    required: tuple[str, ...],
    optional: tuple[str, ...],
) -> dict[str, str]:
    """Read and check `graphs`: the ONNX file of each."""
    graphs = {name: section.text(name) for name in required}
    graphs |= {name: section.text(name) for name in optional if name in section}
    for name, file in graphs.items():
        if file not in files:
            raise section.error(name, f"is {file!r}, which is not among the files")
    section.finish()
    return graphs


def grammar(section: Section) -> BoxGrammar:
    """Read and check `grammar`."""
    numbers = section.take("numbers")
    if not isinstance(numbers, list) or len(numbers) != LARGEST + 1:
        raise section.error("numbers", f"must be a list of {LARGEST + 1} lists of tokens")
    found = []
    for tokens in numbers:
        right = isinstance(tokens, list) and all(
            type(i) is int and 0 <= i < _LARGEST_ID for i in tokens
        )
        if not right or not 1 <= len(tokens) <= 3:
            raise section.error("numbers", "must hold lists of 1 to 3 token ids")
        found.append(tuple(tokens))
    parts = {
        name: section.integers(name, 8, 0, _LARGEST_ID)
        for name in ("opening", "separator", "closing")
    }
    section.finish()
    try:
        return BoxGrammar(numbers=tuple(found), **parts)
    except ValueError as error:
        raise section.error("numbers", f"make no grammar: {error}") from error


def end_tokens(section: Section) -> tuple[tuple[int, ...], float]:
    """Read and check `decode`: tokens that end an answer, and the confidence's temperature."""
    end = section.integers("end", 8, 0, _LARGEST_ID)
    temperature = section.number("temperature", 0.01, 100)
    section.finish()
    return end, temperature
