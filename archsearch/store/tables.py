"""The tables of the store, as SQLAlchemy knows them; the migrations make them."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator

LONG = Text().with_variant(
    mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
# all of Unicode, compared byte by byte; MariaDB would else have neither
NAME = String(255).with_variant(
    mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)


class Words(TypeDecorator[str]):
    """Any Python text. What a database cannot hold (NUL, lone surrogates) is escaped."""

    impl = LONG
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        del dialect
        return None if value is None else re.sub("[\\\\\0\ud800-\udfff]", _escaped, value)

    def process_result_value(self, value: str | None, dialect: Any) -> str | None:
        del dialect
        if not isinstance(value, str):
            return value
        return re.sub(r"\\(u[0-9a-f]{4}|\\)", _restored, value)


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    return "\\\\" if character == "\\" else f"\\u{ord(character):04x}"


def _restored(match: re.Match[str]) -> str:
    code = match.group(1)
    return "\\" if code == "\\" else chr(int(code[1:], 16))


metadata = MetaData()

study = Table(
    "study",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", NAME, nullable=False, unique=True),
    Column("fingerprint", LONG, nullable=False),
    Column("space", Words, nullable=False),
    Column("settings", LONG, nullable=False),
    Column("seal", NAME, nullable=False),
    Column("created", Double, nullable=False),
    Column("driver", NAME),
    Column("driver_epoch", Integer, nullable=False),
    Column("lease_until", Double),
    Column("active_seconds", Double, nullable=False),
    Column("ended", Words),
)

trial = Table(
    "trial",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study", ForeignKey("study.id"), nullable=False),
    Column("phase", NAME, nullable=False),
    Column("idx", Integer, nullable=False),
    Column("role", Words, nullable=False),
    Column("point", LONG, nullable=False),
    Column("architecture", LONG, nullable=False),
    Column("digest", NAME, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("job_key", NAME, nullable=False),
    Column("state", NAME, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("seal", NAME, nullable=False),
    UniqueConstraint("study", "phase", "idx", name="trial_place"),
    Index("trial_job_key", "job_key"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("trial", ForeignKey("trial.id"), primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("driver_epoch", Integer, nullable=False),
    Column("owner", NAME, nullable=False),
    Column("started", Double, nullable=False),
    Column("ended", Double),
    Column("reason", Words),
    Column("cpu_seconds", Double, nullable=False),
    Column("gpu_seconds", Double, nullable=False),
)

result = Table(
    "result",
    metadata,
    Column("trial", ForeignKey("trial.id"), primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("metrics", LONG, nullable=False),
    Column("curve", LONG, nullable=False),
    Column("timings", LONG, nullable=False),
    Column("message", Words, nullable=False),
    Column("weights", Words),
    Column("lost", Boolean, nullable=False),
    Column("seal", NAME, nullable=False),
)
