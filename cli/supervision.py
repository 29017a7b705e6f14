"""A child process that is kept running beside the server and ends with it."""

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, Self

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A child that ran this long has worked: the next pause is short again."""
STOP_SECONDS = 15.0
"""Between asking a child to end and killing it."""

_log = logging.getLogger(__name__)


class Supervised:
    """Runs a command, again whenever it ends, until the `with` block is left.

    The child is in a process group of its own, so that Ctrl-C reaches it through us, once. Its
    standard input is a pipe that nobody writes to: when this process dies, however it does, the
    pipe ends, and a child that watches it (see `end_with_parent`) ends too.

    Parameters
    ----------
    name
        For the log.
    command, environment
        What is run.
    descriptors
        Open files that the child gets, under the same numbers.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        descriptors: Sequence[int] = (),
    ) -> None:
        self._name = name
        self._descriptors = tuple(descriptors)
        self._command = list(command)
        self._environment = dict(environment)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name=f"supervise-{name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        with self._lock:
            child = self._child
        if child is not None:
            _end(child, self._name)
        self._thread.join()

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            started = time.monotonic()
            with self._lock:
                if self._stopping.is_set():
                    return
                self._child = child = subprocess.Popen(
                    self._command,
                    env=self._environment,
                    stdin=subprocess.PIPE,
                    process_group=0,
                    pass_fds=self._descriptors,
                )
            status = child.wait()
            if child.stdin is not None:
                child.stdin.close()
            if self._stopping.is_set():
                return
            if time.monotonic() - started >= STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            _log.warning(
                "the %s ended with status %d; starting it again in %.0f s",
                self._name,
                status,
                pause,
            )
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def end_with_parent(pipe: IO[bytes]) -> None:
    """End this process with SIGTERM when `pipe`, held open by the parent, ends."""
    descriptor = pipe.fileno()

    def watch() -> None:
        # Not `pipe.read`: a thread inside it holds the buffer's lock, and the interpreter dies
        # of that when it shuts down in between.
        with contextlib.suppress(OSError):
            while os.read(descriptor, 1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()


def _end(child: subprocess.Popen[bytes], name: str) -> None:
    """Ask a child to end, and kill it and all it started when it does not."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        _log.warning("the %s did not end when asked, and is killed", name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
