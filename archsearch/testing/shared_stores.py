"""The promise of a store that several processes open at once, as tests."""

from __future__ import annotations

import pytest

from archsearch.errors import LockedError, StateError
from archsearch.store.store import Store, open_store
from archsearch.testing.store_fixtures import ELSEWHERE, HERE, outcome, trials
from archsearch.testing.stores import StoreContract


class SharedStoreContract(StoreContract):
    """Owed by every database that several processes can open: they see and fence each other."""

    def test_a_driver_that_lost_its_study_writes_nothing_more(
        self, store: Store, url: str, study: int
    ) -> None:
        first, second = trials(2)
        store.acquire(study, HERE, ttl=0.0)
        store.start(study, first, "key")
        with open_store(url) as other:
            other.acquire(study, ELSEWHERE)
            with pytest.raises(LockedError, match=r"taken over by 2@elsewhere\.invalid"):
                store.finish(study, first, 1, outcome(1.0))
            with pytest.raises(StateError, match="acquire it first"):
                store.start(study, second, "key")
            assert other.unfinished(study) == [first]
            assert other.restart(study, first) == 2
            assert other.finish(study, first, 2, outcome(2.0))
            assert store.history(study)[0].outcome == outcome(2.0)

    def test_a_renewed_lease_is_not_taken(self, store: Store, url: str, study: int) -> None:
        with open_store(url) as other:
            store.acquire(study, HERE, ttl=30.0)
            store.renew(study)
            with pytest.raises(LockedError, match="driven by"):
                other.acquire(study, ELSEWHERE)

    def test_what_one_wrote_another_reads(self, store: Store, url: str, study: int) -> None:
        begun = trials(5)
        store.advance(study, started=[(trial, "key") for trial in begun])
        with open_store(url) as other, open_store(url, read_only=True) as reader:
            assert other.history(study) == reader.history(study) == begun

    def test_a_reader_cannot_write(self, store: Store, url: str, study: int) -> None:
        reading = pytest.raises(StateError, match="for reading only")
        with open_store(url, read_only=True) as reader, reading:
            reader.acquire(study, ELSEWHERE)
