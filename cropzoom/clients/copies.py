"""Copies of a caller's client, of a class made for the copy; the client stays as it is."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from typing import Any, TypeVar

from cropzoom.clients.controller import Controller

_T = TypeVar("_T")


def copy_of(source: Any, base: type, controller: Controller) -> Any:
    """Return a shallow copy that is an instance of `base`, besides what its source is.

    The configuration stands on the class, where a client's own `copy()` finds it. The class's name
    stays: tracers and logs go by it.
    """
    kind = type(source)
    names = {"cropzoom": controller, "__module__": base.__module__}
    return with_state(type(kind.__name__, (base, kind), names), source)


def with_state(cls: type[_T], source: object) -> _T:
    """Return a shallow copy of an object as an instance of another class, without construction."""
    made = object.__new__(cls)
    vars(made).update(vars(source))
    return made


def warn_of_patches(client: Any, parts: tuple[type, ...], advice: str, *, level: int) -> None:
    """Warn if a tracer has patched a client, since a copy does not have its patches.

    Args:
        client: the caller's.
        parts: classes of the client's parts.
        advice: how to trace a wrapped client.
        level: of the caller's line, as `warnings.warn` counts.
    """
    patches = list(_patches(client, parts))
    if patches:
        warnings.warn(
            f"{', '.join(patches)} was replaced on this client, probably by a tracer, and the "
            f"wrapped client does without. Wrap first and trace then: {advice}",
            UserWarning,
            stacklevel=level,
        )


def _patches(
    owner: Any, parts: tuple[type, ...], path: str = "client", depth: int = 0
) -> Iterator[str]:
    """Name the methods that were replaced on the instance of a client or of a part of it."""
    for name, value in vars(owner).items():
        inherited = getattr(type(owner), name, None)
        if inspect.isfunction(inherited):
            yield f"{path}.{name}"
        elif isinstance(value, parts) and depth < 4:
            yield from _patches(value, parts, f"{path}.{name}", depth + 1)
