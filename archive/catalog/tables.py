"""The mapped classes: studies, series, instances and what is kept beside them.

Columns of indexed attributes are named as `archive.model.attributes` says; a test holds the two
against each other. Rows never leave the catalog.

Each of the three levels keeps `attributes` as DICOM JSON (PS3.18 Annex F), which is what a search
returns, and columns, which are what it matches. A column is empty where the value cannot be what
its VR says; the JSON has it as it came.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import auth.tables

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of the mapped classes of the catalog."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own name and form
        int: BigInteger,
        str: Text,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        list[str]: ARRAY(Text),
        list[int]: ARRAY(Integer),
        list[float]: ARRAY(Double),
    }


METADATA = [Base.metadata, auth.tables.metadata]
"""Everything that the migrations make, but for what the job engine brings along."""

_EMPTY_TEXTS = text("'{}'::text[]")
_EMPTY_NUMBERS = text("'{}'::integer[]")
_NO_DECIMALS = text("'{}'::double precision[]")


class StudyRow(Base):
    """One study, with its patient (PS3.3 §A.1.2)."""

    __tablename__ = "studies"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    study_uid: Mapped[str]
    study_date: Mapped[str | None]
    """YYYYMMDD, so that the order of texts is that of days."""
    study_time: Mapped[str | None]
    """HHMMSS.FFFFFF, likewise."""
    listed_on: Mapped[str] = mapped_column(Computed("coalesce(study_date, '')", persisted=True))
    """The date by which studies are listed: without one, last; a key that pages can follow."""
    accession_number: Mapped[str | None]
    referring_physician_name: Mapped[str | None]
    referring_physician_name_folded: Mapped[str | None]
    study_description: Mapped[str | None]
    patient_name: Mapped[str | None]
    patient_name_folded: Mapped[str | None]
    """Component groups between equals signs, case and diacritics folded (see `folding`)."""
    patient_id: Mapped[str | None]
    issuer_of_patient_id: Mapped[str | None]
    patient_birth_date: Mapped[str | None]
    patient_sex: Mapped[str | None]
    study_id: Mapped[str | None]
    tokens: Mapped[list[int]] = mapped_column(server_default=_EMPTY_NUMBERS)
    """What wildcards are narrowed down by (see `folding`)."""
    attributes: Mapped[dict[str, Any]]
    """Of the patient and the study, tag → DICOM JSON attribute."""
    labels: Mapped[list[str]] = mapped_column(server_default=_EMPTY_TEXTS)
    """Who may see the study (`auth.Visibility`)."""
    created_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("study_uid"),  # every path; storing into a study
        # The order of every search, read from its beginning or from where a page ended; StudyDate
        # as a value or a range.
        Index("ix_studies_order", text("listed_on DESC"), text("id DESC")),
        # PatientID: value, list, and the prefix of a wildcard.
        Index(
            "ix_studies_patient_id", "patient_id", postgresql_ops={"patient_id": "text_pattern_ops"}
        ),
        # AccessionNumber: likewise.
        Index(
            "ix_studies_accession_number",
            "accession_number",
            postgresql_ops={"accession_number": "text_pattern_ops"},
        ),
        # Names, and every wildcard that does not begin with letters.
        Index("ix_studies_tokens", "tokens", postgresql_using="gin"),
    )


class SeriesRow(Base):
    """One series: in pathology most often one slide (PS3.3 §A.32.8)."""

    __tablename__ = "series"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"))
    series_uid: Mapped[str]
    modality: Mapped[str | None]
    series_date: Mapped[str | None]
    series_time: Mapped[str | None]
    series_description: Mapped[str | None]
    manufacturer: Mapped[str | None]
    manufacturer_model_name: Mapped[str | None]
    body_part_examined: Mapped[str | None]
    series_number: Mapped[int | None]
    frame_of_reference_uid: Mapped[str | None]
    performed_procedure_step_start_date: Mapped[str | None]
    performed_procedure_step_start_time: Mapped[str | None]
    container_identifier: Mapped[str | None]
    specimen_identifiers: Mapped[list[str]] = mapped_column(server_default=_EMPTY_TEXTS)
    specimen_uids: Mapped[list[str]] = mapped_column(server_default=_EMPTY_TEXTS)
    preparation_texts: Mapped[list[str]] = mapped_column(server_default=_EMPTY_TEXTS)
    preparation_code_values: Mapped[list[str]] = mapped_column(server_default=_EMPTY_TEXTS)
    preparation_code_meanings: Mapped[list[str]] = mapped_column(server_default=_EMPTY_TEXTS)
    scheduled_procedure_step_ids: Mapped[list[str]] = mapped_column(server_default=_EMPTY_TEXTS)
    requested_procedure_ids: Mapped[list[str]] = mapped_column(server_default=_EMPTY_TEXTS)
    tokens: Mapped[list[int]] = mapped_column(server_default=_EMPTY_NUMBERS)
    attributes: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]

    __table_args__ = (
        # The series of a study; ModalitiesInStudy; the number of series.
        UniqueConstraint("study_id", "series_uid"),
        # SeriesInstanceUID without a study before it.
        Index("ix_series_series_uid", "series_uid"),
        # Modality and ModalitiesInStudy where few series have it.
        Index("ix_series_modality", "modality", "study_id"),
        # ContainerIdentifier: value, list and the prefix of a wildcard.
        Index(
            "ix_series_container_identifier",
            "container_identifier",
            postgresql_ops={"container_identifier": "text_pattern_ops"},
        ),
        # Specimens, blocks, stains and requests by their whole values.
        Index(
            "ix_series_values",
            "specimen_identifiers",
            "specimen_uids",
            "preparation_texts",
            "preparation_code_values",
            "preparation_code_meanings",
            "scheduled_procedure_step_ids",
            "requested_procedure_ids",
            postgresql_using="gin",
        ),
        # The same by wildcards, and every other wildcard that does not begin with letters.
        Index("ix_series_tokens", "tokens", postgresql_using="gin"),
    )


class InstanceRow(Base):
    """One SOP instance, and where its bytes are."""

    __tablename__ = "instances"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id", ondelete="CASCADE"))
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"))
    """That of the series, kept here too so that counts need no join."""
    instance_uid: Mapped[str]
    sop_class_uid: Mapped[str]
    image_type: Mapped[list[str]] = mapped_column(server_default=_EMPTY_TEXTS)
    content_date: Mapped[str | None]
    content_time: Mapped[str | None]
    instance_number: Mapped[int | None]
    number_of_frames: Mapped[int | None]
    rows: Mapped[int | None]
    columns: Mapped[int | None]
    bits_allocated: Mapped[int | None]
    total_pixel_matrix_columns: Mapped[int | None]
    total_pixel_matrix_rows: Mapped[int | None]
    dimension_organization_type: Mapped[str | None]
    concatenation_uid: Mapped[str | None]
    sop_instance_uid_of_concatenation_source: Mapped[str | None]
    optical_path_identifiers: Mapped[list[str]] = mapped_column(server_default=_EMPTY_TEXTS)
    optical_path_descriptions: Mapped[list[str]] = mapped_column(server_default=_EMPTY_TEXTS)
    illumination_wave_lengths: Mapped[list[float]] = mapped_column(server_default=_NO_DECIMALS)
    """Nanometres."""
    illumination_color_code_values: Mapped[list[str]] = mapped_column(server_default=_EMPTY_TEXTS)
    illumination_color_code_meanings: Mapped[list[str]] = mapped_column(server_default=_EMPTY_TEXTS)
    attributes: Mapped[dict[str, Any]]
    transfer_syntax_uid: Mapped[str]
    blob_key: Mapped[str]
    size: Mapped[int]
    """Bytes of the Part 10 file."""
    sha256: Mapped[str]
    """Of the Part 10 file, hexadecimal."""
    origin: Mapped[str]
    stored_at: Mapped[datetime]
    pixels: Mapped[dict[str, Any] | None]
    """The fields of `PixelDescription`."""
    frame_index: Mapped[bytes | None] = mapped_column(LargeBinary)
    """As `part10.encode_frame_index` writes it. Read only to serve frames."""

    __table_args__ = (
        # Every path; what keeps one SOP Instance UID from having two contents.
        UniqueConstraint("instance_uid"),
        UniqueConstraint("blob_key"),  # verify: blob → row
        # The instances of a series in the order they came, and their number.
        Index("ix_instances_series_id", "series_id", "id"),
        # Likewise of a study.
        Index("ix_instances_study_id", "study_id", "id"),
        # SOPClassUID, and SOPClassesInStudy.
        Index("ix_instances_sop_class_uid", "sop_class_uid", "study_id"),
        # The parts of a concatenation, by the instance that they were cut from.
        Index(
            "ix_instances_concatenation_source",
            "sop_instance_uid_of_concatenation_source",
            postgresql_where=text("sop_instance_uid_of_concatenation_source IS NOT NULL"),
        ),
        # ConcatenationUID, which they share.
        Index(
            "ix_instances_concatenation_uid",
            "concatenation_uid",
            postgresql_where=text("concatenation_uid IS NOT NULL"),
        ),
    )


class MetadataRow(Base):
    """The metadata of an instance as DICOM JSON, gzip'd."""

    __tablename__ = "instance_metadata"

    instance_id: Mapped[int] = mapped_column(
        ForeignKey("instances.id", ondelete="CASCADE"), primary_key=True
    )
    header: Mapped[bytes] = mapped_column(LargeBinary)
    """One JSON object, without the per-frame functional groups."""
    per_frame: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The attribute (5200,9230) alone."""


class AttributeValueRow(Base):
    """One value of an attribute that the site added to search (see `site_attributes`).

    It belongs to the study, the series or the instance that its attribute is of.
    """

    __tablename__ = "attribute_values"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    key: Mapped[str]
    """Tags from the outermost inwards, joined by dots."""
    study_id: Mapped[int | None] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"))
    series_id: Mapped[int | None] = mapped_column(ForeignKey("series.id", ondelete="CASCADE"))
    instance_id: Mapped[int | None] = mapped_column(ForeignKey("instances.id", ondelete="CASCADE"))
    value: Mapped[str]
    """As a column of its kind would hold it; person names folded (see `folding`)."""
    number: Mapped[float | None] = mapped_column(Double)
    """Of a value that is one."""
    tokens: Mapped[list[int]]

    __table_args__ = (
        CheckConstraint("num_nonnulls(study_id, series_id, instance_id) = 1", name="one_owner"),
        # The values of a study, a series, an instance: deletion, and keys that others narrow down.
        *(
            # One partial index each: a value has one owner.
            Index(
                f"ix_attribute_values_{owner}_id",
                f"{owner}_id",
                "key",
                postgresql_where=text(f"{owner}_id IS NOT NULL"),
            )
            for owner in ("study", "series", "instance")
        ),
        # Value, list, range, and the prefix of a wildcard.
        Index(
            "ix_attribute_values_value",
            "key",
            "value",
            postgresql_ops={"value": "text_pattern_ops"},
        ),
        # Wildcards that do not begin with letters, and names.
        Index("ix_attribute_values_tokens", "tokens", postgresql_using="gin"),
    )


class IndexedAttributeRow(Base):
    """An attribute that `attribute_values` has of everything that is stored."""

    __tablename__ = "indexed_attributes"

    key: Mapped[str] = mapped_column(primary_key=True)
    indexed_at: Mapped[datetime]


class ChangeRow(Base):
    """One entry of the change feed (see `changes`)."""

    __tablename__ = "change_feed"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """1, 2, 3 … without gaps, in the order of the commits."""
    action: Mapped[str]
    study_uid: Mapped[str]
    series_uid: Mapped[str]
    instance_uid: Mapped[str]
    changed_at: Mapped[datetime]


class ChangePositionRow(Base):
    """The last number of the change feed: one row, which every writer locks last."""

    __tablename__ = "change_feed_position"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    last: Mapped[int]

    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)


class AuditRow(Base):
    """Who did what to which UIDs, when, and how it ended. A trigger keeps it append-only."""

    __tablename__ = "audit_events"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    occurred_at: Mapped[datetime]
    principal_id: Mapped[str]
    action: Mapped[str]
    outcome: Mapped[str]
    study_uid: Mapped[str | None]
    series_uid: Mapped[str | None]
    instance_uid: Mapped[str | None]
    detail: Mapped[str] = mapped_column(server_default=text("''"))
    """In words; never patient data."""

    __table_args__ = (
        Index("ix_audit_events_occurred_at", "occurred_at"),  # what happened in a span of time
        Index("ix_audit_events_study_uid", "study_uid"),  # what happened to a study
    )


class DeletionRow(Base):
    """One deletion of a study, a series or an instance (see `archive.deletion`)."""

    __tablename__ = "deletions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    study_uid: Mapped[str]
    series_uid: Mapped[str | None]
    instance_uid: Mapped[str | None]
    deleted_by: Mapped[str]
    """Identifier of the principal."""
    reason: Mapped[str]
    deleted_at: Mapped[datetime]
    purge_after: Mapped[datetime]
    record_key: Mapped[str | None]
    """Of the blob that tells of this deletion, for as long as the bytes are kept."""
    purged_at: Mapped[datetime | None]
    """When the bytes were destroyed."""

    __table_args__ = (
        UniqueConstraint("record_key"),  # verify: blob → deletion
    )


class TombstoneRow(Base):
    """One instance that was deleted. It stays when its bytes are destroyed."""

    __tablename__ = "tombstones"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    deletion_id: Mapped[UUID] = mapped_column(ForeignKey("deletions.id"))
    study_uid: Mapped[str]
    series_uid: Mapped[str]
    instance_uid: Mapped[str]
    labels: Mapped[list[str]] = mapped_column(server_default=_EMPTY_TEXTS)
    """Who could see the study, and so may know that it is gone."""
    blob_key: Mapped[str]

    __table_args__ = (
        UniqueConstraint("blob_key"),  # verify and rebuild: blob → tombstone
        Index("ix_tombstones_deletion_id", "deletion_id"),  # the blobs to destroy
        # 410 instead of 404 for a study, a series or an instance.
        Index("ix_tombstones_study_uid", "study_uid", "series_uid", "instance_uid"),
    )


class SlideRow(Base):
    """A slide file that was uploaded, and how its conversion goes."""

    __tablename__ = "slides"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    filename: Mapped[str]
    """As given by the client; may identify a patient, so it is shown but never logged."""
    source_sha256: Mapped[str]
    source_size: Mapped[int]
    """Bytes."""
    request_sha256: Mapped[str]
    """Of `request`: the same file with other case data is another conversion."""
    request: Mapped[dict[str, Any]]
    state: Mapped[str]
    progress: Mapped[float] = mapped_column(Double, server_default=text("0"))
    """From 0 to 1."""
    error: Mapped[str | None]
    study_uid: Mapped[str | None]
    series_uid: Mapped[str | None]
    received_by: Mapped[str]
    received_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("source_sha256", "request_sha256"),  # was it given before?
        Index("ix_slides_received_at", "received_at"),  # the list, newest first
    )


class KnownBlobRow(Base):
    """What was known of the blobs when a rebuild began; empty otherwise (see `fixity`)."""

    __tablename__ = "rebuild_known_blobs"

    blob_key: Mapped[str] = mapped_column(primary_key=True)
    stored_at: Mapped[datetime]
    origin: Mapped[str]
