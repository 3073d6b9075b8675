"""Lets these tests use the server that looks, which stands with the tests of evaluation."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "evaluate"))
