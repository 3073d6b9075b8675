"""An exported nano back as a torch net, so that the one in the package can be trained further.

The ONNX graph holds every weight that pointing needs, in other clothes: each batch norm of the page
reader is folded into its convolution, and linear weights stand transposed in nameless
initializers. `restore` undoes both; the read-outs used only in training start afresh.
"""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cropzoom.cropper.folder import find_folder
from cropzoom.cropper.manifest import MODEL_NAME, POINTER_NAME, read_files, read_manifest
from cropzoom.errors import CropperError

from .network import Nano, NanoConfig
from .pages import PageOptions, render_page

_ONLY_IN_TRAINING = ("text.", "phoc.", "characters.", "temperature")
_LATER = (
    "questions.meaning.",
    "questions.sense_pick.",
    "questions.senses.",
    "questions.kinds.",
    "questions.picked.",
    "pointer.kinds.",
    "pointer.more.",
)
"""Not in older graphs; they start without effect."""


def restore(source: str | Path = "nano", *, statistics: bool = True) -> Nano:
    """Rebuild the net of a nano cropper folder, in eval mode: nano's default sizes, its own depths.

    In eval mode it computes what the graph computes. The statistics of the folded batch norms are
    taken anew on rendered pages, so that training mode does nearly the same.

    Args:
        source: as `find_folder` takes it.
        statistics: False saves some seconds where batch norms stay in eval mode.

    Raises:
        CropperError: the folder is broken, or holds another model.
    """
    from onnx import load_model_from_string, numpy_helper

    folder = find_folder(source)
    files = read_files(folder, read_manifest(folder))
    if MODEL_NAME not in files:
        raise CropperError(f"{folder.path} has no {MODEL_NAME}: it is no nano")
    stored: dict[str, Tensor] = {}
    meaning = (NanoConfig().meaning, NanoConfig().text_width)
    for name in (MODEL_NAME, POINTER_NAME):
        if name in files:
            graph = load_model_from_string(bytes(files[name])).graph
            own = {
                i.name.removeprefix("net."): torch.from_numpy(numpy_helper.to_array(i).copy())
                for i in graph.initializer
            }
            products = {n.output[0]: n.input[1] for n in graph.node if n.op_type == "MatMul"}
            for node in graph.node:
                # x @ W + b: the bias kept its name, the weight did not.
                bias = next((i for i in node.input if i.endswith(".bias")), None)
                product = next((products[i] for i in node.input if i in products), None)
                if node.op_type == "Add" and bias and product in own:
                    weight = bias.removeprefix("net.").removesuffix("bias") + "weight"
                    own[weight] = own[product].T
            for product in products.values():
                # Without a bias there is no name, but it is the only weight of its shape.
                if product in own and tuple(own[product].shape) == meaning:
                    own["questions.meaning.weight"] = own[product].T
            stored |= own
    net = Nano(_config(stored))
    state = net.state_dict()
    folded = _folded_norms(net, stored)
    for convolution, norm in folded.items():
        stored[norm + ".bias"] = stored.pop(convolution + ".weight_bias")
    missing = []
    for name, value in state.items():
        if name in stored and stored[name].shape == value.shape:
            state[name] = stored[name].contiguous()
        elif name == "questions.position" and name in stored:
            old = stored[name]  # of fewer words: those behind are at first where the last one was
            state[name] = torch.cat([old, old[-1:].expand(len(value) - len(old), -1)]).contiguous()
        elif (
            not name.startswith(_ONLY_IN_TRAINING + _LATER)
            and not name.startswith(tuple(f"{norm}." for norm in folded.values()))
            and not name.endswith("num_batches_tracked")
        ):
            missing.append(name)
    if missing:
        raise CropperError(
            f"{folder.path} is not a nano this cropzoom can train: its graph lacks "
            f"{', '.join(missing[:5])}"
        )
    net.load_state_dict(state)
    net.eval()
    # A fresh norm divides by sqrt(1 + eps); the folded convolution has all of it already.
    norms = [net.get_submodule(name) for name in folded.values()]
    with torch.no_grad():
        for module in norms:
            assert isinstance(module, nn.BatchNorm2d)
            module.weight.fill_((1.0 + module.eps) ** 0.5)
        if statistics:
            _take_statistics(net, norms)
    return net


def _config(stored: dict[str, Tensor]) -> NanoConfig:
    """Nano's sizes, as deep as the graph is."""

    def depth(pattern: str) -> int:
        return len({found[0] for name in stored if (found := re.match(pattern, name))})

    return replace(
        NanoConfig(),
        middle_blocks=depth(r"pages\.stem\.\d+\.first\."),
        wide_blocks=depth(r"pages\.mix\.\d+\."),
        text_layers=depth(r"questions\.layers\.\d+\."),
        strips=depth(r"pointer\.blocks\.\d+\."),
    )


def _folded_norms(net: Nano, stored: dict[str, Tensor]) -> dict[str, str]:
    """Convolutions that swallowed a batch norm, and that norm's name."""
    pairs = {}
    for name, module in net.named_modules():
        if (
            isinstance(module, nn.Sequential)
            and len(module) == 2
            and isinstance(module[0], nn.Conv2d)
            and isinstance(module[1], nn.BatchNorm2d)
            and f"{name}.0.weight_bias" in stored
        ):
            pairs[f"{name}.0"] = f"{name}.1"
    return pairs


def _take_statistics(net: Nano, norms: list[nn.Module], pages: int = 12) -> None:
    """Set mean and variance of norms to those of their inputs; what they compute stays the same."""
    from cropzoom.cropper.nano.phoc import encode_question

    seen: dict[nn.Module, list[Tensor]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.setdefault(module, []).append(inputs[0].transpose(0, 1).flatten(1))

    handles = [norm.register_forward_pre_hook(note) for norm in norms]
    rng = random.Random("restore")
    for _ in range(pages):
        page = render_page(rng, PageOptions(384, 384, max_text=20.0))
        image = torch.from_numpy(np.array(page.image, dtype=np.float32))[None, None]
        words, mask = encode_question(page.questions[0].text if page.questions else "Total")
        net(image, torch.from_numpy(words)[None], torch.from_numpy(mask)[None])
    for handle in handles:
        handle.remove()
    for norm in norms:
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None and norm.running_var is not None
        values = torch.cat(seen[norm], 1)
        mean, variance = values.mean(1), values.var(1)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)
