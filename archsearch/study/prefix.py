"""The first trials of a study, shown without copying them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from archsearch.spec.trial import Trial


class Prefix(Sequence[Trial]):
    """The first ``length`` of ``trials``, as they are now and will be.

    A list of a hundred thousand takes milliseconds to copy, since each of them is touched.
    """

    def __init__(self, trials: Sequence[Trial], length: int) -> None:
        self._trials, self._length = trials, max(0, min(length, len(trials)))

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> Trial: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Trial]: ...

    def __getitem__(self, place: int | slice) -> Trial | Sequence[Trial]:
        if isinstance(place, slice):
            return [self._trials[position] for position in range(*place.indices(self._length))]
        if not -self._length <= place < self._length:
            raise IndexError(place)
        return self._trials[place % self._length]
