"""What becomes of a character of stdout that the locale's encoding lacks."""

from __future__ import annotations

import sys
from io import TextIOWrapper


def spell_out(errors: str) -> None:
    """Let stdout answer so (an error handler of codecs) where it cannot hold all of Unicode."""
    if isinstance(sys.stdout, TextIOWrapper) and "utf" not in sys.stdout.encoding.lower():
        sys.stdout.reconfigure(errors=errors)
