"""What the first prediction of a process costs: import, load, first call, memory.

Measured in a fresh process, with the files still in the operating system's cache: what comes on
top on a machine that was just started is the disk's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cropzoom.bench.candidates import Spec
from cropzoom.errors import CropZoomError

_CODE = """
import time
start = time.perf_counter()
import cropzoom
from cropzoom.bench.cold_start import child
child(start)
"""


def cold(spec: Spec, image: bytes, question: str) -> dict[str, Any]:
    """Return `import`, `load` and `first_call` in seconds, and `peak_rss` in bytes (or None).

    Raises:
        CropZoomError: the process failed.
    """
    task = json.dumps({"spec": spec.plain(), "question": question}).encode()
    process = subprocess.run(
        [sys.executable, "-c", _CODE], input=task + b"\n" + image, capture_output=True, check=False
    )
    lines = process.stdout.decode(errors="replace").splitlines()
    if process.returncode or not lines:
        errors = process.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise CropZoomError(
            f"the fresh process for {spec.label} ended with code {process.returncode}: {errors[-1]}"
        )
    costs: dict[str, Any] = json.loads(lines[-1])
    return costs


def child(start: float) -> None:
    """The fresh process: read the task from standard input, print the costs."""
    from cropzoom.bench.load import load
    from cropzoom.bench.measure import call
    from cropzoom.cropper.session import import_onnxruntime

    line, image = sys.stdin.buffer.read().split(b"\n", 1)
    task = json.loads(line)
    spec = Spec(**task["spec"])
    if spec.way == "cropper":
        import_onnxruntime()
    else:
        import cropzoom.bench.torch_models
        import cropzoom.trainer.policies.text_policy  # noqa: F401
    imported = time.perf_counter()
    candidate = load(spec)
    loaded = time.perf_counter()
    call(candidate, image, task["question"])
    called = time.perf_counter()
    costs = {"import": imported - start, "load": loaded - imported, "first_call": called - loaded}
    print(json.dumps({**costs, "peak_rss": peak_rss()}))


def peak_rss(status: Path = Path("/proc/self/status")) -> int | None:
    """Return the most memory this process ever had resident, in bytes; None where not told.

    From the kernel's VmHWM, and not getrusage's ru_maxrss: on Linux, that one starts at what the
    parent process had.
    """
    try:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
