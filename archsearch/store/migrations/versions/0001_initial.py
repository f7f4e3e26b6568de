"""The first schema: studies, trials, their attempts and their results."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

LONG = sa.Text().with_variant(
    mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
NAME = sa.String(255).with_variant(
    mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)


def upgrade() -> None:
    op.create_table(
        "study",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", NAME, nullable=False, unique=True),
        sa.Column("fingerprint", LONG, nullable=False),
        sa.Column("space", LONG, nullable=False),
        sa.Column("settings", LONG, nullable=False),
        sa.Column("seal", NAME, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("driver", NAME),
        sa.Column("driver_epoch", sa.Integer, nullable=False),
        sa.Column("lease_until", sa.Double),
        sa.Column("active_seconds", sa.Double, nullable=False),
        sa.Column("ended", LONG),
    )
    op.create_table(
        "trial",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study", sa.Integer, sa.ForeignKey("study.id"), nullable=False),
        sa.Column("phase", NAME, nullable=False),
        sa.Column("idx", sa.Integer, nullable=False),
        sa.Column("role", LONG, nullable=False),
        sa.Column("point", LONG, nullable=False),
        sa.Column("architecture", LONG, nullable=False),
        sa.Column("digest", NAME, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("job_key", NAME, nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("seal", NAME, nullable=False),
        sa.UniqueConstraint("study", "phase", "idx", name="trial_place"),
    )
    op.create_index("trial_job_key", "trial", ["job_key"])
    op.create_table(
        "attempt",
        sa.Column("trial", sa.Integer, sa.ForeignKey("trial.id"), primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("driver_epoch", sa.Integer, nullable=False),
        sa.Column("owner", NAME, nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("ended", sa.Double),
        sa.Column("reason", LONG),
        sa.Column("cpu_seconds", sa.Double, nullable=False),
        sa.Column("gpu_seconds", sa.Double, nullable=False),
    )
    op.create_table(
        "result",
        sa.Column("trial", sa.Integer, sa.ForeignKey("trial.id"), primary_key=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("metrics", LONG, nullable=False),
        sa.Column("curve", LONG, nullable=False),
        sa.Column("timings", LONG, nullable=False),
        sa.Column("message", LONG, nullable=False),
        sa.Column("weights", LONG),
        sa.Column("lost", sa.Boolean, nullable=False),
        sa.Column("seal", NAME, nullable=False),
    )
