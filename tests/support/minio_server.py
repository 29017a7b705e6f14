"""A real MinIO server for tests: a child process on a free port over a temporary folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import urllib3
from minio import Minio

from archive.blobs.location import ObjectLocation
from tests.support.shared import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

ACCESS_KEY = "coverslip-tests"
SECRET_KEY = "not-a-secret-at-all"
READY_SECONDS = 30.0


def minio_binary() -> str:
    """Find MinIO: on the PATH, or where `make setup` builds it; fails on CI and skips elsewhere."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for candidate in (shutil.which("minio"), shutil.which(str(cache / "coverslip/bin/minio"))):
        if candidate is not None:
            return candidate
    return missing("there is no minio: neither on the PATH nor made by `make test`")


def free_port() -> int:
    """Find a TCP port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class MinioServer:
    """One MinIO process. A context manager; can be stopped and started again on the same data."""

    def __init__(self, folder: Path) -> None:
        self._binary = minio_binary()
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        log = (self._folder.parent / "minio.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [
                    self._binary,
                    "server",
                    "--quiet",
                    "--address",
                    f"127.0.0.1:{self._port}",
                    str(self._folder),
                ],
                env={
                    **os.environ,
                    "MINIO_ROOT_USER": ACCESS_KEY,
                    "MINIO_ROOT_PASSWORD": SECRET_KEY,
                    "MINIO_BROWSER": "off",
                    "MINIO_UPDATE": "off",
                },
                stdout=log,
                stderr=log,
            )
        self._wait()

    def stop(self) -> None:
        """Kill it, as a power cut would: whatever it acknowledged must be there afterwards."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Let it take connections and answer nothing until the block ends."""
        if self._process is None:
            message = "it does not run"
            raise RuntimeError(message)
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def client(self) -> Minio:
        """Give a client with every right."""
        address = self.endpoint.removeprefix("http://")
        # A server that has just become ready may still answer 503 for a moment, and "come back in a
        # minute"; it is asked again at once.
        again = urllib3.Retry(
            total=100,
            backoff_factor=0.05,
            backoff_max=0.2,
            status_forcelist=[503],
            respect_retry_after_header=False,
            allowed_methods=None,
        )
        return Minio(
            address,
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            secure=False,
            http_client=urllib3.PoolManager(retries=again, timeout=10.0),
        )

    def bucket(self, prefix: str = "") -> ObjectLocation:
        """Make a bucket that nothing else uses."""
        name = f"test-{uuid4().hex[:16]}"
        self.client().make_bucket(name)
        return self.location(name, prefix)

    def location(self, bucket: str, prefix: str = "") -> ObjectLocation:
        """Give the location of a bucket, whether it is there or not."""
        return ObjectLocation(
            self.endpoint, bucket, prefix, ACCESS_KEY, SECRET_KEY, region="us-east-1"
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        with urllib3.PoolManager(retries=False, timeout=1.0) as http:
            while time.monotonic() < deadline:
                if self._process is None or self._process.poll() is not None:
                    break
                try:
                    if http.request("GET", f"{self.endpoint}/minio/health/ready").status == 200:
                        return
                except urllib3.exceptions.HTTPError:
                    time.sleep(0.05)
        self.stop()
        log = (self._folder.parent / "minio.log").read_text(errors="replace")[-2000:]
        message = f"MinIO did not start: {log}"
        raise RuntimeError(message)
