"""Frames out of a bucket, and the cache before it, over HTTP."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from archive.blobs.block_cache import BLOCK_BYTES
from tests.support.dicom_files import native_slide
from tests.support.http import changed, in_bucket, path_of, running, store
from tests.support.minio_server import MinioServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archive.settings import Settings

SLIDE = native_slide(across=3, down=2, side=256)
"""Of several blocks, some frames on the edge between two of them."""


@pytest.fixture(scope="module")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """A MinIO of this module's own, to be stopped."""
    with MinioServer(tmp_path_factory.mktemp("minio") / "data") as server:
        yield server


def figures(client: httpx.Client) -> dict[str, float]:
    """Give what the server tells of its cache."""
    text = client.get("/metrics").text
    found = re.findall(r'coverslip_block_cache_\w+_total\{\w+="(\w+)"\} (\S+)', text)
    return {name: float(value) for name, value in found}


def test_frames_are_the_same_cold_warm_and_without_the_cache(
    settings: Settings, minio: MinioServer
) -> None:
    assert len(SLIDE.content) > 3 * BLOCK_BYTES
    with_cache = in_bucket(settings, minio.bucket())
    for given in (with_cache, changed(with_cache, block_cache_bytes=0)):
        with running(given) as server, httpx.Client(base_url=server.url) as client:
            if given is with_cache:
                assert store(client, SLIDE).status_code == 200
            for _ in range(2):
                for number, frame in enumerate(SLIDE.frames, 1):
                    answer = client.get(
                        f"{path_of(SLIDE)}/frames/{number}",
                        headers={"accept": "application/octet-stream"},
                    )
                    assert answer.status_code == 200
                    assert answer.content == frame


def test_without_the_store_warm_frames_are_served_and_cold_ones_are_unavailable(
    settings: Settings, minio: MinioServer
) -> None:
    with (
        running(in_bucket(settings, minio.bucket())) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        store(client, SLIDE)
        warm, cold = f"{path_of(SLIDE)}/frames/1", f"{path_of(SLIDE)}/frames/{len(SLIDE.frames)}"
        assert client.get(warm).status_code == 200
        before = figures(client)
        minio.stop()
        try:
            assert client.get(warm).status_code == 200
            refused = client.get(cold)
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            assert refused.headers["content-type"] == "application/problem+json"
            assert (
                client.get(warm, headers={"accept": "application/octet-stream"}).content
                == SLIDE.frames[0]
            )
        finally:
            minio.start()
        after = figures(client)
        assert after["miss"] == before["miss"] > 0
        assert after["hit"] >= before["hit"] + 2
        assert after["store"] == before["store"]
        assert after["cache"] >= before["cache"] + 2 * len(SLIDE.frames[0])


def test_a_store_that_hangs_holds_up_nobody_but_those_who_need_it(
    settings: Settings, minio: MinioServer
) -> None:
    given = changed(in_bucket(settings, minio.bucket()), locate_cache_seconds=0)
    with (
        running(given) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
        ThreadPoolExecutor(60) as pool,
    ):
        store(client, SLIDE)
        warm, cold = f"{path_of(SLIDE)}/frames/1", f"{path_of(SLIDE)}/frames/{len(SLIDE.frames)}"
        assert client.get(warm).status_code == 200
        with minio.hanging():
            # More than there are threads for everything else; a list is not answered at once.
            waiting = [
                pool.submit(httpx.get, server.url + cold + f",{1 + turn % 2}", timeout=60)
                for turn in range(60)
            ]
            deadline = time.monotonic() + 20
            while sum(one.name == "AnyIO worker thread" for one in threading.enumerate()) < 60:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert client.get(f"{path_of(SLIDE)}/frames/1,1").status_code == 200
            assert client.get(warm).status_code == 200
            assert client.get("/dicomweb/studies").status_code == 200
            assert not any(one.done() for one in waiting)
        assert {one.result().status_code for one in waiting} == {200}


def test_the_cache_is_where_the_settings_say_and_bounded(
    settings: Settings, minio: MinioServer, tmp_path: Path
) -> None:
    given = changed(
        in_bucket(settings, minio.bucket()),
        block_cache=tmp_path / "fast",
        block_cache_bytes="16MiB",
    )
    with running(given) as server, httpx.Client(base_url=server.url) as client:
        store(client, SLIDE)
        client.get(f"{path_of(SLIDE)}/frames/1")
    assert 0 < sum(file.stat().st_size for file in (tmp_path / "fast").iterdir()) <= 16 * 1024**2
