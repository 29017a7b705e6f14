"""How Alembic meets our tables: on the connection it is handed, in the transaction of that."""

from typing import Any

from alembic import context

from archive.catalog.tables import METADATA

connection = context.config.attributes["connection"]


def _is_ours(thing: Any, name: str | None, kind: str, *_: Any) -> bool:  # noqa: ANN401
    """Leave out what the job engine keeps beside us; it brings its own schema up to date."""
    del thing
    return not (kind == "table" and name is not None and name.startswith("procrastinate_"))


context.configure(
    connection=connection,
    target_metadata=METADATA,
    include_object=_is_ours,
    compare_type=True,
    compare_server_default=True,
    transactional_ddl=False,  # the transaction is the caller's
)
context.run_migrations()
