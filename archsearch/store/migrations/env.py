"""How Alembic reaches the database: over the connection that the opening store hands it."""

from __future__ import annotations

from alembic import context

from archsearch.store.schema import VERSION_TABLE
from archsearch.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
