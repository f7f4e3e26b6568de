"""What goes into and comes out of a model of a task, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Signature:
    """The shapes that a task asks of a model.

    ``inputs``: ``values`` is (batch, time, channels) of floats; ``tokens`` is (batch, time) of
    whole numbers below ``channels``. ``targets``: ``class`` has ``outputs`` classes and logits
    (.., outputs); ``value`` has ``outputs`` real numbers. With ``every_step`` there is one target
    per time step, (batch, time, ..), else one per sequence, (batch, ..). ``length`` is the longest
    training sequence in time steps. With ``whole`` an answer at a step may use the steps after it.
    """

    inputs: Literal["values", "tokens"]
    channels: int
    targets: Literal["class", "value"]
    outputs: int
    every_step: bool
    length: int
    whole: bool = False

    def to_plain(self) -> dict[str, Any]:
        plain = asdict(self)
        # what was written before there were such tasks stays as it was
        if not self.whole:
            del plain["whole"]
        return plain

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Signature:
        return cls(**plain)
