"""Trained parameters on disk: safetensors, and either the whole file or none."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors.torch import save
from torch import nn


def keep_weights(model: nn.Module, path: Path) -> None:
    """Write the parameters and buffers to ``path``; equal weights give equal files.

    A crash at any moment leaves the old file or the new one, never a part.
    """
    # shared weights are written out once for each name
    state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with unfinished.open("wb") as file:
        file.write(save(state))
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
