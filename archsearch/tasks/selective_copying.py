"""Selective copying: repeat, in order, the symbols that lay scattered among blanks."""

from __future__ import annotations

import numpy as np

from archsearch.errors import DataError
from archsearch.spec.signature import Signature
from archsearch.tasks.generated import GeneratedSteps
from archsearch.tasks.task import Batch


class SelectiveCopying(GeneratedSteps):
    """Symbols 0 .. V - 3 at random places among blanks (V - 2), the copy signal (V - 1), blanks.

    The last ``tokens`` steps show blanks and are judged: the symbols, in the order shown. Any
    place before the signal is equally likely, the last one too. After MAD (arXiv 2403.17844).
    """

    name = "selective_copying"

    def shapes(self) -> Signature:
        self.tokens, self.vocab = self.options["tokens"], self.options["vocab"]
        shortest = 2 * self.tokens + 1
        for key in ("length", "test_length"):
            given = self.options.get(key)
            if given is not None and given < shortest:
                raise DataError(
                    f"selective_copying: {key} must be at least {shortest} for {self.tokens} "
                    f"tokens, got {given}"
                )
        self.choices = self.vocab - 2
        return Signature(
            "tokens", self.vocab, "class", self.vocab, every_step=True, length=self.length
        )

    def draw(
        self, rng: np.random.Generator, size: int, length: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        room = length - self.tokens - 1
        order = np.argsort(rng.random((size, room)), axis=1, kind="stable")
        places = np.sort(order[:, : self.tokens], axis=1)
        symbols = rng.integers(0, self.choices, (size, self.tokens), dtype=np.int64)
        inputs = np.full((size, length), self.vocab - 2, dtype=np.int64)
        inputs[np.arange(size)[:, None], places] = symbols
        inputs[:, room] = self.vocab - 1
        targets = np.zeros_like(inputs)
        targets[:, room + 1 :] = symbols
        mask = np.zeros(inputs.shape, dtype=bool)
        mask[:, room + 1 :] = True
        return inputs, targets, mask

    def shortcuts(self, batches: list[Batch]) -> dict[str, list[np.ndarray]]:
        return {"any symbol of the context": [self._context(batch.inputs) for batch in batches]}

    def _context(self, inputs: np.ndarray) -> np.ndarray:
        counts = np.stack([(inputs == symbol).sum(axis=1) for symbol in range(self.choices)], 1)
        shown = np.zeros((len(inputs), self.vocab))
        shown[:, : self.choices] = counts / self.tokens
        return np.broadcast_to(np.log(shown + 1e-6)[:, None], (*inputs.shape, self.vocab))
