"""`cropzoom doctor`: what is installed, what is wrong, and what to do about it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import typer
from rich.text import Text

from cropzoom.cli.output import JsonFlag, Output
from cropzoom.environment import processor, versions
from cropzoom.errors import CropZoomError

_STYLES = {"ok": "green", "absent": "dim", "warning": "yellow", "broken": "bold red"}
_PACKAGES = ("numpy", "pillow", "tokenizers")
# Optional clients: oldest version that is supported, and the extra that installs it.
_CLIENTS = {"openai": ((1, 60), "openai"), "transformers": ((4, 57), "hf")}


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    Args:
        name: what was looked at.
        status: "absent" is fine (an optional part), "broken" makes the exit code 1.
        detail: what was found.
        remedy: what to do; empty when there is nothing to do.
    """

    name: str
    status: Literal["ok", "absent", "warning", "broken"]
    detail: str
    remedy: str = ""


def doctor(as_json: JsonFlag = False) -> None:
    """Check the installation: versions, devices, conflicts, and one prediction by the model.

    The exit code is 1 when something is broken.

    Example: `cropzoom doctor --json`
    """
    with Output(as_json) as out:
        checks = list(run_checks())
        broken = any(check.status == "broken" for check in checks)
        out.json({"ok": not broken, "checks": [asdict(check) for check in checks]})
        out.table(
            ["What", "", "Found"],
            [
                [check.name, Text(check.status, _STYLES[check.status]), check.detail]
                for check in checks
            ],
        )
        for check in checks:
            if check.remedy:
                out.text(f"{check.name}: {check.remedy}")
        out.text("Something is broken; see above." if broken else "All well.")
        if broken:
            raise typer.Exit(1)


def run_checks() -> Iterator[Check]:
    """Yield all checks; none of them raises."""
    from cropzoom import __version__
    from cropzoom.environment import usable_threads

    yield Check("cropzoom", "ok", __version__)
    yield Check("python", "ok", f"{platform.python_version()} at {sys.executable}")
    yield Check("platform", "ok", platform.platform())
    name, flags = processor()
    yield Check("cpu", "ok", f"{name}, {usable_threads()} threads usable; {' '.join(flags)}")
    here = versions(_PACKAGES)
    for name in _PACKAGES:
        version = here.get(name)
        if version is None:
            yield Check(name, "broken", "not installed", f"pip install {name}")
        else:
            yield Check(name, "ok", version)
    for name, (oldest, extra) in _CLIENTS.items():
        yield _client(name, oldest, extra)
    yield from _runtime()
    yield _guarded("nano", _bundled)


def _client(name: str, oldest: tuple[int, int], extra: str) -> Check:
    version = versions([name]).get(name)
    install = f"pip install 'cropzoom[{extra}]'"
    if version is None:
        return Check(name, "absent", f"not installed; {install} if you use it")
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    if len(numbers) == 2 and tuple(numbers) < oldest:
        needed = ".".join(map(str, oldest))
        return Check(name, "warning", f"{version}, older than {needed}", f"{install} --upgrade")
    return Check(name, "ok", version)


def _runtime() -> Iterator[Check]:
    from cropzoom.cropper.session import import_onnxruntime, installed_runtimes

    runtimes = installed_runtimes()
    if len(runtimes) > 1:
        yield Check(
            "onnxruntime builds",
            "broken",
            ", ".join(f"{name} {version}" for name, version in runtimes.items()),
            "both own one folder, so each breaks the other; pip uninstall -y "
            "onnxruntime onnxruntime-gpu, then pip install 'cropzoom[cpu]' or 'cropzoom[gpu]'",
        )

    def providers() -> Check:
        runtime = import_onnxruntime()
        names = ", ".join(runtime.get_available_providers())
        return Check("onnxruntime", "ok", f"{runtime.__version__}: {names}")

    yield _guarded("onnxruntime", providers)


def _bundled() -> Check:
    import time

    from PIL import Image

    from cropzoom.cropper import load_cropper

    with load_cropper("nano") as cropper:
        cropper.warmup()
        page = Image.new("RGB", (768, 1024), "white")
        start = time.perf_counter()
        cropper.predict(page, "What is the total?")
        milliseconds = (time.perf_counter() - start) * 1000
        name = f"{cropper.manifest.name} {cropper.manifest.version}"
        return Check(
            "nano", "ok", f"{name} on {cropper.device}: {milliseconds:.0f} ms for a 768x1024 page"
        )


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except CropZoomError as error:
        return Check(name, "broken", "does not work", str(error))
    except Exception as error:
        # A broken installation fails in any way; the doctor must still report the rest.
        return Check(name, "broken", f"{type(error).__name__}: {error}", "reinstall cropzoom")
