"""Unit vectors that follow the directions of what passes by, without gradient: online k-means."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from archsearch.blocks.padding import positions

ITERATIONS = 10  # of Lloyd, at the start


class Centroids(nn.Module):
    """``count`` unit vectors (heads, count, size), each the middle of the points nearest to it.

    They are buffers: saved with the weights, moved by :meth:`learn` only. The first points that
    are learned from give the start, drawn among them and improved by Lloyd's iterations; later
    ones move each centroid by 1 - ``decay`` of the way to the mean direction of its points. One
    without points stays (Roy et al. 2020, arXiv 2003.05997, section 4.1).
    """

    def __init__(self, heads: int, count: int, size: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("middle", normalize(torch.randn(heads, count, size), dim=-1))
        self.register_buffer("started", torch.zeros(1, dtype=torch.bool))

    def forward(self, points: Tensor) -> Tensor:
        """The nearest centroid (B, H, T) of each point (B, H, T, d), by the angle."""
        return nearest(points.detach(), self.middle)

    def attract(self, points: Tensor, weight: float, real: Tensor | None = None) -> None:
        """Adds what ``weight`` times the mean square to the nearest centroid gives as gradient.

        It is added where the gradient of ``points`` (B, H, T, d) passes, so that no loss is needed;
        with ``real`` (B, T) for the points of real positions.
        """
        middle = self.middle[torch.arange(len(self.middle))[:, None], self(points)]
        pull = 2 * weight * positions().portion * (points.detach() - middle.to(points.dtype))
        if real is None:
            pull = pull / points.numel()
        else:
            # of a position: heads times size
            pull = pull * real[:, None, :, None] / (real.sum() * points[0, :, 0].numel())
        points.register_hook(lambda gradient: gradient + pull)

    @torch.no_grad()
    def learn(self, points: Tensor, real: Tensor | None = None) -> None:
        """From unit vectors (B, H, T, d); draws from the global generator when it begins.

        With ``real`` (B, T) from those of real positions.
        """
        points = points.detach().transpose(0, 1).to(self.middle.dtype)
        points = points.flatten(1, 2) if real is None else points[:, real]  # (H, N, d)
        # small steps, which half precision would round to none
        with torch.autocast(points.device.type, enabled=False):
            if not points.shape[1]:
                return
            if self.started:
                self._follow(points)
            else:
                self._begin(points)

    def _follow(self, points: Tensor) -> None:
        means, found = mean_directions(points, self.middle)
        # as if all calls of a pass were one
        decay = self.decay ** positions().portion
        moved = normalize(torch.lerp(means, self.middle, decay), dim=-1)
        self.middle.copy_(torch.where(found, moved, self.middle))

    def _begin(self, points: Tensor) -> None:
        # on the CPU, whose generator a checkpoint holds
        chosen = torch.randperm(points.shape[1])[: self.middle.shape[1]]
        self.middle[:, : len(chosen)] = points[:, chosen.to(points.device)]
        for _ in range(ITERATIONS):
            means, found = mean_directions(points, self.middle)
            self.middle.copy_(torch.where(found, means, self.middle))
        self.started.fill_(True)


def nearest(points: Tensor, middle: Tensor) -> Tensor:
    # in single precision at least, whatever autocast would make of it
    with torch.autocast(points.device.type, enabled=False):
        return (points.to(middle.dtype) @ middle.mT).argmax(-1)


def mean_directions(points: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
    """Of the points (H, N, d) nearest to each centroid (H, C, d), and where there are any."""
    belongs = nn.functional.one_hot(nearest(points, middle), middle.shape[1]).to(points.dtype)
    means = normalize(belongs.mT @ points, dim=-1)
    return means, belongs.sum(1)[..., None] > 0
