"""The loops of recurrent steps that attend to their own last outputs, all rows side by side.

Arrays of all steps are (T, B, ...). G W are the gates, A the heads filled up to whole lanes:
``given`` (T, B, G W + A) are drives and queries, ``kv`` (B, S + T, 2 A) keys and values from the
first that is known, ``into`` (A, G W) what turns what is heard into drives, ``matrix``
(W, G W + 3 A) U, P, K and V transposed and side by side, ``added`` (heads, room) the numbers of the
distances filled up. ``kind`` is the core, 1 / sqrt(d) and the window.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy import float32

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.projections.tile_products import add_products
from archsearch.kernels.recurrences.attentive.attentive_cores import advance, retreat
from archsearch.kernels.recurrences.attentive.attentive_heads import attend, attend_back

contracted = partial(compiled, contracted=True)
ZERO = float32(0.0)


@contracted
def forward(
    given: np.ndarray, kv: np.ndarray, into: np.ndarray, matrix: np.ndarray, inner: np.ndarray,
    added: np.ndarray, kind: np.ndarray, h: np.ndarray, c: np.ndarray, made: np.ndarray,
    y: np.ndarray, kept: np.ndarray, queries: np.ndarray, heard: np.ndarray, weights: np.ndarray,
) -> None:  # fmt: skip
    """``h`` and ``c`` (B, W) become the last; ``made`` (B, G W + 3 A) begins with U h_0 and P h_0,
    and ends with what the last state makes. Writes the arrays after it.
    """
    steps, batch, width = y.shape
    heard_size, gates = into.shape
    heads, room = added.shape
    past, window, core = kv.shape[1] - steps, int(kind[2]), int(kind[0])
    columns, size = matrix.shape[1], heard_size // heads
    drive, few = np.zeros((batch, gates), float32), np.zeros(room * WIDTH, float32)
    all_kv, all_q, all_heard = kv.ravel(), queries.ravel(), heard.ravel()
    all_weights, right, turns = weights.ravel(), matrix.ravel(), into.ravel()
    sums, drives, states, adds = made.ravel(), drive.ravel(), h.ravel(), added.ravel()
    for t in range(steps):
        begin = past + t - window
        first = max(-begin, 0)
        for row in range(batch):
            drive[row] = given[t, row, :gates]
            query, asked, shift = queries[t, row], given[t, row, gates:], made[row, gates:]
            for j in range(heard_size):
                query[j] = asked[j] + shift[j]
            at = (t * batch + row) * heard_size
            if first == window:
                heard[t, row] = ZERO
                continue
            place = (row * kv.shape[1] + begin) * 2 * heard_size
            attend(
                all_q, at, all_kv, place, 2 * heard_size, adds, kind[1], heads, size, room, first,
                window, all_weights, (t * batch + row) * heads * room, all_heard, few,
            )  # fmt: skip
        here = t * batch * heard_size
        add_products(
            all_heard, here, heard_size, 1, turns, 0, gates, drives, 0, gates,
            batch, heard_size, gates,
        )  # fmt: skip
        for row in range(batch):
            advance(core, drive[row], made[row, :gates], inner, h[row], c[row], kept[t, row])
            y[t, row] = h[row]
        made[:] = ZERO
        add_products(
            states, 0, width, 1, right, 0, columns, sums, 0, columns, batch, width, columns
        )
        for row in range(batch):
            kv[row, past + t] = made[row, gates + heard_size :]


@contracted
def backward(
    dy: np.ndarray, y: np.ndarray, before: np.ndarray, kv: np.ndarray, back: np.ndarray,
    over: np.ndarray, kind: np.ndarray, kept: np.ndarray, queries: np.ndarray, heard: np.ndarray,
    weights: np.ndarray, dh: np.ndarray, dc: np.ndarray, dmade: np.ndarray, dkv: np.ndarray,
    dgiven: np.ndarray, dinto: np.ndarray, dmatrix: np.ndarray, dadded: np.ndarray,
) -> None:  # fmt: skip
    """``back`` (G W, A) and ``over`` (G W + 3 A, W) are ``into`` and ``matrix`` transposed.

    ``before`` (T, B, W) is of a gated unit h, of an LSTM c before each step. ``dh``, ``dc``,
    ``dmade`` and ``dkv`` are slopes of what comes out at last and become those of what goes in at
    first, ``dmade`` but for keys and values. Writes ``dgiven``, adds to the arrays after it;
    ``dadded`` is (B, heads, room).
    """
    steps, batch, width = y.shape
    gates, heard_size = back.shape
    _, heads, room = dadded.shape
    past, window, core = kv.shape[1] - steps, int(kind[2]), int(kind[0])
    columns, size, wide = over.shape[0], heard_size // heads, gates + heard_size
    dheard, none = np.zeros((batch, heard_size), float32), np.zeros(width, float32)
    few, slopes = np.zeros(room * WIDTH, float32), np.zeros(room, float32)
    all_kv, all_q, all_heard, all_dkv = kv.ravel(), queries.ravel(), heard.ravel(), dkv.ravel()
    all_weights, left, turned = weights.ravel(), over.ravel(), back.ravel()
    sums, found, states, changes = dmade.ravel(), dgiven.ravel(), dh.ravel(), dheard.ravel()
    outputs, adds = y.ravel(), dadded.ravel()
    of_into, of_matrix = dinto.ravel(), dmatrix.ravel()
    for t in range(steps - 1, -1, -1):
        begin = past + t - window
        first = max(-begin, 0)
        for row in range(batch):
            dmade[row, wide:] = dkv[row, past + t]
            state, wanted = dh[row], dy[t, row]
            for j in range(width):
                state[j] += wanted[j]
        add_products(sums, 0, columns, 1, left, 0, width, states, 0, width, batch, columns, width)
        here, there = t * batch * width, t * batch * wide
        add_products(
            outputs, here, 1, width, sums, 0, columns, of_matrix, 0, columns, width, batch, columns
        )
        for row in range(batch):
            retreat(
                core, kept[t, row], y[t, row], before[t, row], dh[row], dc[row], none,
                dmade[row, :gates], dgiven[t, row, :gates],
            )  # fmt: skip
        dheard[:] = ZERO
        add_products(
            found, there, wide, 1, turned, 0, heard_size, changes, 0, heard_size,
            batch, gates, heard_size,
        )  # fmt: skip
        add_products(
            all_heard, t * batch * heard_size, 1, heard_size, found, there, wide,
            of_into, 0, gates, heard_size, batch, gates,
        )  # fmt: skip
        for row in range(batch):
            if first == window:
                dgiven[t, row, gates:] = ZERO
            else:
                place = (row * kv.shape[1] + begin) * 2 * heard_size
                one = t * batch + row
                attend_back(
                    changes, row * heard_size, all_q, one * heard_size, all_kv, place,
                    2 * heard_size, kind[1], heads, size, room, first, window, all_weights,
                    one * heads * room, all_dkv, adds, row * heads * room,
                    found, one * wide + gates, slopes, few,
                )  # fmt: skip
            dmade[row, gates:wide] = dgiven[t, row, gates:]
