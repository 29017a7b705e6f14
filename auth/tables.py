"""The tables that `auth` owns. The catalog's migrations make them; nobody else reads them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, Index, LargeBinary, MetaData, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Base(DeclarativeBase):
    """Base of the mapped classes of `auth`, with a `MetaData` of its own."""

    metadata = metadata


class TokenRow(Base):
    """One API token. The secret itself is nowhere: only its SHA-256."""

    __tablename__ = "api_tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    """32 bytes. A secret has 256 random bits, so neither salt nor a slow hash adds anything."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    created_by: Mapped[str] = mapped_column(Text)
    """Identifier of a principal."""
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    __table_args__ = (
        # "Is this name free?", and what keeps two commands from both answering yes. A revoked
        # token gives its name back; an expired one keeps it until it is revoked.
        Index(
            "uq_api_tokens_name", "name", unique=True, postgresql_where=text("revoked_at IS NULL")
        ),
    )
