"""Sudoku grids and puzzles of one solution, and what may be done to one without spoiling it.

A grid of ``box`` is a flat array of box ** 4 digits from 1; 0 is an empty cell.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np


@lru_cache
def peers(box: int) -> np.ndarray:
    """(cells, cells) bool: different cells of one row, column or box."""
    side = box * box
    row, column = np.divmod(np.arange(side * side), side)
    kinds = (row, column, row // box * box + column // box)
    alike = np.logical_or.reduce([kind[:, None] == kind for kind in kinds])
    return alike & ~np.eye(side * side, dtype=bool)


def solutions(puzzle: np.ndarray, box: int, most: int = 2) -> int:
    """How many solutions a puzzle has, counted up to ``most``."""
    return len(_solved(puzzle, box, most, None))


def full_grid(rng: np.random.Generator, box: int) -> np.ndarray:
    """A random grid: digits are tried in random order."""
    return _solved(np.zeros(box**4, np.int64), box, 1, rng)[0]


def puzzle(rng: np.random.Generator, box: int, givens: int) -> tuple[np.ndarray, np.ndarray]:
    """A puzzle of one solution with as few as ``givens`` digits, if that can be, and the solution.

    Cells are emptied in random order; one whose loss would leave two solutions stays.
    """
    solution = full_grid(rng, box)
    shown = solution.copy()
    for cell in rng.permutation(len(shown)):
        if np.count_nonzero(shown) <= givens:
            break
        digit, shown[cell] = shown[cell], 0
        if solutions(shown, box) > 1:
            shown[cell] = digit
    return shown, solution


def moved(rng: np.random.Generator, box: int) -> tuple[np.ndarray, np.ndarray]:
    """A random symmetry: where each cell comes from, and what becomes of digits 0 .. side.

    Bands, the rows within one, stacks and columns likewise, and digits change places, and rows may
    become columns; the number of solutions stays.
    """
    side = box * box

    def lines() -> np.ndarray:
        return np.concatenate([box * band + rng.permutation(box) for band in rng.permutation(box)])

    cells = lines()[:, None] * side + lines()
    if rng.random() < 0.5:
        cells = cells.T
    return cells.ravel(), np.append(0, 1 + rng.permutation(side))


def _solved(
    puzzle: np.ndarray, box: int, most: int, rng: np.random.Generator | None
) -> list[np.ndarray]:
    """Up to ``most`` solutions, by filling the cell with the fewest candidates first."""
    neighbours = _neighbours(box)
    cells = [int(digit) for digit in puzzle]
    every = (1 << box * box) - 1
    free = [
        every & ~_bits(cells[other] for other in neighbours[cell]) for cell in range(len(cells))
    ]
    if any(digit and not free[cell] >> (digit - 1) & 1 for cell, digit in enumerate(cells)):
        return []
    found: list[np.ndarray] = []

    def search() -> None:
        empty = [cell for cell, digit in enumerate(cells) if not digit]
        if not empty:
            found.append(np.array(cells, np.int64))
            return
        cell = min(empty, key=lambda cell: free[cell].bit_count())
        digits = [digit for digit in range(1, box * box + 1) if free[cell] >> (digit - 1) & 1]
        if rng is not None:
            rng.shuffle(digits)
        for digit in digits:
            bit = 1 << (digit - 1)
            lost = [other for other in neighbours[cell] if not cells[other] and free[other] & bit]
            cells[cell] = digit
            for other in lost:
                free[other] ^= bit
            search()
            cells[cell] = 0
            for other in lost:
                free[other] ^= bit
            if len(found) >= most:
                return

    search()
    return found


@lru_cache
def _neighbours(box: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(np.flatnonzero(row).tolist()) for row in peers(box))


def _bits(digits: Iterable[int]) -> int:
    found = 0
    for digit in digits:
        # of an empty cell none
        found |= 1 << digit >> 1
    return found
