"""The configurations to start from: the paper's figures, and what we would choose today."""

from __future__ import annotations

from typing import Any

_EVERY = {"eval_strategy": "steps", "eval_steps": 500, "save_steps": 500}

# The figures that the paper or its scripts give, where they are not the defaults of `config.py`.
PAPER: dict[str, Any] = {
    # Theirs writes freely, and is paid for a valid format.
    "policy": {"constrained": False},
    "sft": {
        **_EVERY,
        "learning_rate": 5e-5,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 8,
    },
    "grpo": {
        **_EVERY,
        "learning_rate": 5e-6,
        "gradient_accumulation_steps": 16,
        "max_grad_norm": 0.1,
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
    "reward": {"spec": "likelihood", "options": {"reduce": "mean"}},
    "sft": {
        **_EVERY,
        # The same source: adapters want about ten times the rate of full training.
        "learning_rate": 2e-4,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 8,
        "weight_decay": 0.01,
    },
    "grpo": {
        **_EVERY,
        "learning_rate": 2e-5,
        # More samples of one image cost almost nothing here: the image is encoded once.
        "num_generations": 8,
        # The policy that is trained is the one that is sampled; no malformed text to avoid.
        "temperature": 1.0,
        # Held loosely: recent recipes (DAPO, Dr. GRPO) drop the divergence, but boxes collapse to
        # one place more easily than texts do. In closed form, as a pointer's is cheap and exact.
        "beta": 0.001,
        "kl": "exact",
        # The paper's gradient norm of .1 clips nearly every step, which makes the rate
        # meaningless; the default of 1 doesn't.
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
        # Log-likelihoods have a scale of their own; by the batch's spread, the rate is free of it,
        # without blowing up groups that hardly differ, as scaling by group does.
        "scale_rewards": "batch",
        # DAPO's "clip higher": unlikely good boxes may gain faster. Without effect at one
        # iteration.
        "epsilon_high": 0.28,
    },
}

# nano is small, and what it can do already is worth more than what a few dozen rows could teach it
# anew: a rate that forgot nothing on pages of other kinds (docs/teach-nano.md).
# Lies on top of the preset's wherever nano is trained, see `settings.resolve`.
NANO: dict[str, Any] = {
    "sft": {
        "learning_rate": 3e-5,
        "num_train_epochs": 2.0,
        # Rows about one picture come together, and it is encoded once for all of them.
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "weight_decay": 0.01,
        "logging_steps": 5,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
    },
}

RECIPES: dict[str, dict[str, Any]] = {"paper": PAPER, "modern": MODERN}
