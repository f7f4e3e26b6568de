"""Text in UTF-16 is read where a byte order mark says so; whole numbers that round are told."""

from __future__ import annotations

import codecs
import gzip

import numpy as np
import pytest

from archsearch.errors import DataError
from archsearch.tasks.characters import read_text
from archsearch.tasks.tables import read_table

TABLE = "größe;b;name\r\n1;2,5;x y\r\n3;;Ω\r\n"
MARKED = {
    "UTF-8": codecs.BOM_UTF8 + TABLE.encode(),
    "UTF-16 LE": codecs.BOM_UTF16_LE + TABLE.encode("utf-16-le"),
    "UTF-16 BE": codecs.BOM_UTF16_BE + TABLE.encode("utf-16-be"),
}


@pytest.mark.parametrize("encoding", MARKED)
def test_a_mark_says_what_a_text_is_written_in(tmp_path, encoding):
    plain, packed, text = (tmp_path / name for name in ("t.csv", "t.csv.gz", "t.txt"))
    for path in (plain, text):
        path.write_bytes(MARKED[encoding])
    packed.write_bytes(gzip.compress(MARKED[encoding]))
    for path in (plain, packed):
        table = read_table(path)
        assert list(table.columns) == ["größe", "b", "name"]
        assert list(table["name"]) == ["x y", "Ω"]
        np.testing.assert_array_equal(table[["größe", "b"]], [[1, 2.5], [3, np.nan]])
    assert read_text(text) == TABLE.replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (MARKED["UTF-16 LE"][:-1], "is damaged text in UTF-16; save it in UTF-8"),
        (TABLE.encode("utf-32"), "is text in UTF-32; save it in UTF-8"),
        (codecs.BOM_UTF16_LE + "a;b\n".encode("utf-16-le"), "has a header but no rows"),
        # without a mark nothing says so
        ("1;2\n".encode("utf-16-le"), "is binary, not a table of text"),
    ],
)
def test_what_is_damaged_or_not_marked_is_one_line(tmp_path, content, words):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert str(caught.value) == f"{path}: {words}"


@pytest.mark.parametrize(
    ("largest", "told"), [(-(2**53) - 1, 1), (2**63 + 1, 1), (2**70 + 1, 1), (2**53 - 1, 0)]
)
def test_a_target_beyond_whole_numbers_is_told_in_one_line(opened, tmp_path, largest, told):
    path = tmp_path / "r.csv"
    rows = "".join(
        f"{place},{place % 3},{target}\n" for place, target in enumerate([largest, 1] * 9)
    )
    path.write_text(f"0,1,y\n{rows}")
    notes = opened("regression", data=str(path), target="y").describe()["notes"]
    assert sum("beyond 2^53" in note for note in notes) == told
