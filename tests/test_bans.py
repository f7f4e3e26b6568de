"""What may never stand in the sources: ways in which data could become code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = [*sorted((ROOT / "archsearch").rglob("*.py")), *sorted((ROOT / "plugins").rglob("*.py"))]

BANNED = {
    "pickle": r"\b(?:pickle|dill|cloudpickle|joblib|shelve|marshal)\.|import (?:pickle|dill)",
    "torch.load": r"(?<!safetensors\.)\btorch\.load\(|(?<!safetensors\.)\btorch\.save\(",
    "eval": r"(?<![\w.])eval\(",
    "exec": r"(?<![\w.])exec\(",
    "unsafe yaml": r"\byaml\.(?:load|unsafe_load|full_load)(?:_all)?\(",
    "shell": r"\bshell\s*=\s*True|\bos\.system\(|\bos\.popen\(",
    "pickled arrays": r"allow_pickle\s*=\s*True",
    "SQL by format": r"\btext\(f[\"']|\.exec_driver_sql\(f[\"']",
    "temporary name race": r"\bmktemp\(",
}


@pytest.mark.parametrize("name", BANNED)
def test_nothing_banned(name: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(BANNED[name], line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("pickle", "state = pickle.loads(data)"),
        ("torch.load", "torch.load(path, weights_only=True)"),
        ("eval", "value = eval(text)"),
        ("exec", "exec(code)"),
        ("unsafe yaml", "yaml.load(text, Loader=yaml.SafeLoader)"),
        ("shell", "run(command, shell=True)"),
        ("pickled arrays", "np.load(path, allow_pickle=True)"),
        ("SQL by format", 'text(f"SELECT {name}")'),
        ("temporary name race", "path = tempfile.mktemp()"),
    ],
)
def test_the_patterns_find_what_they_are_for(name: str, line: str) -> None:
    assert re.search(BANNED[name], line)


def test_every_pattern_is_tried() -> None:
    assert not re.search(BANNED["eval"], "model.eval()")
    assert not re.search(BANNED["exec"], "driver.exec(1)")
