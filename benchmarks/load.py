"""Asking for random frames over many connections: by wrk where installed, else a small client."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Target:
    """Where frames are asked for: `prefix` + number + `suffix`, a number from `first` to `last`.

    With `spans` it is always `prefix`, with the number's line of that file as Range.
    """

    name: str
    base: str
    prefix: str
    last: int
    first: int = 1
    suffix: str = ""
    spans: Path | None = None
    accept: str = "image/jpeg"
    token: str | None = None
    processor_seconds: Callable[[], float] = field(default=lambda: 0.0)
    """Tells how much processor time the server has used since it started."""

    @property
    def authorization(self) -> dict[str, str]:
        """The header that says who is asking."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it.

    Attributes
    ----------
    rate
        Frames per second.
    processor_rate
        Frames per second of processor time of the server; 0 where that is not known.
    p50_ms, p99_ms
        Milliseconds from asking to the last byte.
    errors
        Answers that were not 2xx, and broken connections.
    """

    rate: float
    processor_rate: float
    p50_ms: float
    p99_ms: float
    errors: int


def has_wrk() -> bool:
    """Say whether wrk is installed."""
    return shutil.which("wrk") is not None


def ask(target: Target, *, connections: int, seconds: float) -> Load:
    """Ask for random frames over `connections` connections for some seconds."""
    before = target.processor_seconds()
    requests, took, p50, p99, errors = (
        _wrk(target, connections, seconds)
        if has_wrk()
        else asyncio.run(_asyncio(target, connections, seconds))
    )
    used = target.processor_seconds() - before
    return Load(requests / took, requests / used if used else 0.0, p50, p99, errors)


def _wrk(target: Target, connections: int, seconds: float) -> tuple[int, float, float, float, int]:
    script = Path(__file__).with_name("frames.lua")
    environment = {
        **os.environ,
        "BENCH_PREFIX": target.prefix,
        "BENCH_SUFFIX": target.suffix,
        "BENCH_FIRST": str(target.first),
        "BENCH_LAST": str(target.last),
        "BENCH_ACCEPT": target.accept,
        **{f"BENCH_{name.upper()}": value for name, value in target.authorization.items()},
    }
    if target.spans is not None:
        environment["BENCH_SPANS"] = str(target.spans)
    answer = subprocess.run(
        [
            "wrk",
            "--threads=1",
            f"--connections={connections}",
            f"--duration={max(1, round(seconds))}s",
            "--timeout=60s",
            f"--script={script}",
            target.base,
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(answer.stdout.strip().splitlines()[-1])
    return (
        found["requests"],
        found["microseconds"] / 1e6,
        found["p50"] / 1e3,
        found["p99"] / 1e3,
        found["errors"],
    )


async def _asyncio(
    target: Target, connections: int, seconds: float
) -> tuple[int, float, float, float, int]:
    """Do what wrk does, several times slower: its figures are a lower bound."""
    where = urlsplit(target.base)
    spans = [] if target.spans is None else target.spans.read_text().splitlines()
    end = time.perf_counter() + seconds
    took: list[float] = []
    errors = 0

    def request(number: int) -> bytes:
        path = target.prefix if spans else f"{target.prefix}{number}{target.suffix}"
        headers = {"Host": where.netloc, "Accept": target.accept, **target.authorization}
        if spans:
            headers["Range"] = f"bytes={spans[number - 1]}"
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode()

    async def one(seed: int) -> None:
        nonlocal errors
        pick = random.Random(seed)  # noqa: S311 - which frame is asked for is no secret
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        while (started := time.perf_counter()) < end:
            writer.write(request(pick.randint(target.first, target.last)))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
            await reader.readexactly(int(length))
            errors += not head.startswith(b"http/1.1 2")
            took.append(time.perf_counter() - started)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(one(seed) for seed in range(connections)))
    p50, p99 = np.percentile(took, [50, 99]) * 1e3
    return len(took), time.perf_counter() - started, float(p50), float(p99), errors
