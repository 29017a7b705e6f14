from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from archive.blobs import SupportsLocalPath, new_key
from archive.fixity import rebuild, verify
from archive.model.attributes import Level
from archive.model.identifiers import ResourcePath
from archive.model.query import Query
from auth import Forbidden, Principal, Visibility
from tests.support.archives import BY, path_of, stage, store
from tests.support.dicom_files import MadeFile, jpeg_slide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archive.archive import Archive
    from archive.model.instances import BlobKey
    from archive.model.query import ResultRow

ALL = Visibility.ALL
NOW = timedelta(0)


def put(archive: Archive, content: bytes, sha256: str | None = None) -> BlobKey:
    """Put a blob that no row knows."""
    staged = stage(archive, content)
    key = new_key(sha256 or staged.sha256)
    archive.blobs.put(key, staged)
    archive.staging.discard(staged)
    return key


def filled(archive: Archive, number: int = 4) -> list[MadeFile]:
    made = [jpeg_slide(PatientID=f"P-{n}", across=2, down=1) for n in range(number)]
    for one in made:
        store(archive, one.content)
    return made


def key_of(archive: Archive, made: MadeFile) -> BlobKey:
    return archive.locate(path_of(made.dataset), visible=ALL).blob_key


def snapshot(archive: Archive) -> dict[str, object]:
    """Everything that a client can see."""
    with archive.database.begin() as session:
        rows = session.execute(
            text(
                "SELECT instance_uid, blob_key, sha256, stored_at, origin, frame_index, pixels"
                " FROM instances ORDER BY instance_uid"
            )
        ).all()
    found = {row.study: row.attributes for row in _rows(archive)}
    documents = {
        study: [
            b"".join(one.json("http://x"))
            for one in archive.metadata(ResourcePath.parse(study), visible=ALL)
        ]
        for study in found
    }
    return {"rows": rows, "found": found, "metadata": documents}


def _rows(archive: Archive) -> Sequence[ResultRow]:
    return archive.search(Query(Level.INSTANCE), visible=ALL).rows


def test_an_archive_that_is_whole_is_found_whole(any_archive: Archive) -> None:
    made = filled(any_archive)
    told: list[tuple[int, int]] = []
    report = verify(any_archive, by=BY, progress=lambda *done: told.append(done), grace=NOW)
    assert (report.ok, report.checked, report.stray.count) == (True, 4, 0)
    assert report.bytes_read == sum(len(one.content) for one in made)
    assert told[-1] == (4, report.bytes_read)


@pytest.mark.claim("fixity")
def test_missing_altered_and_stray_blobs_are_each_found(any_archive: Archive) -> None:
    made = filled(any_archive, 5)
    missing, altered, shorter = (key_of(any_archive, one) for one in made[:3])
    any_archive.blobs.delete(missing)
    for key, content in ((altered, bytearray(made[1].content)), (shorter, made[2].content[:-2])):
        changed = bytearray(content)
        changed[-1 - len(changed) // 3] ^= 1
        any_archive.blobs.delete(key)
        staged = stage(any_archive, bytes(changed))
        any_archive.blobs.put(key, staged)
        any_archive.staging.discard(staged)
    stray = put(any_archive, jpeg_slide().content)
    report = verify(any_archive, by=BY, grace=NOW)
    assert not report.ok
    assert [finding.blob_key for finding in report.missing] == [missing]
    assert {finding.blob_key for finding in report.altered} == {altered, shorter}
    assert [finding.blob_key for finding in report.stray] == [stray]
    assert [finding.path for finding in report.missing] == [path_of(made[0].dataset)]
    assert report.checked == 5


def test_a_blob_that_may_be_on_its_way_in_is_not_called_stray(archive: Archive) -> None:
    put(archive, jpeg_slide().content)
    report = verify(archive, by=BY)
    assert (report.stray.count, report.young, report.ok) == (0, 1, True)


def test_the_catalog_is_the_same_again_after_a_rebuild(any_archive: Archive) -> None:
    filled(any_archive)
    before = snapshot(any_archive)
    with any_archive.database.begin() as session:
        changes = session.execute(text("SELECT count(*) FROM change_feed")).scalar_one()
    told: list[tuple[int, int]] = []
    report = rebuild(any_archive, by=BY, progress=lambda *done: told.append(done))
    assert (report.ok, report.indexed) == (True, 4)
    assert told[-1][0] == 4
    assert snapshot(any_archive) == before
    with any_archive.database.begin() as session:
        numbers = session.scalars(text("SELECT number FROM change_feed ORDER BY 1")).all()
        known = session.execute(text("SELECT count(*) FROM rebuild_known_blobs")).scalar_one()
    assert numbers == list(range(1, changes + 5))
    assert known == 0


@pytest.mark.claim("fixity")
def test_a_lost_catalog_is_made_from_the_blobs_alone(any_archive: Archive) -> None:
    made = filled(any_archive)
    before = snapshot(any_archive)["metadata"]
    with any_archive.database.begin() as session:
        session.execute(text("TRUNCATE studies CASCADE"))
    assert rebuild(any_archive, by=BY).indexed == 4
    assert snapshot(any_archive)["metadata"] == before
    for one in made:
        instance = any_archive.locate(path_of(one.dataset), visible=ALL)
        assert list(any_archive.frames(instance, [2])) == [one.frames[1]]
    assert verify(any_archive, by=BY, grace=NOW).ok


def test_a_rebuild_reports_what_it_leaves_out(any_archive: Archive) -> None:
    made = filled(any_archive, 2)
    altered = put(any_archive, jpeg_slide().content, sha256="ab" * 32)
    no_instance = put(any_archive, b"whole, and no DICOM")
    dataset = made[0].dataset
    twin = jpeg_slide(
        SOPInstanceUID=made[0].uid,
        StudyInstanceUID=dataset.StudyInstanceUID,
        PatientID="never acknowledged",
    )
    stray_twin = put(any_archive, twin.content)
    before = snapshot(any_archive)
    report = rebuild(any_archive, by=BY)
    assert [finding.blob_key for finding in report.altered] == [altered]
    assert [finding.blob_key for finding in report.unreadable] == [no_instance]
    assert [finding.blob_key for finding in report.conflicts] == [stray_twin]
    assert (report.indexed, report.ok) == (2, False)
    assert snapshot(any_archive) == before  # the acknowledged one won


def test_a_rebuild_that_was_cut_off_goes_on_where_it_stopped(archive: Archive) -> None:
    filled(archive, 5)
    before = snapshot(archive)

    class PowerCut(Exception):
        pass

    def cut(done: int, _: int) -> None:
        if done == 2:
            raise PowerCut

    with pytest.raises(PowerCut):
        rebuild(archive, by=BY, progress=cut)
    assert len(_rows(archive)) == 2
    report = rebuild(archive, by=BY)
    assert (report.present, report.indexed) == (2, 3)
    assert snapshot(archive) == before


def test_a_rebuild_of_an_empty_archive_does_nothing(archive: Archive) -> None:
    report = rebuild(archive, by=BY)
    assert (report.indexed, report.ok) == (0, True)


def test_blobs_of_a_folder_are_read_where_they_are(archive: Archive) -> None:
    assert isinstance(archive.blobs, SupportsLocalPath)
    filled(archive, 1)
    rebuild(archive, by=BY)
    assert list(archive.staging.folder.rglob("*.part")) == []


def test_only_who_may_verify_does_and_the_audit_log_keeps_it(archive: Archive) -> None:
    reader = Principal.anonymous()
    with pytest.raises(Forbidden):
        verify(archive, by=reader)
    with pytest.raises(Forbidden):
        rebuild(archive, by=reader)
    verify(archive, by=BY)
    rebuild(archive, by=BY)
    with archive.database.begin() as session:
        actions = session.execute(
            text("SELECT action, principal_id, outcome FROM audit_events ORDER BY occurred_at")
        ).all()
    assert [tuple(row) for row in actions] == [
        ("verify", BY.id, "success"),
        ("rebuild", BY.id, "success"),
    ]
