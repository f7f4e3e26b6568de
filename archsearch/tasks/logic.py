"""Logic: the bit that a chain of binary gates makes of two others."""

from __future__ import annotations

import numpy as np

from archsearch.spec.signature import Signature
from archsearch.tasks.generated import GROWING, GeneratedSteps
from archsearch.tasks.task import Batch

# what a gate says of (p, q) = (0, 0), (0, 1), (1, 0), (1, 1)
GATES = {
    "nor": (1, 0, 0, 0),
    "not p and q": (0, 1, 0, 0),
    "p and not q": (0, 0, 1, 0),
    "xor": (0, 1, 1, 0),
    "nand": (1, 1, 1, 0),
    "and": (0, 0, 0, 1),
    "xnor": (1, 0, 0, 1),
    "if p then q": (1, 1, 0, 1),
    "if q then p": (1, 0, 1, 1),
    "or": (0, 1, 1, 1),
}
TABLES = np.array(list(GATES.values()), np.int64)
BITS = 2  # channels before those of the gates


class Logic(GeneratedSteps):
    """Two bits and one to ``gates`` gates at every step; each gate is given the two latest bits.

    Channels are b_0 and b_1, then one of ten for each gate, zeros where there are fewer. With
    gates g_1 .. g_n, b_(i+1) = g_i(b_i, b_(i-1)), and the target is b_(n+1). After the first step
    the channel of b_0 is zero, and the answer of the step before stands in its place. How many
    gates there are is uniform; with the curriculum at most one at first, growing to ``gates``
    (Graves 2016, arXiv 1603.08983, section 3.2).
    """

    name = "logic"
    choices = 2

    def shapes(self) -> Signature:
        self.gates: int = self.options["gates"]
        channels = BITS + self.gates * len(GATES)
        return Signature("values", channels, "class", 2, every_step=True, length=self.length)

    def batch(self, rng: np.random.Generator, size: int, progress: float) -> Batch:
        inputs, targets, mask = self._drawn(rng, size, self.length, self.most_gates(progress))
        return Batch(inputs, np.full(size, self.length, np.int64), targets, mask)

    def most_gates(self, progress: float) -> int:
        """Of a step in training: 1 growing to ``gates`` over the first 60 %, or ``gates``."""
        if self.options["curriculum"] == "none":
            return self.gates
        part = min(1.0, max(0.0, progress) / GROWING)
        return round(1 + part * (self.gates - 1))

    def draw(
        self, rng: np.random.Generator, size: int, length: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._drawn(rng, size, length, self.gates)

    def _drawn(
        self, rng: np.random.Generator, size: int, length: int, most: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count = rng.integers(1, most + 1, (size, length))
        named = rng.integers(0, len(GATES), (size, length, self.gates))
        there = np.arange(self.gates) < count[..., None]
        bits = rng.integers(0, 2, (size, length, BITS))
        bits[:, 1:, 0] = 0
        hot = (named[..., None] == np.arange(len(GATES))) & there[..., None]
        inputs = np.concatenate([bits, hot.reshape(size, length, -1)], -1).astype(np.float32)
        targets = answers(bits, named, count)
        return inputs, targets, np.ones((size, length), bool)

    def shortcuts(self, batches: list[Batch]) -> dict[str, list[np.ndarray]]:
        return {"last gate": [_by_last_gate(batch.inputs) for batch in batches]}


def answers(bits: np.ndarray, named: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The targets (B, T) of bits (B, T, 2) and the first ``count`` (B, T) of gates (B, T, G)."""
    found = np.empty_like(count)
    before = bits[:, 0, 0]
    for step in range(count.shape[1]):
        now = bits[:, step, 1]
        for place in range(count[:, step].max()):
            there = place < count[:, step]
            said = TABLES[named[:, step, place], 2 * now + before]
            now, before = np.where(there, said, now), np.where(there, now, before)
        found[:, step] = before = now
    return found


def gates_of(inputs: np.ndarray) -> np.ndarray:
    """How many gates (..) there are in inputs (.., channels)."""
    return np.rint(inputs[..., BITS:].sum(-1)).astype(np.int64)


def _by_last_gate(inputs: np.ndarray) -> np.ndarray:
    """Log probabilities (B, T, 2) by the share of ones in the table of each step's last gate."""
    hot = inputs[..., BITS:].reshape(*inputs.shape[:2], -1, len(GATES))
    last = np.take_along_axis(hot, gates_of(inputs)[..., None, None] - 1, 2)[:, :, 0].argmax(-1)
    ones = TABLES.mean(1)[last]
    return np.log(np.stack([1 - ones, ones], -1))
