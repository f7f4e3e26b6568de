"""What a scalar means: the YAML 1.2 core rules, and the units of times, costs and memory."""

from __future__ import annotations

import re
from typing import Literal

from archsearch.spec.positions import Scalar

NULLS = ("", "~", "null", "Null", "NULL")
TRUTHS = {word: word.lower() == "true" for word in ("true", "True", "TRUE")} | {
    word: False for word in ("false", "False", "FALSE")
}
LONGEST_NUMBER = 400

_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_OTHER_RADIX = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_REAL = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = {
    sign + word: float(sign + word[1:])
    for sign in ("", "+", "-")
    for word in (".inf", ".Inf", ".INF")
} | {word: float("nan") for word in (".nan", ".NaN", ".NAN")}
_ALMOST = re.compile(r"[-+]?0*([0-9][0-9_,']*(\.[0-9]*)?([eE][-+]?[0-9]+)?)")
_DECIMAL_COMMA = re.compile(r"([0-9]+),([0-9]{1,2}|[0-9]{4,})(?![0-9])")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_DURATION = re.compile(_NUMBER + r"\s?([smhd])")
_MEMORY = re.compile(_NUMBER + r"\s?([KMGT]i?B|B)")
_COST = re.compile(_NUMBER + r"\s?(cpu|gpu)-(second|minute|hour|day)s?")
_BOUND = re.compile(r"(<=|>=|<|>)\s*(\S{1,40})")


def resolve(node: Scalar) -> bool | int | float | str | None:
    """The value of a scalar: quoted is text; ``no``, ``1_000``, ``010`` and dates are too."""
    text = node.text
    if not node.plain:
        return text
    if text in NULLS:
        return None
    if text in TRUTHS:
        return TRUTHS[text]
    if text in _SPECIAL:
        return _SPECIAL[text]
    if len(text) > LONGEST_NUMBER:
        return text
    if _WHOLE.fullmatch(text):
        return int(text)
    if _OTHER_RADIX.fullmatch(text):
        return int(text, 0)
    if _REAL.fullmatch(text):
        # adding zero turns -0.0, which is equal to 0.0 but spelled apart, into 0.0
        return float(text) + 0.0
    return text


def whole(node: Scalar) -> bool | int | float | str | None:
    """As :func:`resolve`, with ``1e4`` as the whole number that it is."""
    value = resolve(node)
    exponent = isinstance(value, float) and "e" in node.text.lower()
    if isinstance(value, float) and exponent and abs(value) <= 2**53 and value.is_integer():
        return int(value)
    return value


def number_hint(node: Scalar) -> str:
    """`` (did you mean 1000?)`` for texts that look like a number."""
    found = _ALMOST.fullmatch(node.text) if len(node.text) < 40 else None
    if found is None or isinstance(resolve(node), int | float):
        return ""
    digits = _DECIMAL_COMMA.sub(r"\1.\2", found[1]) if found[1].count(",") == 1 else found[1]
    return f" (did you mean {re.sub('[_,' + chr(39) + ']', '', digits)}?)"


def duration(text: str) -> float:
    """Seconds of ``90s``, ``10m``, ``2h`` or ``1d``, a year at most; raises ValueError."""
    amount, unit = _parts(_DURATION, text)
    return _within(float(amount) * _SECONDS[unit], 1e-3, 366 * 86400)


def memory(text: str) -> int:
    """Bytes of ``512MB``, ``4GB`` or ``4GiB``, from 1 MiB to 1 PiB; raises ValueError."""
    amount, unit = _parts(_MEMORY, text)
    return round(_within(float(amount) * _BYTES[unit], 2**20, 2**50))


def cost(text: str) -> tuple[Literal["cpu", "gpu"], float]:
    """The resource and the seconds of ``2 gpu-hours`` or ``30 cpu-minutes``; raises ValueError."""
    amount, resource, unit = _parts(_COST, text)
    seconds = _within(float(amount) * _SECONDS[unit[0]], 1e-3, 1e6 * 86400)
    return "gpu" if resource == "gpu" else "cpu", seconds


def bound(text: str) -> tuple[str, float]:
    """The operator and the number of ``<= 200000``; raises ValueError."""
    operator, number = _parts(_BOUND, text)
    if not _REAL.fullmatch(number):
        raise ValueError(text)
    return operator, _within(float(number), -1e300, 1e300)


def _within(value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ValueError(value)
    return value


def _parts(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    found = pattern.fullmatch(text.strip()) if len(text) <= 60 else None
    if found is None:
        raise ValueError(text)
    return found.groups()
