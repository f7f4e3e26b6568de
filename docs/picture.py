"""Draws docs/run.svg: what `archsearch run` shows of a finished study, replayed from its database.

archsearch run search_spaces/quickstart.yaml
python docs/picture.py archsearch.db quickstart
"""

from __future__ import annotations

import io
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from archsearch.cli.facts import data_lines
from archsearch.cli.progress import Watcher
from archsearch.cli.results import Result, read_result
from archsearch.cli.tables import print_result
from archsearch.store.store import Store, open_store
from archsearch.study.drive import Progress

PICTURE = Path(__file__).with_name("run.svg")
WIDTH = 106
THEME = TerminalTheme(
    (22, 27, 34),
    (214, 220, 228),
    [(72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34),
     (88, 166, 255), (188, 140, 255), (57, 197, 207), (177, 186, 196)],
    [(110, 118, 129), (255, 161, 152), (86, 211, 100), (227, 179, 65),
     (121, 192, 255), (210, 168, 255), (86, 212, 221), (240, 246, 252)],
)  # fmt: skip
# the width of a character, in the units of the picture
CELL = 12.2
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def main(database: str, name: str, picture: str = str(PICTURE)) -> None:
    """Write the picture of one study."""
    with open_store(f"sqlite:///{database}", read_only=True) as store:
        result = read_result(store, name)
        watcher = replay(store, result, ends_of(database, name))
    out = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True,
                  color_system="truecolor", highlight=False)  # fmt: skip
    out.print(f"[bold green]$[/] archsearch run search_spaces/{name}.yaml")
    out.print("\n".join(data_lines(result.facts["data"])), markup=False)
    out.print(f"[bold]{name}[/bold]")
    out.print(watcher.bars())
    print_result(out, result)
    svg = out.export_svg(title="archsearch", theme=THEME, unique_id="run")
    Path(picture).write_text(plain(svg))


def plain(svg: str) -> str:
    """The picture without links to elsewhere, and without outer spaces, which viewers drop."""
    svg = re.sub(r"\s*(@font-face \{.*?\}|<!--.*?-->)", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", FONT).replace("font-size: 20px", "font-size: 20.25px")

    def trimmed(found: re.Match[str]) -> str:
        x, y, length, rest, text = found.groups()
        text = text.replace("&#160;", "\xa0")
        body = text.strip("\xa0")
        if not body:
            return ""
        begin = float(x) + CELL * (len(text) - len(text.lstrip("\xa0")))
        length = float(length) - CELL * (len(text) - len(body))
        body = body.replace("\xa0", "&#160;")
        return f'x="{begin:g}"{y}textLength="{length:g}"{rest}>{body}</text>'

    return re.sub(r'x="([\d.]+)"( y="[\d.]+" )textLength="([\d.]+)"([^>]*)>([^<]*)</text>',
                  trimmed, svg)  # fmt: skip


Key = tuple[str, int]


def ends_of(database: str, name: str) -> dict[Key, tuple[float, float]]:
    """When each trial of a study began and ended, by phase and index, in seconds."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as found:
        rows = found.execute(
            "SELECT phase, idx, min(attempt.started), max(attempt.ended) FROM trial "
            "JOIN attempt ON attempt.trial = trial.id JOIN study ON study.id = trial.study "
            "WHERE study.name = ? GROUP BY trial.id",
            (name,),
        )
        return {(phase, index): (began, ended) for phase, index, began, ended in rows}


def replay(store: Store, result: Result, spans: dict[Key, tuple[float, float]]) -> Watcher:
    """A watcher that was told of every trial at the time at which it ended."""
    now = min(began for began, _ in spans.values())
    terminal = Console(width=WIDTH, file=io.StringIO(), force_terminal=True)
    watcher = Watcher(
        result.name, result.objectives, result.constraints, out=terminal, clock=lambda: now
    )
    record = store.find_study(result.name)
    assert record is not None
    with watcher:
        for phase in ("search", "tune", "confirm"):
            trials = store.history(record.id, phase)
            now = min(spans[phase, trial.index][0] for trial in trials)
            watcher(Progress(phase, 0, 0, len(trials)))
            ordered = sorted(trials, key=lambda trial: spans[trial.phase, trial.index][1])
            for number, trial in enumerate(ordered, start=1):
                now = spans[phase, trial.index][1]
                watcher(Progress(phase, number, 0, len(trials), trial))
    return watcher


if __name__ == "__main__":
    main(*sys.argv[1:4])
