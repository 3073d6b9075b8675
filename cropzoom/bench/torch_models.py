"""Torch models to time against: transformers' `generate`, and the policies themselves.

`generate` is what the authors' script does: eager mode, key-value cache, greedy, the whole prompt
anew for every question. Its stages are told apart by hooks on the model: vision (encoder and
connector), prefill (to the first token), decode (the rest).
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from PIL import Image

from cropzoom.bench.candidates import Candidate, Spec, weights_hash
from cropzoom.cropper.smolvlm.text_cropper import LONGEST_ANSWER
from cropzoom.cropper.trace import Trace
from cropzoom.environment import usable_threads
from cropzoom.errors import MissingDependencyError, OptionsError
from cropzoom.geometry import Box
from cropzoom.images import readable


class _Row:
    """An image and a question, as a policy's collator takes them."""

    def __init__(self, image: Image.Image, question: str) -> None:
        self._image, self.question = image, question

    def load(self) -> Image.Image:
        return readable(self._image)


class _Laps:
    """A streamer for `generate`: it is handed the prompt, then every token as it comes."""

    def __init__(self, lap: Any) -> None:
        self._lap = lap
        self._stages = iter(("prompt", "prefill"))

    def put(self, tokens: Any) -> None:
        stage = next(self._stages, "decode")
        # The prompt is handed over before anything is computed.
        if stage != "prompt":
            self._lap(stage)

    def end(self) -> None:
        """Nothing is kept."""


def load_torch(spec: Spec) -> Candidate:
    """Make a candidate of a torch checkpoint; see `load`."""
    torch = import_torch()
    from cropzoom.trainer.policies import load_policy
    from cropzoom.trainer.policies.policy_folders import find_source

    device = spec.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    threads = spec.threads or usable_threads()
    torch.set_num_threads(threads)
    edge = {} if spec.longest_edge is None else {"longest_edge": spec.longest_edge}
    nano = spec.source == "nano"
    policy: Any = load_policy(spec.source, policy_kind(spec.source), **edge)
    if spec.way == "generate" and policy.kind != "text":
        raise OptionsError(f"{spec.source} is a {policy.kind} policy, which generates no text")
    policy.to(device)
    about = {
        "runtime": "torch",
        "kind": policy.kind,
        "name": Path(spec.source).name,
        "precision": "fp32",
        "hash": None if nano else weights_hash(find_source(spec.source)),
        "device": device,
        "provider": f"torch in eager mode ({spec.way})",
        "threads": threads,
        "longest_edge": spec.longest_edge,
    }

    def settle() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def collated(image: Image.Image, question: str, trace: Trace) -> Any:
        trace.start()
        batch = policy.collate([_Row(image, question)])
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        # Resizing, tiles and tokens in one: the processor does all of it.
        trace.lap("preprocess")
        return batch

    def best(image: Image.Image, question: str, trace: Trace) -> Box | None:
        batch = collated(image, question, trace)
        with torch.inference_mode():
            box = policy.best(batch)[0].tolist()
        trace.lap("model")
        return None if box[0] != box[0] else Box(*box)

    def generate(image: Image.Image, question: str, trace: Trace) -> Box | None:
        batch = collated(image, question, trace)
        core = policy.backbone.model

        def lap(stage: str) -> None:
            settle()
            trace.lap(stage)

        hook = core.connector.register_forward_hook(lambda *_: lap("vision"))
        most = spec.tokens or LONGEST_ANSWER
        try:
            with torch.inference_mode():
                ids = policy.backbone.generate(
                    **batch,
                    streamer=_Laps(lap),
                    do_sample=False,
                    max_new_tokens=most,
                    min_new_tokens=spec.tokens or 0,
                )
        finally:
            hook.remove()
        prompt = batch["input_ids"].shape[1]
        written = ids[0, prompt:].tolist()
        text = policy.processor.tokenizer.decode(written, skip_special_tokens=True)
        try:
            box: Box | None = Box.from_text(text, repair=True)
        except ValueError:
            box = None
        trace.lap("parse")
        trace.counts.update(
            tiles=batch["pixel_values"].shape[1],
            prompt_tokens=prompt,
            box_tokens=len(written),
            decoder_runs=len(written),
        )
        return box

    return Candidate(spec.label, generate if spec.way == "generate" else best, about)


def import_torch() -> Any:
    """Return torch, with transformers at hand and its progress bars off.

    Raises:
        MissingDependencyError: one of them is not installed.
    """
    try:
        torch = importlib.import_module("torch")
        importlib.import_module("transformers").utils.logging.disable_progress_bar()
    except ImportError as error:
        raise MissingDependencyError(
            f"timing a torch model needs {error.name}: pip install 'cropzoom[train]'"
        ) from error
    return torch


def policy_kind(source: str) -> str:
    """Return what kind of policy a checkpoint holds: what it says, or else text, the paper's."""
    from cropzoom.trainer.policies.policy_folders import find_source, read_policy_file

    if source == "nano":
        return "nano"
    policy_file = read_policy_file(find_source(source))
    return "text" if policy_file is None else policy_file.kind
