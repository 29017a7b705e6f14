"""The servers that are measured: ours over a folder or MinIO, and nginx for comparison."""

from __future__ import annotations

import http.client
import os
import shutil
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


def free_port() -> int:
    """Give a port nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def archive(folder: Path, settings: Mapping[str, str]) -> Iterator[Server]:
    """Run an archive of its own in `folder`, empty at first."""
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
            [str(COVERSLIP), "serve"], env=environment, stdout=out, stderr=out, process_group=0
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


@contextmanager
def nginx(folder: Path, root: Path) -> Iterator[str | None]:
    """Hand out the files under `root` with one nginx worker; None where nginx is not installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")
    if program is None:
        yield None
        return
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"""
        daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
        {"user root;" if os.geteuid() == 0 else ""}
        events {{ worker_connections 512; }}
        http {{
          access_log off; sendfile on; keepalive_requests 1000000;
          types {{ image/jpeg jpg; }}
          client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
          fastcgi_temp_path {folder}/nginx-fastcgi; uwsgi_temp_path {folder}/nginx-uwsgi;
          scgi_temp_path {folder}/nginx-scgi;
          server {{ listen 127.0.0.1:{port}; root "{root}"; }}
        }}
        """
    )
    process = subprocess.Popen([program, "-c", str(configuration), "-e", f"{folder}/nginx.log"])
    try:
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
