"""The answer of a study as a table: who was judged on test, how well, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table

from archsearch.cli.results import Result
from archsearch.select.evidence import Candidate, Evidence

WHISKERS, NARROWEST = 24, 10
# before or after the point
MOST_DIGITS = 9

Line = tuple[tuple[str, ...], Candidate | None]


def answer_table(result: Result, evidence: Evidence, width: int) -> Table:
    """Chance, trivial predictors, baselines and finalists on the test split.

    The intervals are drawn where ``width`` leaves room for that.
    """
    metric = evidence.objective.metric
    better = "higher" if evidence.objective.direction == "max" else "lower"
    seeds = max((len(candidate.values) for candidate in evidence.candidates), default=0)
    title = f"{metric} on test, mean of {seeds} seed{'s'[: seeds != 1]} ({better} is better)"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("")
    for name in (metric, "95% interval", "params"):
        table.add_column(name, justify="right", no_wrap=True)
    spelling = precision(candidate.mean for candidate in evidence.candidates)
    rows = [
        *_floors(result, metric, spelling),
        *_judged(evidence, spelling),
        *_masks(evidence, spelling),
    ]
    taken = [max(map(cell_len, cells)) for cells in zip(*(row[:4] for row, _ in rows), strict=True)]
    headers = (0, len(metric), len("95% interval"), len("params"))
    room = width - sum(max(pair) + 2 for pair in zip(taken, headers, strict=True))
    drawn = room >= NARROWEST
    if drawn:
        table.add_column("", no_wrap=True)
    ends = [end for c in evidence.candidates for end in c.interval or ()]
    for row, candidate in rows:
        cells = [escape(cell) for cell in row]
        if drawn and candidate is not None:
            cells.append(whiskers(candidate.interval, candidate.mean, ends, min(room, WHISKERS)))
        best = candidate is not None and candidate.name == evidence.best
        table.add_row(*cells, style="bold" if best else "dim" if candidate is None else None)
    if evidence.best is not None:
        # the one that leads all may have no result yet
        to_come = any(c.role == "finalist" and c.awaited for c in evidence.candidates)
        among = " among those with a result" if to_come else ""
        table.caption = f"* led on validation{among}; the test split had no say in that"
        table.caption_justify = "left"
    return table


def _floors(result: Result, metric: str, spelling: str) -> list[Line]:
    """What knowing nothing scores: chance and the trivial predictors."""
    known = {"chance": result.facts["chance"], **result.facts["trivial"]}
    return [
        ((name, f"{scores[metric]:{spelling}}", "", ""), None)
        for name, scores in known.items()
        if metric in scores
    ]


def _judged(evidence: Evidence, spelling: str) -> list[Line]:
    """Baselines and finalists: name, mean, interval, parameters."""
    lines: list[Line] = []
    for candidate in sorted(evidence.candidates, key=lambda c: c.role):
        runs = len(candidate.values)
        name = candidate.title + (" *" if candidate.name == evidence.best else "")
        name += f" ({candidate.failed} of {runs} runs failed)" if candidate.failed else ""
        name += f" ({candidate.awaited} of {runs} runs to come)" if candidate.awaited else ""
        missing = "" if candidate.awaited else "failed"
        mean = missing if candidate.mean is None else f"{candidate.mean:{spelling}}"
        interval = " to ".join(f"{end:{spelling}}" for end in candidate.interval or ())
        params = "" if candidate.params is None else f"{candidate.params:,.0f}"
        lines.append(((name, mean, interval, params), candidate))
    return lines


def _masks(evidence: Evidence, spelling: str) -> list[Line]:
    """The mean of random masks in place of the learned one of the best finalist."""
    found = evidence.places
    if found is None or found.mean is None:
        return []
    several = f"{found.masks} random masks" if found.masks > 1 else "a random mask"
    interval = " to ".join(f"{end:{spelling}}" for end in found.interval or ())
    mean = f"{found.mean:{spelling}}"
    return [((f"{several} in place of that of {found.finalist}", mean, interval, ""), None)]


def precision(values: Iterable[float | None]) -> str:
    """How to format numbers: as many digits after the point as leave four significant ones of the
    smallest value, or a power of ten where that makes them longer than a person reads.
    """
    sizes = [abs(value) for value in values if value]
    if not sizes:
        return ",.4f"
    places = max(3 - math.floor(math.log10(min(sizes))), 0)
    return f",.{places}f" if places <= MOST_DIGITS and max(sizes) < 10**MOST_DIGITS else ".4g"


def whiskers(
    interval: tuple[float, float] | None, mean: float | None, ends: Sequence[float], width: int
) -> str:
    """An interval drawn on the common scale of ``ends``: ``  ├──●──┤  ``."""
    if mean is None or interval is None or max(ends) <= min(ends):
        return ""
    low, span = min(ends), max(ends) - min(ends)

    def place(value: float) -> int:
        return round((min(max(value, low), low + span) - low) / span * (width - 1))

    first, middle, last = place(interval[0]), place(mean), place(interval[1])
    line = [" "] * width
    line[first : last + 1] = ["─"] * (last - first + 1)
    line[first], line[last] = "├", "┤"
    line[middle] = "●"
    return "".join(line)
