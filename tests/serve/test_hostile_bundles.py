"""Damaged and hostile bundles: each is refused with one line that names the file and the fault."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from exported import export, network

from archsearch.errors import StateError
from archsearch.serve.bundle import MANIFEST, WEIGHTS, read_bundle
from archsearch.spec.architecture import architecture_from_plain

Header = dict[str, Any]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    return export(tmp_path / "best", network("lstm")).path


def refused(path: Path, match: str) -> str:
    begun = time.process_time()
    tracemalloc.start()
    with pytest.raises(StateError, match=match) as raised:
        read_bundle(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.process_time() - begun < 2
    assert peak < 60 << 20
    line = str(raised.value)
    assert str(path) in line
    assert line.isprintable()
    assert len(line) < 600
    return line


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the manifest, as who takes its seal off; a returned value replaces it."""
    plain = json.loads((path / MANIFEST).read_text())
    plain.pop("seal", None)
    replaced = change(plain)
    (path / MANIFEST).write_text(json.dumps(plain if replaced is None else replaced))


def rehash(path: Path) -> None:
    digest = hashlib.sha256((path / WEIGHTS).read_bytes()).hexdigest()
    edit(path, lambda plain: plain["weights"].update(sha256=digest))


def reweigh(path: Path, change: Callable[[Header, bytearray], Any]) -> None:
    """Change the header and the tensors behind it, with a checksum that fits."""
    data = (path / WEIGHTS).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])
    replaced = change(header, body)
    text = json.dumps(header).encode() if not isinstance(replaced, bytes) else replaced
    (path / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + body)
    rehash(path)


def first(header: Header) -> str:
    """The name of the tensor that lies last in the file."""
    names = [name for name in header if name != "__metadata__"]
    return max(names, key=lambda name: header[name]["data_offsets"])


# --- the manifest


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"", "expected JSON"),
        (b"not json", "expected JSON"),
        (b"\xff\xfe{}", "expected JSON"),
        (b"{}", "is not an archsearch bundle"),
        (b"[]", "is not an archsearch bundle"),
        (b"null", "is not an archsearch bundle"),
        (b'{"format": "archsearch bundle"', "expected JSON"),
        (b'{"format": 1, "format": 2}', "a key occurs twice"),
        (b'{"format": NaN}', "not a finite number"),
        (b'{"format": 1e999}', "not a finite number"),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 5000, "expected JSON"),
        (b" " * ((1 << 24) + 1), "at most 16777216 bytes"),
    ],
)
def test_a_manifest_that_is_none(bundle: Path, text: bytes, match: str) -> None:
    (bundle / MANIFEST).write_bytes(text)
    refused(bundle, match)


@pytest.mark.parametrize(
    ("version", "match"),
    [
        (3, "has format version 3, this archsearch reads up to 2; upgrade archsearch"),
        (0, "version: expected a whole number, got 0"),
        (True, "version: expected a whole number, got True"),
        ("1", "version: expected a whole number"),
        (None, "version: expected a whole number"),
    ],
)
def test_another_format(bundle: Path, version: object, match: str) -> None:
    edit(bundle, lambda plain: plain.update(version=version))
    refused(bundle, match)


@pytest.mark.parametrize(
    ("part", "key", "value"), [("preparation", "mean", 0.25), ("facts", "study", "another")]
)
def test_a_changed_word_or_number(bundle: Path, part: str, key: str, value: object) -> None:
    before = (bundle / MANIFEST).read_bytes()
    plain = json.loads(before)
    plain[part][key] = value
    (bundle / MANIFEST).write_text(json.dumps(plain))
    refused(bundle, "was changed after the export; put it back, or export it again")
    # another spelling is no change, and earlier bundles have no seal
    (bundle / MANIFEST).write_text(json.dumps(json.loads(before), sort_keys=True))
    assert read_bundle(bundle).state
    edit(bundle, lambda plain: None)
    assert read_bundle(bundle).state


PARTS = (
    "architecture",
    "signature",
    "task",
    "preparation",
    "facts",
    "versions",
    "plugins",
    "weights",
)
WRONG = (None, [], 7, {"x": 1}, "\x1b[31m\n")
LEGAL = (("plugins", []), ("facts", {"x": 1}), ("preparation", {"x": 1}))


@pytest.mark.parametrize("key", PARTS)
def test_a_part_of_the_manifest_that_is_missing(bundle: Path, key: str) -> None:
    edit(bundle, lambda plain: {name: part for name, part in plain.items() if name != key})
    refused(bundle, f"{key} is missing")


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value) for key in PARTS for value in WRONG if (key, value) not in LEGAL],
)
def test_a_part_of_the_manifest_that_is_wrong(bundle: Path, key: str, value: object) -> None:
    edit(bundle, lambda plain: plain.update({key: value}))
    refused(bundle, f"{key} is malformed")


@pytest.mark.parametrize(
    ("where", "value", "match"),
    [
        (("width",), 10**9, "from 1 to 65536"),
        (("width",), -1, "from 1 to 65536"),
        (("width",), 6.0, "from 1 to 65536"),
        (("width",), True, "from 1 to 65536"),
        (("stages", 0, "repeat"), 10**12, "from 1 to 1000"),
        (("stages", 0, "loops"), 10**9, "from 1 to 1000"),
        (("stages", 0, "loops"), "2", "from 1 to 1000"),
        (("stages", 0, "blocks"), 3, "malformed"),
        (("stages", 0, "blocks", 0, "cell", "name"), "../lstm", "does not match"),
        (("stages", 0, "blocks", 0, "cell", "name"), "__class__", "does not match"),
        (("stages", 0, "blocks", 0, "cell"), {"name": "lstm"}, "malformed"),
        (("stages", 0, "blocks", 0, "extra"), {"name": "a", "options": {}}, "malformed"),
        (("head",), [], "malformed"),
    ],
)
def test_a_hostile_architecture(
    bundle: Path, where: tuple[Any, ...], value: object, match: str
) -> None:
    def change(plain: dict[str, Any]) -> None:
        part = plain["architecture"]
        for key in where[:-1]:
            part = part[key]
        part[where[-1]] = value

    edit(bundle, change)
    refused(bundle, f"architecture is malformed .*{match}|architecture is {match}")


def resign(plain: dict[str, Any]) -> None:
    """Make the digest fit, as somebody who knows the format would."""
    plain["digest"] = architecture_from_plain(plain["architecture"]).digest


def test_many_blocks_in_many_stages(bundle: Path) -> None:
    def change(plain: dict[str, Any]) -> None:
        plain["architecture"]["stages"] = plain["architecture"]["stages"] * 1001

    edit(bundle, change)
    refused(bundle, "at most 1000 blocks, got 1001")


def test_a_changed_architecture_does_not_fit_its_digest(bundle: Path) -> None:
    edit(bundle, lambda plain: plain["architecture"].update(width=7))
    refused(bundle, "digest: expected .*; the architecture was changed after the export")


def test_a_wide_architecture_is_compared_before_it_is_allocated(bundle: Path) -> None:
    def change(plain: dict[str, Any]) -> None:
        plain["architecture"]["width"] = 65_000
        resign(plain)

    edit(bundle, change)
    refused(bundle, r"tensor .* is F32 .*, the model needs float32 .*65000")


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("lsmt", {}, "got 'lsmt' .*did you mean 'lstm'"),
        ("lstm", {"forgets": 1.0}, "has no option 'forgets'"),
        ("lstm", {"forget_bias": 1e6}, "expected a number from"),
        ("gla", {"heads": 5}, "cannot be built"),
    ],
)
def test_a_layer_that_the_catalog_does_not_take(
    bundle: Path, name: str, options: dict[str, Any], match: str
) -> None:
    def change(plain: dict[str, Any]) -> None:
        cell = plain["architecture"]["stages"][0]["blocks"][0]["cell"]
        cell.update(name=name, options=options)
        resign(plain)

    edit(bundle, change)
    refused(bundle, match)


@pytest.mark.parametrize(
    "change",
    [
        {"channels": 0},
        {"channels": 10**12},
        {"outputs": -4},
        {"length": 1.5},
        {"inputs": "pickle"},
        {"targets": ["class"]},
        {"every_step": 1},
        {"more": 1},
    ],
)
def test_a_hostile_signature(bundle: Path, change: dict[str, Any]) -> None:
    edit(bundle, lambda plain: plain["signature"].update(change))
    refused(bundle, "signature is malformed")


def test_a_signature_of_another_size(bundle: Path) -> None:
    edit(bundle, lambda plain: plain["signature"].update(channels=1 << 24))
    refused(bundle, "the model needs float32")


@pytest.mark.parametrize(
    ("distribution", "version"),
    [
        ("x; rm -rf /", "1"),
        ("--index-url=http://example.org", "1"),
        ("../x", "1"),
        ("", "1"),
        ("x", "1 && true"),
        ("x'", "1"),
        ("x\n", "1"),
    ],
)
def test_a_plugin_whose_name_is_a_command(bundle: Path, distribution: str, version: str) -> None:
    entry = {"kind": "cell", "name": "x", "distribution": distribution, "version": version}
    edit(bundle, lambda plain: plain.update(plugins=[entry]))
    assert "pip install" not in refused(bundle, "plugins is malformed")


@pytest.mark.parametrize("sha256", ["", "0" * 63, "0" * 64 + "\n", "G" * 64, 7, None])
def test_a_plugin_whose_hash_is_none(bundle: Path, sha256: object) -> None:
    entry = {"kind": "cell", "name": "x", "distribution": "x", "version": "1", "sha256": sha256}
    edit(bundle, lambda plain: plain.update(plugins=[entry]))
    refused(bundle, "plugins is malformed")


# --- the weights


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 100, -1])
def test_truncated_weights(bundle: Path, keep: int) -> None:
    data = (bundle / WEIGHTS).read_bytes()
    (bundle / WEIGHTS).write_bytes(data[:keep])
    refused(bundle, r"model\.safetensors: (is not a whole|holds \d+ bytes|header)")


@pytest.mark.parametrize("offset", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_one_flipped_bit(bundle: Path, offset: float) -> None:
    data = bytearray((bundle / WEIGHTS).read_bytes())
    data[int(offset * len(data))] ^= 4
    (bundle / WEIGHTS).write_bytes(data)
    refused(bundle, r"model\.safetensors")


def test_bytes_at_the_end(bundle: Path) -> None:
    with (bundle / WEIGHTS).open("ab") as stream:
        stream.write(b"more")
    rehash(bundle)
    refused(bundle, r"holds \d+ bytes of tensors, its header says")


@pytest.mark.parametrize("length", [(1 << 20) + 1, 1 << 40, (1 << 64) - 1])
def test_a_huge_header(bundle: Path, length: int) -> None:
    body = b"{" + b" " * (1 << 20) + b"}"
    (bundle / WEIGHTS).write_bytes(struct.pack("<Q", length) + body)
    rehash(bundle)
    refused(bundle, "a header of at most 1048576 bytes")


def test_ten_thousand_and_one_tensors(bundle: Path) -> None:
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    reweigh(bundle, lambda header, _: header.update({f"t{i}": empty for i in range(10_001)}))
    refused(bundle, "tensors, expected at most 10000")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b", "a\\b", "", "x" * 257, "naïve", "a b", "a\n", "\x1b[2J"]
)
def test_a_tensor_with_a_strange_name(bundle: Path, name: str) -> None:
    reweigh(bundle, lambda header, _: header.update({name: header.pop(first(header))}))
    refused(bundle, "is not the name of a tensor")


def test_an_extra_tensor(bundle: Path) -> None:
    def change(header: Header, body: bytearray) -> None:
        header["extra"] = {"dtype": "U8", "shape": [4], "data_offsets": [len(body), len(body) + 4]}
        body += b"1234"

    reweigh(bundle, change)
    refused(bundle, "has the tensor extra, which the model lacks")


def test_a_missing_tensor(bundle: Path) -> None:
    def change(header: Header, body: bytearray) -> None:
        begin, _ = header.pop(first(header))["data_offsets"]
        del body[begin:]

    reweigh(bundle, change)
    refused(bundle, "lacks the tensor .*, which the model has")


@pytest.mark.parametrize(
    "entry",
    [
        {"shape": [1]},
        {"shape": [-6]},
        {"shape": [6.0]},
        {"shape": [True]},
        {"shape": "6"},
        {"shape": [10**30]},
        {"dtype": "F64"},
        {"dtype": "object"},
        {"dtype": 4},
        {"data_offsets": [0]},
        {"data_offsets": [0, 10**30]},
        {"data_offsets": [-4, 4]},
        {"data_offsets": [0.0, 4.0]},
        {"data_offsets": None},
        {"more": 1},
    ],
)
def test_a_tensor_with_a_wrong_header(bundle: Path, entry: dict[str, Any]) -> None:
    reweigh(bundle, lambda header, _: header[first(header)].update(entry))
    refused(bundle, "malformed|the model needs|wrong number of bytes|overlaps")


def test_tensors_that_overlap(bundle: Path) -> None:
    def change(header: Header, _: bytearray) -> None:
        last = header[first(header)]
        size = last["data_offsets"][1] - last["data_offsets"][0]
        last["data_offsets"] = [0, size]

    reweigh(bundle, change)
    refused(bundle, "overlaps another or leaves a gap")


@pytest.mark.parametrize("header", [b"[]", b"null", b"{", b'{"a":1,"a":2}', b"\xff", b""])
def test_a_header_that_is_no_mapping(bundle: Path, header: bytes) -> None:
    reweigh(bundle, lambda *_: header)
    refused(bundle, "header: expected")


def test_a_tensor_that_is_no_mapping(bundle: Path) -> None:
    reweigh(bundle, lambda header, _: header.update({first(header): [1, 2]}))
    refused(bundle, "the header of tensor .* is malformed")


def test_metadata_that_is_malformed(bundle: Path) -> None:
    reweigh(bundle, lambda header, _: header.update(__metadata__={"a": {"b": 1}}))
    refused(bundle, "is damaged")


# --- the folder


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_a_link_to_a_file_elsewhere(bundle: Path, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (bundle / name).rename(elsewhere)
    (bundle / name).symlink_to(elsewhere)
    refused(bundle, "is a symbolic link")


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
@pytest.mark.parametrize("kind", ["folder", "pipe", "device link"])
def test_what_is_no_plain_file(bundle: Path, name: str, kind: str) -> None:
    (bundle / name).unlink()
    if kind == "folder":
        (bundle / name).mkdir()
    elif kind == "pipe":
        os.mkfifo(bundle / name)
    else:
        (bundle / name).symlink_to("/dev/zero")
    refused(bundle, "expected a plain file|is a symbolic link")


def test_no_weights(bundle: Path) -> None:
    (bundle / WEIGHTS).unlink()
    refused(bundle, r"model\.safetensors: cannot be read: No such file")
