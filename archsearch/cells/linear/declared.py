"""The linear recurrent cells: a state that is a linear function of the one before."""

from __future__ import annotations

from archsearch.cells.linear.declared_delta import CELLS as DELTA
from archsearch.cells.linear.declared_matrix import CELLS as MATRIX
from archsearch.cells.linear.declared_vector import CELLS as VECTOR
from archsearch.spec.catalog import CellType

CELLS: tuple[CellType, ...] = VECTOR + MATRIX + DELTA
