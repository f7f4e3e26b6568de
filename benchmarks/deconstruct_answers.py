"""What the trained networks say of gating, attention and recurrence: paired, with intervals.

A pair is two networks that differ in one thing, on one task and seed; its difference is the
logarithm of the ratio of their test errors, so that below zero the addition helps. The intervals
(95 %) are bootstrapped: pairs of networks are drawn with replacement, and within each its seeds.
With fewer than ``FEWEST`` trainings nothing is said; of three seeds of a single pair the interval
is little more than their range.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from deconstruct_runs import CORES, NETWORKS, RECURRENCES, TASKS, TRANSFORMER, Network

DRAWS = 5000
FEWEST = 3
BEST = Network("rhn", "attention", "input_dependent")
Key = tuple[str, str, int]
Runs = dict[Key, dict[str, Any]]
Pair = tuple[Network, Network]
RNNS = [network for network in NETWORKS if network.cell in CORES]


def _gated(gate: str) -> list[Pair]:
    return [(replace(n, gate=gate), n) for n in RNNS if n.gate == "additive"]


def _attentive() -> list[Pair]:
    return [(replace(n, added="attention"), n) for n in RNNS if not n.added]


def _recurrent(added: str) -> list[Pair]:
    return [
        (replace(n, added=added), n)
        for n in NETWORKS
        if n.cell == TRANSFORMER and not n.added
    ]  # fmt: skip


QUESTIONS: dict[str, tuple[list[Pair], bool]] = {
    "a gate that sees the input helps RNNs": (_gated("input_dependent"), True),
    "a gate that is a learned rate helps RNNs": (_gated("learned_rate"), True),
    "attention helps RNNs": (_attentive(), True),
    **{
        f"recurrence ({added} attention) hurts the Transformer": (_recurrent(added), False)
        for added in RECURRENCES
    },
}


def answers(runs: Runs) -> list[dict[str, Any]]:
    """Every question on every task, as far as its pairs were trained."""
    found = []
    for task in TASKS:
        for question, (pairs, helps) in QUESTIONS.items():
            told = answer(runs, task, pairs, helps)
            found.append({"question": question, "task": task, **told})
        found.append({"question": f"{BEST.name} is best", "task": task, **best(runs, task)})
    return found


def answer(runs: Runs, task: str, pairs: list[Pair], helps: bool) -> dict[str, Any]:
    rows = [list(_differences(runs, task, pair)) for pair in pairs]
    rows = [row for row in rows if row]
    told: dict[str, Any] = {"pairs": len(rows), "trainings": sum(map(len, rows))}
    if not rows:
        return told | {"answer": "not run"}
    low, high = interval(rows)
    told["change"] = math.expm1(float(np.mean([np.mean(row) for row in rows])))
    told["interval"] = [math.expm1(low), math.expm1(high)]
    if low <= 0 <= high or told["trainings"] < FEWEST:
        return told | {"answer": "cannot be told"}
    return told | {"answer": "yes" if (high < 0) == helps else "no"}


def interval(rows: list[list[float]], seed: int = 0) -> tuple[float, float]:
    """The bootstrap interval of the mean of the rows' means."""
    rng = np.random.default_rng(seed)
    means = np.empty(DRAWS)
    for draw in range(DRAWS):
        chosen = [rows[i] for i in rng.integers(len(rows), size=len(rows))]
        means[draw] = np.mean([np.mean(rng.choice(row, len(row))) for row in chosen])
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def best(runs: Runs, task: str) -> dict[str, Any]:
    """Where it stands, and how far it is from the best of the others over the seeds of both."""
    ranked = sorted(
        (float(np.mean(errors)), network)
        for network in {n.name: n for n in NETWORKS}
        if (errors := [each["test"] for each in _seeds(runs, task, network).values()])
    )
    names = [name for _, name in ranked]
    if BEST.name not in names or len(names) < 2:
        return {"answer": "not run"}
    rival = next(name for name in names if name != BEST.name)
    mine, others = _seeds(runs, task, BEST.name), _seeds(runs, task, rival)
    row = [math.log(mine[s]["test"] / others[s]["test"]) for s in sorted(mine.keys() & others)]
    place = names.index(BEST.name) + 1
    told = {"place": f"{place} of {len(names)}", "rival": rival, "trainings": len(row)}
    if not row:
        return told | {"answer": "cannot be told"}
    low, high = interval([row])
    told |= {"change": math.expm1(float(np.mean(row))),
             "interval": [math.expm1(low), math.expm1(high)]}  # fmt: skip
    if low <= 0 <= high or len(row) < FEWEST:
        return told | {"answer": "cannot be told"}
    return told | {"answer": "yes" if high < 0 else "no"}


def table(runs: Runs) -> list[dict[str, Any]]:
    """Each network's mean test error and its spread over the seeds, on each task."""
    found = []
    for task in TASKS:
        for network in NETWORKS:
            errors = [told["test"] for told in _seeds(runs, task, network.name).values()]
            if errors:
                spread = float(np.std(errors, ddof=1)) if len(errors) > 1 else None
                found.append({"network": network.name, "task": task, "seeds": len(errors),
                              "error": float(np.mean(errors)), "deviation": spread})  # fmt: skip
    return found


def _seeds(runs: Runs, task: str, network: str) -> dict[int, dict[str, Any]]:
    """The runs of a network that did not diverge, by seed."""
    return {
        seed: told
        for (name, of_task, seed), told in runs.items()
        if (name, of_task) == (network, task) and "test" in told
    }


def _differences(runs: Runs, task: str, pair: Pair) -> Iterator[float]:
    one, other = (_seeds(runs, task, network.name) for network in pair)
    for seed in sorted(one.keys() & other.keys()):
        yield math.log(one[seed]["test"] / other[seed]["test"])
