"""Small finite groups as multiplication tables; element 0 is the identity."""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations

import numpy as np


@lru_cache
def multiplication_table(group: str) -> np.ndarray:
    """The table (n, n) with entry [a, b] = a * b, of S3, A5, S5 or Z60.

    Elements of Sn and An are the (even) permutations in lexicographic order; a * b applies b
    first. The element k of Zn is the number k.
    """
    degree = int(group[1:])
    if group[0] == "Z":
        numbers = np.arange(degree)
        return (numbers[:, None] + numbers) % degree
    elements = [p for p in permutations(range(degree)) if group[0] == "S" or _even(p)]
    place = {element: index for index, element in enumerate(elements)}
    table = np.empty((len(elements), len(elements)), dtype=np.int64)
    for row, a in enumerate(elements):
        for column, b in enumerate(elements):
            table[row, column] = place[tuple(a[image] for image in b)]
    return table


def _even(permutation: tuple[int, ...]) -> bool:
    inversions = sum(
        permutation[i] > permutation[j]
        for i in range(len(permutation))
        for j in range(i + 1, len(permutation))
    )
    return inversions % 2 == 0
