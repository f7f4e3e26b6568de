"""Reading tables: what is accepted, and that every fault is one line that names its place."""

from __future__ import annotations

import gzip
import importlib.util
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from archsearch.errors import DataError
from archsearch.tasks import tables
from archsearch.tasks.tables import read_table
from archsearch.tasks.times import as_dates, as_order, times_after
from archsearch.tasks.values import as_numbers


@pytest.fixture(params=["pyarrow", "without pyarrow"])
def reader(request, monkeypatch):
    if request.param == "without pyarrow":
        monkeypatch.setattr(tables.importlib.util, "find_spec", lambda name: None)
    return request.param


@pytest.mark.parametrize(
    "content",
    [
        "a,b,name\n1,2.5,x y\n3,,z\n",
        "a;b;name\n1;2.5;x y\n3;;z\n",
        "a\tb\tname\r\n1\t2.5\tx y\r\n3\t\tz\r\n",
        '\ufeffa,b,"name"\n1,2.5,"x y"\n3,,z',
        "a, b, name\n1, 2.5, x y\n3, , z\n",
        "a|b|name\n1|2.5|x y\n3||z\n",
        "a;b;name\n1;2,5;x y\n3;;z\n",
        '"a";"b";"name",\n1;2.5;x y\n3;;z\n'.replace(",", ""),
        "a,b,name,,\n1,2.5,x y,,\n3,,z,,\n,,,,\n",
    ],
    ids=[
        "comma",
        "semicolon",
        "tab and crlf",
        "byte order mark and quotes",
        "spaces",
        "bar",
        "decimal commas",
        "quoted header",
        "separators and an empty row at the end",
    ],
)
def test_a_table_is_read_whatever_its_dialect(tmp_path, reader, content):
    path = tmp_path / "t.csv"
    path.write_text(content, encoding="utf-8", newline="")
    table = read_table(path)
    assert list(table.columns) == ["a", "b", "name"]
    assert list(table["name"].str.strip()) == ["x y", "z"]
    numbers = as_numbers(table, ["a", "b"], path)
    np.testing.assert_array_equal(numbers, [[1, 2.5], [3, np.nan]])


FAULTS = {
    "empty": (b"", "is empty"),
    "blank lines": (b"\n\n", "is empty"),
    "header without an end": (b"a,b", "has a header but no rows"),
    "header alone": (b"a,b\n", "has a header but no rows"),
    "short row": (b"a,b,y\n1,2,3\n1,2\n", "line 3 has 2 fields, the header has 3"),
    "long row": (b"a,b,y\n1,2,3\n1,2,3,4\n", "line 3 has 4 fields, the header has 3"),
    "binary": (b"\x00\x01\x02\x03", "is binary, not a table of text"),
    "not utf-8": (b"a,b\n\xff\xfe,1\n", "is not text in UTF-8"),
    "no header": (b"1.5,2.5\n3,4\n", "line 1 holds numbers; add a header line"),
    "two of a name": (b"a,b,a\n1,2,3\n", "two columns are called 'a'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_table_is_one_line_with_its_file(tmp_path, reader, fault):
    content, message = FAULTS[fault]
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_suggests_its_neighbour(tmp_path):
    (tmp_path / "train.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"no such file .did you mean 'train\.csv'"):
        read_table(tmp_path / "trian.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path)


def test_compressed_tables_and_parquet_are_read(tmp_path):
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert list(read_table(packed).columns) == ["a", "b"]
    packed.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(DataError, match="cannot be read: Not a gzipped file"):
        read_table(packed)
    parquet = tmp_path / "t.parquet"
    frame = pd.DataFrame({"x": [1.0, 2.0], "when": pd.to_datetime(["2020-01-01", "2020-01-02"])})
    frame.index.name = "id"
    frame.to_parquet(parquet)
    assert list(read_table(parquet).columns) == ["id", "x", "when"]
    parquet.write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match="is not a readable Parquet file"):
        read_table(parquet)
    pd.DataFrame({"x": [[1, 2], [3, 4]]}).to_parquet(parquet)
    with pytest.raises(DataError, match="column 'x' holds lists; write one row per step"):
        read_table(parquet)


def test_parquet_without_pyarrow_names_the_remedy(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"try 'pip install archsearch\[data\]'"):
        read_table(path)


def test_texts_of_numbers_are_numbers_and_others_are_named_by_row():
    table = pd.DataFrame({"a": [" 1.5", "2e3", None, ""], "b": ["1", "2", "x", "4"]})
    np.testing.assert_array_equal(
        as_numbers(table, ["a"], Path("t.csv"))[:, 0], [1.5, 2000, np.nan, np.nan]
    )
    with pytest.raises(DataError, match=r"t\.csv: column 'b' is not numeric in row 3: 'x'"):
        as_numbers(table, ["a", "b"], Path("t.csv"))
    with pytest.raises(DataError, match="column 'a' is inf in row 2; values must lie"):
        as_numbers(pd.DataFrame({"a": [1.0, np.inf]}), ["a"], Path("t.csv"))


@pytest.mark.parametrize(
    "texts",
    [
        ["2", "10", "100"],
        ["2020-01-31", "2020-02-29", "2020-12-01"],
        ["2019-12", "2020-01", "2020-02"],
        ["1999 Q4", "2000 Q1", "2000 Q2"],
        ["2020-01-01T00:00:00+02:00", "2020-01-01T00:00:00Z", "2020-01-01T02:00:00+01:00"],
        [1_700_000_000_000_000_000, 1_700_000_000_000_000_100, 1_700_000_000_000_000_200],
    ],
)
def test_times_are_ordered_by_what_they_mean(texts):
    moments = as_order(pd.Series(texts, name="t"), Path("t.csv"))
    assert (np.diff(moments) > 0).all()


BERLIN = pd.date_range("2024-10-24", "2024-10-27", freq="D", tz="Europe/Berlin")


@pytest.mark.parametrize(
    ("times", "following"),
    [
        (
            ["2024-11-04 23:00:00+01:00", "2024-11-05 00:00:00+01:00"],
            ["2024-11-05 01:00:00+01:00", "2024-11-05 02:00:00+01:00"],
        ),
        (["2024-11-04T23:00Z", "2024-11-05T00:00Z"], ["2024-11-05 01:00:00+00:00"]),
        (BERLIN, ["2024-10-28 00:00:00+01:00", "2024-10-29 00:00:00+01:00"]),
        (
            ["2024-01-01 00:00:00.1", "2024-01-01 00:00:00.2"],
            ["2024-01-01 00:00:00.300000", "2024-01-01 00:00:00.400000"],
        ),
        ([1_700_000_000_000_000_001, 1_700_000_000_000_000_004], [1_700_000_000_000_000_007]),
        (["30.01.2024", "31.01.2024"], ["2024-02-01", "2024-02-02"]),
        (["2024-01", "2024-02", "2024-03"], ["2024-04-01", "2024-05-01"]),
    ],
)
def test_times_go_on_in_their_zone_and_at_their_spacing(times, following):
    assert times_after(pd.Series(times), len(following)) == following


def test_offsets_of_times_are_kept_as_they_are_written(tmp_path):
    path = tmp_path / "zoned.csv"
    path.write_text("time,y\n2024-11-04 23:00:00+01:00,1\n2024-11-05 00:00:00+01:00,2\n")
    times = read_table(path)["time"]
    assert times.tolist() == ["2024-11-04 23:00:00+01:00", "2024-11-05 00:00:00+01:00"]
    assert times_after(times, 1) == ["2024-11-05 01:00:00+01:00"]


def test_a_time_that_is_none_is_named_by_row():
    with pytest.raises(DataError, match=r"time column 't' is neither .* in row 2: 'soon'"):
        as_order(pd.Series(["2020-01-01", "soon"], name="t"), Path("t.csv"))
    with pytest.raises(DataError, match="time column 't' is empty in row 2"):
        as_order(pd.Series(["1", None], name="t"), Path("t.csv"))
    assert as_dates(pd.Series(["2020-01-01", "soon"])).isna().tolist() == [False, True]


def test_a_million_rows_are_read_in_seconds(tmp_path):
    n = 1_000_000
    path = tmp_path / "long.csv"
    place = np.arange(n)
    frame = pd.DataFrame({"id": place // 100, "t": place % 100, "x": place % 7, "y": place % 3})
    frame.to_csv(path, index=False, chunksize=n)
    begun = time.perf_counter()
    assert len(read_table(path)) == n
    assert time.perf_counter() - begun < 10
