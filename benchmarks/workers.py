"""Several server processes on one port, beside one."""

from __future__ import annotations

import os
import time
import urllib.request

from benchmarks import load
from benchmarks.bench import Bench, Part
from benchmarks.frames import Table, archive_target, header
from benchmarks.processes import Server, archive
from benchmarks.report import ratio, say
from benchmarks.stowing import stow

_CONNECTIONS = 64


def measure(bench: Bench) -> None:
    """Ask one process, then as many as there are cores; see that they count together."""
    large = bench.large(bench.options.frames)
    several = os.cpu_count() or 1
    header(f"Random frames out of {large.frames}, by server processes")
    table, names = Table(), []
    for processes in (1, several):
        folder = bench.folder / f"archive-workers-{processes}"
        with archive(folder, {}, "--workers", str(processes)) as server:
            stow(f"{server.base}/dicomweb/studies", large.path)
            names.append(f"coverslip, {processes} of them")
            target = archive_target(names[-1], server, large, None)
            load.ask(target, connections=_CONNECTIONS, seconds=2)
            before = _counted(server)
            table.measure([target], _CONNECTIONS, bench.options.seconds)
            told = _counted(server) - before
        sent = table.found[names[-1], _CONNECTIONS].rate * bench.options.seconds
        say(f"  of about {sent:.0f} frames sent /metrics tells {told:.0f}")
    one, all_of_them = (table.found[name, _CONNECTIONS].rate for name in names)
    ratio(f"{several} processes : 1, frames/s (the client takes a core as well)", all_of_them / one)


def _counted(server: Server) -> float:
    """Give the frames that the server says it has sent, a moment after the last of them."""
    time.sleep(2)  # single frames are counted once a second
    with urllib.request.urlopen(f"{server.base}/metrics") as answer:  # noqa: S310 — our own server
        lines = answer.read().decode().splitlines()
    return float(next(one for one in lines if one.startswith("coverslip_frames_total")).split()[1])


PART = Part("workers", "several server processes on one port, beside one", measure)
