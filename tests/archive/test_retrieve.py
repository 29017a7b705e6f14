from __future__ import annotations

import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from archive.archive import open_archive
from archive.caches import ByteBoundedCache, SingleFlight
from archive.errors import BulkDataNotFound, FrameNotFound, NotFound
from archive.model.identifiers import InstancePath, ResourcePath
from archive.retrieve import MetadataDocument
from auth import Visibility
from tests.support.archives import path_of, store
from tests.support.dicom_files import jpeg_slide

if TYPE_CHECKING:
    from archive.archive import Archive
    from archive.settings import Settings

ALL = Visibility.ALL


@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("table", ["basic", "none"])
def test_frames_come_in_the_order_asked_with_their_fragments_joined(
    any_archive: Archive, table: str, fragments: int
) -> None:
    made = jpeg_slide(table=table, fragments=fragments)
    store(any_archive, made.content)
    instance = any_archive.locate(path_of(made.dataset), visible=ALL)
    asked = [5, 2, 2, 6, 1]
    assert list(any_archive.frames(instance, asked)) == [made.frames[n - 1] for n in asked]
    for number in asked:
        spans = any_archive.frame_spans(instance, number)
        assert sum(span.length for span in spans) == len(made.frames[number - 1])


def test_a_frame_that_is_not_there_is_told_before_anything_is_read(archive: Archive) -> None:
    made = jpeg_slide()
    store(archive, made.content)
    instance = archive.locate(path_of(made.dataset), visible=ALL)
    for wrong in (0, 7, -1):
        with pytest.raises(FrameNotFound):
            archive.frames(instance, [1, wrong])


def test_listed_instances_give_their_frames_too(archive: Archive) -> None:
    made = jpeg_slide()
    store(archive, made.content)
    (listed,) = archive.instances(ResourcePath(path_of(made.dataset).study), visible=ALL)
    assert list(archive.frames(listed, [1])) == [made.frames[0]]


def test_a_warm_instance_is_served_without_the_database(archive: Archive) -> None:
    made = jpeg_slide()
    store(archive, made.content)
    path = path_of(made.dataset)
    assert archive.cached(path, visible=ALL) is None
    instance = archive.locate(path, visible=ALL)
    archive.database.close()
    assert archive.cached(path, visible=ALL) is instance
    assert list(archive.frames(instance, [3])) == [made.frames[2]]


def test_what_may_not_be_seen_is_not_found_cold_and_warm(archive: Archive) -> None:
    made = jpeg_slide()
    store(archive, made.content)
    path = path_of(made.dataset)
    hidden, labelled = Visibility.NONE, Visibility(frozenset({"others"}))
    for _ in range(2):
        for visible in (hidden, labelled):
            assert archive.cached(path, visible=visible) is None
            with pytest.raises(NotFound):
                archive.locate(path, visible=visible)
            with pytest.raises(NotFound):
                archive.instances(ResourcePath(path.study), visible=visible)
            with pytest.raises(NotFound):
                archive.metadata(ResourcePath(path.study), visible=visible)
        archive.locate(path, visible=ALL)


def test_a_path_that_does_not_hang_together_is_not_found(archive: Archive) -> None:
    one, two = jpeg_slide(), jpeg_slide()
    store(archive, one.content)
    store(archive, two.content)
    a, b = path_of(one.dataset), path_of(two.dataset)
    for path in (
        InstancePath(b.study, a.series, a.instance),
        InstancePath(a.study, b.series, a.instance),
    ):
        with pytest.raises(NotFound):
            archive.locate(path, visible=ALL)
        with pytest.raises(NotFound):
            archive.metadata(ResourcePath(path.study, path.series, path.instance), visible=ALL)


def test_a_deletion_elsewhere_shows_when_the_memory_has_expired(settings: Settings) -> None:
    brief = settings.model_copy(update={"locate_cache_seconds": 0.0})
    with open_archive(brief) as archive:
        made = jpeg_slide()
        store(archive, made.content)
        archive.locate(path_of(made.dataset), visible=ALL)
        with archive.database.begin() as session:
            session.execute(text("DELETE FROM instances"))
        with pytest.raises(NotFound):
            archive.locate(path_of(made.dataset), visible=ALL)


def test_an_instance_is_found_as_soon_as_it_is_stored(archive: Archive) -> None:
    made = jpeg_slide()
    with pytest.raises(NotFound):
        archive.locate(path_of(made.dataset), visible=ALL)
    store(archive, made.content)
    assert archive.locate(path_of(made.dataset), visible=ALL).sha256


def test_a_cache_that_is_too_small_only_costs_time(settings: Settings) -> None:
    small = settings.model_copy(update={"frame_cache_bytes": 0, "metadata_cache_bytes": 0})
    with open_archive(small) as archive:
        made = jpeg_slide()
        store(archive, made.content)
        instance = archive.locate(path_of(made.dataset), visible=ALL)
        assert list(archive.frames(instance, [1])) == [made.frames[0]]
        assert archive.header(instance).PatientID == "P-1"


def test_metadata_come_for_every_instance_with_absolute_addresses(any_archive: Archive) -> None:
    profile = bytes(range(256)) * 20
    first = jpeg_slide()
    study = first.dataset.StudyInstanceUID
    made = [first]
    for number in range(20):
        one = jpeg_slide(StudyInstanceUID=study, InstanceNumber=number)
        made.append(one)
    made[-1] = jpeg_slide(StudyInstanceUID=study, ICCProfile=profile)
    for one in made:
        store(any_archive, one.content)
    documents = list(any_archive.metadata(ResourcePath.parse(study), visible=ALL))
    assert [document.path.instance for document in documents] == [one.uid for one in made]
    assert len({document.etag for document in documents}) == len(made)
    read = json.loads(b"".join(documents[-1].json("https://x.org/instances/1")))
    assert read["00282000"] == {
        "vr": "OB",
        "BulkDataURI": "https://x.org/instances/1/bulkdata/00282000",
    }
    assert "7FE00010" not in read
    instance = any_archive.locate(documents[-1].path, visible=ALL)
    assert any_archive.bulk_data(instance, "00282000") == profile
    with pytest.raises(BulkDataNotFound):
        any_archive.bulk_data(instance, "00282001")
    assert any_archive.header(instance).ICCProfile == profile


@given(
    st.lists(st.binary(max_size=40), max_size=30),
    st.integers(min_value=0, max_value=1_100_000),
)
def test_addresses_are_made_absolute_across_the_edges_of_pieces(
    names: list[bytes], padding: int
) -> None:
    values = ['"' * (padding % 7) + "x" * padding, '"BulkDataURI":"not a key']
    items = [{"BulkDataURI": f"bulkdata/{name.hex()}"} for name in names]
    plain = json.dumps({"v": values, "i": items}, separators=(",", ":")).encode()
    compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    document = MetadataDocument(
        InstancePath.parse("1", "2", "3"),
        "etag",
        _gzip(b"{}"),
        compressor.compress(plain) + compressor.flush(),
    )
    read = json.loads(b"".join(document.json("http://h/i")))["52009230"]
    assert read["v"] == values
    assert [item["BulkDataURI"] for item in read["i"]] == [
        f"http://h/i/bulkdata/{name.hex()}" for name in names
    ]


def _gzip(content: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return compressor.compress(content) + compressor.flush()


def test_the_cache_forgets_what_was_used_longest_ago_and_keeps_its_bound() -> None:
    cache: ByteBoundedCache[str, int] = ByteBoundedCache(100)
    cache.put("a", 1, 40)
    cache.put("b", 2, 40)
    assert cache.get("a") == 1
    cache.put("c", 3, 40)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)
    cache.put("d", 4, 101)
    assert cache.get("d") is None
    cache.put("a", 5, 60)
    assert (cache.get("a"), cache.weight_bytes) == (5, 100)
    cache.drop("a")
    assert (cache.get("a"), cache.weight_bytes) == (None, 40)


def test_many_who_ask_at_once_cause_one_load() -> None:
    import threading

    flights: SingleFlight[str, int] = SingleFlight()
    gate, loads = threading.Event(), []

    def load() -> int:
        loads.append(1)
        gate.wait(10)
        return 7

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(flights.do, "key", load) for _ in range(8)]
        while not loads:
            pass
        gate.set()
        assert {one.result() for one in asked} == {7}
    assert len(loads) <= 2  # one, and one more for who came after it had ended


def test_an_error_reaches_everybody_who_waits_and_is_not_remembered() -> None:
    flights: SingleFlight[str, int] = SingleFlight()

    def fail() -> int:
        raise NotFound("nothing")

    for _ in range(2):
        with pytest.raises(NotFound):
            flights.do("key", fail)
    assert flights.do("key", lambda: 3) == 3
