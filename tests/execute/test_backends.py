"""The built-in backends keep the contract."""

from __future__ import annotations

import pytest

from archsearch.errors import InputError
from archsearch.execute.backend import Backend
from archsearch.execute.inline import InlineBackend
from archsearch.execute.local import LocalBackend
from archsearch.execute.open import open_backend
from archsearch.execute.process import cores
from archsearch.spec.settings import ExecutionSettings
from archsearch.testing.backends import BackendContract, ProcessBackendContract


class TestInline(BackendContract):
    def open(self, run: str, workers: int) -> Backend:
        return InlineBackend(run)


class TestLocal(ProcessBackendContract):
    def open(self, run: str, workers: int) -> Backend:
        return LocalBackend(workers, run)


def test_the_settings_name_the_backend() -> None:
    with open_backend(ExecutionSettings("inline")) as inline:
        assert isinstance(inline, InlineBackend)
    with open_backend(ExecutionSettings("local", workers=3)) as local:
        assert isinstance(local, LocalBackend)
        assert local.workers == 3


def test_one_worker_for_each_core_by_default() -> None:
    with open_backend(ExecutionSettings()) as backend:
        assert backend.workers == cores()


def test_an_unknown_backend_is_refused_with_a_suggestion() -> None:
    with pytest.raises(InputError, match=r"got 'locl' \(did you mean 'local'\?\)"):
        open_backend(ExecutionSettings("locl"))
