"""What `import cropzoom` gives and what it must not load."""

from __future__ import annotations

import subprocess
import sys

import cropzoom


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_loads_no_runtime_and_no_client() -> None:
    loaded = run(
        "import sys, cropzoom; cropzoom.ZoomOptions(); cropzoom.Box(0, 0, 1, 1); "
        "print(sorted({m.partition('.')[0] for m in sys.modules} & "
        "{'torch', 'transformers', 'onnxruntime', 'openai', 'numpy', 'PIL', 'rich'}))"
    )
    assert loaded == "[]"


def test_wrapping_machinery_loads_no_runtime_and_no_client() -> None:
    loaded = run(
        "import sys, cropzoom.cli; from cropzoom import CropZoom, load_cropper, rewrite_body; "
        "print(sorted({m.partition('.')[0] for m in sys.modules} & "
        "{'torch', 'transformers', 'onnxruntime', 'openai'}))"
    )
    assert loaded == "[]"


def test_every_public_name_exists_and_says_what_it_is() -> None:
    for name in cropzoom.__all__:
        value = getattr(cropzoom, name)
        assert name == "__version__" or value.__doc__, name
        assert name in dir(cropzoom)


def test_the_version_is_the_distributions() -> None:
    from importlib.metadata import version

    assert cropzoom.__version__ == version("cropzoom")


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(cropzoom, "Cropzoom")
