"""Frames and storing over MinIO: not held here yet, and held, beside a bare GET and a folder."""

from __future__ import annotations

import random
import shutil
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from archive.blobs.block_cache import BLOCK_BYTES
from benchmarks.bench import Bench, Part
from benchmarks.each_once import ask_each, get
from benchmarks.frames import CONNECTIONS, Table, archive_target, header
from benchmarks.processes import archive
from benchmarks.report import ratio, say
from benchmarks.stowing import stow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.instance import Large
    from benchmarks.load import Load, Target
    from benchmarks.processes import Server
    from tests.support.minio_server import MinioServer

BUCKET = "coverslip"
ROUNDS = 2
"""Times that everything cold is measured, in turn."""
_LISTED_FRAMES = 400


def measure(bench: Bench) -> None:
    """Measure frames over MinIO, where it is installed."""
    if shutil.which("minio") is None:
        say("", "MinIO: not installed, left out")
        return
    from tests.support.minio_server import MinioServer

    large = bench.large(bench.options.frames)
    with MinioServer(bench.folder / "minio") as minio:
        minio.client().make_bucket(BUCKET)
        with _over_minio(bench, minio, "stored") as server:
            seconds = stow(f"{server.base}/dicomweb/studies", large.path)
        rate = large.size / 1e6 / seconds
        say("", f"{large.size / 1e6:.0f} MB stored into MinIO in {seconds:.2f} s, {rate:.0f} MB/s")
        _cold(bench, minio, large)
        _warm(bench, minio, large)


@contextmanager
def _over_minio(bench: Bench, minio: MinioServer, cache: str) -> Iterator[Server]:
    """Run the archive over the bucket, with a cache of its own."""
    from tests.support.minio_server import ACCESS_KEY, SECRET_KEY

    settings = {
        "COVERSLIP_BLOBS": f"s3://{BUCKET}/bench",
        "COVERSLIP_S3_ENDPOINT": minio.endpoint,
        "COVERSLIP_S3_ACCESS_KEY": ACCESS_KEY,
        "COVERSLIP_S3_SECRET_KEY": SECRET_KEY,
        "COVERSLIP_BLOCK_CACHE": str(bench.folder / f"cache-{cache}"),
    }
    with archive(bench.folder / "archive-minio", settings) as server:
        yield server


def _cold(bench: Bench, minio: MinioServer, large: Large) -> None:
    """Ask for one frame of each block, of MinIO itself and of an archive that holds none yet."""
    spans = [] if large.spans is None else large.spans.read_text().splitlines()
    frames = _one_a_block(spans)
    say(
        "",
        f"{len(frames)} frames of as many blocks, each once, by a client in Python",
        f"  {'':<44} conn  frames/s    p50 ms    p99 ms",
    )
    url = _signed_url(minio)
    host = {"Host": urlsplit(minio.endpoint).netloc}
    ranges = [get(url, {**host, "Range": f"bytes={spans[number - 1]}"}) for number in frames]
    # What a miss asks for: the whole block, so that the frame's neighbours come along.
    blocks = [get(url, {**host, "Range": _block_around(spans[number - 1])}) for number in frames]
    for connections in CONNECTIONS:
        ratios = []
        for turn in range(ROUNDS):
            frame_alone = ask_each(minio.endpoint, ranges, connections=connections)
            _line("GET of the frame from MinIO", connections, frame_alone)
            alone = ask_each(minio.endpoint, blocks, connections=connections)
            _line("GET of its block from MinIO", connections, alone)
            with _over_minio(bench, minio, f"{connections}-{turn}") as server:
                path = f"/dicomweb{large.address}/frames/"
                headers = {"Host": urlsplit(server.base).netloc, "Accept": "image/jpeg"}
                asked = [get(f"{path}{number}", headers) for number in frames]
                # Where the instance lies is known then; the block of this frame is asked for twice.
                ask_each(server.base, asked[:1], connections=1)
                cold = ask_each(server.base, asked, connections=connections)
            _line("coverslip, not held yet", connections, cold)
            ratios.append((cold.p50_ms / alone.p50_ms, alone.rate / cold.rate))
        by_p50, by_rate = min(ratios)
        name = f"not held : GET of its block, {connections} conn"
        ratio(f"{name}, p50, better of {ROUNDS}", by_p50, wanted="at most 1.5")
        ratio(f"{name}, time for all", by_rate, wanted="at most 1.5")


def _warm(bench: Bench, minio: MinioServer, large: Large) -> None:
    """Ask for random frames that are held, beside the same from a folder."""
    header(f"Random frames out of {large.frames} over MinIO, held, and from a folder")
    table = Table()
    with ExitStack() as stack:
        held = stack.enter_context(_over_minio(bench, minio, "warm"))
        folder = stack.enter_context(archive(bench.folder / "archive-minio-folder", {}))
        stow(f"{folder.base}/dicomweb/studies", large.path)
        targets = [
            archive_target("coverslip, folder", folder, large, None),
            archive_target("coverslip, MinIO, held", held, large, None),
        ]
        for target in targets:
            _ask_for_all(target, large)
        for connections in CONNECTIONS:
            table.measure(targets, connections, bench.options.seconds)
    for connections in CONNECTIONS:
        from_folder, from_cache = (table.found[target.name, connections] for target in targets)
        name = f"held : folder, {connections} conn"
        ratio(f"{name}, frames/s", from_cache.rate / from_folder.rate, wanted="about 1")
        ratio(f"{name}, per CPU second", from_cache.processor_rate / from_folder.processor_rate)


def _one_a_block(spans: Sequence[str]) -> list[int]:
    """Give the number of a frame in each block that has a whole one, in random order."""
    found = {}
    for number, span in enumerate(spans, 1):
        first, last = map(int, span.split("-"))
        if first // BLOCK_BYTES == last // BLOCK_BYTES:
            found[first // BLOCK_BYTES] = number
    frames = list(found.values())
    random.Random(417).shuffle(frames)  # noqa: S311 - which frame is asked for is no secret
    return frames


def _block_around(span: str) -> str:
    """Give the Range of the block that has a frame, of which it is known that one block has it."""
    start = int(span.partition("-")[0]) // BLOCK_BYTES * BLOCK_BYTES
    return f"bytes={start}-{start + BLOCK_BYTES - 1}"


def _signed_url(minio: MinioServer) -> str:
    """Give path and query by which anybody may read the object that was stored."""
    client = minio.client()
    (found,) = client.list_objects(BUCKET, recursive=True)
    parts = urlsplit(client.presigned_get_object(BUCKET, str(found.object_name)))
    return f"{parts.path}?{parts.query}"


def _ask_for_all(target: Target, large: Large) -> None:
    """Have every frame sent once, in long lists."""
    headers: Mapping[str, str] = {"Host": urlsplit(target.base).netloc}
    requests = [
        get(target.prefix + ",".join(map(str, range(first, last))), headers)
        for first in range(1, large.frames + 1, _LISTED_FRAMES)
        for last in [min(first + _LISTED_FRAMES, large.frames + 1)]
    ]
    ask_each(target.base, requests, connections=2)


def _line(name: str, connections: int, found: Load) -> None:
    wrong = f"   {found.errors} errors" if found.errors else ""
    say(
        f"  {name:<44} {connections:>4}  {found.rate:8.0f}  {found.p50_ms:8.2f}  "
        f"{found.p99_ms:8.2f}{wrong}"
    )


PART = Part("minio", "frames and storing over MinIO, held and not held", measure)
