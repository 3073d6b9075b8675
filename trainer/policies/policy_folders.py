"""Folders of policies: found, read without trust, and written whole.

A folder that `save_pretrained` wrote says what it is in `policy.json`; weights are safetensors.
Nothing is unpickled, and no code that comes with a folder is run.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from cropzoom.errors import CropperError

POLICY_FILE = "policy.json"
SCHEMA = 1
_MAX_JSON_BYTES = 10_000_000
# Weights of any policy: those of an earlier save must not be found beside those of a later one.
_WEIGHTS = ("model*.safetensors*", "adapter_*", "heads.safetensors")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class PolicyFile:
    """What `policy.json` says.

    Attributes:
        kind: of the policy.
        options: keyword arguments of its class.
        base: the checkpoint that an adapter in the folder belongs to; None where there is none.
    """

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    base: str | None = None


def find_source(source: str | Path) -> Path:
    """A folder as it is; `org/name` fetched from the hub: JSON, text and safetensors only.

    Raises:
        CropperError: there is no such folder, or it can't be fetched.
    """
    path = Path(source)
    if path.is_dir():
        return path
    name = str(source)
    if path.exists() or not _HUB_NAME.fullmatch(name):
        raise CropperError(
            f"no policy {name!r}: give 'nano', a folder, or 'org/name' on the Hugging Face hub"
        )
    from huggingface_hub import snapshot_download

    try:
        patterns = ["*.json", "*.jinja", "*.txt", "*.model", "*.safetensors"]
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:
        # The hub's errors share no base: HTTP, validation, offline, disk.
        raise CropperError(
            f"{name!r} is no folder, and can't be fetched from the Hugging Face hub "
            f"({type(error).__name__}: {error}); check the name, the network and your login"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file.

    Raises:
        CropperError: it can't be read, is too large, or holds no object.
    """
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise CropperError(f"{path} is larger than {_MAX_JSON_BYTES:,} bytes; not believed")
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CropperError(f"can't read {path}: {error}") from error
    if not isinstance(content, dict):
        raise CropperError(f"{path} must hold a JSON object")
    return content


def read_policy_file(folder: Path) -> PolicyFile | None:
    """What the folder says of itself; None where it has no `policy.json`.

    Raises:
        CropperError: it is malformed or of another schema.
    """
    path = folder / POLICY_FILE
    if not path.exists():
        return None
    content = read_json(path)
    schema, kind = content.get("schema"), content.get("kind")
    options, base = content.get("options"), content.get("base")
    if schema != SCHEMA or type(schema) is not int:
        raise CropperError(f"{path}: schema is {schema!r}, this cropzoom reads {SCHEMA}; upgrade")
    well = isinstance(kind, str) and isinstance(options, dict) and isinstance(base, str | None)
    if not well or set(content) - {"schema", "kind", "options", "base"}:
        raise CropperError(
            f"{path} must hold kind (a string), options (an object) and perhaps base (a string)"
        )
    return PolicyFile(str(kind), dict(options or {}), base)


def write_policy_file(folder: Path, policy_file: PolicyFile) -> None:
    """Write `policy.json` into a folder of `written`."""
    content = {"schema": SCHEMA, "kind": policy_file.kind, "options": dict(policy_file.options)}
    if policy_file.base is not None:
        content["base"] = policy_file.base
    (folder / POLICY_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@contextmanager
def written(folder: str | Path) -> Iterator[Path]:
    """A folder to write into, beside the real one; its files are put in place at the end.

    Nothing changes when the writing fails; `policy.json` comes last, so a folder that has it is
    whole. Weights that were there go; all other files stay.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as name:
        beside = Path(name)
        yield beside
        (target / POLICY_FILE).unlink(missing_ok=True)
        for pattern in _WEIGHTS:
            for path in target.glob(pattern):
                path.unlink()
        for path in sorted(beside.iterdir(), key=lambda p: p.name == POLICY_FILE):
            path.replace(target / path.name)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Raises:
        CropperError: missing or broken.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CropperError(f"can't read the weights {path}: {error}") from error
