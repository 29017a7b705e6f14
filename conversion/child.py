"""Running a conversion in a child process of its own: memory limit, time limit, one group to end.

What the archive and the web process import. It knows nothing of slide files and imports no slide
library; it starts ``python -m conversion convert`` and reads its lines.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conversion.errors import (
    ChildFailed,
    ConversionCancelled,
    ConversionError,
    ConversionTimedOut,
    OutOfMemory,
)
from conversion.limits import MIB, ConversionLimits
from conversion.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conversion.request import ConversionRequest

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 3.0  # between asking a child to end and ending it
_MAX_LINE_BYTES = 64 * MIB  # a manifest of a thousand levels is not a megabyte
_KEPT_STDERR_BYTES = 16 * 1024
_MEMORY_WORDS = ("MemoryError", "bad_alloc", "Memory allocation", "failed to map segment")


def run_conversion(
    source: Path,
    out_folder: Path,
    request: ConversionRequest,
    limits: ConversionLimits | None = None,
    on_progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Manifest:
    """Convert a slide file to DICOM files in a child process.

    Parameters
    ----------
    source
        The slide file.
    out_folder
        Where the files go; made if it is not there. Holds nothing of this conversion after an
        error, save a hidden ``.part`` folder if the child was killed, which the next run sweeps.
    limits
        Memory and time the child may use.
    on_progress
        Called with the fraction done, 0 to 1, in the caller's thread. An error it raises ends the
        child.
    cancelled
        Asked a few times a second; true ends the child.

    Returns
    -------
    Manifest
        What lies in the folder; paths are relative to it.

    Raises
    ------
    ConversionError
        The subclass the child named, `ConversionTimedOut`, `ConversionCancelled`, `OutOfMemory`,
        or `ChildFailed` where it ended without a word.
    """
    limits = limits or ConversionLimits()
    conversation = _Conversation(on_progress or (lambda _: None))
    with _start(source, out_folder, limits) as child:
        try:
            _send(child, request)
            _listen(child, conversation, time.monotonic() + limits.seconds, limits, cancelled)
            status = child.wait()
        finally:
            _end(child)
    return _outcome(conversation, status)


def _start(source: Path, out_folder: Path, limits: ConversionLimits) -> subprocess.Popen[bytes]:
    def confine() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    # One thread a library: a conversion of passed-through tiles is bound by the disk, and each
    # thread of a numeric library reserves address space that counts against the limit.
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": _import_path(),
    }
    return subprocess.Popen(
        [
            sys.executable,
            "-P",  # the working folder is not a place to import from
            "-m",
            "conversion",
            "convert",
            "--request=-",
            f"--out={out_folder.absolute()}",
            "--",
            str(source.absolute()),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # its own process group, ended as one
        preexec_fn=confine,
    )


def _import_path() -> str:
    """Return PYTHONPATH with the folder this package lies in first, installed or not."""
    own = str(Path(__file__).resolve().parents[1])
    given = os.environ.get("PYTHONPATH")
    return f"{own}{os.pathsep}{given}" if given else own


def _send(child: subprocess.Popen[bytes], request: ConversionRequest) -> None:
    assert child.stdin is not None  # noqa: S101 - it is a pipe
    try:
        child.stdin.write(request.to_json().encode())
        child.stdin.close()
    except BrokenPipeError:
        pass  # it ended already; what it said is read below


@dataclass(slots=True)
class _Conversation:
    on_progress: Callable[[float], None]
    manifest: Manifest | None = None
    error: ConversionError | None = None
    pending: bytearray = field(default_factory=bytearray)
    complaints: bytearray = field(default_factory=bytearray)

    def hear(self, data: bytes) -> None:
        self.pending += data
        while (end := self.pending.find(b"\n")) >= 0:
            line = bytes(self.pending[:end])
            del self.pending[: end + 1]
            self._take(line)
        if len(self.pending) > _MAX_LINE_BYTES:
            raise ChildFailed("the conversion wrote a line without end")

    def hear_complaint(self, data: bytes) -> None:
        self.complaints += data
        del self.complaints[:-_KEPT_STDERR_BYTES]

    def _take(self, line: bytes) -> None:
        try:
            document: Any = json.loads(line)
            if not isinstance(document, dict):
                return
            if "progress" in document:
                self.on_progress(float(document["progress"]))
            elif "manifest" in document:
                self.manifest = Manifest.from_document(document["manifest"])
            elif "error" in document:
                self.error = ConversionError.from_json(document)
        except (ValueError, KeyError, TypeError) as error:
            raise ChildFailed("the conversion wrote a line that is not understood") from error


def _listen(
    child: subprocess.Popen[bytes],
    conversation: _Conversation,
    deadline: float,
    limits: ConversionLimits,
    cancelled: Callable[[], bool] | None,
) -> None:
    """Read the child's lines until it closes both of its pipes."""
    assert child.stdout is not None  # noqa: S101 - they are pipes
    assert child.stderr is not None  # noqa: S101
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ, conversation.hear)
        selector.register(child.stderr, selectors.EVENT_READ, conversation.hear_complaint)
        while selector.get_map():
            for key, _ in selector.select(_POLL_SECONDS):
                data = os.read(key.fd, 64 * 1024)
                if data:
                    key.data(data)
                else:
                    selector.unregister(key.fileobj)
            if cancelled is not None and cancelled():
                raise ConversionCancelled("the conversion was cancelled")
            if time.monotonic() > deadline:
                raise ConversionTimedOut(
                    f"the conversion took longer than {limits.seconds:g} seconds and was ended",
                    seconds=limits.seconds,
                )


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and all it started: ask first, so that it clears up, then make it."""
    if child.poll() is None:
        _signal_group(child, signal.SIGTERM)
        try:
            child.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            _signal_group(child, signal.SIGKILL)
            child.wait()


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return


def _outcome(conversation: _Conversation, status: int) -> Manifest:
    if conversation.error is not None:
        raise conversation.error
    if status == 0 and conversation.manifest is not None:
        return conversation.manifest
    complaint = conversation.complaints.decode(errors="replace").strip().splitlines()
    last = complaint[-1][:300] if complaint else ""
    if status == -signal.SIGKILL:
        raise ChildFailed(
            "the conversion was killed, perhaps because the machine ran out of memory; try again",
            status=status,
        )
    if any(word in last for word in _MEMORY_WORDS):
        raise OutOfMemory("the conversion needs more memory than it is allowed", detail=last)
    raise ChildFailed(
        f"the conversion ended without a result (status {status})", status=status, detail=last
    )
