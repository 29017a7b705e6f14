"""Frames and storing over MinIO."""

from __future__ import annotations

import shutil

from benchmarks import load
from benchmarks.bench import Bench, Part
from benchmarks.frames import CONNECTIONS, Table, archive_target, header
from benchmarks.processes import archive
from benchmarks.report import say
from benchmarks.stowing import stow


def measure(bench: Bench) -> None:
    """Measure the same frames as over a folder, where MinIO is installed."""
    if shutil.which("minio") is None:
        say("", "MinIO: not installed, left out")
        return
    from tests.support.minio_server import ACCESS_KEY, SECRET_KEY, MinioServer

    large = bench.large(bench.options.frames)
    with MinioServer(bench.folder / "minio") as minio:
        minio.client().make_bucket("coverslip")
        settings = {
            "COVERSLIP_BLOBS": "s3://coverslip/bench",
            "COVERSLIP_S3_ENDPOINT": minio.endpoint,
            "COVERSLIP_S3_ACCESS_KEY": ACCESS_KEY,
            "COVERSLIP_S3_SECRET_KEY": SECRET_KEY,
        }
        with archive(bench.folder / "archive-minio", settings) as server:
            seconds = stow(f"{server.base}/dicomweb/studies", large.path)
            header(f"Random frames out of {large.frames} over MinIO")
            target = archive_target("coverslip, MinIO", server, large, None)
            load.ask(target, connections=4, seconds=2)
            table = Table()
            for connections in CONNECTIONS:
                table.measure([target], connections, bench.options.seconds)
            rate = large.size / 1e6 / seconds
            say(f"  stored by STOW-RS in {seconds:.2f} s, {rate:.0f} MB/s")


PART = Part("minio", "frames and storing over MinIO", measure)
