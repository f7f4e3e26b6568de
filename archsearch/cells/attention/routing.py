"""Routing attention: a query looks at the earlier keys of its own cluster."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, scaled_dot_product_attention

from archsearch.blocks.padding import real_positions
from archsearch.cells.attention.centroids import Centroids
from archsearch.cells.attention.clustered import clustered_attention
from archsearch.cells.attention.distance_bias import looked_up
from archsearch.cells.attention.sparse import window_attention
from archsearch.cells.cell import Cell, State, split_width
from archsearch.kernels.projections.projected import projected

SORTED_FROM = 256  # positions; below, masked products are faster


class Routing(Cell):
    """Half of the heads look at the last ``window`` positions, half at those of the same cluster.

    In a routed head queries and keys have length one, and go to the nearest of ``clusters``
    :class:`Centroids` each; o_i = sum_j softmax_j(sqrt(d) q_i'k_j) v_j over the j <= i whose key is
    in the cluster of query i, and over j = i (Roy et al. 2020, arXiv 2003.05997, section 4). There
    every cluster takes its best tokens of the whole sequence, later ones too, and drops the rest;
    here each position goes where it is nearest, so that nothing depends on the future and clusters
    differ in size; a long sequence is sorted by them, where that saves most pairs. A local head
    adds a learned bias per distance.

    Centroids learn in training only, where gradients are wanted, from the queries and keys of a
    whole sequence after it has been answered; ``commitment`` weighs the paper's additional loss on
    both, their mean square distance from the centroids, and is zero here if not said.
    State: keys and values of the local heads (B, L, up to window - 1, d), those of the routed
    heads (B, R, S, d), and the clusters of those keys (B, R, S).
    """

    role = "attention"

    compares = True

    def __init__(
        self,
        width: int,
        heads: int = 4,
        clusters: int = 8,
        window: int = 16,
        decay: float = 0.99,
        commitment: float = 0.0,
    ) -> None:
        super().__init__(width)
        self.commitment = commitment
        self.heads, self.window = heads, window
        self.head_size = split_width(width, heads)
        self.local = heads // 2
        self.centroids = Centroids(heads - self.local, clusters, self.head_size, decay)
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        for weight in (*self.project.weight.chunk(3), self.output.weight):
            nn.init.xavier_uniform_(weight)
        self.bias = nn.Parameter(torch.zeros(self.local, window)) if self.local else None

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        y, state, points = self._read(x, self.initial_state(len(x)) if state is None else state)
        # what is computed again for its gradient must meet the centroids that it met at first
        if self.training and torch.is_grad_enabled():
            real = real_positions(x)
            self.centroids.learn(points, None if real is None else real.repeat(1, 2))
        return y, state

    def _read(self, x: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """Outputs, the state, and the queries and keys (B, R, 2 T, d) of the routed heads."""
        old_k, old_v, far_k, far_v, old_clusters = state
        parts = projected(self.project, x).unflatten(-1, (-1, self.head_size)).transpose(1, 2)
        near, far = zip(
            *(part.split([self.local, self.heads - self.local], 1) for part in parts.chunk(3, 1)),
            strict=True,
        )
        q, k, v = near
        k, v = torch.cat([old_k, k], 2), torch.cat([old_v, v], 2)
        found = [self._look_near(q, k, v)] if self.local else []
        kept = max(k.shape[2] - (self.window - 1), 0)

        q, own_k, own_v = normalize(far[0], dim=-1), normalize(far[1], dim=-1), far[2]
        if self.commitment and self.training and q.requires_grad:
            for points in (q, own_k):
                self.centroids.attract(points, self.commitment, real_positions(x))
        of_query, of_key = self.centroids(q), self.centroids(own_k)
        clusters = torch.cat([old_clusters, of_key], 2)
        far_k, far_v = torch.cat([far_k, own_k], 2), torch.cat([far_v, own_v], 2)
        found.append(self._look_far(q, far_k, far_v, of_query, clusters))

        y = projected(self.output, torch.cat(found, 1).transpose(1, 2).flatten(2))
        after = (k[:, :, kept:], v[:, :, kept:], far_k, far_v, clusters)
        return y, after, torch.cat([q, own_k], 2)

    def _look_far(
        self, q: Tensor, k: Tensor, v: Tensor, of_query: Tensor, of_key: Tensor
    ) -> Tensor:
        scale = math.sqrt(self.head_size)
        if q.shape[2] == k.shape[2] > SORTED_FROM:
            count = self.centroids.middle.shape[1]
            packed = clustered_attention(q, k, v, of_query, of_key, count, scale)
            if packed is not None:
                return packed
        distance = _distance(q, k)
        alike = of_query[..., None] == of_key[:, :, None]  # (B, R, T, S)
        allowed = (alike & (distance > 0)) | (distance == 0)
        return scaled_dot_product_attention(q, k, v, attn_mask=allowed, scale=scale)

    def _look_near(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        assert self.bias is not None
        if q.shape[2] > SORTED_FROM + self.window:
            return window_attention(q, k, v, self.window, looked_up(self.bias), False)
        distance = _distance(q, k)
        hidden = (distance < 0) | (distance >= self.window)
        bias = self.bias[:, distance.clamp(0, self.window - 1)].masked_fill(hidden, -math.inf)
        return scaled_dot_product_attention(q, k, v, attn_mask=bias)

    def initial_state(self, batch: int) -> State:
        near = self.zeros(batch, self.local, 0, self.head_size)
        far = self.zeros(batch, self.heads - self.local, 0, self.head_size)
        return near, near, far, far, torch.zeros_like(far[..., 0], dtype=torch.long)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state, _ = self._read(x[:, None], state)
        return y[:, 0], state


def _distance(q: Tensor, k: Tensor) -> Tensor:
    """How far each key stands before each query, (T, S); the last T keys are at the queries'."""
    place = torch.arange(k.shape[2], device=k.device)
    return place[k.shape[2] - q.shape[2] :, None] - place
