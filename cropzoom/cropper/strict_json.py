"""Reading JSON that nobody vouches for: every value is checked, and nothing is ignored."""

from __future__ import annotations

from typing import Any

from cropzoom.errors import CropperError


class Section:
    """A JSON object whose keys are taken one by one; what is left over is an error.

    A key that is not understood might change what the cropper does, so it is not ignored.

    Args:
        where: the file, for messages.
        path: where in the file, "" or ending in a dot.
        value: what stands there.

    Raises:
        CropperError: here and below, with the file, the key and the rule.
    """

    def __init__(self, where: str, path: str, value: object) -> None:
        self._where = where
        self._path = path
        if not isinstance(value, dict):
            raise CropperError(f"{where}: {path or 'the file'} must hold an object")
        self._left = dict(value)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def error(self, name: str, rule: str) -> CropperError:
        """Return the error for a key that breaks a rule."""
        return CropperError(f"{self._where}: {self._path}{name} {rule}")

    def names(self) -> list[str]:
        """Return the keys not yet taken."""
        return list(self._left)

    def take(self, name: str) -> Any:
        """Take a value of any kind."""
        if name not in self._left:
            raise self.error(name, "is missing")
        return self._left.pop(name)

    def section(self, name: str) -> Section:
        """Take an object."""
        return Section(self._where, f"{self._path}{name}.", self.take(name))

    def rest(self) -> dict[str, Any]:
        """Take all that is left, unchecked."""
        left, self._left = self._left, {}
        return left

    def text(self, name: str, longest: int = 200) -> str:
        """Take a string of 1 to `longest` characters."""
        value = self.take(name)
        if not isinstance(value, str) or not value or len(value) > longest:
            raise self.error(name, f"must be a string of 1 to {longest} characters")
        return value

    def flag(self, name: str) -> bool:
        """Take true or false."""
        value = self.take(name)
        if not isinstance(value, bool):
            raise self.error(name, "must be true or false")
        return value

    def integer(self, name: str, low: int, high: int) -> int:
        """Take a whole number in [low, high]."""
        value = self.take(name)
        if type(value) is not int or not low <= value <= high:
            raise self.error(name, f"must be a whole number from {low} to {high}")
        return value

    def integers(self, name: str, most: int, low: int, high: int) -> tuple[int, ...]:
        """Take a list of 1 to `most` whole numbers in [low, high]."""
        value = self.take(name)
        right = isinstance(value, list) and all(type(i) is int and low <= i <= high for i in value)
        if not right or not 1 <= len(value) <= most:
            raise self.error(
                name, f"must be a list of 1 to {most} whole numbers from {low} to {high}"
            )
        return tuple(value)

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        """Take a number in [low, high]."""
        value = default if default is not None and name not in self._left else self.take(name)
        # The comparison refuses NaN, which Python's JSON reader lets through.
        if type(value) not in (int, float) or not low <= value <= high:
            raise self.error(name, f"must be a number from {low} to {high}")
        return float(value)

    def numbers(self, name: str, count: int, low: float, high: float) -> tuple[float, ...]:
        """Take a list of exactly `count` numbers in [low, high]."""
        value = self.take(name)
        right = isinstance(value, list) and all(
            type(i) in (int, float) and low <= i <= high for i in value
        )
        if not right or len(value) != count:
            raise self.error(name, f"must be a list of {count} numbers from {low} to {high}")
        return tuple(float(i) for i in value)

    def finish(self) -> None:
        """Refuse what was not taken."""
        if self._left:
            unknown = ", ".join(sorted(self._left))[:200]
            raise CropperError(
                f"{self._where}: unknown {self._path}{unknown}; upgrade cropzoom or remove it"
            )
