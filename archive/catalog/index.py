"""Dataset → rows: what the columns of the three levels hold, and how an instance enters them.

Everything is derived from the metadata as DICOM JSON (PS3.18 Annex F), the same that is served:
what is found is what is shown, whatever character set it came in.

The first instance of a study or a series makes its row. Later ones fill what was empty and change
nothing that is there. Instances that disagree about their study are common in the field (a
corrected name, a date by another clock) and are kept as they came, each with its own metadata, for
nothing is coerced (PS3.18 §10.5.3, PS3.4 §B.4.1.3). Those that make two patients of one study, or
put one series into two studies, are kept too, and `conflicts` tells of them.
"""

import gzip
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from archive.catalog import site_attributes
from archive.catalog.folding import fold_name, tokens_of_value
from archive.catalog.levels import KEPT, TRIMMED
from archive.catalog.tables import InstanceRow, MetadataRow, SeriesRow, StudyRow
from archive.catalog.values import Attributes, values_at
from archive.model.attributes import INDEXED, IndexedAttribute, Kind, Level
from archive.model.frames import PixelDescription
from archive.model.identifiers import InstancePath
from archive.model.instances import BlobKey, Origin

_DERIVED = 64
"""Instances that are in memory at once while a study is derived from them."""

_COLUMNS = {
    level: tuple(a for a in INDEXED if a.level is level and not a.derived) for level in Level
}


@dataclass(frozen=True, slots=True)
class Entry:
    """All that the catalog is told of one instance."""

    path: InstancePath
    sop_class_uid: str
    transfer_syntax_uid: str
    attributes: Attributes
    """The metadata without the per-frame functional groups."""
    pixels: PixelDescription | None
    frame_index: bytes | None
    header_gz: bytes
    per_frame_gz: bytes | None
    size: int
    sha256: str


def add(
    session: Session,
    entry: Entry,
    *,
    blob_key: BlobKey,
    origin: Origin,
    stored_at: datetime,
    site: Sequence[IndexedAttribute] = (),
) -> None:
    """Write the rows of one instance.

    Parameters
    ----------
    site
        Attributes that the settings add to those that every archive indexes.

    Raises
    ------
    sqlalchemy.exc.IntegrityError
        When its SOP Instance UID is there already.
    """
    study_id = _study(session, entry, stored_at, site)
    series_id = _series(session, entry, study_id, stored_at, site)
    columns = columns_of(Level.INSTANCE, entry.attributes)
    columns |= {"instance_uid": entry.path.instance, "sop_class_uid": entry.sop_class_uid}
    instance_id = session.execute(
        insert(InstanceRow)
        .values(
            **columns,
            series_id=series_id,
            study_id=study_id,
            attributes=kept(Level.INSTANCE, entry.attributes, site),
            transfer_syntax_uid=entry.transfer_syntax_uid,
            blob_key=blob_key,
            size=entry.size,
            sha256=entry.sha256,
            origin=origin.value,
            stored_at=stored_at,
            pixels=None if entry.pixels is None else asdict(entry.pixels),
            frame_index=entry.frame_index,
        )
        .returning(InstanceRow.id)
    ).scalar_one()
    session.execute(
        insert(MetadataRow).values(
            instance_id=instance_id, header=entry.header_gz, per_frame=entry.per_frame_gz
        )
    )
    site_attributes.write(session, site, Level.INSTANCE, instance_id, entry.attributes)


def conflicts(session: Session, entry: Entry) -> list[str]:
    """Tell where an instance says of its study or series what cannot be true with what is stored.

    Returns
    -------
    list of str
        In words that name tags and UIDs, never a patient.
    """
    found = []
    path = entry.path
    told = columns_of(Level.STUDY, kept(Level.STUDY, entry.attributes))
    stored = session.execute(
        select(StudyRow.patient_id, StudyRow.issuer_of_patient_id).where(
            StudyRow.study_uid == path.study
        )
    ).one_or_none()
    if stored is not None:
        names = ("Patient ID (0010,0020)", "Issuer of Patient ID (0010,0021)")
        ours = (told["patient_id"], told["issuer_of_patient_id"])
        found += [
            f"study {path.study} is stored with another {name}"
            for name, one, other in zip(names, ours, stored, strict=True)
            if one != other and one is not None and other is not None
        ]
    elsewhere = session.execute(
        select(SeriesRow.id)
        .join(StudyRow, StudyRow.id == SeriesRow.study_id)
        .where(SeriesRow.series_uid == path.series, StudyRow.study_uid != path.study)
        .limit(1)
    ).first()
    if elsewhere is not None:
        found.append(f"series {path.series} is stored in another study, too")
    return found


def kept(
    level: Level, attributes: Attributes, site: Sequence[IndexedAttribute] = ()
) -> dict[str, Any]:
    """Give those of `attributes` that rows of `level` keep, those that the site added among them.

    The outermost attribute is kept of these, so that several keys of one sequence can be held
    against the same item.
    """
    paths = [attribute.path for attribute in site if attribute.level is level]
    tags = KEPT[level] | {path[0] for path in paths}
    return {
        tag: _without_nul(_trimmed(tag, attribute, paths))
        for tag, attribute in attributes.items()
        if tag in tags
    }


def _trimmed(tag: str, attribute: Any, paths: Sequence[tuple[str, ...]]) -> Any:  # noqa: ANN401 - JSON
    if tag not in TRIMMED or not isinstance(attribute.get("Value"), list):
        return attribute
    tags = TRIMMED[tag] | {path[1] for path in paths if path[0] == tag and len(path) > 1}
    items = [item for item in attribute["Value"] if isinstance(item, dict)]
    return {**attribute, "Value": [{t: a for t, a in i.items() if t in tags} for i in items]}


def columns_of(level: Level, attributes: Attributes) -> dict[str, Any]:
    """Give the columns of one level, with those that are derived from them."""
    columns: dict[str, Any] = {}
    tokens: set[int] = set()
    for attribute in _COLUMNS[level]:
        values = values_at(attribute, attributes)
        columns[attribute.name] = values if attribute.many else (values[0] if values else None)
        if attribute.kind is Kind.NAME:
            folded = fold_name(values[0]) if values else ""
            columns[f"{attribute.name}_folded"] = folded or None
            values = [group for group in folded.split("=") if group]
        if attribute.kind in {Kind.TEXT, Kind.NAME}:
            for value in values:
                tokens |= tokens_of_value(attribute.name, str(value))
    if level is not Level.INSTANCE:
        columns["tokens"] = sorted(tokens)
    return columns


def derive(session: Session, study_id: int) -> None:
    """Make the rows of a study and its series again from the instances that it has now.

    What only a deleted instance told, such as the name of another patient, goes with it.
    """
    found = (
        select(InstanceRow.series_id, MetadataRow.header)
        .join(MetadataRow, MetadataRow.instance_id == InstanceRow.id)
        .where(InstanceRow.study_id == study_id)
        .order_by(InstanceRow.id)
    )
    site = site_attributes.of_this_archive(session)
    of_study: dict[str, Any] | None = None
    of_series: dict[int, dict[str, Any]] = {}
    for series_id, header in session.execute(found).yield_per(_DERIVED):
        attributes = orjson.loads(gzip.decompress(header))
        of_study = _merged(of_study, kept(Level.STUDY, attributes))
        of_series[series_id] = _merged(of_series.get(series_id), kept(Level.SERIES, attributes))
    row = {**columns_of(Level.STUDY, of_study or {}), "attributes": of_study or {}}
    del row["study_uid"]  # the row's own name stays, in whatever form the instances have it
    session.execute(update(StudyRow).where(StudyRow.id == study_id).values(**row))
    site_attributes.write(session, site, Level.STUDY, study_id, of_study or {})
    for series_id, merged in of_series.items():
        row = {**columns_of(Level.SERIES, merged), "attributes": merged}
        del row["series_uid"]
        session.execute(update(SeriesRow).where(SeriesRow.id == series_id).values(**row))
        site_attributes.write(session, site, Level.SERIES, series_id, merged)


def _study(session: Session, entry: Entry, now: datetime, site: Sequence[IndexedAttribute]) -> int:
    new = kept(Level.STUDY, entry.attributes)
    row = {**columns_of(Level.STUDY, new), "study_uid": entry.path.study}
    found = select(StudyRow.id, StudyRow.attributes).where(StudyRow.study_uid == entry.path.study)
    while True:
        made: int | None = session.execute(
            upsert(StudyRow)
            .values(**row, attributes=new, created_at=now)
            .on_conflict_do_nothing(index_elements=["study_uid"])
            .returning(StudyRow.id)
        ).scalar()
        if made is not None:
            site_attributes.write(session, site, Level.STUDY, made, new)
            return made
        # Held until the end, as the instance's foreign key would hold it, but before anything else
        # is: a deletion waits for us, or we for it, and never each for the other.
        present = session.execute(found.with_for_update(read=True, key_share=True)).one_or_none()
        if present is not None:
            break  # else it was deleted while we waited, and is made anew
    study_id, old = present
    if _filled(old, new) is not None:
        # Read again under a lock that lets series be added meanwhile; others may have filled it.
        old = session.execute(found.with_for_update(key_share=True)).one().attributes
        filled = _filled(old, new)
        if filled is not None:
            row = {**columns_of(Level.STUDY, filled), "study_uid": entry.path.study}
            session.execute(
                update(StudyRow).where(StudyRow.id == study_id).values(**row, attributes=filled)
            )
            site_attributes.write(session, site, Level.STUDY, study_id, filled)
    return int(study_id)


def _series(
    session: Session, entry: Entry, study_id: int, now: datetime, site: Sequence[IndexedAttribute]
) -> int:
    new = kept(Level.SERIES, entry.attributes)
    row = {**columns_of(Level.SERIES, new), "series_uid": entry.path.series}
    made: int | None = session.execute(
        upsert(SeriesRow)
        .values(**row, study_id=study_id, attributes=new, created_at=now)
        .on_conflict_do_nothing(index_elements=["study_id", "series_uid"])
        .returning(SeriesRow.id)
    ).scalar()
    if made is not None:
        site_attributes.write(session, site, Level.SERIES, made, new)
        return made
    found = select(SeriesRow.id, SeriesRow.attributes).where(
        SeriesRow.study_id == study_id, SeriesRow.series_uid == entry.path.series
    )
    series_id, old = session.execute(found).one()
    if _filled(old, new) is not None:
        old = session.execute(found.with_for_update(key_share=True)).one().attributes
        filled = _filled(old, new)
        if filled is not None:
            row = {**columns_of(Level.SERIES, filled), "series_uid": entry.path.series}
            session.execute(
                update(SeriesRow).where(SeriesRow.id == series_id).values(**row, attributes=filled)
            )
            site_attributes.write(session, site, Level.SERIES, series_id, filled)
    return int(series_id)


def _filled(old: Attributes, new: Attributes) -> dict[str, Any] | None:
    """Give `old` with what was empty in it taken from `new`; None when that changes nothing."""
    more = {
        tag: attribute
        for tag, attribute in new.items()
        if len(attribute) > 1 and len(old.get(tag, ())) <= 1  # `vr` alone: there is no value
    }
    return {**old, **more} if more else None


def _merged(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """Give what a row keeps of the instances so far, and of the next one."""
    return new if old is None else _filled(old, new) or old


def _without_nul(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Take NUL characters out, which PostgreSQL's JSON cannot hold and no VR may have."""
    if isinstance(value, str):
        return value.replace("\0", "") if "\0" in value else value
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_nul(item) for key, item in value.items()}
    return value
