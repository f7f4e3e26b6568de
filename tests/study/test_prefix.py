"""A prefix of the trials: what a slice says, without one."""

from __future__ import annotations

from typing import Any

import pytest

from archsearch.study.prefix import Prefix


@pytest.mark.parametrize("length", [-3, 0, 1, 4, 7, 9])
def test_it_is_the_slice(length: int) -> None:
    trials: Any = list("abcdefg")
    prefix, plain = Prefix(trials, length), trials[: max(length, 0)]
    assert list(prefix) == plain
    assert len(prefix) == len(plain)
    for place in range(-9, 10):
        if -len(plain) <= place < len(plain):
            assert prefix[place] == plain[place]
        else:
            with pytest.raises(IndexError):
                prefix[place]
        for last in range(-9, 10):
            assert prefix[place:last] == plain[place:last]
    assert prefix[::-2] == plain[::-2]


def test_it_shows_what_a_trial_has_become_and_none_that_came_later() -> None:
    trials: Any = ["running", "running"]
    prefix = Prefix(trials, 2)
    trials[0] = "complete"
    trials.append("new")
    assert list(prefix) == ["complete", "running"]
