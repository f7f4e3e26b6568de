"""The loop back through a stabilised memory; see ``stabilised_loops`` for what it goes back on."""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import (
    WIDTH,
    fused,
    load,
    product,
    repeated,
    splat,
    store,
    total,
    transpose,
)
from archsearch.kernels.memories.stabilised.stabilised_rows import (
    blank,
    gather,
    scatter,
    totals,
    turn,
)
from archsearch.kernels.memories.stabilised.stabilised_tiles import TALL, join, multiply

contracted = partial(compiled, contracted=True)


@contracted
def backward(
    dout: np.ndarray,
    out: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    shares: np.ndarray,
    sums: np.ndarray,
    scores: np.ndarray,
    before: np.ndarray,
    dheld: np.ndarray,
    dq: np.ndarray,
    dk: np.ndarray,
    dv: np.ndarray,
    dlogs: np.ndarray,
    places: np.ndarray,
) -> None:
    """``dheld`` is the slope of the memory left, then of the first.

    ``dq``, ``dk`` (B, T, H, K) and ``dv`` (B, T, H, V) are contiguous; ``dlogs`` (2, B, T, H) are
    the slopes of the logarithms of the shares kept and added.
    """
    batch, steps, heads, keys, values = places[:5]
    q_row, q_apart, q_head, k_row, k_apart, k_head, v_row, v_apart, v_head = places[5:]
    wide, wide_v = keys + -keys % WIDTH, values + -values % WIDTH
    area, chunks = wide * wide_v, (steps + WIDTH - 1) // WIDTH
    whole = area + wide
    kind = out.dtype.type
    dout, dq, dk, dv = dout.ravel(), dq.ravel(), dk.ravel(), dv.ravel()
    zero, one = splat(kind(0)), splat(kind(1))
    dstates = blank(whole, out)  # (K, V) and n
    slopes, states = blank(area, out), blank(area, out)  # (V, K)
    query, key = blank(WIDTH * wide, out), blank(WIDTH * wide, out)
    dquery, dkey = blank(WIDTH * wide, out), blank(WIDTH * wide, out)
    asked, value = blank(WIDTH * wide_v, out), blank(WIDTH * wide_v, out)
    dvalue, turned = blank(WIDTH * wide_v, out), blank(WIDTH * wide_v, out)
    square = WIDTH * WIDTH
    dscores, joint = blank(square, out), blank(square, out)
    parts, others = blank(square, out), blank(square, out)
    swap = blank(square, out)
    own, below = blank(square, out), blank(square, out)
    reaches, left = blank(WIDTH, out), blank(WIDTH, out)
    along, dsums = blank(WIDTH, out), blank(WIDTH, out)
    arrived, dkept = blank(WIDTH, out), blank(WIDTH, out)
    for i in range(WIDTH):
        own[i * WIDTH + i] = 1
        for j in range(i):
            below[i * WIDTH + j] = 1
    for n in range(batch):
        for h in range(heads):
            for i in range(keys):
                for j in range(values):
                    dstates[i * wide_v + j] = dheld[n, h, i, j]
                dstates[area + i] = dheld[n, h, i, values]
            for chunk in range(chunks - 1, -1, -1):
                first = chunk * WIDTH
                count = min(WIDTH, steps - first)
                save = (n * heads + h) * chunks + chunk
                state, score = save * whole, save * square
                norm = state + area
                q_at = n * q_row + first * q_apart + h * q_head
                k_at = n * k_row + first * k_apart + h * k_head
                v_at = n * v_row + first * v_apart + h * v_head
                place = ((n * steps + first) * heads + h) * values
                key_place = ((n * steps + first) * heads + h) * keys
                gather(q, q_at, q_apart, keys, count, query, wide)
                gather(k, k_at, k_apart, keys, count, key, wide)
                gather(v, v_at, v_apart, values, count, value, wide_v)
                # through the quotient
                gather(dout, place, heads * values, values, count, asked, wide_v)
                for i in range(count):
                    part = zero
                    if values == wide_v:
                        for c in range(0, wide_v, WIDTH):
                            answer = load(out, place + i * heads * values + c)
                            part = fused(load(asked, i * wide_v + c), answer, part)
                    else:
                        for c in range(values):
                            answer = out[n, first + i, h, c] * asked[i * wide_v + c]
                            part = fused(splat(answer), load(own, 0), part)
                    store(parts, i * WIDTH, part)
                totals(parts, swap, along)
                for i in range(count):
                    sum_, least = sums[n, first + i, h], shares[2, n, first + i, h]
                    size = abs(sum_)
                    inverse = kind(1) / (least if size < least else size)
                    dsum = kind(0) if size < least else -along[i] * inverse
                    dsums[i] = dsum if sum_ > 0 else -dsum
                    for c in range(0, wide_v, WIDTH):
                        slope = product(splat(inverse), load(asked, i * wide_v + c))
                        store(asked, i * wide_v + c, slope)
                for i in range(count, WIDTH):
                    dsums[i] = 0
                # within the chunk
                turn(value, WIDTH, wide_v, turned)
                multiply(
                    asked, 0, wide_v, 1, turned, 0, WIDTH, dscores, 0, WIDTH, WIDTH, WIDTH, wide_v
                )
                fade, reach = zero, kind(1)
                for i in range(count):
                    kept = shares[0, n, first + i, h]
                    share = splat(shares[1, n, first + i, h])
                    fade = fused(splat(kept), fade, product(share, load(own, i * WIDTH)))
                    slope = fused(one, load(dscores, i * WIDTH), repeated(dsums, i))
                    store(dscores, i * WIDTH, product(slope, fade))
                    store(joint, i * WIDTH, product(slope, load(scores, score + i * WIDTH)))
                    reach *= kept
                    reaches[i] = reach
                for i in range(count, WIDTH):
                    store(dscores, i * WIDTH, zero)
                    store(joint, i * WIDTH, zero)
                    reaches[i] = 0
                store(left, 0, fade)
                # what came from before the chunk
                for i in range(0, wide, WIDTH):
                    for j in range(0, wide_v, WIDTH):
                        transpose(
                            before, state + i * wide_v + j, wide_v, states, j * wide + i, wide
                        )
                        at = i * wide_v + j
                        transpose(dstates, at, wide_v, slopes, j * wide + i, wide)
                multiply(asked, 0, wide_v, 1, states, 0, wide, dquery, 0, wide, WIDTH, wide, wide_v)
                for i in range(WIDTH):
                    part, far = zero, repeated(reaches, i)
                    for c in range(0, wide, WIDTH):
                        back = fused(
                            repeated(dsums, i), load(before, norm + c), load(dquery, i * wide + c)
                        )
                        back, seen = product(far, back), load(query, i * wide + c)
                        part = fused(back, seen, part)
                        store(dquery, i * wide + c, back)
                    store(parts, i * WIDTH, part)
                # what is left behind it
                multiply(value, 0, wide_v, 1, slopes, 0, wide, dkey, 0, wide, WIDTH, wide, wide_v)
                for i in range(WIDTH):
                    part, share = zero, repeated(left, i)
                    for c in range(0, wide, WIDTH):
                        back = fused(one, load(dstates, area + c), load(dkey, i * wide + c))
                        back = product(share, back)
                        part = fused(back, load(key, i * wide + c), part)
                        store(dkey, i * wide + c, back)
                    store(others, i * WIDTH, part)
                totals(others, swap, arrived)
                even, odd = zero, zero  # an area is a multiple of 256
                for i in range(0, area, 2 * WIDTH):
                    even = fused(load(before, state + i), load(dstates, i), even)
                    at = i + WIDTH
                    odd = fused(load(before, state + at), load(dstates, at), odd)
                for c in range(0, wide, WIDTH):
                    even = fused(load(before, norm + c), load(dstates, area + c), even)
                through = reach * total(fused(one, even, odd))
                # a share kept is in all paths from before its position to it and beyond
                later, far = zero, zero
                for i in range(WIDTH - 1, -1, -1):
                    later = fused(one, load(joint, i * WIDTH), later)
                    far = fused(one, load(parts, i * WIDTH), far)
                    store(parts, i * WIDTH, fused(later, load(below, i * WIDTH), far))
                totals(parts, swap, dkept)
                store(along, 0, fused(one, load(arrived, 0), later))
                for i in range(count):
                    dlogs[0, n, first + i, h] = dkept[i] + through
                    dlogs[1, n, first + i, h] = along[i]
                    through += arrived[i]
                for i in range(0, WIDTH, TALL):
                    join(
                        kind(1),
                        dscores,
                        i * WIDTH,
                        WIDTH,
                        1,
                        key,
                        0,
                        wide,
                        dquery,
                        i * wide,
                        wide,
                        TALL,
                        wide,
                        i + TALL,
                    )
                    join(
                        kind(1),
                        dscores,
                        i * WIDTH + i,
                        1,
                        WIDTH,
                        query,
                        i * wide,
                        wide,
                        dkey,
                        i * wide,
                        wide,
                        TALL,
                        wide,
                        WIDTH - i,
                    )
                for i in range(count):
                    for c in range(0, wide, WIDTH):
                        at = i * wide + c
                        store(query, at, product(repeated(reaches, i), load(query, at)))
                        store(key, at, product(repeated(left, i), load(key, at)))
                multiply(
                    key,
                    0,
                    wide,
                    1,
                    dstates,
                    0,
                    wide_v,
                    dvalue,
                    0,
                    wide_v,
                    WIDTH,
                    wide_v,
                    wide,
                )
                for i in range(0, WIDTH, TALL):
                    join(
                        kind(1),
                        scores,
                        score + i * WIDTH + i,
                        1,
                        WIDTH,
                        asked,
                        i * wide_v,
                        wide_v,
                        dvalue,
                        i * wide_v,
                        wide_v,
                        TALL,
                        wide_v,
                        WIDTH - i,
                    )
                join(
                    reach,
                    query,
                    0,
                    1,
                    wide,
                    asked,
                    0,
                    wide_v,
                    dstates,
                    0,
                    wide_v,
                    wide,
                    wide_v,
                    WIDTH,
                )
                for c in range(0, wide, WIDTH):
                    slope = product(splat(reach), load(dstates, area + c))
                    for i in range(count):
                        slope = fused(repeated(dsums, i), load(query, i * wide + c), slope)
                    store(dstates, area + c, slope)
                scatter(dvalue, wide_v, count, dv, place, heads * values, values)
                scatter(dquery, wide, count, dq, key_place, heads * keys, keys)
                scatter(dkey, wide, count, dk, key_place, heads * keys, keys)
            for i in range(keys):
                for j in range(values):
                    dheld[n, h, i, j] = dstates[i * wide_v + j]
                dheld[n, h, i, values] = dstates[area + i]
