"""Sudoku against all 288 small grids, and the rules counted by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from archsearch.errors import DataError
from archsearch.tasks.sudoku_grids import full_grid, moved, peers, puzzle, solutions


def valid(grid: np.ndarray, box: int) -> bool:
    side = box * box
    square = grid.reshape(side, side)
    boxes = square.reshape(box, box, box, box).swapaxes(1, 2).reshape(side, side)
    every = set(range(1, side + 1))
    return all(set(line) == every for line in (*square, *square.T, *boxes))


@pytest.fixture(scope="module")
def small_grids() -> np.ndarray:
    """All grids of four by four, from all ways to put rows upon each other."""
    rows = list(itertools.permutations(range(1, 5)))
    return np.array(
        [
            np.concatenate(grid)
            for grid in itertools.product(rows, repeat=4)
            if all(len(set(column)) == 4 for column in zip(*grid, strict=True))
            and valid(np.concatenate(grid), 2)
        ]
    )


@pytest.mark.parametrize(("box", "count"), [(2, 7), (3, 20)])
def test_a_cell_has_its_peers(box: int, count: int) -> None:
    assert (peers(box).sum(1) == count).all()
    assert (peers(box) == peers(box).T).all()


def test_solutions_are_counted_as_among_all_grids(small_grids: np.ndarray) -> None:
    assert len(small_grids) == 288
    rng = np.random.default_rng(0)
    for _ in range(200):
        grid = small_grids[rng.integers(288)]
        shown = np.where(rng.random(16) < 0.3, grid, 0)
        fitting = ((small_grids == shown) | (shown == 0)).all(1).sum()
        assert solutions(shown, 2, most=300) == fitting
    clash = np.zeros(16, np.int64)
    clash[:2] = 3
    assert solutions(clash, 2) == 0


@pytest.mark.parametrize(("box", "givens"), [(2, 4), (3, 36)])
def test_puzzles_have_one_solution_also_after_they_are_moved(box: int, givens: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        shown, solution = puzzle(rng, box, givens)
        cells, digits = moved(rng, box)
        for given, full in ((shown, solution), (digits[shown[cells]], digits[solution[cells]])):
            assert valid(full, box)
            assert (given[given > 0] == full[given > 0]).all()
            assert np.count_nonzero(given) >= givens
            assert solutions(given, box) == 1
        # none but the cells that are needed, where few digits are asked for
        if box == 2:
            for cell in np.flatnonzero(shown):
                fewer = shown.copy()
                fewer[cell] = 0
                assert np.count_nonzero(shown) == givens or solutions(fewer, box) > 1
    assert valid(full_grid(rng, box), box)


def test_a_puzzle_is_shown_twice_and_asked_where_it_is_empty(opened) -> None:
    task = opened("sudoku", hints=6)
    blanks = []
    for batch in task.evaluation("test"):
        assert (batch.inputs[:, :16] == batch.inputs[:, 16:]).all()
        assert not batch.mask[:, :16].any()
        assert (batch.mask[:, 16:] == (batch.inputs[:, 16:] == 0)).all()
        for row, wanted in zip(batch.inputs, batch.targets, strict=True):
            assert valid(wanted[16:] + 1, 2)
            assert ((row[16:] == 0) | (row[16:] == wanted[16:] + 1)).all()
            blanks.append(int((row[:16] == 0).sum()))
    assert max(blanks) == 11
    assert min(blanks) == 5


def test_scores_count_cells_and_whole_grids(opened) -> None:
    task = opened("sudoku", test_size=8)
    batches = list(task.evaluation("test", 8))
    right = np.eye(4)[batches[0].targets]
    assert task.score([right], batches)["solved"] == 1.0
    spoilt = right.copy()
    asked = np.argwhere(batches[0].mask)[0]
    spoilt[tuple(asked)] = np.roll(spoilt[tuple(asked)], 1)
    scores = task.score([spoilt], batches)
    assert scores["solved"] == 7 / 8
    assert scores["accuracy"] == 1 - 1 / batches[0].mask.sum()
    # what is shown does not count
    spoilt = right.copy()
    spoilt[~batches[0].mask] = 0
    assert task.score([spoilt], batches)["accuracy"] == 1.0


def test_puzzles_of_the_splits_differ_also_by_what_they_were_made_of(opened) -> None:
    task = opened("sudoku", box=3, givens=60, validation_size=20, test_size=20)
    seen = {
        split: {row.tobytes() for batch in task.evaluation(split) for row in batch.inputs}
        for split in ("train", "validation", "test")
    }
    assert not seen["train"] & (seen["validation"] | seen["test"])
    assert not seen["validation"] & seen["test"]
    made = {split: {a.tobytes() for a, _ in pairs} for split, pairs in task._made.items()}
    assert not made["train"] & (made["validation"] | made["test"])


def test_a_puzzle_leaves_something_to_tell(opened) -> None:
    with pytest.raises(DataError, match="givens must be below the 16 cells"):
        opened("sudoku", givens=16)
