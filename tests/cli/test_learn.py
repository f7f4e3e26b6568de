"""``archsearch predict --learn``: what a user sees of a model that goes on learning."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import Command, run_in

from archsearch.build import build
from archsearch.plugins import load_catalog
from archsearch.serve.bundle import write_bundle
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.settings import TaskSpec
from archsearch.tasks.open import open_task

TEXT = "the quick brown fox jumps over the lazy dog. "


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Command]:
    """Untrained bundles of three tasks, which is where there is most to learn."""
    folder = tmp_path_factory.mktemp("learn")
    rng, time = np.random.default_rng(0), np.arange(160)
    load = 20 + 3 * np.sin(time / 3) + 0.1 * rng.normal(size=160)
    pd.DataFrame({"time": time, "load": load}).to_csv(folder / "load.csv", index=False)
    pd.DataFrame({"time": time[:60], "load": load[:60] + 9}).to_csv(folder / "new.csv", index=False)
    (folder / "text.txt").write_text(TEXT * 40)
    (folder / "new.txt").write_text(TEXT * 3)
    rows = pd.DataFrame(rng.normal(size=(60, 4)), columns=list("abcd"))
    rows.assign(label=np.arange(60) % 2).to_csv(folder / "rows.csv", index=False)
    options = {
        "load": (
            "forecasting",
            {"data": "load.csv", "context": 12, "horizon": 3, "predict": "value"},
        ),
        "text": ("tokens", {"data": "text.txt", "context": 16, "warmup": 4}),
        "rows": ("classification", {"data": "rows.csv"}),
    }
    catalog = load_catalog()
    shape = catalog.complete_architecture(Architecture(8, (Stage((Block(Layer("gru")),)),)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, (kind, given) in options.items():
            spec = TaskSpec(name, Layer.of(kind, **given))
            task = open_task(spec)
            model = build(shape, catalog, task.signature, seed=0)
            write_bundle(
                folder / name, model.state_dict(), shape, task.signature, task.preparation(), {},
                catalog, task=spec,
            )  # fmt: skip
    return folder, run_in(folder)


@pytest.mark.parametrize("learn", ["state", "memory"])
def test_a_series_is_learned_and_forecast(exported: tuple[Path, Command], learn: str) -> None:
    _, command = exported
    done = command("predict", "load", "new.csv", "--learn", learn, "--set", "window=6")
    table = pd.read_csv(io.StringIO(done.stdout))
    assert table["time"].tolist() == [60, 61, 62]
    errors = re.search(r"mae of answers .*: ([\d.]+) learning, ([\d.]+) frozen", done.stderr)
    assert errors is not None
    # corrected states may never lead by enough to answer; then both are the frozen network's
    assert float(errors[1]) < float(errors[2]) or learn == "state"
    assert float(errors[1]) <= float(errors[2])
    assert re.search(
        r"\d+ updates, \d+ refused; the frozen network answered \d+ of 60", done.stderr
    )
    frozen = pd.read_csv(io.StringIO(command("predict", "load", "new.csv").stdout))
    assert list(frozen.columns) == list(table.columns)


def test_a_text_is_learned_from_its_own_characters(exported: tuple[Path, Command]) -> None:
    folder, command = exported
    done = command("predict", "text", "new.txt", "--learn", "memory", "-o", "answers.csv")
    assert "answers in answers.csv" in done.stdout
    table = pd.read_csv(folder / "answers.csv", keep_default_na=False)
    assert "".join(table["character"]) == (TEXT * 3)[1:]
    bits = -pd.to_numeric(table["log2_probability"][:-1])
    assert re.search(r"bits per character of answers given", done.stderr)
    told = float(done.stderr.partition("known: ")[2].split()[0])
    assert bits.mean() == pytest.approx(told, rel=1e-3)
    assert bits[-40:].mean() < bits[:40].mean()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rows", "rows.csv", "--learn", "memory"), "nothing to learn from"),
        (("load", "new.csv", "--learn", "memory", "--set", "rat=1"), "(did you mean 'rate'?)"),
        (("load", "new.csv", "--learn", "memory", "--set", "rate"), "e.g. --set rate=0.05"),
        (("load", "new.csv", "--set", "rate=1"), "--set is of --learn"),
        (("load", "new.csv", "--learn", "state", "--compute", "0.5"), "with all of its layers"),
    ],
)
def test_what_cannot_be_learned_is_said_in_a_line(
    exported: tuple[Path, Command], arguments: tuple[str, ...], said: str
) -> None:
    _, command = exported
    done = command("predict", *arguments, code=2)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_help_ends_with_examples(exported: tuple[Path, Command]) -> None:
    _, command = exported
    assert (
        "--learn memory --set rate=0.05" in command("predict", "--help").stdout.split("Examples")[1]
    )
