"""Asking for random frames over many connections: by wrk where installed, else a small client."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np


@dataclass(frozen=True, slots=True)
class Target:
    """Where frames are asked for: `prefix` + number + `suffix`, numbers from 1 to `frames`."""

    name: str
    base: str
    prefix: str
    suffix: str
    frames: int


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it.

    Attributes
    ----------
    rate
        Frames per second.
    p50_ms, p99_ms
        Milliseconds from asking to the last byte.
    errors
        Answers that were not 2xx, and broken connections.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    errors: int


def has_wrk() -> bool:
    """Say whether wrk is installed."""
    return shutil.which("wrk") is not None


def ask(target: Target, *, connections: int, seconds: float) -> Load:
    """Ask for random frames over `connections` connections for some seconds."""
    if has_wrk():
        return _wrk(target, connections, seconds)
    return asyncio.run(_asyncio(target, connections, seconds))


def _wrk(target: Target, connections: int, seconds: float) -> Load:
    script = Path(__file__).with_name("frames.lua")
    answer = subprocess.run(
        [
            "wrk",
            "--threads=1",
            f"--connections={connections}",
            f"--duration={seconds:.0f}s",
            "--timeout=30s",
            f"--script={script}",
            target.base,
        ],
        env={
            **os.environ,
            "BENCH_PREFIX": target.prefix,
            "BENCH_SUFFIX": target.suffix,
            "BENCH_FRAMES": str(target.frames),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(answer.stdout.strip().splitlines()[-1])
    return Load(
        rate=found["requests"] / found["microseconds"] * 1e6,
        p50_ms=found["p50"] / 1e3,
        p99_ms=found["p99"] / 1e3,
        errors=found["errors"],
    )


async def _asyncio(target: Target, connections: int, seconds: float) -> Load:
    """Do what wrk does, several times slower: its figures are a lower bound."""
    where = urlsplit(target.base)
    end = time.perf_counter() + seconds
    took: list[float] = []
    errors = 0

    async def one(seed: int) -> None:
        nonlocal errors
        pick = random.Random(seed)  # noqa: S311 - which frame is asked for is no secret
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        while (started := time.perf_counter()) < end:
            path = f"{target.prefix}{pick.randint(1, target.frames)}{target.suffix}"
            request = f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\nAccept: image/jpeg\r\n\r\n"
            writer.write(request.encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
            await reader.readexactly(int(length))
            errors += not head.startswith(b"http/1.1 2")
            took.append(time.perf_counter() - started)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(one(seed) for seed in range(connections)))
    p50, p99 = np.percentile(took, [50, 99]) * 1e3
    return Load(len(took) / (time.perf_counter() - started), float(p50), float(p99), errors)
