"""A tiny random Idefics3 with processor and chat template, built from configs: no downloads.

It answers nonsense, but it is the real model class behind the real processor, so everything around
the weights behaves as with SmolVLM: tiles, image tokens, chat template, generation.
"""

from __future__ import annotations

import os
from pathlib import Path

from cropzoom.bench import random_weights
from cropzoom.bench.random_weights import SPECIAL_TOKENS

# One small model on a shared machine: more threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

IMAGE_TOKEN = "<image>"
# SmolVLM's, in short, and with a space after every role.
CHAT_TEMPLATE = random_weights.CHAT_TEMPLATE.replace(
    ":{% if message['role'] == 'assistant' %} {% endif %}", ": "
)


def build_tiny_idefics3(folder: Path, *, seed: int = 0) -> Path:
    """Save a random Idefics3ForConditionalGeneration and its processor; same seed, same weights.

    Args:
        folder: where to save; made if missing.
        seed: of the weights.

    Returns:
        The folder, ready for `from_pretrained`. One tile is 32x32 px and costs four image tokens.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        GenerationConfig,
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
        PreTrainedTokenizerFast,
    )

    # Bytes as tokens: any text survives the way to ids and back.
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*SPECIAL_TOKENS, *letters])}
    bytewise = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bytewise,
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<pad>",
        additional_special_tokens=SPECIAL_TOKENS[3:],
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )
    processor = Idefics3Processor(
        Idefics3ImageProcessor(
            size={"longest_edge": 64}, max_image_size={"longest_edge": 32}, do_image_splitting=True
        ),
        tokenizer,
        image_seq_len=4,
        chat_template=CHAT_TEMPLATE,
    )
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = Idefics3Config(
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        scale_factor=2,
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            **special,
        },
        **special,
    )
    torch.manual_seed(seed)
    model = Idefics3ForConditionalGeneration(config).eval()
    # Large random weights, or every prompt would get the same answer.
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.normal_(std=0.3)
    model.generation_config = GenerationConfig(do_sample=False, max_new_tokens=8, **special)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
