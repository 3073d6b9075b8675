"""What a conversation asks of its pictures: questions to look for, or why there is none.

Pure: no pictures, no input or output, nothing heavy imported. A text of any length is read in time
that grows with it, and of a very long one only the two ends count, for a question stands there.
"""

from __future__ import annotations

from cropzoom.questions.conversation import Asking, Turn, asking
from cropzoom.questions.scripts import readable

__all__ = ["Asking", "Turn", "asking", "readable"]
