"""What the preparation of a bundle must look like: it comes from a file that anybody may change."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from archsearch.errors import StateError
from archsearch.spec.signature import Signature
from archsearch.spec.untrusted import shown

# those of a file, and those of a task whose preparation was never written
LISTS = (list, tuple)


def check_form(preparation: Mapping[str, Any]) -> None:
    """Raise StateError unless a file can be read, and answers worded, by this preparation.

    A kind that is not known is left to whoever reads the file.
    """
    try:
        signature = Signature.from_plain(preparation["signature"])
        check = _KINDS.get(preparation["kind"])
        if check is not None:
            check(preparation, signature)
    except (KeyError, TypeError, ValueError) as error:
        reason = shown(f"{type(error).__name__}: {error}")
        raise StateError(
            f"the preparation of the bundle is malformed ({reason}); export it again"
        ) from None


def _sequences(plain: Mapping[str, Any], signature: Signature) -> None:
    channels = _scaler(plain["scaler"], signature.channels)
    names = plain["features"]
    if names is not None:
        _texts("features", names)
        _one_of("layout", plain["layout"], "wide", "long")
        if plain["layout"] == "long":
            _expect("id", isinstance(plain["id"], str))
        _expect("features", channels == (len(names) if plain["layout"] == "long" else 1))
    for name in ("id", "time", "target"):
        _expect(name, plain.get(name) is None or isinstance(plain[name], str))
    if signature.targets == "class":
        classes = plain["classes"]
        _expect("classes", isinstance(classes, LISTS) and len(classes) == signature.outputs)
        _expect("classes", all(isinstance(label, int | float | str) for label in classes))
    else:
        _expect("classes", "classes" not in plain)
        _numbers("target_offset", [plain["target_offset"]])
        _numbers("target_scale", [plain["target_scale"]], above_zero=True)


def _series(plain: Mapping[str, Any], signature: Signature) -> None:
    scaler = plain["scaler"]
    _texts("target and covariates", [plain["target"], *plain["covariates"]])
    for name in ("id", "time"):
        _expect(name, plain[name] is None or isinstance(plain[name], str))
    _one_of("predict", scaler["predict"], "change", "value")
    _texts("ids", scaler["ids"])
    for name in ("offset", "scale", "naive"):
        _numbers(name, scaler[name], above_zero=name == "scale")
        _expect(name, len(scaler[name]) == len(scaler["ids"]))
    _numbers("pooled", scaler["pooled"])
    _expect("pooled", len(scaler["pooled"]) == 2 and scaler["pooled"][1] > 0)
    _numbers("spread", [scaler["spread"]], above_zero=True)
    channels = _scaler(scaler["covariates"], signature.channels)
    _expect("covariates", channels == 1 + len(plain["covariates"]))


def _text(plain: Mapping[str, Any], signature: Signature) -> None:
    _alphabet(plain, signature)
    _expect("warmup", type(plain["warmup"]) is int and 0 <= plain["warmup"] < plain["context"])


def _masked_text(plain: Mapping[str, Any], signature: Signature) -> None:
    _alphabet(plain, signature)
    _expect("blank", isinstance(plain["blank"], str) and len(plain["blank"]) == 1)


def _generated(plain: Mapping[str, Any], _: Signature) -> None:
    _expect("task", isinstance(plain["task"], str))


_KINDS: Mapping[str, Callable[[Mapping[str, Any], Signature], None]] = {
    "sequences": _sequences,
    "series": _series,
    "text": _text,
    "masked text": _masked_text,
    "generated": _generated,
}


def _alphabet(plain: Mapping[str, Any], signature: Signature) -> None:
    known = isinstance(plain["alphabet"], str) and len(plain["alphabet"]) + 1 == signature.outputs
    _expect("alphabet", known)
    _expect("context", type(plain["context"]) is int and plain["context"] > 0)


def _scaler(plain: Mapping[str, Any], channels: int) -> int:
    """How many channels of a file it scales, to ``channels`` inputs of the model."""
    _one_of("mode", plain["mode"], "channel", "sequence", "none")
    count = len(plain["offset"])
    _numbers("offset", plain["offset"])
    _numbers("scale", plain["scale"], above_zero=True)
    _expect("scale", len(plain["scale"]) == count)
    flagged = plain["flagged"]
    _expect("flagged", all(type(place) is int and 0 <= place < count for place in flagged))
    _expect("scaler", count + len(flagged) == channels)
    return count


def _numbers(name: str, values: Any, *, above_zero: bool = False) -> None:
    numbers = isinstance(values, LISTS) and all(
        isinstance(value, int | float) and type(value) is not bool and math.isfinite(value)
        for value in values
    )
    _expect(name, numbers and (not above_zero or all(value > 0 for value in values)))


def _texts(name: str, values: Any) -> None:
    _expect(name, isinstance(values, LISTS) and all(isinstance(value, str) for value in values))


def _one_of(name: str, value: Any, *known: str) -> None:
    _expect(name, value in known)


def _expect(name: str, holds: bool) -> None:
    if not holds:
        raise ValueError(f"{name} is not what an export writes")
