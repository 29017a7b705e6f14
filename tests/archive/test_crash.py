"""A kill at any line loses nothing that was acknowledged, and shows nothing that is not whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from archive.archive import Archive, open_archive
from archive.fixity import verify
from archive.model.attributes import Level
from archive.model.identifiers import ResourcePath
from archive.model.instances import StoreStatus
from archive.model.query import Query
from auth import Visibility
from tests.support.archives import BY, store
from tests.support.dicom_files import jpeg_slide

if TYPE_CHECKING:
    from pathlib import Path

    from archive.settings import Settings

KILLS = 10
SEED = 20261124
ALL = Visibility.ALL


def store_until_killed(settings: Settings, folder: Path, seconds: float) -> list[str]:
    """Run a child that stores, kill it that long after its first answer; gives what it told."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.storing_child", str(folder)],
        env={**os.environ, **settings.environment()},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    lines = [child.stdout.readline()]
    time.sleep(seconds)
    child.kill()
    rest, _ = child.communicate()
    lines += rest.splitlines(keepends=True)
    # A line that was cut short was not acknowledged to anybody.
    return [line.split()[-1] for line in lines if line.endswith("\n")]


@pytest.mark.claim("store.durable")
def test_kills_at_random_moments_lose_nothing_and_show_nothing_partial(
    any_settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    study = jpeg_slide().dataset.StudyInstanceUID
    made = [jpeg_slide(StudyInstanceUID=study, PatientID=f"P{n}", side=48) for n in range(150)]
    for number, one in enumerate(made):
        one.write(folder, f"{number:03}.dcm")
    moments = random.Random(SEED)
    acknowledged: set[str] = set()
    interrupted = 0
    with open_archive(any_settings) as archive:
        for _ in range(KILLS):
            told = store_until_killed(any_settings, folder, moments.uniform(0.0, 0.35))
            acknowledged |= set(told)
            interrupted += len(told) < len(made)
            # What is acknowledged stays in the folder: the next child meets it as stored already.
            report = verify(archive, by=BY, grace=timedelta(0))
            assert (report.missing.count, report.altered.count) == (0, 0)
            assert_whole(archive, acknowledged)
        assert interrupted >= KILLS // 2, "the children were killed too late to show anything"
        for one in made:
            assert store(archive, one.content).status is not StoreStatus.REJECTED
        report = verify(archive, by=BY, grace=timedelta(0))
        assert (report.ok, report.checked) == (True, len(made))
        # At most one blob a kill is litter: the one that was between put and commit.
        assert report.stray.count <= KILLS
        assert_whole(archive, {one.uid for one in made})


def assert_whole(archive: Archive, expected: set[str]) -> None:
    """Whatever is found has its metadata, its file and its last frame."""
    rows = archive.search(Query(Level.INSTANCE), visible=ALL).rows
    found = {row.instance for row in rows}
    assert expected <= found
    study = ResourcePath.parse(rows[0].study)
    documents = {document.path for document in archive.metadata(study, visible=ALL)}
    instances = archive.instances(study, visible=ALL)
    assert {instance.path for instance in instances} == documents
    assert len(instances) == len(found)
    for instance in instances[-3:]:
        (frame,) = archive.frames(archive.locate(instance.path, visible=ALL), [6])
        assert frame[:2] == b"\xff\xd8"
