"""The configurations to start from: the paper's figures, and what we would choose today."""

from __future__ import annotations

from typing import Any

from .config import PROMPT, SMOLVLM

# Every figure that the paper or its scripts give; the rest are this module's defaults.
PAPER: dict[str, Any] = {
    "policy": {
        "kind": "text",
        "longest_edge": 2048,
        "prompt": PROMPT,
        "lora_rank": 128,
        "lora_alpha": 256,
        "lora_dropout": 0.05,
        # Theirs writes freely, and is paid for a valid format.
        "constrained": False,
    },
    "reward": {"spec": "likelihood+valid", "model": SMOLVLM},
    "sft": {"learning_rate": 5e-5, "batch": 2, "accumulation": 8, "epochs": 1.0},
    "grpo": {
        "learning_rate": 5e-6,
        "group": 6,
        "temperature": 0.8,
        "beta": 0.01,
        "batch": 1,
        "accumulation": 16,
        "max_grad_norm": 0.1,
        "schedule": "cosine",
        "warmup": 0.03,
        "epochs": 1.0,
        "variant": "dr_grpo",
        "scaling": "none",
    },
}

# A starting point, not a result: none of these figures was tuned on the paper's data.
MODERN: dict[str, Any] = {
    "policy": {
        # One forward pass instead of some twenty, and every sample is a box.
        "kind": "pointer",
        # A pointer's resolution is that of the image tokens, and 17 tiles of a 2048-px page cost
        # four times the five of a 1024-px one.
        "longest_edge": 1024,
        # Adapters of this rank learn as well as full training on data of this size ("LoRA Without
        # Regret", Thinking Machines 2025), at a quarter of the paper's memory.
        "lora_rank": 32,
        "lora_alpha": 64,
    },
    # A pointer's boxes are always valid. Of a long answer, the mean a token: as a sum, a step is
    # ruled by the rows with the longest answers.
    "reward": {"spec": "likelihood", "model": SMOLVLM, "options": {"reduce": "mean"}},
    # The same source: adapters want about ten times the rate of full training.
    "sft": {"learning_rate": 2e-4, "batch": 4, "accumulation": 8, "weight_decay": 0.01},
    "grpo": {
        "learning_rate": 2e-5,
        # More samples of one image cost almost nothing here: the image is encoded once.
        "group": 8,
        # The policy that is trained is the one that is sampled; no malformed text to avoid.
        "temperature": 1.0,
        # Held loosely: recent recipes (DAPO, Dr. GRPO) drop the divergence, but boxes collapse to
        # one place more easily than texts do. In closed form, as a pointer's is cheap and exact.
        "beta": 0.001,
        "kl": "exact",
        "batch": 4,
        "accumulation": 4,
        # The paper's .1 clips nearly every step, which makes the rate meaningless.
        "max_grad_norm": 1.0,
        # Log-likelihoods have a scale of their own; by the batch's spread, the rate is free of it,
        # without blowing up groups that hardly differ, as scaling by group does.
        "scaling": "batch",
        # DAPO's "clip higher": unlikely good boxes may gain faster. Without effect at one
        # iteration.
        "clip_high": 0.28,
    },
}

PRESETS: dict[str, dict[str, Any]] = {"paper": PAPER, "modern": MODERN}
