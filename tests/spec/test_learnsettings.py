"""Settings of a learner from text, and what is refused of them."""

from __future__ import annotations

import pytest

from archsearch.errors import InputError
from archsearch.spec.learnsettings import MemorySettings, StateSettings, settings_of


def test_settings_are_read_in_their_own_kind():
    given = [("rate", "0.05"), ("where", "adapter"), ("rank", "3")]
    assert settings_of("memory", given) == MemorySettings(rate=0.05, where="adapter", rank=3)
    assert settings_of("state", [("window", "4")]) == StateSettings(window=4)
    assert settings_of("state") == StateSettings()


@pytest.mark.parametrize(
    ("name", "key", "text", "match"),
    [
        ("state", "window", "0", "window: expected a whole number from 1, got 0"),
        ("state", "window", "1.5", "window: expected a whole number, got '1.5'"),
        ("state", "rate", "fast", "rate: expected a number, got 'fast'"),
        ("state", "rate", "nan", "rate: expected a number above 0, got nan"),
        ("state", "max_norm", "0", "max_norm: expected a number above 0"),
        ("state", "momentum", "0.5", "the learner 'state' has no momentum; it has window, "),
        ("memory", "momentum", "1.5", "momentum: expected a number from 0 to 1, got 1.5"),
        ("memory", "forget", "-0.1", "forget: expected a number from 0 to 1, got -0.1"),
        ("memory", "where", "body", "where: expected head or adapter, got 'body'"),
        ("memory", "rat", "1", "has no rat .did you mean 'rate'.."),
    ],
)
def test_settings_that_do_not_fit(name, key, text, match):
    with pytest.raises(InputError, match=match):
        settings_of(name, [(key, text)])
