"""Faults in files of sequences: one line each, with the place."""

from __future__ import annotations

import numpy as np
import pytest
from sequence_tables import long_table

from archsearch.errors import DataError

FAULTS = {
    "three rows": (["a,b,y", "1,2,u", "2,3,v", "1,1,u"], {}, "3 sequences are too few"),
    "no such target": (None, {"target": "lable"}, "no column 'lable' .target.*mean 'label'"),
    "no such feature": (None, {"features": "step0, stp1"}, "no column 'stp1' .features.*'step1'"),
    "target as feature": (None, {"features": "step0,label"}, "cannot be both target and feature"),
    "text feature": (None, {"target": "step0"}, "column 'label' is not numeric in row 1"),
    "long without id": (None, {"layout": "long"}, "needs an id column; name it with 'id'"),
    "time in wide": (None, {"time": "step0"}, "a time column needs the layout long"),
    "one class": (["a,y"] + ["1,u"] * 9, {}, "target 'y' has one class"),
    "numbers as classes": (
        ["a,y", *[f"1,{place / 7}" for place in range(20)]],
        {},
        "20 different values in 20 sequences.*regression",
    ),
    "empty target": (["a,y"] + ["1,u", "2,"] * 9, {}, "'y' is missing in 9 rows, first in row 2"),
    "all classes single": (
        ["a,b,y", *[f"1,2,{label}" for label in "aabbccddeeffgghhi"[::2]]],
        {},
        "9 different values in 9",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_data_is_one_line(opened, tmp_path, wide, fault):
    lines, options, message = FAULTS[fault]
    path = wide
    if lines is not None:
        path = tmp_path / "faulty.csv"
        path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=message) as caught:
        opened("classification", data=str(path), **options)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def test_faults_of_long_tables_name_the_sequence(opened, tmp_path):
    path = tmp_path / "long.csv"
    table = long_table().sort_values(["id", "time"])
    changed = table.copy()
    changed.iloc[1, -1] = "other"
    changed.to_csv(path, index=False)
    with pytest.raises(DataError, match="target 'label' changes within 'id' s0"):
        opened("classification", data=str(path))
    changed = table.copy()
    changed.iloc[1, 1] = 0
    changed.to_csv(path, index=False)
    with pytest.raises(DataError, match="time '0' occurs twice in s0, see row 2"):
        opened("classification", data=str(path))
    changed = table.copy()
    changed.iloc[2, 0] = None
    changed.to_csv(path, index=False)
    with pytest.raises(DataError, match="id column 'id' is empty in row 3"):
        opened("classification", data=str(path))


def test_array_files_never_unpickle(opened, tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    with pytest.raises(DataError, match=r"is not a readable \.npz: Object arrays"):
        opened("classification", data=str(path))
    path.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(DataError, match=r"is not a readable \.npz"):
        opened("classification", data=str(path))
    np.savez(path, values=np.zeros((9, 4)), y=np.zeros(9))
    with pytest.raises(DataError, match="has no array 'x'; its arrays are values, y"):
        opened("classification", data=str(path))
    np.savez(path, x=np.zeros((9, 4)), y=np.zeros(8))
    with pytest.raises(DataError, match=r"y must have shape .9,., got .8,."):
        opened("classification", data=str(path))
    np.savez(path, x=np.zeros(9), y=np.zeros(9))
    with pytest.raises(DataError, match="x must be numbers of shape"):
        opened("classification", data=str(path))


def test_an_unknown_kind_of_file_lists_the_readers(opened, tmp_path):
    path = tmp_path / "x.xlsx"
    path.write_bytes(b"PK")
    with pytest.raises(DataError, match=r"no reader for this kind of file.*\.csv.*\.ts"):
        opened("classification", data=str(path))
