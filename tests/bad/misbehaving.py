"""Distributions with one misbehaving cell each, installed into a folder without pip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DECLARATION = """\
from archsearch.spec.catalog import CellType, real
CELL = CellType("{name}", "{module}.cell:Cell", {{"decay": real(0.9, 0.0, 1.0)}}, doc="It leaks.")
"""
CELL = """\
import torch
from archsearch.cells.cell import Cell as Base

class Cell(Base):
    def __init__(self, width, decay=0.9):
        super().__init__(width)
        self.decay = torch.nn.Parameter(torch.full((width,), decay))

    def initial_state(self, batch):
        return (self.zeros(batch, self.width),)

    def step(self, x, state):
        h = self.decay * state[0] + x
        return h, (h,)
"""
SEGFAULT = "import ctypes\nctypes.string_at(0)\n"
HANG = "import time\ntime.sleep(3600)\n"
GLUTTON = "kept = []\nwhile True:\n    kept.append(bytearray(1 << 24))\n"


@dataclass(frozen=True)
class Plugin:
    """What a distribution holds; ``declaration`` and ``cell`` are Python source.

    The source may say ``{name}`` and ``{module}``; what ends in CELL or DECLARATION above is
    complete.
    """

    name: str = "leaky"
    declaration: str = DECLARATION
    cell: str = CELL
    distribution: str = "archsearch-leaky"
    version: str = "1.0"
    entry: str = "{module}.declared:CELL"

    def install(self, folder: Path) -> None:
        """Write the package and its metadata below a folder that is, or will be, on the path."""
        module = self.distribution.replace("-", "_")
        package = folder / module
        package.mkdir(parents=True)
        words = {"name": self.name, "module": module}
        (package / "__init__.py").write_text("")
        (package / "declared.py").write_text(
            self.declaration.format(**words)
            if self.declaration is DECLARATION
            else self.declaration
        )
        (package / "cell.py").write_text(self.cell)
        info = folder / f"{module}-{self.version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {self.distribution}\nVersion: {self.version}\n"
        )
        entry = self.entry.format(**words)
        (info / "entry_points.txt").write_text(f"[archsearch.cells]\n{self.name} = {entry}\n")


def declared(first: str, last: str = "") -> str:
    """The usual declaration after (and before) some other source."""
    usual = DECLARATION.format(name="leaky", module="archsearch_leaky")
    return f"{first}\n{usual}{last}"


def cell(body: str) -> str:
    """The usual cell with a method replaced or added."""
    return f"{CELL}\n{body}"


FORWARD = """\
    def forward(self, x, state=None):
        y, state = super().forward(x, state)
        return {}, state
"""

PLUGINS: dict[str, tuple[Plugin, ...]] = {
    "K-plugins/01-not-installed.yaml": (),
    "K-plugins/02-no-such-cell-in-it.yaml": (Plugin(),),
    "K-plugins/03-the-name-of-one-of-ours.yaml": (Plugin("gru"),),
    "K-plugins/04-the-name-of-another-visitor.yaml": (
        Plugin(),
        Plugin(distribution="archsearch-other"),
    ),
    "K-plugins/05-a-name-with-a-dot.yaml": (
        Plugin("archsearch-good.leaky", distribution="archsearch-evil"),
    ),
    "K-plugins/06-declared-in-no-module.yaml": (Plugin(entry="archsearch_leaky.gone:CELL"),),
    "K-plugins/07-declared-in-no-attribute.yaml": (Plugin(entry="{module}.declared:GONE"),),
    "K-plugins/08-declaration-imports-what-is-not-there.yaml": (
        Plugin(declaration=declared("import not_there_at_all")),
    ),
    "K-plugins/09-declaration-raises.yaml": (
        Plugin(declaration=declared("raise ValueError('one\\n\\x1b[31mtwo')")),
    ),
    "K-plugins/10-declaration-is-no-python.yaml": (Plugin(declaration="def broken(:\n"),),
    "K-plugins/11-declaration-exits.yaml": (
        Plugin(declaration=declared("import sys\nsys.exit('goodbye')")),
    ),
    "K-plugins/12-declaration-ends-the-process.yaml": (
        Plugin(declaration=declared("import os\nos._exit(0)")),
    ),
    "K-plugins/13-declaration-hangs.yaml": (Plugin(declaration=declared(HANG)),),
    "K-plugins/14-declaration-crashes.yaml": (Plugin(declaration=declared(SEGFAULT)),),
    "K-plugins/15-declaration-eats-memory.yaml": (Plugin(declaration=declared(GLUTTON)),),
    "K-plugins/16-no-declaration.yaml": (Plugin(declaration=declared("", "CELL = print\n")),),
    "K-plugins/17-declares-another-cell.yaml": (
        Plugin(declaration=declared("").replace('"leaky"', '"other"')),
    ),
    "K-plugins/18-an-option-called-choice.yaml": (
        Plugin(declaration=declared("").replace('"decay"', '"choice"')),
    ),
    "K-plugins/19-a-default-out-of-bounds.yaml": (
        Plugin(declaration=declared("").replace("real(0.9", "real(1.9")),
    ),
    "K-plugins/20-cell-in-no-module.yaml": (
        Plugin(declaration=declared("").replace(".cell:", ".gone:")),
    ),
    "K-plugins/21-cell-exits-at-import.yaml": (Plugin(cell="import sys\nsys.exit(3)\n"),),
    "K-plugins/22-cell-hangs-at-import.yaml": (Plugin(cell=HANG),),
    "K-plugins/23-cell-crashes-at-import.yaml": (Plugin(cell=SEGFAULT),),
    "K-plugins/24-no-module.yaml": (Plugin(cell="class Cell:\n    pass\n"),),
    "K-plugins/25-constructor-lacks-an-option.yaml": (
        Plugin(cell=CELL.replace("width, decay=0.9", "width").replace("decay)", "0.9)")),
    ),
    "K-plugins/26-changes-the-shape.yaml": (Plugin(cell=cell(FORWARD.format("y[..., :-1]"))),),
    "K-plugins/27-gives-nan.yaml": (Plugin(cell=cell(FORWARD.format("y / 0 * 0"))),),
    "K-plugins/28-another-version.args": (Plugin(version="2.0"),),
}
