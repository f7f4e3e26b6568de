"""How a model adapts its depth, as tables: its knob, all policies, and the oracle apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from archsearch.errors import StateError

ORACLE = "oracle (uses labels)"
# shares of the network's layers at which policies are compared
MARKS = (0.25, 0.5, 0.75, 1.0)


def print_adapted(out: Console, depth: Mapping[str, Any], place: str) -> None:
    """The tables of a bundle's depth; StateError names ``place`` where it is malformed."""
    try:
        report = depth["report"]
        out.print(_knob(depth))
        out.print()
        out.print(_policies(report, str(depth["name"])))
        sizes = ", ".join(f"{count} {name}" for name, count in report["sequences"].items())
        out.print(f"sequences: {sizes}, each used for that alone\n", markup=False, style="dim")
        if report["oracle"] is not None:
            out.print(_oracle(report["oracle"]))
            out.print(
                "no model reaches these: the label chooses the chain of each sequence. The null\n"
                "rates are what the same chains give for a wrong label drawn at random, and what\n"
                "noise on the answers gives that flips as many of them.\n",
                markup=False,
                style="dim",
            )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StateError(f"{place}: depth is malformed ({type(error).__name__})") from None


def _knob(depth: Mapping[str, Any]) -> Table:
    """The places of the chosen policy's knob, on test."""
    report, name = depth["report"], str(depth["name"])
    certificate = depth["certificate"]
    last = 0 if certificate is None else int(certificate["setting"])
    table = Table(
        title=f"depth by '{name}': {report['score']} on test, and the gain over static chains",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
    )
    for column in ("--compute", "layers", "score", "95% interval", "gain", "95% interval", ""):
        table.add_column(column, justify="right", no_wrap=True)
    for point in report["curves"][name]:
        setting = int(point["setting"])
        gain, gained = point["gain"], point["gain_interval"]
        table.add_row(
            f"{_up(float(depth['compute'][setting])):.3f}",
            f"{float(point['compute']):.0%}",
            f"{float(point['score']):.3f}",
            _span(point["interval"], ".3f"),
            "" if gain is None else f"{float(gain):+.3f}",
            "" if gained is None else _span(gained, "+.2f"),
            "whole" if setting == 0 else "certified" if setting <= last else "open",
        )
    table.caption = _promise(certificate)
    table.caption_justify = "left"
    return table


def _promise(certificate: Mapping[str, Any] | None) -> str:
    if certificate is None:
        return "no guarantee was asked for"
    # the words are the certificate's own; it knows nothing of torch
    from archsearch.adapt.certify import Certificate

    promise = Certificate.from_plain(certificate)
    if promise.setting == 0:
        return f"nothing is certified; it was not shown that {promise.words}"
    return f"certified: {promise.words}"


def _policies(report: Mapping[str, Any], chosen: str) -> Table:
    table = Table(
        title="all policies, by the area under the curve",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
    )
    table.add_column("policy", no_wrap=True)
    for column in (*(f"at {mark:.0%}" for mark in MARKS), "area", "gain", "95% interval"):
        table.add_column(column, justify="right", no_wrap=True)
    areas = report["areas"]
    for name in sorted(areas, key=lambda each: -float(areas[each]["area"])):
        points = report["curves"][name]
        cells = []
        for mark in MARKS:
            cheap = [point for point in points if float(point["compute"]) <= mark + 1e-9]
            best = max(cheap, key=lambda each: float(each["compute"]), default=None)
            cells.append("" if best is None else f"{float(best['score']):.3f}")
        found = areas[name]
        gain = found.get("gain")
        table.add_row(
            f"{name} *" if name == chosen else str(name),
            *cells,
            f"{float(found['area']):.3f}",
            "" if gain is None else f"{float(gain):+.3f}",
            "" if gain is None else _span(found["gain_interval"], "+.3f"),
        )
    return table


def _oracle(found: Mapping[str, Any]) -> Table:
    table = Table(title=ORACLE, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column(f"{found['chains']} chains, {found['sequences']} sequences")
    for column in ("share", "null: wrong label", "null: noise", "excess"):
        table.add_column(column, justify="right", no_wrap=True)
    rows = (
        ("answered right by the network", found["plain"], None, None),
        ("answered right by some chain", found["reached"], found["null_reached"],
         found["noise_reached"]),
        ("of those right, by a shorter one", found["shorter"], found["null_shorter"], None),
        ("of those wrong, by some chain", found["fixed"], found["null_fixed"],
         found["noise_fixed"]),
    )  # fmt: skip
    for words, share, null, noise in rows:
        excess = None if share is None or null is None else share - null
        cells = [_share(share), _share(null), _share(noise)]
        table.add_row(words, *cells, "" if excess is None else f"{float(excess):+.1%}")
    return table


def _share(value: Any) -> str:
    return "" if value is None else f"{float(value):.1%}"


def _span(ends: Any, form: str) -> str:
    low, high = ends
    return f"{float(low):{form}} to {float(high):{form}}"


def _up(share: float) -> float:
    """To three decimals, upwards, so that what stands there may be asked for."""
    return min(1.0, -(-share * 1000 // 1) / 1000)
