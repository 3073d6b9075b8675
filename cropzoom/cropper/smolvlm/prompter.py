"""Prompts of croppers made of a vision-language model: image and question to token ids."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cropzoom.cropper.folder import Content
from cropzoom.cropper.smolvlm import idefics3
from cropzoom.cropper.smolvlm.idefics3 import Layout, TileSpec
from cropzoom.cropper.smolvlm.vlm_spec import PromptSpec
from cropzoom.errors import CropperError, OptionsError


class Prompter:
    """Lays out images and writes prompts. Thread-safe.

    Args:
        tokenizer: content of a checked `tokenizer.json`.
        path: of that file, for messages.
        spec, image: the manifest's.
        longest_edge: px that images are brought to, instead of `image`'s.
        room: tokens to leave for the answer.

    Raises:
        CropperError: the tokenizer is none, or lacks a token that the image needs.
        OptionsError: `longest_edge` is not whole tiles, or too many.
    """

    def __init__(
        self,
        tokenizer: Content,
        path: str,
        spec: PromptSpec,
        image: TileSpec,
        longest_edge: int | None,
        room: int,
    ) -> None:
        sides = range(image.tile, image.tile * idefics3.MOST_TILES + 1, image.tile)
        if longest_edge is not None and (
            type(longest_edge) is not int or longest_edge not in sides
        ):
            raise OptionsError(
                f"longest_edge={longest_edge!r} must be a multiple of {image.tile} (one tile) up "
                f"to {sides[-1]}, or None"
            )
        self.longest_edge = longest_edge or image.longest_edge
        self._spec, self._image, self._room = spec, image, room
        self._tokenizer = _read(tokenizer, path)
        tiles = range(-(-self.longest_edge // image.tile))
        tags = [idefics3.tag(row, column) for row in tiles for column in tiles]
        wanted = [idefics3.IMAGE, idefics3.FAKE, idefics3.GLOBAL, *(tags if len(tags) > 1 else [])]
        missing = [token for token in wanted if self._tokenizer.token_to_id(token) is None]
        if missing:
            raise CropperError(f"{path} lacks {missing[0]}, which {len(tags)} tiles need")
        self.image_token: int = self._tokenizer.token_to_id(idefics3.IMAGE)
        self._image_end: int = self._tokenizer.token_to_id(idefics3.FAKE)
        added = self._tokenizer.get_added_tokens_decoder().values()
        special = {token.content for token in added if token.special}
        self._special = sorted({*special, idefics3.IMAGE, idefics3.FAKE}, key=len, reverse=True)

    def layout(self, size: tuple[int, int]) -> Layout:
        """Lay out an image of `size` (width, height) px."""
        return idefics3.layout(size, self._image, self.longest_edge)

    def tokens(self, plan: Layout, question: str) -> list[int]:
        """Return the prompt's token ids. Special tokens in the question lose their brackets.

        Raises:
            CropperError: there are too many.
        """
        spec = self._spec
        question = without_tokens(question, self._special)
        if spec.capitalize:
            question = question.capitalize()
        image = idefics3.image_text(plan, spec.image_tokens)
        prompt = f"{spec.before}{image}{spec.between}{question}{spec.after}"
        ids: list[int] = self._tokenizer.encode(prompt).ids
        most = spec.max_tokens - self._room
        if len(ids) > most:
            raise CropperError(
                f"the prompt has {len(ids)} tokens, the model takes {most}; shorten the question "
                "or lower longest_edge"
            )
        return ids

    def image_end(self, ids: list[int]) -> int:
        """Return how many of a prompt's tokens come up to the end of its image."""
        return len(ids) - ids[::-1].index(self._image_end)

    def text(self, ids: list[int]) -> str:
        """Return the text of tokens, without special ones."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text


def without_tokens(question: str, special: Iterable[str]) -> str:
    """Take the brackets off special tokens in a question: an "<image>" there is no picture."""
    for token in special:
        question = question.replace(token, token.strip("<>|"))
    return question


def _read(data: Content, path: str) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_buffer(bytes(data))
    except Exception as error:
        # tokenizers raises bare exceptions.
        raise CropperError(f"{path} is not a tokenizer: {error}; export it again") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
