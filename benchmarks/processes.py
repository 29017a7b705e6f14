"""The archive as it is measured: a server of its own, its memory and its processor time."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COVERSLIP = Path(sys.executable).with_name("coverslip")
READY_SECONDS = 60.0


@dataclass(slots=True)
class Memory:
    """The most memory a process held at once.

    Attributes
    ----------
    own_mib
        MiB of its own (RssAnon), looked at every 5 ms.
    all_mib
        MiB with the pages of mapped files (VmHWM), which the system takes back when it needs them.
    """

    own_mib: float = 0.0
    all_mib: float = 0.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running archive."""

    port: int
    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]

    @property
    def base(self) -> str:
        """Give the server's address."""
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def watched(self) -> Iterator[Memory]:
        """Watch the server process's memory while the block runs."""
        memory, done = Memory(), threading.Event()

        def watch() -> None:
            while not done.wait(0.005):
                memory.own_mib = max(memory.own_mib, self._mib("RssAnon"))

        thread = threading.Thread(target=watch, name="watch-memory")
        thread.start()
        try:
            yield memory
        finally:
            done.set()
            thread.join()
            memory.all_mib = self._mib("VmHWM")

    def processor_seconds(self) -> float:
        """Tell how much processor time the server processes have used since they started."""
        workers = [
            pid
            for pid in children_of(self.process.pid)
            if b"http-worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        return sum(map(processor_seconds, [self.process.pid, *workers]))

    def create_token(self, role: str) -> str:
        """Make a token of a role; give its secret."""
        made = subprocess.run(
            [str(COVERSLIP), "token", "create", "bench", "--role", role],
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return next(word for word in made.stdout.split() if word.startswith("cvs_"))

    def _mib(self, line: str) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split(f"{line}:")[1].split()[0]) / 1024

    def run(self, *words: str) -> float:
        """Run a `coverslip` command on the same archive; give the seconds it took."""
        started = time.perf_counter()
        subprocess.run(
            [str(COVERSLIP), *words], env=self.environment, check=True, capture_output=True
        )
        return time.perf_counter() - started


def processor_seconds(pid: int) -> float:
    """Tell how much processor time a process has used since it started, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children_of(pid: int) -> list[int]:
    """Give the processes that a process has started."""
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(one) for one in " ".join(lists).split()]


def free_port() -> int:
    """Give a port nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def archive(folder: Path, settings: Mapping[str, str], *words: str) -> Iterator[Server]:
    """Run an archive of its own in `folder`, empty at first; `words` go to `coverslip serve`."""
    port = free_port()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("COVERSLIP_")}
    environment = {
        **clean,
        "COVERSLIP_DATA_DIR": str(folder),
        "COVERSLIP_PORT": str(port),
        "COVERSLIP_LOG_LEVEL": "warning",
        **settings,
    }
    log = folder.with_suffix(".log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(COVERSLIP), "serve", *words],
            env=environment,
            stdout=out,
            stderr=out,
            process_group=0,
        )
    try:
        _wait(process, port, log)
        yield Server(port, process, environment)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass  # not listening yet
        finally:
            connection.close()
        time.sleep(0.1)
    raise RuntimeError(f"the server did not get ready:\n{log.read_text()[-2000:]}")
