"""Keys of the request that a series was made for (PS3.18 Table 10.6.1-5)."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TAGS = {"scheduled_procedure_step_ids": "00400009", "requested_procedure_ids": "00401001"}
_BEFORE = (
    "specimen_identifiers",
    "specimen_uids",
    "preparation_texts",
    "preparation_code_values",
    "preparation_code_meanings",
)


def upgrade() -> None:
    """Add the columns, filled from what the series keep."""
    for name, tag in _TAGS.items():
        op.add_column(
            "series",
            sa.Column(
                name,
                postgresql.ARRAY(sa.Text()),
                server_default=sa.text("'{}'::text[]"),
                nullable=False,
            ),
        )
        values = f"""
            SELECT DISTINCT btrim(value #>> '{{}}')
            FROM jsonb_path_query(attributes, '$."00400275".Value[*]."{tag}".Value[*]') AS value
        """  # noqa: S608
        op.execute(f"UPDATE series SET {name} = ARRAY({values}) WHERE attributes ? '00400275'")  # noqa: S608
    op.drop_index("ix_series_values", table_name="series")
    op.create_index(
        "ix_series_values",
        "series",
        [*_BEFORE, *_TAGS],
        unique=False,
        postgresql_using="gin",
    )
