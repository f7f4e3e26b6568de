"""What a submitted study does first on its head node: it moves to where it can stay.

``python -m archsearch.cli.submitted FOLDER ARGUMENTS`` lays the files of the current folder, which
Ray removes some time after the job, into FOLDER, and runs archsearch with the arguments there.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from archsearch.execute.files import written_whole


def settle(here: Path, folder: Path) -> None:
    """Copy every file that is not there yet, whole or not at all; each is named by its content."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in sorted(here.rglob("*")):
        own = folder / path.relative_to(here)
        if path.is_file() and not own.exists():
            with path.open("rb") as source, written_whole(own) as stream:
                shutil.copyfileobj(source, stream)


def main() -> None:
    folder = Path(sys.argv[1]).expanduser()
    settle(Path.cwd(), folder)
    os.chdir(folder)
    os.execv(sys.executable, [sys.executable, "-P", "-m", "archsearch", *sys.argv[2:]])


if __name__ == "__main__":
    main()
