"""Torch modules as ONNX graphs: the parts of an Idefics3 or SmolVLM, under the hub's names.

    vision_encoder         pixel_values (1, N, 3, S, S) -> image_features (N, tokens, hidden)
    embed_tokens           input_ids (B, L) -> inputs_embeds (B, L, hidden)
    decoder_model_merged   inputs_embeds, attention_mask, position_ids, past_key_values.{i}.{key,
                           value} -> logits (B, 1, vocabulary), present.{i}.{key,value}

and, beyond the hub's, `decoder_model_box`: the same with `box_logits` (B, box tokens) instead of
`logits`. One decoder graph serves prompts and single tokens. Logits are of the last position
alone; that is all that generation reads.

Attention is written anew. The portable form multiplies grouped queries with the keys they share,
where transformers' own would first copy keys and values for every head. The fused form is ONNX
Runtime's GroupQueryAttention, put into the graph by hand, since the optimizer that comes with ONNX
Runtime 1.32 recognizes no attention in this graph; figures are in docs/export.md. Fused, more than
one token behind a past goes with a batch of 1 only, so the batch is fixed to it.
"""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import onnx_ir as ir
import torch
import torch.nn.functional as F
from onnx_ir.passes.common import RemoveUnusedNodesPass
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from cropzoom.export.example_inputs import example_past, example_tiles, text_sizes
from cropzoom.export.weights import forget_origin

OPSET = 20
GROUPED, FUSED = "cropzoom_grouped", "cropzoom_fused"


class Vision(nn.Module):
    """Tiles to features.

    A tile has no padding, so the encoder needs no mask, and its patches' positions are constants.

    Args:
        backbone: an `Idefics3ForConditionalGeneration` or `SmolVLMForConditionalGeneration`.
    """

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        vision = backbone.model.vision_model
        self.patches = vision.embeddings.patch_embedding
        self.encoder = vision.encoder
        self.norm = vision.post_layernorm
        self.connector = backbone.model.connector
        self.register_buffer("positions", _positions(vision), persistent=False)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(1, N, 3, S, S) -> (N, tokens, hidden)."""
        patches = self.patches(pixel_values[0]).flatten(2).transpose(1, 2)
        states = self.encoder(inputs_embeds=patches + self.positions).last_hidden_state
        features: Tensor = self.connector(self.norm(states))
        return features


class Language(nn.Module):
    """The layers of the language model, without embeddings and head.

    Args:
        backbone: as for `Vision`.
        fused: with GroupQueryAttention and a batch of 1.
    """

    def __init__(self, backbone: Any, fused: bool) -> None:
        super().__init__()
        self.text_model = backbone.model.text_model
        self.fused = fused

    def forward(
        self, embeds: Tensor, mask: Tensor, positions: Tensor, past: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Embeddings (B, S, hidden) to states (B, S, hidden) and keys and values.

        Args:
            embeds: of the tokens after the past.
            mask: (B, P + S) int64, 1 for tokens that count.
            positions: (B, S) int64.
            past: a key and a value (B, heads, P, width) for each layer; none where P is 0.

        Returns:
            states, and the past with these tokens, (B, heads, P + S, width) each.
        """
        here = embeds.shape[1]
        before = past[0].shape[2] if past else 0
        if self.fused:
            fused = FusedAttention(past, mask, before + here)
            with attention(self.text_model, FUSED, fused):
                # Four axes: taken as it is, and no mask is made. The operator has its own.
                nothing = torch.zeros(1, 1, 1, 1, dtype=embeds.dtype, device=embeds.device)
                states = self._read(embeds, nothing, positions, None)
            return states, fused.presents
        cache: Any = DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        every = torch.arange(before + here, device=embeds.device)
        seen = every <= (every[:here] + before)[:, None]
        seen = seen[None, None] & mask.bool()[:, None, None]
        lowest = torch.finfo(embeds.dtype).min
        added = torch.zeros_like(seen, dtype=embeds.dtype).masked_fill(~seen, lowest)
        with attention(self.text_model, GROUPED):
            states = self._read(embeds, added, positions, cache)
        pairs = ((layer.keys, layer.values) for layer in cache.layers)
        return states, [tensor for pair in pairs for tensor in pair]

    def _read(self, embeds: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Tensor:
        states: Tensor = self.text_model(
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state
        return states


class Decoder(nn.Module):
    """Embeddings and the past to logits and the past with them.

    Args:
        backbone, fused: as for `Language`.
        box_tokens: (K,) int64, for whose logits `box_logits` are.
    """

    def __init__(self, backbone: Any, box_tokens: Tensor, fused: bool) -> None:
        super().__init__()
        self.language = Language(backbone, fused)
        self.head = backbone.lm_head.weight
        self.box_head = nn.Parameter(self.head.detach()[box_tokens].clone(), False)

    def forward(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past: list[Tensor],
    ) -> tuple[Tensor, ...]:
        """As `Language`'s -> logits (B, 1, V) and (B, K) after the last token, presents."""
        states, presents = self.language(inputs_embeds, attention_mask, position_ids, past)
        last = states[:, -1]
        logits, box_logits = F.linear(last, self.head), F.linear(last, self.box_head)
        return (logits[:, None].float(), box_logits.float(), *presents)


class FusedAttention:
    """What the fused attention needs and what it gives, during one forward pass."""

    def __init__(self, past: Sequence[Tensor], mask: Tensor, total: Any) -> None:
        self.past = past
        # One less than the length, in the operator's words "seqlens_k".
        self.last = mask.sum(1, dtype=torch.int32) - 1
        self.length = self.last[0] + 1
        self.total = total
        self.presents: list[Tensor] = []

    def past_of(self, layer: int) -> Sequence[Tensor | None]:
        """A layer's key and value; None and None where there is no past."""
        return self.past[2 * layer : 2 * layer + 2] if self.past else (None, None)


@torch.no_grad()
def export_vision(backbone: Any) -> ir.Model:
    """Return the vision encoder with its connector."""
    return export_module(
        Vision(backbone),
        (example_tiles(backbone, 2, backbone.dtype),),
        ["pixel_values"],
        ["image_features"],
        ({1: torch.export.Dim("num_images")},),
    )


def embeddings_graph(backbone: Any) -> ir.Model:
    """Return the table of token embeddings as a graph."""
    table = ir.tensor(backbone.get_input_embeddings().weight.detach().numpy(), name="weight")
    rows, width = table.shape.numpy()
    shape = ir.Shape([rows, width])
    weight = ir.Value(name="weight", shape=shape, type=ir.TensorType(table.dtype))
    weight.const_value = table
    where = ["batch_size", "sequence_length"]
    ids = ir.Value(name="input_ids", shape=ir.Shape(where), type=ir.TensorType(ir.DataType.INT64))
    embeds = ir.Value(
        name="inputs_embeds",
        shape=ir.Shape([*where, width]),
        type=ir.TensorType(table.dtype),
    )
    node = ir.Node("", "Gather", [weight, ids], outputs=[embeds])
    graph = ir.Graph(
        [ids], [embeds], nodes=[node], initializers=[weight], opset_imports={"": OPSET}
    )
    return ir.Model(graph, ir_version=10, producer_name="cropzoom")


@torch.no_grad()
def export_decoder(backbone: Any, box_tokens: Sequence[int], *, fused: bool) -> ir.Model:
    """Return the decoder, with both `logits` and `box_logits`."""
    sizes, dtype = text_sizes(backbone), backbone.dtype
    batch, before, here = 1 if fused else 2, 5, 3
    args = (
        torch.zeros(batch, here, sizes.hidden_size, dtype=dtype),
        torch.ones(batch, before + here, dtype=torch.long),
        torch.arange(before, before + here).repeat(batch, 1),
        example_past(backbone, batch, before, dtype),
    )
    rows = {} if fused else {0: torch.export.Dim("batch_size")}
    length = {1: torch.export.Dim("sequence_length")}
    past = {2: torch.export.Dim("past_sequence_length")}
    shapes = (
        {**rows, **length},
        {**rows, 1: torch.export.Dim.AUTO},  # their sum
        {**rows, **length},
        [{**rows, **past} for _ in args[3]],
    )
    parts = [f"{layer}.{part}" for layer in range(sizes.num_layers) for part in ("key", "value")]
    return export_module(
        Decoder(backbone, torch.tensor(box_tokens), fused),
        args,
        [
            "inputs_embeds",
            "attention_mask",
            "position_ids",
            *(f"past_key_values.{p}" for p in parts),
        ],
        ["logits", "box_logits", *(f"present.{part}" for part in parts)],
        shapes,
    )


def halved(module: Any) -> Any:
    """Return a copy of a module in fp16, but for rotary frequencies: far positions need fp32."""
    half = copy.deepcopy(module).half()
    for name, buffer in module.named_buffers():
        if name.endswith("inv_freq"):
            owner, _, own = name.rpartition(".")
            setattr(half.get_submodule(owner), own, buffer.clone())
    return half


def without_output(model: ir.Model, name: str) -> ir.Model:
    """Return a copy of a graph without one of its outputs and all that only it needs."""
    copy = model.clone()
    copy.graph.outputs[:] = [output for output in copy.graph.outputs if output.name != name]
    RemoveUnusedNodesPass()(copy)
    return copy


def export_module(
    module: nn.Module,
    args: tuple[Any, ...],
    inputs: list[str],
    outputs: list[str],
    shapes: tuple[Any, ...],
) -> ir.Model:
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            args,
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert program is not None
    model: ir.Model = program.model
    forget_origin(model)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells much that nobody can act on: missing torchvision, axis names, ..."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _positions(vision: Any) -> Tensor:
    """(patches, hidden): position embeddings of a full tile, found as the model itself does."""
    embeddings = vision.embeddings
    seen: list[Tensor] = []

    def note(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        seen.append(args[0])

    handle = embeddings.position_embedding.register_forward_pre_hook(note)
    side, weight = embeddings.image_size, embeddings.patch_embedding.weight
    patches = side // embeddings.patch_size
    try:
        embeddings(
            pixel_values=weight.new_zeros(1, weight.shape[1], side, side),
            patch_attention_mask=torch.ones(1, patches, patches, dtype=torch.bool),
        )
    finally:
        handle.remove()
    positions: Tensor = embeddings.position_embedding.weight.detach()[seen[0][0]]
    return positions


@contextmanager
def attention(text_model: Any, name: str, fused: FusedAttention | None = None) -> Iterator[None]:
    """Let a language model attend in another way."""
    config = text_model.config
    before = config._attn_implementation
    ALL_ATTENTION_FUNCTIONS.register(GROUPED, _grouped_attention)
    if fused is not None:
        ALL_ATTENTION_FUNCTIONS.register(FUSED, _fused_attention(fused))
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before


def _grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float,
    **_: Any,
) -> tuple[Tensor, None]:
    """Queries (B, H, S, W); keys and values (B, G, T, W), each for H / G heads -> (B, S, H, W)."""
    batch, heads, here, width = query.shape
    groups, every = key.shape[1:3]
    rows = (heads // groups) * here
    scores = (query * scaling).reshape(batch, groups, rows, width) @ key.transpose(-1, -2)
    scores = scores.view(batch, groups, heads // groups, here, every) + attention_mask[:, :, None]
    shares = torch.softmax(scores.float(), -1).to(query.dtype)
    mixed = shares.view(batch, groups, rows, every) @ value
    return mixed.view(batch, heads, here, width).transpose(1, 2), None


def _fused_attention(fused: FusedAttention) -> Any:
    def attend(
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor,
        scaling: float,
        **_: Any,
    ) -> tuple[Tensor, None]:
        batch, heads, here, width = query.shape
        groups = key.shape[1]
        flat = (x.transpose(1, 2).reshape(batch, here, -1) for x in (query, key, value))
        past = fused.past_of(module.layer_idx)
        present = (batch, groups, fused.total, width)
        mixed, *presents = torch.onnx.ops.symbolic_multi_out(
            "com.microsoft::GroupQueryAttention",
            (*flat, *past, fused.last, fused.length),
            {"num_heads": heads, "kv_num_heads": groups, "scale": scaling},
            dtypes=(query.dtype,) * 3,
            shapes=((batch, here, heads * width), present, present),
            version=1,
        )
        fused.presents += presents
        return mixed.view(batch, here, heads, width), None

    return attend
