"""Sending an instance by STOW-RS, to any server that speaks it (PS3.18 §10.5)."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PIECE = 1 << 20
_HEAD = b"--frames\r\nContent-Type: application/dicom\r\n\r\n"
_TAIL = b"\r\n--frames--\r\n"


def stow(url: str, path: Path, *, token: str | None = None) -> float:
    """Send one file; give the seconds until it was acknowledged.

    Parameters
    ----------
    url
        Of the service's studies.
    """
    size = path.stat().st_size

    def body() -> Iterator[bytes]:
        yield _HEAD
        with path.open("rb", buffering=0) as file:
            while piece := file.read(_PIECE):
                yield piece
        yield _TAIL

    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=3600)
    headers = {
        "Content-Type": 'multipart/related; type="application/dicom"; boundary=frames',
        "Content-Length": str(len(_HEAD) + size + len(_TAIL)),
        "Accept": "application/dicom+json",
    }
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    started = time.perf_counter()
    connection.request("POST", where.path, body=body(), headers=headers)
    answer = connection.getresponse()
    text = answer.read()
    seconds = time.perf_counter() - started
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"STOW-RS was answered {answer.status}: {text[:500]!r}")
    return seconds
