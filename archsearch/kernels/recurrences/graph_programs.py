"""What a GPU does for a graph of operations: one program for some rows of a batch, all steps.

Arrays as in :mod:`archsearch.kernels.recurrences.graph_loops`: ``kept`` (T, S, B, W) has every slot
of every step, and the program is unrolled. What one thread writes another may read in the next
operation, so each ends at a barrier.
"""

from __future__ import annotations

import triton
import triton.language as tl

from archsearch.kernels.recurrences.triton_functions import tanh

TOP = tl.constexpr(1e4)


@triton.jit
def _clipped(x):
    return tl.where(x > TOP, TOP, tl.where(x < -TOP, -TOP, x))


@triton.jit
def _within(x, slope):
    return tl.where(tl.abs(x) <= TOP, slope, 0.0)


@triton.jit
def _value(FUNCTION: tl.constexpr, a, b, c):
    """A function of up to three slots, as in ``graph_steps.FUNCTIONS``."""
    if FUNCTION == "add":
        y = a + b
    elif FUNCTION == "subtract":
        y = a - b
    elif FUNCTION == "multiply":
        y = a * b
    elif FUNCTION == "max":
        y = tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)
    elif FUNCTION == "min":
        y = tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)
    elif FUNCTION == "mix":
        y = c + a * (b - c)
    elif FUNCTION == "tanh":
        y = tanh(a)
    elif FUNCTION == "sigmoid":
        y = tl.sigmoid(a)
    elif FUNCTION == "relu":
        y = tl.where(a <= 0, 0.0, a)
    elif FUNCTION == "positive":
        y = tl.where(a > 0, a + 0.5, tl.sigmoid(a))
    elif FUNCTION == "sin":
        y = tl.sin(a)
    elif FUNCTION == "clip":
        y = _clipped(a)
    elif FUNCTION == "clipped_multiply":
        y = _clipped(a) * _clipped(b)
    else:
        tl.static_assert(FUNCTION == "clipped_mix")
        y = _clipped(c) + _clipped(a) * (_clipped(b) - _clipped(c))
    return y


@triton.jit
def _slopes(FUNCTION: tl.constexpr, g, y, a, b, c):
    """Of each of the three, where the function's own is g."""
    da, db, dc = g, g, g
    if FUNCTION == "subtract":
        db = -g
    elif FUNCTION == "multiply":
        da, db = g * b, g * a
    elif FUNCTION == "max" or FUNCTION == "min":
        # equals share, as in torch
        share = tl.where(a == b, 0.5, tl.where((a > b) == (FUNCTION == "max"), 1.0, 0.0))
        da, db = g * share, g * (1 - share)
    elif FUNCTION == "mix":
        da, db, dc = g * (b - c), g * a, g * (1 - a)
    elif FUNCTION == "tanh":
        da = g * (1 - y * y)
    elif FUNCTION == "sigmoid":
        da = g * (y * (1 - y))
    elif FUNCTION == "relu":
        da = tl.where(a > 0, g, 0.0)
    elif FUNCTION == "positive":
        da = tl.where(a > 0, g, g * (y * (1 - y)))
    elif FUNCTION == "sin":
        da = g * tl.cos(a)
    elif FUNCTION == "clip":
        da = _within(a, g)
    elif FUNCTION == "clipped_multiply":
        da, db = _within(a, g * _clipped(b)), _within(b, g * _clipped(a))
    elif FUNCTION == "clipped_mix":
        gate = _clipped(a)
        da = _within(a, g * (_clipped(b) - _clipped(c)))
        db, dc = _within(b, g * gate), _within(c, g * (1 - gate))
    return da, db, dc


@triton.jit
def _add(to, at, value, mask):
    tl.store(to + at, tl.load(to + at, mask, 0.0) + value, mask)


@triton.jit
def _add_product(to, source, factors, row, is_row, width, TURNED: tl.constexpr,
                 TILE: tl.constexpr, TILES: tl.constexpr):  # fmt: skip
    """To the rows of a slot, those of another times a matrix, or its transpose."""
    one = tl.arange(0, TILE)
    for wide in range(TILES):
        column = wide * TILE + one
        found = tl.zeros((row.shape[0], TILE), tl.float32)
        for deep in range(TILES):
            inner = deep * TILE + one
            read = row[:, None] * width + inner[None, :]
            known = tl.load(source + read, is_row[:, None] & (inner < width)[None, :], 0.0)
            if TURNED:
                at = column[None, :] * width + inner[:, None]
            else:
                at = inner[:, None] * width + column[None, :]
            inside = (inner < width)[:, None] & (column < width)[None, :]
            factor = tl.load(factors + at, inside, 0.0)
            found += tl.dot(known, factor, input_precision="ieee")
        mask = is_row[:, None] & (column < width)[None, :]
        _add(to, row[:, None] * width + column[None, :], found, mask)


@triton.jit
def forward_program(
    kept, matrices, states, steps, batch, width,
    ACTIONS: tl.constexpr, LEAVES: tl.constexpr, ROOTS: tl.constexpr, SLOTS: tl.constexpr,
    ROWS: tl.constexpr, TILE: tl.constexpr, TILES: tl.constexpr,
):  # fmt: skip
    """An action is what is done, the slot written, three that are read, of a product the second a
    matrix, and how many of them are meant."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    is_row = row < batch
    size = (batch * width).to(tl.int64)
    for t in range(steps):
        now = kept + t * SLOTS * size
        for s in tl.static_range(len(LEAVES)):
            for tile in range(TILES):
                column = tile * TILE + tl.arange(0, TILE)
                mask = is_row[:, None] & (column < width)[None, :]
                at = row[:, None] * width + column[None, :]
                source = states + s * size
                if t > 0:
                    source = now + (ROOTS[s] - SLOTS) * size
                tl.store(now + LEAVES[s] * size + at, tl.load(source + at, mask, 0.0), mask)
        tl.debug_barrier()
        for index in tl.static_range(len(ACTIONS)):
            out, first = now + ACTIONS[index][1] * size, now + ACTIONS[index][2] * size
            if ACTIONS[index][0] == "product":
                factors = matrices + ACTIONS[index][3] * width * width
                _add_product(out, first, factors, row, is_row, width, False, TILE, TILES)
            else:
                second, third = now + ACTIONS[index][3] * size, now + ACTIONS[index][4] * size
                for tile in range(TILES):
                    column = tile * TILE + tl.arange(0, TILE)
                    mask = is_row[:, None] & (column < width)[None, :]
                    at = row[:, None] * width + column[None, :]
                    a, b, c = (
                        tl.load(first + at, mask, 0.0),
                        tl.load(second + at, mask, 0.0),
                        tl.load(third + at, mask, 0.0),
                    )
                    tl.store(out + at, _value(ACTIONS[index][0], a, b, c), mask)
            tl.debug_barrier()


@triton.jit
def backward_program(
    kept, matrices, dy, dstates, dkept, steps, batch, width,
    ACTIONS: tl.constexpr, LEAVES: tl.constexpr, ROOTS: tl.constexpr, SLOTS: tl.constexpr,
    ROWS: tl.constexpr, TILE: tl.constexpr, TILES: tl.constexpr,
):  # fmt: skip
    """``dstates`` are those of the last states and become those of the first; ``dkept`` is zero."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    is_row = row < batch
    size = (batch * width).to(tl.int64)
    for back in range(steps):
        t = steps - 1 - back
        now, dnow = kept + t * SLOTS * size, dkept + t * SLOTS * size
        for tile in range(TILES):
            column = tile * TILE + tl.arange(0, TILE)
            mask = is_row[:, None] & (column < width)[None, :]
            at = row[:, None] * width + column[None, :]
            _add(dnow + ROOTS[0] * size, at, tl.load(dy + t * size + at, mask, 0.0), mask)
            for s in tl.static_range(len(ROOTS)):
                _add(dnow + ROOTS[s] * size, at, tl.load(dstates + s * size + at, mask, 0.0), mask)
        tl.debug_barrier()
        for index in tl.static_range(len(ACTIONS) - 1, -1, -1):
            out, first = ACTIONS[index][1] * size, ACTIONS[index][2] * size
            if ACTIONS[index][0] == "product":
                factors = matrices + ACTIONS[index][3] * width * width
                _add_product(
                    dnow + first, dnow + out, factors, row, is_row, width, True, TILE, TILES
                )
            else:
                second, third = ACTIONS[index][3] * size, ACTIONS[index][4] * size
                for tile in range(TILES):
                    column = tile * TILE + tl.arange(0, TILE)
                    mask = is_row[:, None] & (column < width)[None, :]
                    at = row[:, None] * width + column[None, :]
                    g, y = tl.load(dnow + out + at, mask, 0.0), tl.load(now + out + at, mask, 0.0)
                    a, b, c = (
                        tl.load(now + first + at, mask, 0.0),
                        tl.load(now + second + at, mask, 0.0),
                        tl.load(now + third + at, mask, 0.0),
                    )
                    da, db, dc = _slopes(ACTIONS[index][0], g, y, a, b, c)
                    _add(dnow + first, at, da, mask)
                    if ACTIONS[index][5] > 1:
                        _add(dnow + second, at, db, mask)
                    if ACTIONS[index][5] > 2:
                        _add(dnow + third, at, dc, mask)
            tl.debug_barrier()
        for s in tl.static_range(len(LEAVES)):
            for tile in range(TILES):
                column = tile * TILE + tl.arange(0, TILE)
                mask = is_row[:, None] & (column < width)[None, :]
                at = row[:, None] * width + column[None, :]
                slope = tl.load(dnow + LEAVES[s] * size + at, mask, 0.0)
                tl.store(dstates + s * size + at, slope, mask)
        tl.debug_barrier()
