"""How much of a network is enough, input by input: all policies on five small networks.

    python benchmarks/adapt.py --work adapt-runs             # some minutes on one core
    python benchmarks/adapt.py --work adapt-runs --times     # then, on an idle one, the times

Accuracy against the mean share of applied layers on test, for every policy, the best static chain
of each length, chains drawn at random of the same length, and a vote of several chains at equal
compute; the area under each curve with a paired bootstrap against the static chains. What was
certified is checked on test. Time at batch 1 and 64. The two headline numbers of searches with
labels stand apart, beside their null rates. Writes benchmarks/results/adapt.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from adapt_runs import NETWORKS, Network, trained
from overhead import machine
from rich.console import Console
from rich.table import Table

from archsearch.adapt.adapt import Parts, apart, certified, reported
from archsearch.adapt.chain import Chain
from archsearch.adapt.curve import areas, interval, resampled
from archsearch.adapt.examples import Examples
from archsearch.adapt.families import fitted
from archsearch.adapt.labels.cover import library, searched
from archsearch.adapt.labels.graded import Graded, grade
from archsearch.adapt.measured import Measured, measure
from archsearch.adapt.policies.policy import Policy
from archsearch.adapt.policies.view import WholeView
from archsearch.adapt.walk import Walk
from archsearch.spec.depthsettings import DepthSettings

RESULTS = Path(__file__).parent / "results" / "adapt.json"
DRAWS, RANDOM, REPEATS = 1000, 8, 15
MARKS = (0.25, 0.5, 0.75, 1.0)
TIMED = ("prefix", "gap", "loop_cosine", "router")


def random_chains(walk: Walk, test: Examples, seed: int) -> Measured:
    """Positions drawn at random, in their order, of every number there can be: expected scores."""
    rng = np.random.default_rng(seed)
    costs = np.array(walk.costs)
    drawn: list[list[Chain]] = []
    for count in range(walk.depth, -1, -1):
        each = {
            Chain(tuple(sorted(rng.choice(walk.depth, count, replace=False).tolist())))
            for _ in range(RANDOM)
        }
        drawn.append(sorted(each))
    graded = grade(walk, test, [chain for each in drawn for chain in each])
    score, compute = [], []
    for each in drawn:
        found = graded.of(each)
        score.append(found.score.mean(1))
        compute.append(np.full(len(test), found.costs.mean() / costs.sum()))
    zero = np.zeros((len(test), len(drawn)))
    return Measured(np.stack(score, 1), np.stack(compute, 1), zero, zero)


@torch.inference_mode()
def votes(walk: Walk, chains: tuple[Chain, ...], test: Examples) -> Measured:
    """The mean probabilities of the cheapest 1, 2, .. chains; what they share is applied once."""
    ordered = sorted(chains, key=lambda chain: chain.cost(walk.costs))
    score, compute = [], []
    for count in range(1, len(ordered) + 1):
        some = ordered[:count]
        total = sum(
            prediction.softmax(-1) for _, prediction in walk.run_all(some, test.x, test.lengths)
        )
        score.append(test.score(total).double().numpy())
        paths = {chain.path[:end] for chain in some for end in range(1, len(chain) + 1)}
        cost = sum(walk.costs[path[-1]] for path in paths) / walk.full
        compute.append(np.full(len(test), cost))
    zero = np.zeros((len(test), len(score)))
    return Measured(np.stack(score, 1), np.stack(compute, 1), zero, zero)


def against_static(
    found: Measured, static: Measured, least: np.ndarray, shares: np.ndarray
) -> dict[str, Any]:
    """Points and area, as the report of a model has them."""
    value, draws = areas(found, least, shares)
    base, others = areas(static, least, shares)
    return {
        "points": [
            {"compute": round(float(c), 4), "score": round(float(s), 4)}
            for c, s in zip(found.compute.mean(0), found.score.mean(0), strict=True)
        ],
        "area": value,
        "gain": value - base,
        "gain_interval": list(interval(draws - others)),
    }


@torch.inference_mode()
def seconds(policy: Policy, walk: Walk, test: Examples, setting: int, batch: int) -> float:
    """Milliseconds per sequence at a place of the knob; setting -1 is the plain network."""
    rows = [test.take(slice(start, start + batch)) for start in range(0, 4 * batch, batch)]
    began = time.perf_counter()
    for part in rows:
        if setting < 0:
            walk.model(part.x, part.lengths)
        else:
            policy.decide(WholeView(walk, part.x, part.lengths, True), setting)
    return 1000 * (time.perf_counter() - began) / (4 * batch)


def speed(policy: Policy, walk: Walk, test: Examples, setting: int) -> dict[str, float]:
    """Medians of turns, the network and the policy one after the other."""
    found: dict[str, float] = {}
    for batch in (1, 64):
        turns = [
            (seconds(policy, walk, test, -1, batch), seconds(policy, walk, test, setting, batch))
            for _ in range(REPEATS)
        ]
        whole, adapted = (statistics.median(each) for each in zip(*turns, strict=True))
        found[f"whole_ms_batch_{batch}"] = round(whole, 4)
        found[f"adapted_ms_batch_{batch}"] = round(adapted, 4)
        found[f"faster_batch_{batch}"] = round(
            statistics.median(one / other for one, other in turns), 3
        )
    return found


def prepared(name: str, seed: int, work: Path) -> tuple[Walk, Parts, Graded, dict[str, Policy]]:
    """A trained network, its data apart, graded chains, policies; ``work`` keeps the weights."""
    network = NETWORKS[name]
    data = network.data(seed)
    kept = work / f"{name.replace(' ', '-')}-{seed}.safetensors"
    model = trained(network, data, seed, kept)
    walk, parts = Walk(model), apart(data.held, data.test, seed)
    settings = settings_of(network)
    graded = searched(walk, parts.search, moves=settings.moves, seed=seed)
    return walk, parts, graded, fitted(walk, parts.search, graded, parts.tune, settings)


def settings_of(network: Network) -> DepthSettings:
    return DepthSettings(moves=network.moves)  # type: ignore[arg-type]


def study(name: str, seed: int, work: Path) -> dict[str, Any]:
    walk, parts, graded, policies = prepared(name, seed, work)
    settings, test = settings_of(NETWORKS[name]), parts.test
    report = reported(walk, policies, parts, graded, seed)
    shares = resampled(len(test), DRAWS, seed)
    static = measure(policies["static"], walk, test)
    least = grade(walk, test, [Chain()]).score[:, 0].astype(float)
    chosen = library(graded, walk.plain, settings.chains, 0.02)
    certificates = {}
    for each, policy in policies.items():
        promise = certified(policy, walk, parts.calibrate, settings)
        found = measure(policy, walk, test)
        setting = 0 if promise is None else promise.setting
        certificates[each] = {
            "setting": setting,
            "compute": round(float(found.compute[:, setting].mean()), 4),
            "score": round(float(found.score[:, setting].mean()), 4),
            "risk_on_test": round(float(found.differs[:, setting].mean()), 4),
        }
    return {
        "seed": seed,
        "positions": walk.depth,
        "layers_in_all": walk.full,
        "classes": test.classes,
        "whole": float(static.score[:, 0].mean()),
        "delta": settings.delta,
        "epsilon": settings.epsilon,
        **report,
        "random chains": against_static(random_chains(walk, test, seed), static, least, shares),
        "vote": against_static(votes(walk, chosen, test), static, least, shares),
        "library": [str(chain) for chain in chosen],
        "certificates": certificates,
    }


def times(name: str, seed: int, work: Path) -> dict[str, Any]:
    """Of the policies in ``TIMED``, at the place of the knob nearest to half of the layers."""
    walk, parts, _, policies = prepared(name, seed, work)
    found = {}
    for each in TIMED:
        if each in policies:
            compute = measure(policies[each], walk, parts.tune).compute.mean(0)
            half = int(np.abs(compute - 0.5).argmin())
            told = speed(policies[each], walk, parts.test, half)
            found[each] = {"compute": round(float(compute[half]), 4), **told}
    return found


def show(out: Console, name: str, found: dict[str, Any]) -> None:
    columns = ("policy", *(f"at {mark:.0%}" for mark in MARKS), "area", "gain", "95 % interval")
    title = f"{name}: {found['whole']:.3f} with all layers"
    table = Table(*columns, "certified to", "risk", title=title)
    rows = {key: found["areas"][key] | {"points": found["curves"][key]} for key in found["areas"]}
    rows |= {key: found[key] for key in ("random chains", "vote")}
    for key, row in sorted(rows.items(), key=lambda item: -item[1]["area"]):
        cells = []
        for mark in MARKS:
            cheap = [p for p in row["points"] if p["compute"] <= mark + 1e-9]
            best = max(cheap, key=lambda p: p["compute"], default=None)
            cells.append("" if best is None else f"{best['score']:.3f}")
        low, high = row.get("gain_interval", (0.0, 0.0))
        promise = found["certificates"].get(key)
        table.add_row(
            key, *cells, f"{row['area']:.3f}", f"{row.get('gain', 0.0):+.3f}",
            f"{low:+.3f} to {high:+.3f}",
            "" if promise is None else f"{promise['compute']:.0%}",
            "" if promise is None else f"{promise['risk_on_test']:.3f}",
        )  # fmt: skip
    out.print(table)
    luck = found["oracle"]
    words = " ".join(f"{key} {value:.3f}" for key, value in luck.items() if value is not None)
    out.print(f"oracle (uses labels): {words}")
    for key, each in found.get("times", {}).items():
        out.print(f"{key} at {each['compute']:.0%}: x{each['faster_batch_1']} at batch 1, "
                  f"x{each['faster_batch_64']} at batch 64")  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--networks", default=";".join(NETWORKS), help="names, by semicolons")
    options.add_argument("--seeds", type=int, default=1)
    options.add_argument("--work", type=Path, required=True, help="folder that keeps the weights")
    options.add_argument("--times", action="store_true", help="the times alone, of a finished run")
    options.add_argument("--out", type=Path, default=RESULTS)
    chosen = options.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    out = Console()
    results: dict[str, Any] = {"machine": machine(), "networks": {}}
    if chosen.out.is_file():
        # networks that are not asked for stay as they were
        results["networks"] = json.loads(chosen.out.read_text())["networks"]
    for name in chosen.networks.split(";"):
        known = results["networks"].get(name, [])
        results["networks"][name] = []
        for seed in range(chosen.seeds):
            found = known[seed] if chosen.times else study(name, seed, chosen.work)
            if chosen.times:
                found["times"] = times(name, seed, chosen.work)
            show(out, f"{name}, seed {seed}", found)
            results["networks"][name].append(found)
            chosen.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
