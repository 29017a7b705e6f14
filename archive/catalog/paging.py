"""The order of results, and where pages of a search ended.

Studies come newest first, those of a day in the reverse order of arrival, those without a date
last; within a study, series and instances in the order of arrival. Every row has one place in that
order, so that a page can begin behind a row instead of behind a number of rows, which would have to
be counted through. Rows that arrive meanwhile neither shift what follows nor make it double.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, or_, tuple_

from archive.catalog.tables import InstanceRow, SeriesRow, StudyRow
from archive.model.attributes import Level
from archive.model.query import Query
from auth import Visibility

REMEMBERED_SECONDS = 600
"""How long it is known where a page ended: a reader who pauses longer is counted to by number."""
REMEMBERED_ENDS = 20_000
"""Ends that a process remembers, of all searches together."""
NEAR_PAGES = 50
"""Pages before the wanted one that are looked at for a remembered end."""

_CHILD: dict[Level, Any] = {Level.SERIES: SeriesRow.id, Level.INSTANCE: InstanceRow.id}


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a row in the order."""

    listed_on: str
    study_id: int
    child_id: int = 0
    """Of the series or the instance; nothing at the level of studies."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin: behind `place`, then past `skip` further rows."""

    place: Place | None
    skip: int


def order(level: Level) -> list[Any]:
    """Give what the results of a level are ordered by."""
    columns = [StudyRow.listed_on.desc(), StudyRow.id.desc()]
    return columns if level is Level.STUDY else [*columns, _CHILD[level].asc()]


def place_columns(level: Level) -> list[Any]:
    """Give the columns that `place_of` reads."""
    columns = [StudyRow.listed_on.label("listed_on"), StudyRow.id.label("study_id")]
    return columns if level is Level.STUDY else [*columns, _CHILD[level].label("child_id")]


def place_of(row: RowMapping) -> Place:
    """Read the place of a row."""
    return Place(row["listed_on"], row["study_id"], row.get("child_id", 0))


def behind(level: Level, place: Place) -> ColumnElement[bool]:
    """Give the condition of every row that comes behind `place`."""
    here = tuple_(StudyRow.listed_on, StudyRow.id)
    there = (place.listed_on, place.study_id)
    if level is Level.STUDY:
        return here < there
    # The first half is what the index looks up; the second leaves out the study's first rows.
    return and_(here <= there, or_(StudyRow.id != place.study_id, _CHILD[level] > place.child_id))


def until(place: Place) -> ColumnElement[bool]:
    """Give the condition of every row of the studies up to that of `place`, itself included."""
    here = tuple_(StudyRow.listed_on, StudyRow.id)
    return here >= (place.listed_on, place.study_id)


class PageEnds:
    """Remembers at which row pages of searches ended. Safe between threads.

    An end is used for the very same search of someone who sees the same studies. It stays right
    when rows come and go, for it is a place and not a number.
    """

    def __init__(
        self, most: int = REMEMBERED_ENDS, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._now = now
        self._lock = threading.Lock()
        self._ends: OrderedDict[tuple[bytes, int], tuple[float, Place]] = OrderedDict()

    def remember(self, query: Query, visible: Visibility, offset: int, place: Place) -> None:
        """Keep that the first `offset` rows of a search end with the one at `place`."""
        entry = (_search(query, visible), offset)
        with self._lock:
            self._ends[entry] = (self._now() + REMEMBERED_SECONDS, place)
            self._ends.move_to_end(entry)
            while len(self._ends) > self._most:
                self._ends.popitem(last=False)

    def start(self, query: Query, visible: Visibility, offset: int) -> Start:
        """Tell where the row number `offset` of a search, zero-based, is best looked for.

        Where a reader skips pages of the same length, the end of a page somewhat before is known
        as often as that of the last one.
        """
        search = _search(query, visible)
        step = query.limit or 1
        with self._lock:
            for known in range(offset, max(offset - NEAR_PAGES * step, 0), -step):
                found = self._ends.get((search, known))
                if found is not None and found[0] > self._now():
                    return Start(found[1], offset - known)
        return Start(None, offset)


def _search(query: Query, visible: Visibility) -> bytes:
    """Give what two pages of one search have in common: a digest, as keys name patients."""
    bare = replace(query, limit=0, offset=0, include=frozenset(), include_all=False, creators=())
    labels = None if visible.labels is None else sorted(visible.labels)
    return hashlib.blake2b(repr((bare, labels)).encode(), digest_size=16).digest()
