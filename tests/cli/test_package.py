"""What is sent with a study, and how it lies where it is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from archsearch.cli import package
from archsearch.cli.lock import open_space
from archsearch.cli.package import Package, pack
from archsearch.cli.plans import plans_of
from archsearch.cli.submitted import settle
from archsearch.errors import InputError
from archsearch.study.plan import is_same

SPACE = """
archsearch: 1
{tasks}
space: {{width: 4, stages: [{{blocks: [{{cell: gru}}]}}], training: {{steps: 2}}}}
"""
ROWS = "a,b,kind\n" + "".join(f"{k % 7},{k % 5},{'xy'[k % 7 < 3]}\n" for k in range(60))


@pytest.fixture
def space(tmp_path: Path) -> Path:
    own = tmp_path / "own"
    own.mkdir()
    (own / "train.csv").write_text(ROWS)
    path = own / "study.yaml"
    path.write_text(SPACE.format(tasks="task: {name: classification, data: train.csv}"))
    return path


def packed(space: Path, place: Path, *overrides: tuple[str, str], shared: bool = False) -> Package:
    place.mkdir()
    return pack(open_space(space, overrides)[0], place, shared)


def opened(place: Path, made: Package) -> tuple[dict[str, object], str]:
    """Fingerprint and name of the study that the package makes in a folder."""
    pairs = [(key, text) for key, _, text in (a.partition("=") for a in made.assignments)]
    file, catalog = open_space(place / made.space, pairs)
    (plan,) = plans_of(file, catalog)
    return plan.fingerprint(), plan.name


def test_the_study_is_the_same_but_for_where_its_data_lies(space: Path, tmp_path: Path) -> None:
    made = packed(space, tmp_path / "sent", ("search.seed", "5"))
    found, name = opened(tmp_path / "sent", made)
    (here,) = plans_of(*open_space(space, [("search.seed", "5")]))
    before = here.fingerprint()
    assert name == here.name == "study"
    assert (found["data"], found["seed"]) == (before["data"], 5)
    assert found["space"] == before["space"]


def test_sent_twice_it_is_the_same_study_in_one_place(space: Path, tmp_path: Path) -> None:
    stays = tmp_path / "stays"
    prints = []
    for time in ("first", "second"):
        made = packed(space, tmp_path / time)
        settle(tmp_path / time, stays)
        prints.append(opened(stays, made)[0])
        # another file beside it changes nothing
        space.write_text(space.read_text() + "search: {trials: 7}\n")
    assert is_same(prints[0], prints[1])
    assert len(list(stays.glob("spaces/*/study.yaml"))) == 2
    (data,) = stays.glob("data/*/train.csv")
    assert data.read_text() == ROWS
    assert stays.stat().st_mode & 0o077 == 0


def test_other_data_is_another_file(space: Path, tmp_path: Path) -> None:
    stays = tmp_path / "stays"
    for time, rows in (("first", ROWS), ("second", ROWS + "1,1,x\n")):
        (space.parent / "train.csv").write_text(rows)
        packed(space, tmp_path / time)
        settle(tmp_path / time, stays)
    assert {path.read_text() for path in stays.glob("data/*/train.csv")} == {ROWS, ROWS + "1,1,x\n"}


def test_of_several_tasks_each_has_its_own(space: Path, tmp_path: Path) -> None:
    (space.parent / "other.csv").write_text(ROWS.replace("kind", "sort"))
    tasks = "[{name: classification, data: train.csv}, {name: parity, length: 6},"
    tasks += " {name: classification, data: other.csv}]"
    space.write_text(SPACE.format(tasks=f"tasks: {tasks}"))
    made = packed(space, tmp_path / "sent")
    keys = [assignment.partition("=")[0] for assignment in made.assignments]
    assert keys == ["tasks.0.data", "tasks.2.data"]
    pairs = [(key, text) for key, _, text in (a.partition("=") for a in made.assignments)]
    file, _ = open_space(tmp_path / "sent" / made.space, pairs)
    names = [Path(str(dict(task.layer.options).get("data"))).name for task in file.tasks]
    assert names == ["train.csv", "None", "other.csv"]


def test_shared_data_is_named_and_not_sent(space: Path, tmp_path: Path) -> None:
    made = packed(space, tmp_path / "sent", shared=True)
    assert made.assignments == (f'task.data="{space.parent}/train.csv"',)
    assert not (tmp_path / "sent" / "data").exists()


def test_what_is_too_large_is_refused_with_a_remedy(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "MOST_BYTES", len(ROWS) - 1)
    with pytest.raises(InputError, match=r"train\.csv: .* give --shared"):
        packed(space, tmp_path / "sent")
    assert packed(space, tmp_path / "there", shared=True).plugins == ()


def test_a_copy_that_broke_off_is_made_whole(space: Path, tmp_path: Path) -> None:
    packed(space, tmp_path / "sent")
    stays = tmp_path / "stays"
    for path in (tmp_path / "sent").rglob("train.csv"):
        unfinished = stays / path.relative_to(tmp_path / "sent").with_name(".train.csv.1.2.tmp")
        unfinished.parent.mkdir(parents=True)
        unfinished.write_text("half")
    settle(tmp_path / "sent", stays)
    (data,) = stays.glob("data/*/train.csv")
    assert data.read_text() == ROWS
