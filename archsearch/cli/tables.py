"""Results as tables that a person reads: the answer, the leaderboard, the table across tasks."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from archsearch.cli.drawing import draw
from archsearch.cli.results import Result
from archsearch.select.across import across, tally
from archsearch.select.evidence import Evidence
from archsearch.select.leaderboard import rows
from archsearch.select.summary import summary
from archsearch.select.verdict import verdict
from archsearch.spec.trial import Trial

SPARKS = "▁▂▃▄▅▆▇█"


def print_result(out: Console, result: Result) -> None:
    """The answer of one study: what was searched, who was judged, what follows."""
    found = summary(result.searched, result.objectives, result.constraints)
    states = ", ".join(f"{count} {state}" for state, count in found.states)
    out.print(f"\n[bold]{result.name}[/bold]: {found.trials} trials ({states}); {result.ended}")
    if result.evidence is not None:
        out.print(answer_table(result, result.evidence))
        out.print(f"[bold]Verdict:[/bold] {verdict(result.evidence)}.")
    else:
        out.print(leaderboard_table(result, 5))
    ranked = result.ranked
    if ranked:
        winner = winning_trial(result)
        title = f"best on validation: trial {winner.index} · {winner.digest}"
        out.print(Panel(draw(winner.architecture), title=title, expand=False, highlight=False))
    else:
        out.print("no trial completed within the constraints; see: archsearch leaderboard")


def winning_trial(result: Result) -> Trial:
    """The searched trial that leads: the confirmed best, else the first of the ranking."""
    evidence = result.evidence
    if evidence is not None and evidence.best is not None:
        index = int(evidence.best.removeprefix("trial "))
        return next(trial for trial in result.searched if trial.index == index)
    return result.ranked[0]


def answer_table(result: Result, evidence: Evidence) -> Table:
    """Chance, trivial predictors, baselines and finalists on the test split."""
    metric = evidence.objective.metric
    arrow = "higher" if evidence.objective.direction == "max" else "lower"
    table = Table(title=f"{metric} on test ({arrow} is better)", title_justify="left", box=None)
    table.add_column("", max_width=34)
    for name in (metric, "95% interval", "params", "seeds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    chance = result.facts["chance"].get(metric)
    if chance is not None:
        table.add_row("chance", f"{chance:.4g}")
    for name, scores in result.facts["trivial"].items():
        if metric in scores:
            table.add_row(name, f"{scores[metric]:.4g}")
    ends = [end for c in evidence.candidates for end in c.interval or ()]
    for candidate in sorted(evidence.candidates, key=lambda c: c.role):
        interval = candidate.interval
        best = candidate.name == evidence.best
        table.add_row(
            candidate.title + (" *" if best else ""),
            "failed" if candidate.mean is None else f"{candidate.mean:.4f}",
            f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else "",
            "" if candidate.params is None else f"{candidate.params:,.0f}",
            f"{candidate.finished}/{len(candidate.values)}",
            whiskers(interval, candidate.mean, ends),
            style="bold" if best else None,
        )
    if evidence.best is not None:
        table.caption = "* led on validation; the test split had no say in that"
        table.caption_justify = "left"
    return table


def whiskers(
    interval: tuple[float, float] | None, mean: float | None, ends: Sequence[float], width: int = 20
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


def leaderboard_table(result: Result, limit: int | None) -> Table:
    """Searched trials, best first, with every objective and the shape of the learning curve."""
    objectives = [objective.metric for objective in result.objectives]
    names = list(dict.fromkeys([*objectives, "loss", "params"]))
    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("trial", justify="right")
    table.add_column("architecture")
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("curve")
    table.add_column("state")
    if len(objectives) > 1:
        table.add_column("front", justify="right")
    curves = {trial.index: trial.outcome.curve for trial in result.searched}
    for row in rows(result.searched, result.objectives, result.constraints, limit):
        values = [row.value(name) for name in names]
        line = [(step, dict(metrics).get(objectives[0])) for step, metrics in curves[row.index]]
        cells = [
            "" if row.place is None else str(row.place),
            str(row.index),
            row.title,
            *("" if value is None else spell_number(value) for value in values),
            spark([value for _, value in line if value is not None]),
            row.why or str(row.state),
        ]
        if len(objectives) > 1:
            cells.append("" if row.front is None else str(row.front))
        table.add_row(*cells, style=None if row.place else "dim")
    return table


def across_table(results: Sequence[Result]) -> tuple[Table, str]:
    """One line for each task, and what they amount to together."""
    lines = across([result.across for result in results])
    table = Table(title="across tasks", title_justify="left", box=None)
    for name in ("task", "best architecture", "metric", "test", "95% interval", "gain", "against"):
        table.add_column(name)
    for line in lines:
        shown = line.mean if line.mean is not None else line.value
        table.add_row(
            line.task,
            line.title or "none",
            line.metric,
            "" if shown is None else f"{shown:.4f}",
            f"{line.interval[0]:.4f} to {line.interval[1]:.4f}" if line.interval else "",
            "" if line.gain is None else f"{line.gain:+.4f}",
            line.baseline or "",
        )
    return table, tally(lines)


def spark(values: Sequence[float]) -> str:
    """A learning curve in one line of blocks, from its lowest to its highest value."""
    finite = [value for value in values if value == value and abs(value) != float("inf")]
    if len(finite) < 2:
        return ""
    low, span = min(finite), (max(finite) - min(finite)) or 1.0
    return "".join(SPARKS[round((value - low) / span * (len(SPARKS) - 1))] for value in finite)


def spell_number(value: float) -> str:
    """Whole numbers with separators, others with four significant digits."""
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 10 else f"{value:.4g}"
