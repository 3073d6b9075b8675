"""Random Idefics3 and SmolVLM checkpoints with a tokenizer that cuts text as SmolLM2's does.

Digits stand alone, and a space joins the bracket after it: the text of a box becomes the same
pieces as with SmolVLM's own tokenizer. The weights say nothing; everything around them is real.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_models import CHAT_TEMPLATE, SPECIAL_TOKENS

MERGES = [("Ġ", "["), ("]", "."), ("Ċ", "Ċ"), ("t", "h"), ("Ġ", "th"), ("Ġth", "e"), ("i", "n")]
# The real architecture: https://huggingface.co/HuggingFaceTB/SmolVLM-256M-Instruct, config.json.
SMOLVLM_256M: dict[str, Any] = {
    "scale_factor": 4,
    "vision_config": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 512,
        "patch_size": 16,
    },
    "text_config": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49280,
        "max_position_embeddings": 8192,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
    },
}
TINY: dict[str, Any] = {
    "scale_factor": 2,
    "vision_config": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    },
    "text_config": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
    },
}


def smol_tokenizer() -> Any:
    """A `tokenizers.Tokenizer`: bytes, a few merges, single digits, Idefics3's special tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*SPECIAL_TOKENS, *letters, *(left + right for left, right in MERGES)]
    vocabulary = {token: number for number, token in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=MERGES))
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
    *,
    family: str = "idefics3",
    sizes: dict[str, Any] = TINY,
    longest_edge: int = 64,
    tied: bool = False,
    seed: int = 0,
) -> Path:
    """Save a random checkpoint; same arguments, same weights.

    Args:
        folder: where to save; made if missing.
        family: "idefics3", or "smolvlm", whose processor is saved as SmolVLM2's checkpoints have
            it, with a video processor.
        sizes: `TINY` or `SMOLVLM_256M`.
        longest_edge: of the image processor.
        tied: whether the head shares the embeddings' weights.
        seed: of the weights.
    """
    import json

    import torch
    import transformers as t

    tokenizer = t.PreTrainedTokenizerFast(
        tokenizer_object=smol_tokenizer(),
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
            size={"longest_edge": longest_edge},
            max_image_size={"longest_edge": tile},
            image_mean=[0.5, 0.45, 0.4],
            image_std=[0.5, 0.55, 0.6],
        ),
        tokenizer,
        image_seq_len=(tile // vision["patch_size"] // scale) ** 2,
        # SmolVLM's begins an answer with a space.
        chat_template=CHAT_TEMPLATE.replace(
            "capitalize }}: ", "capitalize }}:{% if message['role'] == 'assistant' %} {% endif %}"
        ),
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
    if sizes is TINY:
        # Large random weights, or every prompt would get the same answer.
        with torch.no_grad():
            for weights in model.parameters():
                if weights.dim() > 1:
                    weights.normal_(std=0.3)
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
