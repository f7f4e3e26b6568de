"""One model skeleton around every cell of the catalog and around torch's own sequence layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from archsearch.cells.declared import CELLS
from archsearch.plugins import implementation

WIDTH, DEPTH, ROWS, STEPS, INPUTS = 64, 2, 32, 256, 16
HEADS, FEEDFORWARD = 4, 4 * WIDTH  # of torch's encoder layer


@dataclass(frozen=True)
class Candidate:
    """What mixes the sequence, and the kind it belongs to."""

    family: str
    build: Callable[[], nn.Module]


class Encoder(nn.Module):
    """torch's encoder layer under a causal mask, feed-forward part included."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, FEEDFORWARD, dropout=0.0, batch_first=True, norm_first=True
        )

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[()]]:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.layer(x, src_mask=mask, is_causal=True), ()


class Skeleton(nn.Module):
    """Linear in, ``DEPTH`` times x + mixer(norm(x)), norm, linear out; an answer at every step."""

    def __init__(self, mixer: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(INPUTS, WIDTH), nn.Linear(WIDTH, 1)
        self.norms = nn.ModuleList(nn.RMSNorm(WIDTH, eps=1e-5) for _ in range(DEPTH + 1))
        self.mixers = nn.ModuleList(mixer() for _ in range(DEPTH))

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.embed(x)
        for norm, mixer in zip(self.norms, self.mixers, strict=False):
            h = h + mixer(norm(h))[0]
        out: Tensor = self.head(self.norms[-1](h))
        return out


def candidates() -> dict[str, Candidate]:
    """torch's layers, then every cell at its default options, as long as the sequences."""
    found = {
        "nn.LSTM": Candidate("torch", partial(nn.LSTM, WIDTH, WIDTH, batch_first=True)),
        "nn.GRU": Candidate("torch", partial(nn.GRU, WIDTH, WIDTH, batch_first=True)),
        "nn.TransformerEncoderLayer": Candidate("torch", Encoder),
    }
    for cell in CELLS:
        family = str(cell.target).split(".")[2]
        sizes = {"length": STEPS} if "length" in cell.options else {}
        build = partial(implementation(cell), WIDTH, **sizes)
        found[cell.name] = Candidate(family, build)
        wide = "expand" in cell.options and cell.options["expand"].default == 2.0
        if wide and family == "linear":
            # by default twice as wide inside as others are
            found[f"{cell.name}(expand=1)"] = Candidate(family, partial(build, expand=1.0))
    return found


def trained(mixer: Callable[[], nn.Module]) -> Callable[[], object]:
    """One training step of a fresh model, on the same batch every time."""
    torch.manual_seed(0)
    model = Skeleton(mixer)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
    x, y = torch.randn(ROWS, STEPS, INPUTS), torch.randn(ROWS, STEPS, 1)

    def step() -> None:
        optimizer.zero_grad()
        mse_loss(model(x), y).backward()
        optimizer.step()

    return step
