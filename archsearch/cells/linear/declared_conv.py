"""The two options of every cell with a short convolution."""

from __future__ import annotations

from archsearch.spec.option import Option, choice

BEFORE = "a short causal convolution before everything"
ON_QKV = "a short causal convolution on queries, keys and values"


def short_conv(*taps: int, at: str = "the short causal convolution") -> dict[str, Option]:
    """``conv``, of which the first number of taps is the default, and how its weights start."""
    start = choice(
        *("uniform", "identity"),
        doc="its first weights: drawn alike, or those that pass each position through",
    )
    some = tuple(count for count in taps if count)
    return {
        "conv": choice(*taps, doc=f"taps of {at}"),
        "conv_start": start.added_later().only_when(conv=some),
    }
