"""Asking for a list of things, each once: what is not in a cache yet is only so the first time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from benchmarks.load import Load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def get(path: str, headers: Mapping[str, str]) -> bytes:
    """Write a GET as it goes over the wire."""
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def ask_each(base: str, requests: Sequence[bytes], *, connections: int) -> Load:
    """Send each request once, over so many connections, and read the answers."""
    return asyncio.run(_ask_each(base, requests, connections))


async def _ask_each(base: str, requests: Sequence[bytes], connections: int) -> Load:
    where = urlsplit(base)
    waiting = iter(requests)
    took: list[float] = []
    errors = 0

    async def one() -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        for request in waiting:
            started = time.perf_counter()
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
            await reader.readexactly(int(length))
            took.append(time.perf_counter() - started)
            errors += not head.startswith(b"http/1.1 2")
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    seconds = time.perf_counter() - started
    p50, p99 = np.percentile(took, [50, 99]) * 1e3
    return Load(len(took) / seconds, 0.0, float(p50), float(p99), errors)
