"""How a reader sees: any picture squashed to 64x64 px, one tile, one character a token."""

from __future__ import annotations

from PIL import Image
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Idefics3ImageProcessor,
    Idefics3Processor,
    PreTrainedTokenizerFast,
)

VIEW = 64
# Patches of 8 px, of which the connector joins 2x2.
TOKEN = 16
_SPECIAL = [
    "<pad>",
    "<unk>",
    "<end_of_utterance>",
    "<fake_token_around_image>",
    "<image>",
    "<global-img>",
]
# Pictures and texts in their order, nothing between them; the answer follows at once.
_CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for block in message['content'] %}"
    "{% if block['type'] == 'image' %}{{ '<image>' }}"
    "{% elif block['type'] == 'text' %}{{ block['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ '<end_of_utterance>' }}{% endif %}{% endfor %}"
)


def build_processor(side: int = VIEW) -> Idefics3Processor:
    """Make the stock processor: printable ASCII as tokens, and pictures squashed, never split.

    Args:
        side: of what a model sees of a picture, px.
    """
    letters = ["\n", *(chr(code) for code in range(32, 127))]
    vocabulary = {token: number for number, token in enumerate([*_SPECIAL, *letters])}
    characters = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    characters.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    characters.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=characters,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<end_of_utterance>",
        eos_token="<end_of_utterance>",
        additional_special_tokens=_SPECIAL[3:],
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )
    # Without splitting, a picture is scaled to `size` on its longer side, then squashed.
    images = Idefics3ImageProcessor(
        size={"longest_edge": side},
        max_image_size={"longest_edge": side},
        do_image_splitting=False,
        resample=Image.Resampling.LANCZOS,
    )
    return Idefics3Processor(
        images, tokenizer, image_seq_len=(side // TOKEN) ** 2, chat_template=_CHAT_TEMPLATE
    )


def view(image: Image.Image, box: tuple[float, float, float, float] | None = None) -> Image.Image:
    """What the processor makes of a picture, or of a crop of it (whole px), before it normalises.

    The processor itself takes ten times as long a picture as drawing a page does.
    """
    crop = image if box is None else image.crop(tuple(round(edge) for edge in box))
    width, height = crop.size
    # As Idefics3ImageProcessor: the shorter side is truncated, then made even.
    if width >= height:
        size = VIEW, int(VIEW / (width / height))
    else:
        size = int(VIEW * (width / height)), VIEW
    size = tuple(max(1, side + side % 2) for side in size)
    crop = crop.resize(size, Image.Resampling.LANCZOS)
    return crop.resize((VIEW, VIEW), Image.Resampling.LANCZOS)


def prompt(processor: Idefics3Processor, question: str, pictures: int) -> str:
    """The text of a question about one or two pictures, image tokens expanded."""
    picture = (
        processor.fake_image_token
        + processor.global_image_tag
        + processor.image_token * processor.image_seq_len
        + processor.fake_image_token
    )
    return picture * pictures + question
