"""How the bundled nano's output becomes boxes; chosen by `calibrate.py`."""

from __future__ import annotations

LONGEST_EDGE, MAX_UPSCALE = 1120, 1.1
"""Small print is what nano misses. A page of 1024 px is looked at a little enlarged, as far as
100 ms on two cores allow."""
PRICE, CENTRE, SCALE, PAD_PX = 2.0, 0.3, 1.0, 8.0
"""See `DecodeSpec`."""
