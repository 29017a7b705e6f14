"""What search over millions of instances needs: order by an index alone, more keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_OPTICAL_PATH_TEXTS = (
    "optical_path_identifiers",
    "optical_path_descriptions",
    "illumination_color_code_values",
    "illumination_color_code_meanings",
)


def upgrade() -> None:
    """Add the columns and tables, and change the indexes."""
    _order()
    _exact_values()
    _optical_paths()
    _site_attributes()


def _order() -> None:
    listed_on = sa.Computed("coalesce(study_date, '')", persisted=True)
    op.add_column("studies", sa.Column("listed_on", sa.Text(), listed_on, nullable=False))
    op.drop_index("ix_studies_order", table_name="studies")
    op.drop_index("ix_studies_study_date", table_name="studies")
    op.create_index(
        "ix_studies_order", "studies", [sa.text("listed_on DESC"), sa.text("id DESC")], unique=False
    )


def _exact_values() -> None:
    op.create_index(
        "ix_series_values",
        "series",
        [
            "specimen_identifiers",
            "specimen_uids",
            "preparation_texts",
            "preparation_code_values",
            "preparation_code_meanings",
        ],
        unique=False,
        postgresql_using="gin",
    )


def _optical_paths() -> None:
    for name in _OPTICAL_PATH_TEXTS:
        op.add_column(
            "instances",
            sa.Column(
                name,
                postgresql.ARRAY(sa.Text()),
                server_default=sa.text("'{}'::text[]"),
                nullable=False,
            ),
        )
    op.add_column(
        "instances",
        sa.Column(
            "illumination_wave_lengths",
            postgresql.ARRAY(sa.Double()),
            server_default=sa.text("'{}'::double precision[]"),
            nullable=False,
        ),
    )


def _site_attributes() -> None:
    op.create_table(
        "attribute_values",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("study_id", sa.BigInteger(), nullable=True),
        sa.Column("series_id", sa.BigInteger(), nullable=True),
        sa.Column("instance_id", sa.BigInteger(), nullable=True),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("number", sa.Double(), nullable=True),
        sa.Column("tokens", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.CheckConstraint(
            "num_nonnulls(study_id, series_id, instance_id) = 1",
            name=op.f("ck_attribute_values_one_owner"),
        ),
        *(
            sa.ForeignKeyConstraint(
                [f"{owner}_id"],
                [f"{table}.id"],
                name=op.f(f"fk_attribute_values_{owner}_id_{table}"),
                ondelete="CASCADE",
            )
            for owner, table in (
                ("study", "studies"),
                ("series", "series"),
                ("instance", "instances"),
            )
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attribute_values")),
    )
    for owner in ("study", "series", "instance"):
        op.create_index(
            f"ix_attribute_values_{owner}_id",
            "attribute_values",
            [f"{owner}_id", "key"],
            unique=False,
            postgresql_where=sa.text(f"{owner}_id IS NOT NULL"),
        )
    op.create_index(
        "ix_attribute_values_value",
        "attribute_values",
        ["key", "value"],
        unique=False,
        postgresql_ops={"value": "text_pattern_ops"},
    )
    op.create_index(
        "ix_attribute_values_tokens",
        "attribute_values",
        ["tokens"],
        unique=False,
        postgresql_using="gin",
    )
    op.create_table(
        "indexed_attributes",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("indexed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_indexed_attributes")),
    )
