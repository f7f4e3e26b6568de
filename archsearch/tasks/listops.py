"""ListOps: the value of nested operations on lists of digits."""

from __future__ import annotations

from statistics import median

import numpy as np

from archsearch.errors import DataError
from archsearch.spec.signature import Signature
from archsearch.tasks.generated_classes import GeneratedClasses
from archsearch.tasks.task import Batch

OPERATIONS = ("MIN", "MAX", "MED", "SM")
END = 10 + len(OPERATIONS)  # the token that closes a list; digits are themselves
NESTED = 0.25  # the share of operations among arguments
TRIES = 20_000  # expressions, of which one at least must be long enough


class ListOps(GeneratedClasses):
    """Expressions such as [MAX 2 9 [MIN 4 7] 0], whose value is one of ten digits.

    Operations are the least, the greatest, the median rounded down and the sum modulo ten of two to
    ``arguments`` values, nested up to ``depth`` (Nangia and Bowman 2018, arXiv 1804.06028; drawn as
    in Tay et al. 2020, arXiv 2011.04006). Lengths are between a sixth of ``length`` and ``length``;
    those of ``test_length`` are longer than any of the training.
    """

    name = "listops"
    choices = 10

    def shapes(self) -> Signature:
        self.depth, self.arguments = self.options["depth"], self.options["arguments"]
        if self.test_length is not None and self.test_length < self.length:
            raise DataError("listops: test_length must be above length")
        for given in filter(None, (self.length, self.test_length)):
            self._require_some(given)
        return Signature("tokens", END + 1, "class", 10, every_step=False, length=self.length)

    def sequence(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, int]:
        while True:
            found = self._drawn(rng, length)
            if found is not None:
                return found

    def _drawn(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, int] | None:
        """An expression and its value; None where it is too short or too long."""
        tokens: list[int] = []
        value = self._expression(rng, 1, length, tokens)
        if value is None or len(tokens) < self._least(length):
            return None
        return np.array(tokens, np.int64), value

    def _least(self, length: int) -> int:
        return max(4, length // 6) if length == self.length else self.length + 1

    def _require_some(self, length: int) -> None:
        """Raises DataError where expressions as long as asked for hardly ever come about."""
        rng = np.random.default_rng(0)
        if all(self._drawn(rng, length) is None for _ in range(TRIES)):
            raise DataError(
                f"listops: hardly any expression of depth {self.depth} and up to {self.arguments} "
                f"arguments has {self._least(length)} to {length} steps; take more of either, or "
                "shorter ones"
            )

    def _expression(
        self, rng: np.random.Generator, depth: int, longest: int, tokens: list[int]
    ) -> int | None:
        """The value of what is added to ``tokens``; None once there are too many."""
        if depth > 1 and (depth > self.depth or rng.random() >= NESTED):
            tokens.append(int(rng.integers(10)))
            return tokens[-1]
        operation = int(rng.integers(len(OPERATIONS)))
        tokens.append(10 + operation)
        values = []
        for _ in range(int(rng.integers(2, self.arguments + 1))):
            value = self._expression(rng, depth + 1, longest, tokens)
            if value is None or len(tokens) >= longest:
                return None
            values.append(value)
        tokens.append(END)
        return applied(OPERATIONS[operation], values)

    def shortcuts(self, batches: list[Batch]) -> dict[str, list[np.ndarray]]:
        def flat(tokens: np.ndarray) -> int:
            digits = [int(token) for token in tokens if token < 10]
            return applied(OPERATIONS[tokens[0] - 10], digits)

        return {
            "first operation on all digits": [
                np.array(
                    [flat(row[:end]) for row, end in zip(b.inputs, b.lengths, strict=True)],
                    np.int64,
                )
                for b in batches
            ]
        }


def applied(operation: str, values: list[int]) -> int:
    match operation:
        case "MIN":
            return min(values)
        case "MAX":
            return max(values)
        case "MED":
            return int(median(values))
        case _:
            return sum(values) % 10
