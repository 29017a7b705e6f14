"""What `make run` does once everything is set up, as a person at a terminal sees it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.shared import shared_file

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "scripts.run"]


def environment(**words: str) -> Mapping[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("COVERSLIP_")}
    return {**clean, **words}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def studies(port: int) -> list[object]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/dicomweb/studies") as answer:
        found: list[object] = json.loads(answer.read() or b"[]")
        return found


def read_until(child: subprocess.Popen[str], start: str, seconds: float) -> list[str]:
    """Read what the child prints up to the line that starts so."""
    assert child.stdout is not None
    lines: list[str] = []
    deadline = time.monotonic() + seconds
    for line in child.stdout:
        lines.append(line.rstrip())
        if line.startswith(start):
            return lines
        assert time.monotonic() < deadline, lines
    message = f"it ended without {start!r}: {lines}"
    raise AssertionError(message)


def test_a_slide_is_taken_shown_and_found_again_after_ctrl_c(tmp_path: Path) -> None:
    slide = shared_file("slides/aperio-svs/CMU-1-Small-Region.svs")
    port = free_port()
    words = environment(PORT=str(port), DATA=str(tmp_path / "data"))
    for attempt, last in ((1, "Ready: open"), (2, "Ctrl-C stops it")):
        with subprocess.Popen(
            COMMAND,
            cwd=ROOT,
            env={**words, "SLIDE": str(slide) if attempt == 1 else ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as child:
            lines = read_until(child, last, 120)
            assert any(f"http://127.0.0.1:{port}/dicomweb" in line for line in lines)
            assert any(str(tmp_path / "data") in line for line in lines)
            assert len(studies(port)) == 1
            child.send_signal(signal.SIGINT)
            rest = child.communicate(timeout=60)[0]
        assert child.returncode == 0, rest
        assert "Traceback" not in rest
        assert "Fatal" not in rest
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "nothing listens any more"


def test_a_port_that_is_taken_is_told_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = subprocess.run(
            COMMAND,
            cwd=ROOT,
            env=environment(PORT=str(port), DATA=str(tmp_path / "data")),
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 2
    assert f"make run PORT={port + 1}" in ended.stdout
    assert not (tmp_path / "data").exists()


def test_a_slide_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    ended = subprocess.run(
        COMMAND,
        cwd=ROOT,
        env=environment(SLIDE=str(tmp_path / "none.svs"), DATA=str(tmp_path / "data")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "There is no file or folder" in ended.stdout
    assert not (tmp_path / "data").exists()
