"""The `coverslip` command as a child process, the way a person runs it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import urllib3

from tests.support.minio_server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

READY_SECONDS = 60.0
STOP_SECONDS = 30.0


class Command:
    """Runs `coverslip` in one working folder, with nothing set but what is given.

    Parameters
    ----------
    folder
        Working folder; the data folder is in it unless `set` says otherwise.
    settings
        Environment variables without their prefix, in lower case.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        own = {f"COVERSLIP_{name.upper()}": value for name, value in settings.items()}
        self.environment = {
            **{name: value for name, value in os.environ.items() if "COVERSLIP" not in name},
            **own,
            "COLUMNS": "200",
        }

    def run(self, *words: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self._line(*words),
            cwd=self.folder,
            env=self._with(settings),
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def start(self, *words: str | Path, **settings: str) -> subprocess.Popen[str]:
        """Start a command; what it says goes to `started.log` in the working folder."""
        with (self.folder / "started.log").open("a") as log:
            return subprocess.Popen(
                self._line(*words),
                cwd=self.folder,
                env=self._with(settings),
                stdout=log,
                stderr=log,
                text=True,
            )

    @contextlib.contextmanager
    def server(self, *words: str | Path, **settings: str) -> Iterator[Server]:
        """Run a server while the block runs; it is told to stop at the end, and must obey."""
        port = free_port()
        process = self.start("serve", "--port", str(port), *words, **settings)
        server = Server(process, f"http://127.0.0.1:{port}", self.folder)
        try:
            server.wait_until_ready()
            yield server
        finally:
            server.stop()

    def _line(self, *words: str | Path) -> list[str]:
        return [sys.executable, "-P", "-m", "cli", *map(str, words)]

    def _with(self, settings: Mapping[str, str]) -> dict[str, str]:
        given = {f"COVERSLIP_{name.upper()}": value for name, value in settings.items()}
        return {**self.environment, **given}


class Server:
    """A running `coverslip serve`."""

    def __init__(self, process: subprocess.Popen[str], url: str, folder: Path) -> None:
        self.process = process
        self.url = url
        self._folder = folder

    @property
    def said(self) -> str:
        """What it and its children have written so far."""
        return (self._folder / "started.log").read_text()

    def get(self, path: str, token: str | None = None) -> urllib3.BaseHTTPResponse:
        """Ask for something; 0 redirects, no retries."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        with urllib3.PoolManager(retries=False, timeout=10.0) as http:
            return http.request("GET", self.url + path, headers=headers)

    def wait_until_ready(self) -> None:
        """Wait until it is ready; fails with what it said when it is not."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                if self.get("/health/ready").status == 200:
                    return
            time.sleep(0.1)
        self.stop()
        raise AssertionError(self.said)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell it to stop; gives its exit status. Fails when it does not stop in time."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def descendants(pid: int) -> list[int]:
    """Give the process ids below `pid`; a child belongs to the thread that started it."""
    own = [
        int(word)
        for thread in Path(f"/proc/{pid}/task").iterdir()
        for word in (thread / "children").read_text().split()
    ]
    return own + [below for child in own for below in descendants(child)]


def command_line(pid: int) -> list[str]:
    """Give the words that a process was started with."""
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def is_running(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
