"""What `cropper.json` says; read, and checked value by value."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cropzoom.cropper.folder import MANIFEST_NAME, Content, FileEntry, Folder
from cropzoom.cropper.nano.meanings import MEANINGS_NAME
from cropzoom.cropper.nano.pointer_spec import (
    CellSpec,
    DecodeSpec,
    ImageSpec,
    cell_spec,
    decode_spec,
    image_spec,
    question_spec,
)
from cropzoom.cropper.smolvlm import vlm_spec
from cropzoom.cropper.smolvlm.box_grammar import BoxGrammar
from cropzoom.cropper.smolvlm.idefics3 import TileSpec
from cropzoom.cropper.strict_json import Section
from cropzoom.errors import CropperError

MODEL_NAME, POINTER_NAME, FAST_NAME = "model.onnx", "pointer.onnx", "model.int8.onnx"
"""nano's graphs: what reads a page, and what points for a question; older ones are one graph. Since
0.6 the first is there in 8 bits, too, for CPUs."""
SCHEMA = 1

_MAX_MANIFEST_BYTES = 1_000_000
_FILE_NAME = re.compile(r"[\w.-]+(/[\w.-]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What every checked `cropper.json` says.

    Args:
        name, version, precision: for people.
        files: what every file of the folder must be.
        training: where the model comes from; free form.
    """

    name: str
    version: str
    precision: str
    files: Mapping[str, FileEntry]
    training: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PointerManifest(Manifest):
    """A checked `cropper.json` of kind `pointer`, whose model is a net like nano.

    Args:
        image: preprocessing.
        max_words: words of a question that the model takes.
        meanings: whether it is told what they mean, by a table that is one of the files.
        scripts: of the questions that it can read, as Unicode names them; None: not told.
        decode: decoding.
    """

    image: ImageSpec
    max_words: int
    decode: DecodeSpec
    meanings: bool = False
    scripts: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class TextManifest(Manifest):
    """A checked `cropper.json` of kind `text`.

    Args:
        image: preprocessing.
        prompt: how image and question become a prompt.
        graphs: ONNX file of each graph.
        grammar: how the tokenizer writes a box.
        end: tokens that end an answer.
        temperature: the logits are divided by it before the confidence is taken.
    """

    image: TileSpec
    prompt: vlm_spec.PromptSpec
    graphs: Mapping[str, str]
    grammar: BoxGrammar
    end: tuple[int, ...]
    temperature: float


@dataclass(frozen=True, kw_only=True)
class VlmPointerManifest(Manifest):
    """A checked `cropper.json` of kind `pointer`, whose model is a vision-language model.

    Args:
        image: preprocessing.
        prompt: how image and question become a prompt.
        graphs: ONNX file of each graph.
        decode: decoding.
    """

    image: TileSpec
    prompt: vlm_spec.PromptSpec
    graphs: Mapping[str, str]
    decode: CellSpec


AnyManifest = PointerManifest | VlmPointerManifest | TextManifest


def read_manifest(folder: Folder) -> AnyManifest:
    """Read and check a folder's `cropper.json`; the files it names are checked when loaded.

    Raises:
        CropperError: missing, malformed, of another schema or kind, or with an impossible value.
    """
    where = str(folder.path / MANIFEST_NAME)
    data = folder.read(MANIFEST_NAME, limit=_MAX_MANIFEST_BYTES)
    try:
        plain = json.loads(bytes(data))
        # Folders of before do not have it.
        whole = not isinstance(plain, dict) or (
            plain.get("checksum", "") in ("", sealed(plain)["checksum"])
        )
    except (ValueError, RecursionError) as error:
        raise CropperError(f"{where} is not JSON: {error}") from error
    top = Section(where, "", plain)
    if "checksum" in top:
        top.take("checksum")
    if not whole:
        raise CropperError(
            f"{where} is not as it was written: fetch or export the cropper again, or take its "
            "`checksum` out if the change is yours"
        )
    schema = top.take("schema")
    if type(schema) is not int or schema != SCHEMA:
        raise CropperError(
            f"{where}: schema is {schema!r}, this cropzoom reads {SCHEMA}; "
            "upgrade cropzoom or export the cropper again"
        )
    kind = top.take("kind")
    if kind not in ("pointer", "text"):
        raise CropperError(
            f"{where}: kind is {kind!r}, this cropzoom reads 'pointer' and 'text'; upgrade cropzoom"
        )
    # Nano's precision is for people; the runtime feeds a vision-language model by it.
    precision = top.text("precision")
    if (kind == "text" or "prompt" in top) and precision not in ("fp32", "fp16", "int8"):
        raise top.error("precision", "must be 'fp32', 'fp16' or 'int8'; upgrade cropzoom")
    common: dict[str, Any] = {
        "name": top.text("name"),
        "version": top.text("version"),
        "precision": precision,
        "files": _files(top.section("files")),
        "training": top.section("training").rest() if "training" in top else {},
    }
    if kind == "text":
        manifest: AnyManifest = _text(top, common)
    elif "prompt" in top:
        manifest = _vlm_pointer(top, common)
    else:
        manifest = _pointer(top, common)
    top.finish()
    return manifest


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a `cropper.json` says with the checksum of it all: SHA-256 of its sorted JSON.

    It tells a file that was damaged from one that is whole; it is no signature.
    """
    rest = {name: value for name, value in content.items() if name != "checksum"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return {**rest, "checksum": hashlib.sha256(text.encode()).hexdigest()}


def read_files(folder: Folder, manifest: Manifest) -> dict[str, Content]:
    """Return the content of every file the manifest names, each checked.

    Raises:
        CropperError: a file is missing, altered, or outside the folder.
    """
    return {name: folder.checked(name, entry) for name, entry in manifest.files.items()}


def _pointer(top: Section, common: dict[str, Any]) -> PointerManifest:
    if MODEL_NAME not in common["files"]:
        raise top.error(f"files.{MODEL_NAME}", "is missing")
    question = question_spec(top.section("question"))
    if question.meanings and MEANINGS_NAME not in common["files"]:
        raise top.error(f"files.{MEANINGS_NAME}", "is missing")
    manifest = PointerManifest(
        image=image_spec(top.section("image")),
        max_words=question.max_words,
        meanings=question.meanings,
        scripts=question.scripts,
        decode=decode_spec(top.section("bins"), top.section("decode")),
        **common,
    )
    if manifest.image.multiple % manifest.decode.cell:
        raise top.error("image.multiple", "is not a multiple of bins.cell")
    return manifest


def _vlm_pointer(top: Section, common: dict[str, Any]) -> VlmPointerManifest:
    if vlm_spec.TOKENIZER_NAME not in common["files"]:
        raise top.error(f"files.{vlm_spec.TOKENIZER_NAME}", "is missing")
    names = (vlm_spec.POINTER,), (vlm_spec.FUSED_POINTER,)
    manifest = VlmPointerManifest(
        image=vlm_spec.tile_spec(top.section("image")),
        prompt=vlm_spec.prompt_spec(top.section("prompt")),
        graphs=vlm_spec.graph_files(top.section("graphs"), common["files"], *names),
        decode=cell_spec(top.section("bins"), top.section("decode")),
        **common,
    )
    tokens = manifest.prompt.image_tokens
    if math.isqrt(tokens) ** 2 != tokens:
        raise top.error("prompt.image_tokens", "must be a square number: tokens cover a tile")
    return manifest


def _text(top: Section, common: dict[str, Any]) -> TextManifest:
    if vlm_spec.TOKENIZER_NAME not in common["files"]:
        raise top.error(f"files.{vlm_spec.TOKENIZER_NAME}", "is missing")
    end, temperature = vlm_spec.end_tokens(top.section("decode"))
    return TextManifest(
        image=vlm_spec.tile_spec(top.section("image")),
        prompt=vlm_spec.prompt_spec(top.section("prompt")),
        graphs=vlm_spec.graph_files(
            top.section("graphs"),
            common["files"],
            vlm_spec.TEXT_GRAPHS,
            (vlm_spec.FUSED_DECODER,),
        ),
        grammar=vlm_spec.grammar(top.section("grammar")),
        end=end,
        temperature=temperature,
        **common,
    )


def _files(section: Section) -> dict[str, FileEntry]:
    files: dict[str, FileEntry] = {}
    for name in section.names():
        if not _FILE_NAME.fullmatch(name) or not {".", ".."}.isdisjoint(name.split("/")):
            raise section.error(name, "must be a plain path inside the folder, like 'model.onnx'")
        entry = section.section(name)
        sha256 = entry.text("sha256")
        if not _SHA256.fullmatch(sha256):
            raise entry.error("sha256", "must be 64 hex digits in lower case")
        files[name] = FileEntry(sha256, entry.integer("bytes", 1, 1 << 36))
        entry.finish()
    return files
