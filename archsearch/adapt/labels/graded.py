"""How many chains do on labelled sequences: tables over sequences and chains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from archsearch.adapt.chain import Chain
from archsearch.adapt.examples import Examples
from archsearch.adapt.walk import Walk


@dataclass(frozen=True)
class Graded:
    """All tables are (sequences, chains), chains as in ``chains``.

    ``score`` and ``margin`` are those of :class:`Examples`; ``said`` are classes and ``wanted``,
    (sequences,), the right ones, None where values are predicted. ``costs`` (chains,) are applied
    layers and ``full`` those of the plain network.
    """

    chains: tuple[Chain, ...]
    costs: np.ndarray
    full: int
    score: np.ndarray
    margin: np.ndarray
    said: np.ndarray | None
    wanted: np.ndarray | None

    @property
    def right(self) -> np.ndarray:
        """Whether each sequence is answered right by each chain; classes only."""
        assert self.said is not None
        assert self.wanted is not None
        return self.said == self.wanted[:, None]  # type: ignore[no-any-return]

    def place(self, chain: Chain) -> int:
        return self.chains.index(chain)

    def of(self, chains: Sequence[Chain]) -> Graded:
        """Some of the chains."""
        known = {chain: place for place, chain in enumerate(self.chains)}
        places = [known[chain] for chain in chains]
        return replace(
            self,
            chains=tuple(chains),
            costs=self.costs[places],
            score=self.score[:, places],
            margin=self.margin[:, places],
            said=None if self.said is None else self.said[:, places],
        )


@torch.inference_mode()
def grade(walk: Walk, examples: Examples, chains: Sequence[Chain]) -> Graded:
    """Each chain on each sequence; what chains begin with in common is computed once."""
    ordered = tuple(sorted(set(chains)))
    columns: dict[str, list[np.ndarray]] = {"score": [], "margin": [], "said": []}
    for batch in examples.batches():
        found: dict[str, list[np.ndarray]] = {name: [] for name in columns}
        for _, prediction in walk.run_all(ordered, batch.x, batch.lengths):
            found["score"].append(batch.score(prediction).numpy())
            found["margin"].append(batch.margin(prediction).numpy())
            if examples.classes is not None:
                found["said"].append(batch.said(prediction).numpy())
        for name, each in found.items():
            if each:
                columns[name].append(np.stack(each, 1))
    classes = examples.classes is not None
    return Graded(
        ordered,
        np.array([chain.cost(walk.costs) for chain in ordered]),
        walk.full,
        np.concatenate(columns["score"]),
        np.concatenate(columns["margin"]),
        np.concatenate(columns["said"]) if classes else None,
        examples.wanted().numpy() if classes else None,
    )
