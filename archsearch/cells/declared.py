"""Every built-in cell as plain data, by family: options, what a search explores, cost, source."""

from __future__ import annotations

from archsearch.cells.attention.declared import CELLS as ATTENTION
from archsearch.cells.convolution.declared import CELLS as CONVOLUTION
from archsearch.cells.linear.declared import CELLS as LINEAR
from archsearch.cells.memory.declared import CELLS as MEMORY
from archsearch.cells.memory.declared_rows import CELLS as ROWS
from archsearch.cells.recurrent.declared import CELLS as RECURRENT
from archsearch.spec.catalog import CellType

CELLS: tuple[CellType, ...] = RECURRENT + LINEAR + MEMORY + ROWS + ATTENTION + CONVOLUTION
