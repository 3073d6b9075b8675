"""A text policy -> a cropper folder of kind `text`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from cropzoom.cropper.smolvlm import idefics3
from cropzoom.cropper.smolvlm.box_grammar import BoxGrammar
from cropzoom.cropper.smolvlm.vlm_spec import (
    BOX_DECODER,
    DECODER,
    EMBED,
    FUSED_DECODER,
    TOKENIZER_NAME,
    VISION,
)
from cropzoom.errors import ExportError
from cropzoom.export.quantize import quantized
from cropzoom.export.vlm_graphs import (
    embeddings_graph,
    export_decoder,
    export_vision,
    halved,
    without_output,
)
from cropzoom.export.weights import GraphWriter

if TYPE_CHECKING:
    from cropzoom.export import ExportOptions

_FOLDER = "onnx"
_MARK = "\u2042"


def write_text(
    policy: Any,
    backbone: Any,
    folder: Path,
    options: ExportOptions,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Write graphs and tokenizer, and return what the manifest says of them.

    Args:
        policy: a `TextPolicy`.
        backbone: its model in fp32 on the CPU, with its adapter merged.
        folder: where to write.
        options: precision and fusion.
        progress: told what is being done.

    Raises:
        ExportError: the checkpoint's prompt or tokenizer does not suit a cropper.
    """
    grammar, image, prompt = box_grammar(policy), image_spec(policy.processor), prompt_spec(policy)
    if options.precision == "fp16":
        backbone = halved(backbone)
    (folder / _FOLDER).mkdir()
    graphs: list[str] = []
    with GraphWriter(folder / _FOLDER) as writer:

        def keep(name: str, graph: ir.Model) -> None:
            # The portable decoder, too: its full head serves for unconstrained answers only.
            if options.precision == "int8" and name not in (VISION, EMBED):
                progress(f"Quantizing {name}")
                graph = quantized(graph)
            writer.write(name, graph)
            graphs.append(name)

        progress("Exporting the vision encoder")
        keep(VISION, export_vision(backbone))
        keep(EMBED, embeddings_graph(backbone))
        progress("Exporting the decoder")
        both = export_decoder(backbone, grammar.tokens, fused=False)
        keep(DECODER, without_output(both, "box_logits"))
        keep(BOX_DECODER, without_output(both, "logits"))
        if options.fuse:
            progress("Exporting the decoder with fused attention")
            both = export_decoder(backbone, grammar.tokens, fused=True)
            keep(FUSED_DECODER, without_output(both, "logits"))
    tokenizer = policy.processor.tokenizer.backend_tokenizer
    (folder / TOKENIZER_NAME).write_text(tokenizer.to_str(), encoding="utf-8")
    return {
        "kind": "text",
        "precision": options.precision,
        "image": image,
        "prompt": prompt,
        "graphs": {name: f"{_FOLDER}/{name}.onnx" for name in graphs},
        "grammar": {
            "opening": grammar.opening,
            "numbers": grammar.numbers,
            "separator": grammar.separator,
            "closing": grammar.closing,
        },
        "decode": {"end": end_tokens(policy), "temperature": 1.0},
    }


def box_grammar(policy: Any) -> BoxGrammar:
    """Return how the policy's tokenizer writes a box.

    Raises:
        ExportError: not part by part, or the chat template puts something else before it.
    """
    tokenizer = policy.processor.tokenizer
    if policy.lead not in ("", " "):
        raise ExportError(
            f"the chat template begins answers with {policy.lead!r}; a text cropper knows a space "
            "or nothing"
        )
    try:
        return BoxGrammar.of_tokenizer(
            lambda text: tokenizer(text, add_special_tokens=False)["input_ids"],
            "",
            space=bool(policy.lead),
        )
    except ValueError as error:
        raise ExportError(f"this tokenizer can't be held to writing boxes: {error}") from error


def image_spec(processor: Any) -> dict[str, Any]:
    """Return the manifest's `image`, from a processor's settings.

    Raises:
        ExportError: it prepares images in a way that is not known here.
    """
    images = processor.image_processor
    longest, tile = images.size["longest_edge"], images.max_image_size["longest_edge"]
    rgb = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    mean, std = (images.image_mean, images.image_std) if images.do_normalize else rgb
    if not images.do_resize or not tile <= longest <= tile * idefics3.MOST_TILES:
        raise ExportError(
            f"the image processor must resize images to a longest edge of {tile} to "
            f"{tile * idefics3.MOST_TILES} px, and has do_resize={images.do_resize}, "
            f"size={longest}; set longest_edge"
        )
    return {
        "mode": "RGB",
        "longest_edge": longest,
        "tile": tile,
        "split": bool(images.do_image_splitting),
        "resample": int(images.resample),
        "rescale": images.rescale_factor if images.do_rescale else 1.0,
        "mean": list(mean),
        "std": list(std),
    }


def prompt_spec(policy: Any) -> dict[str, Any]:
    """Return the manifest's `prompt`: the chat template, written out once for all.

    Raises:
        ExportError: it does not hold one image and after it the question.
    """
    collate = policy.collate
    text = policy.prompt.replace("{question}", _MARK)
    template: str = collate.render([collate.user(text)], True)
    template = template.replace(idefics3.IMAGE, "{image}").replace(_MARK, "{question}")
    marks = [template.find(mark) for mark in ("{image}", "{question}")]
    if template.count("{image}") != 1 or template.count("{question}") != 1 or marks[0] > marks[1]:
        raise ExportError(
            f"the chat template makes {template!r}; a text cropper needs one image, and the "
            "question once, after it"
        )
    return {
        "template": template,
        "capitalize": policy.capitalize,
        "image_tokens": policy.processor.image_seq_len,
        "max_tokens": policy.backbone.config.text_config.max_position_embeddings,
    }


def end_tokens(policy: Any) -> list[int]:
    """Return the tokens that end an answer: the chat template's, and those of `generate()`."""
    said = policy.backbone.generation_config.eos_token_id
    said = [] if said is None else said if isinstance(said, list) else [said]
    return sorted({policy.end, *said})
