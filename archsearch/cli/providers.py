"""Which distributions a study had its layers from, as the study remembers it."""

from __future__ import annotations

from collections.abc import Sequence

from archsearch.errors import ArchsearchError, LocatedError, UnknownLayerError
from archsearch.plugins import Named, as_recorded
from archsearch.store.records import StudyRecord
from archsearch.store.store import open_store


def as_begun(name: str, storage: str) -> Named:
    """What the study ``name``, or its parts for several tasks, called the layers of others."""
    found = [
        provider
        for record in _studies(storage)
        if record.name.split("/")[0] == name
        for provider in record.settings.get("providers", ())
    ]
    return as_recorded(found)


def with_provider(error: UnknownLayerError, storage: str) -> LocatedError:
    """The error and, where a study in ``storage`` was begun with that layer, what to install."""
    for record in reversed(_studies(storage)):
        provided = _provider(record, error)
        if provided is not None:
            words = f"study '{record.name}' has it from {provided.replace('==', ' ')}"
            message = f"{error.message}; {words}: try 'pip install {provided}'"
            return LocatedError(error.file, error.line, error.column, message)
    return error


def _studies(storage: str) -> Sequence[StudyRecord]:
    """All of them; none where there is no database yet, or one that cannot be read.

    Whoever goes on to use it is told what is wrong with it.
    """
    try:
        with open_store(storage, read_only=True) as store:
            return store.studies()
    except ArchsearchError:
        return ()


def _provider(record: StudyRecord, error: UnknownLayerError) -> str | None:
    """``distribution==version``, as the study was begun with it."""
    for kind, name, distribution in record.settings.get("providers", ()):
        if kind == error.kind and error.name in (name, f"{distribution}.{name}"):
            what = record.fingerprint["plugins"][distribution]
            return f"{distribution}=={what['version']}"
    return None
