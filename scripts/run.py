"""Start the archive and see to it that there is a slide in it: what `make run` does.

The page is up first; the slide appears on it when it is ready. Ctrl-C stops everything this
script started, in order, and a second Ctrl-C is not needed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

ROOT = Path(__file__).resolve().parents[1]
COVERSLIP = Path(sys.executable).with_name("coverslip")

READY_SECONDS = 60
"""How long the server may take: a first start makes a database, which takes a few seconds."""

STOP_SECONDS = 20
"""How long a child may take to stop before it is killed."""

DEMO_CASE = {
    "--patient-id": "DEMO-0417",
    "--patient-name": "Demo^Slide",
    "--description": "Colon, transverse",
    "--case": "CS26-00417",
    "--accession": "CS26-00417",
    "--container-id": "CS26-00417-A1-1",
    "--specimen": "CS26-00417-A1",
    "--stain": "H&E",
}
"""What the demonstration slide's label says, and what a laboratory would have on record."""


class Stopped(Exception):
    """Raised in the main thread when this script is asked to stop."""


def main() -> int:
    """Run the server until it ends or is stopped; give the exit status."""
    slide = Path(os.environ["SLIDE"]).expanduser() if os.environ.get("SLIDE") else None
    if slide is not None and not slide.exists():
        say(f"There is no file or folder {slide}.")
        return 2
    environment = settings()
    port = int(environment["COVERSLIP_PORT"])
    if taken(port):
        say(f"Port {port} is taken by another program. Choose one: make run PORT={port + 1}")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    server = start([str(COVERSLIP), "serve"], environment)
    base = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(server, base)
        provide_slide(base, slide, environment)
        return server.wait()
    except Stopped:
        return 0
    except ServerEnded:
        return server.returncode or 1
    finally:
        end(server)


def say(text: str) -> None:
    """Tell the person at the terminal."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def settings() -> dict[str, str]:
    """Give the environment of every child: the archive's own settings, `make`'s words first."""
    environment = dict(os.environ)
    port = os.environ.get("PORT") or os.environ.get("COVERSLIP_PORT") or "8080"
    environment["COVERSLIP_PORT"] = port
    if os.environ.get("DATA"):
        environment["COVERSLIP_DATA_DIR"] = str(Path(os.environ["DATA"]).expanduser().absolute())
    return environment


def taken(port: int) -> bool:
    """Say whether something listens on `port` already."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stop(number: int, frame: FrameType | None) -> None:
    """Turn a signal into an exception; later ones change nothing."""
    del number, frame
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise Stopped


def start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own, so that Ctrl-C reaches it through us, once."""
    return subprocess.Popen(command, env=environment, process_group=0)


def end(child: subprocess.Popen[bytes]) -> None:
    """Ask a child to stop, and insist when it does not."""
    if child.poll() is not None:
        return
    child.send_signal(signal.SIGINT)
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        say("It did not stop when asked; stopping it for good.")
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


class ServerEnded(Exception):
    """Raised when the server ended before it was ready; it has said why itself."""


def wait_until_ready(server: subprocess.Popen[bytes], base: str) -> None:
    """Wait until the server says that it is ready.

    Raises
    ------
    ServerEnded
        When it ended, or was not ready within `READY_SECONDS`.
    """
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ServerEnded
        if status(f"{base}/health/ready") == 200:
            return
        time.sleep(0.1)
    say(f"The server was not ready after {READY_SECONDS} s: see {base}/health/ready")
    raise ServerEnded


def status(url: str) -> int:
    """Give the HTTP status of `url`, 0 when nobody answers."""
    request = urllib.request.Request(url, headers={"Accept": "application/dicom+json, */*"})  # noqa: S310 - always our own http address
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - likewise
            # An empty search is 204 from most servers, and an empty list from some.
            return 204 if answer.read(3) == b"[]" else int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def provide_slide(base: str, slide: Path | None, environment: dict[str, str]) -> None:
    """Put the user's slide into the archive, or the demonstration slide into an empty one."""
    if slide is not None:
        ingest([str(slide)], environment)
        return
    found = status(f"{base}/dicomweb/studies?limit=1")
    if found == 204:
        say("The archive is empty: drawing a slide to look at, which takes about half a minute.")
        with tempfile.TemporaryDirectory(prefix="coverslip-demo-") as folder:
            path = Path(folder) / "coverslip-demo.svs"
            if finish([sys.executable, "-m", "scripts.demo_slide", str(path)], environment) == 0:
                words = [word for pair in DEMO_CASE.items() for word in pair]
                ingest([str(path), *words], environment)
    elif found == 401:
        say("The archive asks for a token, so no demonstration slide is put into it.")


def ingest(words: list[str], environment: dict[str, str]) -> None:
    """Run `coverslip ingest`, and say where to look."""
    if finish([str(COVERSLIP), "ingest", *words], environment) == 0:
        say(f"Ready: open http://127.0.0.1:{environment['COVERSLIP_PORT']}/  (Ctrl-C stops it)")
    else:
        say("The slide was not taken, for the reason above; the archive itself is running.")


def finish(command: list[str], environment: dict[str, str]) -> int:
    """Run a child to its end; stop it when we are stopped."""
    child = start(command, environment)
    try:
        return child.wait()
    finally:
        end(child)


if __name__ == "__main__":
    sys.exit(main())
