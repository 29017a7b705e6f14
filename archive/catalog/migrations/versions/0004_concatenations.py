"""What the parts of a concatenation share, and what they are parts of."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SOURCE = "sop_instance_uid_of_concatenation_source"


def upgrade() -> None:
    """Add two columns, empty in what is stored: `coverslip verify --rebuild` fills them."""
    for index, column in (
        ("ix_instances_concatenation_source", _SOURCE),
        ("ix_instances_concatenation_uid", "concatenation_uid"),
    ):
        op.add_column("instances", sa.Column(column, sa.Text(), nullable=True))
        op.create_index(
            index,
            "instances",
            [column],
            unique=False,
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )
