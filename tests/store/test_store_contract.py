"""Every database keeps the contract: an SQLite file, SQLite in memory, servers if given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archsearch.testing.shared_stores import SharedStoreContract
from archsearch.testing.stores import StoreContract

POSTGRES = os.environ.get("ARCHSEARCH_TEST_POSTGRES")
MARIADB = os.environ.get("ARCHSEARCH_TEST_MARIADB")


class TestSqliteFile(SharedStoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/studies.db"


class TestSqliteMemory(StoreContract):
    @pytest.fixture
    def url(self) -> str:
        return "sqlite://"


if POSTGRES:

    class TestPostgres(SharedStoreContract):
        @pytest.fixture
        def url(self) -> str:
            assert POSTGRES is not None
            return POSTGRES


if MARIADB:

    class TestMariadb(SharedStoreContract):
        @pytest.fixture
        def url(self) -> str:
            assert MARIADB is not None
            return MARIADB
