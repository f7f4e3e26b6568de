"""A plugin's options are written out where Python can spell them, and named where it cannot."""

from __future__ import annotations

import importlib

import pytest
import torch

from archsearch.errors import InputError
from archsearch.plugins import built_in
from archsearch.serve.standalone import written_out
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.catalog import Catalog, CellType, choice
from archsearch.spec.signature import Signature

CELL = """\
from archsearch.cells.cell import Cell

class Lags(Cell):
    def __init__(self, width, lags=(1, 2)):
        super().__init__(width)
        self.lags = lags

    def initial_state(self, batch):
        return ()

    def step(self, x, state):
        return x * sum(self.lags), state
"""
SIGNATURE = Signature("values", 1, "number", 1, every_step=False, length=6)


def test_a_list_is_written_out_and_a_layer_is_named(tmp_path, monkeypatch):
    (tmp_path / "lagging.py").write_text(CELL)
    monkeypatch.syspath_prepend(tmp_path)
    values = ((1, 2), (1, 2, 4), Layer("gru"))
    cell = CellType("lags", "lagging:Lags", {"lags": choice(*values)}, distribution="lagging")
    catalog = Catalog([*built_in(), cell])

    def text(value):
        layer = Layer.of("lags", lags=value)
        architecture = Architecture(4, (Stage((Block(layer),)),))
        return written_out(catalog.complete_architecture(architecture), catalog, SIGNATURE)

    source = text((1, 2, 4))
    assert "lags=(1, 2, 4)" in source
    (tmp_path / "written_lags.py").write_text(source)
    model = importlib.import_module("written_lags").build()
    assert model(torch.ones(1, 3, 1))[0].isfinite().all()
    with pytest.raises(InputError, match="its option 'lags' is no number, text or list of those"):
        text(Layer("gru"))
