"""Where this runs: processor, cores, versions."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "cropzoom",
    "onnxruntime",
    "onnxruntime-gpu",
    "numpy",
    "pillow",
    "tokenizers",
    "torch",
    "transformers",
)
# What matrix products use, on x86 and on ARM.
_FLAG = re.compile(
    r"avx2|fma|f16c|avx512\w*|avx_vnni\w*|amx_\w+|asimd|asimddp|asimdhp|i8mm|bf16|svei8mm|svebf16|sve2?"
)


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, list[str]]:
    """Return the processor's name, and which of its instructions speed up matrix products.

    Args:
        cpuinfo: Linux's list; without it, the name is what Python knows and the flags are none.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    said: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        said.setdefault(key.strip().lower(), value.strip())
    flags = (said.get("flags") or said.get("features") or "").split()
    name = said.get("model name") or platform.processor() or platform.machine()
    return name, sorted(flag for flag in flags if _FLAG.fullmatch(flag))


def usable_threads(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many threads can run at once: the lesser of CPU affinity and cgroup quota, >= 1.

    A container's quota does not show in the number of CPUs; more threads than it allows are
    throttled together and make everything slower.

    Args:
        cgroups: where the cgroup file system is mounted.
    """
    # macOS and Windows have no sched_getaffinity.
    cpus = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    quota = _quota(cgroups)
    return max(1, cpus if quota is None else min(cpus, int(quota)))


def environment() -> dict[str, Any]:
    """Return what times depend on besides the model, ready for `json.dumps`."""
    name, flags = processor()
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {
        "cpu": name,
        "flags": flags,
        "cpus": os.cpu_count(),
        "affinity": affinity,
        "usable_cores": usable_threads(),
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(PACKAGES),
    }


def _quota(root: Path) -> float | None:
    """Return the CPU quota in CPUs: the tightest of this process's cgroup and those above it."""
    quotas: list[float] = []
    for group in _groups(root):
        try:
            limit, period = (group / "cpu.max").read_text().split()[:2]
        except (OSError, ValueError):
            try:
                limit = (group / "cpu.cfs_quota_us").read_text()
                period = (group / "cpu.cfs_period_us").read_text()
            except OSError:
                continue
        try:
            cpus = int(limit) / int(period)
        except (ValueError, ZeroDivisionError):
            continue  # "max": no limit
        if cpus > 0:
            quotas.append(cpus)
    return min(quotas, default=None)


def _groups(root: Path) -> list[Path]:
    """Return the folders that may hold a quota, for cgroup v2 and v1."""
    own = "/"
    try:
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            number, _, name = line.split(":", 2)
            if number == "0":
                own = name
    except (OSError, ValueError):
        pass
    group = root / own.lstrip("/")
    above = [folder for folder in group.parents if folder.is_relative_to(root)]
    return [group, *above, root / "cpu"]
