"""A description of what is timed -> the thing itself."""

from __future__ import annotations

from PIL import Image

from cropzoom.bench.candidates import Candidate, Spec, model_hash
from cropzoom.cropper import load_cropper
from cropzoom.cropper.manifest import TextManifest
from cropzoom.cropper.trace import Trace
from cropzoom.environment import usable_threads
from cropzoom.geometry import Box


def load(spec: Spec) -> Candidate:
    """Make a candidate.

    Raises:
        CropperError: there is no such cropper or checkpoint, or it can't be loaded.
        MissingDependencyError: onnxruntime, torch or transformers is not installed.
        OptionsError: an option is out of range.
    """
    if spec.way != "cropper":
        from cropzoom.bench.torch_models import load_torch

        return load_torch(spec)
    cropper = load_cropper(
        spec.source, device=spec.device, threads=spec.threads, longest_edge=spec.longest_edge
    )

    def predict(image: Image.Image, question: str, trace: Trace) -> Box | None:
        crops = cropper.predict(image, question, trace=trace)
        return crops[0].box if crops else None

    manifest = cropper.manifest
    text = isinstance(manifest, TextManifest)
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[cropper.device]
    return Candidate(
        spec.label,
        predict,
        {
            "runtime": "onnxruntime",
            "kind": "text" if text else "pointer",
            "name": manifest.name,
            "version": manifest.version,
            "precision": manifest.precision,
            "hash": model_hash(manifest),
            "device": cropper.device,
            "provider": provider,
            "threads": spec.threads or usable_threads(),
            "longest_edge": cropper.longest_edge,
        },
        longest_edge=cropper.longest_edge,
        grey=getattr(cropper, "grey", False),
        keeps=text,
        threadsafe=True,
        close=cropper.close,
    )
