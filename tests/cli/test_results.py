"""The commands that read a finished study: show, leaderboard, studies, export, predict."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from commands import SPACE, Command, run_in, write_starts

from archsearch.cli import studies as listing
from archsearch.cli.answer import precision
from archsearch.cli.facts import data_lines
from archsearch.cli.results import run_folder
from archsearch.store.store import open_store

Finished = tuple[Path, Command]


def test_show_a_study(finished: Finished) -> None:
    _, command = finished
    plain = json.loads(command("show", "starts", "--json").stdout)
    assert plain["trials"] == 5
    assert plain["chance"]["accuracy"] == pytest.approx(0.5)
    assert {c["role"] for c in plain["evidence"]["candidates"]} == {"finalist", "baseline"}


def test_show_a_trial(finished: Finished) -> None:
    _, command = finished
    text = command("show", "starts", "0").stdout
    assert "rmsnorm" in text
    assert "accuracy" in text
    plain = json.loads(command("show", "starts", "0", "--json").stdout)
    assert plain["state"] == "complete"
    assert len(plain["curve"]) == 10


def test_leaderboard_is_ordered(finished: Finished) -> None:
    _, command = finished
    table = json.loads(command("leaderboard", "starts", "--json").stdout)
    values = [row["metrics"]["accuracy"] for row in table]
    assert values == sorted(values, reverse=True)
    assert "curve" in command("leaderboard", "starts").stdout


def test_unknown_names_are_explained(finished: Finished) -> None:
    _, command = finished
    assert "did you mean 'starts'" in command("show", "strats", code=2).stderr
    assert "0 to 4" in command("show", "starts", "99", code=2).stderr
    missing = command("studies", "--storage", "sqlite:///none.db", code=2).stderr
    assert "none.db" in missing
    assert not (finished[0] / "none.db").exists()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([0.25, 0.5, None], ["0.2500", "0.5000"]),
        ([1.5e-12, 2.0e-12], ["1.5e-12", "2e-12"]),
        ([2_460_960_039_476.0, 0.5], ["2.461e+12", "0.5"]),
        ([123_456_789.0], ["123,456,789"]),
        ([0.0, None], ["0.0000"]),
    ],
)
def test_no_value_is_told_as_zero_or_in_rows_of_digits(
    values: list[float | None], told: list[str]
) -> None:
    spelling = precision(values)
    assert [f"{value:{spelling}}" for value in values if value is not None] == told


def test_a_study_of_which_nothing_counts(tmp_path: Path) -> None:
    """None of its trials keeps the constraints: every command says that."""
    write_starts(tmp_path)
    command = run_in(tmp_path)
    space = tmp_path / "starts.yaml"
    space.write_text(SPACE.replace("trials: 5", "trials: 1, constraints: {params: '<= 1'}"))
    done = command("run", "starts.yaml")
    assert "starts · search: 1 trial\n" in done.stderr
    said = done.stdout
    why = "no trial completed within the constraints"
    assert "starts: 1 trial (1 complete); the one trial is done" in said
    assert f"{why}; see: archsearch leaderboard" in said
    told = command("export", "starts", "out", code=2).stderr
    assert told == f"error: study 'starts' kept no model: {why}\n"
    told = command("adapt", "starts", "out", code=2).stderr
    assert told == f"error: study 'starts' has nothing to adapt: {why}\n"


def test_no_name_acts_on_a_terminal() -> None:
    facts = {"data": "a.csv", "train": 5, "validation": 2, "test": 200, "inputs": 1, "length": 3}
    lines = data_lines({**facts, "target": "\x1b]0;x\x07", "notes": ["constant: \x1b[31mred"]})
    assert lines[0].startswith("data: a.csv, target '\\x1b]0;x\\x07': 5 train")
    assert lines[1] == "note: constant: \\x1b[31mred"


def test_no_url_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a password may stand in it."""
    monkeypatch.setattr(listing, "open_store", lambda *_, **__: open_store("sqlite://"))
    url = "postgresql://me:hush@host/db"
    said = CliRunner().invoke(listing.studies, ["--storage", url], catch_exceptions=False).output
    assert said == "no studies in :memory:; begin one with: archsearch run SPACE.YAML\n"


@pytest.mark.parametrize("name", ["a%20b/studies.db", "plain.db"])
def test_the_folder_of_a_study_is_beside_its_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("a b", "a%20b"):
        (tmp_path / folder).mkdir()
    with open_store(f"sqlite:///{name}") as store:
        assert run_folder(f"sqlite:///{name}", "one").parents[1] == store.folder


def test_predict_words_the_answers(finished: Finished, tmp_path: Path) -> None:
    folder, command = finished
    pd.read_csv(folder / "starts.csv").drop(columns="outcome").to_csv(tmp_path / "new.csv")
    answers = tmp_path / "answers.csv"
    command("predict", "exports/starts", str(tmp_path / "new.csv"), "-o", str(answers))
    table = pd.read_csv(answers)
    assert len(table) == 60
    assert set(table["prediction"]) <= {"good", "bad"}
    total = table["probability good"] + table["probability bad"]
    assert total.to_numpy() == pytest.approx(1.0, abs=1e-5)


def test_export_another_competitor(finished: Finished, tmp_path: Path) -> None:
    _, command = finished
    target = tmp_path / "deep" / "lstm"
    command("export", "starts", str(target), "--candidate", "lstm")
    facts = json.loads((target / "bundle.json").read_text())["facts"]
    assert facts["competitor"] == "lstm"
    assert "exists" in command("export", "starts", str(target), code=2).stderr
    command("export", "starts", str(target), "--candidate", "lstm", "--force")
    wrong = command("export", "starts", str(tmp_path / "x"), "--candidate", "lsmt", code=2).stderr
    assert "did you mean 'lstm'" in wrong


def test_export_trains_again_when_the_weights_are_gone(finished: Finished, tmp_path: Path) -> None:
    folder, command = finished
    command("export", "starts", str(tmp_path / "kept"))
    weights = folder / "archsearch-runs"
    hidden = weights.rename(tmp_path / "hidden")
    try:
        done = command("export", "starts", str(tmp_path / "again"))
    finally:
        if weights.exists():
            weights.rename(tmp_path / "retrained")
        hidden.rename(weights)
    assert "training them again" in done.stderr
    one = (tmp_path / "kept" / "model.safetensors").read_bytes()
    assert one == (tmp_path / "again" / "model.safetensors").read_bytes()
