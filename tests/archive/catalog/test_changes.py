from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from archive.catalog import changes
from archive.model.identifiers import InstancePath

if TYPE_CHECKING:
    from archive.catalog.database import Database

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def write(database: Database, number: int) -> None:
    path = InstancePath.parse("1.2", "1.3", f"1.4.{number}")
    with database.sessions() as session:
        changes.record(session, changes.STORED, [path], now=NOW)
        if number % 5:
            session.commit()
        else:
            session.rollback()


def test_a_reader_that_remembers_the_last_number_never_misses_an_entry(database: Database) -> None:
    seen: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, database, number) for number in range(1, 101)]
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            done = all(writer.done() for writer in writers)
            with database.begin() as session:
                found = changes.since(session, seen[-1] if seen else 0)
            seen.extend(change.number for change in found)
            if done and not found:
                break
    for writer in writers:
        writer.result()
    assert seen == list(range(1, 81))  # every fifth was rolled back, and left no gap


def test_the_feed_is_read_in_pieces(database: Database) -> None:
    paths = [InstancePath.parse("1.2", "1.3", f"1.4.{number}") for number in range(10)]
    with database.begin() as session:
        assert changes.record(session, changes.STORED, paths, now=NOW) == 10
    with database.begin() as session:
        assert [c.number for c in changes.since(session, 0, limit=4)] == [1, 2, 3, 4]
        last = changes.since(session, 9)
    assert [(c.number, c.path, c.changed_at) for c in last] == [(10, paths[9], NOW)]
