"""The table of attributes, the mapped classes and the migrations say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic import command
from sqlalchemy import BigInteger, Double, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError

from archive.catalog import tables
from archive.catalog.database import _alembic_config
from archive.catalog.matching import ROWS
from archive.model.attributes import INDEXED, IndexedAttribute, Kind

if TYPE_CHECKING:
    from archive.catalog.database import Database

KEPT = [attribute for attribute in INDEXED if not attribute.derived]


@pytest.mark.parametrize("attribute", KEPT, ids=lambda attribute: attribute.name)
def test_every_indexed_attribute_has_its_column(attribute: IndexedAttribute) -> None:
    column = ROWS[attribute.level].__table__.c[attribute.name]
    if attribute.many:
        assert isinstance(column.type, ARRAY)
        item = Double if attribute.kind is Kind.DECIMAL else Text
        assert isinstance(column.type.item_type, item)
    elif attribute.kind is Kind.NUMBER:
        assert isinstance(column.type, BigInteger)
    else:
        assert isinstance(column.type, Text)
    if attribute.kind is Kind.NAME:
        assert f"{attribute.name}_folded" in ROWS[attribute.level].__table__.c


def test_models_and_migrations_agree(database: Database) -> None:
    with database.engine.begin() as connection:
        command.check(_alembic_config(connection))


def test_every_index_says_which_query_it_serves() -> None:
    source = Path(tables.__file__).read_text()
    for match in re.finditer(r"\n( +)(Index|UniqueConstraint)\(", source):
        line_before = source[: match.start()].rsplit("\n", 1)[-1]
        line = source[match.start() + 1 :].split("\n", 1)[0]
        assert line_before.strip().startswith("#") or "  # " in line, line


def test_audit_events_can_only_be_added(database: Database) -> None:
    with database.begin() as session:
        session.execute(
            text(
                "INSERT INTO audit_events (occurred_at, principal_id, action, outcome)"
                " VALUES (now(), 'someone', 'store', 'success')"
            )
        )
    for statement in (
        "UPDATE audit_events SET outcome = 'failure'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
    ):
        with pytest.raises(DBAPIError, match="never changed"), database.begin() as session:
            session.execute(text(statement))
