"""A server in a process of its own: what it holds in memory and what it says can be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.command import Command, Server
from tests.support.http import STORE_TYPE, multipart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.tmpdir import TempPathFactory

MEMORY_MIB = 200
"""What a hostile request may add to what the process holds at the most."""


@dataclass(frozen=True, slots=True)
class Victim:
    """The server that is attacked."""

    server: Server
    folder: Path
    client: httpx.Client

    @property
    def peak_mib(self) -> int:
        """The most memory that the process has held, in MiB."""
        status = Path(f"/proc/{self.server.process.pid}/status").read_text("ascii")
        return int(status.split("VmHWM:")[1].split()[0]) // 1024

    @property
    def resident_mib(self) -> int:
        """The memory that the process holds, in MiB."""
        status = Path(f"/proc/{self.server.process.pid}/status").read_text("ascii")
        return int(status.split("VmRSS:")[1].split()[0]) // 1024

    @property
    def kept(self) -> tuple[int, int]:
        """How many instances the catalog and the blob store hold."""
        found = self.client.get("/dicomweb/instances", params={"limit": "1000"})
        rows = len(found.json()) if found.status_code == 200 else 0
        return rows, sum(path.is_file() for path in (self.folder / "blobs").rglob("*.dcm"))

    def store(self, *contents: bytes) -> httpx.Response:
        """Send files to be stored."""
        return self.client.post(
            "/dicomweb/studies",
            content=multipart(*contents),
            headers={"content-type": STORE_TYPE},
        )


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: TempPathFactory) -> Iterator[Victim]:
    """The one server, shared: no attack may spoil it for the next."""
    folder = tmp_path_factory.mktemp("victim")
    command = Command(folder, data_dir=str(folder / "data"), max_header_bytes="64MiB")
    with (
        command.server() as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield Victim(server, folder / "data", client)


@pytest.fixture
def victim(attacked: Victim) -> Iterator[Victim]:
    """The server, looked at after the attack: alive, no traceback, no more memory, nothing half."""
    said = len(attacked.server.said)
    before = attacked.peak_mib
    yield attacked
    assert attacked.client.get("/health/ready").status_code == 200
    assert "Traceback" not in attacked.server.said[said:]
    assert "unforeseen" not in attacked.server.said[said:]
    assert attacked.peak_mib - before < MEMORY_MIB
    in_catalog, in_blobs = attacked.kept
    assert in_catalog == in_blobs
    assert list((attacked.folder / "staging").rglob("*.part")) == []
