"""The JSON Schema and the reader agree on what a space file is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from test_badfiles import GOOD
from test_spacefile import DESIGN

from archsearch.plugins import load_catalog
from archsearch.spec.catalog import Catalog, CellType, choice
from archsearch.spec.document import parse
from archsearch.spec.positions import Listing, Located, Scalar, Table
from archsearch.spec.scalars import resolve
from archsearch.spec.schema import json_schema
from archsearch.spec.spacefile import read_space

VALID = [
    DESIGN,
    GOOD,
    GOOD + "confirm: none\nname: a b\nexecution: {workers: 2, timeout: 10m, memory: 4 GB}\n",
    GOOD + "search: {sampler: {name: tpe, startup: 5}, stopping: {name: halving, eta: 2}}\n",
    GOOD + "search: {cost: 2 gpu-hours, time: 1.5h, constraints: {params: '< 5e4'}}\n",
    GOOD.replace("32", "{choice: [16, {int: [32, 64], step: 16}]}"),
    GOOD.replace("gru", "{name: archsearch.gru, reset: {choice: [after, before]}}"),
    GOOD.replace("gru", "{choice: [{choice: [gru, lstm]}, rnn]}"),
    GOOD.replace("cell: gru", "cell: gru\n          norm: {choice: [rmsnorm, layernorm]}"),
    GOOD.replace("task: parity", "tasks: [parity, {name: mqar, pairs: 4, label: recall}]"),
    GOOD
    + "  training: {options: search, steps: {int: [10, 100], log: true}}\n  head: {pool: max}\n",
]
BAD = Path(__file__).parent.parent / "bad"
# what the schema does not say: 32.0 is no whole number, zero times, texts of numbers, sums, rules
# across keys, files
BEYOND = (
    *(
        "E18",
        "E19",
        "E20",
        "F03",
        "F12",
        "F42",
        "H04",
        "H05",
        "H07",
        "H09",
        "H16",
        "H21",
        "H25",
        "H26",
    ),
    *("I02", "I07", "I08", "I09", "I14", "I15", "I16", "I19", "I20", "I21", "I23", "I27", "I28"),
    "I29",
)


def refused() -> list[str]:
    """Files of the corpus in which the nodes themselves, and not the YAML, are at fault."""
    rows = [line.split("\t") for line in (BAD / "expect.tsv").read_text("utf-8").splitlines()]
    said = [file for file, _, _, _, key, *_ in rows if file[0] in "DEFHI" and key != "document"]
    short = {file: file[0] + file.partition("/")[2][:2] for file in said}
    return [file for file in said if short[file] not in BEYOND and (BAD / file).exists()]


def plain(node: Located) -> Any:
    match node:
        case Scalar():
            return resolve(node)
        case Listing():
            return [plain(item) for item in node.items]
        case Table():
            return {key.text: plain(value) for key, value in node.entries}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture(scope="module")
def validator(catalog: Catalog) -> jsonschema.Draft202012Validator:
    schema = json_schema(catalog)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("text", VALID)
def test_what_the_reader_accepts_is_valid(tmp_path: Path, catalog, validator, text):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    read_space(path, catalog)
    validator.validate(plain(parse(text, "s.yaml")))


@pytest.mark.parametrize("file", refused())
def test_what_the_reader_refuses_is_invalid(validator, file):
    text = (BAD / file).read_text("utf-8")
    assert not validator.is_valid(plain(parse(text, "s.yaml")))


def test_a_layer_that_is_not_loaded_is_checked_by_its_name_only():
    loaded: list[str] = []

    def load() -> CellType:
        loaded.append("visitor")
        return CellType("visitor", "x:y", {"mode": choice("a", "b")})

    catalog = Catalog([CellType("gru", "x:y")], {("cell", "visitor"): load})
    cell = {"$defs": json_schema(catalog)["$defs"], "$ref": "#/$defs/cell"}
    check = jsonschema.Draft202012Validator(cell).is_valid
    assert check("visitor")
    assert check({"name": "visitor", "mode": "c"})
    assert not check({"name": "visitors"})
    assert not check({"name": "gru", "mode": "a"})
    assert loaded == []
