"""Torch's random numbers, on the processor and on the device of a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

CPU = torch.device("cpu")


@contextmanager
def undisturbed(device: torch.device, seed: int | None = None) -> Iterator[None]:
    """Leave the generators of the processor and of ``device`` as they were; seeded inside."""
    # other devices stay asleep: to ask for their state is to start them
    own = [] if device == CPU else [device]
    with torch.random.fork_rng(own, device_type=device.type if own else "cuda"):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
            if own:
                torch.get_device_module(device).manual_seed(seed)
        yield
