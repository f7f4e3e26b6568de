"""``depth:`` of a space file, ``archsearch adapt``, and what its bundles predict."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import SPACE, Command, run_in

from archsearch.cli.curve_picture import picture
from archsearch.serve.manifest import read_manifest

DEPTH = "depth: {policy: prefix, moves: skip, delta: 0.2, epsilon: 0.2}\n"


def write_many(folder: Path, count: int, seed: int, name: str) -> None:
    """Sequences whose class is the sign of their first step: without any layer nobody knows."""
    rng = np.random.default_rng(seed)
    rows = [
        {f"r{step}": 0.3 * rng.normal() + (step == 0) * (start % 2 * 4 - 2) for step in range(8)}
        | {"outcome": "bad" if start % 2 else "good"}
        for start in range(count)
    ]
    pd.DataFrame(rows).to_csv(folder / name, index=False)


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Command, str]:
    """A finished study whose answer adapts its depth, and what the run printed."""
    folder = tmp_path_factory.mktemp("adapted")
    write_many(folder, 300, 0, "starts.csv")
    write_many(folder, 80, 1, "more.csv")
    space = SPACE.replace("{int: [1, 2]}", "2").replace("trials: 5", "trials: 1")
    space = space.replace("seeds: 2, baselines: [lstm]", "seeds: 1, baselines: []")
    space = space.replace("steps: 25", "steps: 80")
    (folder / "starts.yaml").write_text(space + DEPTH)
    command = run_in(folder)
    done = command("run", "starts.yaml", "--quiet", "--export", "out")
    return folder, command, done.stdout


def test_a_run_adapts_its_answer_and_show_prints_it_again(
    adapted: tuple[Path, Command, str],
) -> None:
    folder, command, text = adapted
    shown = command("show", "starts").stdout
    for part in (text, shown):
        assert "depth by 'prefix'" in part
        assert "all policies, by the area under the curve" in part
        assert "static" in part
        # what uses labels stands apart, after all that does not, beside its null rates
        before, _, oracle = part.partition("oracle (uses labels)")
        assert "null: wrong label" in oracle
        assert "null: wrong label" not in before
    plain = json.loads(command("show", "starts", "--json").stdout)["depth"]
    assert plain == read_manifest(folder / "out").depth
    assert plain["report"]["settings"]["delta"] == 0.2
    sizes = plain["report"]["sequences"]
    assert sizes["search"] + sizes["tune"] + sizes["calibrate"] == 60
    assert sizes["test"] == 60


def test_predictions_take_as_much_compute_as_they_are_given(
    adapted: tuple[Path, Command, str],
) -> None:
    folder, command, _ = adapted
    whole = command("predict", "out", "more.csv")
    assert "layers" not in whole.stderr
    full = command("predict", "out", "more.csv", "--compute", "1")
    assert full.stdout == whole.stdout
    assert "100.0% of the layers" in full.stderr
    depth = read_manifest(folder / "out").depth
    assert depth is not None
    certified = depth["certificate"]["setting"]
    half = depth["compute"].index(0.5)
    arguments = ("predict", "out", "more.csv", "--compute", "0.5")
    if half > certified:
        assert "--uncertified" in command(*arguments, code=2).stderr
        arguments = (*arguments, "--uncertified")
    less = command(*arguments)
    assert "50.0% of the layers" in less.stderr
    assert less.stdout != whole.stdout
    refused = command("predict", "out", "more.csv", "--compute", "0", code=2)
    assert refused.stderr.count("\n") == 1
    assert "certified" in refused.stderr


def test_a_bundle_is_written_out_with_its_policy(adapted: tuple[Path, Command, str]) -> None:
    folder, command, _ = adapted
    done = command("export", "out", "plain", "--standalone")
    assert "exported" in done.stdout
    assert "needs torch and safetensors only" in done.stdout
    assert "def load_adaptive(" in (folder / "plain" / "model.py").read_text()
    for arguments, words in (
        (("out", "other"), "is a bundle already; add --standalone"),
        (("out", "other", "--standalone", "--candidate", "lstm"), "--candidate is for a study"),
        (("out", "plain", "--standalone"), "add --force"),
    ):
        refused = command("export", *arguments, code=2)
        assert words in refused.stderr
        assert refused.stderr.count("\n") == 1
    assert not (folder / "other").exists()


def test_a_bundle_is_adapted_with_a_file_of_its_own(adapted: tuple[Path, Command, str]) -> None:
    folder, command, _ = adapted
    done = command(
        *("adapt", "out", "again", "--data", "more.csv", "--policy", "gap", "--moves", "skip"),
        *("--guarantee", "crc", "--picture", "depth.svg", "--json"),
    )
    depth = json.loads(done.stdout)
    assert depth["name"] == "gap"
    assert depth["certificate"]["method"] == "crc"
    assert depth["report"]["sequences"]["test"] == 20
    assert (folder / "out" / "model.safetensors").read_bytes() == (
        folder / "again" / "model.safetensors"
    ).read_bytes()
    drawing = (folder / "depth.svg").read_text()
    assert drawing == picture(read_manifest(folder / "again").depth or {})
    texts = [node.text for node in ET.fromstring(drawing).iter() if node.tag.endswith("text")]
    for word in ("gap", "static", "prefix", "accuracy on test"):
        assert word in texts
    for arguments, words in (
        (("adapt", "out", "new"), "--data"),
        (("adapt", "out"), "name the folder"),
        (("adapt", "out", "new", "--data", "more.csv", "--trial", "0"), "--trial is for a study"),
    ):
        refused = command(*arguments, code=2)
        assert refused.stderr.count("\n") == 1
        assert words in refused.stderr
    assert not (folder / "new").exists()


@pytest.mark.parametrize("size", [1e-12, 0.9, 7.0, 5e10])
def test_a_picture_has_a_few_lines_whatever_the_scores(size: float) -> None:
    points = [
        {"compute": share, "score": -size * (2 - share), "interval": [-2 * size, -size]}
        for share in (0.5, 1.0)
    ]
    drawn = picture({"name": "gap", "report": {"score": "score", "curves": {"gap": points}}})
    marks = [
        float(node.text or "")
        for node in ET.fromstring(drawn).iter()
        if node.get("text-anchor") == "end"
    ]
    assert 3 <= len(marks) <= 8
    assert marks == sorted(set(marks))
    assert -2.1 * size <= marks[0] < marks[-1] <= -0.9 * size
