"""A real server process, and what it holds in memory while large things pass through it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from archive.model.transfer_syntaxes import EXPLICIT_LITTLE, JPEG_BASELINE
from tests.support.dicom_files import DELIMITER, encode, file_meta, whole_slide_attributes
from tests.support.http import BOUNDARY, STORE_TYPE
from tests.support.minio_server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAMES, SIDE = 9600, 256
SIZE = FRAMES * SIDE * SIDE  # 600 MiB of one sample a pixel
ALLOWED_GROWTH_MIB = 120
STEP = bytes(1024 * 1024)


@pytest.fixture
def process(tmp_path: Path, database_url: str) -> Iterator[tuple[int, int]]:
    """A server process of its own: its number and its port."""
    port = free_port()
    environment = {
        **os.environ,
        "COVERSLIP_DATA_DIR": str(tmp_path / "data"),
        "COVERSLIP_DATABASE_URL": database_url,
    }
    command = [sys.executable, "-m", "uvicorn", "--factory", "dicomweb.app:create_app"]
    command += ["--port", str(port), "--log-level", "warning"]
    child = subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[2])
    try:
        for _ in range(600):
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{port}/health/live")
                break
            time.sleep(0.1)
        yield child.pid, port
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(timeout=30)


def peak_mib(process: int) -> float:
    """Give the most memory that a process ever held."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def test_a_large_instance_goes_in_and_out_in_flat_memory(process: tuple[int, int]) -> None:
    number, port = process
    header = whole_slide_attributes(
        rows=SIDE,
        columns=SIDE,
        across=FRAMES // 96,
        down=96,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
    )
    del header.PlanarConfiguration
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    head += file_meta(header, EXPLICIT_LITTLE) + encode(header, EXPLICIT_LITTLE)
    head += struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, SIZE)
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(SIZE // len(STEP)):
            yield STEP
        yield tail

    path = f"/dicomweb/studies/{header.StudyInstanceUID}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=240)
    before = peak_mib(number)
    connection.request(
        "POST",
        path,
        body=body(),
        headers={
            "Content-Type": STORE_TYPE,
            "Content-Length": str(len(head) + SIZE + len(tail)),
        },
    )
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()
    assert peak_mib(number) - before < ALLOWED_GROWTH_MIB

    connection.request("GET", path, headers={"Accept": "*/*"})
    answer = connection.getresponse()
    assert answer.status == 200
    received = 0
    while chunk := answer.read(1024 * 1024):
        received += len(chunk)
    assert received == int(answer.headers["Content-Length"]) > SIZE
    assert peak_mib(number) - before < ALLOWED_GROWTH_MIB
    connection.close()


def test_many_fragments_do_not_count_as_memory(process: tuple[int, int]) -> None:
    number, port = process
    frames, fragment = 12_800, 16 * 1024
    header = whole_slide_attributes(
        rows=256, columns=256, across=frames, down=1, PhotometricInterpretation="YBR_FULL_422"
    )
    item = struct.pack("<HHL", 0xFFFE, 0xE000, fragment) + b"\xff\xd8" + bytes(fragment - 4)
    item += b"\xff\xd9"
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    head += file_meta(header, JPEG_BASELINE) + encode(header, EXPLICIT_LITTLE)
    head += struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    head += struct.pack("<HHL", 0xFFFE, 0xE000, 0)
    tail = DELIMITER + f"\r\n--{BOUNDARY}--\r\n".encode()

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(frames // 64):
            yield item * 64
        yield tail

    before = peak_mib(number)
    answer = httpx.post(
        f"http://127.0.0.1:{port}/dicomweb/studies",
        content=body(),
        headers={"content-type": STORE_TYPE},
        timeout=120,
    )
    assert answer.status_code in {200, 202}, answer.text
    assert peak_mib(number) - before < ALLOWED_GROWTH_MIB


def test_a_download_that_is_given_up_stops(process: tuple[int, int]) -> None:
    _, port = process
    from tests.support.dicom_files import native_slide

    slide = native_slide(across=40, down=20, side=128)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        from tests.support.http import path_of, store

        assert store(client, slide).status_code == 200
        for _ in range(5):
            with client.stream("GET", path_of(slide)) as answer:
                next(answer.iter_raw(1024))
        assert client.get(path_of(slide) + "/frames/1").status_code == 200
