"""Real architectures with random weights: latency does not depend on what weights say.

The tokenizer cuts text as SmolLM2's does where it matters here: digits stand alone, a space joins
the bracket after it, and known words are one token each.
"""

from __future__ import annotations

import importlib
import json
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cropzoom.errors import OptionsError

SPECIAL_TOKENS = [
    "<pad>",
    "<|im_start|>",
    "<end_of_utterance>",
    "<fake_token_around_image>",
    "<image>",
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
]
# SmolVLM's, in short: images and texts of a turn in their order; an answer begins with a space.
CHAT_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}:"
    "{% if message['role'] == 'assistant' %} {% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for block in message['content'] %}{% if block['type'] == 'text' %}{{ block['text'] }}"
    "{% elif block['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}{% endif %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
_MERGES = [("Ġ", "["), ("]", "."), ("Ċ", "Ċ"), ("t", "h"), ("Ġ", "th"), ("Ġth", "e"), ("i", "n")]
_VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 512,
    "patch_size": 16,
}


def _language(width: int, inner: int, layers: int, heads: int, shared: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": shared,
        "vocab_size": 49280,
        "max_position_embeddings": 8192,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
    }


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "smolvlm-256m": {
        "scale_factor": 4,
        "vision_config": _VISION,
        "text_config": _language(576, 1536, 30, 9, 3),
    },
    "smolvlm-500m": {
        "scale_factor": 4,
        "vision_config": _VISION,
        "text_config": _language(960, 2560, 32, 15, 5),
    },
}
"""From the config.json of https://huggingface.co/HuggingFaceTB/SmolVLM-{256M,500M}-Instruct."""


def smol_tokenizer(words: Iterable[str] = ()) -> Any:
    """A `tokenizers.Tokenizer`: bytes, a few merges, single digits, Idefics3's special tokens.

    Args:
        words: of letters only; with a space before it, each becomes one token.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    merges: dict[tuple[str, str], None] = {}
    for word in words:
        # Beginning with the space, so that no merge fits in the middle of another word.
        merges |= {("Ġ" + word[:i], word[i]): None for i in range(len(word))}
    merges |= dict.fromkeys(_MERGES)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*SPECIAL_TOKENS, *letters, *(left + right for left, right in merges)]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    )
    return tokenizer


def build_checkpoint(
    folder: Path,
    sizes: dict[str, Any],
    *,
    family: str = "idefics3",
    longest_edge: int | None = None,
    tied: bool = False,
    seed: int = 0,
    std: float | None = None,
    words: Iterable[str] = (),
) -> Path:
    """Save a random checkpoint; same arguments, same weights.

    Args:
        folder: where to save; made if missing.
        sizes: of `ARCHITECTURES`, or others of that form.
        family: "idefics3", or "smolvlm", whose processor is saved as SmolVLM2's checkpoints have
            it, with a video processor.
        longest_edge: of the image processor; one tile's, by default.
        tied: whether the head shares the embeddings' weights.
        seed: of the weights.
        std: of all matrices, instead of what the model starts from.
        words: see `smol_tokenizer`.
    """
    # By name: neither is typed to the end.
    torch: Any = importlib.import_module("torch")
    t: Any = importlib.import_module("transformers")
    tokenizer = t.PreTrainedTokenizerFast(
        tokenizer_object=smol_tokenizer(words),
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<pad>",
        additional_special_tokens=SPECIAL_TOKENS[3:],
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )
    vision, scale = sizes["vision_config"], sizes["scale_factor"]
    tile = vision["image_size"]
    processor = t.Idefics3Processor(
        t.Idefics3ImageProcessorPil(
            size={"longest_edge": longest_edge or tile},
            max_image_size={"longest_edge": tile},
            image_mean=[0.5, 0.45, 0.4],
            image_std=[0.5, 0.55, 0.6],
        ),
        tokenizer,
        image_seq_len=(tile // vision["patch_size"] // scale) ** 2,
        chat_template=CHAT_TEMPLATE,
    )
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    text = {"model_type": "llama", "vocab_size": len(tokenizer), **special, **sizes["text_config"]}
    kind, config = {
        "idefics3": (t.Idefics3ForConditionalGeneration, t.Idefics3Config),
        "smolvlm": (t.SmolVLMForConditionalGeneration, t.SmolVLMConfig),
    }[family]
    torch.manual_seed(seed)
    model = kind(
        config(
            image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
            scale_factor=scale,
            vision_config=vision,
            text_config=text,
            tie_word_embeddings=tied,
            **special,
        )
    ).eval()
    if std is not None:
        with torch.no_grad():
            for weights in model.parameters():
                if weights.dim() > 1:
                    weights.normal_(std=std)
    model.generation_config = t.GenerationConfig(do_sample=False, max_new_tokens=8, **special)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    if family == "smolvlm":
        path = folder / "processor_config.json"
        said = json.loads(path.read_text())
        said["processor_class"] = "SmolVLMProcessor"
        said["image_processor"]["image_processor_type"] = "SmolVLMImageProcessor"
        said["video_processor"] = {"video_processor_type": "SmolVLMVideoProcessor"}
        path.write_text(json.dumps(said))
    return folder


def random_checkpoint(name: str, folder: Path, questions: Iterable[str]) -> Path:
    """Build a checkpoint of an architecture in `folder / "checkpoint"`; one that is there is kept.

    Args:
        name: of `ARCHITECTURES`.
        folder: where; made if missing.
        questions: their words, and those of the paper's prompt, get a token each.

    Raises:
        OptionsError: there is no such architecture.
    """
    if name not in ARCHITECTURES:
        raise OptionsError(f"architecture {name!r} must be one of {', '.join(ARCHITECTURES)}")
    from cropzoom.trainer.vlm import PROMPT

    out = folder / "checkpoint"
    if not out.exists():
        words = sorted(set(re.findall("[A-Za-z]+", " ".join([PROMPT, *questions]))))
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as beside:
            build_checkpoint(Path(beside) / "made", ARCHITECTURES[name], words=words).rename(out)
    return out


def export_unverified(
    checkpoint: Path, out: Path, kind: str, progress: Callable[[str], None] = lambda stage: None
) -> Path:
    """Export a checkpoint as a cropper of a kind; what is there already is left.

    Raises:
        ExportError, CropperError, OptionsError: see `export_policy`.
    """
    from cropzoom.export import ExportOptions, export_policy
    from cropzoom.trainer.policies import load_policy

    if not out.exists():
        options = ExportOptions(samples=0, name=out.name.replace("-", " "))
        export_policy(load_policy(checkpoint, kind), out, str(checkpoint), options, progress)
    return out


def answer_tokens() -> int:
    """Return how many tokens a box of two-digit percents takes, with the one that ends it."""
    return len(smol_tokenizer().encode(" [25, 25, 75, 75].").ids) + 1
