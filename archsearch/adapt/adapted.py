"""What a model knows of its own depth: a policy, its costs, its certificate, and a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from archsearch.adapt.certify import Certificate
from archsearch.adapt.curve import Point
from archsearch.adapt.policies.open import policy_from_plain, policy_to_plain
from archsearch.adapt.policies.policy import Policy
from archsearch.adapt.walk import Walk
from archsearch.errors import InputError


@dataclass(frozen=True)
class Adapted:
    """``compute`` is the mean share of layers at each place of the policy's knob, on data of its
    own. ``report`` is plain data for a reader: curves, areas and the oracle's table.
    """

    name: str
    policy: Policy
    compute: tuple[float, ...]
    certificate: Certificate | None
    report: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def certified(self) -> int:
        """The last place of the knob that is certified."""
        return 0 if self.certificate is None else self.certificate.setting

    def setting_for(self, compute: float, *, uncertified: bool = False) -> int:
        """The place that uses most of what may be used, a share of the network's layers.

        Raises InputError where nothing is that cheap, or where nothing that is certified is, unless
        ``uncertified``.
        """
        if not 0 <= compute <= 1:
            raise InputError(f"compute: expected a share from 0 to 1, got {compute:g}")
        cheap = [place for place, cost in enumerate(self.compute) if cost <= compute + 1e-9]
        if not cheap:
            least = rounded_up(min(self.compute))
            raise InputError(f"compute {compute:g}: the policy '{self.name}' needs {least} or more")
        # costs need not fall all along the knob
        allowed = [place for place in cheap if uncertified or place <= self.certified]
        if not allowed:
            limit = rounded_up(min(self.compute[: self.certified + 1]))
            said = "nothing was certified"
            if self.certificate is not None and self.certified:
                said = f"certified is {limit} or more: {self.certificate.words}"
            raise InputError(
                f"compute {compute:g}: {said}; "
                "add --uncertified (uncertified=True) to use it all the same"
            )
        # of places with equal cost the safest
        return max(allowed, key=lambda setting: (self.compute[setting], -setting))

    def to_plain(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "policy": policy_to_plain(self.policy),
            "compute": list(self.compute),
            "certificate": None if self.certificate is None else self.certificate.to_plain(),
            "report": dict(self.report),
        }


def adapted_from_plain(plain: Mapping[str, Any], walk: Walk) -> Adapted:
    """The inverse, for a network; KeyError, TypeError, ValueError or InputError if malformed."""
    policy = policy_from_plain(plain["policy"], walk)
    compute = tuple(float(cost) for cost in plain["compute"])
    if len(compute) != policy.settings:
        raise ValueError(f"expected the compute of {policy.settings} settings, got {len(compute)}")
    stored = plain["certificate"]
    certificate = None if stored is None else Certificate.from_plain(stored)
    if certificate is not None and not 0 <= certificate.setting < policy.settings:
        raise ValueError(f"expected a certified setting below {policy.settings}")
    report = plain["report"]
    if not isinstance(report, dict):
        raise TypeError("expected a mapping as report")
    return Adapted(str(plain["name"])[:100], policy, compute, certificate, report)


def curves_of(report: Mapping[str, Any]) -> dict[str, tuple[Point, ...]]:
    """The curves of a report; KeyError, TypeError or ValueError where they are malformed."""
    return {
        str(name)[:100]: tuple(Point.from_plain(point) for point in points)
        for name, points in report["curves"].items()
    }


def rounded_up(share: float) -> str:
    """With three decimals, so that what is said may be asked for."""
    return f"{min(1.0, -(-share * 1000 // 1) / 1000):g}"
