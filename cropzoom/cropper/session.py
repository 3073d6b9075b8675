"""ONNX Runtime: found late, given the threads this process really has, on the device asked for."""

from __future__ import annotations

import functools
import importlib
import logging
import os
import posixpath
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from cropzoom.cropper.folder import Content
from cropzoom.cropper.onnx_file import external_tensors
from cropzoom.environment import usable_threads, versions
from cropzoom.errors import CropperError, MissingDependencyError, OptionsError

logger = logging.getLogger("cropzoom")

Device = Literal["auto", "cpu", "cuda"]

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu")


def import_onnxruntime() -> Any:
    """Return the onnxruntime module.

    Raises:
        MissingDependencyError: it is not installed, or its installation is broken.
    """
    # From 1.29 on it reports to its maker, and leaves a device's id in the home folder, unless
    # this is set before it is imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        # By name: it has no type information, and may be absent where types are checked.
        onnxruntime: Any = importlib.import_module("onnxruntime")
        # Uninstalling one of the two builds leaves the other an empty folder, which imports.
        _ = onnxruntime.InferenceSession
    except (ImportError, AttributeError) as error:
        found = installed_runtimes()
        if found:
            raise MissingDependencyError(
                f"onnxruntime is installed but broken ({error}); "
                f"pip install --force-reinstall --no-deps {next(iter(found))}"
            ) from error
        raise MissingDependencyError(
            "running a cropper needs onnxruntime: pip install 'cropzoom[cpu]' "
            "(or 'cropzoom[gpu]' for CUDA; only one of the two)"
        ) from error
    return onnxruntime


def installed_runtimes() -> dict[str, str]:
    """Return the versions of the onnxruntime builds installed; two of them break each other."""
    return versions(_DISTRIBUTIONS)


def tries_cuda(device: Device) -> bool:
    """Tell whether a session for `device` will first be tried on CUDA.

    Raises:
        OptionsError: `device` is none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise OptionsError(f"device={device!r} must be 'auto', 'cpu' or 'cuda'")
    return device != "cpu" and _CUDA in import_onnxruntime().get_available_providers()


def make_session(
    model: Content,
    *,
    device: Device = "auto",
    threads: int | None = None,
    name: str = "the model",
    weights: Mapping[str, Content] | None = None,
) -> tuple[Any, Literal["cpu", "cuda"]]:
    """Make an `InferenceSession` for a model's bytes, and say on which device it runs.

    ONNX Runtime opens no file: a graph that refers to data outside of it gets it from `weights`.

    Args:
        model: an ONNX file's bytes, already checked.
        device: "cuda" raises where it can't be had; "auto" takes it where it can.
        threads: threads of one run; None for `usable_threads()`.
        name: of the file, for messages.
        weights: checked contents of the files that the graph may refer to, by the path it gives.

    Raises:
        CropperError: the model is not loadable, refers to other files, or CUDA can't be had.
        MissingDependencyError: onnxruntime is not installed.
        OptionsError: `device` or `threads` is out of range.
    """
    wanted = tries_cuda(device)
    if threads is not None and (type(threads) is not int or not 1 <= threads <= 1024):
        raise OptionsError(f"threads={threads!r} must be a whole number from 1 to 1024, or None")
    runtime = import_onnxruntime()
    if device == "cuda" and not wanted:
        raise CropperError(
            f"device='cuda', but the installed onnxruntime {runtime.__version__} has no CUDA: "
            "pip uninstall onnxruntime; pip install 'cropzoom[gpu]'"
        )
    if wanted and hasattr(runtime, "preload_dlls"):
        runtime.preload_dlls()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or usable_threads()
    options.inter_op_num_threads = 1
    # Threads that spin while they wait take cores from the application around; on a busy machine
    # a prediction took a quarter longer and half more CPU with them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    data = bytes(model)
    _add_weights(runtime, options, data, name, weights or {})
    try:
        session = runtime.InferenceSession(
            data, options, providers=[_CUDA, _CPU] if wanted else [_CPU]
        )
    except Exception as error:
        # onnxruntime's errors have no public base.
        raise CropperError(
            f"onnxruntime {runtime.__version__} can't load the model {name}: {error}; "
            "upgrade onnxruntime, or export the cropper again"
        ) from error
    # Where CUDA's libraries are missing, onnxruntime logs that and goes on without.
    got: Literal["cpu", "cuda"] = "cuda" if session.get_providers()[0] == _CUDA else "cpu"
    if device == "cuda" and got != "cuda":
        raise CropperError(
            "device='cuda', but CUDA did not start (driver, CUDA or cuDNN libraries missing?); "
            "see `cropzoom doctor`, or pip install 'onnxruntime-gpu[cuda,cudnn]'"
        )
    logger.info("%s runs on %s with %d threads", name, got, options.intra_op_num_threads)
    return session, got


def runner(session: Any, device: str) -> Callable[..., list[Any]]:
    """Return a session's `run(outputs, feed)`, after which the memory it took is given back."""
    options = import_onnxruntime().RunOptions()
    if device == "cpu":
        # 50 MB for a page and nano, at no measurable cost.
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return functools.partial(session.run, run_options=options)


def weights_beside(graph: str, files: Mapping[str, Content]) -> dict[str, Content]:
    """Return a cropper's files by their paths as a graph of it would give them: from where it is.

    Args:
        graph: the graph's file, relative to the cropper's folder.
        files: by their paths, relative to that folder.
    """
    beside = posixpath.dirname(graph) or "."
    return {posixpath.relpath(name, beside): data for name, data in files.items()}


def check_graph(session: Any, name: str, inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """Check that a graph has the inputs and outputs that its kind needs, and no further inputs.

    Raises:
        CropperError: it has not.
    """
    for what, wanted, found, exact in (
        ("inputs", set(inputs), {item.name for item in session.get_inputs()}, True),
        ("outputs", set(outputs), {item.name for item in session.get_outputs()}, False),
    ):
        if not wanted <= found or (exact and found != wanted):
            raise CropperError(
                f"{name} has the {what} {sorted(found)}, its kind needs {sorted(wanted)}; "
                "export the cropper again"
            )


def _add_weights(
    runtime: Any, options: Any, model: bytes, name: str, weights: Mapping[str, Content]
) -> None:
    names, values = [], []
    try:
        for tensor in external_tensors(model):
            if tensor.location not in weights:
                raise CropperError(
                    f"{name} refers to data in {tensor.location!r}, which is not a file of the "
                    "cropper; export the cropper again"
                )
            # A view: what is mapped stays mapped, and two graphs share what they have in common.
            array = tensor.array(memoryview(weights[tensor.location]))
            names.append(tensor.name)
            values.append(runtime.OrtValue.ortvalue_from_numpy(array))
    except ValueError as error:
        raise CropperError(
            f"can't load the model {name}: {error}; fetch or export the cropper again"
        ) from error
    if names:
        options.add_external_initializers(names, values)
