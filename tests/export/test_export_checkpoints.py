"""Checkpoints as they are found: the authors' adapters, policies' folders, and what is neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from cropzoom import load_cropper
from cropzoom.cli import app
from cropzoom.cropper.smolvlm.text_cropper import TextCropper
from cropzoom.export.ladder import Sample


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["export-onnx", *map(str, arguments)])


def test_an_adapter_of_the_authors_scripts(roi_adapter: tuple[Path, Path], tmp_path: Path) -> None:
    from cropzoom.trainer.policies import load_policy

    adapter, base = roi_adapter
    assert (adapter / "roi" / "adapter_config.json").is_file()
    out = tmp_path / "roi"
    done = run(adapter, out, "--no-fuse", "--samples", 2, "--longest-edge", 96, "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["passed"] and len(result["boxes"]) == 2
    assert all(entry["torch"] == entry["onnx"] for entry in result["boxes"])
    manifest = json.loads((out / "cropper.json").read_text())
    assert manifest["prompt"]["capitalize"] and manifest["image"]["longest_edge"] == 96
    assert manifest["training"]["adapter"] == "merged"
    assert manifest["training"]["base"] == base.name
    assert manifest["training"]["architecture"] == "SmolVLMForConditionalGeneration"
    assert str(base.parent) not in (out / "cropper.json").read_text()
    # Tied embeddings and head are stored once.
    onnx = pytest.importorskip("onnx")

    def largest(name: str) -> str:
        graph = onnx.load(out / "onnx" / f"{name}.onnx", load_external_data=False).graph
        sized = {
            int(entry["length"]): entry["offset"]
            for tensor in graph.initializer
            for entry in [{item.key: item.value for item in tensor.external_data}]
            if entry
        }
        return sized[max(sized)]

    assert largest("embed_tokens") == largest("decoder_model_merged")
    # The adapter matters, and torch with it says what ONNX says with it merged.
    cropper = load_cropper(out, device="cpu")
    assert isinstance(cropper, TextCropper)
    draw = np.random.default_rng(5)
    picture = Image.fromarray(draw.integers(0, 256, (70, 50, 3), dtype=np.uint8))
    sample = Sample("noise", picture, "Who is ADA?")
    adapted = load_policy(adapter, "text", capitalize=True, longest_edge=96)
    plain = load_policy(base, "text", capitalize=True, longest_edge=96)
    (crop,) = cropper.predict(picture, sample.question)
    expected, other = (policy.best(policy.collate([sample]))[0] for policy in (adapted, plain))
    assert np.allclose(expected, _corners(crop.box), atol=1e-6)
    assert not torch.equal(expected, other)


def _corners(box: Any) -> list[float]:
    return [box.x0, box.y0, box.x1, box.y1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing-here", "out"], "no policy 'nothing-here'"),
        (["{text}", "{file}"], "neither empty nor a cropper's folder"),
        (["{text}", "out", "--longest-edge", "7"], "must resize images to a longest edge of 32"),
        (["{text}", "out", "--kind", "pointer", "--precision", "int8"], "fp32 or fp16, not int8"),
        (["{nano}", "out", "--base", "x"], "is a nano.*has no base"),
        (["{nano}", "out", "--precision", "fp16"], "is a nano.*other precision"),
    ],
)
def test_what_cant_be_exported(
    arguments: list[str], message: str, idefics3_checkpoint: Path, tmp_path: Path
) -> None:
    places = {"text": idefics3_checkpoint, "file": tmp_path / "foreign", "nano": tmp_path / "nano"}
    places["file"].mkdir()
    (places["file"] / "thesis.tex").write_text("mine")
    places["nano"].mkdir()
    (places["nano"] / "checkpoint.pt").touch()
    given = [a.format(**{k: str(v) for k, v in places.items()}) for a in arguments]
    given = [str(tmp_path / "out") if argument == "out" else argument for argument in given]
    done = run(*given)
    assert done.exit_code == 1
    assert _matches(message, done.output)
    assert not (tmp_path / "out").exists()
    assert (places["file"] / "thesis.tex").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foreign", "nano"]


def _matches(pattern: str, text: str) -> bool:
    import re

    return re.search(pattern, " ".join(text.split())) is not None


def test_a_tokenizer_that_joins_digits_is_refused(idefics3_checkpoint: Path) -> None:
    from cropzoom.errors import ExportError
    from cropzoom.export.text import box_grammar
    from cropzoom.trainer.policies import load_policy

    policy: Any = load_policy(idefics3_checkpoint, "text")
    policy.lead = "\n"
    with pytest.raises(ExportError, match="begins answers with"):
        box_grammar(policy)
    policy.lead = " "
    real = policy.processor.tokenizer

    class Joining:
        def __call__(self, text: str, **options: Any) -> Any:
            return real(text.replace("7,", "x"), **options)

    policy.processor.tokenizer = Joining()
    with pytest.raises(ExportError, match="can't be held to writing boxes"):
        box_grammar(policy)


def test_a_prompt_with_the_question_before_the_image_is_refused(idefics3_checkpoint: Path) -> None:
    from cropzoom.errors import ExportError
    from cropzoom.export.text import prompt_spec
    from cropzoom.trainer.policies import load_policy

    policy: Any = load_policy(idefics3_checkpoint, "text")
    assert prompt_spec(policy)["template"].startswith("<|im_start|>User:{image}{question}\n")
    policy.collate.user = lambda text: {
        "role": "user",
        "content": [{"type": "text", "text": text}, {"type": "image"}],
    }
    with pytest.raises(ExportError, match="needs one image, and the question once, after it"):
        prompt_spec(policy)


def test_no_code_of_a_checkpoint_is_run(idefics3_checkpoint: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "hostile"
    shutil.copytree(idefics3_checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "evil"
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForImageTextToText": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    done = run(folder, tmp_path / "out")
    assert done.exit_code == 1 and not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


def test_policies_that_are_no_reference_are_refused(
    idefics3_checkpoint: Path, tmp_path: Path
) -> None:
    from cropzoom.errors import ExportError
    from cropzoom.export import export_policy
    from cropzoom.trainer.policies import load_policy

    for options, message in (
        ({"dtype": "bfloat16"}, "load it in float32 on the CPU"),
        ({"constrained": False}, "load the policy with constrained=True"),
    ):
        policy = load_policy(idefics3_checkpoint, "text", **options)
        with pytest.raises(ExportError, match=message):
            export_policy(policy, tmp_path / "out")
    with pytest.raises(ExportError, match="exported by `export_checkpoint`"):
        export_policy(load_policy("nano"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxscript", None)
    done = run("nano", tmp_path / "out")
    assert done.exit_code == 1
    assert _matches(r"needs onnxscript: pip install 'cropzoom\[export,cpu\]'", done.output)
