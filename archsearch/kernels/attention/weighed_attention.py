"""One head of attention whose weights may be of several kinds, in stretches of queries."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from archsearch.kernels.choose import accelerated

STRETCH = 64  # queries
MIDDLE, SPREAD = math.sqrt(0.5), math.sqrt(0.25 / math.pi)


@accelerated(cpu="archsearch.kernels.attention.weighed_attention_cpu:weighed_attention")
def weighed_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    added: Tensor | None,
    there: Tensor,
    kind: str,
    window: int | None,
) -> Tensor:
    """sum_j w_ij v_j over the keys j that i sees, (B, T, V), with w of :func:`weigh`.

    ``q`` is (B, T, Z), ``k`` (B, S, Z) and ``v`` (B, S, V), the last T keys being at the queries'
    own positions. Query i sees those up to its own, ``window`` of them unless it is None, and of
    these the ones that are ``there`` (B, S). ``added`` (D,) goes by the distance, those beyond the
    last sharing the last. Work and memory are those of a stretch of queries at a time.
    """
    k, v = marked(k, v)
    found = [
        met(q[:, own], k[:, seen], v[:, seen], added, there[:, seen], kind, at)
        for own, seen, at in stretches(q, k, window)
    ]
    return torch.cat(found, 1)


class Distances(NamedTuple):
    """How far each key stands before each query (T, S), and whether it is near enough."""

    far: Tensor
    near: Tensor


def distances(queries: Tensor, keys: Tensor, window: int | None) -> Distances:
    """Of the places (T,) of queries and (S,) of keys."""
    far = queries[:, None] - keys
    return Distances(far, far >= 0 if window is None else far.ge(0) & (far < window))


def stretches(q: Tensor, k: Tensor, window: int | None) -> Iterator[tuple[slice, slice, Distances]]:
    """Some queries, the keys that any of them sees, and how far these are, until all were met."""
    past = k.shape[1] - q.shape[1]
    for begin in range(0, q.shape[1], STRETCH):
        end = min(begin + STRETCH, q.shape[1])
        first = 0 if window is None else max(past + begin - window + 1, 0)
        place = torch.arange(first, past + end, device=q.device)
        at = distances(place[past + begin - first :], place, window)
        yield slice(begin, end), slice(first, past + end), at


def marked(k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values (B, S, ..) with what is no number in a value moved to its key.

    Nothing times a missing number is missing: a value would reach those that do not see it as well.
    """
    lost = (0 * v.detach()).sum(-1, keepdim=True)  # zero or missing
    return k + lost, v.masked_fill(lost != 0, 0.0)


def met(
    q: Tensor, k: Tensor, v: Tensor, added: Tensor | None, there: Tensor, kind: str, at: Distances
) -> Tensor:
    """What queries (.., T, Z) find among keys (.., S, Z) and values (.., S, V): (.., T, V).

    Of the keys those that are near enough and ``there`` (.., S).
    """
    bias = 0.0 if added is None else added[at.far.clamp(0, len(added) - 1)]
    allowed = at.near & there[..., None, :]  # (.., T, S)
    return weigh(q @ k.mT, bias, allowed, kind, q.shape[-1]) @ v


def laplace(scores: Tensor) -> Tensor:
    """(1 + erf((s - m) / (d sqrt 2))) / 2, m = sqrt(1 / 2), d = sqrt(1 / 4 pi): near relu(s)^2.

    Ma et al. 2022, arXiv 2209.10655, equation 17.
    """
    return (1 + torch.erf((scores - MIDDLE) / (SPREAD * math.sqrt(2)))) / 2


def weigh(products: Tensor, bias: Tensor | float, allowed: Tensor, kind: str, size: int) -> Tensor:
    """Weights of the ``allowed`` keys from q'k (.., T, S) of vectors of length ``size``.

    relu2: relu(q'k / n + b)^2 with n keys in sight, the bias behind the division; laplace
    likewise; softmax: of q'k / sqrt(size) + b. A row without keys is zero.
    """
    if kind == "softmax":
        scores = products * size**-0.5 + bias
        scores = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(-1)
        return scores.masked_fill(~allowed, 0.0)
    scores = products / allowed.sum(-1, keepdim=True).clamp_min(1) + bias
    weights = laplace(scores) if kind == "laplace" else torch.relu(scores).square()
    return weights.masked_fill(~allowed, 0.0)
