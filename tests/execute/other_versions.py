"""A driver of a cluster whose own torch is another than that of the nodes."""

from __future__ import annotations

from archsearch.execute.cluster import pool

if __name__ == "__main__":
    own = pool.versions()
    pool.versions = lambda: own | {"torch": "0.1"}  # type: ignore[assignment]
    pool.main()
