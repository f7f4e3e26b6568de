"""The files that jobs read, in Ray's object store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray

from archsearch.execute.cluster.placed import digest


class Stored:
    """Files that are put there once, so that every node fetches each of them once."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}

    def references(self, paths: list[Path]) -> dict[str, Any]:
        """Where the bytes of each file are, by its SHA-256."""
        return {digest(path): self._reference(path) for path in paths}

    def _reference(self, path: Path) -> Any:
        sha256 = digest(path)
        if sha256 not in self.known:
            self.known[sha256] = ray.put(path.read_bytes())
        return self.known[sha256]
