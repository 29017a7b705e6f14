"""Rows in a test's catalog without files behind them, and searches for them."""

from __future__ import annotations

import gzip
import json
from copy import deepcopy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydicom.uid import generate_uid

from archive.blobs import new_key
from archive.catalog import index
from archive.catalog.paging import PageEnds
from archive.catalog.search import search
from archive.model.attributes import BY_KEYWORD, Level
from archive.model.instances import Origin
from archive.model.query import Match, Page, Query, QueryKey
from auth import Visibility
from tests.support.archives import path_of
from tests.support.dicom_files import whole_slide_attributes

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from archive.catalog.database import Database

NOW = datetime(2026, 11, 1, tzinfo=UTC)
JPEG = "1.2.840.10008.1.2.4.50"


def make(**given: object) -> Dataset:
    dataset = whole_slide_attributes(rows=32, columns=32, across=2, down=2)
    for keyword, value in given.items():
        setattr(dataset, keyword, value)
    return dataset


def sibling(dataset: Dataset, **given: object) -> Dataset:
    """Another instance of the same series."""
    copy = deepcopy(dataset)
    copy.SOPInstanceUID = generate_uid(prefix=None)
    for keyword, value in given.items():
        setattr(copy, keyword, value)
    return copy


def add(database: Database, *datasets: Dataset, attributes: dict[str, Any] | None = None) -> None:
    for dataset in datasets:
        kept = attributes or dataset.to_json_dict()
        entry = index.Entry(
            path=path_of(dataset),
            sop_class_uid=str(dataset.SOPClassUID),
            transfer_syntax_uid=JPEG,
            attributes=kept,
            pixels=None,
            frame_index=None,
            header_gz=gzip.compress(json.dumps(kept).encode()),
            per_frame_gz=None,
            size=1,
            sha256="0" * 64,
        )
        with database.begin() as session:
            key = new_key(uuid4().hex * 2)
            index.add(session, entry, blob_key=key, origin=Origin.STOW, stored_at=NOW)


def run(database: Database, query: Query, visible: Visibility = Visibility.ALL) -> Page:
    with database.begin() as session:
        return search(session, query, visible, PageEnds())


def find(
    database: Database, keyword: str, match: Match, level: Level = Level.STUDY, fuzzy: bool = False
) -> list[str | None]:
    key = QueryKey(BY_KEYWORD[keyword], match)
    page = run(database, Query(level, keys=(key,), fuzzy=fuzzy))
    return [row.instance or row.series or row.study for row in page.rows]
