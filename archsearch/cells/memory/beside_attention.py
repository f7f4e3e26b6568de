"""A memory and attention in one cell: as its context, behind a gate, or as the layer below it."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from archsearch.cells.attention.attention import Attention
from archsearch.cells.cell import State
from archsearch.cells.linear.stretches import borders

STRETCH = 128  # queries that share one stretch of keys


class LongTerm(Protocol):
    """What is asked of a memory M: sequences (B, T, W) and its states."""

    def remember(self, x: Tensor, state: State, aligned: bool) -> tuple[Tensor, State]:
        """M after and at each position; ``aligned`` where all rows are known to begin a chunk."""

    def frozen(self, state: State) -> State:
        """What :meth:`recall` asks of a state."""

    def recall(self, x: Tensor, frozen: State) -> Tensor:
        """M at each position as it was, nothing being written."""


class Tokens(Attention):
    """Attention whose queries see ``persistent`` learned tokens at every position too.

    The tokens (P, W) have keys and values as inputs have, but no positions.
    """

    def __init__(self, width: int, heads: int, pattern: str, window: int, persistent: int) -> None:
        super().__init__(width, heads, pattern=pattern, window=window)
        self.tokens = nn.Parameter(0.1 * torch.randn(persistent, width)) if persistent else None

    def _learned(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, P, d)."""
        if self.tokens is None:
            empty = q[:, :, :0]
            return empty, empty
        parts = self.project(self.tokens)[:, self.width :].unflatten(-1, (2, self.heads, -1))
        k, v = parts.permute(1, 2, 0, 3).expand(len(q), -1, -1, -1, -1).unbind(1)
        return k, v

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, start: Tensor) -> Tensor:
        if self.tokens is None:
            return super()._attend(q, k, v, start)
        before = k.shape[2] - q.shape[2]
        outputs = []
        for begin in range(0, q.shape[2], STRETCH):
            end = min(begin + STRETCH, q.shape[2])
            first = max(before + begin - self.window + 1, 0)
            i = torch.arange(before + begin, before + end, device=q.device)[:, None]
            j = torch.arange(first, before + end, device=q.device)
            keys, values = k[:, :, first : before + end], v[:, :, first : before + end]
            allowed = self._allowed(i, j, start - before)
            outputs.append(self._over(q[:, :, begin:end], keys, values, allowed))
        return torch.cat(outputs, 2)

    def _over(self, q: Tensor, k: Tensor, v: Tensor, allowed: Tensor) -> Tensor:
        """Over the tokens, and the keys that ``allowed`` (..., T, S) lets each query see."""
        token_k, token_v = self._learned(q)
        always = allowed.new_ones(*allowed.shape[:-1], token_k.shape[2])
        k, v = torch.cat([token_k, k], 2), torch.cat([token_v, v], 2)
        return scaled_dot_product_attention(q, k, v, attn_mask=torch.cat([always, allowed], -1))


class Context(Tokens):
    """Attention within segments of ``window`` positions, over what was found for them too.

    State: keys and values of the positions x and of what was found for them, (B, H, 2, S, d) each
    with S < window, and the position of each row (B,).
    """

    def __init__(self, width: int, heads: int, window: int, persistent: int) -> None:
        super().__init__(width, heads, "chunked", window, persistent)

    def among(self, x: Tensor, found: Tensor, state: State) -> tuple[Tensor, State]:
        old_k, old_v, start = state
        length = x.shape[1]
        positions = start[:, None] + torch.arange(length, device=x.device)
        q, k, v = self._split(torch.cat([x, found], 1), positions.repeat(1, 2))
        k, v = (
            torch.cat([old, part.unflatten(2, (2, length))], 3)
            for old, part in ((old_k, k), (old_v, v))
        )
        before = k.shape[3] - length
        i = torch.arange(before, before + length, device=x.device)[:, None]
        allowed = self._allowed(i, torch.arange(k.shape[3], device=x.device), start - before)
        allowed = allowed.repeat(1, 1, 1, 2)
        y = self._over(q[:, :, :length], k.flatten(2, 3), v.flatten(2, 3), allowed)
        y = self.output(y.transpose(1, 2).flatten(2))
        k, v = (part[:, :, :, max(part.shape[3] - self.window + 1, 0) :] for part in (k, v))
        return y, (k, v, start + length)

    def initial_state(self, batch: int) -> State:
        empty = self.zeros(batch, self.heads, 2, 0, self.head_size)
        return empty, empty, self.counters(batch)


class Gate(nn.Module):
    """rms(y) sigmoid(rms(m)) of the answers y of attention and m of a memory, (B, T, W) each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.near = nn.RMSNorm(width, eps=1e-5)
        self.far = nn.RMSNorm(width, eps=1e-5)

    def forward(self, y: Tensor, m: Tensor) -> Tensor:
        return self.near(y) * torch.sigmoid(self.far(m))


def attended(
    memory: LongTerm, attention: Tokens, gate: Gate | None, x: Tensor, state: State, fresh: bool
) -> tuple[Tensor, State]:
    """Over all of ``x`` at once: with a gate beside the memory, without one on top of it."""
    past, seen = state
    m, past = memory.remember(x, past, fresh)
    y, seen = attention(x if gate is not None else m, None if fresh else seen)
    return (y if gate is None else gate(y, m)), (past, seen)


def in_segments(
    memory: LongTerm, attention: Context, gate: Gate, x: Tensor, state: State, fresh: bool
) -> tuple[Tensor, State]:
    """Segment by segment, as what the memory knows at its start is what a segment is given."""
    past, seen, known = state
    start, window = seen[-1], attention.window
    outputs, begin = [], 0
    for end in borders(x.shape[1], window, None if fresh else start):
        part = x[:, begin:end]
        y, seen = attention.among(part, memory.recall(part, known), seen)
        m, past = memory.remember(y, past, fresh)
        outputs.append(gate(y, m))
        begin = end
        if not fresh:
            here = (start + end) % window == 0
            known = _where(here, memory.frozen(past), known)
        elif end % window == 0:
            known = memory.frozen(past)
    return torch.cat(outputs, 1), (past, seen, known)


def _where(here: Tensor, new: State, old: State) -> State:
    """The rows ``here`` (B,) of the one state and the others of the other."""
    return tuple(
        _where(here, one, other)
        if isinstance(one, tuple)
        else torch.where(here.view(-1, *(1,) * (one.ndim - 1)), one, other)
        for one, other in zip(new, old, strict=True)
    )
