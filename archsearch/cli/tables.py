"""Results as tables that a person reads: the answer, the leaderboard, the table across tasks."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from archsearch.cli.answer import answer_table, precision
from archsearch.cli.drawing import draw
from archsearch.cli.facts import data_lines
from archsearch.cli.results import Result
from archsearch.errors import InputError
from archsearch.select.across import across, tally
from archsearch.select.leaderboard import rows
from archsearch.select.summary import summary
from archsearch.select.verdict import verdict
from archsearch.spec.positions import escape as visible
from archsearch.spec.trial import State, Trial

SPARKS = "▁▂▃▄▅▆▇█"
WIDEST = 100
COLOURS = {"better": "green", "no gain": "yellow", "worse": "red", "useless": "red"}


def print_result(out: Console, result: Result) -> None:
    """The answer of one study: what was searched, who was judged, what follows."""
    found = summary(result.searched, result.objectives, result.constraints)
    states = ", ".join(f"{count} {state}" for state, count in found.states)
    ended = f"; {result.ended}" if result.ended else ""
    count = "1 trial" if found.trials == 1 else f"{found.trials} trials"
    out.print(f"\n[bold]{result.name}[/bold]: {count} ({states}){ended}")
    out.print("\n".join(data_lines(result.facts["data"])) + "\n", markup=False, style="dim")
    if result.lost:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in result.lost.items())
        out.print(f"attempts lost and tried again: {reasons}\n", markup=False)
    evidence = result.evidence
    if evidence is not None:
        out.print(answer_table(result, evidence, out.width))
        out.print()
        colour = COLOURS.get(evidence.finding, "default")
        out.print(f"[bold {colour}]Verdict:[/] {escape(verdict(evidence))}.\n")
    else:
        out.print(leaderboard_table(result, 5))
    if not result.ranked:
        out.print(f"{result.nobody}; see: archsearch leaderboard")
        return
    winner = winning_trial(result)
    title = f"best on validation: trial {winner.index} · {escape(winner.digest)}"
    drawing = draw(winner.architecture, min(out.width, WIDEST) - 4)
    out.print(Panel(Text(drawing), title=title, title_align="left", expand=False))


def winning_trial(result: Result) -> Trial:
    """The searched trial that leads: the confirmed best, else the first of the ranking."""
    evidence = result.evidence
    if evidence is not None and evidence.best is not None:
        index = int(evidence.best.removeprefix("trial "))
        return next(trial for trial in result.searched if trial.index == index)
    return result.ranked[0]


def trial_at(result: Result, index: int | None) -> Trial:
    """The searched trial with that index, the one that leads for None; InputError without it."""
    if index is None:
        if not result.ranked:
            raise InputError(f"study '{result.name}' has nothing to adapt: {result.nobody}")
        return winning_trial(result)
    for trial in result.searched:
        if trial.index == index:
            return trial
    count = len(result.searched)
    known = f"it has 0 to {count - 1}" if count else "none was begun yet"
    raise InputError(f"study '{result.name}' has no trial {index}; {known}")


def leaderboard_table(result: Result, limit: int | None) -> Table:
    """Searched trials, best first, with every objective and the shape of the learning curve."""
    objectives = [objective.metric for objective in result.objectives]
    names = list(dict.fromkeys([*objectives, "loss", "params"]))
    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("architecture")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("curve", no_wrap=True)
    if len(objectives) > 1:
        table.add_column("front", justify="right", no_wrap=True)
    table.add_column("state")
    curves = {trial.index: trial.outcome.curve for trial in result.searched}
    if any(objectives[0] in dict(curve[-1][1]) for curve in curves.values() if curve):
        table.caption = f"curve: {objectives[0]} on validation during training"
        table.caption_justify = "left"
    for row in rows(result.searched, result.objectives, result.constraints, limit):
        values = [row.value(name) for name in names]
        line = [(step, dict(metrics).get(objectives[0])) for step, metrics in curves[row.index]]
        cells = [
            "" if row.place is None else str(row.place),
            str(row.index),
            escape(row.title),
            *("" if value is None else spell_number(value) for value in values),
            spark([value for _, value in line if value is not None]),
        ]
        if len(objectives) > 1:
            cells.append("" if row.front is None else str(row.front))
        state = escape(visible(row.why or str(row.state)))
        if row.state is State.STOPPED and line:
            state = f"stopped at step {line[-1][0]}"
        table.add_row(*cells, state, style=None if row.place else "dim")
    return table


def across_table(results: Sequence[Result]) -> tuple[Table, str]:
    """One line for each task, and what they amount to together."""
    lines = across([result.across for result in results])
    table = Table(
        title="across tasks", title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    table.add_column("task")
    table.add_column("best architecture")
    table.add_column("metric", no_wrap=True)
    for name in ("test", "95% interval", "gain"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("against", no_wrap=True)
    for line in lines:
        shown = line.mean if line.mean is not None else line.value
        spelling = precision([shown])
        table.add_row(
            line.task,
            line.title or "none",
            line.metric,
            "" if shown is None else f"{shown:{spelling}}",
            " to ".join(f"{end:{spelling}}" for end in line.interval or ()),
            "" if line.gain is None else f"{line.gain:+{spelling}}",
            line.baseline or "",
        )
    return table, tally(lines)


def spark(values: Sequence[float]) -> str:
    """A learning curve in one line of blocks, from its lowest to its highest value."""
    finite = [value for value in values if value == value and abs(value) != float("inf")]
    if len(finite) < 2:
        return ""
    low, span = min(finite), max(finite) - min(finite)
    if not span:
        return SPARKS[len(SPARKS) // 2] * len(finite)
    return "".join(SPARKS[round((value - low) / span * (len(SPARKS) - 1))] for value in finite)


def spell_number(value: float) -> str:
    """Whole and large numbers with separators, others with four significant digits."""
    whole = abs(value) >= 10_000 or (abs(value) >= 10 and value == int(value))
    return f"{value:,.0f}" if whole else f"{value:.4g}"
