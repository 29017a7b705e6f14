"""Measure everything, print it, leave nothing behind."""

from __future__ import annotations

import argparse
import http.client
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import instance, load
from benchmarks.processes import COVERSLIP, Server, archive, nginx
from conversion import ConversionRequest
from conversion.convert import convert

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = (1, 16, 64)
RUNS = 3


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--slide", type=Path, help="convert this instead of the demo slide")
    parser.add_argument("--seconds", type=float, default=8, help="of each load")
    chosen = parser.parse_args()
    say(f"Coverslip {version('coverslip')}, Python {platform.python_version()}, {machine()}")
    with tempfile.TemporaryDirectory(prefix="coverslip-bench-") as name:
        folder = Path(name)
        slide = chosen.slide or demo_slide(folder)
        template = conversion(folder, slide)
        large = instance.make(folder, template)
        frames_header(large)
        with nginx(folder, large.still) as base:
            if base is None:
                say("  nginx               not installed, left out")
            else:
                still = load.Target("nginx, one file each", base, "/", ".jpg", instance.FRAMES)
                frames(still, chosen.seconds)
        notes = [
            measure_archive(folder, "folder", {}, large, slide, chosen.seconds),
            over_minio(folder, large, slide, chosen.seconds),
        ]
        say("", "Ingest and memory")
        say("                 STOW-RS             ingest, slide to stored   server's peak memory")
        for note in notes:
            say(note)
    return 0


def say(*lines: str) -> None:
    """Print lines at once."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def machine() -> str:
    """Name the processor and say how busy the machine is already."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    model = text.split("model name")[1].split(":", 1)[1].split("\n", 1)[0].strip()
    return f"{os.cpu_count()} x {model}, load average {os.getloadavg()[0]:.1f}"


def demo_slide(folder: Path) -> Path:
    """Draw the demonstration slide."""
    path = folder / "demo.svs"
    subprocess.run([sys.executable, "-m", "scripts.demo_slide", str(path)], check=True)
    return path


def conversion(folder: Path, slide: Path) -> Path:
    """Measure conversion beside `cp` of the same bytes; give the base level that came out."""
    size = slide.stat().st_size / 1e6
    copies, plain, command = [], [], []
    out = folder / "converted"
    for _ in range(RUNS):
        copies.append(seconds_of_copy(slide, folder / "copy", sync=True))
        shutil.rmtree(out, ignore_errors=True)
        started = time.perf_counter()
        convert(slide, out, ConversionRequest(), lambda _fraction: None)
        plain.append(time.perf_counter() - started)
        shutil.rmtree(out)
        started = time.perf_counter()
        subprocess.run(
            [str(COVERSLIP), "convert", str(slide), "--out", str(out)],
            check=True,
            capture_output=True,
        )
        command.append(time.perf_counter() - started)
    bare = statistics.median(
        seconds_of_copy(slide, folder / "copy", sync=False) for _ in range(RUNS)
    )
    say("", f"Conversion of {slide.name}, {size:.1f} MB; medians of {RUNS} runs, page cache warm")
    rows = [
        ("cp", bare),
        ("cp, then fsync", statistics.median(copies)),
        ("conversion, fsync", statistics.median(plain)),
        ("coverslip convert", statistics.median(command)),
    ]
    for name, seconds in rows:
        say(
            f"  {name:<18} {seconds:7.3f} s  {size / seconds:7.0f} MB/s  {seconds / bare:6.1f} x cp"
        )
    return max(out.glob("*.dcm"), key=lambda path: path.stat().st_size)


def seconds_of_copy(source: Path, to: Path, *, sync: bool) -> float:
    """Copy a file as `cp` does; give the seconds."""
    to.unlink(missing_ok=True)
    started = time.perf_counter()
    shutil.copyfile(source, to)
    if sync:
        with to.open("rb+") as file:
            os.fsync(file.fileno())
    return time.perf_counter() - started


def frames_header(large: instance.Large) -> None:
    """Say what is asked for, and by what."""
    by = "wrk" if load.has_wrk() else "a client in Python, slower than wrk: lower bounds"
    say(
        "",
        f"Random frames out of {instance.FRAMES}, {large.size / 1e6:.0f} MB in all, by {by}",
        "                      connections   frames/s    p50 ms    p99 ms",
    )


def frames(target: load.Target, seconds: float) -> None:
    """Measure a target at each number of connections, after warming it up."""
    load.ask(target, connections=4, seconds=2)
    for connections in CONNECTIONS:
        found = load.ask(target, connections=connections, seconds=seconds)
        wrong = f"   {found.errors} errors" if found.errors else ""
        say(
            f"  {target.name:<20} {connections:>10}   {found.rate:8.0f}  "
            f"{found.p50_ms:8.2f}  {found.p99_ms:8.2f}{wrong}"
        )


def measure_archive(
    folder: Path,
    name: str,
    settings: dict[str, str],
    large: instance.Large,
    slide: Path,
    seconds: float,
) -> str:
    """Store the instance, ask for frames, ingest the slide; give the line for the last table."""
    with archive(folder / f"archive-{name}", settings) as server:
        with server.watched() as memory:
            stow = store(server, large)
            path = (
                f"/dicomweb/studies/{large.study_uid}/series/{large.series_uid}"
                f"/instances/{large.instance_uid}/frames/"
            )
            target = load.Target(f"coverslip, {name}", server.base, path, "", instance.FRAMES)
            frames(target, seconds)
            ingest = server.run("ingest", str(slide))
        size = slide.stat().st_size / 1e6
        return (
            f"  {name:<10} {stow:6.2f} s  {large.size / 1e6 / stow:5.0f} MB/s  "
            f"   {ingest:6.2f} s  {size / ingest:5.0f} MB/s        "
            f"{memory.own_mib:4.0f} MiB, {memory.all_mib:4.0f} with mapped files"
        )


def store(server: Server, large: instance.Large) -> float:
    """Send the instance by STOW-RS; give the seconds until it was acknowledged."""
    head = b"--frames\r\nContent-Type: application/dicom\r\n\r\n"
    tail = b"\r\n--frames--\r\n"

    def body() -> Iterator[bytes]:
        yield head
        with large.path.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece
        yield tail

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    started = time.perf_counter()
    connection.request(
        "POST",
        "/dicomweb/studies",
        body=body(),
        headers={
            "Content-Type": 'multipart/related; type="application/dicom"; boundary=frames',
            "Content-Length": str(len(head) + large.size + len(tail)),
            "Accept": "application/dicom+json",
        },
    )
    answer = connection.getresponse()
    text = answer.read()
    seconds = time.perf_counter() - started
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"STOW-RS was answered {answer.status}: {text[:500]!r}")
    return seconds


def over_minio(folder: Path, large: instance.Large, slide: Path, seconds: float) -> str:
    """Measure the same over a MinIO server, where there is one."""
    if shutil.which("minio") is None:
        return "  MinIO      not installed, left out"
    from tests.support.minio_server import ACCESS_KEY, SECRET_KEY, MinioServer

    with MinioServer(folder / "minio") as minio:
        minio.client().make_bucket("coverslip")
        settings = {
            "COVERSLIP_BLOBS": "s3://coverslip/bench",
            "COVERSLIP_S3_ENDPOINT": minio.endpoint,
            "COVERSLIP_S3_ACCESS_KEY": ACCESS_KEY,
            "COVERSLIP_S3_SECRET_KEY": SECRET_KEY,
        }
        return measure_archive(folder, "MinIO", settings, large, slide, seconds)


if __name__ == "__main__":
    sys.exit(main())
