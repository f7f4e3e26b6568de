"""Workers get one thread and no secret of the driver."""

from __future__ import annotations

import pytest

from archsearch.execute.environment import worker_environment
from archsearch.execute.local import LocalBackend
from archsearch.testing.faults import BEHAVE, fault_job


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ARCHSEARCH_STORAGE", "postgresql://db"),
        ("DATABASE_URL", "x"),
        ("MY_API_TOKEN", "x"),
        ("GITHUB_TOKEN", "x"),
        ("PGPASSWORD", "x"),
        ("AWS_SESSION", "x"),
        ("OPENAI_API_KEY", "x"),
        ("db_password", "x"),
        ("SENTRY_DSN", "x"),
        ("ANYTHING", "postgresql://me:hush@host/db"),
        ("ANYTHING", "postgresql://me:hu/sh@host/db"),
        ("ANYTHING", "postgresql://me@host/db?sslmode=require&password=hush"),
    ],
)
def test_secrets_stay_with_the_driver(name: str, value: str) -> None:
    assert name not in worker_environment({name: value})


@pytest.mark.parametrize("name", ["PATH", "HOME", "LANG", "KEYBOARD", "PASSAGE", "TOKENIZERS"])
def test_the_rest_is_handed_on(name: str) -> None:
    assert worker_environment({name: "x"})[name] == "x"


def test_threads_can_be_chosen() -> None:
    assert worker_environment({})["OMP_NUM_THREADS"] == "1"
    assert worker_environment({"OMP_NUM_THREADS": "4"})["OMP_NUM_THREADS"] == "4"


def test_a_real_worker_sees_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHSEARCH_STORAGE", "sqlite:///secret.db")
    monkeypatch.setenv("MY_TOKEN", "hush")
    with LocalBackend(1, run=BEHAVE) as backend:
        backend.submit(fault_job(0, "environment"))
        ((_, outcome),) = backend.collect(timeout=30)
    names = outcome.message.split(",")
    assert "PATH" in names
    assert not {"ARCHSEARCH_STORAGE", "MY_TOKEN"} & set(names)
