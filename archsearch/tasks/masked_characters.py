"""Masked characters: some characters of a text are hidden, and told from those on both sides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from archsearch.errors import DataError
from archsearch.spec.signature import Signature
from archsearch.tasks.characters import Characters, scores
from archsearch.tasks.task import Batch, Protocol, Split

SEED = 20190421  # of the places hidden in evaluation, which are the same for every network


class MaskedCharacters(Characters):
    """The cloze objective: each character is hidden with chance ``hidden``, and only those count.

    Every one that is hidden shows one further symbol (Sun et al. 2019, arXiv 1904.06690, section
    3.6; BERT's replacements by chance are left out there, too), and in every window one is at
    least. Cells may read the whole window. Splits as in :class:`Characters`; evaluation goes
    through a split window by window and hides the same places every time.
    """

    kind = "masked text"
    name = "masked_tokens"

    def __init__(self, options: Mapping[str, Any], protocol: Protocol = "search") -> None:
        if len(str(options["blank"])) != 1:
            raise DataError(f"masked_tokens: blank must be one character, got {options['blank']!r}")
        super().__init__(options, protocol)

    def shapes(self, symbols: int) -> Signature:
        return Signature(
            *("tokens", symbols + 1, "class", symbols),
            every_step=True,
            length=self.context,
            whole=True,
        )

    def batch(self, rng: np.random.Generator, size: int, progress: float) -> Batch:
        first, last = self.spans["train"]
        starts = rng.integers(first, last - self.context + 1, size)
        return self._hide(starts, last, rng)

    def evaluation(self, split: Split, size: int = 256) -> Iterator[Batch]:
        first, last = self.spans[split]
        last = min(last, first + self.options["judged"])
        starts = np.arange(first, last, self.context)
        for start in range(0, len(starts), size):
            yield self._hide(starts[start : start + size], last, None)

    def baselines(self, split: Split = "test") -> dict[str, dict[str, float]]:
        """How often a character occurs in train, one added to each count."""
        first, last = self.spans["train"]
        train, count = self.symbols[first:last], self.signature.outputs
        unigram = np.bincount(train, minlength=count) + 1.0
        unigram /= unigram.sum()
        batches = list(self.evaluation(split))
        wanted = np.concatenate([batch.targets[batch.mask] for batch in batches])
        return {"unigram": scores(-np.log(unigram[wanted]), unigram.argmax() == wanted)}

    def preparation(self) -> dict[str, Any]:
        told = super().preparation() | {"blank": self.options["blank"]}
        del told["warmup"]
        return told

    def _hide(self, starts: np.ndarray, last: int, rng: np.random.Generator | None) -> Batch:
        """Windows that end before ``last``, with places hidden by ``rng`` or for good."""
        places = starts[:, None] + np.arange(self.context)
        inside = places < last
        lengths = inside.sum(axis=1).astype(np.int64)
        if rng is None:
            # by the place alone, so that a batch's size changes nothing
            chance = np.stack([_chances(start, self.context) for start in starts])
        else:
            chance = rng.random(places.shape)
        chance = np.where(inside, chance, 2.0)
        chosen = (chance < self.options["hidden"]) & inside
        chosen[np.arange(len(starts)), chance.argmin(axis=1)] = True
        targets = np.where(inside, self.symbols[np.minimum(places, last - 1)], 0)
        inputs = np.where(chosen, self.signature.outputs, targets)
        return Batch(inputs, lengths, targets, chosen, starts)


def _chances(start: int, count: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64([SEED, int(start)])).random(count)
